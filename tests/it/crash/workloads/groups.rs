//! Committed offsets and groups.

use std::time::Duration;

use streamlog::TopicConfig;

use super::{Workload, durable, synced, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        large: true,
        ..written("first commit", first_commit)
    },
    written("committed offsets", committed_offsets),
    synced("committed offsets that are synced", committed_offsets),
    written("commits across restarts", commits_across_restarts),
    written("a group of two members", group_of_two),
    synced("a group of two members, synced", group_of_two),
    synced("groups across restarts", groups_across_restarts),
    synced("a group and a power cut", group_and_power_cut),
];

/// With as many partitions of the offsets topic as Kafka has, which makes for many files.
fn first_commit(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 3, 30);
    run.commit("readers", "t", &[(0, 2)]);
    run.wait(Duration::from_secs(2));
    run.commit("readers", "t", &[(0, 3)]);
}

fn committed_offsets(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default().partitions(2));
    for number in 0..6 {
        assert!(run.append("t", number % 2, 2, 30));
        run.commit("readers", "t", &[(number % 2, u64::from(number / 2 + 1))]);
    }
    run.commit("others", "t", &[(0, 4), (1, 2)]);
    run.wait(Duration::from_secs(2));
    // Back to an earlier place.
    run.commit("readers", "t", &[(0, 1)]);
}

fn commits_across_restarts(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default());
    run.append("t", 0, 5, 30);
    run.commit("readers", "t", &[(0, 2)]);
    run.reopen();
    run.append("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 3)]);
    run.kill();
    run.append("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 6)]);
}

/// Members come and go, and each commits for what it owns at the time.
fn group_of_two(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default().partitions(2));
    for partition in [0, 1, 0, 1] {
        assert!(run.append("t", partition, 2, 30));
    }
    let mut first = run.join("workers", "t");
    run.work(&mut first, "t");
    let mut second = run.join("workers", "t");
    for _ in 0..2 {
        run.work(&mut first, "t");
        run.work_async(&mut second, "t");
    }
    run.wait(Duration::from_secs(2));
    assert!(run.append("t", 0, 3, 30));
    run.leave(first);
    run.work(&mut second, "t");
    run.leave(second);
}

/// The offsets topic is made by the first commit, and what is stored of the group itself has to wait for it.
fn groups_across_restarts(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    assert!(run.append("t", 0, 5, 30));
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.kill();
    // It went with its process.
    drop(member);
    let mut member = run.join("workers", "t");
    run.work_async(&mut member, "t");
    run.leave(member);
    run.reopen();
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.leave(member);
}

fn group_and_power_cut(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default());
    assert!(run.append("t", 0, 5, 30));
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.power_cut(3);
    drop(member);
    let mut member = run.join("workers", "t");
    assert!(run.append("t", 0, 1, 30));
    run.work(&mut member, "t");
    run.leave(member);
}
