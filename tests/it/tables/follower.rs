//! Readers that compare everything they are shown with what was written.

use streamlog::{ConsumerRecord, Error, Offset, Partition, Position, Reader};

use super::history::{History, Table, Written};
use super::{Check, require};

/// A reader of one partition, and where it is.
pub struct Follower {
    reader: Reader,
    partition: Partition,
    /// What it was shown all below.
    next: Offset,
}

impl Follower {
    pub fn new(partition: &Partition, position: Offset) -> Result<Self, String> {
        Ok(Self {
            reader: said(partition.reader(Position::Offset(position)))?,
            partition: partition.clone(),
            next: position,
        })
    }

    pub fn earliest(partition: &Partition) -> Result<Self, String> {
        Self::new(partition, partition.log_start_offset())
    }

    /// Reads up to `most` records; true if there is no more. `history` is asked for after each record is in
    /// hand, and `see` is told of it.
    pub fn read(
        &mut self,
        most: usize,
        with: &impl WithHistory,
        mut see: impl FnMut(&str, Offset),
    ) -> Result<bool, String> {
        for _ in 0..most {
            let end = self.partition.high_watermark();
            match self.reader.next() {
                Ok(Some(record)) => {
                    let next = self.next;
                    with.history(|history, now| check_record(&record, next, history, now))?;
                    self.next = record.offset() + 1;
                    if let Some(key) = record.key() {
                        see(std::str::from_utf8(key).unwrap_or("?"), record.offset());
                    }
                }
                Ok(None) => {
                    with.history(|history, now| {
                        let missing = history.missing(self.next..end, now);
                        require!(
                            missing.is_none(),
                            "at the end {end}, {missing:?} was skipped"
                        );
                        Ok(())
                    })?;
                    self.next = self.next.max(end);
                    return Ok(true);
                }
                Err(Error::OffsetOutOfRange { start, .. }) if start > self.next => {
                    said(self.reader.seek(Position::Offset(start)))?;
                    self.next = start;
                }
                Err(error) => return Err(format!("a reader at {}: {error}", self.next)),
            }
        }
        Ok(false)
    }

    /// Goes to an offset that may be below the start.
    pub fn seek(&mut self, offset: Offset) -> Check {
        self.next = offset.min(self.partition.high_watermark());
        said(self.reader.seek(Position::Offset(self.next)))
    }

    /// Goes to the first record of a time or later, and sees whether it is.
    pub fn seek_time(&mut self, time: i64, with: &impl WithHistory) -> Check {
        let start = self.partition.log_start_offset();
        let end = self.partition.high_watermark();
        let found = said(self.partition.offset_for_timestamp(time))?;
        let until = found.unwrap_or(end);
        with.history(|history, now| {
            let from = start.max(history.start);
            let is_late = |offset: &Offset| {
                history
                    .written(*offset)
                    .is_some_and(|it| it.timestamp >= time)
            };
            if let Some(found) = found {
                require!(is_late(&found), "{found} is not of {time} or later");
            }
            let better = (from..until).find(|it| is_late(it) && !history.may_be_gone(*it, now));
            require!(
                better.is_none(),
                "{time} is at {found:?}, should be at {better:?}"
            );
            Ok(())
        })?;
        self.seek(until)
    }
}

/// Who lets others look at what was written.
pub trait WithHistory {
    /// Calls `look` with what was written by now, with the start as it is now, and with the time.
    fn history<T>(&self, look: impl FnOnce(&History, i64) -> T) -> T;
}

/// Reads all there is from the earliest record on, and compares the latest of each key.
pub fn scan(partition: &Partition, with: &impl WithHistory, at_once: bool) -> Check {
    let mut follower = Follower::earliest(partition)?;
    let mut table = Table::new();
    loop {
        let is_at_end = follower.read(64, with, |key, offset| {
            table.insert(key.to_owned(), offset);
        })?;
        if is_at_end {
            let end = follower.next;
            let wrong = with.history(|it, now| it.check_table(&table, end, now, at_once));
            return wrong.map_or(Ok(()), Err);
        }
    }
}

/// The record is what was written at its offset, behind all before it, and nothing was skipped that has to
/// be there.
pub fn check_record(
    record: &ConsumerRecord<'_>,
    next: Offset,
    history: &History,
    now: i64,
) -> Check {
    let offset = record.offset();
    require!(offset >= next, "{offset} was shown behind {next}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = Written {
        key: record.key().map(text),
        value: record.value().map(text),
        timestamp: record.timestamp(),
    };
    let written = history.written(offset);
    require!(
        written == Some(&shown),
        "{offset} is shown as {shown:?}, was written as {written:?}"
    );
    let missing = history.missing(next..offset, now);
    require!(
        missing.is_none(),
        "{missing:?} was skipped between {next} and {offset}"
    );
    Ok(())
}

/// What a call that must succeed said.
pub fn said<T>(outcome: streamlog::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}
