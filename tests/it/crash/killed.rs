//! A process is killed right after it put something in place, the next one goes by that, and then the power
//! fails: what was done because of a name must not outlive the name.
//!
//! Method: the history is recorded up to the rename, a broker opens what the kill left, and each outcome of
//! a power failure at each moment of that open is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use streamlog::sim::{CrashKind, CrashPlan, CrashState, SimDisk};
use streamlog::{
    Broker, CleanupPolicy, ConfigOp, Durability, ManualClock, Offset, Partition, Record,
    TopicConfig,
};

use super::look::{FoundPartition, look_at, open};
use crate::support;

/// The disk that a kill leaves right after the last rename to a name that ends so.
fn killed_after_rename(disk: &SimDisk, to: &str) -> SimDisk {
    let is_it = |number: &usize| {
        let what = disk.describe_operation(*number).unwrap_or_default();
        what.starts_with("rename") && what.ends_with(to)
    };
    let renamed = (0..disk.operation_count()).rev().find(is_it);
    let at = renamed.expect("it is renamed") + 1;
    let mut states = disk.crash_states(at, CrashPlan::new(0));
    let killed = states.next().expect("a state");
    assert_eq!(killed.kind, CrashKind::ProcessCrash);
    killed.disk
}

/// Opens the disk; what power failures leave that come meanwhile.
fn power_failures(disk: &SimDisk) -> Vec<CrashState> {
    let began = disk.operation_count();
    let broker = open(disk, Durability::Written).expect("what a kill left");
    let done = disk.operation_count();
    drop(broker);
    // Each operation that is not durable is lost alone, and kept alone.
    let plan = CrashPlan::new(1).single_operations(1_000).cuts(0);
    let states = (began..=done).flat_map(|at| disk.crash_states(at, plan));
    states
        .filter(|state| state.kind == CrashKind::PowerLoss)
        .collect()
}

/// What is there after a crash.
fn found(state: &CrashState) -> FoundPartition {
    let broker = open(&state.disk, Durability::Written).expect("what a crash left");
    let report = broker.recovery_report();
    assert!(!report.has_damage(), "{}: {report:?}", state.description);
    let found = look_at(&support::partition(&broker, "t", 0));
    found.unwrap_or_else(|message| panic!("{}: {message}", state.description))
}

/// Where the log starts after each of these power failures; all records from there to its end are there.
fn starts_of_whole_logs(killed: &SimDisk, end: Offset) -> BTreeSet<Offset> {
    let mut starts = BTreeSet::new();
    for state in power_failures(killed) {
        let found = found(&state);
        assert_eq!(found.end, end, "{}", state.description);
        let there: BTreeSet<_> = found.records.into_keys().collect();
        let all: BTreeSet<_> = (found.start..end).collect();
        assert_eq!(there, all, "{}", state.description);
        starts.insert(found.start);
    }
    starts
}

fn topic(disk: &SimDisk, config: TopicConfig) -> (Broker, Partition) {
    topic_at(disk, &ManualClock::new(support::START), config)
}

fn topic_at(disk: &SimDisk, clock: &ManualClock, config: TopicConfig) -> (Broker, Partition) {
    let broker = support::open_at(disk, clock).expect("a new directory");
    let config = config.segment_bytes(300);
    let topic = broker.create_topic("t", config).expect("a new topic");
    (broker, topic.partition(0).expect("it has one"))
}

fn append(log: &Partition, key: &str, value: &str) {
    let record = Record::value_only(value).key(key);
    log.append(&[record]).expect("there is room");
}

#[test]
fn a_raised_start_that_an_open_removed_segments_for_is_there_to_stay() {
    let disk = SimDisk::recording();
    let (_broker, log) = topic(&disk, TopicConfig::default());
    for number in 0..9 {
        append(&log, "k", &format!("{number}").repeat(100));
    }
    log.flush().expect("the disk works");
    log.delete_records(5).expect("they are there");
    let killed = killed_after_rename(&disk, "topics.manifest");
    let mut starts = BTreeSet::new();
    for state in power_failures(&killed) {
        let found = found(&state);
        let all: BTreeSet<_> = (found.start..9).collect();
        let there: BTreeSet<_> = found.records.into_keys().collect();
        assert_eq!(there, all, "{}", state.description);
        starts.insert(found.start);
    }
    assert_eq!(
        starts,
        BTreeSet::from([0, 5]),
        "the old one and the new one"
    );
    let first = killed.read(support::log_file("t-0", 0));
    assert!(first.is_none(), "the open removed what is below the start");
}

#[test]
fn the_last_segment_that_an_open_removed_all_others_for_is_there_to_stay() {
    let disk = SimDisk::recording();
    let clock = ManualClock::new(support::START);
    let minute = Duration::from_secs(60);
    let short_lived = TopicConfig::default().retention_ms(Some(minute));
    let (broker, log) = topic_at(&disk, &clock, short_lived);
    for number in 0..4 {
        append(&log, "k", &format!("{number}").repeat(100));
    }
    clock.advance(2 * minute);
    // It goes on in a new segment, whose name is not on the device when the others can go.
    broker.run_housekeeping().expect("a look");
    let killed = killed_after_rename(&disk, "topics.manifest");
    assert_eq!(starts_of_whole_logs(&killed, 4), [0, 4].into());
    let first = killed.read(support::log_file("t-0", 0));
    assert!(first.is_none(), "the open removed what is below the start");
}

#[test]
fn a_compaction_that_an_open_completed_is_there_to_stay() {
    let disk = SimDisk::recording();
    let compacted = TopicConfig::default().cleanup_policy(CleanupPolicy::Compact);
    let (broker, log) = topic(&disk, compacted.min_cleanable_dirty_ratio(0.0));
    let mut latest = BTreeMap::new();
    for number in 0..12 {
        let (key, value) = (format!("key {}", number % 5), format!("value {number}"));
        append(&log, &key, &value.repeat(8));
        latest.insert(key.into_bytes(), number);
    }
    log.flush().expect("the disk works");
    // So that many become one.
    let larger = [ConfigOp::set("segment.bytes", "10000")];
    let altered = broker.alter_topic_config("t", &larger);
    altered.expect("it is larger than the batches");
    broker.run_housekeeping().expect("a pass");
    let killed = killed_after_rename(&disk, ".log.swap");
    let dir = Path::new(support::DIR).join("t-0");
    let count = |disk: &SimDisk, ending: &str| {
        let files = disk.files().into_iter().map(|(path, _)| path);
        let of_log = files.filter(|path| path.starts_with(&dir));
        of_log
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .count()
    };
    let replaced = count(&killed, ".log");
    assert!(count(&killed, ".log.swap") == 1 && replaced > 2);
    for state in power_failures(&killed) {
        let found = found(&state);
        for (key, offset) in &latest {
            let record = found.records.get(offset);
            assert!(
                record.is_some_and(|record| record.key.as_ref() == Some(key)),
                "{}: {offset} is lost of {found:?}",
                state.description
            );
        }
    }
    assert!(count(&killed, ".log.swap") == 0 && count(&killed, ".log") < replaced);
}
