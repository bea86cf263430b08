//! When a log goes on in a new segment, what its indexes hold, and finding records over many segments.

use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Offset, Partition, Position, Record, TopicConfig};

use crate::support::{
    self, Model, START, append, log_file, partition, read_all, segment_file, small_segments,
};

const SALT: u64 = 80;

fn topic(disk: &SimDisk, config: TopicConfig) -> (Broker, Partition) {
    let broker = support::open(disk).unwrap();
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    (broker, log)
}

fn bases(disk: &SimDisk) -> Vec<Offset> {
    let files = disk.files();
    let names = files
        .iter()
        .filter_map(|(path, _)| path.to_str()?.strip_prefix("data/t-0/"));
    names
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
        .collect()
}

fn append_timed(log: &Partition, timestamps: &[i64]) -> Offset {
    let records: Vec<_> = timestamps
        .iter()
        .map(|timestamp| Record::value_only("value").timestamp(*timestamp))
        .collect();
    log.append(&records).unwrap()
}

#[test]
fn a_batch_that_does_not_fit_begins_a_segment() {
    let disk = SimDisk::new();
    let (_broker, log) = topic(&disk, TopicConfig::default().segment_bytes(1000));
    // Found out, not assumed: how large a batch is.
    append_timed(&log, &[START]);
    let size = disk.read(log_file("t-0", 0)).unwrap().len();
    let fit = 1000 / size;
    for _ in 1..fit {
        append_timed(&log, &[START]);
    }
    assert_eq!(bases(&disk), [0]);
    append_timed(&log, &[START]);
    assert_eq!(bases(&disk), [0, fit as Offset]);
    assert_eq!(disk.read(log_file("t-0", 0)).unwrap().len(), fit * size);
}

#[test]
fn a_segment_of_exactly_segment_bytes_is_full_and_not_too_large() {
    let probe = SimDisk::new();
    let (_broker, log) = topic(&probe, TopicConfig::default());
    append_timed(&log, &[START]);
    let size = probe.read(log_file("t-0", 0)).unwrap().len() as u64;
    let disk = SimDisk::new();
    let (_broker, log) = topic(&disk, TopicConfig::default().segment_bytes(3 * size));
    for _ in 0..4 {
        append_timed(&log, &[START]);
    }
    assert_eq!(bases(&disk), [0, 3]);
}

#[test]
fn age_is_counted_in_message_time_from_the_first_batch() {
    let disk = SimDisk::new();
    let (_broker, log) = topic(
        &disk,
        TopicConfig::default().segment_ms(Duration::from_millis(100)),
    );
    // The largest timestamp of each batch counts.
    append_timed(&log, &[START - 50, START]);
    append_timed(&log, &[START + 100]);
    assert_eq!(bases(&disk), [0], "not more than segment.ms");
    append_timed(&log, &[START - 1000]);
    assert_eq!(bases(&disk), [0], "an old record is no reason");
    append_timed(&log, &[START + 101, START]);
    assert_eq!(bases(&disk), [0, 4]);
    append_timed(&log, &[START + 201]);
    assert_eq!(bases(&disk), [0, 4]);
    append_timed(&log, &[START + 202]);
    assert_eq!(bases(&disk), [0, 4, 7]);
}

#[test]
fn without_timestamps_age_is_wall_time() {
    let disk = SimDisk::new();
    let clock = streamlog::ManualClock::new(START);
    let broker = support::open_at(&disk, &clock).unwrap();
    broker
        .create_topic(
            "t",
            TopicConfig::default().segment_ms(Duration::from_millis(100)),
        )
        .unwrap();
    let log = partition(&broker, "t", 0);
    append_timed(&log, &[-1]);
    clock.advance(Duration::from_millis(100));
    append_timed(&log, &[-1]);
    assert_eq!(bases(&disk), [0]);
    clock.advance(Duration::from_millis(1));
    append_timed(&log, &[-1]);
    assert_eq!(bases(&disk), [0, 2]);
}

#[test]
fn a_full_index_begins_a_segment() {
    // Room for three offset entries; the time index has one for the end.
    let config = TopicConfig::default()
        .segment_index_bytes(24)
        .index_interval_bytes(0);
    let disk = SimDisk::new();
    let (broker, log) = topic(&disk, config);
    for second in 0..40 {
        append_timed(&log, &[START + second]);
    }
    let bases = bases(&disk);
    assert!(bases.len() > 5, "{bases:?}");
    broker.close().unwrap();
    for base in bases {
        for suffix in ["index", "timeindex"] {
            assert!(disk.read(segment_file("t-0", base, suffix)).unwrap().len() <= 24);
        }
    }
    let broker = support::open(&disk).unwrap();
    let log = partition(&broker, "t", 0);
    for second in 0..40 {
        assert_eq!(
            log.offset_for_timestamp(START + second).unwrap(),
            Some(second.unsigned_abs())
        );
    }
}

