//! Receipts: how a sender learns where its record is, or why it is nowhere.
//!
//! All records of a batch share one [`Receipt`], which is settled once: when the batch was appended,
//! or could not be. A [`Delivery`] is a share of it and the record's place in the batch.
//!
//! Nobody parks here. An open batch is settled under the lock of its partition's accumulator, so
//! whoever wants the outcome takes that lock and, if the batch is still open, appends it itself:
//! when somebody waits there is no reason to linger. Waiting for the device is the partition's.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use super::accumulator::Accumulator;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::partition::{Appended, PartitionState};
use crate::record::{Offset, RecordMetadata, Timestamp};

/// The acknowledgement of one record, to be waited for by blocking or as a future.
///
/// It may be dropped: the record is written all the same, and if that fails,
/// [`Producer::flush`](crate::Producer::flush) reports it. It may outlive the producer and the broker.
///
/// As a [`Future`] it needs no particular runtime. Its first poll appends the record's batch, if that
/// is still open, like [`wait`](Self::wait); it never waits for the device. It may be polled again
/// after it was ready.
///
/// ```
/// use streamlog::{Broker, Record, TopicConfig};
///
/// # fn main() -> streamlog::Result<()> {
/// let broker = Broker::in_memory();
/// broker.create_topic("clicks", TopicConfig::default())?;
/// let producer = broker.producer().build()?;
/// let delivery = producer.send(Record::to("clicks").value("/home"))?;
/// assert_eq!(delivery.wait()?.offset(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Delivery {
    receipt: Arc<Receipt>,
    /// The record's place in its batch, from 0.
    index: u32,
    /// What it reports unless the topic stamps records itself.
    timestamp: Timestamp,
}

impl Delivery {
    pub(super) fn new(receipt: Arc<Receipt>, index: u32, timestamp: Timestamp) -> Self {
        Self {
            receipt,
            index,
            timestamp,
        }
    }

    /// Blocks until the record is acknowledged as the producer's durability and the topic's demand.
    ///
    /// With [`Durability::Written`] this blocks for one write at most. With [`Durability::Synced`]
    /// it blocks for a sync, which all who wait at the time share.
    ///
    /// # Errors
    /// What made the append fail; then no record of the batch is in the log, unless the error
    /// [is indefinite](Error::is_indefinite).
    pub fn wait(self) -> Result<RecordMetadata> {
        let settled = self.receipt.settle()?;
        if let Some(end) = settled.synced_end() {
            self.receipt.partition.wait_durable(end)?;
        }
        Ok(self.metadata(&settled))
    }

    /// The partition that the record was sent to; known at once, unlike its offset.
    pub fn partition(&self) -> u32 {
        self.receipt.partition.id().partition()
    }

    /// True if the record is acknowledged, or has failed: [`wait`](Self::wait) would not block. It
    /// only looks: an open batch stays open until its linger is over.
    pub fn is_done(&self) -> bool {
        match self.receipt.outcome.get() {
            None => false,
            Some(Err(_)) => true,
            Some(Ok(settled)) => settled.synced_end().is_none_or(|end| {
                let partition = &self.receipt.partition;
                partition.durable_end() >= end || partition.log().check_failure().is_err()
            }),
        }
    }

    fn metadata(&self, settled: &Settled) -> RecordMetadata {
        RecordMetadata {
            partition: self.receipt.partition.id().clone(),
            offset: settled.appended.base_offset + Offset::from(self.index),
            timestamp: settled.appended.log_append_time.unwrap_or(self.timestamp),
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let settled = self.receipt.settle()?;
        if let Some(end) = settled.synced_end() {
            ready!(self.receipt.partition.poll_durable(end, context))?;
        }
        Poll::Ready(Ok(self.metadata(&settled)))
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("partition", self.receipt.partition.id())
            .field("outcome", &self.receipt.outcome.get())
            .finish_non_exhaustive()
    }
}

/// What became of one batch. Shared by the deliveries of its records, and used again for a later
/// batch of the same partition when none of them is left.
pub(super) struct Receipt {
    partition: Arc<PartitionState>,
    /// Who settles it. Weak, since the accumulator keeps receipts for later use.
    accumulator: Weak<Accumulator>,
    /// Written once, under the accumulator's lock; read without.
    outcome: OnceLock<Result<Settled>>,
}

/// How a batch was appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) appended: Appended,
    /// What the acknowledgement has to promise.
    pub(super) durability: Durability,
}

impl Settled {
    /// What has to be on the device before the batch is acknowledged, if anything has.
    pub(super) fn synced_end(&self) -> Option<Offset> {
        (self.durability >= Durability::Synced).then_some(self.appended.end_offset)
    }
}

impl Receipt {
    fn new(accumulator: &Arc<Accumulator>, partition: &Arc<PartitionState>) -> Self {
        Self {
            partition: Arc::clone(partition),
            accumulator: Arc::downgrade(accumulator),
            outcome: OnceLock::new(),
        }
    }

    /// Notes what became of the batch. For the accumulator, once a batch.
    pub(super) fn set(&self, outcome: Result<Settled>) {
        let first = self.outcome.set(outcome).is_ok();
        debug_assert!(first, "a batch is settled once");
    }

    /// What became of the batch, which is appended now if it is still open.
    fn settle(&self) -> Result<Settled> {
        if self.outcome.get().is_none()
            && let Some(accumulator) = self.accumulator.upgrade()
        {
            accumulator.append_for(self);
        }
        // The last producer handle settles all batches before the accumulators go.
        self.outcome
            .get()
            .cloned()
            .unwrap_or(Err(Error::Closed("producer")))
    }
}

/// How many settled receipts a partition keeps. More batches than this with deliveries that are
/// still held cost one allocation each.
const SPENT_RECEIPTS: usize = 64;
/// How many of them are looked at before a new one is made.
const LOOKS: usize = 4;

/// Settled receipts, oldest first, to be used again: in the steady state sending allocates nothing.
#[derive(Default)]
pub(super) struct ReceiptPool {
    spent: VecDeque<Arc<Receipt>>,
}

impl ReceiptPool {
    /// A receipt for a new batch: one that nobody holds any more, or a new one.
    pub(super) fn take(
        &mut self,
        accumulator: &Arc<Accumulator>,
        partition: &Arc<PartitionState>,
    ) -> Arc<Receipt> {
        for _ in 0..LOOKS.min(self.spent.len()) {
            let Some(mut receipt) = self.spent.pop_front() else {
                break;
            };
            if let Some(free) = Arc::get_mut(&mut receipt) {
                free.outcome.take();
                return receipt;
            }
            self.spent.push_back(receipt);
        }
        Arc::new(Receipt::new(accumulator, partition))
    }

    pub(super) fn give_back(&mut self, receipt: Arc<Receipt>) {
        if self.spent.len() == SPENT_RECEIPTS {
            self.spent.pop_front();
        }
        self.spent.push_back(receipt);
    }
}
