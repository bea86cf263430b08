//! What the tests of faults and damage share: records that are known by their offset, and a reader
//! that compares every record it is given with what was written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, BrokerBuilder, Error, ManualClock, Offset, Partition, Position, Record, Result,
    TopicConfig,
};

pub const DIR: &str = "data";
/// Where clocks start.
pub const START: i64 = 1_700_000_000_000;

/// Opens a broker that does nothing by itself.
pub fn open(disk: &SimDisk) -> Result<Broker> {
    open_at(disk, &ManualClock::new(START))
}

pub fn open_at(disk: &SimDisk, clock: &ManualClock) -> Result<Broker> {
    builder(disk, clock).open()
}

/// As [`open`], with a waypoint at every sync.
pub fn open_with_waypoints(disk: &SimDisk) -> Result<Broker> {
    let clock = ManualClock::new(START);
    builder(disk, &clock).waypoint_interval(1).open()
}

fn builder(disk: &SimDisk, clock: &ManualClock) -> BrokerBuilder {
    Broker::builder(DIR)
        .storage(disk.clone())
        .clock(clock.clone())
        .background(false)
        .offsets_topic_partitions(3)
        .seed(7)
}

pub fn partition(broker: &Broker, topic: &str, number: u32) -> Partition {
    broker
        .topic(topic)
        .and_then(|topic| topic.partition(number))
        .expect("the partition is there")
}

/// A file of a partition: `log_file("t-0", 12)` is `data/t-0/00000000000000000012.log`.
pub fn log_file(partition: &str, base: Offset) -> PathBuf {
    segment_file(partition, base, "log")
}

pub fn segment_file(partition: &str, base: Offset, suffix: &str) -> PathBuf {
    Path::new(DIR)
        .join(partition)
        .join(format!("{base:020}.{suffix}"))
}

/// Segments of some batches each, an index entry for every second batch or so.
pub fn small_segments() -> TopicConfig {
    TopicConfig::default()
        .segment_bytes(1500)
        .index_interval_bytes(150)
        .flush_ms(Some(Duration::from_secs(1)))
}

/// What the record at an offset holds. Timestamps repeat, and now and then go back.
pub struct Content {
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub header: String,
    pub timestamp: i64,
}

