use super::*;
use crate::error::Error;
use crate::producer::{Partitioner, RoundRobinPartitioner};

#[test]
fn a_record_is_read_back_as_it_was_sent() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let full = Record::to("t")
        .key("k")
        .value("v")
        .header("h", "1")
        .null_header("h")
        .timestamp(5);
    producer.send(full).unwrap();
    producer.send(Record::to("t").key("")).unwrap();
    producer.flush().unwrap();
    let partition = fixture.broker.topic("t").unwrap().partition(0).unwrap();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(
        (record.key(), record.value()),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!(record.timestamp(), 5);
    let headers: Vec<_> = record
        .headers()
        .map(|header| (header.key(), header.value()))
        .collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", None)]);
    let record = reader.next().unwrap().unwrap();
    assert_eq!((record.key(), record.value()), (Some(&b""[..]), None));
}

#[test]
fn equal_keys_go_to_equal_partitions() {
    let fixture = Fixture::new(10);
    let producer = fixture.producer();
    // murmur2 % 10, from Kafka's own clients.
    for (key, partition) in [
        ("alice", 9),
        ("bob", 8),
        ("foobar", 6),
        ("", 1),
        ("alice", 9),
    ] {
        let metadata = producer
            .send(Record::to("t").key(key))
            .unwrap()
            .wait()
            .unwrap();
        assert_eq!(metadata.partition(), partition, "{key}");
    }
}

#[test]
fn keyless_records_fill_one_partitions_batch_after_the_other() {
    let fixture = Fixture::new(4);
    let producer = fixture.build(|builder| builder.batch_size(1_000));
    let mut partitions = Vec::new();
    for _ in 0..500 {
        let sent = producer.send(Record::to("t").value(&[0; 90])).unwrap();
        partitions.push(format!("{sent:?}"));
    }
    let switches = partitions
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .count();
    partitions.sort_unstable();
    partitions.dedup();
    let written: Vec<_> = (0..4)
        .flat_map(|partition| batches(&producer, partition))
        .collect();
    // 9 records of 98 bytes fit; nothing lingers, so what is written is full.
    assert!(
        written.iter().all(|batch| batch.records_count == 9),
        "{:?}",
        counts(&written)
    );
    assert!(written.len() > 50);
    assert!((0..4).all(|partition| !batches(&producer, partition).is_empty()));
    assert!(switches >= 50, "{switches}");
}

#[test]
fn slow_keyless_records_stick_until_a_batch_of_bytes_went_there() {
    let fixture = Fixture::new(4);
    let producer = fixture.build(|builder| builder.batch_size(1_000));
    let partition = || {
        let sent = producer.send(Record::to("t").value(&[0; 90])).unwrap();
        sent.wait().unwrap().partition()
    };
    let first = partition();
    // Each makes a batch of its own, since each was waited for: 61 bytes of header, 98 of record.
    assert!((1..6).all(|_| partition() == first));
    assert_ne!(partition(), first);
}

#[test]
fn keyed_records_do_not_keep_keyless_ones_at_a_partition_for_ever() {
    let fixture = Fixture::new(2);
    let producer = fixture.build(|builder| builder.batch_size(10_000));
    let mut chosen = std::collections::BTreeSet::new();
    for _ in 0..600 {
        let keyless = producer.send(Record::to("t").value(&[0; 90])).unwrap();
        chosen.insert(keyless.partition());
        // Fills the same batches, and ends them at its own pace.
        producer
            .send(
                Record::to("t")
                    .partition(keyless.partition())
                    .value(&[0; 333]),
            )
            .unwrap();
    }
    assert_eq!(chosen.len(), 2);
}

#[test]
fn a_record_may_name_its_partition_and_only_one_that_is_there() {
    let fixture = Fixture::new(2);
    let producer = fixture.producer();
    let metadata = producer
        .send(Record::to("t").key("alice").partition(1))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(metadata.partition(), 1);
    let refused = producer.send(Record::to("t").partition(2));
    assert!(matches!(
        refused,
        Err(Error::UnknownPartition {
            partition: 2,
            count: 2,
            ..
        })
    ));
}

#[test]
fn the_users_partitioner_decides_and_is_checked() {
    #[derive(Debug)]
    struct ByLength;
    impl Partitioner for ByLength {
        fn partition(
            &self,
            topic: &str,
            key: Option<&[u8]>,
            _value: Option<&[u8]>,
            count: u32,
        ) -> Option<u32> {
            assert_eq!((topic, count), ("t", 3));
            key.and_then(|key| u32::try_from(key.len()).ok())
        }
    }
    let fixture = Fixture::new(3);
    let producer = fixture.build(|builder| builder.partitioner(ByLength));
    let partition =
        |key| Ok::<_, Error>(producer.send(Record::to("t").key(key))?.wait()?.partition());
    assert_eq!((partition("").unwrap(), partition("ab").unwrap()), (0, 2));
    assert!(matches!(
        partition("abc"),
        Err(Error::UnknownPartition { .. })
    ));
}

