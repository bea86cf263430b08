use std::sync::Arc;
use std::thread;

use super::*;
use crate::config::Durability;
use crate::format::batch::HEADER_LEN;
use crate::format::compression::Codec;
use crate::format::{Compression, TimestampType};

#[test]
fn a_batch_waits_for_more_records_until_its_linger_is_over() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let delivery = send(&producer, "a").unwrap();
    fixture.pass(Duration::from_millis(4));
    send(&producer, "b").unwrap();
    assert_eq!(fixture.end(0), 0);
    assert!(!delivery.is_done());
    fixture.pass(Duration::from_millis(1));
    assert_eq!(counts(&batches(&producer, 0)), [2]);
    assert!(delivery.is_done());
    assert_eq!(delivery.wait().unwrap().offset(), 0);
}

#[test]
fn each_partitions_linger_counts_from_its_own_first_record() {
    let fixture = Fixture::new(2);
    let producer = fixture.producer();
    producer
        .send(Record::to("t").partition(0).value("a"))
        .unwrap();
    fixture.pass(Duration::from_millis(3));
    producer
        .send(Record::to("t").partition(1).value("b"))
        .unwrap();
    fixture.pass(Duration::from_millis(2));
    assert_eq!((fixture.end(0), fixture.end(1)), (1, 0));
    fixture.pass(Duration::from_millis(2));
    assert_eq!(fixture.end(1), 0);
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.end(1), 1);
}

#[test]
fn linger_is_over_for_every_batch_that_was_ever_opened() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    for round in 1..=20 {
        send(&producer, "a").unwrap();
        fixture.pass(LINGER);
        assert_eq!(fixture.end(0), round);
    }
}

#[test]
fn the_background_thread_ends_the_linger_too() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let producer = broker.producer().build().unwrap();
    let mut reader = broker
        .topic("t")
        .unwrap()
        .partition(0)
        .unwrap()
        .reader(Position::Earliest)
        .unwrap();
    for round in 0..3 {
        send(&producer, "a").unwrap();
        assert!(
            reader.wait(Duration::from_secs(60)).unwrap(),
            "round {round}"
        );
        assert!(reader.next().unwrap().is_some());
    }
}

#[test]
fn without_linger_each_record_is_in_the_log_when_send_returns() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.linger(Duration::ZERO));
    for end in 1..=3 {
        assert!(send(&producer, "a").unwrap().is_done());
        assert_eq!(fixture.end(0), end);
    }
    assert_eq!(counts(&batches(&producer, 0)), [1, 1, 1]);
}

#[test]
fn a_batch_is_written_when_no_more_fits_and_is_never_larger() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.batch_size(500));
    for _ in 0..100 {
        send(&producer, &"x".repeat(60)).unwrap();
    }
    let full = batches(&producer, 0);
    assert!(full.len() > 10);
    assert!(
        full.iter().all(|batch| (400..=500).contains(&batch.size)),
        "{full:?}"
    );
    producer.flush().unwrap();
    assert_eq!(counts(&batches(&producer, 0)).iter().sum::<u32>(), 100);
}

#[test]
fn a_record_larger_than_a_batch_makes_its_own() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.batch_size(500));
    for size in [10, 10, 5_000, 10] {
        send(&producer, &"x".repeat(size)).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(counts(&batches(&producer, 0)), [2, 1, 1]);
}

#[test]
fn batch_size_zero_makes_every_record_a_batch() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.batch_size(0));
    (0..3).for_each(|_| drop(send(&producer, "a").unwrap()));
    assert_eq!(counts(&batches(&producer, 0)), [1, 1, 1]);
}

#[test]
fn the_topics_limit_bounds_batches_and_refuses_what_fits_in_none() {
    let fixture = Fixture::with(TopicConfig::default().max_message_bytes(300));
    let producer = fixture.producer();
    for _ in 0..10 {
        send(&producer, &"x".repeat(100)).unwrap();
    }
    let room = (0..300)
        .rev()
        .find(|size| send(&producer, &"x".repeat(*size)).is_ok());
    assert!(
        room.is_some_and(|room| room > 300 - HEADER_LEN - 15),
        "{room:?}"
    );
    producer.flush().unwrap();
    assert!(batches(&producer, 0).iter().all(|batch| batch.size <= 300));
    assert_eq!(fixture.end(0), 11, "nothing of the refused ones was queued");
}

#[test]
fn a_limit_that_is_altered_holds_from_the_next_batch_on() {
    let fixture = Fixture::with(TopicConfig::default().max_message_bytes(300));
    let producer = fixture.producer();
    assert!(send(&producer, &"x".repeat(1_000)).is_err());
    fixture
        .broker
        .alter_topic("t", TopicConfig::default())
        .unwrap();
    send(&producer, &"x".repeat(1_000)).unwrap().wait().unwrap();
}

#[test]
fn a_topics_codec_overrides_the_producers() {
    let value = "x".repeat(1_000);
    for (topic, producer, stored) in [
        (Compression::Producer, Compression::None, Codec::None),
        (Compression::Producer, Compression::Lz4, Codec::Lz4),
        (Compression::Lz4, Compression::None, Codec::Lz4),
        (Compression::None, Compression::Lz4, Codec::None),
    ] {
        let fixture = Fixture::with(TopicConfig::default().compression(topic));
        let producer = fixture.build(|builder| builder.compression(producer));
        send(&producer, &value).unwrap().wait().unwrap();
        assert_eq!(batches(&producer, 0)[0].attributes.compression(), stored);
        assert_eq!(fixture.values(0), [value.as_str()]);
    }
}

