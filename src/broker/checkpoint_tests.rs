//! What comes in the middle of a checkpoint.

use std::sync::Arc;

use parking_lot::Mutex;

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

/// A log of three segments with a record of the same key each, and an empty one.
fn of_three_segments(broker: &Broker, config: TopicConfig) -> Partition {
    let config = config.min_cleanable_dirty_ratio(0.0);
    broker.create_topic("t", config).unwrap();
    for _ in 0..3 {
        append(&partition(broker, 0), "k");
        roll(broker, 0);
    }
    partition(broker, 0)
}

fn compacted() -> TopicConfig {
    TopicConfig::default().cleanup_policy(CleanupPolicy::Compact)
}

#[test]
fn segments_deleted_during_a_checkpoint_are_in_it_and_go_afterwards() {
    let disk = SimDisk::new();
    let broker = open(&disk, "data");
    let log = of_three_segments(&broker, TopicConfig::default());
    let same = log.clone();
    let deletion = disk.meanwhile(
        Operation::Link,
        COPY,
        || false,
        move || same.delete_records(3),
    );
    broker.checkpoint(COPY).unwrap();
    deletion.outcome().unwrap();
    assert!(offsets(&log).is_empty());
    for base in 0..3 {
        let path = format!("data/t-0/{base:020}.log");
        assert!(disk.read(&path).is_none(), "{path}");
    }
    let copy = open_copy(&disk, "");
    assert_eq!(offsets(&partition(&copy, 0)), [0, 1, 2], "as of the cut");
}

#[test]
fn no_checkpoint_comes_while_a_topic_is_deleted() {
    let disk = SimDisk::new();
    let broker = open(&disk, "data");
    of_three_segments(&broker, TopicConfig::default());
    let held = Arc::new(Mutex::new(Vec::new()));
    for (operation, path) in [
        (Operation::Rename, "topics.manifest"),
        (Operation::Rename, "-delete"),
        (Operation::Remove, "-delete"),
    ] {
        let (state, held) = (Arc::clone(&broker.state), Arc::clone(&held));
        disk.before(operation, path, move || {
            held.lock().push(state.segments.names().is_held());
        });
    }
    broker.delete_topic("t").unwrap();
    assert_eq!(*held.lock(), [true; 3]);
}

#[test]
fn compaction_waits_until_a_checkpoint_has_the_names_of_what_it_replaces() {
    let disk = SimDisk::new();
    let broker = open(&disk, "data");
    let log = of_three_segments(&broker, compacted());
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
fn all_logs_are_held_before_the_first_is_looked_at() {
    let disk = SimDisk::new();
    let broker = open(&disk, "data");
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    let log = partition(&broker, 0);
    // So many that the next one is staged.
    for _ in 0..40 {
        append(&log, "k");
    }
    append(&partition(&broker, 1), "k");
    let held = Arc::new(Mutex::new(Vec::new()));
    let (noting, staging) = (Arc::clone(&held), disk.clone());
    let second = broker.state.topic("t").unwrap().partition(1).unwrap();
    // The first partition is prepared by then, and the cut has to write what is staged.
    disk.before(Operation::SyncDir, "t-1", move || {
        append(&log, "k");
        staging.before(
            Operation::Write,
            "t-0/00000000000000000000.log",
            move || {
                noting.lock().push(second.log().is_held());
            },
        );
    });
    broker.checkpoint(COPY).unwrap();
    assert_eq!(*held.lock(), [true]);
    let copy = open_copy(&disk, "");
    assert_eq!(offsets(&partition(&copy, 0)).len(), 41);
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