#[test]
fn round_robin_takes_the_partitions_in_turn() {
    let fixture = Fixture::new(3);
    let producer = fixture.build(|builder| builder.partitioner(RoundRobinPartitioner::default()));
    let sent = (0..4).map(|_| producer.send(Record::to("t").key("k")).unwrap());
    let partitions: Vec<_> = sent.map(|delivery| delivery.partition()).collect();
    assert_eq!(partitions, [0, 1, 2, 0]);
}

#[test]
fn unknown_topics_are_refused_until_they_are_made() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    for topic in ["u", ""] {
        assert!(matches!(
            producer.send(Record::to(topic)),
            Err(Error::UnknownTopic { .. })
        ));
    }
    fixture
        .broker
        .create_topic("u", TopicConfig::default())
        .unwrap();
    producer.send(Record::to("u")).unwrap().wait().unwrap();
    send(&producer, "a").unwrap().wait().unwrap();
}

#[test]
fn added_partitions_are_used_and_open_batches_stay_open() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let open = send(&producer, "a").unwrap();
    fixture.broker.add_partitions("t", 10).unwrap();
    let metadata = producer
        .send(Record::to("t").key("alice"))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(metadata.partition(), 9);
    assert!(!open.is_done());
    send(&producer, "b").unwrap();
    producer.flush().unwrap();
    assert_eq!(counts(&batches(&producer, 0)), [2]);
}

#[test]
fn a_deleted_topic_fails_what_was_open_and_a_new_one_of_its_name_starts_anew() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    send(&producer, "old").unwrap().wait().unwrap();
    let open = send(&producer, "lost").unwrap();
    fixture.broker.delete_topic("t").unwrap();
    assert!(matches!(
        send(&producer, "x"),
        Err(Error::UnknownTopic { .. })
    ));
    fixture
        .broker
        .create_topic("t", TopicConfig::default())
        .unwrap();
    assert_eq!(send(&producer, "new").unwrap().wait().unwrap().offset(), 0);
    assert!(open.wait().is_err());
    assert!(producer.flush().is_err(), "of what was lost");
    assert_eq!(fixture.values(0), ["new"]);
    assert_eq!(batches(&producer, 0)[0].base_sequence, 0);
}

#[test]
fn a_deleted_topics_partitions_are_let_go_at_the_next_send() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    fixture
        .broker
        .create_topic("other", TopicConfig::default())
        .unwrap();
    send(&producer, "x").unwrap().wait().unwrap();
    let partition = Arc::downgrade(&state(&producer, 0));
    fixture.broker.delete_topic("t").unwrap();
    producer.send(Record::to("other")).unwrap();
    assert!(
        partition.upgrade().is_none(),
        "its files would stay open for as long as the producer is there"
    );
}

#[test]
fn topics_that_come_go_and_grow_over_and_over_are_found_each_time() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    // More often than routes are kept.
    for round in 2..15 {
        fixture.broker.add_partitions("t", round).unwrap();
        let last = Record::to("t").partition(round - 1);
        assert_eq!(producer.send(last).unwrap().wait().unwrap().offset(), 0);
        let config = TopicConfig::default();
        fixture.broker.create_topic("passing", config).unwrap();
        let sent = producer.send(Record::to("passing")).unwrap();
        assert_eq!(sent.wait().unwrap().offset(), 0);
        fixture.broker.delete_topic("passing").unwrap();
        let sent = producer.send(Record::to("passing"));
        assert!(matches!(sent, Err(Error::UnknownTopic { .. })));
    }
    producer.flush().unwrap();
}

#[test]
fn one_producer_serves_many_topics() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let names: Vec<_> = (0..50).map(|i| format!("topic-{i}")).collect();
    for name in &names {
        fixture
            .broker
            .create_topic(name, TopicConfig::default().partitions(2))
            .unwrap();
    }
    for _ in 0..3 {
        for name in &names {
            producer.send(Record::to(name).key("alice")).unwrap();
        }
    }
    producer.flush().unwrap();
    for name in &names {
        let topic = fixture.broker.topic(name).unwrap();
        let ends: u64 = topic
            .partitions()
            .iter()
            .map(crate::Partition::high_watermark)
            .sum();
        assert_eq!(ends, 3, "{name}");
    }
}