pub fn content(salt: u64, offset: Offset) -> Content {
    let mixed = (offset + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(salt.wrapping_mul(0xd129_0d3a_9c5a_d3f1));
    let length = usize::try_from(mixed >> 59).expect("five bits");
    let back = [0, 0, 0, 7, 0, 31][usize::try_from(mixed % 6).expect("small")];
    Content {
        key: (!offset.is_multiple_of(5)).then(|| format!("key-{}", mixed % 7)),
        value: mixed
            .to_be_bytes()
            .into_iter()
            .cycle()
            .take(length)
            .collect(),
        header: format!("{salt}/{offset}"),
        timestamp: timestamp_floor(offset) - back,
    }
}

fn timestamp_floor(offset: Offset) -> i64 {
    START + i64::try_from(offset / 3).expect("small") * 10
}

/// What a partition holds that was filled by [`append`].
pub struct Model(Vec<Content>);

impl Model {
    pub fn new(salt: u64, end: Offset) -> Self {
        Self((0..end).map(|offset| content(salt, offset)).collect())
    }

    pub fn end(&self) -> Offset {
        self.0.len() as u64
    }

    fn at(&self, offset: Offset) -> &Content {
        let index = usize::try_from(offset).expect("small");
        self.0
            .get(index)
            .unwrap_or_else(|| panic!("record {offset} was never written"))
    }

    /// The first offset of a range whose record is of this time or later.
    fn look_up(&self, start: Offset, end: Offset, time: i64) -> Option<Offset> {
        (start..end).find(|offset| self.at(*offset).timestamp >= time)
    }
}

/// Appends one batch with the records that belong at the partition's end.
pub fn append(partition: &Partition, salt: u64, count: u64) -> Result<Offset> {
    append_at(partition, salt, partition.high_watermark(), count)
}

/// Appends one batch with the records that belong at these offsets.
pub fn append_at(partition: &Partition, salt: u64, first: Offset, count: u64) -> Result<Offset> {
    let contents: Vec<_> = (first..first + count)
        .map(|offset| content(salt, offset))
        .collect();
    let records: Vec<_> = contents
        .iter()
        .map(|content| {
            let record = Record::value_only(&content.value)
                .header("is", &content.header)
                .timestamp(content.timestamp);
            match &content.key {
                Some(key) => record.key(key),
                None => record,
            }
        })
        .collect();
    partition.append(&records)
}

/// What a partition gave to somebody who asked for everything.
#[derive(Debug, Default)]
pub struct Seen {
    /// Offsets of records that a reader handed out who read from the start, and sought past errors.
    pub in_order: BTreeSet<Offset>,
    /// Offsets of records that were handed out to who sought them.
    pub by_seek: BTreeSet<Offset>,
    pub errors: Vec<Error>,
    /// Where the sequential reader came to the end.
    pub end: Offset,
}

impl Seen {
    /// Every record of the range is there, both ways.
    pub fn has(&self, mut offsets: std::ops::Range<Offset>) -> bool {
        offsets.all(|offset| self.in_order.contains(&offset) && self.by_seek.contains(&offset))
    }

    pub fn missing(&self, offsets: std::ops::Range<Offset>) -> Vec<Offset> {
        offsets
            .filter(|offset| !self.in_order.contains(offset) || !self.by_seek.contains(offset))
            .collect()
    }
}

/// Reads a partition in every way: from the start, by each offset, by each timestamp.
///
/// # Panics
/// If a record is not what was written at its offset, if one is skipped without an error, or if a
/// look-up by timestamp gives a wrong answer.
pub fn read_all(partition: &Partition, model: &Model) -> Seen {
    let mut seen = Seen::default();
    read_in_order(partition, model, &mut seen);
    for offset in partition.log_start_offset()..partition.high_watermark() {
        read_at(partition, model, offset, &mut seen);
    }
    look_up_timestamps(partition, model, &mut seen);
    seen
}

fn read_in_order(partition: &Partition, model: &Model, seen: &mut Seen) {
    let mut reader = partition
        .reader(Position::Earliest)
        .expect("a reader starts at the earliest offset");
    loop {
        let position = reader.position();
        match reader.next() {
            Ok(Some(record)) => {
                assert_eq!(record.offset(), position, "a record was skipped silently");
                check(&record, model);
                seen.in_order.insert(position);
            }
            Ok(None) => break,
            Err(error) => {
                assert_eq!(reader.position(), position, "an error moved the reader");
                let past = past_damage(&error).filter(|past| *past > position);
                seen.errors.push(error);
                if position >= partition.high_watermark() {
                    break;
                }
                reader
                    .seek(Position::Offset(past.unwrap_or(position + 1)))
                    .expect("any offset can be sought");
            }
        }
    }
    seen.end = reader.position();
}

/// Where an error says that reading can go on.
pub fn past_damage(error: &Error) -> Option<Offset> {
    match error {
        Error::Corrupt { offsets, .. } | Error::MissingSegment { offsets, .. } => {
            offsets.as_ref().map(|offsets| offsets.end)
        }
        _ => None,
    }
}

fn read_at(partition: &Partition, model: &Model, offset: Offset, seen: &mut Seen) {
    let mut reader = partition
        .reader(Position::Offset(offset))
        .expect("a reader starts at any offset");
    match reader.next() {
        Ok(Some(record)) => {
            assert_eq!(record.offset(), offset, "sought {offset}");
            check(&record, model);
            seen.by_seek.insert(offset);
        }
        Ok(None) => panic!("nothing at offset {offset}, below the end"),
        Err(error) => seen.errors.push(error),
    }
}

/// Every answer is right for the records below the partition's end.
fn look_up_timestamps(partition: &Partition, model: &Model, seen: &mut Seen) {
    let start = partition.log_start_offset();
    let end = partition.high_watermark().min(model.end());
    let times: BTreeSet<i64> = (start..end)
        .flat_map(|offset| [model.at(offset).timestamp, model.at(offset).timestamp + 1])
        .collect();
    for time in times {
        match partition.offset_for_timestamp(time) {
            Ok(found) => assert_eq!(found, model.look_up(start, end, time), "timestamp {time}"),
            Err(error) => seen.errors.push(error),
        }
    }
}

fn check(record: &streamlog::ConsumerRecord<'_>, model: &Model) {
    let wanted = model.at(record.offset());
    let mut headers = record.headers();
    let header = headers.next().expect("a header");
    assert_eq!(header.key(), "is");
    assert_eq!(header.value(), Some(wanted.header.as_bytes()));
    assert!(headers.next().is_none());
    assert_eq!(record.key(), wanted.key.as_deref().map(str::as_bytes));
    assert_eq!(record.value(), Some(&wanted.value[..]));
    assert_eq!(record.timestamp(), wanted.timestamp);
}

/// Opening once more reports nothing new and changes no byte.
pub fn assert_settled(disk: &SimDisk) {
    let first = open(disk).expect("it opened before");
    let damage = damage_lines(&first);
    first.close().expect("closes");
    let before = disk.image();
    let again = open(disk).expect("it opened before");
    let report = again.recovery_report().clone();
    assert_eq!(
        damage_lines(&again),
        damage,
        "damage is reported again, and no other"
    );
    for (id, partition) in &report.partitions {
        assert_eq!(partition.truncated_bytes, 0, "{id}: {partition:?}");
        assert!(partition.set_aside.is_none(), "{id}: {partition:?}");
        assert!(partition.rebuilt.is_empty(), "{id}: {partition:?}");
    }
    again.close().expect("closes");
    let after = disk.image();
    for (path, _) in before.files().into_iter().chain(after.files()) {
        if path != Path::new(DIR).join("durable-ends") {
            assert!(
                before.read(&path) == after.read(&path),
                "{} changed",
                path.display()
            );
        }
    }
}

fn damage_lines(broker: &Broker) -> Vec<String> {
    let partitions = &broker.recovery_report().partitions;
    partitions
        .iter()
        .flat_map(|(id, partition)| {
            partition
                .damage
                .iter()
                .map(move |line| format!("{id}: {line}"))
        })
        .collect()
}
