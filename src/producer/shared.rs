//! What all partitions of one producer have in common: settings, identity, failures, deadlines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::builder::Settings;
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::format::batch::ProducerStamp;

/// How soon an append that nobody waits for is synced where batches do not linger. Those who wait
/// sync at once, by themselves; to compete with them at every append would slow them down.
const SYNC_DELAY: Duration = Duration::from_millis(1);

/// What the accumulators of one producer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) broker: Arc<BrokerState>,
    pub(super) settings: Settings,
    /// Given by the broker when the first record is sent.
    producer_id: OnceLock<i64>,
    /// The first failure that no flush has reported yet. A leaf in the lock order.
    failure: Mutex<Option<Error>>,
    /// True while the broker knows when to look for batches whose linger is over.
    scheduled: AtomicBool,
}

impl Shared {
    pub(super) fn new(broker: Arc<BrokerState>, settings: Settings) -> Self {
        Self {
            broker,
            settings,
            producer_id: OnceLock::new(),
            failure: Mutex::new(None),
            scheduled: AtomicBool::new(false),
        }
    }

    /// This producer's id; -1 if it is not idempotent.
    pub(super) fn producer_id(&self) -> Result<i64> {
        if !self.settings.idempotence {
            return Ok(ProducerStamp::NONE.producer_id);
        }
        if let Some(id) = self.producer_id.get() {
            return Ok(*id);
        }
        // Of two threads that get here at once one wastes an id, of which there are enough.
        let id = self.broker.next_producer_id()?;
        Ok(*self.producer_id.get_or_init(|| id))
    }

    /// Keeps a failure for the next flush, unless there is an earlier one.
    pub(super) fn note_failure(&self, error: &Error) {
        let mut failure = self.failure.lock();
        failure.get_or_insert_with(|| error.clone());
    }

    /// The first failure since the last call.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().take()
    }

    /// From here on, whoever opens a batch tells the broker.
    pub(super) fn unschedule(&self) {
        self.scheduled.store(false, Ordering::SeqCst);
    }

    /// The broker will look at `deadline`, or earlier.
    pub(super) fn scheduled(&self) {
        self.scheduled.store(true, Ordering::SeqCst);
    }

    /// When what begins to linger now will be due.
    pub(super) fn deadline(&self) -> Duration {
        self.broker.clock().monotonic() + self.delay()
    }

    /// Makes sure that the broker looks at `deadline`. Everything lingers equally long, so what began
    /// first is due first, and later ones need not tell.
    ///
    /// The accumulator shows its deadline *before* it looks at the flag here, and the broker clears
    /// the flag before it looks at deadlines, all sequentially consistent: one of them sees the other.
    pub(super) fn schedule(&self, deadline: Duration) {
        if !self.scheduled.load(Ordering::SeqCst) && !self.scheduled.swap(true, Ordering::SeqCst) {
            self.broker.due_at(deadline);
        }
    }

    /// How long a batch waits for records, and an unattended acknowledgement for its sync.
    fn delay(&self) -> Duration {
        match self.settings.linger {
            Duration::ZERO => SYNC_DELAY,
            linger => linger,
        }
    }
}
