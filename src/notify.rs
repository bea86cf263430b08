//! The wake-up primitive: readers park until a writer has something for them.
//!
//! The protocol is *register, look again, park*. A [`Waiter`] belongs to one reader; it registers
//! with the [`Waiters`] list of every partition it reads, looks once more for records, and parks.
//! A writer publishes first and then calls [`Waiters::wake_all`], which costs one fence and one load
//! when nobody is registered. Either the reader's second look sees the new end, or the writer sees
//! the registration: no wake-up is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// One reader's parking place. Woken once or often, it stays woken until [`Waiter::reset`].
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// True once woken since the last reset.
    woken: Mutex<bool>,
    condvar: Condvar,
}

impl Waiter {
    /// Forgets earlier wake-ups. Call before registering.
    pub(crate) fn reset(&self) {
        *self.woken.lock() = false;
    }

    /// Wakes the reader now, or lets its next park return at once.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.condvar.notify_all();
    }

    /// Parks until woken or until `deadline`; true if woken.
    pub(crate) fn park_until(&self, deadline: Instant) -> bool {
        let mut woken = self.woken.lock();
        while !*woken {
            if self.condvar.wait_until(&mut woken, deadline).timed_out() {
                break;
            }
        }
        *woken
    }
}

/// The readers that wait for one partition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many are in the list. Writers look here first.
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Waiter>>>,
}

impl Waiters {
    /// Adds a reader until the next wake-up. Look for records again *after* this, before parking.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>) {
        let mut list = self.list.lock();
        if !list.iter().any(|known| Arc::ptr_eq(known, waiter)) {
            list.push(Arc::clone(waiter));
        }
        self.count.store(list.len(), Ordering::Relaxed);
        // Pairs with the fence in `wake_all`: the reader's second look comes after its registration.
        fence(Ordering::SeqCst);
    }

    /// Takes a reader out that no longer waits.
    pub(crate) fn unregister(&self, waiter: &Arc<Waiter>) {
        let mut list = self.list.lock();
        list.retain(|known| !Arc::ptr_eq(known, waiter));
        self.count.store(list.len(), Ordering::Relaxed);
    }

    /// Wakes everybody. Call *after* publishing what they wait for.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let waiting = {
            let mut list = self.list.lock();
            self.count.store(0, Ordering::Relaxed);
            std::mem::take(&mut *list)
        };
        for waiter in waiting {
            waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_wake_up_is_lost() {
        let waiters = Arc::new(Waiters::default());
        let end = Arc::new(AtomicU64::new(0));
        let rounds = 10_000;
        let writer = {
            let (waiters, end) = (Arc::clone(&waiters), Arc::clone(&end));
            std::thread::spawn(move || {
                for _ in 0..rounds {
                    end.fetch_add(1, Ordering::Release);
                    waiters.wake_all();
                }
            })
        };
        let waiter = Arc::new(Waiter::default());
        let mut seen = 0;
        while seen < rounds {
            waiter.reset();
            waiters.register(&waiter);
            let now = end.load(Ordering::Acquire);
            if now == seen {
                // A lost wake-up would hang here until the deadline.
                assert!(waiter.park_until(Instant::now() + Duration::from_secs(60)));
            }
            seen = end.load(Ordering::Acquire);
        }
        writer.join().unwrap();
    }
}
