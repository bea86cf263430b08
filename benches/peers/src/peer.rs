//! What a peer can do, one trait a capability.
//!
//! A peer implements [`Log`] and, for its handle, those of the writing traits that it has a call for. The registry in
//! `peers/mod.rs` lists which workloads each runs; the compiler checks that the capability is there. Everything is
//! generic, so that no measured loop goes through a virtual call.

use std::error::Error;
use std::path::Path;

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The worst that an acknowledged record gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// It is in this process's memory.
    Nothing,
    /// The kernel has it: the process may be killed.
    ProcessKill,
    /// It was synced to the device.
    PowerLoss,
}

impl Survives {
    pub fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ProcessKill => "process kill",
            Self::PowerLoss => "power loss",
        }
    }
}

/// What an append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The fastest that the peer calls done.
    Fast,
    /// A sync that covers the record.
    Durable,
}

/// Where and how a peer is opened.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub dir: &'a Path,
    pub ack: Ack,
    pub partitions: u32,
    /// Where the peer has segments, and their size is part of the workload.
    pub segment_bytes: Option<u64>,
    /// False leaves syncing to the peer's callers, where it would sync in the background.
    pub background_sync: bool,
}

impl<'a> Place<'a> {
    pub fn new(dir: &'a Path, ack: Ack) -> Self {
        Self {
            dir,
            ack,
            partitions: 1,
            segment_bytes: None,
            background_sync: true,
        }
    }

    pub fn durable(&self) -> bool {
        self.ack == Ack::Durable
    }
}

/// One record on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub partition: u32,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// A peer, open.
pub trait Log: Sized + Sync + 'static {
    /// What an acknowledgement survives with [`Ack::Fast`].
    const SURVIVES: Survives;

    /// What one thread writes through.
    type Writer<'a>;

    /// Opens or creates.
    fn open(place: &Place) -> Outcome<Self>;

    fn writer(&self) -> Outcome<Self::Writer<'_>>;

    /// Closes cleanly.
    fn close(self) -> Outcome {
        Ok(())
    }
}

/// Appends one record a call.
pub trait AppendOne {
    fn append(&mut self, event: Event) -> Outcome;
}

/// Appends many records a call, or by calls that are gathered.
pub trait AppendBatch {
    fn append_batch(&mut self, events: &[Event]) -> Outcome;

    /// Waits for all acknowledgements that are still out.
    fn finish(&mut self) -> Outcome {
        Ok(())
    }
}

/// Appends with at most [`IN_FLIGHT`] records that wait for their sync.
pub trait AppendPipelined {
    fn send(&mut self, event: Event) -> Outcome;

    /// Waits for all that are in flight.
    fn settle(&mut self) -> Outcome;
}

/// How many records may wait for their sync in the pipelined workload.
pub const IN_FLIGHT: usize = 10_000;

/// Reads everything, in order.
pub trait Replay: Log {
    /// Who looks whether the bytes are as they were written.
    const CHECKS: &'static str;

    /// How many records to read, where reading is so slow that the others' number would take minutes.
    const AT_MOST: u64 = u64::MAX;

    /// Shows each value; how many there were.
    fn replay(&self, visit: impl FnMut(&[u8])) -> Outcome<u64>;
}

/// How a reader waits at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Spinning,
    Parked,
}

/// Follows the end.
pub trait Tail: Log {
    type Tailer<'a>: Follow;

    fn tailer(&self, wait: Wait) -> Outcome<Self::Tailer<'_>>;

    /// A writer that leaves readers room to read: not the same as [`Log::writer`] where that holds a lock.
    fn append_shared(&self, event: Event) -> Outcome;
}

pub trait Follow {
    /// Shows what is new; how many. It may come back with nothing only if it was asked to spin.
    fn next(&mut self, visit: impl FnMut(&[u8])) -> Outcome<usize>;
}

/// Can be opened after a clean close and after a kill.
pub trait Reopen: Log {
    /// What opening looks at.
    const LOOKS_AT: &'static str;

    /// Opens what a killed process left.
    fn open_after_kill(place: &Place) -> Outcome<Self> {
        Self::open(place)
    }

    /// Makes all that was appended durable.
    fn sync(&self) -> Outcome;

    /// How many records are there, if the peer can be asked.
    fn records(&self) -> Outcome<Option<u64>>;
}

/// The key of a record in a store that orders by key: partition, then position.
pub fn store_key(partition: u32, position: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The position in such a key.
pub fn position_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(4..12)?.try_into().ok()?))
}

/// Positions of records, handed out across threads.
#[derive(Debug, Default)]
pub struct Positions(std::sync::atomic::AtomicU64);

impl Positions {
    pub fn from(next: u64) -> Self {
        Self(next.into())
    }

    pub fn take(&self, count: usize) -> u64 {
        self.0.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed)
    }
}

/// Counts what is in flight for peers whose sync covers all that was written before.
#[derive(Debug, Default)]
pub struct InFlight(usize);

impl InFlight {
    /// One more; whether it is time to sync.
    pub fn is_full_after_one(&mut self) -> bool {
        self.0 += 1;
        self.0 == IN_FLIGHT
    }

    pub fn clear(&mut self) {
        self.0 = 0;
    }
}
