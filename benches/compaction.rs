//! What compaction and retention cost, and what appends feel of them.
//!
//! ```text
//! cargo bench --bench compaction              all of it, some minutes
//! cargo bench --bench compaction -- --test    the same in small, once
//! ```
//! It runs on the disk of the target directory. Values are JSON events of a KiB.
//!
//! * `compaction`: a log of a GiB in batches of 16 KiB and segments of 64 MiB, of whose records a tenth are the
//!   latest of their key. MB of input a second, the median of the rounds.
//! * `appends`: `Partition::append` one by one at full speed, on another partition and on the log's own active
//!   segment, alone and while a thread compacts. The two are measured in turns; the ratio is that of the p99.
//! * `retention`: the longest append to a partition of which a thousand segments are removed meanwhile, and
//!   of as many appends without that; at full speed, and at one that leaves the disk time to keep up.

#![allow(unreachable_pub, reason = "the modules of one program share items")]
#![allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

#[path = "support/events.rs"]
#[expect(
    dead_code,
    reason = "keys are made here, so that a tenth of the records is live"
)]
mod events;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use streamlog::{Broker, CleanupPolicy, Partition, Record, Result, TopicConfig};
use tempfile::TempDir;

struct Sizes {
    /// Of the log that is compacted.
    bytes: u64,
    segment_bytes: u64,
    /// How many segments retention removes.
    removed: u64,
    rounds: usize,
    removals: usize,
}

const FULL: Sizes = Sizes {
    bytes: 1 << 30,
    segment_bytes: 64 << 20,
    removed: 1_000,
    rounds: 3,
    removals: 5,
};

const SMALL: Sizes = Sizes {
    bytes: 8 << 20,
    segment_bytes: 1 << 20,
    removed: 20,
    rounds: 1,
    removals: 1,
};

/// Of a value.
const VALUE_BYTES: usize = 1024;
/// So that a batch has 16 KiB.
const BATCH: usize = 16;
/// One of so many records is the latest of its key.
const LIVE: u64 = 10;

fn main() -> Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let sizes = if is_test { SMALL } else { FULL };
    let values = events::events(VALUE_BYTES);
    compaction(&sizes, &values)?;
    for (name, place) in [("another partition", 1), ("the same partition", 0)] {
        appends(&sizes, &values, name, place)?;
    }
    for (name, pace) in [
        ("at full speed", None),
        ("20,000 a second", Some(Duration::from_micros(50))),
    ] {
        retention(&sizes, &values, name, pace)?;
    }
    Ok(())
}

/// A directory on the disk that builds go to: a temporary one is in memory on many machines.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

fn open(dir: &Path) -> Result<Broker> {
    Broker::builder(dir).background(false).open()
}

/// A log with much to compact, and beside it a partition with nothing.
fn filled(dir: &Path, sizes: &Sizes, values: &[Vec<u8>]) -> Result<Broker> {
    let broker = open(dir)?;
    let config = TopicConfig::default()
        .segment_bytes(sizes.segment_bytes)
        .retention_ms(None);
    let table = config.cleanup_policy(CleanupPolicy::Compact);
    let topic = broker.create_topic("table", table.partitions(2))?;
    let log = topic.partition(0)?;
    let records = sizes.bytes / VALUE_BYTES as u64;
    // Spread over all of the log, as keys of applications are.
    let keys = records / LIVE;
    let mut number: u64 = 0;
    while number < records {
        let keys: Vec<_> = (number..).take(BATCH).map(|it| key(it, keys)).collect();
        let batch: Vec<_> = keys
            .iter()
            .zip(
                values
                    .iter()
                    .cycle()
                    .skip(usize::try_from(number).unwrap_or(0) % values.len()),
            )
            .map(|(key, value)| Record::to("table").key(key).value(value))
            .collect();
        log.append(&batch)?;
        number += BATCH as u64;
    }
    topic
        .partition(1)?
        .append(&[Record::to("table").key("first").value("first")])?;
    log.flush()?;
    Ok(broker)
}

fn key(number: u64, keys: u64) -> String {
    // A permutation of a kind: neighbours are far apart.
    format!(
        "customer-{:08}",
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys
    )
}

fn compaction(sizes: &Sizes, values: &[Vec<u8>]) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..sizes.rounds {
        let dir = directory();
        let broker = filled(dir.path(), sizes, values)?;
        let log = broker.topic("table")?.partition(0)?;
        let before = log.size_bytes();
        let start = Instant::now();
        broker.run_housekeeping()?;
        let taken = start.elapsed();
        let left = log.size_bytes() as f64 / before as f64;
        let speed = before as f64 / 1e6 / taken.as_secs_f64();
        println!("compaction: {speed:.0} MB/s, {:.1} % left", left * 100.0);
        rounds.push(speed);
    }
    println!(
        "compaction: {:.0} MB/s of input at the median\n",
        median(&mut rounds)
    );
    Ok(())
}

