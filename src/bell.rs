//! Wakes the one thread that sleeps until something is to be done: now, within some time, or never again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// See the module's description. Everything that rings it is cheap.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Rung, and not heard yet: ringing again would say nothing new.
    rung: AtomicBool,
    /// Set once, with `due` locked.
    stopped: AtomicBool,
    /// The sleeper is to wake by then.
    due: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Bell {
    /// Wakes the sleeper.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ring_within(Duration::ZERO);
        }
    }

    /// Has the sleeper wake within this time.
    pub(crate) fn ring_within(&self, time: Duration) {
        let Some(at) = Instant::now().checked_add(time) else {
            return;
        };
        let mut due = self.due.lock();
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.changed.notify_all();
        }
    }

    /// Ends the sleep for good.
    pub(crate) fn stop(&self) {
        let _due = self.due.lock();
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// True once [`stop`](Self::stop) was called. For long work to look at.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// What rings from here on is heard later.
    pub(crate) fn clear(&self) {
        let mut due = self.due.lock();
        *due = None;
        // Last, and locked: whoever finds it false names a time behind this.
        self.rung.store(false, Ordering::Release);
    }

    /// Sleeps for `time`, or until it rings.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        self.sleep_until(|due| due.into_iter().chain(until).min());
    }

    /// Sleeps for `time`, whoever rings.
    pub(crate) fn rest(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        self.sleep_until(|_| until);
    }

    fn sleep_until(&self, wakes_at: impl Fn(Option<Instant>) -> Option<Instant>) {
        let mut due = self.due.lock();
        while !self.is_stopped() {
            match wakes_at(*due) {
                Some(at) if at <= Instant::now() => return,
                Some(at) => drop(self.changed.wait_until(&mut due, at)),
                None => self.changed.wait(&mut due),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    const LONG: Duration = Duration::from_secs(3600);

    /// Would never return if nothing woke it.
    fn asleep(bell: &Arc<Bell>, sleep: fn(&Bell)) -> thread::JoinHandle<()> {
        let bell = Arc::clone(bell);
        thread::spawn(move || sleep(&bell))
    }

    #[test]
    fn a_ring_before_or_during_the_sleep_ends_it() {
        let bell = Arc::new(Bell::default());
        bell.ring();
        bell.sleep(LONG);
        bell.clear();
        let sleeper = asleep(&bell, |bell| bell.sleep(LONG));
        bell.ring();
        sleeper.join().unwrap();
    }

    #[test]
    fn the_earliest_of_two_times_counts() {
        let bell = Bell::default();
        bell.ring_within(Duration::from_millis(1));
        bell.ring_within(LONG);
        bell.sleep(LONG);
    }

    #[test]
    fn stopping_ends_a_sleep_and_a_rest_for_good() {
        let bell = Arc::new(Bell::default());
        let sleepers = [
            asleep(&bell, |bell| bell.sleep(LONG)),
            asleep(&bell, |bell| bell.rest(LONG)),
        ];
        assert!(!bell.is_stopped());
        bell.stop();
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        bell.clear();
        bell.sleep(LONG);
        assert!(bell.is_stopped());
    }
}
