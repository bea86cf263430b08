//! The locks, atomics, threads and clock that the wake-up protocols are made of.
//!
//! [`notify`](crate::notify) and the log's group commit take them from here alone: `tests/loom`
//! compiles those files with a module of this name that holds loom's, and so checks the very code.

pub(crate) use std::hint::spin_loop;
use std::sync::LazyLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::thread::{Thread, current as current_thread, park, park_timeout, yield_now};
pub(crate) use std::thread_local;
pub(crate) use std::time::Instant;

pub(crate) use parking_lot::Mutex;

/// False with one processor: who watches for something there keeps it from happening.
pub(crate) fn may_watch() -> bool {
    static SEVERAL: LazyLock<bool> =
        LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1));
    *SEVERAL
}
