//! Full disks and failed syncs, survived and then crashed.

use std::io::ErrorKind;

use streamlog::sim::{Fault, Operation};

use super::{Workload, durable, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("a full disk", full_disk),
    written("a full disk while rolling", full_disk_while_rolling),
    written("a failed sync", failed_sync),
    written(
        "a failed sync that loses pages",
        failed_sync_that_loses_pages,
    ),
    written(
        "a failed sync that loses pages, the first of a process",
        first_sync_that_loses_pages,
    ),
];

fn full_disk(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    for room in [0, 50, 150] {
        run.disk.set_capacity(Some(run.disk.used() + room));
        assert!(!run.append("t", 0, 2, 300), "there is no room");
        run.disk.set_capacity(None);
        run.append_synced("t", 0, 2, 30);
    }
}

pub(super) fn full_disk_while_rolling(run: &mut Run) {
    run.create("t", &small_segments());
    run.append("t", 0, 1, 400);
    for room in [0, 5, 60, 200] {
        run.disk.set_capacity(Some(run.disk.used() + room));
        for _ in 0..2 {
            run.append("t", 0, 1, 400);
        }
        run.disk.set_capacity(None);
        assert!(run.append("t", 0, 1, 400), "there is room again");
    }
}

fn failed_sync(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.disk
        .fail(Fault::error(Operation::Sync, ErrorKind::Other).on_path(".log"));
    assert!(!run.append("t", 0, 1, 100), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 100);
}

/// What the open noted, that no sync has begun since, must not stand any more.
fn first_sync_that_loses_pages(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.kill();
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 100);
    run.append_synced("t", 0, 1, 100);
}

pub(super) fn failed_sync_that_loses_pages(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    // The bytes are in the cache and look as if they were on disk.
    run.kill();
    run.append_synced("t", 0, 1, 100);
    run.append_synced("t", 0, 1, 100);
}
