//! What poll returns, and in which order.

use super::*;
use crate::format::control::{MarkerKind, marker};
use crate::{Compression, Durability, Error, Timestamp};

#[test]
fn records_come_as_they_were_sent() {
    let broker = broker_with("t", 1);
    let record = Record::value_only("v")
        .key("k")
        .header("h", "1")
        .null_header("n")
        .timestamp(77);
    partition(&broker, "t", 0)
        .append(&[record, Record::default()])
        .unwrap();
    let mut consumer = subscribed(earliest(&broker), "t");
    let records = look(&mut consumer);
    let [first, second] = records.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        (first.topic(), first.partition(), first.offset()),
        ("t", 0, 0)
    );
    assert_eq!(first.timestamp(), 77 as Timestamp);
    assert_eq!(
        (first.key(), first.value()),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    let headers: Vec<_> = first
        .headers()
        .map(|header| (header.key(), header.value()))
        .collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("n", None)]);
    // Null is not empty: a tombstone.
    assert_eq!(
        (second.key(), second.value(), second.offset()),
        (None, None, 1)
    );
}

#[test]
fn a_large_batch_is_split_over_polls_and_nothing_is_lost_or_repeated() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..25);
    append(&broker, "t", 0, 25..27);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(10), "t");
    for expected in [0..10, 10..20, 20..27] {
        let end = expected.end;
        assert_eq!(values(&look(&mut consumer)), expected.collect::<Vec<_>>());
        assert_eq!(consumer.position(&id("t", 0)).unwrap(), end);
    }
    assert!(look(&mut consumer).is_empty());
}

/// Batches of one to three records, some compressed, with markers between them, over many segments.
fn small_batches(count: u64) -> (Broker, u64) {
    let broker = Broker::in_memory();
    let config = TopicConfig::default().segment_bytes(2_000);
    broker.create_topic("t", config).unwrap();
    let log = subscribed(earliest(&broker), "t").assignment[0]
        .partition()
        .clone();
    let compressing = broker.producer().compression(Compression::Lz4).build();
    let compressing = compressing.unwrap();
    let mut next = 0;
    for number in 0..count {
        let end = next + 1 + number % 3;
        append(&broker, "t", 0, next..end);
        next = end;
        if number % 11 == 0 {
            let mut marker = marker(MarkerKind::Commit, 7, 0, 0, 0);
            log.append(&mut marker, Durability::Written).unwrap();
        }
        if number % 17 == 0 {
            let repetitive = format!("{next:0>300}");
            compressing
                .send(Record::to("t").value(&repetitive))
                .unwrap()
                .wait()
                .unwrap();
            next += 1;
        }
    }
    (broker, next)
}

#[test]
fn small_batches_come_together_and_nothing_is_lost_or_repeated() {
    let (broker, end) = small_batches(200);
    let end_offset = partition(&broker, "t", 0).high_watermark();
    for most in [1, 2, 3, 10, 64, 1_000] {
        let mut consumer = subscribed(earliest(&broker).max_poll_records(most), "t");
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let records = look(&mut consumer);
            if records.is_empty() {
                break;
            }
            assert!(records.len() <= most && records.iter().len() == records.len());
            assert_eq!(records.records_of(&id("t", 0)).count(), records.len());
            for record in &records {
                assert!(last < Some(record.offset()), "offsets rise");
                last = Some(record.offset());
            }
            let next = consumer.position(&id("t", 0)).unwrap();
            assert!(last < Some(next));
            assert_eq!(records.partitions().count(), 1);
            assert!(matches!(&records.next_offsets()[..], [(_, offset)] if *offset <= next));
            seen.extend(values(&records));
        }
        assert_eq!(seen, (0..end).collect::<Vec<_>>(), "{most} a poll");
        assert_eq!(consumer.position(&id("t", 0)).unwrap(), end_offset);
    }
    // From every offset on, in the middle of batches and at markers.
    let mut consumer = subscribed(earliest(&broker), "t");
    consumer.poll(Duration::ZERO).unwrap();
    for start in 0..end_offset {
        consumer.seek(&id("t", 0), Position::Offset(start)).unwrap();
        let records = look(&mut consumer);
        let first = records.iter().next().map(|record| record.offset());
        assert!(first.is_none_or(|first| first >= start && first <= start + 1));
    }
}

