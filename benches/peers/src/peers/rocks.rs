//! RocksDB: an LSM tree with a WAL; concurrent synced writes share a sync.

use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, InFlight, Log, Outcome, Place, Positions, Reopen, Replay, Survives,
    position_of, store_key,
};

pub struct Rocks {
    database: DB,
    positions: Positions,
    write: WriteOptions,
}

impl Rocks {
    fn next_position(database: &DB) -> Outcome<u64> {
        match database.iterator(IteratorMode::End).next() {
            Some(last) => Ok(position_of(&last?.0).ok_or("a strange key")? + 1),
            None => Ok(0),
        }
    }
}

impl Log for Rocks {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::None);
        options.set_enable_pipelined_write(true);
        options.set_write_buffer_size(128 << 20);
        // Its tuning guide: recycled files need no new length synced.
        options.set_recycle_log_file_num(4);
        let database = DB::open(&options, place.dir)?;
        let positions = Positions::from(Self::next_position(&database)?);
        let mut write = WriteOptions::default();
        write.set_sync(place.durable());
        Ok(Self {
            database,
            positions,
            write,
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
    store: &'a Rocks,
    in_flight: InFlight,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        let Rocks {
            database,
            positions,
            write,
        } = self.store;
        Ok(database.put_opt(store_key(event.partition, positions.take(1)), event.value, write)?)
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let Rocks {
            database,
            positions,
            write,
        } = self.store;
        let mut batch = WriteBatch::default();
        for (position, event) in (positions.take(events.len())..).zip(events) {
            batch.put(store_key(event.partition, position), event.value);
        }
        Ok(database.write_opt(batch, write)?)
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let Rocks {
            database, positions, ..
        } = self.store;
        database.put(store_key(event.partition, positions.take(1)), event.value)?;
        if self.in_flight.is_full_after_one() {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight.clear();
        Ok(self.store.database.flush_wal(true)?)
    }
}

impl Replay for Rocks {
    const CHECKS: &'static str = "RocksDB checks each block that it reads from disk";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut iterator = self.database.raw_iterator();
        iterator.seek_to_first();
        let mut count = 0;
        while let Some(value) = iterator.value() {
            visit(value);
            count += 1;
            iterator.next();
        }
        iterator.status()?;
        Ok(count)
    }
}

impl Reopen for Rocks {
    const LOOKS_AT: &'static str = "the WAL is read and checked";

    fn sync(&self) -> Outcome {
        Ok(self.database.flush_wal(true)?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Self::next_position(&self.database).map(Some)
    }
}
