//! Producers, readers and consumers on the same partitions at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::{
    Broker, ConsumerRecord, Offset, Partition, Position, Producer, Record, TopicConfig,
    TopicPartition,
};

use super::LONG;

const PARTITIONS: u32 = 3;
const PRODUCERS: u64 = 3;
/// What each producer writes to each partition.
const EACH: u64 = 400;
const TOTAL: u64 = PRODUCERS * EACH;

fn value(writer: u64, number: u64) -> String {
    format!("{writer}:{number}")
}

fn parse(record: &ConsumerRecord<'_>) -> (u64, u64) {
    let text = std::str::from_utf8(record.value().unwrap()).unwrap();
    let (writer, number) = text.split_once(':').unwrap();
    (writer.parse().unwrap(), number.parse().unwrap())
}

/// Holds what one reader is shown of one partition to what it must be shown.
#[derive(Default)]
struct Checker {
    next_offset: Offset,
    next_number: BTreeMap<u64, u64>,
}

impl Checker {
    fn take(&mut self, record: &ConsumerRecord<'_>) {
        // Nothing is skipped or repeated: there are no gaps in this log.
        assert_eq!(record.offset(), self.next_offset, "offsets strictly rise");
        self.next_offset += 1;
        let (writer, number) = parse(record);
        let next = self.next_number.entry(writer).or_default();
        assert_eq!(number, *next, "writer {writer}: log order is send order");
        *next += 1;
    }

    fn is_complete(&self) -> bool {
        self.next_offset == TOTAL
    }
}

#[test]
fn every_reader_sees_every_record_once_in_the_order_of_the_sends() {
    let broker = Broker::in_memory();
    let config = TopicConfig::default()
        .partitions(PARTITIONS)
        .segment_bytes(8 << 10);
    broker.create_topic("t", config).unwrap();
    let barrier = Barrier::new(usize::try_from(PRODUCERS).unwrap() + 4);
    thread::scope(|scope| {
        for writer in 0..PRODUCERS {
            let (broker, barrier) = (&broker, &barrier);
            scope.spawn(move || {
                barrier.wait();
                write(broker, writer);
            });
        }
        for partition in 0..2 {
            let (broker, barrier) = (&broker, &barrier);
            scope.spawn(move || {
                barrier.wait();
                read(&broker.topic("t").unwrap().partition(partition).unwrap());
            });
        }
        for max_poll_records in [3, 500] {
            let (broker, barrier) = (&broker, &barrier);
            scope.spawn(move || {
                barrier.wait();
                consume(broker, max_poll_records);
            });
        }
    });
}

/// Each writer has a way of its own: batches that linger, none that do, atomic batches.
fn write(broker: &Broker, writer: u64) {
    let linger = Duration::from_millis(writer);
    let producer = broker.producer().linger(linger).batch_size(700).build();
    let producer = producer.unwrap();
    let topic = broker.topic("t").unwrap();
    let mut number = 0;
    while number < EACH {
        for partition in 0..PARTITIONS {
            if writer == 2 {
                let values = [value(writer, number), value(writer, number + 1)];
                let records: Vec<_> = values.iter().map(Record::value_only).collect();
                let partition = topic.partition(partition).unwrap();
                partition.append(&records).unwrap();
            } else {
                for number in [number, number + 1] {
                    let value = value(writer, number);
                    let record = Record::to("t").partition(partition).value(&value);
                    producer.send(record).unwrap();
                }
            }
        }
        number += 2;
    }
    producer.close().unwrap();
}

fn read(partition: &Partition) {
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut checker = Checker::default();
    while !checker.is_complete() {
        assert!(reader.wait(LONG).unwrap(), "a lost wake-up");
        while let Some(record) = reader.next().unwrap() {
            checker.take(&record);
        }
    }
}

