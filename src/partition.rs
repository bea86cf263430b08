//! A partition: orders writers, publishes the readable end, wakes readers.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::config::{Durability, TopicConfig};
use crate::disk::MappedBytes;
use crate::error::Result;
use crate::format::batch::BatchHeader;
use crate::notify::Waiters;
use crate::record::{Offset, Position, Timestamp, TopicPartition};

/// What everybody who uses a partition shares.
#[derive(Debug)]
pub(crate) struct PartitionState {
    id: TopicPartition,
    waiters: Waiters,
}

/// What an append answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of the batch's first record; record `i` has `base_offset + i`.
    pub(crate) base_offset: Offset,
    /// One past the offset of the batch's last record.
    pub(crate) end_offset: Offset,
    /// The time of the append, if the topic stamps records with it; else the records keep theirs.
    pub(crate) log_append_time: Option<Timestamp>,
}

/// A batch as it lies in the log: framed, in sequence, its CRC checked. Records are not decoded.
#[derive(Debug, Clone)]
pub(crate) struct FetchedBatch {
    pub(crate) header: BatchHeader,
    /// The whole batch, header included.
    pub(crate) bytes: MappedBytes,
}

/// Where a reader stands: the next offset it wants, and a hint where that lies.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) next_offset: Offset,
    // + private hint (segment, file position), filled by the log
}

impl Cursor {
    /// A cursor that stands at `next_offset`. No I/O; a bad offset shows at the first fetch.
    pub(crate) fn at(next_offset: Offset) -> Self {
        Self { next_offset }
    }
}

impl PartitionState {
    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        todo!()
    }

    /// Appends one finished batch (base offset 0, as `BatchBuilder::finish` leaves it): checks it,
    /// sets base offset and leader epoch in place (and the append time, if the topic says so),
    /// writes it, publishes, and wakes readers. On an error nothing was appended, unless the error
    /// says it is indefinite.
    pub(crate) fn append(&self, batch: &mut [u8]) -> Result<Appended> {
        let _ = batch;
        todo!()
    }

    /// The stronger of what the topic demands and `asked`.
    pub(crate) fn durability(&self, asked: Durability) -> Durability {
        let _ = asked;
        todo!()
    }

    /// Blocks until everything below `end` is on the device; shares one sync with all who wait.
    pub(crate) fn wait_durable(&self, end: Offset) -> Result<()> {
        let _ = end;
        todo!()
    }

    /// Like [`Self::wait_durable`], without blocking: asks the housekeeping thread for a sync (or,
    /// on a broker without one, syncs here) and wakes the task when it is done.
    pub(crate) fn poll_durable(&self, end: Offset, context: &mut Context<'_>) -> Poll<Result<()>> {
        let _ = (end, context);
        todo!()
    }

    /// Asks the housekeeping thread to sync soon, since somebody may be waiting later. Cheap.
    pub(crate) fn request_sync(&self) {
        todo!()
    }

    /// The next batch that holds `cursor.next_offset` or a later one, if it is readable. It moves
    /// the cursor's offset to the end of that batch. `Ok(None)` at the readable end (cursor
    /// unchanged). `Err(OffsetOutOfRange)` below the start or beyond the end; `Err(Corrupt)` with
    /// the cursor unchanged on damage. The first batch after a seek may start below the offset
    /// asked for: the caller skips its first records. No lock, no copy, no system call.
    pub(crate) fn fetch(&self, cursor: &mut Cursor) -> Result<Option<FetchedBatch>> {
        let _ = cursor;
        todo!()
    }

    /// The offset that a position stands for right now.
    pub(crate) fn resolve(&self, position: Position) -> Result<Offset> {
        let _ = position;
        todo!()
    }

    pub(crate) fn log_start_offset(&self) -> Offset {
        todo!()
    }

    /// What consumers may read: up to, not including, this offset.
    pub(crate) fn high_watermark(&self) -> Offset {
        todo!()
    }

    /// Everything below is on the device.
    pub(crate) fn durable_end(&self) -> Offset {
        todo!()
    }

    /// Where records of leader epoch `epoch` end in this log (the start of the next epoch, or the
    /// log's end), for telling a position from a lost suffix.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Offset {
        let _ = epoch;
        todo!()
    }

    /// Readers that wait for new records register here.
    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}
