//! okaywal: a write-ahead log whose only commit is a synced one; concurrent commits share a sync.

use okaywal::{Configuration, Entry, EntryId, LogManager, LogVoid, ReadChunkResult, SegmentReader, WriteAheadLog};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc;

use crate::peer::{AppendBatch, AppendOne, AppendPipelined, Event, IN_FLIGHT, Log, Outcome, Place, Replay, Survives};

/// Far more than one measurement writes: so no checkpoint, which would throw the records away, comes in between.
const PREALLOCATE: u32 = 64 << 20;

pub struct Okaywal {
    log: WriteAheadLog,
    dir: PathBuf,
}

fn configuration(dir: PathBuf) -> Configuration {
    Configuration::default_for(dir)
        .preallocate_bytes(PREALLOCATE)
        .checkpoint_after_bytes(u64::MAX)
        .buffer_bytes(64 << 10)
}

impl Log for Okaywal {
    /// It has no faster mode.
    const SURVIVES: Survives = Survives::PowerLoss;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let log = configuration(place.dir.to_owned()).open(LogVoid)?;
        Ok(Self {
            log,
            dir: place.dir.to_owned(),
        })
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            log: &self.log,
            pending: Vec::new(),
            lengths: Vec::new(),
        })
    }

    fn close(self) -> Outcome {
        Ok(self.log.shutdown()?)
    }
}

pub struct Writer<'a> {
    log: &'a WriteAheadLog,
    /// An entry locks the log, so what is in flight is gathered here.
    pending: Vec<u8>,
    lengths: Vec<usize>,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.append_batch(&[event])
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        let mut entry = self.log.begin_entry()?;
        for event in events {
            entry.write_chunk(event.value)?;
        }
        entry.commit()?;
        Ok(())
    }
}

impl AppendPipelined for Writer<'_> {
    fn send(&mut self, event: Event) -> Outcome {
        self.pending.extend_from_slice(event.value);
        self.lengths.push(event.value.len());
        if self.lengths.len() == IN_FLIGHT {
            self.settle()
        } else {
            Ok(())
        }
    }

    fn settle(&mut self) -> Outcome {
        let mut entry = self.log.begin_entry()?;
        let mut rest = self.pending.as_slice();
        for length in self.lengths.drain(..) {
            let (value, after) = rest.split_at(length);
            entry.write_chunk(value)?;
            rest = after;
        }
        entry.commit()?;
        self.pending.clear();
        Ok(())
    }
}

impl Replay for Okaywal {
    const CHECKS: &'static str = "okaywal checks each record's CRC-32C; only recovery reads, so opening is included";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let (values, shown) = mpsc::sync_channel(64);
        let dir = self.dir.clone();
        // The manager has to live as long as the log: it hands values on instead of borrowing `visit`.
        let reader =
            std::thread::spawn(move || -> io::Result<()> { configuration(dir).open(Reader(values))?.shutdown() });
        let mut count = 0;
        for values in shown {
            for value in &values {
                visit(value);
                count += 1;
            }
        }
        reader.join().map_err(|_| "the recovery panicked")??;
        Ok(count)
    }
}

#[derive(Debug)]
struct Reader(mpsc::SyncSender<Vec<Vec<u8>>>);

impl LogManager for Reader {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let mut values = Vec::new();
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            let mut value = Vec::with_capacity(chunk.bytes_remaining() as usize);
            chunk.read_to_end(&mut value)?;
            if !chunk.check_crc()? {
                return Err(io::Error::other("bad CRC"));
            }
            values.push(value);
        }
        self.0.send(values).map_err(io::Error::other)
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}