fn consume(broker: &Broker, max_poll_records: usize) {
    let mut consumer = broker
        .consumer()
        .group(format!("group-{max_poll_records}"))
        .auto_offset_reset(Position::Earliest)
        .max_poll_records(max_poll_records)
        .build()
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut checkers: BTreeMap<TopicPartition, Checker> = BTreeMap::new();
    while checkers.len() < 3 || !checkers.values().all(Checker::is_complete) {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "a lost wake-up");
        for record in &records {
            let id = record.topic_partition().clone();
            checkers.entry(id).or_default().take(&record);
        }
        consumer.commit().unwrap();
    }
    for (id, checker) in &checkers {
        assert_eq!(consumer.committed(id).unwrap(), Some(checker.next_offset));
    }
}

#[test]
fn an_acknowledged_record_is_seen_by_every_read_that_starts_later() {
    let broker = Broker::in_memory();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let partition = topic.partition(0).unwrap();
    // One past the newest acknowledged offset.
    let acknowledged = AtomicU64::new(0);
    let producer = broker.producer().linger(Duration::ZERO).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            let (producer, acknowledged) = (producer.clone(), &acknowledged);
            scope.spawn(move || acknowledge(&producer, acknowledged));
        }
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let known = acknowledged.load(Ordering::Acquire);
                    assert!(partition.high_watermark() >= known);
                    if let Some(last) = known.checked_sub(1) {
                        let mut reader = partition.reader(Position::Offset(last)).unwrap();
                        let record = reader.next().unwrap();
                        assert_eq!(record.map(|record| record.offset()), Some(last));
                    }
                    if known == 2 * EACH {
                        break;
                    }
                    thread::yield_now();
                }
            });
        }
    });
}

fn acknowledge(producer: &Producer, acknowledged: &AtomicU64) {
    for _ in 0..EACH {
        let delivery = producer.send(Record::to("t").value("v")).unwrap();
        let offset = delivery.wait().unwrap().offset();
        acknowledged.fetch_max(offset + 1, Ordering::AcqRel);
    }
}

#[test]
fn threads_that_share_a_producer_get_distinct_offsets() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let producer = broker.producer().build().unwrap();
    let offsets: Vec<Offset> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let producer = producer.clone();
                scope.spawn(move || {
                    let deliveries: Vec<_> = (0..EACH)
                        .map(|_| producer.send(Record::to("t").value("v")).unwrap())
                        .collect();
                    let offsets = deliveries
                        .into_iter()
                        .map(|delivery| delivery.wait().unwrap().offset());
                    let offsets: Vec<_> = offsets.collect();
                    assert!(offsets.is_sorted(), "each thread's sends stay in order");
                    offsets
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let distinct: BTreeSet<_> = offsets.iter().copied().collect();
    assert!(distinct.into_iter().eq(0..4 * EACH));
}

#[test]
fn atomic_batches_of_many_threads_are_never_seen_in_part() {
    const BATCH: usize = 7;
    const BATCHES: usize = 100;
    let broker = Broker::in_memory();
    let config = TopicConfig::default().segment_bytes(4 << 10);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    thread::scope(|scope| {
        for writer in 0..3_u64 {
            let partition = &partition;
            scope.spawn(move || {
                for number in 0..BATCHES as u64 {
                    let value = value(writer, number);
                    partition
                        .append(&vec![Record::value_only(&value); BATCH])
                        .unwrap();
                }
            });
        }
        scope.spawn(|| {
            let mut reader = partition.reader(Position::Earliest).unwrap();
            let mut seen = 0;
            while seen < 3 * BATCHES * BATCH {
                let end = partition.high_watermark();
                assert_eq!(end % BATCH as u64, 0, "the end lies between batches");
                assert!(reader.wait(LONG).unwrap(), "a lost wake-up");
                let records = reader.next_batch().unwrap().unwrap();
                assert_eq!(records.len(), BATCH);
                let names: BTreeSet<_> = records.iter().map(|record| parse(&record)).collect();
                assert_eq!(names.len(), 1, "one batch: {names:?}");
                seen += records.len();
            }
        });
    });
}
