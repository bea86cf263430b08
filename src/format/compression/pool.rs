//! Codec contexts that are used again.
//!
//! A context costs tens to hundreds of kilobytes to set up, more than a small batch costs to
//! compress. One per open batch would be memory for each partition; one per thread would be out of
//! reach while a thread ends. So they lie in a common pool, as many as were in use at once.

use parking_lot::Mutex;

/// More than this many idle contexts are freed rather than kept.
const MAX_IDLE: usize = 16;

/// Idle contexts of one kind. The lock is held for a push or a pop, never while one works.
pub(super) struct Pool<T> {
    idle: Mutex<Vec<T>>,
}

impl<T> Pool<T> {
    pub(super) const fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Takes an idle context. If there is none, the caller makes one.
    pub(super) fn take(&self) -> Option<T> {
        self.idle.lock().pop()
    }

    /// Gives a context back that is fit for another use.
    pub(super) fn give_back(&self, context: T) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(context);
        }
    }
}
