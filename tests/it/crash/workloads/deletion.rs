//! Records that are deleted from the front.

use streamlog::TopicConfig;

use super::{Workload, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("deleting records", deleting_records),
    written(
        "deleting records across segments",
        deleting_records_across_segments,
    ),
    written("removing segments", removing_segments),
];

fn deleting_records(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for _ in 0..5 {
        run.append("t", 0, 2, 60);
    }
    run.delete_records("t", 0, 3);
    run.append("t", 0, 1, 60);
    run.delete_records("t", 0, 11);
    run.append("t", 0, 1, 60);
    run.reopen();
    run.append("t", 0, 1, 60);
    run.delete_records("t", 0, 12);
}

fn deleting_records_across_segments(run: &mut Run) {
    run.create("t", &small_segments());
    for _ in 0..9 {
        run.append("t", 0, 1, 200);
    }
    run.delete_records("t", 0, 5);
    run.append("t", 0, 1, 200);
    run.kill();
    run.delete_records("t", 0, 8);
    run.append("t", 0, 1, 200);
}

fn removing_segments(run: &mut Run) {
    run.create("t", &small_segments());
    for _ in 0..14 {
        run.append("t", 0, 1, 200);
    }
    // Several at once, then all but the active one.
    run.delete_records("t", 0, 9);
    run.reopen();
    for _ in 0..4 {
        run.append("t", 0, 1, 200);
    }
    run.kill();
    run.delete_records("t", 0, 18);
    run.append("t", 0, 1, 200);
}
