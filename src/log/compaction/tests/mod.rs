//! Passes over small logs, against what should be left.

mod aborted;
mod beside;
mod crashes;
mod meanwhile;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compacted, CompactionRequest, Pace};
use crate::bell::Bell;
use crate::broker::BrokerState;
use crate::config::{CleanupPolicy, Durability};
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::format::control::{MarkerKind, marker};
use crate::format::random::Random;
use crate::log::Cursor;
use crate::partition::PartitionState;
use crate::record::{Headers, Offset, Timestamp};
use crate::sim::SimDisk;
use crate::{Broker, Error, ManualClock, Position, Reader, TopicConfig};

const DAY: Timestamp = 86_400_000;
const PLENTY: usize = 1 << 20;

fn config() -> TopicConfig {
    TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(600)
        .min_cleanable_dirty_ratio(0.0)
}

struct Fixture {
    disk: SimDisk,
    broker: Broker,
    log: Arc<PartitionState>,
}

impl Fixture {
    fn new(config: TopicConfig) -> Self {
        Self::on(SimDisk::new(), config)
    }

    fn on(disk: SimDisk, config: TopicConfig) -> Self {
        let broker = open(&disk);
        broker.create_topic("t", config).unwrap();
        let log = log_of(&broker);
        Self { disk, broker, log }
    }

    fn reopened(self) -> Self {
        let Self { disk, broker, log } = self;
        drop(log);
        broker.close().unwrap();
        let broker = open(&disk);
        assert!(broker.recovery_report().clean_shutdown);
        assert!(
            broker.recovery_report().partitions.is_empty(),
            "{:?}",
            broker.recovery_report().partitions
        );
        let log = log_of(&broker);
        Self { disk, broker, log }
    }

    /// One batch of these keys; a value that is `None` deletes.
    fn put(&self, records: &[(&str, Option<&str>)]) {
        self.put_as(records, ProducerStamp::NONE, false, Compression::None);
    }

    fn put_as(
        &self,
        records: &[(&str, Option<&str>)],
        stamp: ProducerStamp,
        transactional: bool,
        codec: Compression,
    ) {
        let mut batch = BatchBuilder::new(100, codec);
        for (key, value) in records {
            let (key, value) = (key.as_bytes(), value.map(str::as_bytes));
            batch.push(1000, Some(key), value, &Headers::default());
        }
        let batch = batch.finish(stamp, transactional).unwrap();
        self.log.append(batch, Durability::Written).unwrap();
    }

    fn end_transaction(&self, kind: MarkerKind, producer: i64) {
        let mut marker = marker(kind, producer, 0, 0, 1000);
        self.log.append(&mut marker, Durability::Written).unwrap();
    }

    fn roll(&self) {
        self.log.begin_segment().unwrap();
    }

    fn compact_at(&self, now: Timestamp, memory: usize) -> Option<Compacted> {
        self.try_compact(now, memory).unwrap()
    }

    fn try_compact(&self, now: Timestamp, memory: usize) -> Result<Option<Compacted>, Error> {
        self.log.log().compact(&CompactionRequest {
            config: &self.log.config(),
            now,
            memory,
            hash_key: (1, 2),
            bell: &Bell::default(),
            pace: &Pace::new(None),
        })
    }

    /// Offset, key and value of all records.
    fn records(&self) -> Vec<(Offset, String, Option<String>)> {
        let partition = self.broker.topic("t").unwrap().partition(0).unwrap();
        rest_of(&mut partition.reader(Position::Earliest).unwrap())
    }

    /// Base offset and number of records of all batches.
    fn batches(&self) -> Vec<(Offset, u32)> {
        let mut cursor = Cursor::at(0);
        let mut batches = Vec::new();
        while let Some(batch) = self.log.fetch(&mut cursor).unwrap() {
            batches.push((batch.header.base_offset, batch.header.records_count));
        }
        batches
    }
}

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder("data").storage(disk.clone());
    // As old as the records are, so that their producers are known.
    let builder = builder.clock(ManualClock::new(1000));
    builder.background(false).open().unwrap()
}

fn state(broker: &Broker) -> Arc<BrokerState> {
    broker.consumer().build().unwrap().broker().clone()
}

fn log_of(broker: &Broker) -> Arc<PartitionState> {
    let topic = state(broker).topic("t").unwrap();
    Arc::clone(&topic.partitions.load()[0])
}

fn rest_of(reader: &mut Reader) -> Vec<(Offset, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let (key, value) = (record.key().unwrap(), record.value());
        records.push((record.offset(), text(key), value.map(text)));
    }
    records
}

