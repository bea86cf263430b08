//! What `src/sync.rs` is to the crate, made of shuttle's parts.

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Like `parking_lot`'s: a lock that is not poisoned.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(|_| panic!("a thread panicked with the lock"))
    }
}
