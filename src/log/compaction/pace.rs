//! How fast a pass may read and write: Kafka's `log.cleaner.io.max.bytes.per.second`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bell::Bell;

/// Looked at after each of so many bytes.
const STRIDE: u64 = 256 << 10;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    since: Instant,
    bytes: AtomicU64,
}

impl Pace {
    /// `None` is as fast as the device.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            since: Instant::now(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Takes note of so many bytes, and sleeps if they came too fast.
    pub(super) fn note(&self, bytes: u64, bell: &Bell) {
        const NAP: Duration = Duration::from_millis(50);
        let Some(limit) = self.bytes_per_second else {
            return;
        };
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = before + bytes;
        if before / STRIDE == all / STRIDE {
            return;
        }
        let due = due_after(all, limit);
        while let Some(early) = due.checked_sub(self.since.elapsed())
            && !early.is_zero()
            && !bell.is_stopped()
        {
            std::thread::sleep(early.min(NAP));
        }
    }
}

/// How long so many bytes take at this speed.
fn due_after(bytes: u64, per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_bytes_by_time() {
        assert_eq!(due_after(1 << 20, 1 << 20), Duration::from_secs(1));
        assert_eq!(due_after(1 << 19, 1 << 20), Duration::from_millis(500));
        assert_eq!(due_after(u64::MAX, 0), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn who_is_stopped_does_not_sleep() {
        let pace = Pace::new(Some(1));
        let bell = Bell::default();
        bell.stop();
        pace.note(1 << 40, &bell);
    }
}
