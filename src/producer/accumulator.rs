//! The open batch of each partition: where records gather until they are worth a write.
//!
//! ```text
//! push ─▶ open batch ─▶ append                 full, too old (linger), flushed, or waited for
//!            │            └─▶ receipt           offsets, or the error: for all records of the batch
//!            └─▶ delivery ┄┄┄┄┄┘
//! ```
//!
//! Invariants:
//! * A batch is appended under the accumulator's lock, and records enter it under the same lock: the
//!   order of the log is the order of the sends.
//! * Every batch that was opened is settled, by an append or by its failure.
//! * Sequence numbers count appended records. A batch that failed did not use any, so the next one
//!   continues where the last appended one ended; records of a failed batch are gone, and their
//!   deliveries and the next flush say so.
//!
//! Lock order: accumulator, then partition. Nothing is synced, or waited for, under the lock, unless
//! the topic's `flush.messages` has the append do it.
//!
//! Elsewhere: which partition (`partitioner`), which topic (`routes`), the bytes (`format::batch`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::delivery::{Delivery, Receipt, ReceiptPool, Settled};
use super::partitioner::StickyPartition;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::format::compression::Levels;
use crate::format::record::Encoding;
use crate::partition::{PartitionState, Rules};
use crate::record::{Offset, Record, Timestamp};

/// What [`Accumulator::push`] did with a record.
pub(super) enum Pushed {
    /// It is in the batch, or already in the log.
    Accepted(Delivery),
    /// Nothing: the sticky partition has had its share, another one is to be chosen.
    PartitionFilled,
    /// Nothing: the topic was deleted, or made anew under the same name.
    Retired,
}

/// Nobody gets to see it: a retired partition accepts no records.
const RETIRED: Error = Error::Closed("partition");

/// Stands for "nothing is due" among deadlines.
const NEVER: u64 = u64::MAX;

/// One partition's open batch. Its neighbour in memory is another thread's business, whose writes
/// shall not take its cache lines away.
#[repr(align(128))]
pub(super) struct Accumulator {
    shared: Arc<Shared>,
    /// The earlier of the two deadlines of [`OpenBatch`]. Written under the lock; read without, to
    /// find out whether taking the lock is worth it.
    deadline: AtomicU64,
    open: Mutex<OpenBatch>,
}

struct OpenBatch {
    /// `None` when it is no longer reachable by name: no more records. Senders may still hold the
    /// accumulator then, and shall not keep the files of a deleted topic open by that.
    partition: Option<Arc<PartitionState>>,
    builder: BatchBuilder,
    /// What the builder does; `None` while it has no buffer.
    compression: Option<(Compression, Levels)>,
    /// Of the batch in the builder; `None` while that is empty.
    receipt: Option<Arc<Receipt>>,
    receipts: ReceiptPool,
    /// The topic's, as they were when the batch was opened.
    rules: Rules,
    /// Sequence number of the batch's first record.
    base_sequence: i32,
    /// When the batch's linger is over, in nanoseconds of the monotonic clock; or [`NEVER`].
    linger_end: u64,
    /// End of what was appended and has to be synced before it is acknowledged.
    synced_end: Offset,
    /// When a sync is to be asked for, if nobody has waited for one by then; or [`NEVER`].
    sync_due: u64,
}

impl Accumulator {
    pub(super) fn new(shared: Arc<Shared>, partition: Arc<PartitionState>) -> Self {
        let rules = Rules::of(&partition.config(), 0);
        let open = OpenBatch {
            partition: Some(partition),
            // Partitions that are never written to cost no buffer.
            builder: BatchBuilder::new(0, Compression::None),
            compression: None,
            receipt: None,
            receipts: ReceiptPool::default(),
            rules,
            base_sequence: 0,
            linger_end: NEVER,
            synced_end: 0,
            sync_due: NEVER,
        };
        Self {
            shared,
            deadline: AtomicU64::new(NEVER),
            open: Mutex::new(open),
        }
    }

