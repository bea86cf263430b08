//! Keyed records that are compacted.

use std::time::Duration;

use streamlog::{CleanupPolicy, TopicConfig};

use super::{Workload, cleaned};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    cleaned("compacting again and again", again_and_again),
    cleaned("compacting tombstones", tombstones),
    cleaned("compacting in several partitions", several_partitions),
    cleaned("compacting, killed and reopened", killed_and_reopened),
    cleaned("compacting and power cuts", power_cuts),
    cleaned("compacting and retention together", with_retention),
    cleaned("a topic that is compacted from now on", from_now_on),
];

pub(super) fn compacted() -> TopicConfig {
    TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(500)
        .min_cleanable_dirty_ratio(0.0)
        .delete_retention_ms(MINUTE)
}

const MINUTE: Duration = Duration::from_secs(60);

/// Some values of few keys.
pub(super) fn fill(run: &mut Run, topic: &str, partition: u32, from: usize, count: usize) {
    for number in from..from + count {
        let keys = ["a", "b", "c", "d", "e"];
        let key = |step: usize| keys[number * step % keys.len()];
        run.put(
            topic,
            partition,
            &[(key(3), true), (key(2), number % 4 != 1)],
        );
    }
}

fn again_and_again(run: &mut Run) {
    run.create("t", &compacted());
    for round in 0..4 {
        fill(run, "t", 0, 5 * round, 7);
        run.clean(Duration::from_secs(2));
    }
    fill(run, "t", 0, 3, 1);
}

fn tombstones(run: &mut Run) {
    run.create("t", &compacted());
    for key in ["a", "b", "c"] {
        run.put("t", 0, &[(key, true), ("z", true)]);
        run.put("t", 0, &[(key, false)]);
        fill(run, "t", 0, 2, 3);
        run.clean(MINUTE * 2);
    }
    // What was deleted goes now, and then a key comes back.
    run.put("t", 0, &[("z", false)]);
    fill(run, "t", 0, 0, 4);
    run.clean(MINUTE * 2);
    run.put("t", 0, &[("z", true)]);
    fill(run, "t", 0, 0, 4);
    run.clean(MINUTE * 2);
}

fn several_partitions(run: &mut Run) {
    run.create("t", &compacted().partitions(2));
    run.create("u", &TopicConfig::default());
    for round in 0..2 {
        fill(run, "t", 0, round, 5);
        fill(run, "t", 1, round, 6);
        run.append("u", 0, 1, 30);
        run.clean(MINUTE);
    }
}

fn killed_and_reopened(run: &mut Run) {
    run.create("t", &compacted());
    fill(run, "t", 0, 0, 6);
    run.clean(MINUTE);
    run.kill();
    fill(run, "t", 0, 3, 6);
    run.kill();
    run.clean(MINUTE * 2);
    run.reopen();
    fill(run, "t", 0, 1, 4);
    run.clean(MINUTE * 2);
    run.reopen();
}

fn power_cuts(run: &mut Run) {
    run.create("t", &compacted());
    for choice in [3, 8] {
        fill(run, "t", 0, choice, 7);
        run.clean(MINUTE);
        fill(run, "t", 0, choice, 2);
        run.power_cut(choice);
        fill(run, "t", 0, 1, 3);
    }
    run.clean(MINUTE * 2);
}

fn with_retention(run: &mut Run) {
    let both = compacted().cleanup_policy(CleanupPolicy::CompactAndDelete);
    run.create("t", &both.retention_ms(Some(MINUTE * 5)));
    for round in 0..4 {
        fill(run, "t", 0, round, 5);
        run.clean(MINUTE * 2);
    }
    run.delete_records("t", 0, 35);
    fill(run, "t", 0, 0, 4);
    run.clean(MINUTE * 20);
    fill(run, "t", 0, 0, 2);
}

fn from_now_on(run: &mut Run) {
    run.create("t", &compacted().cleanup_policy(CleanupPolicy::Delete));
    fill(run, "t", 0, 0, 7);
    run.alter("t", compacted());
    run.clean(MINUTE);
    run.add_partitions("t", 2);
    fill(run, "t", 1, 0, 6);
    run.clean(MINUTE);
    run.delete("t");
    run.create("t", &compacted());
    fill(run, "t", 0, 1, 5);
    run.clean(MINUTE);
}
