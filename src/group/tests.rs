//! Committed offsets against restarts, crashes, damage, and records that Kafka wrote.

use std::sync::Arc;

use super::offsets::{CONSUMER_OFFSETS, ClampedOffset, OffsetAndMetadata};
use crate::broker::BrokerState;
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::format::control::{MarkerKind, marker};
use crate::format::offsets_record::{OffsetKey, OffsetValue, encode_group_key, partition_for};
use crate::partition::PartitionState;
use crate::record::Headers;
use crate::sim::{CrashPlan, SimDisk};
use crate::{Broker, Durability, Error, Position, Record, TopicConfig, TopicPartition};

fn open(disk: &SimDisk) -> Broker {
    Broker::builder("data")
        .storage(disk.clone())
        .background(false)
        .open()
        .unwrap()
}

/// A broker with a topic `t` of two partitions, five records in the first.
fn broker_on(disk: &SimDisk) -> Broker {
    let broker = open(disk);
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    broker
        .topic("t")
        .unwrap()
        .partition(0)
        .unwrap()
        .append(&[(); 5].map(|()| Record::value_only("v")))
        .unwrap();
    broker
}

fn state(broker: &Broker) -> Arc<BrokerState> {
    broker.consumer().build().unwrap().broker().clone()
}

fn id(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn commit(broker: &BrokerState, group: &str, number: u32, committed: OffsetAndMetadata) {
    broker
        .offsets()
        .commit(broker, group, &[(id(number), committed)])
        .unwrap();
}

fn fetch(broker: &BrokerState, group: &str, number: u32) -> Option<u64> {
    let committed = broker.offsets().fetch(broker, group, &id(number)).unwrap();
    committed.map(|committed| committed.offset)
}

#[test]
fn everything_committed_is_there_after_a_restart() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    let committed = OffsetAndMetadata {
        offset: 3,
        leader_epoch: 4,
        metadata: "a note".to_owned(),
    };
    commit(&state(&broker), "g", 0, committed.clone());
    commit(&state(&broker), "other", 1, OffsetAndMetadata::at(0));
    broker.close().unwrap();
    let broker = state(&open(&disk));
    assert_eq!(
        broker.offsets().fetch(&broker, "g", &id(0)).unwrap(),
        Some(committed)
    );
    assert_eq!(broker.offsets().groups(&broker).unwrap(), ["g", "other"]);
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
    assert!(broker.offsets().groups(&broker).unwrap().is_empty());
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
        broker.offsets().commit(&broker, "g", &[(id(0), committed)])
    };
    with(4096).unwrap();
    assert!(matches!(with(4097), Err(Error::InvalidRecord { .. })));
}

/// The log that a group lives in.
fn home(broker: &BrokerState, group: &str) -> Arc<PartitionState> {
    let topic = broker
        .internal_topic(CONSUMER_OFFSETS, &TopicConfig::default().partitions(50))
        .unwrap();
    let number = usize::try_from(partition_for(group, 50)).unwrap();
    topic.partitions.load()[number].clone()
}

fn key(group: &str, topic: &str) -> Vec<u8> {
    OffsetKey {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition: 0,
    }
    .encode()
    .unwrap()
}

fn value(offset: u64) -> Vec<u8> {
    let metadata = String::new();
    OffsetValue {
        offset,
        leader_epoch: -1,
        metadata,
        commit_timestamp: 0,
    }
    .encode()
    .unwrap()
}

/// Appends records as Kafka would have.
fn write(log: &Arc<PartitionState>, records: &[(Vec<u8>, Option<Vec<u8>>)]) {
    let mut batch = BatchBuilder::new(1024, Compression::None);
    for (key, value) in records {
        batch.push(0, Some(key), value.as_deref(), &Headers::default());
    }
    log.append(
        batch.finish(ProducerStamp::NONE, false).unwrap(),
        Durability::Written,
    )
    .unwrap();
}

#[test]
fn the_last_record_of_a_key_wins_and_a_tombstone_removes() {
    let broker = state(&broker_on(&SimDisk::new()));
    let log = home(&broker, "g");
    write(
        &log,
        &[
            (key("g", "t"), Some(value(1))),
            (key("g", "u"), Some(value(9))),
        ],
    );
    write(
        &log,
        &[(
            encode_group_key("g").unwrap(),
            Some(b"a group's state".to_vec()),
        )],
    );
    write(
        &log,
        &[(key("g", "t"), Some(value(2))), (key("g", "u"), None)],
    );
    assert_eq!(fetch(&broker, "g", 0), Some(2));
    let gone = broker
        .offsets()
        .fetch(&broker, "g", &TopicPartition::new("u", 0));
    assert_eq!(gone.unwrap(), None);
}

