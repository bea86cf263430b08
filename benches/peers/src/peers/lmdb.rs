//! LMDB through heed: a copy-on-write B-tree in one mapped file. Appends in key order; one writer at a time.

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RwTxn, WithoutTls};

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, IN_FLIGHT, Log, Outcome, Place, Positions, Reopen, Replay,
    Survives, position_of, store_key,
};

pub struct Lmdb {
    env: Env<WithoutTls>,
    records: Database<Bytes, Bytes>,
    positions: Positions,
    /// With one partition, keys only grow: LMDB can append to its last page.
    append: bool,
}

impl Lmdb {
    fn next_position(env: &Env<WithoutTls>, records: Database<Bytes, Bytes>) -> Outcome<u64> {
        let transaction = env.read_txn()?;
        match records.last(&transaction)? {
            Some((key, _)) => Ok(position_of(key).ok_or("a strange key")? + 1),
            None => Ok(0),
        }
    }

    fn put(&self, transaction: &mut RwTxn, event: Event) -> Outcome {
        // Inside a transaction there is no other writer: positions are taken in order.
        let key = store_key(event.partition, self.positions.take(1));
        let flags = if self.append {
            PutFlags::APPEND
        } else {
            PutFlags::empty()
        };
        Ok(self.records.put_with_flags(transaction, flags, &key, event.value)?)
    }
}

impl Log for Lmdb {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(16 << 30);
        // Without syncs, a map that is written to is its fastest mode; with syncs, write calls are.
        let flags = if place.durable() {
            EnvFlags::empty()
        } else {
            EnvFlags::WRITE_MAP | EnvFlags::NO_SYNC
        };
        // SAFETY: the directory is this run's own, and nobody else opens it.
        let env = unsafe { options.flags(flags).open(place.dir)? };
        let mut create = env.write_txn()?;
        let records = env.create_database(&mut create, None)?;
        create.commit()?;
        let positions = Positions::from(Self::next_position(&env, records)?);
        Ok(Self {
            env,
            records,
            positions,
            append: place.partitions == 1,
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
    store: &'a Lmdb,
    /// Of the pipelined workload.
    open: Option<RwTxn<'a>>,
    in_flight: usize,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.append_batch(&[event])
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let mut transaction = self.store.env.write_txn()?;
        for event in events {
            self.store.put(&mut transaction, *event)?;
        }
        Ok(transaction.commit()?)
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        let mut transaction = match self.open.take() {
            Some(open) => open,
            None => self.store.env.write_txn()?,
        };
        self.store.put(&mut transaction, event)?;
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

impl Replay for Lmdb {
    const CHECKS: &'static str = "nobody: LMDB has no checksums";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        let mut count = 0;
        for pair in self.records.iter(&transaction)? {
            visit(pair?.1);
            count += 1;
        }
        Ok(count)
    }
}

impl Reopen for Lmdb {
    const LOOKS_AT: &'static str = "nothing is checked";

    fn sync(&self) -> Outcome {
        Ok(self.env.force_sync()?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Self::next_position(&self.env, self.records).map(Some)
    }
}
