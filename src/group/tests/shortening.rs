//! A log that is many times as large as what it stands for is written again, shorter.

use super::*;
use crate::group::stored::GroupRecord;
use crate::sim::CrashPlan;

/// A broker whose groups all live in one log: `g` committed often, `other` once and has a record.
fn broker_with_commits(disk: &SimDisk) -> Broker {
    let builder = Broker::builder("data").storage(disk.clone());
    let opened = builder.background(false).offsets_topic_partitions(1).open();
    let broker = opened.unwrap();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let records = [(); 50].map(|()| Record::value_only("v"));
    topic.partition(0).unwrap().append(&records).unwrap();
    let store = state(&broker);
    commit(&store, "other", 0, OffsetAndMetadata::at(7));
    let offsets = store.offsets();
    offsets.record_state(&store, "other", 3, Some(9)).unwrap();
    for offset in 0..=40 {
        commit(&store, "g", 0, OffsetAndMetadata::at(offset));
    }
    broker
}

/// Shortens the one log, however small it is.
fn shorten(broker: &BrokerState) {
    let offsets = broker.offsets();
    offsets.logs()[0].shorten(&*offsets.storage, 0).unwrap();
}

fn log(broker: &BrokerState) -> Arc<PartitionState> {
    let topic = broker.topic(CONSUMER_OFFSETS).unwrap();
    topic.partition(0).unwrap()
}

fn check(broker: &BrokerState, context: &str) {
    assert_eq!(fetch(broker, "g", 0), Some(40), "{context}");
    assert_eq!(fetch(broker, "other", 0), Some(7), "{context}");
    let stored = broker.offsets().stored(broker, "other").unwrap().unwrap();
    let record = GroupRecord::of_consumers(3, Some(9));
    assert_eq!(stored.record, Some(record), "{context}");
}

#[test]
fn a_shortened_log_stands_for_the_same_and_takes_less() {
    let disk = SimDisk::new();
    let broker = broker_with_commits(&disk);
    let store = state(&broker);
    let former = log(&store).log().size_bytes();
    let end = log(&store).high_watermark();
    shorten(&store);
    assert_eq!(log(&store).log_start_offset(), end);
    assert_eq!(log(&store).high_watermark(), end + 3);
    assert!(log(&store).log().size_bytes() < former / 8);
    check(&store, "in memory");
    let files = disk.files();
    let first = format!("data/{CONSUMER_OFFSETS}-0/{:020}.log", 0);
    assert!(!files.iter().any(|(path, _)| path.ends_with(&first)));
    drop(store);
    broker.close().unwrap();
    let broker = open(&disk);
    assert!(broker.recovery_report().is_clean());
    check(&state(&broker), "after a restart");
}

#[test]
fn a_log_that_is_not_much_larger_than_what_it_stands_for_stays() {
    let store = state(&broker_with_commits(&SimDisk::new()));
    shorten(&store);
    let start = log(&store).log_start_offset();
    commit(&store, "g", 0, OffsetAndMetadata::at(41));
    shorten(&store);
    assert_eq!(log(&store).log_start_offset(), start);
}

#[test]
fn commits_have_the_log_shortened_when_it_has_grown() {
    let disk = SimDisk::new();
    let broker = broker_with_commits(&disk);
    let store = state(&broker);
    let noted = |offset: u64| OffsetAndMetadata {
        metadata: "m".repeat(4096),
        ..OffsetAndMetadata::at(offset)
    };
    for offset in 0..6_000_u64 {
        commit(&store, "g", 0, noted(offset % 50));
        broker.run_housekeeping().unwrap();
        assert!(log(&store).log().size_bytes() < 17 << 20);
    }
    assert!(log(&store).log_start_offset() > 0);
    assert_eq!(fetch(&store, "g", 0), Some(5_999 % 50));
    assert_eq!(fetch(&store, "other", 0), Some(7));
}

#[test]
fn a_log_with_records_of_unknown_kinds_stays() {
    let disk = SimDisk::new();
    let broker = broker_with_commits(&disk);
    write(
        &log(&state(&broker)),
        &[(vec![0, 9], Some(b"a newer kind of group".to_vec()))],
    );
    broker.close().unwrap();
    let broker = state(&open(&disk));
    check(&broker, "after a restart");
    shorten(&broker);
    assert_eq!(log(&broker).log_start_offset(), 0);
}

#[test]
fn a_crash_leaves_the_log_from_its_old_or_its_new_start_on() {
    let disk = SimDisk::recording();
    let broker = broker_with_commits(&disk);
    let store = state(&broker);
    for partition in [log(&store), store.topic("t").unwrap().partition(0).unwrap()] {
        partition.wait_durable(partition.high_watermark()).unwrap();
    }
    let before = disk.mark("durable");
    shorten(&store);
    let after = disk.mark("shortened");
    for at in before..=after {
        for crash in disk.crash_states(at, CrashPlan::new(31)) {
            let context = format!("at {at}: {}", crash.description);
            let broker = open(&crash.disk);
            assert!(!broker.recovery_report().has_damage(), "{context}");
            check(&state(&broker), &context);
        }
    }
    std::mem::forget((broker, store));
}
