//! Codec contexts that are used again.
//!
//! A context costs tens to hundreds of kilobytes to set up, more than a small batch costs to
//! compress. One per open batch would be memory for each partition; one per thread would be out of
//! reach while a thread ends. So they lie in a common pool, as many as were in use at once.

use parking_lot::Mutex;

/// Of contexts that know no levels.
#[allow(dead_code, reason = "where only codecs with levels are compiled in")]
pub(super) const ANY_LEVEL: i32 = 0;

/// Beyond this many idle contexts, the one that was idle for longest is freed.
const MAX_IDLE: usize = 16;

/// Idle contexts of one kind, each with the level that it was made for. The lock is held for a push or
/// a pop, never while one works.
pub(super) struct Pool<T> {
    idle: Mutex<Vec<(i32, T)>>,
}

impl<T> Pool<T> {
    pub(super) const fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Takes an idle context of this level. If there is none, the caller makes one.
    pub(super) fn take(&self, level: i32) -> Option<T> {
        let mut idle = self.idle.lock();
        let last = idle.iter().rposition(|(known, _)| *known == level)?;
        Some(idle.remove(last).1)
    }

    /// Gives a context back that is fit for another use.
    pub(super) fn give_back(&self, level: i32, context: T) {
        let mut idle = self.idle.lock();
        let longest = (idle.len() >= MAX_IDLE).then(|| idle.remove(0));
        idle.push((level, context));
        drop(idle);
        drop(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_comes_back_at_its_level_only() {
        let pool = Pool::new();
        pool.give_back(1, "fast");
        pool.give_back(9, "small");
        assert_eq!(pool.take(5), None);
        assert_eq!(pool.take(1), Some("fast"));
        assert_eq!(pool.take(1), None);
        assert_eq!(pool.take(9), Some("small"));
    }

    #[test]
    fn contexts_of_a_level_that_nobody_uses_any_more_go() {
        let pool = Pool::new();
        pool.give_back(1, ());
        for _ in 0..MAX_IDLE {
            pool.give_back(9, ());
        }
        assert_eq!(pool.take(1), None);
        assert!(pool.take(9).is_some());
    }
}
