//! Interrupting a poll from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::notify::Waiter;

/// Wakes a consumer from another thread: its running poll, or else its next one, returns
/// [`Error::Wakeup`](crate::Error::Wakeup), once. Made by
/// [`Consumer::wakeup_handle`](crate::Consumer::wakeup_handle).
///
/// Clones wake the same consumer. A handle keeps nothing open, and does nothing once its consumer is
/// gone.
#[derive(Debug, Clone, Default)]
pub struct WakeupHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Set by the handles, taken by the consumer.
    requested: AtomicBool,
    /// Where the consumer parks.
    waiter: Arc<Waiter>,
}

impl WakeupHandle {
    /// Wakes the consumer. Never blocks.
    pub fn wakeup(&self) {
        // Requested first: a consumer that parks after this sees the request or the wake-up.
        self.shared.requested.store(true, Ordering::SeqCst);
        self.shared.waiter.wake();
    }

    /// True if a wake-up was requested.
    pub(super) fn is_requested(&self) -> bool {
        self.shared.requested.load(Ordering::SeqCst)
    }

    /// True, once, after a wake-up was requested.
    pub(super) fn take_request(&self) -> bool {
        // The load alone is what a poll pays as a rule.
        self.shared.requested.load(Ordering::SeqCst)
            && self.shared.requested.swap(false, Ordering::SeqCst)
    }

    pub(super) fn waiter(&self) -> &Arc<Waiter> {
        &self.shared.waiter
    }
}