fn record(offset: Offset, key: &str, value: &str) -> (Offset, String, Option<String>) {
    (offset, key.to_owned(), Some(value.to_owned()))
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let fixture = Fixture::new(config());
    fixture.put(&[("a", Some("1")), ("b", Some("1"))]);
    fixture.put(&[("a", Some("2"))]);
    fixture.roll();
    fixture.put(&[("c", Some("1")), ("a", Some("3"))]);
    fixture.roll();
    fixture.put(&[("b", Some("active"))]);
    let compacted = fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(
        (compacted.segments_before, compacted.segments_after),
        (2, 1)
    );
    assert_eq!(compacted.records, 3);
    let left = [
        record(1, "b", "1"),
        record(3, "c", "1"),
        record(4, "a", "3"),
        record(5, "b", "active"),
    ];
    assert_eq!(fixture.records(), left);
    assert_eq!(fixture.compact_at(0, PLENTY), None, "it is clean");
    let fixture = fixture.reopened();
    assert_eq!(fixture.records(), left);
    assert_eq!(fixture.compact_at(0, PLENTY), None, "it still is");
    fixture.roll();
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.records(), left[1..]);
}

#[test]
fn a_log_without_anything_left_but_its_end_goes_on_there() {
    let fixture = Fixture::new(config());
    fixture.put(&[("a", Some("1"))]);
    fixture.put(&[("a", None)]);
    fixture.roll();
    fixture.compact_at(0, PLENTY).unwrap();
    fixture.put(&[("b", Some("1"))]);
    fixture.roll();
    fixture.compact_at(2 * DAY, PLENTY).unwrap();
    assert_eq!(fixture.records(), [record(2, "b", "1")]);
    fixture.put(&[("b", None)]);
    fixture.roll();
    fixture.compact_at(2 * DAY, PLENTY).unwrap();
    fixture.put(&[("x", None)]);
    fixture.roll();
    fixture.compact_at(4 * DAY, PLENTY).unwrap();
    let fixture = fixture.reopened();
    let partition = fixture.broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.high_watermark(), 5);
    assert_eq!(fixture.records(), [(4, "x".to_owned(), None)]);
}

#[test]
fn a_tombstone_stays_for_its_time_after_the_first_pass_that_met_it() {
    let fixture = Fixture::new(config());
    fixture.put(&[("a", Some("1")), ("b", Some("1"))]);
    fixture.put(&[("a", None)]);
    fixture.roll();
    let tombstone = (2, "a".to_owned(), None);
    let mut left = vec![record(1, "b", "1"), tombstone];
    fixture.compact_at(1000, PLENTY).unwrap();
    assert_eq!(fixture.records(), left);
    for (now, stays) in [(DAY + 999, true), (DAY + 1000, false)] {
        fixture.put(&[("c", Some("1"))]);
        fixture.roll();
        fixture.compact_at(now, PLENTY).unwrap();
        let offset = left.last().unwrap().0 + 1;
        left.retain(|(_, key, _)| key != "c" && (stays || key != "a"));
        left.push(record(offset, "c", "1"));
        assert_eq!(fixture.records(), left);
    }
}

#[test]
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let fixture = Fixture::new(config());
    let stamp = |base_sequence| ProducerStamp {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence,
    };
    let put = |key, sequence| {
        fixture.put_as(
            &[(key, Some("v"))],
            stamp(sequence),
            false,
            Compression::None,
        );
    };
    put("a", 0);
    put("a", 1);
    fixture.put(&[("a", Some("other"))]);
    fixture.roll();
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.batches(), [(1, 0), (2, 1)]);
    // Also if the log is all that is left to tell.
    let fixture = fixture.reopened();
    let mut batch = BatchBuilder::new(100, Compression::None);
    batch.push(1000, Some(b"a"), None, &Headers::default());
    let batch = batch.finish(stamp(5), false).unwrap();
    let refused = fixture.log.append(batch, Durability::Written);
    assert!(
        matches!(refused, Err(Error::OutOfOrderSequence { expected: 2, .. })),
        "{refused:?}"
    );
}

#[test]
fn aborted_records_supersede_nothing_and_go() {
    let fixture = Fixture::new(config());
    let stamp = |producer_id, base_sequence| ProducerStamp {
        producer_id,
        producer_epoch: 0,
        base_sequence,
    };
    fixture.put(&[("a", Some("kept")), ("b", Some("old"))]);
    fixture.put_as(
        &[("a", Some("aborted"))],
        stamp(7, 0),
        true,
        Compression::None,
    );
    fixture.put_as(
        &[("b", Some("committed"))],
        stamp(8, 0),
        true,
        Compression::None,
    );
    fixture.end_transaction(MarkerKind::Abort, 7);
    fixture.roll();
    assert_eq!(fixture.compact_at(0, PLENTY), None, "a transaction is open");
    fixture.end_transaction(MarkerKind::Commit, 8);
    fixture.roll();
    fixture.compact_at(0, PLENTY).unwrap();
    let left = [record(0, "a", "kept"), record(3, "b", "committed")];
    assert_eq!(fixture.records(), left);
    // The header of 7's last batch, and both markers.
    assert_eq!(fixture.batches(), [(0, 1), (2, 0), (3, 1), (4, 1), (5, 1)]);
    // The marker of 7 may go a day later, and 8's only when its record is gone.
    fixture.put(&[("c", Some("1"))]);
    fixture.roll();
    fixture.compact_at(DAY, PLENTY).unwrap();
    assert_eq!(fixture.batches(), [(0, 1), (2, 0), (3, 1), (5, 1), (6, 1)]);
}

