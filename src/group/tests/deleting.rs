//! Deleting groups and what they committed.

use super::*;
use crate::{Error, Position};

/// A broker on which the group `g` committed for two topics, `other` for one.
fn broker_with_groups(disk: &SimDisk) -> Broker {
    let broker = broker_on(disk);
    broker.create_topic("u", TopicConfig::default()).unwrap();
    let committed = [(id(0), 3), (id(1), 0), (TopicPartition::new("u", 0), 0)];
    broker.group("g").commit_offsets(&committed).unwrap();
    broker
        .group("other")
        .commit_offsets(&committed[..1])
        .unwrap();
    broker
}

#[test]
fn a_deleted_group_is_gone_after_a_restart_and_the_others_are_not() {
    let disk = SimDisk::new();
    let broker = broker_with_groups(&disk);
    let store = state(&broker);
    store
        .offsets()
        .record_state(&store, "g", 2, Some(1))
        .unwrap();
    broker.group("g").delete().unwrap();
    assert_eq!(names(&store), ["other"]);
    drop(store);
    broker.close().unwrap();
    let broker = open(&disk);
    let store = state(&broker);
    assert_eq!(names(&store), ["other"]);
    assert_eq!(fetch(&store, "g", 0), None);
    assert_eq!(store.offsets().generation(&store, "g").unwrap(), 0);
    assert_eq!(fetch(&store, "other", 0), Some(3));
}

#[test]
fn offsets_of_one_topic_are_deleted_alone_and_the_last_ones_end_the_group() {
    let broker = broker_with_groups(&SimDisk::new());
    let group = broker.group("g");
    group.delete_offsets("t").unwrap();
    let rest = [(TopicPartition::new("u", 0), 0)];
    assert_eq!(group.export().unwrap(), rest);
    group.delete_offsets("t").unwrap();
    group.delete_offsets("never was").unwrap();
    group.delete_offsets("u").unwrap();
    assert_eq!(names(&state(&broker)), ["other"]);
    let again = group.delete_offsets("u");
    assert!(matches!(again, Err(Error::UnknownGroup { group }) if group == "g"));
}

#[test]
fn a_group_that_does_not_exist_is_not_deleted() {
    let broker = broker_on(&SimDisk::new());
    for _ in 0..2 {
        let group = broker.group("nobody");
        assert!(matches!(group.delete(), Err(Error::UnknownGroup { .. })));
        assert!(matches!(
            group.delete_offsets("t"),
            Err(Error::UnknownGroup { .. })
        ));
        // The second time with an offsets topic.
        broker.group("g").commit_offsets(&[(id(0), 1)]).unwrap();
    }
}

#[test]
fn a_group_with_a_member_is_left_alone() {
    let broker = broker_with_groups(&SimDisk::new());
    let group = broker.group("g");
    let before = group.export().unwrap();
    let consumer = group.join(["t"]).unwrap();
    let refused = [
        group.delete(),
        group.delete_offsets("u"),
        group.commit_offsets(&[(id(0), 0)]),
        group.reset_offsets("t", Position::Earliest).map(drop),
        group
            .reset_partitions(&[id(0)], Position::Earliest)
            .map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(&refused, Err(Error::GroupNotEmpty { group, members: 1 }) if group == "g"),
            "{refused:?}"
        );
    }
    assert_eq!(group.export().unwrap(), before);
    drop(consumer);
    group.delete().unwrap();
}

#[test]
fn damaged_offsets_are_neither_deleted_nor_overwritten() {
    let disk = SimDisk::new();
    broker_with_groups(&disk).close().unwrap();
    damage_home(&disk, "g");
    let broker = open(&disk);
    let group = broker.group("g");
    let refused = [
        group.delete(),
        group.delete_offsets("t"),
        group.commit_offsets(&[(id(0), 0)]),
        group.reset_offsets("t", Position::Earliest).map(drop),
        group.plan_reset("t", Position::Earliest).map(drop),
        group.describe().map(drop),
        group.export().map(drop),
        broker.groups().map(drop),
    ];
    for (call, refused) in refused.iter().enumerate() {
        assert!(
            matches!(refused, Err(Error::Corrupt { .. })),
            "{call}: {refused:?}"
        );
    }
    assert_eq!(broker.group("other").export().unwrap(), [(id(0), 3)]);
}

#[test]
fn who_starts_a_deleted_group_again_starts_by_the_reset_policy() {
    let broker = broker_with_groups(&SimDisk::new());
    broker.group("g").delete().unwrap();
    let builder = broker.consumer().group("g");
    let mut consumer = builder
        .auto_offset_reset(Position::Earliest)
        .build()
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.position(&id(0)).unwrap(), 0);
}
