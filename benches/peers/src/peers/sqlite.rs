//! SQLite through rusqlite (bundled), in WAL mode: `synchronous` OFF leaves syncing to the kernel, FULL syncs each commit.
//! A table a partition, whose row ids are positions.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::Connection;

use crate::peer::{
    AppendBatch, AppendOne, AppendPipelined, Event, IN_FLIGHT, Log, Outcome, Place, Positions, Reopen, Replay, Survives,
};

pub struct Sqlite {
    path: PathBuf,
    first: Connection,
    /// SQLite has one writer at a time: who waits for a lock here is woken, who waits in SQLite sleeps and tries again.
    writing: Mutex<()>,
    /// The statement of each partition.
    inserts: Vec<String>,
    positions: Positions,
    durable: bool,
}

fn connect(path: &Path, durable: bool) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    // All statements of 64 partitions.
    connection.set_prepared_statement_cache_capacity(128);
    let synchronous = if durable { "FULL" } else { "OFF" };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA busy_timeout = 10000;
         PRAGMA mmap_size = 17179869184; PRAGMA cache_size = -65536;"
    ))?;
    Ok(connection)
}

impl Sqlite {
    fn next_position(connection: &Connection) -> Outcome<u64> {
        let query = "SELECT coalesce(max(position) + 1, 0) FROM records0";
        let next: i64 = connection.query_row(query, [], |row| row.get(0))?;
        Ok(u64::try_from(next)?)
    }
}

// SAFETY: `first` is used by one thread at a time: by `Replay` and `Reopen`, which have no other threads. SQLite is built
// in its serialized mode.
unsafe impl Sync for Sqlite {}

impl Log for Sqlite {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let path = place.dir.join("sqlite");
        let first = connect(&path, place.durable())?;
        for partition in 0..place.partitions {
            first.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS records{partition} (position INTEGER PRIMARY KEY, value BLOB)"
            ))?;
        }
        let inserts = (0..place.partitions).map(|partition| format!("INSERT INTO records{partition} VALUES (?1, ?2)"));
        let positions = Positions::from(Self::next_position(&first)?);
        Ok(Self {
            path,
            first,
            writing: Mutex::new(()),
            inserts: inserts.collect(),
            positions,
            durable: place.durable(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        let connection = connect(&self.path, self.durable)?;
        Ok(Writer {
            store: self,
            connection,
            in_flight: 0,
        })
    }
}

pub struct Writer<'a> {
    store: &'a Sqlite,
    connection: Connection,
    in_flight: usize,
}

impl Writer<'_> {
    fn execute(&self, statement: &str) -> Outcome {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    fn insert(&self, event: Event) -> Outcome {
        let position = i64::try_from(self.store.positions.take(1))?;
        self.connection
            .prepare_cached(&self.store.inserts[event.partition as usize])?
            .execute((position, event.value))?;
        Ok(())
    }
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        let _writing = self.store.writing.lock().map_err(|_| "poisoned")?;
        self.insert(event)
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let _writing = self.store.writing.lock().map_err(|_| "poisoned")?;
        self.execute("BEGIN IMMEDIATE")?;
        events.iter().try_for_each(|event| self.insert(*event))?;
        self.execute("COMMIT")
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        if self.in_flight == 0 {
            self.execute("BEGIN IMMEDIATE")?;
        }
        self.insert(event)?;
        self.in_flight += 1;
        if self.in_flight == IN_FLIGHT {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        if self.in_flight > 0 {
            self.in_flight = 0;
            self.execute("COMMIT")?;
        }
        Ok(())
    }
}

impl Replay for Sqlite {
    const CHECKS: &'static str = "nobody: SQLite has no checksums outside its WAL";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let query = "SELECT value FROM records0 ORDER BY position";
        let mut statement = self.first.prepare(query)?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?);
            count += 1;
        }
        Ok(count)
    }
}

impl Reopen for Sqlite {
    const LOOKS_AT: &'static str = "the WAL is read and checked";

    fn sync(&self) -> Outcome {
        self.first.execute_batch("PRAGMA synchronous = FULL")?;
        self.first
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(self.first.execute_batch("PRAGMA synchronous = OFF")?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Self::next_position(&self.first).map(Some)
    }
}
