//! Files that were lost, cut, changed, swapped or filled with something else: nothing of them is
//! deleted, what lies outside of the damage is served, and whoever meets it is told what is missing.
//!
//! Method: a topic with two partitions of several segments, closed in order or killed; then one of the
//! first partition's files is damaged behind the broker's back. [`Look`] opens that, reads everything
//! in every way, and checks that the second partition does not notice.

mod compacted;
mod derived;
mod segments;
mod strange;
mod tail;

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, Error, Offset, Partition, PartitionRecovery};

use crate::support::{
    self, Model, Seen, append, append_at, log_file, partition, read_all, segment_file,
    small_segments,
};

/// The first partition's records; the second has the next salt.
const SALT: u64 = 20;

/// A directory with the topic `t`, and what was promised about its first partition.
struct Sample {
    disk: SimDisk,
    end: Offset,
    durable: Offset,
    /// Base offsets of the segments, and where the last one ends.
    bases: Vec<Offset>,
}

impl Sample {
    fn closed() -> Self {
        Self::new(true, support::open)
    }

    /// Killed, with some batches behind the durable end.
    fn killed() -> Self {
        Self::new(false, support::open)
    }

    /// The same, with a waypoint some batches before the durable end.
    fn killed_with_waypoint() -> Self {
        let sample = Self::new(false, support::open_with_waypoints);
        assert!(sample.disk.read(sample.waypoint()).is_some());
        sample
    }

    fn new(close: bool, open: fn(&SimDisk) -> streamlog::Result<Broker>) -> Self {
        let disk = SimDisk::new();
        let broker = open(&disk).unwrap();
        broker
            .create_topic("t", small_segments().partitions(2))
            .unwrap();
        let logs = [0, 1].map(|number| partition(&broker, "t", number));
        for round in 0..22 {
            append(&logs[0], SALT, 1 + round % 4).unwrap();
            append(&logs[1], SALT + 1, 1 + round % 3).unwrap();
        }
        for log in &logs {
            log.flush().unwrap();
        }
        let is_waypoint = |path: &PathBuf| path.extension().is_some_and(|it| it == "waypoint");
        if disk.files().iter().any(|(path, _)| is_waypoint(path)) {
            // It stays, and the durable end goes on.
            let full = Fault::error(Operation::Open, ErrorKind::StorageFull);
            disk.fail(full.on_path(".waypoint").sticky());
            append(&logs[0], SALT, 2).unwrap();
            append(&logs[1], SALT + 1, 2).unwrap();
            for log in &logs {
                log.flush().unwrap();
            }
            disk.clear_faults();
        }
        let durable = logs[0].durable_end();
        for count in [2, 1, 3] {
            append(&logs[0], SALT, count).unwrap();
        }
        let end = logs[0].high_watermark();
        let killed = disk.duplicate();
        broker.close().unwrap();
        let disk = if close { disk.duplicate() } else { killed };
        let files = disk.files();
        let names = files
            .iter()
            .filter_map(|(path, _)| path.to_str()?.strip_prefix("data/t-0/"));
        let bases = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        let bases: Vec<Offset> = bases.collect();
        assert!(bases.len() >= 3, "{bases:?}");
        Self {
            disk,
            end,
            durable,
            bases,
        }
    }

    fn waypoint(&self) -> PathBuf {
        segment_file("t-0", *self.bases.last().unwrap(), "waypoint")
    }

    fn last(&self) -> PathBuf {
        log_file("t-0", *self.bases.last().unwrap())
    }

    /// The file and offsets of a segment in the middle.
    fn middle(&self) -> (PathBuf, Range<Offset>) {
        (log_file("t-0", self.bases[1]), self.bases[1]..self.bases[2])
    }

    fn change(&self, path: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.disk.read(path).unwrap();
        change(&mut bytes);
        self.disk.write(path, bytes).unwrap();
    }

    fn look(&self) -> Look {
        Look::new(self)
    }
}

/// Byte range and offset count of each batch.
fn batches(bytes: &[u8]) -> Vec<(Range<usize>, u64)> {
    let mut batches = Vec::new();
    let mut at = 0;
    while at + 61 <= bytes.len() {
        let int =
            |from: usize| u32::from_be_bytes(bytes[at + from..at + from + 4].try_into().unwrap());
        let size = int(8) as usize + 12;
        batches.push((at..at + size, u64::from(int(23)) + 1));
        at += size;
    }
    batches
}

/// What somebody finds who opens a damaged directory.
struct Look {
    broker: Broker,
    log: Partition,
    seen: Seen,
    report: PartitionRecovery,
}

impl Look {
    fn new(sample: &Sample) -> Self {
        let broker =
            support::open(&sample.disk).expect("damage of one partition is no error of the others");
        let log = partition(&broker, "t", 0);
        let seen = read_all(&log, &Model::new(SALT, sample.end));
        let mut reports = broker.recovery_report().partitions.iter();
        assert!(
            reports.clone().all(|(id, _)| id.partition() == 0),
            "{reports:?}"
        );
        let report = reports
            .next()
            .map(|(_, report)| report.clone())
            .unwrap_or_default();
        let look = Self {
            broker,
            log,
            seen,
            report,
        };
        look.check_other_partition();
        look
    }

    fn check_other_partition(&self) {
        let other = partition(&self.broker, "t", 1);
        let end = other.high_watermark();
        assert!(end > 40);
        let seen = read_all(&other, &Model::new(SALT + 1, end));
        assert!(
            seen.errors.is_empty() && seen.has(0..end),
            "{:?}",
            seen.errors
        );
        append_at(&other, SALT + 1, end, 1).expect("the other partition takes records");
        other.flush().expect("and syncs them");
    }

    /// Everything is there, and nobody was bothered.
    fn assert_whole(&self, end: Offset) {
        assert!(self.seen.errors.is_empty(), "{:?}", self.seen.errors);
        assert!(
            self.seen.has(0..end),
            "{:?} are missing",
            self.seen.missing(0..end)
        );
        assert_eq!(self.seen.end, end);
        assert!(self.report.damage.is_empty(), "{:?}", self.report);
    }

    /// Everything but these offsets is there, and errors name exactly them.
    fn assert_lost(&self, lost: &Range<Offset>, end: Offset) {
        let missing = self.seen.missing(0..end);
        assert_eq!(
            missing,
            lost.clone().collect::<Vec<_>>(),
            "{:?}",
            self.seen.errors
        );
        assert!(!self.seen.errors.is_empty());
        for error in &self.seen.errors {
            let named = match error {
                Error::Corrupt { offsets, .. } | Error::MissingSegment { offsets, .. } => {
                    offsets.clone()
                }
                other => panic!("{other:?}"),
            };
            let named = named.unwrap_or_else(|| panic!("it names no offsets: {error:?}"));
            assert!(
                lost.start <= named.start && named.end == lost.end,
                "{error}, lost: {lost:?}"
            );
        }
    }

    fn append(&self) -> streamlog::Result<Offset> {
        append_at(&self.log, SALT, self.log.high_watermark(), 1)
    }

    /// Appends are refused, with the error that says why.
    fn assert_refuses_appends(&self) {
        let refused = self.append();
        assert!(
            matches!(
                refused,
                Err(Error::Corrupt { .. } | Error::MissingSegment { .. })
            ),
            "{refused:?}"
        );
    }

    fn assert_takes_appends(&self) {
        let end = self.log.high_watermark();
        assert_eq!(self.append().unwrap(), end);
        self.log.flush().unwrap();
    }
}
