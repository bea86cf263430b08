//! The end, while others are at work: typed errors, no hang, no panic, and the directory is free.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use streamlog::{Broker, Error, Position, Record, TopicConfig};

use super::LONG;

/// The end comes at another moment in each.
const ROUNDS: u64 = 60;

/// True if there is nothing more to do; panics unless the broker, or the topic, is closed.
fn has_ended<T>(outcome: streamlog::Result<T>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(Error::Closed(_) | Error::UnknownTopic { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

/// Starts every kind of work on a topic `t`, calls `end` in the middle, and waits for all.
fn end_amid_work(broker: &Broker, round: u64, end: impl FnOnce() + Send) {
    let barrier = Barrier::new(5);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let producer = broker.producer().linger(Duration::from_millis(1)).build();
            let producer = producer.unwrap();
            barrier.wait();
            loop {
                match producer.send(Record::to("t").key("k").value("v")) {
                    Ok(delivery) => drop(has_ended(delivery.wait())),
                    other => {
                        assert!(has_ended(other));
                        break;
                    }
                }
            }
        });
        scope.spawn(|| {
            barrier.wait();
            while !has_ended(partition.append(&[Record::value_only("v")])) {}
        });
        scope.spawn(|| {
            let mut reader = partition.reader(Position::Earliest).unwrap();
            barrier.wait();
            while !has_ended(reader.wait(LONG)) && !has_ended(reader.next()) {}
        });
        scope.spawn(|| {
            // Automatic commits would wake it now and then, and hide that nothing else does.
            let consumer = broker.consumer().group("g").auto_commit(None);
            let mut consumer = consumer.build().unwrap();
            consumer.subscribe(["t"]).unwrap();
            barrier.wait();
            loop {
                match consumer.poll(LONG) {
                    // The topic went: nothing is left to wait for.
                    Ok(records) if records.is_empty() => break,
                    Ok(_) => {}
                    other => {
                        assert!(has_ended(other));
                        break;
                    }
                }
                if consumer.assignment().is_empty() {
                    break;
                }
            }
        });
        barrier.wait();
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        end();
    });
}

#[test]
fn closing_ends_whatever_is_going_on() {
    for round in 0..ROUNDS {
        let broker = Broker::in_memory();
        broker.create_topic("t", TopicConfig::default()).unwrap();
        let closing = broker.clone();
        end_amid_work(&broker, round, || closing.close().unwrap());
        assert!(matches!(broker.topic("t"), Err(Error::Closed(_))));
        assert!(broker.close().is_ok(), "closing again is fine");
    }
}

#[test]
fn two_threads_may_close_at_once() {
    for _ in 0..ROUNDS {
        let broker = Broker::in_memory();
        broker.create_topic("t", TopicConfig::default()).unwrap();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let broker = broker.clone();
                    barrier.wait();
                    broker.close().unwrap();
                });
            }
        });
    }
}

#[test]
fn the_last_handle_to_go_frees_the_directory_from_any_thread() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20_u64 {
        let broker = Broker::open(directory.path()).unwrap();
        if round == 0 {
            broker.create_topic("t", TopicConfig::default()).unwrap();
        } else {
            let report = broker.recovery_report();
            assert!(report.clean_shutdown, "a dropped broker closes in order");
        }
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(partition.high_watermark(), round * 3);
        let producer = broker.producer().build().unwrap();
        let mut consumer = broker.consumer().build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        // Whichever is last, whichever thread it is on.
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            let barrier = &barrier;
            scope.spawn(move || {
                partition.append(&[Record::value_only("v")]).unwrap();
                barrier.wait();
                drop(partition);
            });
            scope.spawn(move || {
                // Not flushed: the drop does it.
                for _ in 0..2 {
                    producer.send(Record::to("t").value("v")).unwrap();
                }
                barrier.wait();
                drop(producer);
            });
            scope.spawn(move || {
                consumer.poll(Duration::ZERO).unwrap();
                barrier.wait();
                drop(consumer);
            });
            barrier.wait();
            drop(broker);
        });
        // Not Locked: everything was over when the last thread ended.
    }
}

#[test]
fn polled_records_outlive_consumer_broker_and_topic() {
    let broker = Broker::in_memory();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let partition = topic.partition(0).unwrap();
    let values: Vec<_> = (0..100).map(|number| format!("value-{number}")).collect();
    let batch: Vec<_> = values.iter().map(Record::value_only).collect();
    partition.append(&batch).unwrap();
    let consumer = broker.consumer().auto_offset_reset(Position::Earliest);
    let mut consumer = consumer.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    let records = consumer.poll(Duration::ZERO).unwrap();
    drop(consumer);
    broker.delete_topic("t").unwrap();
    drop((topic, partition));
    broker.close().unwrap();
    let seen: Vec<_> = records
        .iter()
        .map(|record| String::from_utf8_lossy(record.value().unwrap()).into_owned())
        .collect();
    assert_eq!(seen, values);
}

#[test]
fn topics_come_and_go_under_those_who_use_them() {
    for round in 0..ROUNDS / 2 {
        let broker = Broker::in_memory();
        broker.create_topic("t", TopicConfig::default()).unwrap();
        let deleting = broker.clone();
        end_amid_work(&broker, round, || {
            deleting.delete_topic("t").unwrap();
            // The consumer waits for the topic to come back, until the end.
            deleting.close().unwrap();
        });
    }
}
