//! Records that go: by age, by size, by request, and when groups have consumed them.

use std::path::Path;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, Clock, Error, ManualClock, Offset, Partition, Result, RetentionConsumed, TopicConfig,
    TopicPartition,
};

use super::promise::{Promise, have_offsets_stopped};
use super::sweep::{End, Workload, sweep};
use super::traces;
use crate::support::{self, START, content, small_segments};

const OLD: usize = 0;
const LARGE: usize = 1;
const REQUESTED: usize = 2;
const QUEUE: usize = 3;
const TOPICS: [&str; 4] = ["old", "large", "requested", "queue"];

const AGE: Duration = Duration::from_millis(60);
const BYTES: u64 = 1000;
const SEGMENT_BYTES: u64 = 700;

struct Retention {
    disk: SimDisk,
    clock: ManualClock,
    broker: Option<Broker>,
    /// In the order of [`TOPICS`].
    promises: Vec<Promise>,
    errors: Vec<Error>,
}

fn config(topic: usize) -> TopicConfig {
    let config = small_segments().segment_bytes(SEGMENT_BYTES);
    match topic {
        OLD => config.retention_ms(Some(AGE)),
        LARGE => config.retention_bytes(Some(BYTES)),
        REQUESTED => config,
        _ => config
            .retention_ms(Some(Duration::ZERO))
            .retention_consumed(RetentionConsumed::EveryGroup),
    }
}

/// Four topics of four segments each, closed in order.
fn prepared() -> SimDisk {
    let disk = SimDisk::new();
    let mut run = Retention::on(disk.clone());
    for (number, name) in TOPICS.into_iter().enumerate() {
        run.broker()
            .create_topic(name, config(number))
            .expect("a topic");
        for _ in 0..11 {
            run.append(number, 3);
        }
    }
    run.commit(3);
    assert!(run.errors.is_empty(), "{:?}", run.errors);
    run.close();
    disk
}

#[test]
fn whatever_fails_while_records_go_those_that_stay_are_all_there() {
    sweep::<Retention>("retention", &prepared(), 2);
}

impl Retention {
    fn on(disk: SimDisk) -> Self {
        let clock = ManualClock::new(START);
        let broker = support::open_at(&disk, &clock).expect("a sound disk opens");
        let promises = TOPICS.into_iter().zip(1..);
        let promises = promises.map(|(topic, salt)| {
            let mut promise = Promise::new(topic, 0, salt);
            if let Some(log) = promise.find(&broker) {
                promise.acked = log.high_watermark();
                promise.maybe = promise.acked;
            }
            promise
        });
        Self {
            promises: promises.collect(),
            disk,
            clock,
            broker: Some(broker),
            errors: Vec::new(),
        }
    }

    fn broker(&self) -> Broker {
        self.broker.clone().expect("it is open")
    }

    fn log(&self, number: usize) -> Partition {
        self.promises[number]
            .find(&self.broker())
            .expect("the topic is there")
    }

    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn append(&mut self, number: usize, count: u64) {
        let log = self.log(number);
        if !self.promises[number].stopped {
            let appended = self.promises[number].append(&log, count);
            self.note(appended);
        }
    }

    fn commit(&mut self, offset: Offset) {
        let id = TopicPartition::new(TOPICS[QUEUE], 0);
        let committed = self.broker().group("g").commit_offsets(&[(id, offset)]);
        // Whether or not it failed: it may be there.
        self.promises[QUEUE].may_start_at(offset);
        self.note(committed);
    }

    fn request(&mut self, offset: Offset) {
        let deleted = self.log(REQUESTED).delete_records(offset);
        self.promises[REQUESTED].may_start_at(offset);
        if deleted.is_ok() {
            assert_eq!(self.log(REQUESTED).log_start_offset(), offset);
        }
        self.note(deleted);
    }

    /// Lets time pass, and has retention look.
    fn clean(&mut self, time: Duration) -> Result<()> {
        self.clock.advance(time);
        let now = self.clock.wall();
        let age = i64::try_from(AGE.as_millis()).expect("small");
        let old = &mut self.promises[OLD];
        let is_old = |offset: &Offset| content(old.salt, *offset).timestamp < now - age;
        old.may_start_at((0..old.acked).take_while(is_old).count() as u64);
        let all = self.promises[LARGE].acked;
        self.promises[LARGE].may_start_at(all);
        self.broker().run_housekeeping()
    }

