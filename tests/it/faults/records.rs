//! A mixed workload that notes what each call answered, and what has to be there afterwards.

use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Durability, Error, ManualClock, Offset, Record, Result, TopicPartition};

use super::kind::Kind;
use super::promise::Promise;
use super::sweep::{Case, cases, run_all};
use crate::support::{self, Model, START, append_at, content, read_all, small_segments};

/// A run of the workload.
pub struct Run {
    pub disk: SimDisk,
    pub clock: ManualClock,
    pub broker: Option<Broker>,
    pub promises: Vec<Promise>,
    /// The commit that was acknowledged last, and those that may have happened since.
    pub commits: Vec<Offset>,
    pub errors: Vec<Error>,
}

const PARTITIONS: [(&str, u32); 5] = [
    ("plain", 0),
    ("plain", 1),
    ("synced", 0),
    ("sent", 0),
    ("late", 0),
];

impl Run {
    pub fn new(disk: SimDisk) -> Self {
        let promises = PARTITIONS
            .iter()
            .zip(1..)
            .map(|(&(topic, number), salt)| Promise::new(topic, number, salt));
        Self {
            disk,
            clock: ManualClock::new(START),
            broker: None,
            promises: promises.collect(),
            commits: vec![0],
            errors: Vec::new(),
        }
    }

    /// Notes an error; a value if there was none.
    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// Opens, does everything twice with a close between, and leaves the broker open.
    pub fn run(&mut self) {
        self.open();
        self.work();
        self.close();
        self.open();
        self.work();
    }

    pub fn open(&mut self) {
        let opened = support::open_at(&self.disk, &self.clock);
        self.broker = self.note(opened);
        self.settle();
    }

    /// What was indefinite is known after an open.
    fn settle(&mut self) {
        let Some(broker) = &self.broker else { return };
        for promise in &mut self.promises {
            let Some(log) = promise.find(broker) else {
                continue;
            };
            let mut reports = broker.recovery_report().partitions.iter();
            if reports.any(|(id, report)| id == log.id() && !report.damage.is_empty()) {
                // It could not be opened, and shows nothing.
                continue;
            }
            let end = log.high_watermark();
            assert!(
                promise.acked <= end && end <= promise.maybe.max(promise.acked),
                "{promise:?} ends at {end}"
            );
            (promise.acked, promise.maybe, promise.stopped) = (end, end, false);
        }
    }

    pub fn close(&mut self) {
        if let Some(broker) = self.broker.take() {
            let closed = broker.close();
            self.note(closed);
        }
    }

    pub fn work(&mut self) {
        let Some(broker) = self.broker.clone() else {
            return;
        };
        let configs = [
            ("plain", small_segments().partitions(2)),
            ("synced", small_segments().durability(Durability::Synced)),
            ("sent", small_segments()),
        ];
        for (topic, config) in configs {
            self.create(&broker, topic, config);
        }
        for round in 0..6 {
            for index in 0..3 {
                self.append(&broker, index, 1 + (round + index as u64) % 4);
            }
            self.send(&broker, 3);
        }
        self.flush(&broker, 0);
        self.commit(&broker);
        self.create(&broker, "late", small_segments());
        self.append(&broker, 4, 3);
        for round in 0..4 {
            for index in 0..3 {
                self.append(&broker, index, 5 - round);
            }
            self.clock.advance(Duration::from_millis(400));
            let kept = broker.run_housekeeping();
            self.note(kept);
        }
        self.commit(&broker);
        self.read(&broker);
    }

    fn create(&mut self, broker: &Broker, topic: &str, config: streamlog::TopicConfig) {
        if broker.topic(topic).is_err() {
            let created = broker.create_topic(topic, config);
            self.note(created);
        }
    }

    pub fn append(&mut self, broker: &Broker, index: usize, count: u64) {
        let promise = self.promises[index].clone();
        let Some(log) = promise.find(broker).filter(|_| !promise.stopped) else {
            return;
        };
        let result = self.promises[index].append(&log, count);
        self.note(result);
    }

