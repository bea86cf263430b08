//! Committed offsets against restarts, damage, and logs that lost their end.

use super::*;
use crate::group::offsets::ClampedOffset;
use crate::{Error, Position};

#[test]
fn everything_committed_is_there_after_a_restart() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    let committed = OffsetAndMetadata {
        leader_epoch: 4,
        metadata: "a note".to_owned(),
        ..OffsetAndMetadata::at(3)
    };
    commit(&state(&broker), "g", 0, committed.clone());
    commit(&state(&broker), "other", 1, OffsetAndMetadata::at(0));
    broker.close().unwrap();
    let broker = state(&open(&disk));
    let found = broker.offsets().fetch(&broker, "g", &id(0));
    let found = found.unwrap().unwrap();
    assert!(found.commit_timestamp > 0);
    let expected = OffsetAndMetadata {
        commit_timestamp: found.commit_timestamp,
        ..committed
    };
    assert_eq!(found, expected);
    assert_eq!(names(&broker), ["g", "other"]);
    assert_eq!(
        broker
            .offsets()
            .highest_partition(&broker, "other", "t")
            .unwrap(),
        Some(1)
    );
    assert_eq!(
        broker
            .offsets()
            .highest_partition(&broker, "other", "u")
            .unwrap(),
        None
    );
}

#[test]
fn looking_makes_no_offsets_topic() {
    let broker = state(&broker_on(&SimDisk::new()));
    assert_eq!(fetch(&broker, "g", 0), None);
    assert!(names(&broker).is_empty());
    assert!(broker.topic(CONSUMER_OFFSETS).is_err());
}

#[test]
fn metadata_has_a_limit() {
    let broker = state(&broker_on(&SimDisk::new()));
    let with = |length: usize| {
        let metadata = "m".repeat(length);
        let committed = OffsetAndMetadata {
            metadata,
            ..OffsetAndMetadata::at(1)
        };
        broker.offsets().commit(
            &broker,
            "g",
            &[(id(0), committed)],
            DataSync::First,
            |write| write(),
        )
    };
    with(4096).unwrap();
    assert!(matches!(with(4097), Err(Error::InvalidRecord { .. })));
}

#[test]
fn a_damaged_offsets_log_is_no_reason_to_start_at_the_beginning() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    commit(&state(&broker), "g", 0, OffsetAndMetadata::at(3));
    broker.close().unwrap();
    damage_home(&disk, "g");
    let broker = open(&disk);
    let mut consumer = broker
        .consumer()
        .group("g")
        .auto_offset_reset(Position::Earliest)
        .build()
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    for _ in 0..2 {
        let poll = consumer.poll(std::time::Duration::ZERO);
        assert!(matches!(poll, Err(Error::Corrupt { .. })), "{poll:?}");
    }
}

#[test]
fn recovery_clamps_what_is_beyond_the_end_and_forgets_what_is_gone_once() {
    let broker = state(&broker_on(&SimDisk::new()));
    let log = home(&broker, "g");
    write(
        &log,
        &[
            (key("g", "t"), Some(value(9))),
            (key("g", "gone"), Some(value(1))),
        ],
    );
    commit(&broker, "fine", 0, OffsetAndMetadata::at(5));
    let (mut clamped, failed) = broker.offsets().recover(&broker);
    clamped.sort_by_key(|clamped| clamped.from);
    let what = |topic: &str, from, to| {
        let partition = TopicPartition::new(topic, 0);
        ClampedOffset {
            group: "g".to_owned(),
            partition,
            from,
            to,
        }
    };
    assert_eq!(clamped, [what("gone", 1, None), what("t", 9, Some(5))]);
    assert!(failed.is_empty());
    assert_eq!(fetch(&broker, "g", 0), Some(5));
    assert_eq!(
        broker.offsets().recover(&broker).0,
        [],
        "a second time finds nothing"
    );
}

#[test]
fn an_offset_of_an_epoch_that_lost_its_end_is_not_matched_with_other_records() {
    let disk = SimDisk::recording();
    let broker = broker_on(&disk);
    let crashed = disk.duplicate();
    let reopened = open(&crashed);
    let partition = reopened.topic("t").unwrap().partition(0).unwrap();
    partition
        .append(&[(); 5].map(|()| Record::value_only("v")))
        .unwrap();
    // Offsets 0 to 4 are of the epoch before the crash, 5 to 9 of the one after it.
    let mut reader = partition.reader(Position::Offset(4)).unwrap();
    let before = reader.next().unwrap().unwrap().leader_epoch();
    let after = reader.next().unwrap().unwrap().leader_epoch();
    assert!(before < after);
    let lost = OffsetAndMetadata {
        leader_epoch: before,
        ..OffsetAndMetadata::at(7)
    };
    commit(&state(&reopened), "g", 0, lost);

    let consumer = || reopened.consumer().group("g").auto_commit(None);
    let first = |builder: crate::ConsumerBuilder| {
        let mut consumer = builder.build()?;
        consumer.assign(&[id(0)])?;
        consumer.poll(std::time::Duration::ZERO)?;
        consumer.position(&id(0))
    };
    let strict = first(consumer().no_auto_offset_reset());
    assert!(
        matches!(
            strict,
            Err(Error::LogTruncated {
                offset: 7,
                end: 5,
                ..
            })
        ),
        "{strict:?}"
    );
    assert_eq!(
        first(consumer().auto_offset_reset(Position::Latest)).unwrap(),
        10
    );
    let mut earliest = consumer()
        .auto_offset_reset(Position::Earliest)
        .build()
        .unwrap();
    earliest.assign(&[id(0)]).unwrap();
    assert_eq!(earliest.position(&id(0)).unwrap(), 0);

    let good = OffsetAndMetadata {
        leader_epoch: after,
        ..OffsetAndMetadata::at(7)
    };
    commit(&state(&reopened), "g", 0, good);
    assert_eq!(earliest.position(&id(0)).unwrap(), 7);
    drop(broker);
}
