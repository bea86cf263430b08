//! walrus-rust: topics over 10 MB blocks in sparse 1 GB files, FNV checksums. Single appends use `pwrite`, batches io_uring
//! and a sync, whatever the schedule says.
//!
//! It takes its directory from `WALRUS_DATA_DIR`, which `main` sets before there are threads.

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus as Wal};

use crate::peer::{AppendBatch, AppendOne, Event, Log, Outcome, Place, Reopen, Replay, Survives};

pub struct Walrus {
    wal: Wal,
    topics: Vec<String>,
}

impl Log for Walrus {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = &'a Self;

    fn open(place: &Place) -> Outcome<Self> {
        // SyncEach opens files with O_SYNC.
        let schedule = if place.durable() {
            FsyncSchedule::SyncEach
        } else {
            FsyncSchedule::NoFsync
        };
        let reads = ReadConsistency::AtLeastOnce {
            persist_every: u32::MAX,
        };
        let wal = Wal::with_consistency_and_schedule(reads, schedule)?;
        let topics = (0..place.partitions).map(|number| format!("t{number}")).collect();
        Ok(Self { wal, topics })
    }

    fn writer(&self) -> Outcome<&Self> {
        Ok(self)
    }
}

impl AppendOne for &Walrus {
    fn append(&mut self, event: Event) -> Outcome {
        Ok(self
            .wal
            .append_for_topic(&self.topics[event.partition as usize], event.value)?)
    }
}

/// Its batches, where they are what is measured. Elsewhere batches are single appends, which are faster.
pub struct WalrusBatches(Walrus);

impl Log for WalrusBatches {
    const SURVIVES: Survives = Survives::PowerLoss;
    type Writer<'a> = BatchWriter<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        Walrus::open(place).map(Self)
    }

    fn writer(&self) -> Outcome<BatchWriter<'_>> {
        Ok(BatchWriter(&self.0))
    }
}

pub struct BatchWriter<'a>(&'a Walrus);

impl AppendBatch for BatchWriter<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let Walrus { wal, topics } = self.0;
        let values: Vec<_> = events.iter().map(|event| event.value).collect();
        Ok(wal.batch_append_for_topic(&topics[events[0].partition as usize], &values)?)
    }
}

impl AppendBatch for &Walrus {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        events.iter().try_for_each(|event| self.append(*event))
    }
}

impl Replay for Walrus {
    const CHECKS: &'static str = "walrus checks each record's FNV-1a";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut count = 0;
        loop {
            let entries = self.wal.batch_read_for_topic(&self.topics[0], 1 << 20, true)?;
            if entries.is_empty() {
                return Ok(count);
            }
            entries.iter().for_each(|entry| visit(&entry.data));
            count += entries.len() as u64;
        }
    }
}

impl Reopen for Walrus {
    const LOOKS_AT: &'static str = "every record is read and checked";

    /// There is no call for it.
    fn sync(&self) -> Outcome {
        Ok(())
    }

    /// Reading would use the records up.
    fn records(&self) -> Outcome<Option<u64>> {
        Ok(None)
    }
}
