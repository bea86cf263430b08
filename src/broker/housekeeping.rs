//! The background thread for what is due soon: appends batches that lingered long enough, syncs what is due, has
//! expired offsets forgotten.
//!
//! It sleeps until the earliest deadline that somebody named, so an idle broker costs nothing. Who
//! has work for it adds it to the queue and, if that is due earlier than anything before, rings. With
//! `background(false)` there is no thread, and `run_housekeeping` does the same work when called.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::error::Result;
use crate::group::offsets::CONSUMER_OFFSETS;
use crate::log::durable_ends::DurableEnds;
use crate::partition::PartitionState;

/// Something with work that falls due: a producer with open batches.
pub(crate) trait Lingering: Send + Sync + std::fmt::Debug {
    /// Appends what has waited long enough (everything if `all`); returns when the next is due, in
    /// terms of [`Clock::monotonic`](crate::Clock::monotonic).
    fn append_due(&self, now: Duration, all: bool) -> Option<Duration>;
}

/// Something that is looked after now and then, with long times between.
pub(crate) trait Upkeep: Send + Sync + std::fmt::Debug {
    /// Does what is due at `now`; says how that went, and when to come again, in terms of
    /// [`Clock::monotonic`](crate::Clock::monotonic).
    fn keep_up(&self, now: Duration) -> (Result<()>, Option<Duration>);

    /// The process did not run for a while before `now`: it was stopped, or the machine slept.
    fn resumed(&self, now: Duration);
}

/// What is to be done, and the bell.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    ends: Arc<DurableEnds>,
    /// When that was last synced, on the monotonic clock.
    ends_synced: Mutex<Duration>,
    queue: Mutex<Queue>,
    /// Set once. It must not hold the broker: the thread may be the last to hold it.
    upkeep: OnceLock<Weak<dyn Upkeep>>,
    /// When the thread meant to look again at the latest, on the machine's own clock. Long past if the
    /// whole process was stopped meanwhile (or a sync took long, which does no harm).
    wakes_at: Mutex<Option<Instant>>,
    /// Held while a pause is noticed and dealt with. Lock order: before the members of groups; they hold
    /// theirs while they have something looked after, so none of the others may be held meanwhile.
    noticing: Mutex<()>,
    /// Held while producers are at work here: who unregisters waits for it, so that the thread is
    /// never the last to hold a producer, and with it the broker.
    working: Mutex<()>,
    /// Holds at most one ring: more would say nothing new.
    bell: Sender<()>,
    /// The thread's end of the bell, until it takes it.
    ringing: Mutex<Option<Receiver<()>>>,
    running: AtomicBool,
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Queue {
    syncs: Vec<(Duration, Weak<PartitionState>)>,
    lingering: Vec<Weak<dyn Lingering>>,
    /// When the thread will look next.
    next: Option<Duration>,
}

/// A thread that wakes this much later than it meant to did not run meanwhile, nor did the process.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// How often the durable ends are made durable themselves, while partitions are written to: a power
/// loss leaves recovery that much to check. Kafka's `log.flush.offset.checkpoint.interval.ms`.
const ENDS_INTERVAL: Duration = Duration::from_secs(60);

impl Housekeeping {
    pub(crate) fn new(ends: Arc<DurableEnds>) -> Self {
        let (bell, ringing) = bounded(1);
        Self {
            ends,
            ends_synced: Mutex::default(),
            queue: Mutex::default(),
            upkeep: OnceLock::new(),
            wakes_at: Mutex::default(),
            noticing: Mutex::default(),
            working: Mutex::default(),
            bell,
            ringing: Mutex::new(Some(ringing)),
            running: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            thread: Mutex::default(),
        }
    }

    /// True if there is a thread that does the work by itself.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Has `partition` synced at `deadline`.
    pub(crate) fn sync_at(&self, deadline: Duration, partition: &Arc<PartitionState>) {
        let mut queue = self.queue.lock();
        queue.syncs.push((deadline, Arc::downgrade(partition)));
        self.wake_by(&mut queue, deadline);
    }

    pub(crate) fn register_lingering(&self, lingering: Weak<dyn Lingering>) {
        let mut queue = self.queue.lock();
        queue.lingering.retain(|known| known.strong_count() > 0);
        queue.lingering.push(lingering);
    }

