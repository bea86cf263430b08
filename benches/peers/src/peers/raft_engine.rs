//! raft-engine: TiKV's log store. Entries are protobuf messages with an index, in Raft groups. A group has one writer, so
//! each writer here has its own, for each partition.

use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, InFlight, Log, Outcome, Place, Reopen, Replay, Survives,
};

/// Where Raft's own entries would need another crate: a ready-made message with an integer (the index) and bytes.
type Entry = UninterpretedOption;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

pub struct RaftEngine {
    engine: Engine,
    partitions: u32,
    writers: AtomicU64,
    durable: bool,
}

/// The group of the first writer's first partition: that of all workloads with one writer and one partition.
const FIRST_GROUP: u64 = 1;

impl Log for RaftEngine {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut config = Config {
            dir: place.dir.to_string_lossy().into_owned(),
            // Batches of 100 would be compressed with LZ4; nobody else here compresses.
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        if place.durable() {
            // Files of zeros made ahead, so that a sync does not have to write down a new length.
            config.target_file_size = ReadableSize::mb(32);
            config.prefill_for_recycle = true;
            config.prefill_limit = Some(ReadableSize::mb(64));
        }
        let engine = Engine::open(config)?;
        Ok(Self {
            engine,
            partitions: place.partitions,
            writers: AtomicU64::new(0),
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        let count = u64::from(self.partitions);
        let first_group = FIRST_GROUP + self.writers.fetch_add(count, Ordering::Relaxed);
        let groups = first_group..first_group + count;
        let next = groups
            .map(|group| self.engine.last_index(group).unwrap_or(0) + 1)
            .collect();
        Ok(Writer {
            log: self,
            first_group,
            next,
            batch: LogBatch::default(),
            in_flight: InFlight::default(),
        })
    }
}

pub struct Writer<'a> {
    log: &'a RaftEngine,
    first_group: u64,
    /// The next index of each group.
    next: Vec<u64>,
    batch: LogBatch,
    in_flight: InFlight,
}

impl Writer<'_> {
    fn write(&mut self, events: &[Event], sync: bool) -> Outcome {
        let partition = events[0].partition;
        let next = &mut self.next[partition as usize];
        let first = *next;
        *next += events.len() as u64;
        let entries: Vec<_> = (first..)
            .zip(events)
            .map(|(index, event)| {
                let mut entry = Entry::new();
                entry.set_positive_int_value(index);
                entry.set_string_value(event.value.to_vec());
                entry
            })
            .collect();
        self.batch
            .add_entries::<Entries>(self.first_group + u64::from(partition), &entries)?;
        self.log.engine.write(&mut self.batch, sync)?;
        Ok(())
    }
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.write(&[event], self.log.durable)
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        self.write(events, self.log.durable)
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        self.write(&[event], false)?;
        if self.in_flight.is_full_after_one() {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight.clear();
        Ok(self.log.engine.sync()?)
    }
}

impl Replay for RaftEngine {
    const CHECKS: &'static str = "raft-engine checks each batch's CRC-32";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let Some(last) = self.engine.last_index(FIRST_GROUP) else {
            return Ok(0);
        };
        let mut entries = Vec::new();
        for from in (1..=last).step_by(1_000) {
            entries.clear();
            self.engine.fetch_entries_to::<Entries>(
                FIRST_GROUP,
                from,
                (from + 1_000).min(last + 1),
                None,
                &mut entries,
            )?;
            entries.iter().for_each(|entry| visit(entry.get_string_value()));
        }
        Ok(last)
    }
}

impl Reopen for RaftEngine {
    const LOOKS_AT: &'static str = "every batch is read and checked; the index is in memory";

    fn sync(&self) -> Outcome {
        Ok(self.engine.sync()?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.engine.last_index(FIRST_GROUP).unwrap_or(0)))
    }
}
