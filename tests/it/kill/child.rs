//! The process that gets killed: it writes in every mode at once, and says what was acknowledged.
//!
//! Lines of the report, each one write to the pipe, and so there as a whole or not at all:
//! ```text
//!   @record TOPIC PARTITION OFFSET WRITER NUMBER COUNT   COUNT records from NUMBER on are acknowledged
//!   @topic TOPIC                                         the topic is made
//!   @intent TOPIC PARTITION OFFSET                       a commit of this begins
//!   @commit TOPIC PARTITION OFFSET                       it is acknowledged
//!   @report clean | WHAT                                 what opening found; all of it is durable by now
//! ```

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use streamlog::{
    Broker, Compression, Delivery, Durability, Error, Position, Producer, TimestampType,
    TopicConfig,
};

use super::content::{Content, Name};
use crate::random::Random;

pub const ROLE: &str = "STREAMLOG_KILL_ROLE";
pub const DIRECTORY: &str = "STREAMLOG_KILL_DIRECTORY";
/// The number of the first writer.
pub const WRITER: &str = "STREAMLOG_KILL_WRITER";
pub const SEED: &str = "STREAMLOG_KILL_SEED";

/// More than there are writers in a process.
pub const WRITERS: u64 = 16;

pub const GROUP: &str = "readers";
/// The topic whose timestamps are the log's.
pub const STAMPED: &str = "stamped";

/// Topics and their partitions.
pub const TOPICS: [(&str, u32); 4] = [("single", 2), ("gathered", 3), ("synced", 2), (STAMPED, 1)];

/// What the process is for.
#[derive(Debug, Clone, Copy)]
pub enum Role {
    /// Opens, and writes until it is killed.
    Write,
    /// The same, and a consumer commits.
    WriteAndCommit,
    /// Opens, says what was found, and waits to be killed.
    Open,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::WriteAndCommit => "write and commit",
            Self::Open => "open",
        }
    }
}

#[test]
fn process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    // The test harness has begun a line.
    say(&"");
    let broker = Broker::open(std::env::var(DIRECTORY).unwrap()).unwrap();
    if role == Role::Open.name() {
        report(&broker);
    } else {
        write(&broker, role == Role::WriteAndCommit.name());
    }
    // Until it is killed.
    let _ = std::io::stdin().read(&mut [0]);
}

fn report(broker: &Broker) {
    settle(broker);
    let report = broker.recovery_report();
    let damage = if report.has_damage() { "damage: " } else { "" };
    if report.is_clean() {
        say(&"@report clean");
    } else {
        say(&format!("@report {damage}{report:?}"));
    }
}

