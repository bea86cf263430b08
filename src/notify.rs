//! The wake-up primitive: readers sleep until a writer has something for them.
//!
//! The protocol is *register, look again, sleep*. Who waits registers with the [`Waiters`] list of
//! everything that could end the wait, looks once more, and sleeps: a thread in its own [`Waiter`],
//! a task by returning `Pending`. A writer publishes first and then calls [`Waiters::wake_all`],
//! which costs one fence and one load when nobody is registered. Either the second look sees what
//! was published, or the writer sees the registration: no wake-up is lost.
//!
//! A thread that was woken soon the last time first watches for a moment, and asks the kernel to park
//! it only then ([`Waiter::wait_until`]): being parked and woken takes tens of microseconds.
//!
//! `tests/loom` checks all of this in every interleaving.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::sync::{
    AtomicBool, AtomicU8, AtomicUsize, Instant, Mutex, Ordering, Thread, current_thread, fence,
    may_watch, park, park_timeout, spin_loop,
};

/// Not woken since the last reset, and awake.
const IDLE: u8 = 0;
/// Parked, or about to be: who wakes it has to unpark the thread.
const ASLEEP: u8 = 1;
/// Woken since the last reset.
const WOKEN: u8 = 2;

/// A wait that ended within this time makes the next one watch for as long before it parks. About
/// what parking and waking cost: watching in vain at most doubles the price of a wait, and never for
/// two waits in a row.
const SOON: Duration = Duration::from_micros(50);
/// How often the state is looked at before the clock is.
const LOOKS_PER_CLOCK: u32 = 16;

/// The place where one thread at a time waits. Woken once or often, it stays woken until
/// [`Waiter::reset`].
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// [`IDLE`], [`ASLEEP`] or [`WOKEN`]. Only who waits sets the first two, only who wakes the third.
    state: AtomicU8,
    /// Who waits here. Written before the state says [`ASLEEP`], read after it did.
    thread: Mutex<Option<Thread>>,
    /// The last wait was over soon. For who waits alone.
    was_short: AtomicBool,
}

impl Waiter {
    /// Forgets earlier wake-ups. Call before registering.
    pub(crate) fn reset(&self) {
        // Not a mere store: each change of the state follows the one before it, whoever makes it.
        self.state.swap(IDLE, Ordering::AcqRel);
    }

    /// Ends the wait under way, or lets the next one return at once.
    pub(crate) fn wake(&self) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            let thread = self.thread.lock().clone();
            if let Some(thread) = thread {
                thread.unpark();
            }
        }
    }

    /// Waits until woken or until `deadline`; true if woken. Watches first, if that promises to be
    /// enough.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        if self.is_woken() {
            return true;
        }
        let start = Instant::now();
        let watch = self.was_short.load(Ordering::Relaxed) && may_watch();
        let woken =
            (watch && self.watch_until(deadline.min(start + SOON))) || self.park_until(deadline);
        self.was_short
            .store(start.elapsed() < SOON, Ordering::Relaxed);
        woken
    }

    fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    fn watch_until(&self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            for _ in 0..LOOKS_PER_CLOCK {
                if self.is_woken() {
                    return true;
                }
                spin_loop();
            }
        }
        false
    }

    /// Parks the thread until woken.
    pub(crate) fn park(&self) {
        *self.thread.lock() = Some(current_thread());
        let asleep = self.change(IDLE, ASLEEP);
        while asleep && !self.is_woken() {
            park();
        }
    }

    /// Parks the thread until woken or until `deadline`; true if woken.
    fn park_until(&self, deadline: Instant) -> bool {
        *self.thread.lock() = Some(current_thread());
        let asleep = self.change(IDLE, ASLEEP);
        while asleep && !self.is_woken() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // A wake-up that comes at the last moment counts.
                return !self.change(ASLEEP, IDLE);
            }
            // May return for no reason: somebody else unparked the thread, or an earlier wait ended
            // between its wake-up and the unparking.
            park_timeout(left);
        }
        true
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Who is to be woken.
#[derive(Debug, Clone)]
pub(crate) enum Sleeper {
    Thread(Arc<Waiter>),
    Task(Waker),
}

impl Sleeper {
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(waiter) => waiter.wake(),
            Self::Task(waker) => waker.wake(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Thread(known), Self::Thread(other)) => Arc::ptr_eq(known, other),
            (Self::Task(known), Self::Task(other)) => known.will_wake(other),
            _ => false,
        }
    }
}

/// Those who wait for the same thing.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many are in the list. Written under its lock; writers look here first.
    count: AtomicUsize,
    /// In the order of their registration.
    list: Mutex<VecDeque<Sleeper>>,
}

impl Waiters {
    /// Adds a thread until the next wake-up. Look again *after* this, before waiting.
    pub(crate) fn register(&self, waiter: &Arc<Waiter>) {
        self.add(Sleeper::Thread(Arc::clone(waiter)));
    }

    /// Adds a task until the next wake-up. Look again *after* this, before returning `Pending`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the stream of a consumer"))]
    pub(crate) fn register_task(&self, waker: &Waker) {
        self.add(Sleeper::Task(waker.clone()));
    }

    fn add(&self, sleeper: Sleeper) {
        let mut list = self.list.lock();
        if !list.iter().any(|known| known.is(&sleeper)) {
            list.push_back(sleeper);
        }
        self.count.store(list.len(), Ordering::Relaxed);
        // Pairs with the fence in `wake_all`: the second look comes after the registration.
        fence(Ordering::SeqCst);
    }

    /// Takes a thread out that no longer waits.
    pub(crate) fn unregister(&self, waiter: &Arc<Waiter>) {
        let sleeper = Sleeper::Thread(Arc::clone(waiter));
        let mut list = self.list.lock();
        list.retain(|known| !known.is(&sleeper));
        self.count.store(list.len(), Ordering::Relaxed);
    }

    /// Wakes everybody. Call *after* publishing what they wait for.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        // One by one, so that nobody is woken under the lock, and none who comes back is woken again.
        for _ in 0..self.count.load(Ordering::Relaxed) {
            let Some(sleeper) = self.take_first() else {
                break;
            };
            sleeper.wake();
        }
    }

    fn take_first(&self) -> Option<Sleeper> {
        let mut list = self.list.lock();
        let first = list.pop_front();
        self.count.store(list.len(), Ordering::Relaxed);
        first
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::task::Wake;

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
                assert!(waiter.wait_until(Instant::now() + Duration::from_secs(60)));
            }
            seen = end.load(Ordering::Acquire);
        }
        writer.join().unwrap();
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let waiter = Waiter::default();
        for wait in [Duration::ZERO, SOON / 2, SOON * 40] {
            let start = Instant::now();
            assert!(!waiter.wait_until(start + wait));
            assert!(start.elapsed() >= wait);
        }
        waiter.wake();
        assert!(waiter.wait_until(Instant::now()), "woken before the wait");
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_once_for_each_time_it_registers() {
        let waiters = Waiters::default();
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        for round in 1..=3 {
            waiters.register_task(&waker);
            waiters.register_task(&waker);
            waiters.wake_all();
            waiters.wake_all();
            assert_eq!(count.0.load(Ordering::Relaxed), round);
        }
    }
}
