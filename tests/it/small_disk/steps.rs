//! The disk is full after so many more pages, whatever is done: each step fails as a whole, and succeeds once
//! there is room.

use std::collections::BTreeMap;
use std::fs;

use streamlog::{
    Broker, CleanupPolicy, Error, Offset, Partition, Position, Record, Result, TopicConfig,
};

use super::MOUNT;
use super::ballast::{Ballast, free_pages};

/// Pages that are free when a step begins.
const FREE: [u64; 9] = [0, 1, 2, 3, 5, 8, 13, 21, 50];

type Step = fn(&Broker) -> Result<()>;

const STEPS: [(&str, Step); 8] = [
    ("create a topic", |broker| {
        broker
            .create_topic("new", TopicConfig::default().partitions(3))
            .map(|_| ())
    }),
    ("add partitions", |broker| broker.add_partitions("log", 5)),
    ("alter a topic", |broker| {
        let config = broker.topic("log")?.config().as_ref().clone();
        broker.alter_topic("log", config.segment_ms(std::time::Duration::from_secs(7)))
    }),
    ("compact", |broker| broker.run_housekeeping()),
    ("roll", |broker| {
        // Each is nearly half of a segment.
        (0..4).try_for_each(|_| append(broker, "log", "k", 28 << 10))
    }),
    ("checkpoint", |broker| {
        let dir = format!("{MOUNT}/copy");
        let made = broker.checkpoint(&dir).map(|_| ());
        if made.is_ok() {
            assert!(Broker::open(&dir)?.recovery_report().is_clean());
            fs::remove_dir_all(&dir).unwrap();
        }
        made
    }),
    ("commit", |broker| {
        let group = broker.group("g");
        (0..50).try_for_each(|at| {
            let to = Position::Offset(at % 7);
            group.reset_offsets("log", to).map(|_| ())
        })
    }),
    ("send", |broker| {
        let producer = broker.producer().build()?;
        for _ in 0..20 {
            producer.send(Record::to("log").key("k").value(&[3; 1000]).partition(0))?;
        }
        producer.flush()
    }),
];

/// What gives room back is never refused for want of it.
const REMEDIES: [(&str, Step); 4] = [
    ("delete records", |broker| {
        log(broker).delete_records(log(broker).high_watermark() - 1)
    }),
    ("delete a topic", |broker| broker.delete_topic("table")),
    ("delete another topic", |broker| broker.delete_topic("log")),
    ("retention", |broker| {
        broker.run_housekeeping().or_else(|error| match error {
            // Of the table, or of a new segment for the log.
            Error::DiskFull { .. } => Ok(()),
            error => Err(error),
        })
    }),
];

pub fn play() {
    let ballast = Ballast::new();
    for (name, remedy) in REMEDIES {
        for pages in FREE {
            try_remedy(&ballast, pages, remedy, name);
        }
    }
    for (name, step) in STEPS {
        let mut refused = 0;
        for pages in FREE {
            refused += u64::from(try_step(&ballast, pages, step, name));
        }
        println!("{name}: refused {refused} times out of {}", FREE.len());
        assert!(refused > 0, "{name}: was never refused");
    }
}

/// Makes room on a full disk, again and again.
fn try_remedy(ballast: &Ballast, pages: u64, remedy: Step, name: &str) {
    let broker = filled();
    let mut config = broker.topic("log").unwrap().config().as_ref().clone();
    config = config.retention_bytes(Some(1));
    broker.alter_topic("log", config).unwrap();
    (0..200).for_each(|_| append(&broker, "log", "k", 500).unwrap());
    // What a log is to start at has to be on the device.
    log(&broker).flush().unwrap();
    ballast.leave(pages);
    let before = free_pages();
    let outcome = remedy(&broker);
    assert!(outcome.is_ok(), "{name}, {pages} pages: {outcome:?}");
    assert!(free_pages() > before + 3, "{name}, {pages} pages");
    let report = broker.verify().unwrap();
    assert!(report.is_clean(), "{name}, {pages} pages: {report}");
    ballast.remove();
    broker.close().unwrap();
    assert!(open().recovery_report().is_clean(), "{name}, {pages} pages");
}