#[test]
fn a_reader_reads_small_batches_one_by_one() {
    let (broker, end) = small_batches(100);
    let partition = partition(&broker, "t", 0);
    let (mut mixed, mut batches) = (Vec::new(), Vec::new());
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut whole = partition.reader(Position::Earliest).unwrap();
    while let Some(batch) = whole.next_batch().unwrap() {
        assert!(batch.len() <= 3, "as they were appended");
        batches.extend(values(&batch));
        // One record, and then the rest of its batch, if it had more.
        let first = reader.next().unwrap().unwrap();
        mixed.push(value_of(first.value()));
        if batch.len() > 1 {
            let rest = reader.next_batch().unwrap().unwrap();
            assert_eq!(rest.len(), batch.len() - 1);
            mixed.extend(values(&rest));
        }
        assert_eq!(reader.position(), whole.position());
    }
    assert_eq!(batches, (0..end).collect::<Vec<_>>());
    assert_eq!(mixed, batches);
}

#[test]
fn records_know_where_to_go_on_from() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..2);
    append(&broker, "t", 1, 2..4);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(7), "t");
    let records = look(&mut consumer);
    assert_eq!(records.next_offsets(), [(id("t", 0), 5), (id("t", 1), 2)]);
    let rest = look(&mut consumer);
    assert_eq!(rest.next_offsets(), [(id("t", 1), 4)]);
    assert!(Records::default().next_offsets().is_empty());
    let mut consumer = subscribed(earliest(&broker).max_poll_records(3), "t");
    let cut = look(&mut consumer);
    assert_eq!(cut.next_offsets(), [(id("t", 0), 3)], "inside a batch");
}

#[test]
fn partitions_take_turns() {
    let broker = broker_with("t", 3);
    for number in 0..3 {
        append(&broker, "t", number, 0..20);
    }
    let mut consumer = subscribed(earliest(&broker).max_poll_records(10), "t");
    let turns: Vec<_> = (0..6)
        .map(|_| {
            let records = look(&mut consumer);
            let partitions: Vec<_> = records
                .partitions()
                .map(TopicPartition::partition)
                .collect();
            assert_eq!(records.len(), 10);
            partitions
        })
        .collect();
    assert_eq!(turns, [[0], [1], [2], [0], [1], [2]]);
}

#[test]
fn one_poll_gathers_several_partitions() {
    let broker = broker_with("t", 3);
    for number in [0, 2] {
        append(&broker, "t", number, [u64::from(number)]);
    }
    let records = look(&mut subscribed(earliest(&broker), "t"));
    assert_eq!(values(&records), [0, 2]);
    assert_eq!(
        records.partitions().cloned().collect::<Vec<_>>(),
        [id("t", 0), id("t", 2)]
    );
    assert_eq!(records.records_of(&id("t", 2)).count(), 1);
}

#[test]
fn the_byte_limit_is_soft_and_the_first_batch_comes_whole() {
    let broker = broker_with("t", 1);
    for _ in 0..3 {
        append(&broker, "t", 0, 0..100);
    }
    let mut consumer = subscribed(earliest(&broker).fetch_max_bytes(1), "t");
    assert_eq!(look(&mut consumer).len(), 100);
}