    /// Forgets a producer; when this returns, nothing here holds it any more.
    pub(crate) fn unregister_lingering(&self, lingering: &Weak<dyn Lingering>) {
        self.queue
            .lock()
            .lingering
            .retain(|known| !known.ptr_eq(lingering));
        drop(self.working.lock());
    }

    /// Has something looked after. For opening a broker; the first one stays.
    pub(crate) fn look_after(&self, upkeep: Weak<dyn Upkeep>) {
        let _ = self.upkeep.set(upkeep);
    }

    /// Looks at everything at `deadline`, if not earlier.
    pub(crate) fn due_at(&self, deadline: Duration) {
        self.wake_by(&mut self.queue.lock(), deadline);
    }

    fn wake_by(&self, queue: &mut Queue, deadline: Duration) {
        if queue.next.is_none_or(|next| deadline < next) {
            queue.next = Some(deadline);
            if self.is_running() {
                // The thread is expected from now on, unless it is anyway.
                self.wakes_at.lock().get_or_insert_with(Instant::now);
            }
            self.ring();
        }
    }

    fn ring(&self) {
        // An error says that it rings already, or that nobody listens any more.
        let _ = self.bell.try_send(());
    }

    /// Does what is due at `now`; with `all`, every append and sync, due or not. Returns the first failure; the
    /// partition that it happened in knows of it too.
    pub(crate) fn run(&self, now: Duration, all: bool) -> Result<()> {
        self.queue.lock().next = None;
        let next = self.run_lingering(now, all);
        let due = self.queue.lock().take_due(now, all);
        let mut outcome = self.sync_ends(now, !due.is_empty());
        for partition in due {
            let synced = partition.sync_now();
            outcome = outcome.and(synced);
        }
        let (kept_up, next_upkeep) = if all {
            (Ok(()), None)
        } else {
            self.keep_up(now)
        };
        let mut queue = self.queue.lock();
        let syncs = queue.syncs.iter().map(|(deadline, _)| *deadline);
        let next = syncs.chain(next).chain(next_upkeep);
        queue.next = next.chain(queue.next).min();
        outcome.and(kept_up)
    }

    fn keep_up(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let Some(upkeep) = self.upkeep.get().and_then(Weak::upgrade) else {
            return (Ok(()), None);
        };
        self.notice_pause(now, &*upkeep);
        upkeep.keep_up(now)
    }

    /// The thread is about to sleep, and notes until when at the latest.
    fn sleep_until(&self, wakes_at: Option<Instant>, clock: &dyn Clock) {
        if let Some(upkeep) = self.upkeep.get().and_then(Weak::upgrade) {
            self.notice_pause(clock.monotonic(), &*upkeep);
        }
        *self.wakes_at.lock() = wakes_at;
    }

    /// Sees whether the process was stopped since the thread last noted when it would wake. A lock is held
    /// until that is dealt with: who comes at the same moment must not be earlier.
    fn notice_pause(&self, now: Duration, upkeep: &dyn Upkeep) {
        let _noticing = self.noticing.lock();
        let wakes_at = *self.wakes_at.lock();
        if wakes_at.is_some_and(|wakes_at| wakes_at.elapsed() > OVERSLEPT) {
            upkeep.resumed(now);
        }
    }

    /// Bounds that are lost with the power only make recovery look at more: there is time.
    fn sync_ends(&self, now: Duration, in_use: bool) -> Result<()> {
        let mut synced = self.ends_synced.lock();
        if !in_use || now.saturating_sub(*synced) < ENDS_INTERVAL {
            return Ok(());
        }
        *synced = now;
        self.ends.sync()
    }

    /// Has producers append what is due; returns when the next is.
    fn run_lingering(&self, now: Duration, all: bool) -> Option<Duration> {
        let _working = self.working.lock();
        let lingering = self.queue.lock().lingering.clone();
        let producers = lingering.iter().filter_map(Weak::upgrade);
        producers
            .filter_map(|producer| producer.append_due(now, all))
            .min()
    }

    /// Starts the thread. It knows nothing of the broker, and so does not keep it open.
    pub(crate) fn start(self: &Arc<Self>, clock: Arc<dyn Clock>) -> io::Result<()> {
        let Some(ringing) = self.ringing.lock().take() else {
            return Ok(());
        };
        let work = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("streamlog-housekeeping".into())
            .spawn(move || work.keep_house(&ringing, &*clock))?;
        *self.thread.lock() = Some(thread);
        self.running.store(true, Ordering::Release);
        Ok(())
    }

