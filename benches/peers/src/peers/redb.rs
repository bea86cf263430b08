//! redb: a copy-on-write B-tree. A commit is durable, or lost unless a durable one follows it.

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, IN_FLIGHT, Log, Outcome, Place, Positions, Reopen, Replay, Survives,
};

const RECORDS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("records");

pub struct Redb {
    database: Database,
    positions: Positions,
    durability: Durability,
}

impl Redb {
    fn next_position(database: &Database) -> Outcome<u64> {
        let table = database.begin_read()?.open_table(RECORDS)?;
        let last = table.last()?;
        Ok(last.map_or(0, |(key, _)| key.value().1 + 1))
    }

    fn begin(&self) -> Outcome<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        Ok(transaction)
    }
}

impl Log for Redb {
    const SURVIVES: Survives = Survives::Nothing;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let database = Database::create(place.dir.join("redb"))?;
        let create = database.begin_write()?;
        create.open_table(RECORDS)?;
        create.commit()?;
        let positions = Positions::from(Self::next_position(&database)?);
        let durability = if place.durable() {
            Durability::Immediate
        } else {
            Durability::None
        };
        Ok(Self {
            database,
            positions,
            durability,
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            store: self,
            open: None,
            in_flight: 0,
        })
    }
}

pub struct Writer<'a> {
    store: &'a Redb,
    /// Of the pipelined workload.
    open: Option<WriteTransaction>,
    in_flight: usize,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.append_batch(&[event])
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let transaction = self.store.begin()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (position, event) in (self.store.positions.take(events.len())..).zip(events) {
                table.insert((event.partition, position), event.value)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let transaction = match self.open.take() {
            Some(open) => open,
            None => self.store.begin()?,
        };
        let position = self.store.positions.take(1);
        transaction
            .open_table(RECORDS)?
            .insert((event.partition, position), event.value)?;
        self.open = Some(transaction);
        self.in_flight += 1;
        if self.in_flight == IN_FLIGHT {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        self.in_flight = 0;
        match self.open.take() {
            Some(open) => Ok(open.commit()?),
            None => Ok(()),
        }
    }
}

impl Replay for Redb {
    const CHECKS: &'static str = "nobody: redb checks pages when it repairs";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        let mut count = 0;
        for pair in table.iter()? {
            visit(pair?.1.value());
            count += 1;
        }
        Ok(count)
    }
}

impl Reopen for Redb {
    const LOOKS_AT: &'static str = "after a kill the tree of the last durable commit is checked";

    fn sync(&self) -> Outcome {
        // A durable commit takes those before it along.
        Ok(self.database.begin_write()?.commit()?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Self::next_position(&self.database).map(Some)
    }
}
