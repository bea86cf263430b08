//! Topics that are made, altered, deleted and made again.

use std::collections::BTreeSet;
use std::path::Path;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, CleanupPolicy, Error, ManualClock, Offset, Result, TopicConfig, TopicPartition,
};

use super::fates::{Fate, Fates};
use super::promise::{Promise, have_offsets_stopped};
use super::sweep::{End, Workload, sweep};
use super::traces;
use crate::support::{self, START, partition, small_segments};

const GROUP: &str = "g";
const NAMES: [&str; 4] = ["old", "altered", "stays", "new"];

struct Topics {
    clock: ManualClock,
    broker: Option<Broker>,
    fates: Fates,
    /// Of the topics with these ids, whatever their name is.
    promises: Vec<(String, Promise)>,
    /// What the group committed for partition 0 of the topics with these ids; the last one, if that did not fail.
    commits: Vec<(String, Offset)>,
    errors: Vec<Error>,
}

/// A topic that is deleted and made again, one that is altered, and one that nobody touches; closed in order.
fn prepared() -> SimDisk {
    let disk = SimDisk::new();
    let mut run = Topics::on(&disk);
    for (name, partitions) in [("old", 2), ("altered", 1), ("stays", 1)] {
        run.create(name, small_segments().partitions(partitions));
        for number in 0..partitions {
            (0..4).for_each(|_| run.append(name, number, 3));
        }
    }
    run.commit("old", 3);
    run.commit("stays", 2);
    assert!(run.errors.is_empty(), "{:?}", run.errors);
    run.broker
        .take()
        .expect("it is open")
        .close()
        .expect("closes");
    disk
}

#[test]
fn whatever_fails_topics_are_as_before_or_as_asked_for() {
    sweep::<Topics>("topics", &prepared(), 2);
}

impl Topics {
    fn on(disk: &SimDisk) -> Self {
        let clock = ManualClock::new(START);
        let broker = support::open_at(disk, &clock).expect("a sound disk opens");
        let mut run = Self {
            fates: Fates::of(&broker),
            clock,
            broker: None,
            promises: Vec::new(),
            commits: Vec::new(),
            errors: Vec::new(),
        };
        for topic in broker.topics() {
            for log in topic.partitions() {
                let promise = run.promise(&topic.id(), topic.name(), log.id().partition());
                promise.acked = log.high_watermark();
                promise.maybe = promise.acked;
            }
            if let Some(offset) = committed(&broker, topic.name()) {
                run.commits.push((topic.id(), offset));
            }
        }
        run.broker = Some(broker);
        run
    }

    fn broker(&self) -> Broker {
        self.broker.clone().expect("it is open")
    }

    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    fn promise(&mut self, id: &str, name: &str, number: u32) -> &mut Promise {
        let is_it = |(known, promise): &(String, Promise)| known == id && promise.number == number;
        let at = self.promises.iter().position(is_it).unwrap_or_else(|| {
            let known = NAMES.into_iter().position(|known| known == name);
            let known = known.expect("a topic of ours");
            let is_former = |(_, promise): &&(String, Promise)| {
                promise.topic == name && promise.number == number
            };
            let former = self.promises.iter().filter(is_former).count() as u64;
            // No two logs hold the same.
            let salt = 1 + known as u64 + 10 * u64::from(number) + 100 * former;
            let promise = Promise::new(NAMES[known], number, salt);
            self.promises.push((id.to_owned(), promise));
            self.promises.len() - 1
        });
        &mut self.promises[at].1
    }

    /// Makes a call that is to lead from one fate to another, and holds the broker to one of both.
    fn change(
        &mut self,
        name: &'static str,
        wanted: &Fate,
        call: impl FnOnce(&Broker) -> Result<()>,
    ) {
        let broker = self.broker();
        let result = call(&broker);
        match &result {
            Ok(()) => self.fates.succeeded(&broker, name, wanted),
            Err(error) => self.fates.failed(&broker, name, wanted, error),
        }
        match result {
            // What came before did not happen.
            Err(Error::TopicExists { .. } | Error::UnknownTopic { .. }) => {}
            other => drop(self.note(other)),
        }
    }

