//! One reader's place in one partition: fetches batch after batch and cuts runs of records from them.
//!
//! Invariants:
//! * `position` is the next offset to hand out. It moves when records are handed out, and past
//!   control batches and emptied ones; never back, except by [`PartitionReader::seek`].
//! * After an error nothing has moved: the next call meets the same batch again.
//! * The rest of a fetched batch waits in `run`; the cursor stands behind that batch already. No
//!   batch is fetched ahead: `run` never holds more than the rest of one, between calls.
//!
//! Elsewhere: finding and mapping the batch (`log`), decoding its records ([`run`](super::run)),
//! choosing where to start ([`assignment`](super::assignment)).

use std::sync::Arc;

use super::records::ConsumerRecord;
use super::run::RecordRun;
use crate::error::Result;
use crate::partition::{Cursor, PartitionState};
use crate::record::Offset;

/// Leader epoch of a position that no record led to.
pub(crate) const NO_EPOCH: i32 = -1;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct PartitionReader {
    partition: Arc<PartitionState>,
    cursor: Cursor,
    run: Option<RecordRun>,
    position: Offset,
    /// Under which epoch the record before `position` was appended.
    leader_epoch: i32,
}

impl PartitionReader {
    /// A reader that stands at `position`; a bad one shows at the first fetch.
    pub(crate) fn new(partition: Arc<PartitionState>, position: Offset) -> Self {
        let cursor = Cursor::at(position);
        Self {
            partition,
            cursor,
            run: None,
            position,
            leader_epoch: NO_EPOCH,
        }
    }

    pub(crate) fn partition(&self) -> &Arc<PartitionState> {
        &self.partition
    }

    /// The next offset to hand out.
    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    /// The leader epoch of the last record handed out.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Moves; drops what was fetched and not handed out. `leader_epoch` is that of the record
    /// before `position`, where known.
    pub(crate) fn seek(&mut self, position: Offset, leader_epoch: i32) {
        self.cursor = Cursor::at(position);
        self.run = None;
        self.position = position;
        self.leader_epoch = leader_epoch;
    }

    /// True if a record is at hand: fetched, and not handed out.
    pub(crate) fn has_record(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.is_empty())
    }

    /// True if there is no record, and no error to tell either: a few atomic loads.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        !self.has_record() && self.partition.is_idle_at(self.cursor.next_offset)
    }

    /// Sees to it that a record is at hand; false at the end of what is readable.
    pub(crate) fn ready(&mut self) -> Result<bool> {
        if self.is_idle() {
            return Ok(false);
        }
        while !self.has_record() && !self.extend_run() {
            let Some(batch) = self.partition.fetch(&mut self.cursor)? else {
                // What was in between may be gone.
                self.position = self.position.max(self.cursor.next_offset);
                return Ok(false);
            };
            let end = batch.header.next_offset();
            if batch.header.attributes.is_control() {
                self.position = end;
                continue;
            }
            let mut run = RecordRun::new(self.partition.id(), batch)
                .inspect_err(|_| self.cursor = Cursor::at(self.position))?;
            run.skip_below(self.position);
            if run.is_empty() {
                // Compaction left a gap, or only the header.
                self.position = end.max(self.position);
            }
            self.run = Some(run);
        }
        Ok(true)
    }

    /// Takes the batch behind the run into it, if that is easily done; false if nothing has changed.
    #[inline]
    fn extend_run(&mut self) -> bool {
        let Some(run) = &mut self.run else {
            return false;
        };
        let Some(next) = self.partition.peek(&self.cursor) else {
            return false;
        };
        let extended = run.extend(&next);
        if extended {
            let header = next.header;
            self.cursor.pass(&header);
        }
        extended
    }

    /// Hands out up to `count` records: of what is at hand and, while that is fewer and less than
    /// `bytes` bytes, of the batches behind it that are as easily had.
    pub(crate) fn take_up_to(&mut self, count: usize, bytes: usize) -> Option<RecordRun> {
        while let Some(run) = &self.run
            && run.len() < count
            && run.byte_len() < bytes
            && self.extend_run()
        {}
        self.take(count)
    }

    /// Hands out up to `count` records that are at hand.
    pub(crate) fn take(&mut self, count: usize) -> Option<RecordRun> {
        let run = self.run.as_mut()?;
        let first = if count < run.len() {
            let first = run.split_to(count);
            self.position = run.next_offset();
            first
        } else {
            self.position = run.end_offset();
            self.run.take()?
        };
        self.leader_epoch = first.leader_epoch();
        (!first.is_empty()).then_some(first)
    }

    /// Hands out one record that is at hand.
    pub(crate) fn next(&mut self) -> Option<ConsumerRecord<'_>> {
        let run = self.run.as_mut()?;
        let (end, is_last) = (run.end_offset(), run.len() == 1);
        let record = run.next()?;
        self.position = if is_last {
            end
        } else {
            record.offset().saturating_add(1)
        };
        self.leader_epoch = record.leader_epoch();
        Some(record)
    }
}
