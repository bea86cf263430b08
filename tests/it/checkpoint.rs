//! A checkpoint is a whole data directory as of one moment, made while the broker is in use; nothing that
//! happens to either directory afterwards, or on the way, harms the other.

mod live;
mod mishaps;

use std::path::{Path, PathBuf};

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, Checkpoint, Durability, ManualClock, Partition, Position, Record, RecoveryReport,
    TopicConfig,
};

use crate::support::{self, Model, START, append, partition, read_all, small_segments};

const BACKUP: &str = "backups/1";
const SALT: u64 = 31;

fn open_at(disk: &SimDisk, dir: &str) -> Broker {
    Broker::builder(dir)
        .storage(disk.clone())
        .clock(ManualClock::new(START))
        .background(false)
        .seed(8)
        .open()
        .unwrap()
}

fn assert_clean(report: &RecoveryReport) {
    assert!(report.clean_shutdown && report.is_clean(), "{report:#?}");
    assert!(report.stray.is_empty(), "{report:#?}");
}

/// Opens a checkpoint, as if it had been closed in order.
fn open_copy(disk: &SimDisk, dir: &str) -> Broker {
    let copy = open_at(disk, dir);
    assert_clean(copy.recovery_report());
    copy
}

/// A broker with something of everything: segments, staged batches, zeros written ahead, a start that was
/// moved, a producer's sequence, committed offsets, partitions that nobody wrote to.
fn filled(disk: &SimDisk) -> Broker {
    let broker = support::open(disk).unwrap();
    broker
        .create_topic("t", small_segments().partitions(3))
        .unwrap();
    let synced = small_segments().durability(Durability::Synced);
    broker.create_topic("safe", synced).unwrap();
    broker
        .create_topic(
            "large",
            TopicConfig::default().set("retention.ms", "-1").unwrap(),
        )
        .unwrap();
    broker.create_topic("unused", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    for count in 0..60 {
        append(&log, SALT, 1 + count % 4).unwrap();
    }
    log.delete_records(40).unwrap();
    for _ in 0..20 {
        append(&partition(&broker, "safe", 0), SALT, 1).unwrap();
    }
    for _ in 0..200 {
        append(&partition(&broker, "large", 0), SALT, 2).unwrap();
    }
    let producer = broker.producer().build().unwrap();
    producer
        .send(Record::to("t").partition(1).value("sent"))
        .unwrap()
        .wait()
        .unwrap();
    let id = log.id().clone();
    broker.group("g").commit_offsets(&[(id, 50)]).unwrap();
    broker
}

fn same(ours: &Broker, theirs: &Broker) {
    let (ours_topics, theirs_topics) = (ours.topics(), theirs.topics());
    assert_eq!(ours_topics.len(), theirs_topics.len());
    for (topic, copy) in ours_topics.iter().zip(&theirs_topics) {
        assert_eq!((topic.name(), topic.id()), (copy.name(), copy.id()));
        assert_eq!(topic.config(), copy.config());
        for (log, copy) in topic.partitions().iter().zip(copy.partitions()) {
            let bounds = |log: &Partition| (log.log_start_offset(), log.high_watermark());
            assert_eq!(bounds(log), bounds(&copy));
            assert_eq!(values(log), values(&copy));
        }
    }
    let offsets = |broker: &Broker| broker.group("g").export().unwrap();
    assert_eq!(offsets(ours), offsets(theirs));
}

fn values(log: &Partition) -> Vec<Vec<u8>> {
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut values = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(
            record.offset(),
            log.log_start_offset() + values.len() as u64
        );
        values.push(record.value().unwrap().to_vec());
    }
    values
}

fn files_below(disk: &SimDisk, dir: &str) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.starts_with(dir)).collect()
}

#[test]
fn a_copy_opens_as_after_an_orderly_close_and_holds_the_same() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    let made = broker.checkpoint(BACKUP).unwrap();
    let Checkpoint {
        directory,
        partitions,
        files,
        linked_bytes,
        copied_bytes,
        ..
    } = made;
    assert_eq!(directory, Path::new(BACKUP));
    assert_eq!(partitions, 9, "six of topics, three of offsets");
    assert_eq!(files, files_below(&disk, BACKUP).len() as u64);
    assert!(linked_bytes > 1500 && copied_bytes > 1500);
    let copy = open_copy(&disk, BACKUP);
    same(&broker, &copy);
    let log = partition(&copy, "t", 0);
    let seen = read_all(&log, &Model::new(SALT, log.high_watermark()));
    assert!(seen.has(40..log.high_watermark()) && seen.errors.is_empty());
}

#[test]
fn opening_and_closing_a_copy_changes_no_file() {
    let disk = SimDisk::new();
    filled(&disk).checkpoint(BACKUP).unwrap();
    let before = disk.image();
    open_copy(&disk, BACKUP).close().unwrap();
    for path in files_below(&disk, BACKUP) {
        // Its slots take turns, and say the same.
        if !path.ends_with(".lock") && !path.ends_with("durable-ends") {
            assert_eq!(before.read(&path), disk.read(&path).as_deref(), "{path:?}");
        }
    }
}

#[test]
fn a_copy_goes_on_where_the_original_was() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    broker.checkpoint(BACKUP).unwrap();
    let copy = open_copy(&disk, BACKUP);
    let (log, other) = (partition(&broker, "t", 0), partition(&copy, "t", 0));
    let at = log.high_watermark();
    for _ in 0..40 {
        append(&other, SALT, 3).unwrap();
    }
    assert_eq!(log.high_watermark(), at);
    append(&log, SALT, 1).unwrap();
    assert_eq!(other.high_watermark(), at + 120);
    // A producer of the copy is none that the log knows.
    let sent = copy.producer().build().unwrap();
    let sent = sent
        .send(Record::to("t").partition(1).value("more"))
        .unwrap();
    assert_eq!(sent.wait().unwrap().offset(), 1);
    drop((log, other));
    copy.close().unwrap();
    drop(open_copy(&disk, BACKUP));
}

#[test]
fn neither_directory_changes_what_the_other_shows() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    broker.checkpoint(BACKUP).unwrap();
    let image = disk.image();
    let log = partition(&broker, "t", 0);
    for _ in 0..40 {
        append(&log, SALT, 3).unwrap();
    }
    log.delete_records(log.high_watermark()).unwrap();
    broker.delete_topic("large").unwrap();
    drop(log);
    broker.close().unwrap();
    support::open(&disk).unwrap().close().unwrap();
    for path in files_below(&disk, BACKUP) {
        assert_eq!(image.read(&path), disk.read(&path).as_deref(), "{path:?}");
    }
    let copy = open_copy(&disk, BACKUP);
    assert_eq!(partition(&copy, "large", 0).high_watermark(), 400);
    let image = disk.image();
    copy.delete_topic("t").unwrap();
    copy.close().unwrap();
    for path in files_below(&disk, support::DIR) {
        assert_eq!(image.read(&path), disk.read(&path).as_deref(), "{path:?}");
    }
}

#[test]
fn a_copy_of_a_copy_is_one_too() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    broker.checkpoint(BACKUP).unwrap();
    let copy = open_copy(&disk, BACKUP);
    copy.checkpoint("backups/2").unwrap();
    same(&broker, &open_copy(&disk, "backups/2"));
}

#[test]
fn an_empty_broker_has_a_checkpoint() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    assert_eq!(broker.checkpoint(BACKUP).unwrap().partitions, 0);
    assert!(open_copy(&disk, BACKUP).topics().is_empty());
    let made = Broker::in_memory().checkpoint("anywhere").unwrap();
    assert!(made.files > 0);
}
