//! What comes in the middle of a checkpoint.

use std::sync::Arc;

use crate::config::{CleanupPolicy, TopicConfig};
use crate::sim::{CrashPlan, Operation, SimDisk};
use crate::{Broker, ManualClock, Offset, Partition, Position, Record};

const COPY: &str = "backups/1";

fn open(disk: &SimDisk, dir: &str) -> Broker {
    let builder = Broker::builder(dir).storage(disk.clone());
    let builder = builder.clock(ManualClock::new(1_000)).background(false);
    builder.open().unwrap()
}

/// Opens a checkpoint, as if it had been closed in order.
fn open_copy(disk: &SimDisk, story: &str) -> Broker {
    let copy = open(disk, COPY);
    let report = copy.recovery_report();
    let is_clean = report.clean_shutdown && report.is_clean();
    assert!(is_clean, "{story}: {report:?}");
    copy
}

/// Says whether who changes names has to wait.
fn names_are_kept(broker: &Broker) -> impl FnOnce() -> bool + use<> {
    let state = Arc::clone(&broker.state);
    move || state.segments.names().try_change().is_none()
}

fn partition(broker: &Broker, number: u32) -> Partition {
    broker.topic("t").unwrap().partition(number).unwrap()
}

fn append(log: &Partition, key: &str) {
    let record = Record::value_only(&[7; 100]).key(key).timestamp(1_000);
    log.append(&[record]).unwrap();
}

fn offsets(log: &Partition) -> Vec<Offset> {
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut offsets = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        offsets.push(record.offset());
    }
    offsets
}

fn roll(broker: &Broker, number: u32) {
    let topic = broker.state.topic("t").unwrap();
    topic.partition(number).unwrap().begin_segment().unwrap();
}

#[test]
fn compaction_waits_until_a_checkpoint_has_the_names_of_what_it_replaces() {
    let disk = SimDisk::new();
    let broker = open(&disk, "data");
    let config = TopicConfig::default().cleanup_policy(CleanupPolicy::Compact);
    broker
        .create_topic("t", config.min_cleanable_dirty_ratio(0.0))
        .unwrap();
    let log = partition(&broker, 0);
    for _ in 0..3 {
        append(&log, "k");
        roll(&broker, 0);
    }
    let compacting = broker.clone();
    let compaction = disk.meanwhile(Operation::Link, COPY, names_are_kept(&broker), move || {
        compacting.run_housekeeping()
    });
    broker.checkpoint(COPY).unwrap();
    compaction.outcome().unwrap();
    assert_eq!(offsets(&log), [2], "it is compacted");
    let copy = open_copy(&disk, "");
    assert_eq!(offsets(&partition(&copy, 0)), [0, 1, 2], "as of the cut");
}

#[test]
fn a_segment_that_begins_while_a_checkpoint_is_prepared_is_there_to_stay() {
    let disk = SimDisk::recording();
    let broker = open(&disk, "data");
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    for number in 0..2 {
        append(&partition(&broker, number), "k");
    }
    // The first partition is prepared by then, and its last segment's name is not on the device any more.
    let rolling = broker.clone();
    disk.before(Operation::SyncDir, "t-1", move || roll(&rolling, 0));
    broker.checkpoint(COPY).unwrap();
    let plan = CrashPlan::new(1).single_operations(1_000);
    for state in disk.crash_states(disk.operation_count(), plan) {
        let story = state.description;
        // The original goes on, in the segment that it has now.
        let broker = open(&state.disk, "data");
        append(&partition(&broker, 0), "k");
        broker.close().unwrap();
        let copy = open_copy(&state.disk, &story);
        assert_eq!(offsets(&partition(&copy, 0)), [0], "{story}");
    }
}