#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    let broker = state(&broker_on(&SimDisk::new()));
    let log = home(&broker, "g");
    write(&log, &[(key("g", "t"), Some(value(1)))]);
    for (producer, topic) in [(7, "t"), (8, "aborted"), (9, "open")] {
        let stamp = ProducerStamp {
            producer_id: producer,
            producer_epoch: 0,
            base_sequence: 0,
        };
        let mut batch = BatchBuilder::new(1024, Compression::None);
        batch.push(
            0,
            Some(&key("g", topic)),
            Some(&value(4)),
            &Headers::default(),
        );
        log.append(batch.finish(stamp, true).unwrap(), Durability::Written)
            .unwrap();
    }
    log.append(
        &mut marker(MarkerKind::Commit, 7, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    log.append(
        &mut marker(MarkerKind::Abort, 8, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    assert_eq!(fetch(&broker, "g", 0), Some(4));
    for topic in ["aborted", "open"] {
        let partition = TopicPartition::new(topic, 0);
        assert_eq!(
            broker.offsets().fetch(&broker, "g", &partition).unwrap(),
            None,
            "{topic}"
        );
    }
}

#[test]
fn records_that_break_the_schema_fail_their_groups_and_no_others() {
    let broker = state(&broker_on(&SimDisk::new()));
    commit(&broker, "other", 0, OffsetAndMetadata::at(2));
    assert_ne!(partition_for("g", 50), partition_for("other", 50));
    let log = home(&broker, "g");
    write(&log, &[(key("g", "t"), Some(value(1)))]);
    write(&log, &[(key("g", "t"), Some(b"\0\x03short".to_vec()))]);
    let offsets = broker.offsets();
    for _ in 0..2 {
        assert!(matches!(
            offsets.fetch(&broker, "g", &id(0)),
            Err(Error::Corrupt { .. })
        ));
        let refused = offsets.commit(&broker, "g", &[(id(0), OffsetAndMetadata::at(1))]);
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
    }
    assert_eq!(fetch(&broker, "other", 0), Some(2));
}

#[test]
fn a_damaged_offsets_log_is_no_reason_to_start_at_the_beginning() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    commit(&state(&broker), "g", 0, OffsetAndMetadata::at(3));
    broker.close().unwrap();
    let number = partition_for("g", 50);
    let path = format!("data/{CONSUMER_OFFSETS}-{number}/00000000000000000000.log");
    let mut bytes = disk.read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    disk.write(&path, bytes).unwrap();
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

/// Commits after each of five records; returns, for each commit, when it was acknowledged.
fn commit_one_by_one(disk: &SimDisk, durability: Durability) -> Vec<usize> {
    let builder = Broker::builder("data")
        .storage(disk.clone())
        .background(false);
    let broker = builder.durability(durability).open().unwrap();
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let mut consumer = broker
        .consumer()
        .group("g")
        .auto_offset_reset(Position::Earliest)
        .build()
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        partition.append(&[Record::value_only("v")]).unwrap();
        assert_eq!(consumer.poll(std::time::Duration::ZERO).unwrap().len(), 1);
        consumer.commit().unwrap();
        acknowledged.push(disk.mark("committed"));
    }
    // No orderly end.
    std::mem::forget((broker, partition, consumer));
    acknowledged
}

#[test]
fn a_durable_commit_survives_any_crash_and_never_passes_its_data() {
    let disk = SimDisk::recording();
    let acknowledged = commit_one_by_one(&disk, Durability::Synced);
    for at in acknowledged[0]..=*acknowledged.last().unwrap() {
        let least = acknowledged.iter().filter(|&&moment| moment <= at).count();
        for crash in disk.crash_states(at, CrashPlan::new(17)) {
            let broker = state(&open(&crash.disk));
            let committed = fetch(&broker, "g", 0).unwrap_or(0);
            let end = broker.topic("t").unwrap().partitions.load()[0].high_watermark();
            assert!(
                committed >= u64::try_from(least).unwrap(),
                "at {at}: {}",
                crash.description
            );
            assert!(committed <= end, "at {at}: {}", crash.description);
        }
    }
}

#[test]
fn after_any_crash_a_group_goes_on_inside_the_log_and_misses_nothing() {
    let disk = SimDisk::recording();
    let acknowledged = commit_one_by_one(&disk, Durability::Written);
    let at = *acknowledged.last().unwrap();
    for crash in disk.crash_states(at, CrashPlan::new(23).random_subsets(60)) {
        let broker = open(&crash.disk);
        let Ok(topic) = broker.topic("t") else {
            continue;
        };
        let end = topic.partition(0).unwrap().high_watermark();
        let committed = fetch(&state(&broker), "g", 0).unwrap_or(0);
        assert!(
            committed <= end,
            "{}: {committed} of {end}",
            crash.description
        );
        let mut consumer = broker
            .consumer()
            .group("g")
            .auto_offset_reset(Position::Earliest)
            .build()
            .unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(
            consumer.position(&id(0)).unwrap(),
            committed,
            "{}",
            crash.description
        );
        let records = consumer.poll(std::time::Duration::ZERO).unwrap();
        assert_eq!(
            u64::try_from(records.len()).unwrap(),
            end - committed,
            "{}",
            crash.description
        );
    }
}
