//! Models of `src/notify.rs`.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::thread;

use crate::Model;
use crate::notify::{Waiter, Waiters};
use crate::sync::{
    AtomicU64, AtomicUsize, FOREVER, Instant, Ordering, Thread, current_thread, park,
};

pub(crate) const MODELS: &[Model] = &[
    ("a reader sees each of two records", None, one_reader),
    ("two readers see a record", Some(3), two_readers),
    (
        "a reader sees the records of two writers",
        Some(3),
        two_writers,
    ),
    ("a wait that times out loses nothing", None, time_out),
    (
        "a reader that gives up leaves the others their wake-up",
        Some(3),
        unregistering,
    ),
    ("a task is woken as a thread is", None, task),
];

/// An end that is published, and those who wait for it.
#[derive(Default)]
struct Partition {
    end: AtomicU64,
    waiters: Waiters,
}

impl Partition {
    /// As `PartitionState::append` ends.
    fn append(&self) {
        self.end.fetch_add(1, Ordering::Release);
        self.waiters.wake_all();
    }

    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// As readers and consumers wait: register, look again, sleep.
    fn wait_for(&self, waiter: &Arc<Waiter>, wanted: u64) {
        loop {
            waiter.reset();
            self.waiters.register(waiter);
            if self.end() >= wanted {
                return;
            }
            assert!(waiter.wait_until(Instant::now() + FOREVER));
        }
    }
}

fn one_reader() {
    let partition = Arc::new(Partition::default());
    let writer = writer(&partition, 2);
    let waiter = Arc::default();
    // The first wait may park, the second may watch, since the first was short.
    partition.wait_for(&waiter, 1);
    partition.wait_for(&waiter, 2);
    writer.join().unwrap();
}

fn two_readers() {
    let partition = Arc::new(Partition::default());
    let other = {
        let partition = Arc::clone(&partition);
        thread::spawn(move || partition.wait_for(&Arc::default(), 1))
    };
    let writer = writer(&partition, 1);
    partition.wait_for(&Arc::default(), 1);
    other.join().unwrap();
    writer.join().unwrap();
}

fn two_writers() {
    let partition = Arc::new(Partition::default());
    let writers = [writer(&partition, 1), writer(&partition, 1)];
    partition.wait_for(&Arc::default(), 2);
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
}

fn time_out() {
    let partition = Arc::new(Partition::default());
    let writer = writer(&partition, 1);
    let waiter: Arc<Waiter> = Arc::default();
    partition.waiters.register(&waiter);
    let woken = waiter.wait_until(Instant::now());
    assert!(!woken || partition.end() == 1, "woken for a reason");
    partition.wait_for(&waiter, 1);
    writer.join().unwrap();
}

fn unregistering() {
    let partition = Arc::new(Partition::default());
    let hasty = {
        let partition = Arc::clone(&partition);
        thread::spawn(move || {
            let waiter: Arc<Waiter> = Arc::default();
            partition.waiters.register(&waiter);
            partition.waiters.unregister(&waiter);
        })
    };
    let writer = writer(&partition, 1);
    partition.wait_for(&Arc::default(), 1);
    hasty.join().unwrap();
    writer.join().unwrap();
}

fn task() {
    let partition = Arc::new(Partition::default());
    let writer = writer(&partition, 1);
    let (waker, wakes) = unparker();
    let mut polls = 0;
    loop {
        partition.waiters.register_task(&waker);
        polls += 1;
        if partition.end() == 1 {
            break;
        }
        park();
    }
    writer.join().unwrap();
    assert!(polls <= 1 + wakes.0.load(Ordering::Relaxed));
}

fn writer(partition: &Arc<Partition>, records: usize) -> thread::JoinHandle<()> {
    let partition = Arc::clone(partition);
    thread::spawn(move || (0..records).for_each(|_| partition.append()))
}

/// How often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

struct Unpark(Thread, Arc<Wakes>);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.0.fetch_add(1, Ordering::Relaxed);
        self.0.unpark();
    }
}

/// A waker for a task that this thread runs, and parks between its polls.
pub(crate) fn unparker() -> (Waker, Arc<Wakes>) {
    let wakes = Arc::<Wakes>::default();
    let unpark = Unpark(current_thread(), Arc::clone(&wakes));
    (Waker::from(Arc::new(unpark)), wakes)
}
