//! The disk budget: never exceeded, refused cleanly, and appends go on once there is room.

use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Error, ManualClock, Offset, Partition, Position, Record, TopicConfig};

use crate::support::{self, START, partition, small_segments};

const LIMIT: u64 = 16_000;
const FOR_RECORDS: u64 = 15_000;

fn open(disk: &SimDisk, limit: Option<u64>) -> Broker {
    let builder = Broker::builder(support::DIR)
        .storage(disk.clone())
        .clock(ManualClock::new(START))
        .background(false)
        .offsets_topic_partitions(1)
        .max_disk_bytes(limit);
    builder.open().unwrap()
}

fn topic(broker: &Broker, config: TopicConfig) -> Partition {
    broker.create_topic("t", config).unwrap();
    partition(broker, "t", 0)
}

fn append(log: &Partition) -> Result<Offset, Error> {
    let record = Record::value_only("some value that is not short").timestamp(START);
    log.append(&[record])
}

/// Appends until that is refused; returns how many were not.
fn fill(broker: &Broker, log: &Partition) -> u64 {
    let mut count = 0;
    loop {
        match append(log) {
            Ok(_) => count += 1,
            Err(Error::DiskBudget { limit, used }) => {
                assert_eq!(limit, LIMIT);
                assert_eq!(Some(used), broker.disk_bytes());
                return count;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(broker.disk_bytes().unwrap() <= FOR_RECORDS);
    }
}

/// What the files take that are counted, while no segment that grows has indexes.
fn counted(disk: &SimDisk) -> u64 {
    let files = disk.files();
    let bases: Vec<_> = files
        .iter()
        .filter_map(|(path, _)| path.to_str()?.strip_suffix(".log"))
        .collect();
    let is_counted = |path: &str| {
        path.ends_with(".snapshot") && bases.iter().any(|base| path.starts_with(base))
            || [".log", ".index", ".timeindex", ".seal"]
                .iter()
                .any(|suffix| path.ends_with(suffix))
    };
    files
        .iter()
        .filter(|(path, _)| path.to_str().is_some_and(is_counted))
        .map(|(_, len)| len)
        .sum()
}

#[test]
fn an_append_beyond_the_budget_changes_nothing_and_succeeds_once_there_is_room() {
    let disk = SimDisk::new();
    let broker = open(&disk, Some(LIMIT));
    let log = topic(&broker, small_segments());
    let end = fill(&broker, &log);
    assert!(end > 30);
    for _ in 0..3 {
        let used = broker.disk_bytes();
        assert!(append(&log).unwrap_err().is_retryable());
        assert_eq!((log.high_watermark(), broker.disk_bytes()), (end, used));
    }
    log.delete_records(end / 2).unwrap();
    assert_eq!(append(&log).unwrap(), end);
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut next = end / 2;
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.offset(), next);
        next += 1;
    }
    assert_eq!(next, end + 1);
}

#[test]
fn a_producers_retry_is_stored_once() {
    let disk = SimDisk::new();
    let broker = open(&disk, Some(LIMIT));
    let log = topic(&broker, small_segments());
    let producer = broker.producer().build().unwrap();
    let send = |value: &str| {
        let record = Record::to("t").value(value).timestamp(START);
        producer.send(record)?.wait().map(|sent| sent.offset())
    };
    let first = send("first").unwrap();
    let end = first + 1 + fill(&broker, &log);
    let refused = send("second");
    assert!(
        matches!(refused, Err(Error::DiskBudget { .. })),
        "{refused:?}"
    );
    assert!(producer.flush().is_err(), "it is told once");
    log.delete_records(end / 2).unwrap();
    assert_eq!(send("second").unwrap(), end);
    assert_eq!(log.high_watermark(), end + 1);
}