    /// Adds a record to the open batch, and appends what is full. `sticky` is given if the record
    /// came here for want of a preference, and could as well go elsewhere. `now` is the coarse time of
    /// the call, or the record's own.
    pub(super) fn push(
        self: &Arc<Self>,
        record: &Record<'_>,
        now: Timestamp,
        sticky: Option<&StickyPartition>,
    ) -> Result<Pushed> {
        let mut guard = self.open.lock();
        let open = &mut *guard;
        if open.partition.is_none() {
            return Ok(Pushed::Retired);
        }
        let settings = &self.shared.settings;
        let mut timestamp = open.rules.timestamp(record, now);
        let mut encoding = open.encoding(record, timestamp);
        let size = encoding.size();
        if open.receipt.is_some()
            && open.builder.size() + size > settings.batch_size.min(open.rules.max_batch_bytes)
        {
            self.append(open, Sync::Later);
        }
        let starts_batch = open.receipt.is_none();
        if sticky.is_some_and(|sticky| sticky.is_due(size, settings.batch_size, starts_batch)) {
            return Ok(Pushed::PartitionFilled);
        }
        if starts_batch {
            self.prepare(open)?;
            timestamp = open.rules.timestamp(record, now);
            encoding = open.encoding(record, timestamp);
            open.rules.check_size(record.topic, encoding.size())?;
        }
        open.rules
            .check(record.topic, record, || self.shared.broker.clock().wall())?;
        let receipt = match &open.receipt {
            Some(receipt) => Arc::clone(receipt),
            None => self.new_receipt(open)?,
        };
        let delivery = Delivery::new(receipt, open.builder.count(), timestamp);
        open.builder.push_encoding(timestamp, &encoding);
        if let Some(sticky) = sticky {
            // Counted as the batch's own size is, so that a full batch is a full share.
            sticky.count(if starts_batch {
                open.builder.size()
            } else {
                size
            });
        }
        if open.builder.size() >= settings.batch_size || settings.linger.is_zero() {
            self.append(open, Sync::Later);
        } else if starts_batch {
            self.linger(open);
        }
        Ok(Pushed::Accepted(delivery))
    }

    /// The receipt of a batch that now gets its first record.
    fn new_receipt(self: &Arc<Self>, open: &mut OpenBatch) -> Result<Arc<Receipt>> {
        let partition = open.partition.as_ref().ok_or(RETIRED)?;
        let receipt = open.receipts.take(self, partition);
        open.receipt = Some(Arc::clone(&receipt));
        Ok(receipt)
    }

    /// Has the broker look at the batch, which was just opened, when its linger is over.
    fn linger(&self, open: &mut OpenBatch) {
        let deadline = self.shared.deadline();
        open.linger_end = nanos(deadline);
        self.show_deadline(open);
        self.shared.schedule(deadline);
    }

    /// Appends the open batch, if there is one.
    pub(super) fn append_now(&self) {
        let mut open = self.open.lock();
        self.append(&mut open, Sync::ByWaiter);
    }

    /// Appends the open batch if it is the one that `receipt` belongs to.
    pub(super) fn append_for(&self, receipt: &Receipt) {
        let mut open = self.open.lock();
        if open
            .receipt
            .as_deref()
            .is_some_and(|current| std::ptr::eq(current, receipt))
        {
            self.append(&mut open, Sync::ByWaiter);
        }
    }

    /// Appends the open batch if its linger is over, and asks for the sync that nobody asked for;
    /// returns when there will be something to do next.
    pub(super) fn append_due(&self, now: Duration) -> Option<Duration> {
        if self.deadline.load(Ordering::SeqCst) <= nanos(now) {
            let mut open = self.open.lock();
            if open.linger_end <= nanos(now) {
                self.append(&mut open, Sync::Now);
            }
            if open.sync_due <= nanos(now) {
                open.request_sync();
            }
            self.show_deadline(&open);
        }
        let next = self.deadline.load(Ordering::SeqCst);
        (next != NEVER).then(|| Duration::from_nanos(next))
    }

    fn show_deadline(&self, open: &OpenBatch) {
        let deadline = open.linger_end.min(open.sync_due);
        self.deadline.store(deadline, Ordering::SeqCst);
    }

    /// Blocks until everything that was appended here, and has to be synced, is on the device.
    pub(super) fn wait_durable(&self) -> Result<()> {
        let (partition, end) = {
            let open = self.open.lock();
            (open.partition.clone(), open.synced_end)
        };
        match partition {
            Some(partition) if end > 0 => partition.wait_durable(end),
            _ => Ok(()),
        }
    }

    /// Settles what is open, accepts no more, and gives everything back that takes room.
    pub(super) fn retire(&self) {
        let mut open = self.open.lock();
        self.append(&mut open, Sync::ByWaiter);
        open.partition = None;
        open.receipts = ReceiptPool::default();
        open.builder = BatchBuilder::new(0, Compression::None);
    }