    fn create(&mut self, name: &'static str, config: TopicConfig) {
        let wanted = Fate::there(None, &config);
        self.change(name, &wanted, |broker| {
            broker.create_topic(name, config).map(drop)
        });
        if let Ok(topic) = self.broker().topic(name) {
            let known = self.commits.iter().any(|(id, _)| *id == topic.id());
            let inherited = committed(&self.broker(), name).is_some();
            assert!(known || !inherited, "{name} inherits commits");
        }
    }

    fn alter(&mut self, name: &'static str, config: TopicConfig) {
        let wanted = Fate::there(self.id(name), &config);
        self.change(name, &wanted, |broker| broker.alter_topic(name, config));
    }

    fn add_partitions(&mut self, name: &'static str, count: u32) {
        let Ok(topic) = self.broker().topic(name) else {
            return;
        };
        let config = TopicConfig::clone(&topic.config()).partitions(count);
        let wanted = Fate::there(Some(topic.id()), &config);
        self.change(name, &wanted, |broker| broker.add_partitions(name, count));
    }

    fn delete(&mut self, name: &'static str) {
        self.change(name, &Fate::Gone, |broker| broker.delete_topic(name));
    }

    fn id(&self, name: &str) -> Option<String> {
        self.broker().topic(name).ok().map(|topic| topic.id())
    }

    /// Appends, if the partition is there.
    fn append(&mut self, name: &'static str, number: u32, count: u64) {
        let Ok(topic) = self.broker().topic(name) else {
            return;
        };
        let Ok(log) = topic.partition(number) else {
            return;
        };
        let promise = self.promise(&topic.id(), name, number);
        if !promise.stopped {
            let appended = promise.append(&log, count);
            self.note(appended);
        }
    }

    fn commit(&mut self, name: &'static str, offset: Offset) {
        let Some(topic) = self.id(name) else { return };
        if self.promise(&topic, name, 0).acked < offset {
            return;
        }
        let id = TopicPartition::new(name, 0);
        let done = self.broker().group(GROUP).commit_offsets(&[(id, offset)]);
        self.commits.push((topic, offset));
        self.note(done);
    }

    /// The manifest or the offsets take no more changes until the next open.
    fn has_stopped(&mut self) -> bool {
        let broker = self.broker();
        let config = broker.topic("stays").expect("it is there").config();
        let probe = broker.alter_topic("stays", TopicConfig::clone(&config));
        let is_refused = matches!(probe, Err(Error::StorageFailed { .. }));
        assert!(is_refused || probe.is_ok(), "{probe:?}");
        if probe.is_ok() {
            self.fates.stored(&broker);
        }
        is_refused || have_offsets_stopped(&broker)
    }
}

/// What the group committed for the first partition.
fn committed(broker: &Broker, topic: &str) -> Option<Offset> {
    let consumer = broker.consumer().group(GROUP).build().expect("a consumer");
    let id = TopicPartition::new(topic, 0);
    consumer.committed(&id).expect("offsets can be read")
}

/// The directories of partitions and of what was one.
fn directories(disk: &SimDisk) -> BTreeSet<String> {
    let directories = disk.image().directories().into_iter();
    let below = directories.filter_map(|dir| {
        let name = dir.strip_prefix(support::DIR).ok()?;
        Some(name.to_string_lossy().into_owned())
    });
    below
        .filter(|name| !name.is_empty() && !name.starts_with("__"))
        .collect()
}

fn wanted_directories(broker: &Broker) -> BTreeSet<String> {
    let topics = broker.topics().into_iter();
    let logs = topics.flat_map(|topic| topic.partitions());
    logs.map(|log| log.id().to_string()).collect()
}

impl Workload for Topics {
    fn begin(disk: SimDisk) -> Self {
        Self::on(&disk)
    }

    fn work(&mut self) {
        self.create("new", small_segments().partitions(2));
        self.append("new", 1, 2);
        self.alter("altered", small_segments().retention_bytes(Some(1 << 20)));
        self.add_partitions("altered", 3);
        self.append("altered", 2, 2);
        self.delete("old");
        self.create("old", small_segments());
        self.append("old", 0, 2);
        self.commit("old", 1);
        self.delete("new");
        self.alter("altered", small_segments().partitions(4));
        self.append("altered", 0, 1);
        self.append("altered", 3, 1);
        self.create("new", small_segments());
        self.append("new", 0, 1);
        self.append("stays", 0, 1);
        let compacted = small_segments().cleanup_policy(CleanupPolicy::CompactAndDelete);
        self.alter("stays", compacted);
    }

