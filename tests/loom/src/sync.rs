//! What `src/sync.rs` is in the library, made of loom's parts, so that loom decides who runs when.

use std::fmt;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Ticks;
use std::time::Duration;

use loom::sync::Condvar;

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use loom::thread::yield_now;
pub(crate) use loom::thread_local;

/// `parking_lot`'s mutex, as far as it is used.
#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the model")
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// Parking with a token, as the standard library promises it. Loom's own loses the token when the
/// thread meets a mutex before it parks.
#[derive(Clone, Default)]
pub(crate) struct Thread(Arc<Parker>);

#[derive(Default)]
struct Parker {
    token: Mutex<bool>,
    given: Condvar,
}

thread_local! {
    static THIS: Thread = Thread::default();
}

pub(crate) fn current_thread() -> Thread {
    THIS.with(Thread::clone)
}

impl Thread {
    pub(crate) fn unpark(&self) {
        *self.0.token.lock() = true;
        self.0.given.notify_one();
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thread")
    }
}

pub(crate) fn park() {
    let Thread(parker) = current_thread();
    let mut token = parker.token.lock();
    while !*token {
        token = parker.given.wait(token).expect("a panic ends the model");
    }
    *token = false;
}

/// A clock that goes on by [`TICK`] whenever it is looked at, whoever looks: the same interleaving
/// sees the same times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

/// Two looks make a time that is "soon", three do not.
const TICK: Duration = Duration::from_micros(20);

static TICKS: Ticks = Ticks::new(0);

impl Instant {
    pub(crate) fn now() -> Self {
        let ticks = TICKS.fetch_add(1, Ordering::Relaxed) % (u64::from(u32::MAX));
        Self(TICK * u32::try_from(ticks).expect("it was reduced"))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// A wait this long never ends by itself, so that a lost wake-up is a deadlock, which loom reports.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// Shorter ones end at once, for no reason.
pub(crate) fn park_timeout(timeout: Duration) {
    if timeout >= FOREVER / 2 {
        park();
    } else {
        yield_now();
    }
}

pub(crate) fn may_watch() -> bool {
    true
}