    fn keep_house(&self, ringing: &Receiver<()>, clock: &dyn Clock) {
        let mut next: Option<Duration> = None;
        while !self.stopping.load(Ordering::Acquire) {
            // Whatever ends the wait, it is time to look.
            if let Some(deadline) = next {
                let wait = until(clock, deadline);
                self.sleep_until(Instant::now().checked_add(wait), clock);
                let _ = ringing.recv_timeout(wait);
            } else {
                self.sleep_until(None, clock);
                let _ = ringing.recv();
            }
            let now = clock.monotonic();
            let due = self.queue.lock().next.is_some_and(|next| next <= now);
            if due {
                // A failure stops its partition, whose users are told; there is nobody to tell here.
                let _ = self.run(now, false);
            }
            next = self.queue.lock().next;
        }
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.running.store(false, Ordering::Release);
        self.ring();
        let handle = self.thread.lock().take();
        if let Some(handle) = handle {
            // It does not panic; if it did, there is nothing left that it could do.
            let _ = handle.join();
        }
    }
}

/// How long to sleep until `deadline`. A clock that stands still or is moved by hand does not ring: look
/// now and then, and the more rarely the later the deadline is.
fn until(clock: &dyn Clock, deadline: Duration) -> Duration {
    const SHORTEST_NAP: Duration = Duration::from_millis(100);
    let remaining = deadline.saturating_sub(clock.monotonic());
    remaining.min(SHORTEST_NAP.max(remaining / 60))
}

impl Queue {
    /// Takes the partitions whose sync is due. Data comes before the offsets that consumers committed
    /// for it, so if offsets are due, everything is.
    fn take_due(&mut self, now: Duration, all: bool) -> Vec<Arc<PartitionState>> {
        let is_offsets = |partition: &Weak<PartitionState>| {
            partition
                .upgrade()
                .is_some_and(|partition| partition.id().topic() == CONSUMER_OFFSETS)
        };
        let everything = all
            || self
                .syncs
                .iter()
                .any(|(deadline, partition)| *deadline <= now && is_offsets(partition));
        let due = self
            .syncs
            .extract_if(.., |(deadline, _)| everything || *deadline <= now);
        let mut due: Vec<_> = due
            .filter_map(|(_, partition)| partition.upgrade())
            .collect();
        due.sort_by_key(|partition| partition.id().topic() == CONSUMER_OFFSETS);
        due.dedup_by(|a, b| Arc::ptr_eq(a, b));
        due
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sim::SimDisk;

    const LONG: Duration = Duration::from_secs(60);

    /// While it deals with a pause, somebody else has something looked after.
    #[derive(Debug)]
    struct Busy {
        housekeeping: Arc<Housekeeping>,
        resumed: AtomicBool,
    }

    impl Upkeep for Busy {
        fn keep_up(&self, _: Duration) -> (Result<()>, Option<Duration>) {
            (Ok(()), None)
        }

        fn resumed(&self, now: Duration) {
            let (told, heard) = bounded(1);
            let housekeeping = Arc::clone(&self.housekeeping);
            thread::spawn(move || {
                housekeeping.due_at(now);
                told.send(())
            });
            heard.recv_timeout(LONG).expect("nobody waits for this");
            self.resumed.store(true, Ordering::Release);
        }
    }

    fn busy() -> Arc<Busy> {
        let ends = DurableEnds::open(&SimDisk::new(), Path::new("")).unwrap();
        let busy = Arc::new(Busy {
            housekeeping: Arc::new(Housekeeping::new(Arc::new(ends))),
            resumed: AtomicBool::new(false),
        });
        let upkeep = Arc::downgrade(&busy);
        busy.housekeeping.look_after(upkeep);
        busy
    }

    #[test]
    fn nobody_who_names_a_deadline_waits_until_a_pause_is_dealt_with() {
        let busy = busy();
        busy.housekeeping.running.store(true, Ordering::Release);
        *busy.housekeeping.wakes_at.lock() = Instant::now().checked_sub(2 * OVERSLEPT);
        busy.housekeeping.run(LONG, false).unwrap();
        assert!(busy.resumed.load(Ordering::Acquire));
    }

    #[test]
    fn without_a_thread_nobody_is_expected_to_wake() {
        let busy = busy();
        busy.housekeeping.due_at(LONG);
        assert_eq!(*busy.housekeeping.wakes_at.lock(), None);
    }
}
