//! Topics that come, change and go.

use streamlog::TopicConfig;

use super::{Workload, durable, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("creating topics", creating_topics),
    written("deleting topics", deleting_topics),
    written(
        "deleting a topic with commits",
        deleting_a_topic_with_commits,
    ),
    written("altering a topic", altering_a_topic),
    written("adding partitions", adding_partitions),
];

fn creating_topics(run: &mut Run) {
    for (name, partitions) in [("a", 1), ("b", 3), ("c", 2)] {
        run.create(name, &durable().partitions(partitions));
        run.append_synced(name, partitions - 1, 1, 30);
    }
    run.append("a", 0, 1, 30);
}

fn deleting_topics(run: &mut Run) {
    run.create("t", &durable().partitions(2));
    run.create("u", &durable());
    run.append_synced("t", 0, 2, 30);
    run.append_synced("u", 0, 1, 30);
    run.delete("t");
    run.append_synced("u", 0, 1, 30);
    // Another topic of the same name starts empty.
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.kill();
    run.delete("t");
    run.reopen();
    run.create("t", &durable().partitions(2));
    run.append_synced("t", 1, 1, 30);
}

fn deleting_a_topic_with_commits(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &durable());
    run.append_synced("t", 0, 4, 30);
    run.commit("readers", "t", &[(0, 3)]);
    run.delete("t");
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.expect_no_commit("readers", "t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 1)]);
}

fn altering_a_topic(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    run.append("t", 0, 2, 30);
    run.alter("t", small_segments());
    for _ in 0..4 {
        run.append("t", 0, 1, 200);
    }
    run.alter("t", durable());
    run.append_synced("t", 0, 1, 200);
    run.reopen();
    run.append_synced("t", 0, 1, 200);
}

fn adding_partitions(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.add_partitions("t", 3);
    run.append_synced("t", 2, 1, 30);
    run.append_synced("t", 0, 1, 30);
    run.add_partitions("t", 4);
    run.append_synced("t", 3, 1, 30);
    run.kill();
    run.append_synced("t", 3, 1, 30);
}
