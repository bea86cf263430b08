//! The disk, or its budget, fills up while everybody is at work, and gets room again, several times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streamlog::{
    Broker, CleanupPolicy, Error, Offset, Partition, Position, Producer, Record, TopicConfig,
};

use super::MOUNT;
use super::ballast::Ballast;

const ROUNDS: u64 = 6;
/// A round ends when so many sends were refused in a row.
const REFUSED: u64 = 300;
/// So many have to go well once there is room.
const ACCEPTED: u64 = 500;
/// Keys of the table.
const KEYS: u64 = 100;
const RESERVED: usize = 256 << 10;
const DEADLINE: Duration = Duration::from_secs(60);

/// What was acknowledged: for each partition, the number of the record at each offset.
type Acknowledged = BTreeMap<(&'static str, u32), BTreeMap<Offset, u64>>;

pub fn play(budget: Option<u64>) {
    let ballast = Ballast::new();
    ballast.take(if budget.is_some() { 1 << 20 } else { 16 << 20 });
    reserve(RESERVED);
    let broker = open(budget);
    make_topics(&broker);
    let over = AtomicBool::new(false);
    let committed = AtomicU64::new(0);
    let mut acknowledged = Acknowledged::new();
    std::thread::scope(|scope| {
        let _over = SetWhenDropped(&over);
        scope.spawn(|| read_on_and_on(&broker, &over));
        scope.spawn(|| consume(&broker, &over, &committed));
        let mut sender = Sender {
            producer: broker.producer().build().unwrap(),
            broker: &broker,
            budget,
            number: 0,
            acknowledged: &mut acknowledged,
        };
        for round in 0..ROUNDS {
            sender.send_until(|accepted, refused_in_a_row| {
                (accepted >= ACCEPTED || round == 0) && refused_in_a_row >= REFUSED
            });
            make_room(&broker, round, &ballast);
        }
        // The same producer goes on.
        sender.send_until(|accepted, _| accepted >= ACCEPTED);
    });
    check(&broker, &acknowledged);
    let committed = committed.into_inner();
    broker.close().unwrap();
    let broker = open(budget);
    assert!(
        broker.recovery_report().is_clean(),
        "{:?}",
        broker.recovery_report()
    );
    check(&broker, &acknowledged);
    let consumer = broker.consumer().group("readers").build().unwrap();
    let found = consumer
        .committed(&streamlog::TopicPartition::new("log", 0))
        .unwrap();
    assert_eq!(found.unwrap_or(0), committed);
    let numbers: usize = acknowledged.values().map(BTreeMap::len).sum();
    println!("{numbers} records were acknowledged, {committed} is committed");
}

fn open(budget: Option<u64>) -> Broker {
    let builder = Broker::builder(format!("{MOUNT}/data")).max_disk_bytes(budget);
    let builder = builder.offsets_topic_partitions(2);
    builder
        .retention_check_interval(Duration::from_millis(200))
        .open()
        .unwrap()
}

fn make_topics(broker: &Broker) {
    let config = TopicConfig::default()
        .segment_bytes(1 << 20)
        .retention_ms(None);
    let table = config.clone().cleanup_policy(CleanupPolicy::Compact);
    let queue = config.clone().retention_bytes(Some(6 << 20));
    broker.create_topic("log", config.partitions(2)).unwrap();
    broker
        .create_topic("table", table.min_cleanable_dirty_ratio(0.2))
        .unwrap();
    broker.create_topic("queue", queue).unwrap();
}

/// Each round in another way. To say what may go takes a page or two: who has a full disk finds some first.
fn make_room(broker: &Broker, round: u64, ballast: &Ballast) {
    reserve(0);
    let log = broker.topic("log").unwrap();
    match round % 3 {
        0 => {
            ballast.remove();
            // It is full again soon, and with a budget it makes no difference.
            delete_half(&log.partition(0).unwrap());
        }
        1 => log.partitions().iter().for_each(delete_half),
        _ => {
            let config = log.config().as_ref().clone();
            let shorter = config.clone().retention_bytes(Some(2 << 20));
            let starts = || -> u64 {
                log.partitions()
                    .iter()
                    .map(Partition::log_start_offset)
                    .sum()
            };
            let before = starts();
            retry(|| broker.alter_topic("log", shorter.clone()));
            let end = Instant::now() + DEADLINE;
            while starts() == before {
                assert!(Instant::now() < end, "retention makes no room");
                std::thread::yield_now();
            }
            retry(|| broker.alter_topic("log", config.clone()));
        }
    }
    reserve(RESERVED);
}

/// Takes bytes of the disk, to be given back when it is full.
fn reserve(bytes: usize) {
    std::fs::write(format!("{MOUNT}/reserve"), vec![1; bytes]).unwrap();
}

/// Half of what there is.
fn delete_half(partition: &Partition) {
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    retry(|| partition.delete_records(start + (end - start) / 2));
}

/// What takes a page or two, while others take and give them back.
fn retry(mut call: impl FnMut() -> streamlog::Result<()>) {
    let end = Instant::now() + DEADLINE;
    while let Err(error) = call() {
        assert!(is_full(&error) && Instant::now() < end, "{error}");
        std::thread::yield_now();
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::DiskFull { .. } | Error::DiskBudget { .. })
}

struct Sender<'a> {
    broker: &'a Broker,
    producer: Producer,
    budget: Option<u64>,
    number: u64,
    acknowledged: &'a mut Acknowledged,
}