#[test]
fn what_is_counted_is_what_the_files_take() {
    let disk = SimDisk::new();
    let broker = open(&disk, Some(1 << 20));
    let log = topic(&broker, small_segments());
    let check = |broker: &Broker, disk: &SimDisk, when: &str| {
        assert_eq!(broker.disk_bytes(), Some(counted(disk)), "{when}");
    };
    check(&broker, &disk, "empty");
    for _ in 0..50 {
        append(&log).unwrap();
    }
    log.flush().unwrap();
    check(&broker, &disk, "filled");
    let killed = disk.duplicate();
    check(
        &open(&killed, Some(1 << 20)),
        &killed,
        "opened after a kill",
    );
    log.delete_records(20).unwrap();
    check(&broker, &disk, "removed");
    drop(log);
    broker.close().unwrap();
    let before = counted(&disk);
    let broker = open(&disk, Some(1 << 20));
    let used = broker.disk_bytes().unwrap();
    assert!(used <= before && used > before / 2, "{used} of {before}");
    broker.delete_topic("t").unwrap();
    assert_eq!(broker.disk_bytes(), Some(0));
}

#[test]
fn retention_makes_room() {
    let disk = SimDisk::new();
    let broker = open(&disk, Some(LIMIT));
    let config = small_segments()
        .retention_ms(None)
        .retention_bytes(Some(4_000));
    let log = topic(&broker, config);
    for round in 0..5 {
        assert!(fill(&broker, &log) > 20, "{round}");
        broker.run_housekeeping().unwrap();
        assert!(log.size_bytes() < 4_000 + 1_500);
    }
}

#[test]
fn old_records_go_under_a_full_budget_even_if_that_takes_a_new_segment() {
    let disk = SimDisk::new();
    let clock = ManualClock::new(START);
    let builder = Broker::builder(support::DIR)
        .storage(disk.clone())
        .clock(clock.clone())
        .background(false)
        .max_disk_bytes(Some(LIMIT));
    let broker = builder.open().unwrap();
    let log = topic(&broker, TopicConfig::default());
    let end = fill(&broker, &log);
    clock.advance(Duration::from_secs(8 * 86_400));
    broker.run_housekeeping().unwrap();
    assert_eq!(log.log_start_offset(), end);
    assert!(fill(&broker, &log) > 100);
}

#[test]
fn the_background_makes_room_without_being_asked() {
    let builder = Broker::builder(support::DIR)
        .storage(SimDisk::new())
        .max_disk_bytes(Some(LIMIT));
    let broker = builder.open().unwrap();
    let config = small_segments()
        .retention_ms(None)
        .retention_bytes(Some(4_000));
    let log = topic(&broker, config);
    let (mut appended, mut tries) = (0, 0_u64);
    while appended < 1_000 {
        match append(&log) {
            Ok(offset) => assert_eq!(offset, appended),
            Err(Error::DiskBudget { .. }) => {
                tries += 1;
                std::thread::yield_now();
                assert!(tries < 1 << 32, "no room is ever made");
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        appended += 1;
    }
}

#[test]
fn commits_go_on_while_records_are_refused() {
    let disk = SimDisk::new();
    let broker = open(&disk, Some(LIMIT));
    let log = topic(&broker, small_segments());
    fill(&broker, &log);
    broker
        .group("g")
        .reset_offsets("t", Position::Offset(7))
        .unwrap();
    assert!(broker.disk_bytes().unwrap() <= LIMIT);
    let mut refused = None;
    for offset in 0..1_000 {
        let reset = broker
            .group("g")
            .reset_offsets("t", Position::Offset(offset % 30));
        if let Err(error) = reset {
            refused = Some(error);
            break;
        }
        assert!(broker.disk_bytes().unwrap() <= LIMIT);
    }
    assert!(
        matches!(refused, Some(Error::DiskBudget { .. })),
        "{refused:?}"
    );
    log.delete_records(20).unwrap();
    broker
        .group("g")
        .reset_offsets("t", Position::Offset(20))
        .unwrap();
}

#[test]
fn a_directory_above_the_budget_opens_and_takes_appends_when_it_is_below() {
    let disk = SimDisk::new();
    let broker = open(&disk, None);
    assert_eq!(broker.disk_bytes(), None);
    let log = topic(&broker, small_segments());
    for _ in 0..400 {
        append(&log).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    let broker = open(&disk, Some(LIMIT));
    assert!(broker.disk_bytes().unwrap() > LIMIT);
    let log = partition(&broker, "t", 0);
    assert!(append(&log).is_err());
    log.delete_records(399).unwrap();
    assert_eq!(append(&log).unwrap(), 400);
}
