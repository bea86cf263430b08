//! Time, injected: every time-out, timestamp and linger asks a [`Clock`], so that tests own time.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::record::Timestamp;

/// A source of time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, for record timestamps. May jump when the clock is set.
    fn wall(&self) -> Timestamp;

    /// The same, for when being asked often matters more than a few milliseconds: it may lag behind
    /// [`wall`](Self::wall) by as much, and is never ahead of it. Default: `wall`.
    fn coarse_wall(&self) -> Timestamp {
        self.wall()
    }

    /// Time since some fixed instant, for time-outs. Never goes back.
    fn monotonic(&self) -> Duration;

    /// The same, for when being asked often matters more than a few milliseconds: it may lag behind
    /// [`monotonic`](Self::monotonic) by as much, and is never ahead of it. Default: `monotonic`.
    fn coarse_monotonic(&self) -> Duration {
        self.monotonic()
    }
}

/// The machine's clock. The default.
///
/// On Linux, [`coarse_wall`](Clock::coarse_wall) and [`coarse_monotonic`](Clock::coarse_monotonic) are the time of the kernel's last tick (1 to 10 ms ago
/// at most, by its configuration), which takes a tenth of the time to read.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: Instant,
    /// The same by the clock that has a coarse sister; a moment later, so that one is never ahead.
    #[cfg(target_os = "linux")]
    started_uptime: Duration,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            #[cfg(target_os = "linux")]
            started_uptime: uptime(rustix::time::ClockId::Monotonic),
        }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::try_from(since_epoch.as_millis()).unwrap_or(Timestamp::MAX)
    }

    /// The kernel notes this time at every tick, so that reading it needs no look at the hardware.
    #[cfg(target_os = "linux")]
    #[inline]
    fn coarse_wall(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        now.tv_sec
            .saturating_mul(1_000)
            .saturating_add(now.tv_nsec / 1_000_000)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[cfg(target_os = "linux")]
    #[inline]
    fn coarse_monotonic(&self) -> Duration {
        coarse_uptime().saturating_sub(self.started_uptime)
    }
}

/// What [`Instant`] counts from, as of the kernel's last tick.
#[cfg(target_os = "linux")]
#[inline]
fn coarse_uptime() -> Duration {
    uptime(rustix::time::ClockId::MonotonicCoarse)
}

#[cfg(target_os = "linux")]
#[inline]
fn uptime(clock: rustix::time::ClockId) -> Duration {
    let now = rustix::time::clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// A clock that moves only when told to. Clones share the same time.
///
/// ```
/// use std::time::Duration;
/// use streamlog::{Clock, ManualClock};
///
/// let clock = ManualClock::new(1_000);
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.wall(), 3_000);
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    start: Timestamp,
}

impl ManualClock {
    /// A clock that stands at `start`, in milliseconds since the Unix epoch.
    pub fn new(start: Timestamp) -> Self {
        Self {
            now: Arc::new(AtomicI64::new(start)),
            start,
        }
    }

    /// Moves the clock forward, by whole milliseconds.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        let elapsed = self.wall().saturating_sub(self.start);
        Duration::from_millis(u64::try_from(elapsed).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_time_lags_a_little_and_is_never_ahead() {
        let clock = SystemClock::default();
        for _ in 0..10_000 {
            let before = clock.wall();
            let coarse = clock.coarse_wall();
            let after = clock.wall();
            assert!(coarse <= after, "{coarse} is ahead of {after}");
            // Generous: the clock may be set while this runs.
            assert!(coarse >= before - 1_000, "{coarse} is long before {before}");

            let before = clock.monotonic();
            let coarse = clock.coarse_monotonic();
            assert!(coarse <= clock.monotonic());
            assert!(coarse + Duration::from_secs(1) >= before);
        }
    }
}
