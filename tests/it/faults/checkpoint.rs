//! Copies of the whole directory, made beside appends, compaction and retention.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, Error, ManualClock, Offset, Position, Result, TopicConfig, TopicPartition,
};

use super::promise::Promise;
use super::sweep::{End, Workload, sweep};
use super::table::{Table, compacted};
use super::traces;
use crate::support::{self, START, partition, small_segments};

const LOG: &str = "log";
const TABLE: &str = "table";

struct Checkpoints {
    disk: SimDisk,
    clock: ManualClock,
    broker: Option<Broker>,
    promise: Promise,
    table: Table,
    copies: Vec<Copy>,
    errors: Vec<Error>,
}

/// A copy that was asked for.
struct Copy {
    dir: &'static str,
    is_made: bool,
    contents: Contents,
}

/// What a directory holds: where each log begins and ends, the records between, and what is committed.
#[derive(Debug, PartialEq)]
struct Contents {
    logs: BTreeMap<String, (Offset, Offset, Vec<Entry>)>,
    committed: Option<Offset>,
}

type Entry = (Offset, Option<Vec<u8>>, Option<Vec<u8>>);

fn contents(broker: &Broker) -> Contents {
    let topics = broker.topics().into_iter();
    let logs = topics.flat_map(|topic| topic.partitions()).map(|log| {
        let mut entries = Vec::new();
        let mut reader = log.reader(Position::Earliest).expect("a reader");
        while let Some(record) = reader.next().expect("a record") {
            let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            entries.push((record.offset(), bytes(record.key()), bytes(record.value())));
        }
        let known = (log.log_start_offset(), log.high_watermark(), entries);
        (log.id().to_string(), known)
    });
    let consumer = broker.consumer().group("g").build().expect("a consumer");
    let committed = consumer.committed(&TopicPartition::new(LOG, 0));
    Contents {
        logs: logs.collect(),
        committed: committed.expect("offsets can be read"),
    }
}

/// Opens a copy; it is as after an orderly close. A power loss after a sync that failed may have taken files
/// beside the batches, which are made again.
fn contents_of_copy(disk: &SimDisk, dir: &str, end: End) -> Contents {
    let builder = Broker::builder(dir).storage(disk.clone());
    let builder = builder.clock(ManualClock::new(START)).background(false);
    let copy = builder.open().expect("a copy opens");
    let report = copy.recovery_report();
    let mut partitions = report.partitions.iter();
    let is_uncut = partitions.all(|(_, it)| it.truncated_bytes == 0 && it.damage.is_empty());
    let is_clean = report.is_clean() || (end == End::PowerLost && is_uncut);
    let is_whole = report.clean_shutdown && is_clean && report.stray.is_empty();
    assert!(is_whole, "{dir}: {report:#?}");
    let contents = contents(&copy);
    copy.close().expect("a copy closes");
    contents
}

/// Several segments of a log and of a table, closed in order.
fn prepared() -> SimDisk {
    let disk = SimDisk::new();
    let broker = support::open(&disk).expect("a sound disk opens");
    let config = small_segments()
        .segment_bytes(700)
        .retention_bytes(Some(1500));
    let log = broker.create_topic(LOG, config).expect("a topic");
    broker.create_topic(TABLE, compacted()).expect("a topic");
    let log = log.partition(0).expect("a partition");
    for _ in 0..8 {
        support::append(&log, 1, 3).expect("appended");
    }
    let mut table = Table::new(TABLE);
    for _ in 0..8 {
        let keys = [("a", true), ("b", false), ("c", true)];
        table.put(&broker, &keys).expect("appended");
    }
    let commits = [(TopicPartition::new(LOG, 0), 5)];
    broker
        .group("g")
        .commit_offsets(&commits)
        .expect("committed");
    drop(log);
    broker.close().expect("closes");
    disk
}

#[test]
fn whatever_fails_a_checkpoint_is_whole_or_not_there() {
    sweep::<Checkpoints>("checkpoints", &prepared(), 6);
}

impl Checkpoints {
    fn broker(&self) -> Broker {
        self.broker.clone().expect("it is open")
    }

    fn note(&mut self, result: Result<()>) {
        self.errors.extend(result.err());
    }

    fn append(&mut self) {
        let broker = self.broker();
        if !self.promise.stopped {
            let appended = self.promise.append(&partition(&broker, LOG, 0), 2);
            self.note(appended.map(drop));
        }
        let put = self.table.put(&broker, &[("a", true), ("d", true)]);
        self.note(put);
    }

