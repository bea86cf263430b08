//! Every bit of a small data directory, flipped one at a time: whatever it hits, no wrong record comes
//! out, nothing panics, and what does not lie in the hit batch is still served.
//!
//! Method: directories after an orderly close, after a kill, after a kill with waypoints, and after a kill
//! while batches were staged, each with one partition of several segments. For each bit of each file:
//! open a copy with that bit flipped, read everything
//! in every way, compare with what was written, and note what became of it.

mod compacted;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamlog::Offset;
use streamlog::sim::SimDisk;

use crate::support::{self, Model, Seen, append, log_file, partition, read_all, small_segments};

const SALT: u64 = 3;
/// All directories together must have at least this many bits: a log of 16 KiB.
const BITS: usize = 16 * 1024 * 8;

type Batches = BTreeMap<PathBuf, Vec<(Range<usize>, Range<Offset>)>>;

/// A directory and what was promised about it.
struct Sample {
    disk: SimDisk,
    model: Model,
    /// Below this offset everything is known to be on the device.
    durable: Offset,
    /// Byte ranges of batches by file, with their offsets.
    batches: Batches,
}

/// How a directory came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    /// Killed, with some batches behind the durable end.
    Killed,
    /// The same, with waypoints.
    KilledWithWaypoints,
    /// Killed, with some batches behind the durable end, and those staged.
    Staged,
}

/// What became of a flipped bit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    /// Nobody noticed, and nothing is different.
    harmless: usize,
    /// Something derived was made again.
    rebuilt: usize,
    /// A read gave an error, or the report names damage.
    reported: usize,
    /// Opening was refused.
    refused: usize,
    /// Taken for a torn tail, above the durable end.
    cut: usize,
}

#[test]
fn no_flipped_bit_of_a_closed_log_gives_a_wrong_record() {
    let sample = Sample::new(End::Closed);
    let tally = sample.flip_every_bit();
    println!("closed: {tally:?}");
    assert_eq!(tally.cut, 0, "after an orderly close there is no torn tail");
}

#[test]
fn no_flipped_bit_of_a_killed_log_gives_a_wrong_record() {
    let sample = Sample::new(End::Killed);
    let tally = sample.flip_every_bit();
    println!("killed: {tally:?}");
    assert!(tally.cut > 0);
}

#[test]
fn no_flipped_bit_of_a_killed_log_with_waypoints_gives_a_wrong_record() {
    let sample = Sample::new(End::KilledWithWaypoints);
    let files = sample.disk.files();
    let is_waypoint = |path: &PathBuf| path.extension().is_some_and(|it| it == "waypoint");
    assert!(files.iter().any(|(path, _)| is_waypoint(path)), "{files:?}");
    let tally = sample.flip_every_bit();
    println!("killed, with waypoints: {tally:?}");
    assert!(tally.cut > 0);
}

#[test]
fn no_flipped_bit_of_a_staged_log_gives_a_wrong_record() {
    let sample = Sample::new(End::Staged);
    let tally = sample.flip_every_bit();
    println!("staged: {tally:?}");
    assert!(tally.cut > 0);
}

#[test]
fn the_flipped_logs_are_large_enough() {
    let bits = |sample: Sample| {
        sample
            .disk
            .image()
            .files()
            .iter()
            .map(|(_, len)| len * 8)
            .sum::<u64>()
    };
    let total = bits(Sample::new(End::Closed)) + bits(Sample::new(End::Killed));
    assert!(total >= BITS as u64, "only {total} bits");
}

impl Sample {
    fn new(end: End) -> Self {
        let disk = SimDisk::new();
        let mut broker = match end {
            End::KilledWithWaypoints => support::open_with_waypoints(&disk),
            _ => support::open(&disk),
        }
        .unwrap();
        broker.create_topic("t", small_segments()).unwrap();
        let mut log = partition(&broker, "t", 0);
        let mut rolled = 0;
        let mut count = 0;
        while rolled < 5 || count % 7 != 0 {
            count += 1;
            append(&log, SALT, 1 + count % 3).unwrap();
            if end == End::KilledWithWaypoints && count % 3 == 0 {
                log.flush().unwrap();
            }
            let files = disk.files();
            rolled = files
                .iter()
                .filter(|(path, _)| path.extension().is_some_and(|e| e == "seal"))
                .count();
        }
        log.flush().unwrap();
        if end == End::Killed {
            // Whose first batches are not staged.
            broker.close().unwrap();
            broker = support::open(&disk).unwrap();
            log = partition(&broker, "t", 0);
        }
        let durable = log.durable_end();
        for count in [2, 1, 3, 1] {
            append(&log, SALT, count).unwrap();
        }
        let written = log.high_watermark();
        let killed = disk.duplicate();
        assert!(broker.recovery_report().is_clean());
        broker.close().unwrap();
        let in_files = match end {
            End::Closed | End::Killed => written,
            End::KilledWithWaypoints | End::Staged => durable,
        };
        let batches = batches_of(&disk, in_files);
        let (disk, durable) = if end == End::Closed {
            (disk.duplicate(), written)
        } else {
            (killed, durable)
        };
        Self {
            disk,
            model: Model::new(SALT, written),
            durable,
            batches,
        }
    }

