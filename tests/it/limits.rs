//! What a broker holds of the operating system: no more maps and descriptors than it may, and reading and
//! writing stay right.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, ManualClock, Partition, Position, Record, TopicConfig};

use crate::random::Random;
use crate::support::partition;

const PARTITIONS: u32 = 6;
const SEGMENTS: u64 = 20;
const PER_SEGMENT: u64 = 5;

/// What record `offset` of a partition says.
fn value(partition: u32, offset: u64) -> Vec<u8> {
    format!("{partition}/{offset}/").repeat(200).into_bytes()
}

fn config() -> TopicConfig {
    let config = TopicConfig::default().partitions(PARTITIONS);
    config.flush_ms(Some(Duration::from_secs(1)))
}

fn is_log(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "log")
}

/// Maps of this process that are of log files below `dir`.
fn maps(dir: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps
        .lines()
        .filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    files
        .filter(|file| file.starts_with(dir) && is_log(file))
        .count()
}

/// Descriptors of this process that are of log files below `dir`.
fn descriptors(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let files = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    files
        .filter(|file| file.starts_with(dir) && is_log(file))
        .count()
}

/// Reads one record by itself.
fn check(log: &Partition, number: u32, offset: u64) {
    let mut reader = log.reader(Position::Offset(offset)).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.offset(), offset);
    assert_eq!(record.value(), Some(&value(number, offset)[..]));
}

#[test]
fn maps_stay_below_their_limit_while_segments_are_read_in_any_order() {
    const LIMIT: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let builder = Broker::builder(dir.path()).max_mapped_segments(LIMIT);
        builder.background(false).open().unwrap()
    };
    let broker = open();
    let size = value(0, 100).len() as u64 * PER_SEGMENT;
    let config = config().segment_bytes(size + 600);
    let topic = broker.create_topic("t", config).unwrap();
    let logs = topic.partitions();
    for offset in 0..SEGMENTS * PER_SEGMENT {
        for (number, log) in (0..).zip(&logs) {
            let value = value(number, offset);
            log.append(&[Record::value_only(&value)]).unwrap();
        }
    }
    let files = fs::read_dir(dir.path().join("t-0")).unwrap();
    let segments = files.filter(|file| is_log(&file.as_ref().unwrap().path()));
    assert!(segments.count() >= 15, "far more segments than maps");
    let read_at_random = |logs: &[Partition]| {
        let mut random = Random::new(7);
        let mut most = 0;
        for _ in 0..1_000 {
            let number = random.index(logs.len());
            let offset = random.below(SEGMENTS * PER_SEGMENT);
            check(&logs[number], u32::try_from(number).unwrap(), offset);
            most = most.max(maps(dir.path()));
        }
        assert!(most > LIMIT / 2 && most <= LIMIT, "{most} maps");
    };
    read_at_random(&logs);

    // What is held stays, and stays right, whatever is read meanwhile.
    let held: Vec<_> = (0..SEGMENTS)
        .map(|segment| {
            let offset = Position::Offset(segment * PER_SEGMENT);
            logs[0].reader(offset).unwrap().next_batch().unwrap()
        })
        .collect();
    for offset in 0..SEGMENTS * PER_SEGMENT {
        (0..)
            .zip(&logs)
            .for_each(|(number, log)| check(log, number, offset));
    }
    for (segment, batch) in (0..).zip(held) {
        let offset = segment * PER_SEGMENT;
        let batch = batch.unwrap();
        let record = batch.into_iter().next().unwrap();
        assert_eq!(record.value(), Some(&value(0, offset)[..]));
    }
    drop((topic, logs));
    broker.close().unwrap();

    let broker = open();
    assert_eq!((maps(dir.path()), descriptors(dir.path())), (0, 0));
    let logs = broker.topic("t").unwrap().partitions();
    read_at_random(&logs);
    assert_eq!(descriptors(dir.path()), 0);
}

