//! A clock that reads wrongly removes nothing, and one whose readings take time holds nothing up.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// The wall clock of this one can be set.
#[derive(Debug, Clone)]
struct SetClock {
    steady: ManualClock,
    ahead: Arc<AtomicI64>,
}

impl Clock for SetClock {
    fn wall(&self) -> i64 {
        self.steady.wall() + self.ahead.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        self.steady.monotonic()
    }
}

#[test]
fn a_jump_ahead_removes_nothing_before_it_has_lasted() {
    let clock = SetClock {
        steady: ManualClock::new(START),
        ahead: Arc::default(),
    };
    let builder = Broker::builder(support::DIR)
        .storage(SimDisk::new())
        .clock(clock.clone())
        .background(false);
    let broker = builder.open().unwrap();
    broker.create_topic("t", an_hour()).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 40, START);
    let look = |seconds, ahead| {
        clock.steady.advance(Duration::from_secs(seconds));
        clock.ahead.store(ahead, Ordering::SeqCst);
        broker.run_housekeeping().unwrap();
        log.log_start_offset()
    };
    let year = 365 * 24 * HOUR_MILLIS;
    assert_eq!(look(60, year), 0, "seen once");
    assert_eq!(look(60, 0), 0, "it was a bad reading");
    assert_eq!(look(60, year), 0);
    assert_eq!(look(29, year), 0);
    assert_eq!(look(1, year), 40, "the clock was set");
}

#[test]
fn a_clock_that_was_set_back_keeps_more() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 40, START + 10 * HOUR_MILLIS);
    world.clock.advance(HOUR);
    world.look();
    assert_eq!(log.log_start_offset(), 0, "records of the future stay");
    world.clock.advance(10 * HOUR + Duration::from_millis(1));
    world.look();
    assert_eq!(log.log_start_offset(), 40);
}

/// Whenever this one is asked, something is appended before it answers.
#[derive(Debug, Clone)]
struct BusyClock {
    steady: ManualClock,
    log: Arc<Mutex<Option<Partition>>>,
}

impl Clock for BusyClock {
    fn wall(&self) -> i64 {
        // The append asks for the time, too, and finds none to append to.
        let log = self.log.lock().unwrap().take();
        if let Some(log) = log {
            fill(&log, 1, START);
            self.log.lock().unwrap().replace(log);
        }
        self.steady.wall()
    }

    fn monotonic(&self) -> Duration {
        self.steady.monotonic()
    }
}

#[test]
fn what_is_old_goes_though_appends_are_always_quicker_than_a_roll() {
    let clock = BusyClock {
        steady: ManualClock::new(START),
        log: Arc::default(),
    };
    let builder = Broker::builder(support::DIR).storage(SimDisk::new());
    let builder = builder.clock(clock.clone()).background(false);
    let broker = builder.open().unwrap();
    let config = kept().retention_bytes(Some(0));
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 60, START);
    clock.log.lock().unwrap().replace(log.clone());
    broker.run_housekeeping().unwrap();
    clock.log.lock().unwrap().take();
    let left = offsets(&log);
    assert!(log.high_watermark() > 60 && left.len() < 20, "{left:?}");
    assert!(left.starts_with(&[log.log_start_offset()]));
}
