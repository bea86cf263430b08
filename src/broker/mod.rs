//! The broker: opens a directory, keeps the topics, shuts down.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::TopicConfig;
use crate::error::Result;
use crate::group::offsets::OffsetStore;
use crate::notify::Waiters;
use crate::topic::TopicState;

/// What all handles of one broker share. Handles hold an `Arc` of it; the last one closes it.
#[derive(Debug)]
pub(crate) struct BrokerState {
    clock: Arc<dyn Clock>,
}

/// Something with work that falls due: a producer with open batches.
pub(crate) trait Lingering: Send + Sync + std::fmt::Debug {
    /// Appends what has waited long enough (everything if `all`); returns when the next is due, in
    /// terms of [`Clock::monotonic`].
    fn append_due(&self, now: Duration, all: bool) -> Option<Duration>;
}

impl BrokerState {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// `Err(Closed)` after the broker was closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        todo!()
    }

    /// `Err(UnknownTopic)` if there is none.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<TopicState>> {
        let _ = name;
        todo!()
    }

    /// All topics, internal ones (`__…`) included.
    pub(crate) fn topics(&self) -> Vec<Arc<TopicState>> {
        todo!()
    }

    /// Makes an internal topic if it is missing; returns it.
    pub(crate) fn internal_topic(&self, name: &str, config: TopicConfig) -> Result<Arc<TopicState>> {
        let _ = (name, config);
        todo!()
    }

    /// Rises with every change of the set of topics or partitions: one atomic load tells a consumer
    /// or producer that what it cached still holds.
    pub(crate) fn topics_version(&self) -> u64 {
        todo!()
    }

    /// Woken after [`Self::topics_version`] rose, and when the broker closes: who sleeps in a poll
    /// registers here too.
    pub(crate) fn topic_waiters(&self) -> &Waiters {
        todo!()
    }

    /// Registers work for the housekeeping thread.
    pub(crate) fn register_lingering(&self, lingering: Weak<dyn Lingering>) {
        let _ = lingering;
        todo!()
    }

    /// Tells the housekeeping thread that something falls due at `deadline` (monotonic time of the
    /// clock). Cheap: called whenever a producer opens a batch while it had none open.
    pub(crate) fn due_at(&self, deadline: Duration) {
        let _ = deadline;
        todo!()
    }

    /// A producer id that no producer of this directory had before.
    pub(crate) fn next_producer_id(&self) -> Result<i64> {
        todo!()
    }

    /// Committed offsets of all groups.
    pub(crate) fn offsets(&self) -> &OffsetStore {
        todo!()
    }
}