fn appends(sizes: &Sizes, values: &[Vec<u8>], name: &str, place: u32) -> Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..sizes.rounds {
        let dir = directory();
        let broker = filled(dir.path(), sizes, values)?;
        let partition = broker.topic("table")?.partition(place)?;
        let alone = Latencies::of(&partition, values, Until::Count(sizes.bytes / 16 / 1024))?;
        let over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let compacting = scope.spawn(|| {
                let done = broker.run_housekeeping();
                over.store(true, Ordering::Release);
                done
            });
            let beside = Latencies::of(&partition, values, Until::Over(&over));
            compacting.join().expect("it does not panic").and(beside)
        })?;
        let again = Latencies::of(&partition, values, Until::Count(sizes.bytes / 16 / 1024))?;
        println!("appends to {name}, alone:      {alone}");
        println!("appends to {name}, compacting: {beside}");
        println!("appends to {name}, alone:      {again}");
        let calm = (alone.at(0.99) + again.at(0.99)) / 2;
        ratios.push(beside.at(0.99).as_secs_f64() / calm.as_secs_f64());
    }
    println!(
        "appends to {name}: p99 beside compaction is {:.2} x that alone\n",
        median(&mut ratios)
    );
    Ok(())
}

/// How long it goes on.
#[derive(Clone, Copy)]
enum Until<'a> {
    Count(u64),
    /// And a hundred times at least.
    Over(&'a AtomicBool),
}

/// Of single appends, sorted.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(partition: &Partition, values: &[Vec<u8>], until: Until<'_>) -> Result<Self> {
        Self::paced(partition, values, until, None)
    }

    /// With so much time at least from one append to the next.
    fn paced(
        partition: &Partition,
        values: &[Vec<u8>],
        until: Until<'_>,
        pace: Option<Duration>,
    ) -> Result<Self> {
        let mut all = Vec::new();
        let mut due = Instant::now();
        for (number, value) in (0_u64..).zip(values.iter().cycle()) {
            let is_over = match until {
                Until::Count(count) => number >= count,
                Until::Over(over) => number >= 100 && over.load(Ordering::Acquire),
            };
            if is_over {
                break;
            }
            let key = format!("new-{}", number % 1000);
            let record = Record::value_only(value).key(&key);
            while pace.is_some() && Instant::now() < due {
                std::hint::spin_loop();
            }
            due += pace.unwrap_or_default();
            let start = Instant::now();
            partition.append(&[record])?;
            all.push(start.elapsed());
        }
        all.sort_unstable();
        Ok(Self(all))
    }

    fn at(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a length"
        )]
        let index = (self.0.len() as f64 * part) as usize;
        self.0[index.min(self.0.len() - 1)]
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn longest(&self) -> Duration {
        self.at(1.0)
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| self.at(part));
        write!(
            f,
            "p50 {p50:>9.1?}  p99 {p99:>9.1?}  p99.9 {p999:>9.1?}  of {}",
            self.0.len()
        )
    }
}

fn retention(sizes: &Sizes, values: &[Vec<u8>], name: &str, pace: Option<Duration>) -> Result<()> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..sizes.removals {
        let dir = directory();
        let broker = open(dir.path())?;
        let config = TopicConfig::default()
            .segment_bytes(16 << 10)
            // Without background threads, an append would do it.
            .flush_ms(None)
            .retention_ms(None);
        let topic = broker.create_topic("queue", config.clone())?;
        let partition = topic.partition(0)?;
        while partition.size_bytes() < sizes.removed * (16 << 10) {
            let batch: Vec<_> = values.iter().take(12).map(Record::value_only).collect();
            partition.append(&batch)?;
        }
        // Appends do not roll from here on: there are at most 2 GiB of them.
        let roomy = config.segment_bytes((1 << 31) - 1);
        broker.alter_topic("queue", roomy.clone())?;
        broker.alter_topic("queue", roomy.retention_bytes(Some(0)))?;
        let start = partition.log_start_offset();
        let over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let removing = scope.spawn(|| {
                let begun = Instant::now();
                let done = broker.run_housekeeping().map(|()| begun.elapsed());
                over.store(true, Ordering::Release);
                done
            });
            let beside = Latencies::paced(&partition, values, Until::Over(&over), pace)?;
            Ok::<_, streamlog::Error>((beside, removing.join().expect("it does not panic")?))
        })?;
        let (beside, taken) = beside;
        assert!(
            partition.log_start_offset() > start,
            "something was removed"
        );
        // As many, so that both meet as often what comes once in so many appends.
        let calm = Latencies::paced(&partition, values, Until::Count(beside.count()), pace)?;
        println!(
            "retention, appends {name}: {} segments in {taken:.1?}; longest append {:.1?} beside it, {:.1?} without",
            sizes.removed,
            beside.longest(),
            calm.longest()
        );
        with.push(beside.longest().as_secs_f64() * 1e6);
        without.push(calm.longest().as_secs_f64() * 1e6);
    }
    println!(
        "retention, appends {name}: longest append {:.0} us beside it, {:.0} us without, at the median\n",
        median(&mut with),
        median(&mut without)
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