#[test]
fn records_without_a_timestamp_get_the_time_of_the_send() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let early = send(&producer, "a").unwrap();
    fixture.clock.advance(Duration::from_millis(2));
    let late = send(&producer, "b").unwrap();
    let none = producer.send(Record::to("t").timestamp(-1)).unwrap();
    let own = producer.send(Record::to("t").timestamp(7)).unwrap();
    let timestamp = |delivery: crate::Delivery| delivery.wait().unwrap().timestamp();
    assert_eq!(
        [early, late, none, own].map(timestamp),
        [START, START + 2, -1, 7]
    );
    assert_eq!(batches(&producer, 0)[0].max_timestamp, START + 2);
    assert!(producer.send(Record::to("t").timestamp(-2)).is_err());
}

#[test]
fn a_topic_that_stamps_records_reports_the_time_of_the_append() {
    let fixture =
        Fixture::with(TopicConfig::default().timestamp_type(TimestampType::LogAppendTime));
    let producer = fixture.producer();
    let delivery = producer.send(Record::to("t").timestamp(7)).unwrap();
    fixture.pass(LINGER);
    assert_eq!(delivery.wait().unwrap().timestamp(), START + 5);
}

#[test]
fn sequences_count_the_records_of_each_partition() {
    let fixture = Fixture::new(2);
    let producer = fixture.producer();
    for partition in [0, 0, 1, 0] {
        producer.send(Record::to("t").partition(partition)).unwrap();
    }
    producer.flush().unwrap();
    producer.send(Record::to("t").partition(0)).unwrap();
    producer.flush().unwrap();
    let sequences = |partition| {
        batches(&producer, partition)
            .iter()
            .map(|b| b.base_sequence)
            .collect::<Vec<_>>()
    };
    assert_eq!((sequences(0), sequences(1)), (vec![0, 3], vec![0]));
    let other = fixture.producer();
    send(&other, "a").unwrap().wait().unwrap();
    let stored = batches(&producer, 0);
    assert_ne!(stored[2].producer_id, stored[0].producer_id);
    assert_eq!((stored[2].producer_epoch, stored[2].base_sequence), (0, 0));
}

#[test]
fn the_sequence_goes_on_at_zero_after_its_largest() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    send(&producer, "a").unwrap().wait().unwrap();
    let other = fixture.producer();
    other.core.renew_routes("t").unwrap();
    let routes = other.core.routes.load();
    routes
        .get("t")
        .unwrap()
        .accumulator(0)
        .unwrap()
        .set_base_sequence(i32::MAX - 1);
    for value in ["b", "c", "d"] {
        send(&other, value).unwrap();
    }
    other.flush().unwrap();
    send(&other, "e").unwrap().wait().unwrap();
    let sequences: Vec<_> = batches(&producer, 0)
        .iter()
        .map(|batch| batch.base_sequence)
        .collect();
    assert_eq!(sequences, [0, i32::MAX - 1, 1]);
}

#[test]
fn a_producer_that_is_not_idempotent_leaves_no_id() {
    let fixture = Fixture::new(1);
    let producer = fixture.build(|builder| builder.enable_idempotence(false));
    send(&producer, "a").unwrap().wait().unwrap();
    let stored = batches(&producer, 0)[0];
    assert_eq!(
        (
            stored.producer_id,
            stored.producer_epoch,
            stored.base_sequence
        ),
        (-1, -1, -1)
    );
}

/// Four threads share a producer; some wait, some flush, batches are tiny, the clock stands still.
#[test]
fn per_partition_the_log_has_each_threads_records_in_the_order_of_its_sends() {
    const THREADS: usize = 4;
    const RECORDS: usize = 2_000;
    let fixture = Fixture::new(3);
    let producer =
        Arc::new(fixture.build(|builder| builder.batch_size(400).durability(Durability::Written)));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let producer = Arc::clone(&producer);
            scope.spawn(move || {
                for i in 0..RECORDS {
                    let value = format!("{thread} {i}");
                    let partition = u32::try_from(i % 3).unwrap();
                    let sent = producer
                        .send(Record::to("t").partition(partition).value(&value))
                        .unwrap();
                    match i % 50 {
                        0 => drop(sent.wait().unwrap()),
                        25 => producer.flush().unwrap(),
                        _ => {}
                    }
                }
            });
        }
    });
    producer.flush().unwrap();
    let mut total = 0;
    for partition in 0..3_u32 {
        let mut next = [usize::try_from(partition).unwrap(); THREADS];
        for value in fixture.values(partition) {
            let (thread, i) = value.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(
                i.parse::<usize>().unwrap(),
                *next,
                "partition {partition}, thread {thread}"
            );
            *next += 3;
            total += 1;
        }
    }
    assert_eq!(total, THREADS * RECORDS);
}

/// A coarse time that lags by up to 4 ms, as Linux has it.
#[derive(Debug, Clone)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn wall(&self) -> i64 {
        self.0.wall()
    }

    fn coarse_wall(&self) -> i64 {
        self.0.wall() / 4 * 4
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

#[test]
fn timestamps_are_exact_for_a_batchs_first_record_and_never_go_back() {
    let clock = ManualClock::new(START + 3);
    let builder = Broker::builder("data")
        .storage(SimDisk::new())
        .clock(Ticking(clock.clone()));
    let broker = builder.background(false).open().unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let producer = broker.producer().build().unwrap();
    let send = || {
        let delivery = send(&producer, "x").unwrap();
        clock.advance(Duration::from_millis(1));
        delivery
    };
    let open = [send(), send(), send()];
    let timestamps = open.map(|delivery| delivery.wait().unwrap().timestamp() - START);
    assert_eq!(timestamps, [3, 4, 4]);
    assert_eq!(send().wait().unwrap().timestamp(), START + 6);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut read = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        read.push(record.timestamp() - START);
    }
    assert_eq!(read, [3, 4, 4, 6]);
}
