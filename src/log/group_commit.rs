//! One sync for all who wait: whoever finds no sync under way runs one, the others wait for it.
//!
//! A waiter whose records were appended while a sync was running is not covered by that one; it, or
//! another who waits, runs the next. So N threads that commit at once pay for two syncs at most, and
//! nobody polls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::record::Offset;

/// The durable end of one partition, and those who wait for it to rise.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    /// Everything below is on the device. Rises only; written by whoever ran a sync.
    durable_end: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// True while somebody is in the sync.
    syncing: bool,
    /// Tasks that wait, with the end they need.
    wakers: Vec<(Offset, Waker)>,
}

impl GroupCommit {
    pub(crate) fn durable_end(&self) -> Offset {
        self.durable_end.load(Ordering::Acquire)
    }

    /// Notes that everything below `end` is on the device, and wakes those who waited for it.
    pub(crate) fn advance(&self, end: Offset) {
        self.durable_end.fetch_max(end, Ordering::AcqRel);
        let durable_end = self.durable_end();
        let mut state = self.state.lock();
        state.wake_tasks(|needed| needed <= durable_end);
        self.changed.notify_all();
    }

    /// Blocks until everything below `end` is durable. `sync` makes durable what was appended before
    /// it is called, and returns up to where that is.
    pub(crate) fn wait(&self, end: Offset, sync: impl Fn() -> Result<Offset>) -> Result<()> {
        while self.durable_end() < end {
            let mut state = self.state.lock();
            if state.syncing {
                self.changed.wait(&mut state);
                continue;
            }
            if self.durable_end() >= end {
                break;
            }
            state.syncing = true;
            drop(state);
            let outcome = sync();
            self.finish(&outcome);
            // A sync may fail for what others appended, and cover this.
            if self.durable_end() < end {
                outcome?;
            }
        }
        Ok(())
    }

    fn finish(&self, outcome: &Result<Offset>) {
        let mut state = self.state.lock();
        state.syncing = false;
        match outcome {
            Ok(end) => {
                self.durable_end.fetch_max(*end, Ordering::AcqRel);
                let durable_end = self.durable_end();
                state.wake_tasks(|needed| needed <= durable_end);
            }
            // They look again, and find the failure themselves.
            Err(_) => state.wake_tasks(|_| true),
        }
        self.changed.notify_all();
    }

    /// Ready once everything below `end` is durable; else wakes the task later.
    pub(crate) fn poll(&self, end: Offset, context: &mut Context<'_>) -> Poll<()> {
        if self.durable_end() >= end {
            return Poll::Ready(());
        }
        let mut state = self.state.lock();
        // Looked at again under the lock: whoever advances the end takes the lock afterwards.
        if self.durable_end() >= end {
            return Poll::Ready(());
        }
        if !state
            .wakers
            .iter()
            .any(|(needed, waker)| *needed == end && waker.will_wake(context.waker()))
        {
            state.wakers.push((end, context.waker().clone()));
        }
        Poll::Pending
    }

    /// Wakes everybody to find out that the partition failed or closed.
    pub(crate) fn wake_all(&self) {
        self.state.lock().wake_tasks(|_| true);
        self.changed.notify_all();
    }
}

impl State {
    fn wake_tasks(&mut self, satisfied: impl Fn(Offset) -> bool) {
        for (_, waker) in self.wakers.extract_if(.., |(needed, _)| satisfied(*needed)) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::error::Error;

    #[test]
    fn waiters_share_syncs_and_all_are_covered() {
        let commit = GroupCommit::default();
        let appended = AtomicU64::new(0);
        let syncs = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let end = appended.fetch_add(1, Ordering::SeqCst) + 1;
                        let sync = || {
                            let end = appended.load(Ordering::SeqCst);
                            syncs.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            Ok(end)
                        };
                        commit.wait(end, sync).unwrap();
                        assert!(commit.durable_end() >= end);
                    }
                });
            }
        });
        assert_eq!(commit.durable_end(), 1600);
        assert!(syncs.load(Ordering::SeqCst) <= 1600);
    }

    #[test]
    fn a_failed_sync_fails_whoever_ran_it_and_frees_the_others() {
        let commit = GroupCommit::default();
        let failed = commit.wait(1, || Err(Error::Closed("broker")));
        assert!(failed.is_err());
        commit.wait(1, || Ok(1)).unwrap();
    }
}
