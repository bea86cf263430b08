//! Blocked polls: nobody sleeps through a record, and everybody can be woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use super::*;
use crate::sim::SimDisk;
use crate::{Clock, Error, Timestamp};

#[test]
fn a_poll_that_finds_nothing_ends_with_its_time_out() {
    let broker = broker_with("t", 2);
    let mut consumer = subscribed(earliest(&broker), "t");
    let start = Instant::now();
    assert!(consumer.poll(Duration::from_millis(20)).unwrap().is_empty());
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn no_wake_up_is_lost() {
    let (count, partitions) = (3_000, 3);
    let broker = broker_with("t", partitions);
    let mut consumer = subscribed(earliest(&broker), "t");
    let writer = {
        let broker = broker.clone();
        thread::spawn(move || {
            for value in 0..count {
                let number = u32::try_from(value % u64::from(partitions)).unwrap();
                append(&broker, "t", number, [value]);
            }
        })
    };
    let mut seen = Vec::new();
    while seen.len() < usize::try_from(count).unwrap() {
        // A lost wake-up would sit here until the end.
        let records = consumer.poll(LONG).unwrap();
        assert!(
            !records.is_empty(),
            "slept through {} of {count}",
            seen.len()
        );
        seen.extend(values(&records));
    }
    writer.join().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
}

/// The writer appends each record while the consumer is on its way to sleep. The consumer sets out a
/// little later each time, so that the record hits every step of *register, look again, park*.
#[test]
fn no_wake_up_is_lost_on_the_way_to_sleep() {
    let rounds = 20_000;
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    let seen = Arc::new(AtomicU64::new(0));
    let writer = {
        let (broker, seen) = (broker.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for value in 0..rounds {
                while seen.load(Ordering::Acquire) < value {
                    thread::yield_now();
                }
                append(&broker, "t", 0, [value]);
            }
        })
    };
    for value in 0..rounds {
        let late = value * 7 % 4_000;
        for step in 0..late {
            std::hint::black_box(step);
        }
        // A lost wake-up would sit here until the end.
        assert_eq!(values(&consumer.poll(LONG).unwrap()), [value]);
        seen.store(value + 1, Ordering::Release);
    }
    writer.join().unwrap();
}

/// A clock that appends a record when it is looked at for the n-th time, in the middle of a poll.
#[derive(Debug, Clone, Default)]
struct AppendingClock {
    looks_left: Arc<AtomicU64>,
    partition: Arc<OnceLock<Partition>>,
}

impl Clock for AppendingClock {
    fn wall(&self) -> Timestamp {
        0
    }

    fn monotonic(&self) -> Duration {
        let left = self.looks_left.load(Ordering::SeqCst);
        self.looks_left
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if let (1, Some(partition)) = (left, self.partition.get()) {
            partition.append(&[Record::value_only("7")]).unwrap();
        }
        Duration::ZERO
    }

    fn coarse_monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_record_is_seen_whenever_it_comes_on_the_way_to_sleep() {
    let clock = AppendingClock::default();
    let builder = Broker::builder("data")
        .storage(SimDisk::new())
        .background(false);
    let broker = builder.clock(clock.clone()).open().unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    clock.partition.set(partition(&broker, "t", 0)).unwrap();
    // With an automatic commit to come, a poll looks at the clock at every step.
    let hour = Some(Duration::from_secs(3600));
    let mut consumer = subscribed(earliest(&broker).group("g").auto_commit(hour), "t");
    append(&broker, "t", 0, [1]);
    assert_eq!(look(&mut consumer).len(), 1);
    let many = 1_000;
    clock.looks_left.store(many, Ordering::SeqCst);
    assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
    let looks = many - clock.looks_left.load(Ordering::SeqCst);
    assert!(
        looks >= 3,
        "before the fetch, before the second, before parking"
    );
    for look in 1..=looks {
        clock.looks_left.store(look, Ordering::SeqCst);
        // If it were missed, this would sleep until the end and find nothing.
        assert_eq!(
            values(&consumer.poll(LONG).unwrap()),
            [7],
            "at look {look} of {looks}"
        );
    }
}

#[test]
fn a_record_wakes_the_poll_that_waits_for_it() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    let waiting = consumer.wakeup_handle();
    let writer = {
        let broker = broker.clone();
        thread::spawn(move || {
            append(&broker, "t", 0, [1]);
            drop(waiting);
        })
    };
    assert_eq!(values(&consumer.poll(LONG).unwrap()), [1]);
    writer.join().unwrap();
}

#[test]
fn spinning_finds_records_too() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker).busy_poll(Duration::MAX), "t");
    let writer = {
        let broker = broker.clone();
        thread::spawn(move || append(&broker, "t", 0, [1]))
    };
    assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), [1]);
    writer.join().unwrap();
    let mut consumer = subscribed(broker.consumer().busy_poll(Duration::from_micros(50)), "t");
    assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
}

#[test]
fn a_wake_up_ends_the_running_or_else_the_next_poll_once() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, [1]);
    let mut consumer = subscribed(earliest(&broker), "t");
    consumer.wakeup_handle().wakeup();
    assert!(matches!(consumer.poll(LONG), Err(Error::Wakeup)));
    assert_eq!(
        look(&mut consumer).len(),
        1,
        "no position moved, and once is enough"
    );
    for _ in 0..200 {
        let handle = consumer.wakeup_handle();
        let waker = thread::spawn(move || handle.wakeup());
        assert!(matches!(consumer.poll(LONG), Err(Error::Wakeup)));
        waker.join().unwrap();
    }
    assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
}

#[test]
fn a_new_partition_and_a_closing_broker_wake_those_who_wait() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    let other = {
        let broker = broker.clone();
        thread::spawn(move || {
            broker.add_partitions("t", 2).unwrap();
            append(&broker, "t", 1, [1]);
        })
    };
    assert_eq!(values(&consumer.poll(LONG).unwrap()), [1]);
    other.join().unwrap();
    let closer = thread::spawn(move || broker.close().unwrap());
    assert!(matches!(consumer.poll(LONG), Err(Error::Closed(_))));
    closer.join().unwrap();
}

#[test]
fn a_sleeping_poll_commits_when_it_is_time_to() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, [1]);
    let interval = Some(Duration::from_millis(5));
    let mut consumer = subscribed(earliest(&broker).group("g").auto_commit(interval), "t");
    assert_eq!(look(&mut consumer).len(), 1);
    assert!(
        consumer
            .poll(Duration::from_millis(100))
            .unwrap()
            .is_empty()
    );
    assert_eq!(consumer.committed(&id("t", 0)).unwrap(), Some(1));
}

#[test]
fn consumers_that_are_gone_leave_nobody_waiting_behind() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
    let waiter = std::sync::Arc::downgrade(consumer.wakeup.waiter());
    drop(consumer);
    assert!(waiter.upgrade().is_none());
}