/// Kafka's rules, written down a second time: what the two index files of a segment must hold.
fn indexes_by_the_rules(base: Offset, log: &[u8], interval: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut offsets, mut times) = (Vec::new(), Vec::new());
    let (mut largest, mut last_time): (Option<(i64, u32)>, Option<i64>) = (None, None);
    let (mut at, mut since) = (0, 0);
    let mut add_time = |times: &mut Vec<u8>, entry: Option<(i64, u32)>| {
        if let Some((time, offset)) =
            entry.filter(|(time, _)| last_time.is_none_or(|last| *time > last))
        {
            times.extend(time.to_be_bytes());
            times.extend(offset.to_be_bytes());
            last_time = Some(time);
        }
    };
    while at < log.len() {
        let int =
            |from: usize| u32::from_be_bytes(log[at + from..at + from + 4].try_into().unwrap());
        let wide =
            |from: usize| i64::from_be_bytes(log[at + from..at + from + 8].try_into().unwrap());
        let size = int(8) as usize + 12;
        let last = u32::try_from(wide(0).unsigned_abs() - base).unwrap() + int(23);
        if wide(35) > largest.map_or(-1, |(time, _)| time) {
            largest = Some((wide(35), last));
        }
        if since > interval {
            offsets.extend(last.to_be_bytes());
            offsets.extend(u32::try_from(at).unwrap().to_be_bytes());
            add_time(&mut times, largest);
            since = 0;
        }
        since += size;
        at += size;
    }
    add_time(&mut times, largest);
    (offsets, times)
}

#[test]
fn indexes_follow_kafkas_rules_byte_by_byte() {
    for interval in [0, 100, 350, 4096] {
        for kill in [false, true] {
            let disk = SimDisk::new();
            let config = TopicConfig::default()
                .segment_bytes(2500)
                .index_interval_bytes(interval);
            let (broker, log) = topic(&disk, config);
            for count in 0..60 {
                append(&log, SALT, 1 + count % 5).unwrap();
            }
            let killed = disk.duplicate();
            broker.close().unwrap();
            let disk = if kill { killed } else { disk };
            if kill {
                // A close adds a time entry, which stays where the log goes on: not here.
                let broker = support::open(&disk).unwrap();
                append(&partition(&broker, "t", 0), SALT, 2).unwrap();
                broker.close().unwrap();
            }
            for base in bases(&disk) {
                let log = disk.read(log_file("t-0", base)).unwrap();
                let (offsets, times) = indexes_by_the_rules(base, &log, interval as usize);
                assert_eq!(
                    disk.read(segment_file("t-0", base, "index")).unwrap(),
                    offsets,
                    "{base} {interval}"
                );
                assert_eq!(
                    disk.read(segment_file("t-0", base, "timeindex")).unwrap(),
                    times,
                    "{base} {interval}"
                );
            }
        }
    }
}

#[test]
fn every_offset_and_timestamp_is_found_over_many_segments() {
    let disk = SimDisk::new();
    let (broker, log) = topic(&disk, small_segments());
    for count in 0..120 {
        append(&log, SALT, 1 + count % 4).unwrap();
    }
    assert!(bases(&disk).len() > 10);
    let end = log.high_watermark();
    let model = Model::new(SALT, end);
    let seen = read_all(&log, &model);
    assert!(seen.has(0..end) && seen.errors.is_empty());
    log.delete_records(end / 2 + 1).unwrap();
    read_all(&log, &model);
    broker.close().unwrap();
    let broker = support::open(&disk).unwrap();
    let log = partition(&broker, "t", 0);
    assert_eq!(log.log_start_offset(), end / 2 + 1);
    let seen = read_all(&log, &model);
    assert!(seen.has(end / 2 + 1..end) && seen.errors.is_empty());
}

#[test]
fn equal_and_missing_timestamps_are_looked_up_by_offset() {
    let disk = SimDisk::new();
    let (_broker, log) = topic(&disk, small_segments());
    let times = [-1, 5, 5, 5, -1, 3, 9, 9, 2, -1, 9, 20];
    let mut all = Vec::new();
    for _ in 0..12 {
        append_timed(&log, &times[..5]);
        append_timed(&log, &times[5..]);
        all.extend(times);
    }
    assert!(bases(&disk).len() > 1);
    for time in -1..22 {
        let right = all
            .iter()
            .position(|found| *found >= time)
            .map(|offset| offset as u64);
        assert_eq!(log.offset_for_timestamp(time).unwrap(), right, "{time}");
        let mut reader = log.reader(Position::Timestamp(time)).unwrap();
        let first = reader.next().unwrap().map(|record| record.offset());
        assert_eq!(first, right);
    }
}

#[test]
fn a_log_without_timestamps_is_clean_after_a_clean_close() {
    let disk = SimDisk::new();
    let (broker, log) = topic(&disk, small_segments());
    append_timed(&log, &[-1, -1, -1]);
    broker.close().unwrap();
    support::assert_settled(&disk);
    assert!(support::open(&disk).unwrap().recovery_report().is_clean());
}

#[test]
fn an_offset_that_does_not_fit_31_bits_begins_a_segment() {
    // What compaction may leave in a log of Kafka's: one record of a batch that spanned a great range.
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let one = [Record::value_only("first")];
    partition(&broker, "t", 0).append(&one).unwrap();
    broker.close().unwrap();
    let mut bytes = disk.read("data/t-0/00000000000000000000.log").unwrap();
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    bytes[17..21].copy_from_slice(&u32::try_from(crc).unwrap().to_be_bytes());

    let disk = SimDisk::new();
    disk.write("data/t-0/00000000000000000000.log", bytes)
        .unwrap();
    let broker = support::open(&disk).unwrap();
    let log = partition(&broker, "t", 0);
    let last_that_fits = u64::from(i32::MAX.unsigned_abs());
    assert_eq!(log.append(&one).unwrap(), last_that_fits);
    assert_eq!(log.append(&one).unwrap(), last_that_fits + 1);
    assert_eq!(bases(&disk), [0, last_that_fits + 1]);
    let mut reader = log.reader(Position::Earliest).unwrap();
    for offset in [0, last_that_fits, last_that_fits + 1] {
        assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
    }
}