    /// Nobody knows what a failure left on the device of records, commits or the manifest: all of that goes
    /// on with the next open.
    fn has_stopped(&self) -> bool {
        let broker = self.broker();
        let probe = broker.alter_topic(TOPICS[REQUESTED], config(REQUESTED));
        let is_refused = matches!(probe, Err(Error::StorageFailed { .. }));
        assert!(is_refused || probe.is_ok(), "{probe:?}");
        let stopped = is_refused || have_offsets_stopped(&broker);
        stopped || self.promises.iter().any(|promise| promise.stopped)
    }

    /// What had to go is gone, also from the disk.
    fn assert_finished(&self) {
        for (number, promise) in self.promises.iter().enumerate() {
            let log = self.log(number);
            traces::assert_removed(&self.disk, &log);
            let (start, end) = (log.log_start_offset(), log.high_watermark());
            match number {
                OLD | QUEUE => assert_eq!(start, end, "{promise:?}"),
                LARGE => assert!(log.size_bytes() < BYTES + SEGMENT_BYTES, "{promise:?}"),
                _ => assert_eq!(start, promise.may_start, "{promise:?}"),
            }
        }
    }
}

impl Workload for Retention {
    fn begin(disk: SimDisk) -> Self {
        Self::on(disk)
    }

    fn work(&mut self) {
        for number in 0..TOPICS.len() {
            self.append(number, 2);
        }
        self.request(14);
        for time in [Duration::from_millis(120), Duration::from_millis(1)] {
            let cleaned = self.clean(time);
            self.note(cleaned);
            self.commit(20);
        }
        self.append(REQUESTED, 1);
        self.commit(self.promises[QUEUE].acked);
        // By now everything is too old, the active segment, too.
        let cleaned = self.clean(Duration::from_secs(3600));
        self.note(cleaned);
        self.append(OLD, 1);
        self.request(25);
    }

    fn errors(&self) -> &[Error] {
        &self.errors
    }

    fn look(&mut self, reads_fail: bool) {
        for number in 0..TOPICS.len() {
            let log = self.log(number);
            self.promises[number].look(&log, reads_fail);
        }
    }

    fn go_on(&mut self) {
        self.errors.clear();
        let has_stopped = self.has_stopped();
        for number in 0..TOPICS.len() {
            self.append(number, 1);
        }
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self.commit(self.promises[QUEUE].acked);
        self.request(self.promises[REQUESTED].may_start.max(14));
        let cleaned = self.clean(Duration::from_secs(3600));
        if !has_stopped {
            assert!(self.errors.is_empty(), "{:?}", self.errors);
            cleaned.expect("a sound disk is cleaned");
            assert!(self.broker().cleaning_failures().is_empty());
            self.assert_finished();
        }
        self.errors.clear();
        self.look(false);
    }

    fn close(&mut self) {
        let stopped = self.has_stopped();
        let closed = self.broker.take().expect("it is open").close();
        assert!(stopped || closed.is_ok(), "{closed:?}");
    }

    fn check(&self, disk: &SimDisk, end: End) {
        let broker = support::open_at(disk, &self.clock).expect("a sound disk opens");
        let report = broker.recovery_report();
        assert!(!report.has_damage(), "{report:#?}");
        traces::assert_none(disk, Path::new(support::DIR));
        for (number, promise) in self.promises.iter().enumerate() {
            let least = if end == End::PowerLost {
                promise.durable
            } else {
                promise.acked
            };
            let log = promise.check(&broker, least);
            if number == LARGE && log.log_start_offset() > 0 {
                assert!(log.size_bytes() >= BYTES, "{promise:?}");
            }
            support::append(&log, promise.salt, 1).expect("a sound disk takes more");
        }
        broker.run_housekeeping().expect("a sound disk is cleaned");
        for number in 0..TOPICS.len() {
            let log = self.promises[number].find(&broker).expect("the topic");
            traces::assert_removed(disk, &log);
        }
        broker.close().expect("a sound disk closes");
    }
}
