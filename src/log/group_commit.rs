//! One sync for all who wait: whoever finds nobody leading leads one, the others sleep.
//!
//! ```text
//!   wait ─▶ does anybody lead? ─no──▶ gather ─▶ sync ─▶ wake all who are covered; the first of those
//!                              │                        who are not leads the next one
//!                              yes─▶ sleep ─▶ woken: covered, or the next to lead
//! ```
//! Invariants:
//! * The durable end rises only to what was covered by a sync that went well.
//! * At most one leads. While a thread sleeps here, somebody leads, or was chosen to and is awake.
//!   Tasks never lead: who polls asks the housekeeping thread to.
//!
//! Gathering: those whom one sync wakes soon append again, and want the next one. A leader that did
//! not wait for them would sync for itself, and then all others would wait for a second one. So it
//! lets them go first, until as many wait as did around the last sync: for as long as waking them and
//! appending takes, and as long as a sync, at most. Where that is in vain, it rests for a while.
//!
//! `tests/loom` checks this in every interleaving.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Result;
use crate::notify::{Sleeper, Waiter};
use crate::record::Offset;
use crate::sync::{AtomicU64, Instant, Mutex, Ordering, thread_local, yield_now};

/// The durable end of one partition, and those who wait for it to rise.
#[derive(Debug, Default)]
pub(crate) struct GroupCommit {
    /// Everything below is on the device. Rises only; written by whoever ran a sync.
    durable_end: AtomicU64,
    /// Held for moments; nobody is woken under it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// True while somebody leads, or was chosen to.
    led: bool,
    /// Who was chosen, and has not noticed yet.
    chosen: Option<Arc<Waiter>>,
    /// Those who wait, with the end that they need.
    sleepers: Vec<(Offset, Sleeper)>,
    /// How many the last sync served, with those who came too late for it.
    committers: usize,
    /// How long the last sync took.
    last_sync: Duration,
    /// So many syncs from now on do not gather.
    rest: u32,
    /// Room for those who are being woken, so that waking allocates nothing.
    spare: Vec<Sleeper>,
}

/// What it takes one thread to be woken, to return, to append, and to wait again: about 5 us on an idle
/// machine, and twice that is still much shorter than a sync.
const TIME_TO_RETURN: Duration = Duration::from_micros(10);

/// After gathering for less than half of those it expected: they come at random, and waiting for them
/// only makes everybody late. Rare enough that a vain attempt costs a few per cent.
const REST: u32 = 16;

thread_local! {
    /// Where this thread sleeps; made once, so that waiting allocates nothing.
    static PLACE: Arc<Waiter> = Arc::default();
}

impl GroupCommit {
    pub(crate) fn durable_end(&self) -> Offset {
        self.durable_end.load(Ordering::Acquire)
    }

    /// Blocks until everything below `end` is durable. `sync` makes durable what was appended before
    /// it is called, and returns up to where that is.
    pub(crate) fn wait(&self, end: Offset, sync: impl Fn() -> Result<Offset>) -> Result<()> {
        if self.durable_end() >= end {
            return Ok(());
        }
        // Without a place of its own only while the thread ends.
        let place = PLACE.try_with(Arc::clone).unwrap_or_default();
        loop {
            match self.next_step(end, &place) {
                Step::Done => return Ok(()),
                Step::Sleep => place.park(),
                Step::Lead => {
                    self.gather();
                    let start = Instant::now();
                    let outcome = sync();
                    self.finish(&outcome, start.elapsed());
                    // A sync may fail for what others appended, and cover this.
                    if self.durable_end() < end {
                        outcome?;
                    }
                }
            }
        }
    }

    fn next_step(&self, end: Offset, place: &Arc<Waiter>) -> Step {
        let mut state = self.state.lock();
        let chosen = state
            .chosen
            .take_if(|chosen| Arc::ptr_eq(chosen, place))
            .is_some();
        let durable_end = self.durable_end();
        if durable_end >= end {
            if chosen {
                // Served meanwhile, by a roll, which left it to the leader to wake the others.
                let mut due = state.take(|needed| needed <= durable_end);
                due.extend(state.choose());
                drop(state);
                self.wake(due);
            }
            return Step::Done;
        }
        if chosen || !state.led {
            state.led = true;
            return Step::Lead;
        }
        place.reset();
        state
            .sleepers
            .push((end, Sleeper::Thread(Arc::clone(place))));
        Step::Sleep
    }