#[test]
fn a_full_map_ends_a_pass_and_the_next_goes_on() {
    let fixture = Fixture::new(config());
    for round in 0..3 {
        for key in 0..40 {
            let (key, value) = (format!("k{key}"), format!("v{round}"));
            fixture.put(&[(&key, Some(&value))]);
        }
    }
    fixture.roll();
    let mut passes = 0;
    while fixture.compact_at(0, 24 * 20).is_some() {
        passes += 1;
        assert!(passes < 100, "it comes to an end");
    }
    assert!(passes > 3, "{passes} passes for 40 keys with room for 18");
    let records = fixture.records();
    assert_eq!(records.len(), 40);
    assert!(records.iter().all(|(offset, ..)| *offset >= 80));
}

#[test]
fn a_reader_in_a_replaced_segment_goes_on_in_its_successor() {
    let fixture = Fixture::new(config());
    for round in 0..20 {
        let value = format!("v{round}");
        fixture.put(&[("a", Some(&value)), ("b", Some(&value)), ("a", Some("x"))]);
    }
    fixture.roll();
    let partition = fixture.broker.topic("t").unwrap().partition(0).unwrap();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().offset(), 0);
    fixture.compact_at(0, PLENTY).unwrap();
    let rest = rest_of(&mut reader);
    assert!(rest.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(
        rest.ends_with(&[record(58, "b", "v19"), record(59, "a", "x")]),
        "{rest:?}"
    );
    assert_eq!(
        fixture.records(),
        [record(58, "b", "v19"), record(59, "a", "x")]
    );
}

#[test]
fn what_is_too_young_is_left_alone() {
    let fixture = Fixture::new(config().min_compaction_lag_ms(std::time::Duration::from_secs(1)));
    fixture.put(&[("a", Some("1"))]);
    fixture.put(&[("a", Some("2"))]);
    fixture.roll();
    assert_eq!(fixture.compact_at(1999, PLENTY), None);
    assert!(fixture.compact_at(2000, PLENTY).is_some());
    assert_eq!(fixture.records(), [record(1, "a", "2")]);
}

#[test]
fn a_damaged_log_is_set_aside() {
    let fixture = Fixture::new(config());
    for _ in 0..5 {
        fixture.put(&[("a", Some("1"))]);
    }
    fixture.roll();
    let path = std::path::Path::new("data/t-0/00000000000000000000.log");
    crate::disk::Disk::open(&fixture.disk, path, crate::disk::OpenMode::Write)
        .unwrap()
        .write_at(b"x", 150)
        .unwrap();
    let refused = fixture.try_compact(0, PLENTY);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    assert!(fixture.log.log().compaction_failure().is_some());
    assert_eq!(fixture.compact_at(0, PLENTY), None, "it is not tried again");
}

/// Random writes, rolls, passes, clocks and restarts, against a map.
#[test]
fn any_history_of_passes_leaves_the_latest_record_of_each_key() {
    for seed in 0..60 {
        println!("seed {seed}");
        run_history(seed);
    }
}

fn run_history(seed: u64) {
    let mut random = Random::new(seed);
    let mut fixture = Fixture::new(config());
    let (mut now, mut all) = (1000, Vec::new());
    for step in 0..60 {
        match random.below(10) {
            0 => fixture.roll(),
            1 => now += Timestamp::try_from(random.below(2 * 86_400_000)).unwrap(),
            2 | 3 => {
                let memory = 24 * (2 + random.below(40));
                fixture.compact_at(now, memory);
            }
            4 if random.below(4) == 0 => fixture = fixture.reopened(),
            _ => {
                let records: Vec<_> = (0..=random.below(4))
                    .map(|_| {
                        let key = format!("k{}", random.below(8));
                        (key, (random.below(4) > 0).then(|| format!("v{step}")))
                    })
                    .collect();
                let borrowed: Vec<_> = records
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_deref()))
                    .collect();
                let codecs = [Compression::None, Compression::Lz4, Compression::Zstd];
                let codec = codecs[random.below(3)];
                fixture.put_as(&borrowed, ProducerStamp::NONE, false, codec);
                all.extend(records);
            }
        }
        check(&fixture, &all);
    }
}

/// What is there was written at its offset; the latest value of each key is there, and a key whose latest
/// is a tombstone has at most that.
fn check(fixture: &Fixture, all: &[(String, Option<String>)]) {
    let found = fixture.records();
    let mut latest = BTreeMap::new();
    for (offset, (key, value)) in all.iter().enumerate() {
        latest.insert(key, (u64::try_from(offset).unwrap(), value));
    }
    for (offset, key, value) in &found {
        let written = &all[usize::try_from(*offset).unwrap()];
        assert_eq!((key, value), (&written.0, &written.1), "at offset {offset}");
    }
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let mut shown = BTreeMap::new();
    for (offset, key, value) in &found {
        shown.insert(key, (*offset, value));
    }
    for (key, (offset, value)) in latest {
        match (shown.get(key), value) {
            (None, None) => {}
            (found, _) => assert_eq!(found, Some(&(offset, value)), "key {key}"),
        }
    }
}
