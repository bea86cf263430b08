//! Segments that grow too old, or too many.

use std::time::Duration;

use streamlog::TopicConfig;

use super::compaction::fill;
use super::{Workload, cleaned};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    cleaned("segments that grow too old", too_old),
    cleaned("segments that are too many", too_many),
    cleaned("retention in several topics", several_topics),
    cleaned("retention across kills and power cuts", across_crashes),
];

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn short_lived() -> TopicConfig {
    TopicConfig::default()
        .segment_bytes(500)
        .retention_ms(Some(MINUTE))
}

fn too_old(run: &mut Run) {
    run.create("t", &short_lived());
    for round in 0..4 {
        fill(run, "t", 0, round, 5);
        run.clean(MINUTE / 2);
    }
    // All of it goes, the last segment too.
    run.clean(MINUTE * 2);
    fill(run, "t", 0, 0, 4);
    run.clean(MINUTE * 2);
    fill(run, "t", 0, 0, 1);
}

fn too_many(run: &mut Run) {
    let config = short_lived().retention_ms(None);
    run.create("t", &config.retention_bytes(Some(900)));
    for round in 0..4 {
        fill(run, "t", 0, round, 6);
        run.clean(MINUTE);
    }
    run.alter("t", short_lived().retention_bytes(Some(0)));
    run.clean(MINUTE);
    fill(run, "t", 0, 0, 3);
}

fn several_topics(run: &mut Run) {
    run.create("t", &short_lived().partitions(2));
    run.create("u", &short_lived());
    for round in 0..2 {
        fill(run, "t", 0, round, 4);
        fill(run, "t", 1, round, 3);
        fill(run, "u", 0, round, 5);
        run.clean(MINUTE * 2);
    }
    run.delete("u");
    run.create("u", &short_lived());
    fill(run, "u", 0, 0, 4);
    run.add_partitions("t", 3);
    fill(run, "t", 2, 0, 4);
    run.clean(MINUTE * 2);
    fill(run, "u", 0, 0, 1);
}

fn across_crashes(run: &mut Run) {
    run.create("t", &short_lived());
    for choice in [4, 7] {
        fill(run, "t", 0, choice, 6);
        run.clean(MINUTE * 2);
        run.kill();
        fill(run, "t", 0, choice, 4);
        let start = run.end("t", 0) - 3;
        run.delete_records("t", 0, start);
        run.power_cut(choice);
        fill(run, "t", 0, choice, 2);
    }
    run.clean(MINUTE * 2);
    run.reopen();
    fill(run, "t", 0, 0, 2);
}