    #[cfg(test)]
    pub(super) fn set_base_sequence(&self, sequence: i32) {
        self.open.lock().base_sequence = sequence;
    }

    /// Readies the empty builder for a batch: takes the topic's present configuration.
    fn prepare(&self, open: &mut OpenBatch) -> Result<()> {
        self.shared.producer_id()?;
        let settings = &self.shared.settings;
        let config = open.partition.as_ref().ok_or(RETIRED)?.config();
        open.rules = Rules::of(&config, self.shared.broker.clock().wall());
        let compression = match config.compression {
            Compression::Producer => (settings.compression, Levels::default()),
            demanded => (demanded, config.compression_levels()),
        };
        if open.compression != Some(compression) {
            let capacity = settings.batch_size.min(open.rules.max_batch_bytes);
            let (codec, levels) = compression;
            open.builder = BatchBuilder::with_levels(capacity, codec, levels);
            open.compression = Some(compression);
        }
        Ok(())
    }

    /// Appends the open batch, if there is one, and settles its receipt.
    fn append(&self, open: &mut OpenBatch, sync: Sync) {
        let Some(receipt) = open.receipt.take() else {
            return;
        };
        open.linger_end = NEVER;
        let outcome = self.try_append(open);
        open.builder.clear();
        match &outcome {
            Ok(settled) => {
                if let Some(end) = settled.synced_end() {
                    open.synced_end = end;
                    self.arrange_sync(open, sync);
                }
            }
            Err(error) => self.shared.note_failure(error),
        }
        self.show_deadline(open);
        receipt.set(outcome);
        open.receipts.give_back(receipt);
    }

    /// Acknowledgements shall come by themselves, also if nobody waits for them.
    fn arrange_sync(&self, open: &mut OpenBatch, sync: Sync) {
        match sync {
            Sync::Later if open.sync_due == NEVER => {
                let deadline = self.shared.deadline();
                open.sync_due = nanos(deadline);
                self.show_deadline(open);
                self.shared.schedule(deadline);
            }
            Sync::Now => open.request_sync(),
            Sync::Later | Sync::ByWaiter => {}
        }
    }

    fn try_append(&self, open: &mut OpenBatch) -> Result<Settled> {
        let producer_id = self.shared.producer_id()?;
        let stamp = if self.shared.settings.idempotence {
            ProducerStamp {
                producer_id,
                producer_epoch: 0,
                base_sequence: open.base_sequence,
            }
        } else {
            ProducerStamp::NONE
        };
        let next_sequence = sequence_after(open.base_sequence, open.builder.count());
        let partition = open.partition.as_ref().ok_or(RETIRED)?;
        let batch = open.builder.finish(stamp, false)?;
        let durability = self.shared.settings.durability;
        let appended = partition.append(batch, durability)?;
        open.base_sequence = next_sequence;
        let durability = partition.durability(self.shared.settings.durability);
        Ok(Settled {
            appended,
            durability,
        })
    }
}

impl OpenBatch {
    /// The record as the batch would take it now.
    #[inline]
    fn encoding<'a>(&self, record: &'a Record<'_>, timestamp: Timestamp) -> Encoding<'a> {
        self.builder
            .encoding(timestamp, record.key, record.value, &record.headers)
    }

    /// Asks for the sync that is due, unless somebody else saw to it.
    fn request_sync(&mut self) {
        self.sync_due = NEVER;
        if let Some(partition) = &self.partition
            && partition.durable_end() < self.synced_end
        {
            partition.request_sync();
        }
    }
}

impl fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accumulator").finish_non_exhaustive()
    }
}

/// How an appended batch gets onto the device, if its acknowledgement demands that.
#[derive(Debug, Clone, Copy)]
enum Sync {
    /// Somebody is about to wait for it, and will sync.
    ByWaiter,
    /// Once it has lingered like a batch, unless somebody waits before.
    Later,
    /// It has lingered enough.
    Now,
}

/// The sequence number `count` records after `sequence`: after `i32::MAX` comes 0.
fn sequence_after(sequence: i32, count: u32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum & i64::from(i32::MAX)).unwrap_or(0)
}

/// Later than `u64` can count is never, for a deadline.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_largest_sequence_comes_zero() {
        assert_eq!(sequence_after(0, 3), 3);
        assert_eq!(sequence_after(i32::MAX - 2, 2), i32::MAX);
        assert_eq!(sequence_after(i32::MAX - 2, 3), 0);
        assert_eq!(sequence_after(i32::MAX, 2), 1);
    }
}