    fn flip_every_bit(&self) -> Tally {
        let files = self.disk.image().files();
        let bits: Vec<(PathBuf, usize)> = files
            .into_iter()
            .flat_map(|(path, _)| {
                let bytes = self.disk.read(&path).unwrap();
                let is_stage = is_stage(&path);
                // The most of a stage was never used: a few of those bits stand for all.
                let says_something =
                    move |bit: &usize| !is_stage || bytes[bit / 8] != 0 || bit.is_multiple_of(509);
                let bits = 0..self.disk.read(&path).unwrap().len() * 8;
                bits.filter(says_something)
                    .map(move |bit| (path.clone(), bit))
            })
            .step_by(step())
            .collect();
        let next = AtomicUsize::new(0);
        let total = Mutex::new(Tally::default());
        let failures = Mutex::new(Vec::new());
        let work = || {
            let mut tally = Tally::default();
            while let Some((path, bit)) = bits.get(next.fetch_add(1, Ordering::Relaxed)) {
                let outcome = catch_unwind(AssertUnwindSafe(|| self.flip(path, *bit, &mut tally)));
                if outcome.is_err() {
                    let mut failures = failures.lock().unwrap();
                    failures.push(format!(
                        "{} byte {} bit {}",
                        path.display(),
                        bit / 8,
                        bit % 8
                    ));
                    if failures.len() >= 20 {
                        break;
                    }
                }
            }
            total.lock().unwrap().add(tally);
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
        let failures = failures.into_inner().unwrap();
        assert!(
            failures.is_empty(),
            "flips with a wrong outcome: {failures:#?}"
        );
        total.into_inner().unwrap()
    }

    fn flip(&self, path: &Path, bit: usize, tally: &mut Tally) {
        let disk = self.disk.duplicate();
        let mut bytes = disk.read(path).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.write(path, bytes).unwrap();
        let Ok(broker) = support::open(&disk) else {
            assert!(
                path.extension()
                    .is_none_or(|extension| extension == "manifest" || extension == "properties")
            );
            tally.refused += 1;
            return;
        };
        let log = partition(&broker, "t", 0);
        let seen = read_all(&log, &self.model);
        let report = broker.recovery_report();
        let cut = report
            .partitions
            .iter()
            .any(|(_, partition)| partition.truncated_bytes > 0);
        self.check_what_is_left(path, bit / 8, &seen, cut);
        let rebuilt = report
            .partitions
            .iter()
            .any(|(_, partition)| !partition.rebuilt.is_empty());
        if cut || seen.end < self.model.end() {
            tally.cut += 1;
        } else if !seen.errors.is_empty() || report.has_damage() {
            tally.reported += 1;
        } else if rebuilt {
            tally.rebuilt += 1;
        } else {
            tally.harmless += 1;
        }
    }

    /// All records but those of the hit batch are there; behind a cut, those above the durable end
    /// may be gone.
    fn check_what_is_left(&self, path: &Path, byte: usize, seen: &Seen, cut: bool) {
        let hit = self.batches.get(path).and_then(|batches| {
            let hit = batches.iter().find(|(bytes, _)| bytes.contains(&byte));
            hit.map(|(_, offsets)| offsets.clone())
        });
        let is_staged = path
            .extension()
            .is_some_and(|extension| extension == "stage");
        let end = if cut || is_staged {
            seen.end
        } else {
            self.model.end()
        };
        assert!(end >= self.durable, "cut below the durable end, at {end}");
        let hit = hit.unwrap_or(0..0);
        let lost: Vec<_> = seen
            .missing(0..end)
            .into_iter()
            .filter(|offset| !hit.contains(offset))
            .collect();
        assert!(
            lost.is_empty(),
            "offsets {lost:?} are lost, only {hit:?} were hit; errors: {:#?}",
            seen.errors
        );
        if !seen.errors.is_empty() {
            assert!(
                !hit.is_empty(),
                "an error though no batch was hit: {:?}",
                seen.errors
            );
        }
        assert_eq!(seen.end, end);
    }
}

fn is_stage(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "stage")
}

/// 1, or what `STREAMLOG_FLIP_STEP` says, to look at a part.
fn step() -> usize {
    let step = std::env::var("STREAMLOG_FLIP_STEP").ok();
    step.and_then(|step| step.parse().ok()).unwrap_or(1)
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.harmless += other.harmless;
        self.rebuilt += other.rebuilt;
        self.reported += other.reported;
        self.refused += other.refused;
        self.cut += other.cut;
    }
}

/// Where each batch lies: reads lengths and offset deltas from the files.
fn batches_of(disk: &SimDisk, written: Offset) -> Batches {
    let mut batches = BTreeMap::new();
    let mut next = 0;
    while next < written {
        let path = log_file("t-0", next);
        let bytes = disk
            .read(&path)
            .expect("a segment starts where the last one ends");
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let int = |from: usize| {
                u32::from_be_bytes(bytes[at + from..at + from + 4].try_into().unwrap())
            };
            let (size, count) = (int(8) as usize + 12, u64::from(int(23)) + 1);
            found.push((at..at + size, next..next + count));
            at += size;
            next += count;
        }
        batches.insert(path, found);
    }
    batches
}
