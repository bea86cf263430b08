//! walrus-rust: topics over 10 MB blocks in sparse 1 GB files, FNV checksums. Single appends use `pwrite`, batches io_uring.
//!
//! It takes its directory from `WALRUS_DATA_DIR`, which `main` sets before there are threads.

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus as Wal};

use crate::peer::{AppendBatch, AppendOne, Event, Follow, Log, Outcome, Place, Reopen, Replay, Survives, Tail, Wait};

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

impl AppendBatch for &Walrus {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let values: Vec<_> = events.iter().map(|event| event.value).collect();
        Ok(self
            .wal
            .batch_append_for_topic(&self.topics[events[0].partition as usize], &values)?)
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

impl Tail for Walrus {
    type Tailer<'a> = &'a Self;

    /// Polls: walrus wakes nobody.
    fn tailer(&self, _: Wait) -> Outcome<&Self> {
        Ok(self)
    }

    fn append_shared(&self, event: Event) -> Outcome {
        let mut writer = self;
        writer.append(event)
    }
}

impl Follow for &Walrus {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        match self.wal.read_next(&self.topics[0], true)? {
            Some(entry) => {
                visit(&entry.data);
                Ok(1)
            }
            None => Ok(0),
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
