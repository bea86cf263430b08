//! What brokers do while the power fails: small programs, each about one mechanism.

mod appends;
mod checkpoints;
mod compaction;
mod deletion;
mod failures;
mod groups;
mod producers;
mod restarts;
mod retention;
mod staging;
mod topics;
mod waypoints;
mod zeros;

use streamlog::{Durability, TopicConfig};

use super::run::Run;

/// A program with a name.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What acknowledges commits of offsets.
    pub(crate) durability: Durability,
    /// The data directory is there already.
    pub(crate) prepared: bool,
    /// So many files or operations that not every moment can be looked at.
    pub(crate) large: bool,
    /// There is a waypoint at every sync.
    pub(crate) waypoints: bool,
    /// Segments are compacted or grow old.
    pub(crate) cleans: bool,
    pub(crate) program: fn(&mut Run),
}

const fn written(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        name,
        durability: Durability::Written,
        prepared: true,
        large: false,
        waypoints: false,
        cleans: false,
        program,
    }
}

const fn synced(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        name,
        durability: Durability::Synced,
        prepared: true,
        large: false,
        waypoints: false,
        cleans: false,
        program,
    }
}

const fn cleaned(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        cleans: true,
        ..written(name, program)
    }
}

const fn with_waypoints(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        waypoints: true,
        ..written(name, program)
    }
}

/// All of them.
pub(crate) fn workloads() -> impl Iterator<Item = &'static Workload> {
    [
        appends::WORKLOADS,
        staging::WORKLOADS,
        zeros::WORKLOADS,
        restarts::WORKLOADS,
        producers::WORKLOADS,
        groups::WORKLOADS,
        topics::WORKLOADS,
        deletion::WORKLOADS,
        failures::WORKLOADS,
        waypoints::WORKLOADS,
        compaction::WORKLOADS,
        retention::WORKLOADS,
        checkpoints::WORKLOADS,
    ]
    .into_iter()
    .flatten()
}

fn small_segments() -> TopicConfig {
    config(&[("segment.bytes", "600")])
}

fn config(settings: &[(&str, &str)]) -> TopicConfig {
    settings
        .iter()
        .fold(TopicConfig::default(), |config, (key, value)| {
            config
                .set(key, value)
                .unwrap_or_else(|error| panic!("{error}"))
        })
}

fn durable() -> TopicConfig {
    TopicConfig::default().durability(Durability::Synced)
}

/// So many small appends that those after them are staged.
fn put_in_use(run: &mut Run, topic: &str) {
    for _ in 0..32 {
        assert!(run.append(topic, 0, 1, 0));
    }
}