#[test]
fn seeking_drops_what_was_fetched_and_goes_on_there() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(3), "t");
    assert_eq!(values(&look(&mut consumer)), [0, 1, 2]);
    consumer.seek(&id("t", 0), Position::Offset(8)).unwrap();
    assert_eq!(values(&look(&mut consumer)), [8, 9]);
    consumer.seek(&id("t", 0), Position::Earliest).unwrap();
    assert_eq!(consumer.position(&id("t", 0)).unwrap(), 0);
    assert_eq!(values(&look(&mut consumer)), [0, 1, 2]);
    consumer.seek(&id("t", 0), Position::Latest).unwrap();
    append(&broker, "t", 0, [10]);
    assert_eq!(values(&look(&mut consumer)), [10]);
    let unassigned = consumer.seek(&id("t", 1), Position::Earliest);
    assert!(matches!(unassigned, Err(Error::IllegalState(_))));
}

#[test]
fn seeking_to_a_time_finds_the_first_record_of_it() {
    let broker = broker_with("t", 1);
    let times = [100, 200, 300];
    let records: Vec<_> = times
        .map(|time| Record::value_only("0").timestamp(time))
        .into();
    partition(&broker, "t", 0).append(&records).unwrap();
    let mut consumer = subscribed(earliest(&broker), "t");
    for (time, expected) in [(50, 0), (200, 1), (201, 2), (301, 3)] {
        consumer
            .seek(&id("t", 0), Position::Timestamp(time))
            .unwrap();
        assert_eq!(
            consumer.position(&id("t", 0)).unwrap(),
            expected,
            "time {time}"
        );
    }
}

#[test]
fn a_paused_partition_delivers_nothing_not_even_what_was_fetched() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(4), "t");
    assert_eq!(look(&mut consumer).len(), 4);
    consumer.pause(&[id("t", 0)]).unwrap();
    assert_eq!(consumer.paused(), [id("t", 0)]);
    append(&broker, "t", 1, [100]);
    assert_eq!(values(&look(&mut consumer)), [100]);
    assert!(look(&mut consumer).is_empty());
    assert_eq!(consumer.position(&id("t", 0)).unwrap(), 4);
    assert!(consumer.resume(&[id("t", 0), id("t", 9)]).is_err());
    assert_eq!(
        consumer.paused(),
        [id("t", 0)],
        "a refused call changes nothing"
    );
    consumer.resume(&[id("t", 0)]).unwrap();
    assert_eq!(values(&look(&mut consumer)), [4, 5, 6, 7]);
}

#[test]
fn lag_is_what_is_left_to_read() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(4), "t");
    assert_eq!(consumer.lag(&id("t", 0)).unwrap(), 10);
    look(&mut consumer);
    assert_eq!(consumer.lag(&id("t", 0)).unwrap(), 6);
}

#[test]
fn subscribing_and_assigning_exclude_each_other() {
    let broker = broker_with("t", 2);
    let mut consumer = earliest(&broker).build().unwrap();
    assert!(matches!(
        consumer.poll(Duration::ZERO),
        Err(Error::IllegalState(_))
    ));
    consumer.subscribe(["t"]).unwrap();
    assert!(matches!(
        consumer.assign(&[id("t", 0)]),
        Err(Error::IllegalState(_))
    ));
    assert_eq!(consumer.subscription(), ["t"]);
    assert_eq!(consumer.assignment(), [id("t", 0), id("t", 1)]);
    consumer.unsubscribe().unwrap();
    consumer.assign(&[id("t", 1)]).unwrap();
    assert!(matches!(
        consumer.subscribe(["t"]),
        Err(Error::IllegalState(_))
    ));
    assert_eq!(consumer.assignment(), [id("t", 1)]);
    append(&broker, "t", 0, [0]);
    append(&broker, "t", 1, [1]);
    assert_eq!(values(&look(&mut consumer)), [1]);
    consumer.assign(&[]).unwrap();
    assert!(consumer.assignment().is_empty());
}

