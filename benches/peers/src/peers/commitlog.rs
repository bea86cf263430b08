//! commitlog: one `write` per call into segments, an index entry per record in a mapped file.
//!
//! Its `flush` does nothing for the segment (`File::flush`), so it has no durable mode.

use std::sync::{Mutex, MutexGuard};

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::peer::{AppendBatch, AppendOne, Event, Follow, Log, Outcome, Place, Reopen, Replay, Survives, Tail, Wait};

pub struct Commitlog(Mutex<CommitLog>);

impl Commitlog {
    fn lock(&self) -> MutexGuard<'_, CommitLog> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What lies at and after `offset`, and where to go on.
    fn read(&self, offset: u64, bytes: usize, visit: &mut impl FnMut(&[u8])) -> Outcome<u64> {
        let messages = self.lock().read(offset, ReadLimit::max_bytes(bytes))?;
        for message in messages.iter() {
            visit(message.payload());
        }
        Ok(messages.len() as u64)
    }
}

impl Log for Commitlog {
    const SURVIVES: Survives = Survives::ProcessKill;
    type Writer<'a> = Writer<'a>;

    fn open(place: &Place) -> Outcome<Self> {
        let mut options = LogOptions::new(place.dir);
        if let Some(bytes) = place.segment_bytes {
            options.segment_max_bytes(usize::try_from(bytes)?);
        }
        Ok(Self(Mutex::new(CommitLog::new(options)?)))
    }

    fn writer(&self) -> Outcome<Writer<'_>> {
        Ok(Writer {
            log: self.lock(),
            buffer: MessageBuf::default(),
        })
    }
}

pub struct Writer<'a> {
    log: MutexGuard<'a, CommitLog>,
    /// Used again, which `append_msg` does not do.
    buffer: MessageBuf,
}

impl AppendOne for Writer<'_> {
    fn append(&mut self, event: Event) -> Outcome {
        self.append_batch(&[event])
    }
}

impl AppendBatch for Writer<'_> {
    fn append_batch(&mut self, events: &[Event]) -> Outcome {
        self.buffer.clear();
        for event in events {
            self.buffer.push(event.value).map_err(|_| "too large")?;
        }
        self.log.append(&mut self.buffer)?;
        Ok(())
    }
}

impl Replay for Commitlog {
    const CHECKS: &'static str = "commitlog checks each record's CRC-32C";

    fn replay(&self, mut visit: impl FnMut(&[u8])) -> Outcome<u64> {
        let mut offset = 0;
        loop {
            // Larger reads were not faster.
            match self.read(offset, 64 << 10, &mut visit)? {
                0 => return Ok(offset),
                count => offset += count,
            }
        }
    }
}

impl Tail for Commitlog {
    type Tailer<'a> = Tailer<'a>;

    fn tailer(&self, _: Wait) -> Outcome<Tailer<'_>> {
        Ok(Tailer { log: self, offset: 0 })
    }

    fn append_shared(&self, event: Event) -> Outcome {
        self.lock().append_msg(event.value)?;
        Ok(())
    }
}

/// Polls: commitlog wakes nobody.
pub struct Tailer<'a> {
    log: &'a Commitlog,
    offset: u64,
}

impl Follow for Tailer<'_> {
    fn next(&mut self, mut visit: impl FnMut(&[u8])) -> Outcome<usize> {
        let count = self.log.read(self.offset, 64 << 10, &mut visit)?;
        self.offset += count;
        Ok(usize::try_from(count)?)
    }
}

impl Reopen for Commitlog {
    const LOOKS_AT: &'static str = "nothing is checked";

    /// Not really: see above. The kernel keeps the bytes when the process is killed.
    fn sync(&self) -> Outcome {
        Ok(self.lock().flush()?)
    }

    fn records(&self) -> Outcome<Option<u64>> {
        Ok(Some(self.lock().next_offset()))
    }
}
