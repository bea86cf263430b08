//! Copies of everything, and brokers that go on beside them.

use std::time::Duration;

use super::compaction::{compacted, fill};
use super::retention::short_lived;
use super::{Workload, cleaned};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    cleaned("checkpoints of logs that are compacted", of_compacted),
    cleaned("checkpoints of topics that come and go", of_topics),
    cleaned("a checkpoint of logs that grow old", of_old),
];

const MINUTE: Duration = Duration::from_secs(60);

fn of_compacted(run: &mut Run) {
    run.create("t", &compacted());
    fill(run, "t", 0, 0, 6);
    run.clean(MINUTE);
    fill(run, "t", 0, 1, 3);
    run.checkpoint("backups/1");
    fill(run, "t", 0, 2, 4);
    run.clean(MINUTE * 2);
    run.checkpoint("backups/2");
    fill(run, "t", 0, 2, 1);
}

fn of_topics(run: &mut Run) {
    run.create("t", &compacted().partitions(2));
    fill(run, "t", 1, 0, 4);
    run.checkpoint("backups/1");
    run.alter("t", short_lived());
    run.delete("t");
    run.create("t", &short_lived());
    fill(run, "t", 0, 0, 3);
    run.add_partitions("t", 2);
    run.checkpoint("backups/2");
    fill(run, "t", 1, 0, 3);
}

fn of_old(run: &mut Run) {
    run.create("t", &short_lived());
    fill(run, "t", 0, 0, 6);
    run.clean(MINUTE / 2);
    fill(run, "t", 0, 0, 2);
    run.checkpoint("backups/1");
    run.clean(MINUTE);
    fill(run, "t", 0, 0, 2);
    run.kill();
    run.clean(MINUTE * 2);
    fill(run, "t", 0, 0, 1);
}