    fn copy(&mut self, dir: &'static str) {
        // What a killed process leaves is what the broker holds, however the disk fails.
        let killed = self.disk.duplicate();
        let made = self.broker().checkpoint(dir);
        if made.is_err() {
            let exists = self
                .disk
                .image()
                .directories()
                .contains(&Path::new(dir).to_path_buf());
            assert!(!exists, "{dir} is there after {made:?}");
        }
        self.copies.push(Copy {
            dir,
            is_made: made.is_ok(),
            contents: contents(&support::open(&killed).expect("a sound disk opens")),
        });
        self.note(made.map(drop));
    }

    fn clean(&mut self) {
        self.promise.may_start_at(self.promise.acked);
        self.clock.advance(Duration::from_secs(60));
        let cleaned = self.broker().run_housekeeping();
        self.note(cleaned);
    }

    /// A log or the manifest takes no more changes until the next open, and so there is no copy.
    fn has_stopped(&self) -> bool {
        let broker = self.broker();
        let config = broker.topic(LOG).expect("it is there").config();
        let probe = broker.alter_topic(LOG, TopicConfig::clone(&config));
        let logs = broker
            .topics()
            .into_iter()
            .flat_map(|topic| topic.partitions());
        let offsets = broker
            .topic("__consumer_offsets")
            .expect("it is there")
            .partitions();
        let mut logs = logs
            .chain(offsets)
            .map(|log| log.describe().expect("it is open"));
        probe.is_err() || logs.any(|known| known.write_failure.is_some())
    }
}

impl Workload for Checkpoints {
    fn begin(disk: SimDisk) -> Self {
        let clock = ManualClock::new(START);
        let broker = support::open_at(&disk, &clock).expect("a sound disk opens");
        let mut promise = Promise::new(LOG, 0, 1);
        promise.acked = partition(&broker, LOG, 0).high_watermark();
        promise.maybe = promise.acked;
        Self {
            table: Table::of(TABLE, &broker),
            promise,
            disk,
            clock,
            broker: Some(broker),
            copies: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn work(&mut self) {
        self.append();
        self.copy("backups/1");
        self.clean();
        self.append();
        self.copy("backups/2");
        self.append();
        self.clean();
    }

    fn errors(&self) -> &[Error] {
        &self.errors
    }

    fn look(&mut self, reads_fail: bool) {
        let broker = self.broker();
        let log = partition(&broker, LOG, 0);
        self.promise.look(&log, reads_fail);
        self.table.look(&broker, reads_fail);
    }

    fn go_on(&mut self) {
        self.errors.clear();
        self.look(false);
        if self.has_stopped() {
            return;
        }
        self.append();
        self.copy("backups/3");
        for number in 0..2 {
            if !self.copies[number].is_made {
                self.copy(self.copies[number].dir);
            }
        }
        self.clean();
        self.append();
        // A log that is not compacted any more says so.
        let known = self
            .table
            .log(&self.broker())
            .describe()
            .expect("it is open");
        assert!(
            self.errors.is_empty() || known.compaction_failure.is_some(),
            "{:?}",
            self.errors
        );
        self.look(false);
    }

    fn close(&mut self) {
        let stopped = self.has_stopped();
        let closed = self.broker.take().expect("it is open").close();
        assert!(stopped || closed.is_ok(), "{closed:?}");
    }

    fn check(&self, disk: &SimDisk, end: End) {
        for copy in &self.copies {
            let is_there = disk
                .image()
                .directories()
                .contains(&Path::new(copy.dir).to_path_buf());
            let is_latest = self.copies.iter().rfind(|other| other.dir == copy.dir);
            if !is_latest.is_some_and(|latest| std::ptr::eq(latest, copy)) {
                continue;
            }
            assert!(is_there || !copy.is_made, "{} is gone", copy.dir);
            if is_there {
                assert_eq!(
                    contents_of_copy(disk, copy.dir, end),
                    copy.contents,
                    "{}",
                    copy.dir
                );
            }
        }
        let broker = support::open_at(disk, &self.clock).expect("a sound disk opens");
        let report = broker.recovery_report();
        assert!(!report.has_damage(), "{report:#?}");
        traces::assert_none(disk, Path::new(support::DIR));
        let lost = end == End::PowerLost;
        let least = |acked, durable| if lost { durable } else { acked };
        self.promise
            .check(&broker, least(self.promise.acked, self.promise.durable));
        self.table
            .check(&broker, least(self.table.acked, self.table.durable));
        for dir in ["backups/1", "backups/4"] {
            match broker.checkpoint(dir) {
                Err(Error::DirectoryExists { .. }) if dir == "backups/1" => {}
                made => drop(made.expect("a sound disk has a copy")),
            }
        }
        assert_eq!(contents_of_copy(disk, "backups/4", end), contents(&broker));
        // What an attempt left that failed goes with the next one of that name.
        for dir in [
            "backups/1",
            "backups/1.partial",
            "backups/4",
            "backups/4.partial",
        ] {
            traces::assert_none(disk, Path::new(dir));
        }
        broker.close().expect("a sound disk closes");
    }
}