/// Does a step with so many pages free; true if it was refused.
fn try_step(ballast: &Ballast, pages: u64, step: Step, name: &str) -> bool {
    let broker = filled();
    let before = State::of(&broker);
    ballast.leave(pages);
    let outcome = step(&broker);
    let is_refused = outcome.is_err();
    if let Err(error) = outcome {
        assert!(
            matches!(error, Error::DiskFull { .. }),
            "{name}, {pages} pages: {error}"
        );
    }
    before.check(
        &broker,
        is_refused,
        &format!("{name}, {pages} pages, while it is full"),
    );
    ballast.remove();
    if is_refused {
        // What a process that ends now leaves.
        broker.close().unwrap();
        let broker = open();
        let report = broker.recovery_report();
        assert!(report.is_clean(), "{name}, {pages} pages: {report:?}");
        before.check(
            &broker,
            true,
            &format!("{name}, {pages} pages, opened again"),
        );
        drop(broker);
        // The same broker goes on.
        again(ballast, pages, step, name);
    } else {
        broker.close().unwrap();
        assert!(open().recovery_report().is_clean(), "{name}, {pages} pages");
    }
    is_refused
}

/// The step is refused, and done again by the same broker once there is room.
fn again(ballast: &Ballast, pages: u64, step: Step, name: &str) {
    let broker = filled();
    ballast.leave(pages);
    let _ = step(&broker);
    ballast.remove();
    let again = step(&broker);
    assert!(
        again.is_ok(),
        "{name}, {pages} pages, once there is room: {again:?}"
    );
    let report = broker.verify().unwrap();
    assert!(report.is_clean(), "{name}, {pages} pages: {report}");
    broker.close().unwrap();
    assert!(open().recovery_report().is_clean(), "{name}, {pages} pages");
}

fn open() -> Broker {
    let builder = Broker::builder(format!("{MOUNT}/data")).background(false);
    builder.offsets_topic_partitions(1).open().unwrap()
}

/// A new directory with a log, a table that has much to compact, and a group.
fn filled() -> Broker {
    let _ = fs::remove_dir_all(format!("{MOUNT}/data"));
    let _ = fs::remove_dir_all(format!("{MOUNT}/copy"));
    let broker = open();
    let config = TopicConfig::default().segment_bytes(64 << 10);
    broker
        .create_topic("log", config.clone().partitions(2))
        .unwrap();
    let table = config.cleanup_policy(CleanupPolicy::Compact);
    broker.create_topic("table", table).unwrap();
    for number in 0..100 {
        append(&broker, "log", "k", 500).unwrap();
        append(&broker, "table", &format!("k{}", number % 60), 3000).unwrap();
    }
    broker
        .group("g")
        .reset_offsets("log", Position::Offset(3))
        .unwrap();
    broker
}

fn append(broker: &Broker, topic: &str, key: &str, len: usize) -> Result<()> {
    let value = vec![7; len];
    let record = Record::to(topic).key(key).value(&value);
    broker
        .topic(topic)?
        .partition(0)?
        .append(&[record])
        .map(|_| ())
}

fn log(broker: &Broker) -> Partition {
    broker.topic("log").unwrap().partition(0).unwrap()
}

type Configs = Vec<(&'static str, String)>;

/// What must not change.
struct State {
    topics: Vec<(String, u32, Configs)>,
    ends: Vec<(Offset, Offset)>,
    table: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl State {
    fn of(broker: &Broker) -> Self {
        let topics = broker.topics();
        let partitions = topics.iter().flat_map(streamlog::Topic::partitions);
        Self {
            ends: partitions
                .map(|it| (it.log_start_offset(), it.high_watermark()))
                .collect(),
            topics: topics
                .iter()
                .map(|it| {
                    (
                        it.name().to_owned(),
                        it.partition_count(),
                        it.config().entries(),
                    )
                })
                .collect(),
            table: table(broker),
        }
    }

    /// Reading goes on, and if a step was refused, it changed nothing but what it had acknowledged by then.
    fn check(&self, broker: &Broker, is_refused: bool, when: &str) {
        let now = Self::of(broker);
        assert!(self.table == now.table, "{when}: the table is another");
        if is_refused {
            assert_eq!(self.topics, now.topics, "{when}");
            for (before, now) in self.ends.iter().zip(&now.ends) {
                assert!(
                    before.0 == now.0 && before.1 <= now.1,
                    "{when}: {before:?}, {now:?}"
                );
            }
        }
        let report = broker.verify().unwrap();
        assert!(report.is_clean(), "{when}: {report}");
    }
}

fn table(broker: &Broker) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let partition = broker.topic("table").unwrap().partition(0).unwrap();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut table = BTreeMap::new();
    while let Some(record) = reader.next().unwrap() {
        table.insert(
            record.key().unwrap().to_vec(),
            record.value().unwrap().to_vec(),
        );
    }
    table
}