/// What no earlier process synced is synced in the background, without anybody's asking.
fn settle(broker: &Broker) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let offsets = broker.topic("__consumer_offsets").ok();
    let topics = broker.topics().into_iter().chain(offsets);
    for partition in topics.flat_map(|topic| topic.partitions()) {
        while partition.durable_end() < partition.high_watermark() {
            assert!(
                Instant::now() < deadline,
                "{} is not synced",
                partition.id()
            );
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

pub fn say(line: &dyn Display) {
    // One write, since a pipe takes a short line whole; the standard output would split it.
    let line = format!("{line}\n");
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).unwrap();
    output.flush().unwrap();
}

fn write(broker: &Broker, commits: bool) {
    let first: u64 = std::env::var(WRITER).unwrap().parse().unwrap();
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    make_topics(broker);
    std::thread::scope(|scope| {
        let writer = |index: u64| Writer::new(broker, first + index, seed);
        scope.spawn(move || writer(0).append_one_by_one());
        scope.spawn(move || writer(1).append_batches());
        scope.spawn(move || writer(2).send_with_linger());
        scope.spawn(move || writer(3).send_with_linger());
        scope.spawn(move || writer(4).send_synced());
        scope.spawn(move || writer(5).send_synced());
        if commits {
            scope.spawn(move || read_and_commit(broker));
        }
    });
}

fn make_topics(broker: &Broker) {
    for (name, partitions) in TOPICS {
        let mut config = TopicConfig::default()
            .partitions(partitions)
            .segment_bytes(16 << 10)
            .index_interval_bytes(1 << 10)
            .flush_ms(Some(Duration::from_millis(5)));
        if name == STAMPED {
            config = config.timestamp_type(TimestampType::LogAppendTime);
        }
        if name == "synced" {
            config = config.durability(Durability::Synced);
        }
        match broker.create_topic(name, config) {
            Ok(_) | Err(Error::TopicExists { .. }) => say(&format!("@topic {name}")),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One thread that writes.
struct Writer<'a> {
    broker: &'a Broker,
    number: u64,
    random: Random,
    /// How many records it wrote to a partition.
    numbers: BTreeMap<(&'static str, u32), u64>,
}

impl<'a> Writer<'a> {
    fn new(broker: &'a Broker, writer: u64, seed: u64) -> Self {
        Self {
            broker,
            number: writer,
            random: Random::new(seed ^ writer),
            numbers: BTreeMap::new(),
        }
    }

    /// The next records for a partition, as one batch.
    fn next(&mut self, topic: &'static str, partition: u32, count: u64) -> Vec<Content> {
        let number = self.numbers.entry((topic, partition)).or_default();
        let first = *number;
        *number += count;
        (0..count)
            .map(|index| {
                Content::of(Name {
                    writer: self.number,
                    number: first + index,
                    left: count - 1 - index,
                })
            })
            .collect()
    }

    fn say(&self, topic: &str, partition: u32, offset: u64, number: u64, count: u64) {
        let writer = self.number;
        say(&format!(
            "@record {topic} {partition} {offset} {writer} {number} {count}"
        ));
    }

    fn append_one_by_one(mut self) {
        loop {
            let (topic, partitions) = *self.random.pick(&[("single", 2), (STAMPED, 1)]);
            let partition = u32::try_from(self.random.below(partitions)).unwrap();
            self.append(topic, partition, 1);
        }
    }

    fn append_batches(mut self) {
        loop {
            let (topic, partitions) = *self.random.pick(&TOPICS);
            let partition = u32::try_from(self.random.below(u64::from(partitions))).unwrap();
            let count = self.random.between(1, 12);
            self.append(topic, partition, count);
        }
    }

    fn append(&mut self, topic: &'static str, partition: u32, count: u64) {
        let contents = self.next(topic, partition, count);
        let number = self.numbers[&(topic, partition)] - count;
        let records: Vec<_> = contents
            .iter()
            .map(|content| content.record(topic, partition))
            .collect();
        let handle = self
            .broker
            .topic(topic)
            .unwrap()
            .partition(partition)
            .unwrap();
        let offset = handle.append(&records).unwrap();
        self.say(topic, partition, offset, number, count);
    }

    fn send(
        &mut self,
        producer: &Producer,
        topic: &'static str,
        partition: u32,
    ) -> (u64, Delivery) {
        let contents = self.next(topic, partition, 1);
        let delivery = producer.send(contents[0].record(topic, partition)).unwrap();
        (self.numbers[&(topic, partition)] - 1, delivery)
    }

    /// Many records under way at once, in batches of any codec.
    fn send_with_linger(mut self) {
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        loop {
            let producer = self
                .broker
                .producer()
                .linger(Duration::from_millis(self.random.between(1, 3)))
                .batch_size(*self.random.pick(&[500, 4_000, 20_000]))
                .compression(*self.random.pick(&codecs))
                .build()
                .unwrap();
            let mut open = Vec::new();
            for _ in 0..self.random.between(1, 100) {
                let partition = u32::try_from(self.random.below(3)).unwrap();
                let (number, delivery) = self.send(&producer, "gathered", partition);
                open.push((partition, number, delivery));
            }
            for (partition, number, delivery) in open {
                let metadata = delivery.wait().unwrap();
                self.say("gathered", partition, metadata.offset(), number, 1);
            }
        }
    }

    fn send_synced(mut self) {
        let producer = self
            .broker
            .producer()
            .durability(Durability::Synced)
            .linger(Duration::ZERO)
            .build()
            .unwrap();
        loop {
            let partition = u32::try_from(self.random.below(2)).unwrap();
            let topic = *self.random.pick(&["synced", "single"]);
            let (number, delivery) = self.send(&producer, topic, partition);
            let metadata = delivery.wait().unwrap();
            self.say(topic, partition, metadata.offset(), number, 1);
        }
    }
}

/// Follows everything that is written, and commits as it goes.
fn read_and_commit(broker: &Broker) {
    let mut consumer = broker
        .consumer()
        .group(GROUP)
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        .max_poll_records(50)
        .build()
        .unwrap();
    consumer.subscribe(TOPICS.map(|(name, _)| name)).unwrap();
    loop {
        consumer.poll(Duration::from_millis(2)).unwrap();
        let positions: Vec<_> = consumer
            .assignment()
            .into_iter()
            .map(|partition| {
                let position = consumer.position(&partition).unwrap();
                format!("{} {} {position}", partition.topic(), partition.partition())
            })
            .collect();
        for position in &positions {
            say(&format!("@intent {position}"));
        }
        consumer.commit().unwrap();
        for position in &positions {
            say(&format!("@commit {position}"));
        }
    }
}
