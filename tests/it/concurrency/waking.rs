//! Who waits is woken: by records, by new partitions, by the end.

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use streamlog::{Broker, Consumer, Durability, Error, Position, Record, TopicConfig};

use super::LONG;

/// Each round is a chance to lose a wake-up between a look and a park.
const ROUNDS: u64 = 2_000;

fn consumer(broker: &Broker) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(Position::Earliest);
    let mut consumer = consumer.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

#[test]
fn no_wake_up_is_lost_between_two_that_wait_for_each_other() {
    let broker = Broker::in_memory();
    let config = TopicConfig::default().partitions(2);
    let topic = broker.create_topic("t", config).unwrap();
    let play = |from: u32, to: u32, begins: bool| {
        let mut reader = topic
            .partition(from)
            .unwrap()
            .reader(Position::Earliest)
            .unwrap();
        let to = topic.partition(to).unwrap();
        for round in 0..ROUNDS {
            if begins || round > 0 {
                to.append(&[Record::value_only("ball")]).unwrap();
            }
            assert!(reader.wait(LONG).unwrap(), "round {round}: a lost wake-up");
            assert_eq!(reader.next().unwrap().unwrap().offset(), round);
        }
        // The last return.
        to.append(&[Record::value_only("ball")]).unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0, 1, true));
        scope.spawn(|| play(1, 0, false));
    });
}

#[test]
fn every_waiting_poll_returns_when_a_record_comes() {
    const WAITERS: usize = 6;
    let broker = Broker::in_memory();
    let config = TopicConfig::default().partitions(2);
    let topic = broker.create_topic("t", config).unwrap();
    let barrier = Barrier::new(WAITERS + 1);
    thread::scope(|scope| {
        for _ in 0..WAITERS {
            scope.spawn(|| {
                let mut consumer = consumer(&broker);
                for _ in 0..ROUNDS / 10 {
                    barrier.wait();
                    let records = consumer.poll(LONG).unwrap();
                    assert_eq!(records.len(), 1, "a lost wake-up");
                    drop(records);
                    barrier.wait();
                }
            });
        }
        for round in 0..ROUNDS / 10 {
            barrier.wait();
            let partition = topic.partition(u32::try_from(round % 2).unwrap()).unwrap();
            partition.append(&[Record::value_only("v")]).unwrap();
            barrier.wait();
        }
    });
}

#[test]
fn a_waiting_poll_sees_partitions_that_are_added() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let mut consumer = consumer(&broker);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let records = consumer.poll(LONG).unwrap();
            records
                .iter()
                .map(|record| record.partition())
                .collect::<Vec<_>>()
        });
        broker.add_partitions("t", 2).unwrap();
        let added = broker.topic("t").unwrap().partition(1).unwrap();
        added.append(&[Record::value_only("v")]).unwrap();
        assert_eq!(waiting.join().unwrap(), [1]);
    });
}

#[test]
fn a_synced_topic_wakes_its_readers_after_the_sync() {
    let broker = Broker::in_memory();
    let config = TopicConfig::default().durability(Durability::Synced);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = partition.reader(Position::Earliest).unwrap();
            for _ in 0..200 {
                assert!(reader.wait(LONG).unwrap(), "a lost wake-up");
                let offset = reader.next().unwrap().unwrap().offset();
                assert!(
                    partition.durable_end() > offset,
                    "shown before it was durable"
                );
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    partition.append(&[Record::value_only("v")]).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_lingering_batch_wakes_readers_by_itself() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let linger = Duration::from_millis(5);
    let producer = broker.producer().linger(linger).build().unwrap();
    let mut consumer = consumer(&broker);
    for _ in 0..20 {
        // Nobody waits for the delivery, and the batch is far from full.
        producer.send(Record::to("t").value("v")).unwrap();
        assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    }
}

#[test]
fn a_wake_up_interrupts_exactly_one_poll() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let mut consumer = consumer(&broker);
    let handle = consumer.wakeup_handle();
    let (about_to_poll, polls) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..ROUNDS / 10 {
                about_to_poll.send(()).unwrap();
                let start = Instant::now();
                assert!(matches!(consumer.poll(LONG), Err(Error::Wakeup)));
                assert!(start.elapsed() < LONG, "a lost wake-up");
            }
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        });
        // Before, while or after it parks: it is interrupted all the same.
        for () in polls {
            handle.wakeup();
        }
    });
}

#[test]
fn a_waiting_poll_sees_a_topic_that_comes_back() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let mut consumer = consumer(&broker);
    thread::scope(|scope| {
        let waiting = scope.spawn(move || consumer.poll(LONG).unwrap().len());
        for _ in 0..20 {
            broker.delete_topic("t").unwrap();
            broker.create_topic("t", TopicConfig::default()).unwrap();
            thread::yield_now();
        }
        let topic = broker.topic("t").unwrap();
        let partition = topic.partition(0).unwrap();
        partition.append(&[Record::value_only("v")]).unwrap();
        assert_eq!(waiting.join().unwrap(), 1, "a lost wake-up");
    });
}