    /// Lets those append who are about to; see the module's description.
    fn gather(&self) {
        let (expected, patience) = {
            let mut state = self.state.lock();
            if state.rest > 0 {
                state.rest -= 1;
                return;
            }
            let expected = state.committers;
            let enough = TIME_TO_RETURN.saturating_mul(u32::try_from(expected).unwrap_or(u32::MAX));
            (expected, enough.min(state.last_sync))
        };
        let others = || self.state.lock().sleepers.len();
        let start = Instant::now();
        while others() + 1 < expected {
            if start.elapsed() >= patience {
                if (others() + 1) * 2 <= expected {
                    self.state.lock().rest = REST;
                }
                break;
            }
            yield_now();
        }
    }

    /// Ends the lead.
    fn finish(&self, outcome: &Result<Offset>, taken: Duration) {
        if let Ok(end) = outcome {
            self.durable_end.fetch_max(*end, Ordering::AcqRel);
        }
        let durable_end = self.durable_end();
        let mut state = self.state.lock();
        // After a failure everybody looks again, and finds it.
        let mut due = state.take(|needed| needed <= durable_end || outcome.is_err());
        state.last_sync = taken;
        state.committers = due.len() + 1 + state.sleepers.len();
        due.extend(state.choose());
        drop(state);
        self.wake(due);
    }

    /// Notes that everything below `end` is on the device, and wakes those who waited for it.
    pub(crate) fn advance(&self, end: Offset) {
        self.durable_end.fetch_max(end, Ordering::AcqRel);
        let durable_end = self.durable_end();
        let mut state = self.state.lock();
        if state.led {
            // Most often it is the leader that calls this. It, or whoever was chosen to lead, wakes them.
            return;
        }
        let due = state.take(|needed| needed <= durable_end);
        drop(state);
        self.wake(due);
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
        let waker = context.waker();
        let is_known = |(needed, sleeper): &(Offset, Sleeper)| {
            *needed == end && matches!(sleeper, Sleeper::Task(known) if known.will_wake(waker))
        };
        if !state.sleepers.iter().any(is_known) {
            state.sleepers.push((end, Sleeper::Task(waker.clone())));
        }
        Poll::Pending
    }

    /// Wakes everybody to find out that the partition failed or closed.
    pub(crate) fn wake_all(&self) {
        let due = self.state.lock().take(|_| true);
        self.wake(due);
    }

    fn wake(&self, mut due: Vec<Sleeper>) {
        due.drain(..).for_each(Sleeper::wake);
        self.state.lock().spare = due;
    }
}

/// What a waiting thread does next.
enum Step {
    Done,
    Sleep,
    Lead,
}

impl State {
    /// Takes out those who are to be woken.
    fn take(&mut self, is_due: impl Fn(Offset) -> bool) -> Vec<Sleeper> {
        let mut due = std::mem::take(&mut self.spare);
        let taken = self.sleepers.extract_if(.., |(needed, _)| is_due(*needed));
        due.extend(taken.map(|(_, sleeper)| sleeper));
        due
    }

    /// Has the first thread that waits lead, which is to be woken for it; nobody if there is none.
    fn choose(&mut self) -> Option<Sleeper> {
        let is_thread = |(_, sleeper): &(Offset, Sleeper)| matches!(sleeper, Sleeper::Thread(_));
        let first = self.sleepers.iter().position(is_thread);
        let next = first.map(|index| self.sleepers.remove(index).1);
        self.chosen = match &next {
            Some(Sleeper::Thread(place)) => Some(Arc::clone(place)),
            _ => None,
        };
        self.led = self.chosen.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::task::{Wake, Waker};

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

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_was_chosen_to_lead_and_is_served_by_a_roll_wakes_the_others() {
        let commit = GroupCommit::default();
        let (place, third) = (Arc::<Waiter>::default(), Arc::<Waiter>::default());
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        assert!(matches!(commit.next_step(1, &Arc::default()), Step::Lead));
        assert!(matches!(commit.next_step(2, &place), Step::Sleep));
        assert!(matches!(commit.next_step(4, &third), Step::Sleep));
        let poll = commit.poll(3, &mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        commit.finish(&Ok(1), Duration::ZERO);
        commit.advance(3);
        assert!(matches!(commit.next_step(2, &place), Step::Done));
        assert!(flag.0.load(Ordering::SeqCst));
        assert!(matches!(commit.next_step(4, &third), Step::Lead));
    }
}