impl Sender<'_> {
    /// Sends until this holds of the number of acknowledged records and of refusals in a row.
    fn send_until(&mut self, is_enough: impl Fn(u64, u64) -> bool) {
        let end = Instant::now() + DEADLINE;
        let (mut accepted, mut in_a_row) = (0, 0);
        while !is_enough(accepted, in_a_row) {
            assert!(
                Instant::now() < end,
                "{accepted} accepted, {in_a_row} refused in a row"
            );
            for outcome in self.send_some() {
                match outcome {
                    Ok(()) => (accepted, in_a_row) = (accepted + 1, 0),
                    Err(error) => {
                        let is_budget = matches!(error, Error::DiskBudget { .. });
                        assert!(
                            is_full(&error) && is_budget == self.budget.is_some(),
                            "{error}"
                        );
                        in_a_row += 1;
                    }
                }
            }
        }
    }

    /// One batch to each partition through the producer, and an append to the table.
    fn send_some(&mut self) -> Vec<Result<(), Error>> {
        let mut sent = Vec::new();
        for (topic, partition) in [("log", 0), ("log", 1), ("queue", 0), ("table", 0)] {
            for _ in 0..5 {
                let (number, key, value) = self.next();
                let record = Record::to(topic)
                    .key(&key)
                    .value(&value)
                    .partition(partition);
                sent.push((
                    topic,
                    partition,
                    number,
                    self.producer.send(record).unwrap(),
                ));
            }
        }
        let mut outcomes = Vec::new();
        let flushed = self.producer.flush();
        for (topic, partition, number, delivery) in sent {
            outcomes.push(delivery.wait().map(|at| {
                self.note(topic, partition, at.offset(), number);
            }));
        }
        assert_eq!(
            flushed.is_ok(),
            outcomes.iter().all(Result::is_ok),
            "{flushed:?}"
        );
        let (number, key, value) = self.next();
        let table = self.broker.topic("table").unwrap().partition(0).unwrap();
        let appended = table.append(&[Record::to("table").key(&key).value(&value)]);
        outcomes.push(appended.map(|offset| self.note("table", 0, offset, number)));
        outcomes
    }

    fn next(&mut self) -> (u64, String, Vec<u8>) {
        self.number += 1;
        (self.number, key(self.number), value(self.number))
    }

    fn note(&mut self, topic: &'static str, partition: u32, offset: Offset, number: u64) {
        let known = self.acknowledged.entry((topic, partition)).or_default();
        assert!(
            known.insert(offset, number).is_none(),
            "{topic}-{partition} {offset} twice"
        );
    }
}

fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

/// A KiB or so that follows from the number.
fn value(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    let len = usize::try_from(500 + number % 1000).unwrap();
    value.resize(len, number.to_be_bytes()[7]);
    value
}

/// The number of a record that is whole.
fn number(record: &streamlog::ConsumerRecord<'_>) -> u64 {
    let bytes = record.value().unwrap();
    let number = u64::from_be_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == value(number), "record {} is torn", record.offset());
    assert_eq!(record.key(), Some(key(number).as_bytes()));
    number
}

/// Reads everything from the start, again and again, whatever becomes of the disk.
fn read_on_and_on(broker: &Broker, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        for topic in broker.topics() {
            for partition in topic.partitions() {
                read(&partition, |_, _| {});
            }
        }
    }
}

fn read(partition: &Partition, mut see: impl FnMut(Offset, u64)) {
    let mut reader = partition.reader(Position::Earliest).unwrap();
    loop {
        match reader.next() {
            Ok(Some(record)) => see(record.offset(), number(&record)),
            Ok(None) => return,
            Err(Error::OffsetOutOfRange { start, .. }) => {
                reader.seek(Position::Offset(start)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A group that commits as well as it can; notes what it committed of one partition.
fn consume(broker: &Broker, over: &AtomicBool, committed: &AtomicU64) {
    let builder = broker.consumer().group("readers").auto_commit(None);
    let builder = builder.auto_offset_reset(Position::Earliest);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe(["log", "queue"]).unwrap();
    let id = streamlog::TopicPartition::new("log", 0);
    while !over.load(Ordering::Acquire) {
        match consumer.poll(Duration::from_millis(1)) {
            Ok(records) => records.iter().for_each(|record| {
                number(&record);
            }),
            Err(error) => assert!(is_full(&error), "poll: {error}"),
        }
        match consumer.commit() {
            Ok(()) => {
                let found = consumer.committed(&id).unwrap();
                committed.store(found.unwrap_or(0), Ordering::Release);
            }
            Err(error) => assert!(is_full(&error), "commit: {error}"),
        }
    }
}

/// All that was acknowledged is there, unless it was removed or superseded; and nothing else is.
fn check(broker: &Broker, acknowledged: &Acknowledged) {
    for ((topic, number), known) in acknowledged {
        let partition = broker.topic(topic).unwrap().partition(*number).unwrap();
        let (mut found, mut table) = (BTreeMap::new(), BTreeMap::new());
        read(&partition, |offset, number| {
            found.insert(offset, number);
            table.insert(key(number), number);
        });
        let start = partition.log_start_offset();
        if *topic == "table" {
            let latest = known
                .values()
                .map(|number| (key(*number), *number))
                .collect();
            assert!(
                table == latest,
                "the table is not what was acknowledged last"
            );
            assert!(
                found
                    .iter()
                    .all(|(offset, number)| known.get(offset) == Some(number))
            );
            continue;
        }
        let expected: BTreeMap<_, _> = known.range(start..).map(|(a, b)| (*a, *b)).collect();
        assert!(
            found == expected,
            "{topic}-{number}: {} and {}",
            found.len(),
            expected.len()
        );
    }
    let report = broker.verify().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Threads end, however a scope does.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
