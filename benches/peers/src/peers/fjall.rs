//! fjall: an LSM tree. Each insert is written to the journal; a sync is a call of its own.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, InFlight, Log, Outcome, Place, Positions, Reopen, Replay, Survives,
    position_of, store_key,
};

pub struct Fjall {
    database: Database,
    records: Keyspace,
    positions: Positions,
    durable: bool,
}

impl Fjall {
    fn next_position(records: &Keyspace) -> Outcome<u64> {
        match records.last_key_value() {
            Some(last) => Ok(position_of(&last.key()?).ok_or("a strange key")? + 1),
            None => Ok(0),
        }
    }
}

impl Log for Fjall {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let database = Database::builder(place.dir).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let positions = Positions::from(Self::next_position(&records)?);
        Ok(Self {
            database,
            records,
            positions,
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            store: self,
            in_flight: InFlight::default(),
        })
    }
}

pub struct Writer<'a> {
    store: &'a Fjall,
    in_flight: InFlight,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        let Fjall {
            database,
            records,
            positions,
            durable,
        } = self.store;
        records.insert(store_key(event.partition, positions.take(1)), event.value)?;
        if *durable {
            database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let Fjall {
            database,
            records,
            positions,
            durable,
        } = self.store;
        let mode = if *durable {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        let mut batch = database.batch().durability(Some(mode));
        for (position, event) in (positions.take(events.len())..).zip(events) {
            batch.insert(records, store_key(event.partition, position), event.value);
        }
        Ok(batch.commit()?)
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let Fjall { records, positions, .. } = self.store;
        records.insert(store_key(event.partition, positions.take(1)), event.value)?;
        if self.in_flight.is_full_after_one() {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight.clear();
        Ok(self.store.database.persist(PersistMode::SyncData)?)
    }
}

impl Replay for Fjall {
    const CHECKS: &'static str = "fjall checks each block that it reads from disk";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut count = 0;
        for pair in self.database.snapshot().iter(&self.records) {
            visit(&pair.value()?);
            count += 1;
        }
        Ok(count)
    }
}

impl Reopen for Fjall {
    const LOOKS_AT: &'static str = "the journal is read and checked";

    fn sync(&self) -> Outcome {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Self::next_position(&self.records).map(Some)
    }
}