#[test]
fn unknown_topics_and_partitions_are_refused_at_once() {
    let broker = broker_with("t", 1);
    let mut consumer = earliest(&broker).build().unwrap();
    let topics = consumer.subscribe(["t", "missing"]);
    assert!(matches!(topics, Err(Error::UnknownTopic { topic }) if topic == "missing"));
    let partitions = consumer.assign(&[id("t", 1)]);
    assert!(matches!(
        partitions,
        Err(Error::UnknownPartition {
            partition: 1,
            count: 1,
            ..
        })
    ));
    assert!(consumer.assignment().is_empty() && consumer.subscription().is_empty());
}

#[test]
fn a_new_subscription_keeps_the_places_it_has_in_common_with_the_old() {
    let broker = broker_with("a", 1);
    broker.create_topic("b", TopicConfig::default()).unwrap();
    append(&broker, "a", 0, 0..4);
    append(&broker, "b", 0, 100..101);
    let mut consumer = subscribed(earliest(&broker).max_poll_records(3), "a");
    assert_eq!(values(&look(&mut consumer)), [0, 1, 2]);
    consumer.subscribe(["b", "a"]).unwrap();
    assert_eq!(values(&look(&mut consumer)), [3, 100]);
    consumer.subscribe(["b"]).unwrap();
    append(&broker, "a", 0, [4]);
    assert!(look(&mut consumer).is_empty());
}

#[test]
fn partitions_added_later_are_read_from_their_start() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(broker.consumer(), "t");
    assert!(look(&mut consumer).is_empty());
    broker.add_partitions("t", 3).unwrap();
    append(&broker, "t", 2, [7]);
    assert_eq!(values(&look(&mut consumer)), [7]);
    assert_eq!(consumer.assignment().len(), 3);
}

#[test]
fn records_outlive_consumer_topic_and_broker() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..3);
    let mut consumer = subscribed(earliest(&broker), "t");
    let records = look(&mut consumer);
    drop(consumer);
    broker.delete_topic("t").unwrap();
    broker.close().unwrap();
    assert_eq!(values(&records), [0, 1, 2]);
    assert_eq!(records.iter().next().unwrap().topic(), "t");
}

#[test]
fn a_deleted_topic_drops_out_of_the_subscription_and_may_come_back() {
    let broker = broker_with("t", 1);
    broker.create_topic("u", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 0..3);
    let mut consumer = earliest(&broker).build().unwrap();
    consumer.subscribe(["t", "u"]).unwrap();
    assert_eq!(look(&mut consumer).len(), 3);
    broker.delete_topic("t").unwrap();
    append(&broker, "u", 0, [5]);
    assert_eq!(values(&look(&mut consumer)), [5]);
    assert_eq!(consumer.assignment(), [id("u", 0)]);
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, [9]);
    let records = look(&mut consumer);
    assert_eq!((values(&records), offsets(&records)), (vec![9], vec![0]));
}

#[test]
fn a_closed_broker_answers_closed() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker).group("g"), "t");
    broker.close().unwrap();
    assert!(matches!(consumer.poll(LONG), Err(Error::Closed(_))));
    assert!(matches!(consumer.commit(), Err(Error::Closed(_))));
    assert!(consumer.close().is_ok(), "nothing was left to commit");
}

#[test]
fn impossible_settings_are_refused() {
    let broker = broker_with("t", 1);
    let consumer = || broker.consumer();
    for (builder, key) in [
        (consumer().group(""), "group.id"),
        (consumer().group("g".repeat(40_000)), "group.id"),
        (
            consumer().auto_offset_reset(Position::Offset(3)),
            "auto.offset.reset",
        ),
        (consumer().auto_commit(Some(LONG)), "enable.auto.commit"),
        (
            consumer().group("g").auto_commit(Some(Duration::ZERO)),
            "auto.commit.interval.ms",
        ),
        (consumer().max_poll_records(0), "max.poll.records"),
        (consumer().fetch_max_bytes(0), "fetch.max.bytes"),
    ] {
        let refused = builder.build();
        assert!(matches!(refused, Err(Error::InvalidConfig { key: found, .. }) if found == key));
    }
}
