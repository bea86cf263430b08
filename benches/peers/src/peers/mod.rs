//! The peers, and which workloads each runs.

mod channel;
mod commitlog;
mod fjall;
mod kafko;
mod lmdb;
mod logdb;
mod okaywal;
mod raft_engine;
mod raw;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocks;
mod sqlite;
mod streamlog;
mod walrus;
mod yaque;

use std::marker::PhantomData;

use crate::peer::{AppendBatch, AppendOne, AppendPipelined, Log, Reopen, Replay, Survives, Tail};
use crate::workloads::{Run, Workload, append, batch, disk, durable, open, replay, roll, tail};

/// One row of a table: a peer in a workload.
pub struct Entry {
    pub peer: &'static str,
    pub workload: Workload,
    pub run: Run,
    pub survives: Survives,
    pub remark: &'static str,
    /// Sizes of values that it is measured with.
    pub sizes: &'static [usize],
}

pub const SIZES: &[usize] = &[100, 1024];

/// What streamlog's rows are called.
pub const OURS: &str = "streamlog";

/// The raw lower bounds' rows.
pub const BOUNDS: &[&str] = &["raw pwrite", "raw mapped store"];

/// Peers whose package has another name.
pub const PACKAGES: &[(&str, &str)] = &[
    ("LMDB (heed)", "heed"),
    ("SQLite (rusqlite)", "rusqlite"),
    ("RocksDB", "rocksdb"),
    ("in-memory channel", "crossbeam-channel"),
    ("walrus", "walrus-rust"),
];

pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(
        rows::<streamlog::Streamlog>(OURS)
            .append()
            .batch("Partition::append")
            .durable()
            .replay()
            .tail_spinning("Consumer::busy_poll")
            .tail_parked("Consumer::poll")
            .reopen(SIZES),
    );
    entries.extend(rows::<streamlog::Streamlog>("streamlog, segments of 1 GiB").roll_large(""));
    entries.extend(rows::<streamlog::Streamlog>("streamlog, segments of 16 MiB").roll_small());
    entries.extend(rows::<streamlog::Streamlog>("streamlog, keys").disk("keys of 11 bytes on average"));
    entries.extend(rows::<streamlog::StreamlogKeyless>(OURS).disk("no keys, as with most peers"));
    entries.extend(
        rows::<streamlog::StreamlogProducer>("streamlog, send")
            .batch("Producer::send, keys")
            .pipelined("Producer::send"),
    );
    entries.extend(
        rows::<commitlog::Commitlog>("commitlog")
            .append()
            .batch("")
            .replay()
            .tail_spinning("poll loop under a mutex")
            .disk("")
            .reopen(SIZES),
    );
    entries.extend(rows::<commitlog::Commitlog>("commitlog, segments of 16 MiB").roll_small());
    entries.extend(
        rows::<yaque::Yaque>("yaque")
            .append()
            .batch("")
            .replay()
            .tail_spinning("try_recv")
            .tail_parked("")
            .disk("")
            .reopen(SIZES),
    );
    entries.extend(rows::<yaque::Yaque>("yaque, segments of 16 MiB").roll_small());
    entries.extend(
        rows::<okaywal::Okaywal>("okaywal")
            .batch("one entry")
            .durable_with("one log for all partitions")
            .pipelined("one entry")
            .replay(),
    );
    entries.extend(
        rows::<raft_engine::RaftEngine>("raft-engine")
            .append()
            .batch("")
            .durable()
            .pipelined("then sync")
            .replay()
            .disk("")
            .reopen(SIZES),
    );
    entries.extend(
        rows::<walrus::Walrus>("walrus")
            .append()
            .durable()
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(rows::<walrus::WalrusBatches>("walrus").batch("io_uring; it syncs each batch"));
    entries.extend(
        rows::<fjall::Fjall>("fjall")
            .append()
            .batch("")
            .durable()
            .pipelined("then persist")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<redb::Redb>("redb")
            .append()
            .batch("")
            .durable()
            .pipelined("one transaction")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<sqlite::Sqlite>("SQLite (rusqlite)")
            .append()
            .batch("")
            .durable()
            .pipelined("one transaction")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    #[cfg(feature = "rocksdb")]
    entries.extend(
        rows::<rocks::Rocks>("RocksDB")
            .append()
            .batch("")
            .durable()
            .pipelined("then flush_wal")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<lmdb::Lmdb>("LMDB (heed)")
            .append()
            .batch("")
            .durable()
            .pipelined("one transaction")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<kafko::Kafko>("kafko")
            .append()
            .batch("")
            .durable()
            .pipelined("futures, then sync")
            .replay()
            .tail_parked("")
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<logdb::Logdb>("logdb")
            .append()
            .batch("")
            .durable()
            .pipelined("then flush")
            .replay()
            .disk("")
            .reopen(&[1024]),
    );
    entries.extend(
        rows::<channel::Channel>("in-memory channel")
            .append()
            .tail_spinning("try_recv")
            .tail_parked(""),
    );
    entries.extend(
        rows::<raw::RawWrite>("raw pwrite")
            .append()
            .batch("")
            .durable_alone("zeroed blocks")
            .pipelined("then fdatasync")
            .roll_large("no segments"),
    );
    entries.extend(
        rows::<raw::RawMap>("raw mapped store")
            .append()
            .batch("")
            .replay()
            .tail_spinning("atomic end"),
    );
    entries
}

/// Rows of one peer, each allowed by what it implements.
struct Rows<P> {
    entries: Vec<Entry>,
    peer: &'static str,
    of: PhantomData<P>,
}

fn rows<P: Log>(peer: &'static str) -> Rows<P> {
    Rows {
        entries: Vec::new(),
        peer,
        of: PhantomData,
    }
}

impl<P> IntoIterator for Rows<P> {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<P: Log> Rows<P> {
    fn add(self, workload: Workload, run: Run, remark: &'static str) -> Self {
        self.add_surviving(workload, run, P::SURVIVES, remark)
    }

    fn add_surviving(mut self, workload: Workload, run: Run, survives: Survives, remark: &'static str) -> Self {
        let peer = self.peer;
        self.entries.push(Entry {
            peer,
            workload,
            run,
            survives,
            remark,
            sizes: SIZES,
        });
        self
    }
}

impl<P: Log> Rows<P>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    fn append(self) -> Self {
        self.add(Workload::Append, append::run::<P>, "")
    }

    fn durable_alone(self, remark: &'static str) -> Self {
        self.add_surviving(Workload::Durable1, durable::alone::<P>, Survives::PowerLoss, remark)
    }

    fn durable(self) -> Self {
        self.durable_with("")
    }

    /// `many` says what stands for a partition, where it is not plain.
    fn durable_with(self, many: &'static str) -> Self {
        self.durable_alone("")
            .add_surviving(Workload::Durable16, durable::together::<P>, Survives::PowerLoss, "")
            .add_surviving(Workload::Many, durable::many::<P>, Survives::PowerLoss, many)
    }

    fn roll_small(self) -> Self {
        self.add(Workload::Roll, roll::small::<P>, "")
    }

    fn roll_large(self, remark: &'static str) -> Self {
        self.add(Workload::Roll, roll::large::<P>, remark)
    }
}

impl<P: Log> Rows<P>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    fn batch(self, remark: &'static str) -> Self {
        self.add(Workload::Batch, batch::run::<P>, remark)
    }

    fn disk(self, remark: &'static str) -> Self {
        self.add(Workload::Disk, disk::run::<P>, remark)
    }
}

impl<P: Log> Rows<P>
where
    for<'a> P::Writer<'a>: AppendPipelined,
{
    fn pipelined(self, remark: &'static str) -> Self {
        self.add_surviving(
            Workload::DurablePipelined,
            durable::pipelined::<P>,
            Survives::PowerLoss,
            remark,
        )
    }
}

impl<P: Replay> Rows<P>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    fn replay(self) -> Self {
        self.add(Workload::Replay, replay::run::<P>, P::CHECKS)
    }
}

impl<P: Tail> Rows<P> {
    fn tail_spinning(self, remark: &'static str) -> Self {
        self.add(Workload::TailSpinning, tail::spinning::<P>, remark)
    }

    fn tail_parked(self, remark: &'static str) -> Self {
        self.add(Workload::TailParked, tail::parked::<P>, remark)
    }
}

impl<P: Reopen> Rows<P>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    fn reopen(self, sizes: &'static [usize]) -> Self {
        let mut rows = self.add(Workload::OpenClean, open::run::<P>, P::LOOKS_AT).add(
            Workload::OpenKill,
            open::run::<P>,
            P::LOOKS_AT,
        );
        for entry in &mut rows.entries {
            if entry.workload.is_open() {
                entry.sizes = sizes;
            }
        }
        rows
    }
}
