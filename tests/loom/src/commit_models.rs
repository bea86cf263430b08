//! Models of `src/log/group_commit.rs`.

use std::sync::Arc;
use std::task::Context;

use loom::thread;

use crate::Model;
use crate::error::{Result, SyncFailed};
use crate::group_commit::GroupCommit;
use crate::notify_models::unparker;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, park};

pub(crate) const MODELS: &[Model] = &[
    ("two commit twice", Some(3), two_commit_twice),
    ("three commit", Some(2), three_commit),
    ("a failed sync frees all who wait", Some(3), failure),
    ("a roll serves whoever was to lead next", Some(2), roll),
    ("a task is woken by a thread's sync", Some(3), task),
    ("closing wakes a task", None, closing),
];

/// A log as group commit sees it: how far it was written, and how far the device has it.
#[derive(Default)]
struct Log {
    written: AtomicU64,
    on_device: AtomicU64,
    failed: AtomicBool,
    /// What the next sync answers.
    broken: bool,
    /// Who is in a sync: loom finds two that are there at once.
    device: Mutex<()>,
    commit: GroupCommit,
}

impl Log {
    fn append(&self) -> u64 {
        self.written.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// As `Log::sync`.
    fn sync(&self) -> Result<u64> {
        if self.failed.load(Ordering::Acquire) {
            return Err(SyncFailed);
        }
        let end = self.written.load(Ordering::Acquire);
        let _device = self.device.lock();
        if self.broken {
            self.failed.store(true, Ordering::Release);
            self.commit.wake_all();
            return Err(SyncFailed);
        }
        self.on_device.fetch_max(end, Ordering::AcqRel);
        self.commit.advance(end);
        Ok(end)
    }

    /// As the roll to a new segment.
    fn roll(&self) {
        let end = self.written.load(Ordering::Acquire);
        self.on_device.fetch_max(end, Ordering::AcqRel);
        self.commit.advance(end);
    }

    fn commit(&self) -> Result<()> {
        let end = self.append();
        let outcome = self.commit.wait(end, || self.sync());
        if outcome.is_ok() {
            let covered = self.on_device.load(Ordering::Acquire);
            assert!(covered >= end, "acknowledged without a sync");
        }
        outcome
    }
}

fn spawn<T: 'static>(log: &Arc<Log>, work: fn(&Log) -> T) -> thread::JoinHandle<T> {
    let log = Arc::clone(log);
    thread::spawn(move || work(&log))
}

fn two_commit_twice() {
    let log = Arc::new(Log::default());
    let other = spawn(&log, |log| [log.commit(), log.commit()]);
    assert_eq!([log.commit(), log.commit()], [Ok(()); 2]);
    assert_eq!(other.join().unwrap(), [Ok(()); 2]);
}

fn three_commit() {
    let log = Arc::new(Log::default());
    let others = [spawn(&log, Log::commit), spawn(&log, Log::commit)];
    assert_eq!(log.commit(), Ok(()));
    assert!(others.map(|other| other.join().unwrap()) == [Ok(()); 2]);
}

fn failure() {
    let log = Arc::new(Log {
        broken: true,
        ..Log::default()
    });
    let others = [spawn(&log, Log::commit), spawn(&log, Log::commit)];
    assert_eq!(log.commit(), Err(SyncFailed));
    assert!(others.map(|other| other.join().unwrap()) == [Err(SyncFailed); 2]);
}

fn roll() {
    let log = Arc::new(Log::default());
    let others = [spawn(&log, Log::commit), spawn(&log, Log::commit)];
    log.append();
    log.roll();
    assert!(others.map(|other| other.join().unwrap()) == [Ok(()); 2]);
}

/// Somebody else syncs, as the housekeeping thread does when it is asked to.
fn task() {
    let log = Arc::new(Log::default());
    let end = log.append();
    let other = spawn(&log, Log::commit);
    let housekeeping = spawn(&log, |log| {
        let end = log.written.load(Ordering::Acquire);
        log.commit.wait(end, || log.sync())
    });
    let (waker, _) = unparker();
    while log
        .commit
        .poll(end, &mut Context::from_waker(&waker))
        .is_pending()
    {
        park();
    }
    assert!(log.on_device.load(Ordering::Acquire) >= end);
    assert_eq!(other.join().unwrap(), Ok(()));
    assert_eq!(housekeeping.join().unwrap(), Ok(()));
}

fn closing() {
    let log = Arc::new(Log::default());
    let end = log.append();
    let closer = spawn(&log, |log| {
        log.failed.store(true, Ordering::Release);
        log.commit.wake_all();
    });
    let (waker, _) = unparker();
    // As `PartitionState::poll_durable`: registered first, then looked for a failure.
    while log
        .commit
        .poll(end, &mut Context::from_waker(&waker))
        .is_pending()
        && !log.failed.load(Ordering::Acquire)
    {
        park();
    }
    closer.join().unwrap();
}