    /// Sends through a producer: one record a batch.
    fn send(&mut self, broker: &Broker, index: usize) {
        let promise = self.promises[index].clone();
        if promise.find(broker).is_none() || promise.stopped {
            return;
        }
        let producer = broker.producer().linger(Duration::ZERO).build();
        let Some(producer) = self.note(producer) else {
            return;
        };
        for _ in 0..3 {
            let content = content(promise.salt, self.promises[index].acked);
            let mut record = Record::to(promise.topic)
                .value(&content.value)
                .header("is", &content.header)
                .timestamp(content.timestamp);
            if let Some(key) = &content.key {
                record = record.key(key);
            }
            let sent = producer.send(record).and_then(streamlog::Delivery::wait);
            let result = sent.map(|metadata| metadata.offset());
            self.promises[index].note(&result, 1);
            self.note(result);
            if self.promises[index].stopped {
                break;
            }
        }
        // It tells again of what failed.
        let _ = producer.flush();
    }

    fn flush(&mut self, broker: &Broker, index: usize) {
        if let Some(log) = self.promises[index].find(broker) {
            let flushed = log.flush();
            self.note(flushed);
        }
    }

    fn commit(&mut self, broker: &Broker) {
        let id = TopicPartition::new("plain", 0);
        if self.promises[0].find(broker).is_none() {
            return;
        }
        let offset = self.promises[0].acked;
        let result = broker
            .consumer()
            .group("g")
            .auto_commit(None)
            .build()
            .and_then(|mut consumer| {
                consumer.subscribe(["plain"])?;
                consumer.commit_offsets(&[(id, offset)])
            });
        match &result {
            Ok(()) => self.commits = vec![offset],
            Err(_) => self.commits.push(offset),
        }
        self.note(result);
    }

    /// Readers of a failing disk get right records or errors.
    fn read(&mut self, broker: &Broker) {
        for promise in self.promises.clone() {
            if let Some(log) = promise.find(broker) {
                let seen = read_all(
                    &log,
                    &Model::new(promise.salt, promise.maybe.max(promise.acked)),
                );
                self.errors.extend(seen.errors);
            }
        }
    }

    /// With a sound disk: what was acknowledged is there, and what nobody wrote is not.
    pub fn check(&mut self, disk: &SimDisk, strict: bool) {
        self.broker = None;
        let broker = support::open_at(disk, &self.clock).expect("a sound disk opens");
        let report = broker.recovery_report();
        assert!(
            !report.has_damage(),
            "a failing disk damaged something: {report:#?}"
        );
        for promise in &mut self.promises {
            let Some(log) = promise.find(&broker) else {
                assert_eq!(promise.acked, 0, "{promise:?} is gone");
                continue;
            };
            promise.check(&broker, promise.acked);
            let end = log.high_watermark();
            append_at(&log, promise.salt, end, 2).expect("a sound disk takes more");
            (promise.acked, promise.maybe) = (end + 2, end + 2);
        }
        self.check_commit(&broker);
        broker.close().expect("a sound disk closes");
        if strict {
            support::assert_settled(disk);
        }
    }

    fn check_commit(&self, broker: &Broker) {
        let Ok(topic) = broker.topic("plain") else {
            return;
        };
        assert_eq!(topic.partition_count(), 2);
        let id = TopicPartition::new("plain", 0);
        let consumer = broker.consumer().group("g").build().expect("a group");
        let committed = consumer
            .committed(&id)
            .expect("offsets can be read")
            .unwrap_or(0);
        assert!(
            self.commits.contains(&committed),
            "{committed} is committed, not one of {:?}",
            self.commits
        );
    }
}

#[test]
fn whatever_fails_no_acknowledged_record_is_lost_and_none_is_invented() {
    let mut sound = Run::new(SimDisk::new());
    sound.run();
    assert!(sound.errors.is_empty(), "{:?}", sound.errors);
    assert!(sound.promises.iter().all(|promise| promise.acked > 0));
    let cases = cases(|operation| sound.disk.count(operation), 1);
    run_all("records", &cases, fails);
}

/// True if a call failed.
fn fails(case: &Case) -> bool {
    let disk = if case.kind == Kind::LostSync {
        SimDisk::recording()
    } else {
        SimDisk::new()
    };
    let mut run = Run::new(disk.clone());
    case.arm(&disk);
    run.run();
    disk.clear_faults();
    case.explain(&run.errors);
    let failed = !run.errors.is_empty();
    if case.at.is_multiple_of(2) {
        // Killed.
        let disk = disk.duplicate();
        run.check(&disk, case.at.is_multiple_of(8));
    } else {
        // Dropped: which closes, as far as that works.
        run.close();
        run.check(&disk, case.at % 8 == 1);
    }
    failed
}
