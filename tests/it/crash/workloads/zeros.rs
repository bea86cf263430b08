//! Zeros ahead of what is synced often.

use std::time::Duration;

use streamlog::sim::Fault;
use streamlog::{Durability, TopicConfig};

use super::{Workload, durable, put_in_use, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("zeros ahead", zeros_ahead),
    written("zeros ahead across rolls", zeros_across_rolls),
    written("zeros ahead, closed and killed", zeros_closed_and_killed),
    written("zeros ahead and power cuts", zeros_and_power_cuts),
    written("zeros ahead on a full disk", zeros_on_a_full_disk),
    written("zeros ahead and staged appends", zeros_and_staged),
    written(
        "zeros ahead when a sync loses pages",
        zeros_when_pages_are_lost,
    ),
];

/// So many that those after them overwrite zeros.
fn have_zeros(run: &mut Run) {
    for _ in 0..6 {
        run.append_synced("t", 0, 1, 10);
    }
}

fn zeros_ahead(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    for number in 0..6 {
        run.append_synced("t", 0, 1 + number % 3, 1100 * number);
    }
    // Too large for zeros, and then they go on.
    run.append_synced("t", 0, 1, 20_000);
    have_zeros(run);
}

fn zeros_across_rolls(run: &mut Run) {
    run.create("t", &durable().segment_bytes(9000));
    have_zeros(run);
    for number in 0..12 {
        run.append_synced("t", 0, 1, 600 * (number % 5));
    }
}

fn zeros_closed_and_killed(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    run.reopen();
    have_zeros(run);
    run.kill();
    run.append_synced("t", 0, 2, 30);
    run.reopen();
    have_zeros(run);
    run.kill();
    run.reopen();
    run.append_synced("t", 0, 2, 30);
}

fn zeros_and_power_cuts(run: &mut Run) {
    run.create("t", &durable().segment_bytes(9000));
    for choice in [2, 7, 12, 18] {
        have_zeros(run);
        run.append_synced("t", 0, 1, 900);
        run.power_cut(choice);
        run.append_synced("t", 0, 1, 30);
    }
}

fn zeros_on_a_full_disk(run: &mut Run) {
    run.create("t", &durable());
    for _ in 0..4 {
        run.append_synced("t", 0, 1, 10);
    }
    run.disk.set_capacity(Some(run.disk.used() + 3000));
    for _ in 0..4 {
        run.append("t", 0, 1, 900);
    }
    run.disk.set_capacity(None);
    run.append_synced("t", 0, 1, 900);
    run.reopen();
    have_zeros(run);
    run.disk.set_capacity(Some(run.disk.used()));
    run.append_synced("t", 0, 1, 900);
    run.disk.set_capacity(None);
    run.append_synced("t", 0, 1, 900);
}

/// Producers that want no sync share the file with one that does.
fn zeros_and_staged(run: &mut Run) {
    run.create("t", &TopicConfig::default().segment_bytes(30_000));
    put_in_use(run, "t");
    let builder = run.broker().producer().durability(Durability::Synced);
    let producer = builder
        .linger(Duration::from_millis(10))
        .build()
        .expect("a producer");
    for _ in 0..6 {
        for _ in 0..3 {
            run.send(&producer, "t", 0, 40);
        }
        run.flush_producer(&producer, true);
        run.append("t", 0, 1, 600);
    }
    drop(producer);
    run.kill();
    assert!(run.append("t", 0, 1, 40));
}

fn zeros_when_pages_are_lost(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    have_zeros(run);
}