#[test]
fn readers_on_several_threads_share_few_maps() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Broker::builder(dir.path()).max_mapped_segments(2);
    let broker = builder.background(false).open().unwrap();
    let config = config().segment_bytes(6_000);
    let logs = broker.create_topic("t", config).unwrap().partitions();
    for offset in 0..100 {
        for (number, log) in (0..).zip(&logs) {
            let value = value(number, offset);
            log.append(&[Record::value_only(&value)]).unwrap();
        }
    }
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let logs = &logs;
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..2_000 {
                    let number = random.index(logs.len());
                    let offset = random.below(100);
                    check(&logs[number], u32::try_from(number).unwrap(), offset);
                }
            });
        }
    });
    assert!(maps(dir.path()) <= 2);
}

#[test]
fn files_stay_open_only_while_something_is_unsynced() {
    const LIMIT: usize = 2;
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(0);
    let open = || {
        let builder = Broker::builder(dir.path()).max_open_files(LIMIT);
        let builder = builder.background(false).clock(clock.clone());
        builder.open().unwrap()
    };
    let broker = open();
    let logs = broker.create_topic("t", config()).unwrap().partitions();
    assert_eq!(descriptors(dir.path()), 0, "nothing was written");
    let append = |logs: &[Partition], offset| {
        for (number, log) in (0..).zip(logs) {
            let value = value(number, offset);
            log.append(&[Record::value_only(&value)]).unwrap();
        }
    };
    append(&logs, 0);
    assert_eq!(descriptors(dir.path()), PARTITIONS as usize, "not synced");
    for log in &logs {
        log.flush().unwrap();
    }
    assert_eq!(descriptors(dir.path()), LIMIT);
    append(&logs, 1);
    assert_eq!(descriptors(dir.path()), PARTITIONS as usize);
    clock.advance(Duration::from_secs(2));
    broker.run_housekeeping().unwrap();
    assert_eq!(descriptors(dir.path()), 0, "at rest");
    append(&logs, 2);
    drop(logs);
    broker.close().unwrap();

    let broker = open();
    assert!(broker.recovery_report().clean_shutdown);
    assert_eq!(descriptors(dir.path()), 0, "nothing was written yet");
    let logs = broker.topic("t").unwrap().partitions();
    append(&logs, 3);
    for (number, log) in (0..).zip(&logs) {
        (0..4).for_each(|offset| check(log, number, offset));
    }
}

#[test]
fn a_file_that_cannot_be_opened_again_fails_one_append_and_no_more() {
    let disk = SimDisk::new();
    let clock = ManualClock::new(0);
    let builder = Broker::builder("data").storage(disk.clone());
    let broker = builder
        .background(false)
        .clock(clock.clone())
        .open()
        .unwrap();
    broker.create_topic("t", config()).unwrap();
    let log = partition(&broker, "t", 0);
    log.append(&[Record::value_only("one")]).unwrap();
    clock.advance(Duration::from_secs(2));
    broker.run_housekeeping().unwrap();
    // Too many open files.
    disk.fail(Fault::os_error(Operation::Open, 24).on_path(".log"));
    log.append(&[Record::value_only("two")]).unwrap_err();
    assert_eq!(log.high_watermark(), 1);
    log.append(&[Record::value_only("three")]).unwrap();
    log.flush().unwrap();
    drop(log);
    broker.close().unwrap();

    // It may also not be there to be read: the next read finds it again.
    let broker = Broker::builder("data")
        .storage(disk.clone())
        .open()
        .unwrap();
    let log = partition(&broker, "t", 0);
    disk.fail(Fault::error(Operation::Open, ErrorKind::Other).on_path(".log"));
    let mut reader = log.reader(Position::Earliest).unwrap();
    reader.next().unwrap_err();
    let mut values = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        values.push(record.value().unwrap().to_vec());
    }
    assert_eq!(values, [b"one".to_vec(), b"three".to_vec()]);
}