    fn errors(&self) -> &[Error] {
        &self.errors
    }

    fn look(&mut self, reads_fail: bool) {
        let broker = self.broker();
        for (id, promise) in &mut self.promises {
            if let Ok(topic) = broker.topic(promise.topic)
                && topic.id() == *id
            {
                promise.look(
                    &partition(&broker, promise.topic, promise.number),
                    reads_fail,
                );
            }
        }
    }

    fn go_on(&mut self) {
        self.errors.clear();
        self.look(false);
        if self.has_stopped() {
            return;
        }
        for name in ["old", "new"] {
            self.delete(name);
            assert!(self.id(name).is_none(), "{name} is still there");
            self.create(name, small_segments().partitions(2));
            self.append(name, 1, 1);
        }
        self.alter("altered", small_segments().partitions(4));
        for count in 5..7 {
            self.add_partitions("altered", count);
            self.append("altered", count - 1, 1);
        }
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self.look(false);
    }

    fn close(&mut self) {
        let stopped =
            self.promises.iter().any(|(_, promise)| promise.stopped) || self.has_stopped();
        let closed = self.broker.take().expect("it is open").close();
        assert!(stopped || closed.is_ok(), "{closed:?}");
    }

    fn check(&self, disk: &SimDisk, end: End) {
        let broker = support::open_at(disk, &self.clock).expect("a sound disk opens");
        let report = broker.recovery_report();
        assert!(!report.has_damage(), "{report:#?}");
        traces::assert_none(disk, Path::new(support::DIR));
        self.fates.check(&broker);
        for topic in broker.topics() {
            for log in topic.partitions() {
                let is_it = |(id, promise): &&(String, Promise)| {
                    *id == topic.id() && promise.number == log.id().partition()
                };
                match self.promises.iter().find(is_it) {
                    None => assert_eq!(log.high_watermark(), 0, "{:?} is new", log.id()),
                    Some((_, promise)) => {
                        let lost = end == End::PowerLost;
                        promise.check(&broker, if lost { promise.durable } else { promise.acked });
                    }
                }
            }
            self.check_commit(&broker, topic.name(), &topic.id(), end);
        }
        // Others are told of, or were moved aside.
        let mut found = directories(disk);
        found.retain(|name| {
            !name.ends_with("-stray") && !report.stray.iter().any(|it| it.ends_with(name))
        });
        assert_eq!(found, wanted_directories(&broker), "{report:#?}");
        for name in ["old", "new"] {
            if broker.topic(name).is_ok() {
                broker.delete_topic(name).expect("a sound disk lets go");
            }
            let topic = broker.create_topic(name, small_segments().partitions(2));
            let topic = topic.expect("a sound disk takes more");
            let ends = topic
                .partitions()
                .into_iter()
                .map(|log| log.high_watermark());
            assert_eq!(ends.max(), Some(0), "{name} begins with nothing");
            assert_eq!(committed(&broker, name), None, "{name} inherits commits");
        }
        broker.close().expect("a sound disk closes");
    }
}

impl Topics {
    fn check_commit(&self, broker: &Broker, name: &str, id: &str, end: End) {
        let of_topic = self.commits.iter().filter(|(known, _)| known == id);
        let made: Vec<_> = of_topic.map(|(_, offset)| *offset).collect();
        let found = committed(broker, name);
        let is_one = found.is_some_and(|found| {
            // One beyond the end that a power loss left was moved back.
            let is_back = end == End::PowerLost && made.iter().any(|made| found <= *made);
            made.contains(&found) || is_back
        });
        let is_new = made.is_empty() || made == [1];
        // Of those that were there before the failure, something is left.
        assert!(
            is_one || (is_new && found.is_none()),
            "{name}: {found:?} of {made:?} after {end:?}"
        );
    }
}
