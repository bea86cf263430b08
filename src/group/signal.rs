//! What a member and its coordinator tell each other without a lock.
//!
//! The coordinator tells of news: one atomic load per poll finds that there are none. The member
//! tells that it polls, or since when it does not; taking its partitions away for not polling, and
//! beginning a poll, are changes of the same word, so exactly one of the two comes first.

use std::sync::Arc;
use std::time::Duration;

use crate::notify::Waiter;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// The member is inside a poll.
const POLLING: u64 = u64::MAX;
/// The member lost everything because it did not poll.
const FENCED: u64 = u64::MAX - 1;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Signal {
    /// The coordinator has something for the member to do.
    news: AtomicBool,
    /// [`POLLING`], [`FENCED`], or the end of the last poll in nanoseconds of the monotonic clock.
    activity: AtomicU64,
    /// Where the member sleeps when its poll finds nothing.
    waiter: Arc<Waiter>,
}

impl Signal {
    /// Of a member that joins at `now`, outside of a poll.
    pub(crate) fn new(waiter: Arc<Waiter>, now: Duration) -> Self {
        Self {
            news: AtomicBool::new(true),
            activity: AtomicU64::new(nanos(now)),
            waiter,
        }
    }

    /// The member begins a poll: it cannot be fenced for not polling until it ends.
    #[inline]
    pub(crate) fn begin_poll(&self) {
        if self.activity.swap(POLLING, Ordering::AcqRel) == FENCED {
            // Whoever fenced it is about to tell it, and may not have done so yet.
            self.news.store(true, Ordering::Release);
        }
    }

    /// The member's poll is over.
    #[inline]
    pub(crate) fn end_poll(&self, now: Duration) {
        self.activity.store(nanos(now), Ordering::Release);
    }

    /// True if the coordinator has something for the member.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// The member has done all that there was. Under the group's lock.
    pub(crate) fn take_news(&self) {
        self.news.store(false, Ordering::Relaxed);
    }

    /// Tells the member, and wakes it if it sleeps in a poll.
    pub(crate) fn tell(&self) {
        self.news.store(true, Ordering::Release);
        self.waiter.wake();
    }

    /// Since when the member has not polled; `None` while it polls.
    pub(crate) fn idle_since(&self) -> Option<Duration> {
        match self.activity.load(Ordering::Acquire) {
            POLLING | FENCED => None,
            since => Some(Duration::from_nanos(since)),
        }
    }

    /// Decides that the member has lost everything, unless it has polled since `idle_since`.
    pub(crate) fn fence_idle(&self, idle_since: Duration) -> bool {
        self.activity
            .compare_exchange(
                nanos(idle_since),
                FENCED,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }
}

/// Below the words of the module's description: 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).map_or(FENCED - 1, |nanos| nanos.min(FENCED - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal() -> Signal {
        Signal::new(Arc::default(), Duration::ZERO)
    }

    #[test]
    fn who_polls_is_not_fenced_for_not_polling() {
        let signal = signal();
        let since = signal.idle_since().unwrap();
        signal.begin_poll();
        assert_eq!(signal.idle_since(), None);
        assert!(!signal.fence_idle(since));
        signal.end_poll(Duration::from_secs(7));
        assert!(!signal.fence_idle(since), "it polled meanwhile");
        assert!(signal.fence_idle(Duration::from_secs(7)));
    }

    #[test]
    fn who_was_fenced_learns_of_it_even_before_it_is_told() {
        let signal = signal();
        signal.take_news();
        assert!(signal.fence_idle(Duration::ZERO));
        assert!(!signal.has_news());
        signal.begin_poll();
        assert!(signal.has_news());
    }

    #[test]
    fn news_stay_until_they_are_taken() {
        let signal = signal();
        assert!(signal.has_news(), "who joins has everything to learn");
        signal.take_news();
        signal.begin_poll();
        assert!(!signal.has_news());
        signal.tell();
        assert!(signal.has_news() && signal.has_news());
    }
}
