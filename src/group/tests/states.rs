//! What is stored of a group itself: its generation, and since when it is empty.

use std::time::Duration;

use super::*;
use crate::format::group_record::{GroupMember, GroupMetadata};
use crate::format::offsets_record::encode_group_key;
use crate::group::stored::GroupRecord;
use crate::{Error, ManualClock};

fn record(broker: &BrokerState, group: &str) -> Option<GroupRecord> {
    broker.offsets().stored(broker, group).unwrap()?.record
}

/// A group's record as Kafka writes it, with a member or without.
fn kafkas(generation: i32, timestamp: i64, has_member: bool) -> Vec<u8> {
    let member = GroupMember {
        member_id: "m-1".to_owned(),
        group_instance_id: None,
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: 300_000,
        session_timeout: 45_000,
        subscription: vec![1],
        assignment: vec![2],
    };
    let metadata = GroupMetadata {
        protocol_type: "consumer".to_owned(),
        generation,
        protocol: has_member.then(|| "range".to_owned()),
        leader: has_member.then(|| "m-1".to_owned()),
        current_state_timestamp: timestamp,
        members: has_member.then_some(member).into_iter().collect(),
    };
    metadata.encode().unwrap()
}

pub(super) fn broker_at(disk: &SimDisk, clock: &ManualClock) -> Broker {
    Broker::builder("data")
        .storage(disk.clone())
        .background(false)
        .clock(clock.clone())
        .open()
        .unwrap()
}

#[test]
fn a_groups_state_is_there_after_a_restart() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    let store = state(&broker);
    commit(&store, "g", 0, OffsetAndMetadata::at(3));
    assert_eq!(store.offsets().generation(&store, "g").unwrap(), 0);
    store
        .offsets()
        .record_state(&store, "g", 7, Some(12_345))
        .unwrap();
    drop(store);
    broker.close().unwrap();
    let broker = state(&open(&disk));
    assert_eq!(broker.offsets().generation(&broker, "g").unwrap(), 7);
    let expected = GroupRecord::of_consumers(7, Some(12_345));
    assert_eq!(record(&broker, "g"), Some(expected));
    assert_eq!(fetch(&broker, "g", 0), Some(3));
}

#[test]
fn a_state_that_is_stored_already_costs_nothing() {
    let broker = state(&broker_on(&SimDisk::new()));
    commit(&broker, "g", 0, OffsetAndMetadata::at(3));
    let log = home(&broker, "g");
    let store = |generation, empty_since| {
        let offsets = broker.offsets();
        offsets
            .record_state(&broker, "g", generation, empty_since)
            .unwrap();
        log.high_watermark()
    };
    let first = store(1, None);
    assert_eq!(store(1, None), first);
    assert_eq!(store(2, None), first + 1);
    assert_eq!(store(2, Some(5)), first + 2);
}

#[test]
fn a_state_makes_no_offsets_topic_and_is_written_with_the_first_commit() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    let store = state(&broker);
    for (group, generation) in [("g", 1), ("g", 2), ("other", 5)] {
        let offsets = store.offsets();
        offsets
            .record_state(&store, group, generation, None)
            .unwrap();
        assert_eq!(offsets.generation(&store, group).unwrap(), generation);
    }
    assert!(store.topic(CONSUMER_OFFSETS).is_err());
    commit(&store, "g", 0, OffsetAndMetadata::at(3));
    let stored = [(record(&store, "g"), 2), (record(&store, "other"), 5)];
    for (record, generation) in stored {
        assert_eq!(record, Some(GroupRecord::of_consumers(generation, None)));
    }
    drop(store);
    broker.close().unwrap();
    let broker = state(&open(&disk));
    assert_eq!(broker.offsets().generation(&broker, "other").unwrap(), 5);
}

#[test]
fn a_group_that_was_live_is_empty_since_it_was_found() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new(1_000));
    let broker = broker_at(&disk, &clock);
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let store = state(&broker);
    commit(&store, "g", 0, OffsetAndMetadata::at(3));
    store.offsets().record_state(&store, "g", 4, None).unwrap();
    assert_eq!(record(&store, "g").unwrap().empty_since, None);
    drop(store);
    broker.close().unwrap();
    clock.advance(Duration::from_secs(60));
    let broker = state(&broker_at(&disk, &clock));
    let found = record(&broker, "g").unwrap();
    assert_eq!((found.generation, found.empty_since), (4, Some(61_000)));
    assert!(!found.is_noted);
    // Its next member finds a record that differs, though generation and time are the same.
    let offsets = broker.offsets();
    offsets.record_state(&broker, "g", 4, Some(61_000)).unwrap();
    assert!(record(&broker, "g").unwrap().is_noted);
}

#[test]
fn records_of_kafkas_groups_are_understood() {
    let clock = ManualClock::new(1_000);
    let broker = broker_at(&SimDisk::new(), &clock);
    let broker = state(&broker);
    for (group, value) in [
        ("live", kafkas(9, 500, true)),
        ("empty", kafkas(8, 600, false)),
        ("old", kafkas(7, -1, false)),
        ("gone", kafkas(6, 700, false)),
    ] {
        let key = encode_group_key(group).unwrap();
        write(&home(&broker, group), &[(key, Some(value))]);
    }
    let key = encode_group_key("gone").unwrap();
    write(&home(&broker, "gone"), &[(key, None)]);
    for (group, generation, empty_since) in
        [("live", 9, 1_000), ("empty", 8, 600), ("old", 7, 1_000)]
    {
        let found = record(&broker, group).unwrap();
        assert_eq!(
            (found.generation, found.empty_since),
            (generation, Some(empty_since)),
            "{group}"
        );
        assert_eq!(found.protocol_type, "consumer", "{group}");
    }
    assert_eq!(names(&broker), ["empty", "live", "old"]);
}

#[test]
fn a_record_that_breaks_the_schema_is_damage() {
    let broker = state(&broker_on(&SimDisk::new()));
    let key = encode_group_key("g").unwrap();
    write(&home(&broker, "g"), &[(key, Some(b"\0\x03short".to_vec()))]);
    let generation = broker.offsets().generation(&broker, "g");
    assert!(
        matches!(generation, Err(Error::Corrupt { .. })),
        "{generation:?}"
    );
    let stored = broker.offsets().record_state(&broker, "g", 1, None);
    assert!(matches!(stored, Err(Error::Corrupt { .. })), "{stored:?}");
}

#[test]
fn a_record_that_cannot_be_written_holds_up_no_other_group() {
    let disk = SimDisk::new();
    let store = state(&broker_on(&disk));
    commit(&store, "g", 0, OffsetAndMetadata::at(1));
    damage_in_memory(&store, "broken");
    let refused = store.offsets().record_state(&store, "broken", 3, None);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    store.offsets().record_state(&store, "g", 3, None).unwrap();
    assert_eq!(record(&store, "g").unwrap().generation, 3);
}

/// Writes what no reader understands into the log that a group lives in.
fn damage_in_memory(broker: &BrokerState, group: &str) {
    assert_ne!(partition_for(group, 50), partition_for("g", 50));
    let log = home(broker, group);
    write(&log, &[(key(group, "t"), Some(b"\0\x03short".to_vec()))]);
}
