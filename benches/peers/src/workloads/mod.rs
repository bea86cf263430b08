//! What is measured. Each workload runs in a process of its own (`run.rs`), in a directory of its own.

pub mod append;
pub mod batch;
pub mod disk;
pub mod durable;
pub mod open;
pub mod replay;
pub mod roll;
pub mod tail;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::measure::{Budget, Metrics, ticks, ticks_in};
use crate::peer::{AppendBatch, Outcome};

/// One measurement, as the process that makes it sees it.
#[derive(Clone, Debug)]
pub struct Job {
    pub dir: PathBuf,
    pub value_bytes: usize,
    pub seed: u64,
    pub budget: Budget,
    /// Bytes of values in the workloads that open.
    pub open_bytes: u64,
    pub phase: open::Phase,
}

impl Job {
    pub fn events(&self) -> Events {
        Events::new(self.value_bytes, self.seed)
    }
}

pub type Run = fn(&Job) -> Outcome<Metrics>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    Append,
    Batch,
    #[serde(rename = "durable-1")]
    Durable1,
    #[serde(rename = "durable-16")]
    Durable16,
    DurablePipelined,
    Many,
    Replay,
    TailSpinning,
    TailParked,
    Roll,
    Disk,
    OpenClean,
    OpenKill,
}

/// How a workload is shown.
pub struct Shown {
    pub id: &'static str,
    pub title: &'static str,
    pub text: &'static str,
    /// The figure that rows are sorted and compared by.
    pub metric: &'static str,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    RecordsPerSecond,
    Nanoseconds,
    Milliseconds,
    Bytes,
}

impl Unit {
    pub fn more_is_better(self) -> bool {
        self == Self::RecordsPerSecond
    }
}

impl Workload {
    pub const ALL: [Self; 13] = [
        Self::Append,
        Self::Batch,
        Self::Durable1,
        Self::Durable16,
        Self::DurablePipelined,
        Self::Many,
        Self::Replay,
        Self::TailSpinning,
        Self::TailParked,
        Self::Roll,
        Self::Disk,
        Self::OpenClean,
        Self::OpenKill,
    ];

    pub fn shown(self) -> Shown {
        use Unit::{Bytes, Milliseconds, Nanoseconds, RecordsPerSecond};
        let (id, title, metric, unit, text) = match self {
            Self::Append => (
                "append",
                "Append one by one",
                "rate",
                RecordsPerSecond,
                "One thread, one record a call. The rate is measured without a clock in the loop, the latency of a call in a second loop.",
            ),
            Self::Batch => (
                "batch",
                "Append in batches",
                "rate",
                RecordsPerSecond,
                "One thread, 100 records a call; or `send` one by one where the peer gathers batches itself.",
            ),
            Self::Durable1 => (
                "durable-1",
                "Durable, 1 thread",
                "rate",
                RecordsPerSecond,
                "One thread; each call comes back when the record survives a power loss.",
            ),
            Self::Durable16 => (
                "durable-16",
                "Durable, 16 threads",
                "rate",
                RecordsPerSecond,
                "16 threads that each wait for each record, into one log.",
            ),
            Self::DurablePipelined => (
                "durable-pipelined",
                "Durable, pipelined",
                "rate",
                RecordsPerSecond,
                "One thread, one record a call, at most 10,000 records whose sync is not done yet. Where calls cannot be told apart from their sync, 10,000 go into one transaction.",
            ),
            Self::Many => (
                "many",
                "64 partitions, 16 durable producers",
                "rate",
                RecordsPerSecond,
                "Each thread waits for each record, and writes to four of 64 partitions (groups, topics, key ranges) in turn.",
            ),
            Self::Replay => (
                "replay",
                "Replay",
                "rate",
                RecordsPerSecond,
                "All records from the start, just written by the same process; the reader looks at one byte in each cache line of a value.",
            ),
            Self::TailSpinning => (
                "tail-spinning",
                "Tail latency at 100,000 records/s, spinning reader",
                "p50",
                Nanoseconds,
                "From before the append of a record to its sight in another thread, which never sleeps.",
            ),
            Self::TailParked => (
                "tail-parked",
                "Tail latency at 100,000 records/s, parked reader",
                "p50",
                Nanoseconds,
                "From before the append of a record to its sight in another thread, which sleeps when there is nothing to read.",
            ),
            Self::Roll => (
                "roll",
                "Append across segment rolls",
                "p99.99",
                Nanoseconds,
                "Latency of single appends, one by one, with segments of 16 MiB and of 1 GiB.",
            ),
            Self::Disk => (
                "disk",
                "Disk bytes per record",
                "bytes",
                Bytes,
                "Batches of 100; blocks that the directory occupies after a clean close, everything counted.",
            ),
            Self::OpenClean => (
                "open-clean",
                "Open 2 GiB after a clean close",
                "ms",
                Milliseconds,
                "Until records can be appended and read, in a new process.",
            ),
            Self::OpenKill => (
                "open-kill",
                "Open 2 GiB after a kill",
                "ms",
                Milliseconds,
                "The same after a SIGKILL, with 64 MiB that were not synced.",
            ),
        };
        Shown {
            id,
            title,
            text,
            metric,
            unit,
        }
    }

    /// Those with a size of records that costs too much time for what it would tell leave peers out in `peers/mod.rs`.
    pub fn is_open(self) -> bool {
        matches!(self, Self::OpenClean | Self::OpenKill)
    }
}

/// A time by the clock of this module's loops.
pub fn deadline(job: &Job, parts: u32) -> u64 {
    ticks() + ticks_in((job.budget.time * parts).as_nanos() as f64)
}

pub fn per_second(records: u64, from: u64, to: u64) -> f64 {
    let nanoseconds = (to - from) as f64 / ticks_in(1e9) as f64 * 1e9;
    records as f64 / nanoseconds * 1e9
}

/// Writes `records` in batches of 100, or fewer if the time (in parts of the budget) is over; how many.
pub fn fill(job: &Job, records: u64, parts: u32, writer: &mut impl AppendBatch) -> Outcome<u64> {
    let events = job.events();
    let batches = events.batches(BATCH);
    let until = deadline(job, parts);
    let mut count = 0;
    for batch in batches.iter().cycle() {
        writer.append_batch(batch)?;
        count += batch.len() as u64;
        if count >= records || ticks() > until {
            break;
        }
    }
    writer.finish()?;
    Ok(count)
}

pub const BATCH: usize = 100;
