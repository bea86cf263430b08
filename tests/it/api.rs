//! The public API is what its users were promised: their programs compile and do what they say.
//!
//! Each function is one program of the API's contract, word for word where it can be: a rename, or a
//! changed argument, breaks this file before it breaks theirs.

use std::time::Duration;

use streamlog::{
    Broker, CleanupPolicy, Compression, Consumer, CooperativeSticky, Durability, Error,
    ManualClock, Offset, Position, RebalanceListener, Record, Result, TimestampType, TopicConfig,
    TopicPartition,
};
use tempfile::tempdir;

fn broker_with_clicks() -> Result<Broker> {
    let broker = Broker::in_memory();
    broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
    Ok(broker)
}

#[test]
#[rustfmt::skip]
fn produce_and_consume() -> Result<()> {
    let dir = tempdir().unwrap();
    let broker = Broker::open(dir.path().join("data"))?;
    broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;

    let producer = broker.producer().build()?;
    let delivery = producer.send(Record::to("user-clicks").key("alice").value("/home"))?;
    let metadata = delivery.wait()?;
    println!("{}-{}@{}", metadata.topic(), metadata.partition(), metadata.offset());
    for i in 0..1_000 {
        let value = format!("/page/{i}");
        producer.send(
            Record::to("user-clicks").key("bob").value(&value)
                .header("source", "web").timestamp(1_700_000_000_000 + i),
        )?;
    }
    producer.flush()?;

    let mut consumer = broker.consumer().group("dashboard")
        .auto_offset_reset(Position::Earliest).build()?;
    consumer.subscribe(["user-clicks"])?;
    let mut seen = 0;
    while seen < 1_001 {
        let records = consumer.poll(Duration::from_millis(100))?;
        for record in &records {
            let _key: Option<&[u8]> = record.key();
            let _value: Option<&[u8]> = record.value();
            let _ = (record.topic(), record.partition(), record.offset(), record.timestamp());
            for header in record.headers() { let _ = (header.key(), header.value()); }
            seen += 1;
        }
        consumer.commit()?;
    }
    broker.close()
}

#[test]
fn records_outlive_the_consumer_and_the_broker() -> Result<()> {
    let broker = broker_with_clicks()?;
    let producer = broker.producer().build()?;
    producer.send(Record::to("user-clicks").key("alice").value("/home"))?;
    producer.flush()?;
    let mut consumer = broker
        .consumer()
        .auto_offset_reset(Position::Earliest)
        .build()?;
    consumer.subscribe(["user-clicks"])?;
    let records = consumer.poll(Duration::from_secs(5))?;
    drop(consumer);
    broker.close()?;
    let values: Vec<_> = records.iter().filter_map(|record| record.value()).collect();
    assert_eq!(values, [b"/home"]);
    Ok(())
}

#[test]
fn handles_cross_threads_as_promised() {
    fn shared<T: Clone + Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Broker>();
    shared::<streamlog::Topic>();
    shared::<streamlog::Partition>();
    shared::<streamlog::Producer>();
    shared::<streamlog::WakeupHandle>();
    sent::<streamlog::Consumer>();
    sent::<streamlog::Reader>();
    sent::<streamlog::Records>();
}

#[test]
fn a_delivery_is_a_future() -> Result<()> {
    let broker = broker_with_clicks()?;
    let producer = broker.producer().build()?;
    let delivery = producer.send(Record::to("user-clicks").value("/home"))?;
    let mut acknowledged = std::pin::pin!(delivery);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match acknowledged.as_mut().poll(&mut context) {
        std::task::Poll::Ready(metadata) => assert_eq!(metadata?.offset(), 0),
        std::task::Poll::Pending => panic!("`Written` waits for nothing"),
    }
    Ok(())
}

#[test]
#[rustfmt::skip]
fn partitions_and_readers() -> Result<()> {
    let broker = broker_with_clicks()?;
    let topic = broker.topic("user-clicks")?;
    assert!(matches!(broker.topic("absent"), Err(Error::UnknownTopic { .. })));
    let p0 = topic.partition(0)?;
    assert!(matches!(topic.partition(3), Err(Error::UnknownPartition { .. })));
    let first: Offset = p0.append(&[Record::value_only("a"), Record::value_only("b")])?;
    let mut reader = p0.reader(Position::Offset(first))?;
    let mut values = Vec::new();
    while let Some(record) = reader.next()? { values.push(record.value().unwrap().to_vec()); }
    assert_eq!(values, [b"a", b"b"]);
    let more: bool = reader.wait(Duration::from_millis(1))?;
    assert!(!more);
    let _ = (p0.log_start_offset(), p0.high_watermark(), p0.last_stable_offset(), p0.size_bytes());
    let _: Option<Offset> = p0.offset_for_timestamp(1_700_000_000_000)?;
    for position in [Position::Earliest, Position::Latest, Position::Timestamp(0)] {
        p0.reader(position)?;
    }
    p0.delete_records(1)?;
    assert_eq!(p0.log_start_offset(), 1);
    p0.flush()
}

#[test]
#[rustfmt::skip]
fn configuration() -> Result<()> {
    let broker = broker_with_clicks()?;
    let config = TopicConfig::default()
        .partitions(6)
        .segment_bytes(256 << 20).segment_ms(Duration::from_secs(86_400))
        .retention_ms(Some(Duration::from_secs(7 * 86_400))).retention_bytes(Some(10 << 30))
        .cleanup_policy(CleanupPolicy::Compact)
        .compression(Compression::Producer)
        .timestamp_type(TimestampType::CreateTime)
        .set("min.compaction.lag.ms", "60000")?;
    broker.alter_topic("user-clicks", config)?;
    broker.add_partitions("user-clicks", 12)?;
    for topic in broker.topics() { println!("{} {:?}", topic.name(), topic.config()); }
    assert_eq!(broker.topic("user-clicks")?.partition_count(), 12);
    broker.delete_topic("user-clicks")?;
    assert!(broker.topics().is_empty());
    let _ = [CleanupPolicy::Delete, CleanupPolicy::Compact, CleanupPolicy::CompactAndDelete];

    let dir = tempdir().unwrap();
    let broker = Broker::builder(dir.path().join("data")).create_dir(true).open()?;
    for compression in [
        Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd,
    ] {
        broker.producer().compression(compression).build()?;
    }
    let producer = broker.producer()
        .durability(Durability::Synced)
        .linger(Duration::from_millis(5)).batch_size(64 << 10)
        .compression(Compression::Zstd)
        .partitioner(streamlog::Murmur2Partitioner::default())
        .build()?;
    drop(producer);
    broker.close()
}

#[test]
#[rustfmt::skip]
fn consumers_seek_pause_commit_and_wake_up() -> Result<()> {
    let broker = broker_with_clicks()?;
    let p0 = broker.topic("user-clicks")?.partition(0)?;
    for _ in 0..50 { p0.append(&[Record::value_only("click")])?; }

    let mut consumer = broker.consumer().group("dashboard").auto_commit(None).build()?;
    consumer.subscribe(["user-clicks"])?;
    let tp = TopicPartition::new("user-clicks", 0);
    let parts = [tp.clone()];
    consumer.seek(&TopicPartition::new("user-clicks", 0), Position::Offset(42))?;
    consumer.pause(&parts)?;
    assert!(consumer.poll(Duration::from_millis(1))?.is_empty());
    consumer.resume(&parts)?;
    assert_eq!(consumer.poll(Duration::from_secs(5))?.len(), 8);
    let state = (consumer.assignment(), consumer.position(&tp)?, consumer.committed(&tp)?, consumer.lag(&tp)?);
    assert_eq!((state.0.len(), state.1, state.2, state.3), (3, 50, None, 0));
    consumer.commit_offsets(&[(tp.clone(), 43)])?;
    assert_eq!(consumer.committed(&tp)?, Some(43));

    let handle = consumer.wakeup_handle();
    let waker = std::thread::spawn(move || handle.wakeup());
    assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(Error::Wakeup)));
    waker.join().unwrap();
    Ok(())
}

#[test]
#[rustfmt::skip]
fn consumer_groups() -> Result<()> {
    struct Listener;
    impl RebalanceListener for Listener {
        fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
            assert!(!partitions.is_empty());
            Ok(())
        }
    }
    let broker = broker_with_clicks()?;
    let group = broker.group("dashboard");
    let mut consumer = group.join(["user-clicks"])?;
    consumer.on_rebalance(Listener);
    let tp = TopicPartition::new("user-clicks", 0);
    consumer.seek(&tp, Position::Offset(42))?;
    let parts = vec![tp.clone()];
    consumer.pause(&parts)?;
    consumer.resume(&parts)?;
    let _ = (consumer.assignment(), consumer.position(&tp)?, consumer.committed(&tp)?, consumer.lag(&tp)?);
    consumer.commit_offsets(&[(tp.clone(), 43)])?;
    let handle = consumer.wakeup_handle();
    handle.wakeup();
    assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Wakeup)));

    let mut other = broker.consumer().group("dashboard").assignor(CooperativeSticky).build()?;
    other.subscribe(["user-clicks"])?;
    for _ in 0..3 {
        consumer.poll(Duration::ZERO)?;
        other.poll(Duration::ZERO)?;
    }
    let lost = other.assignment()[0].clone();
    assert!(matches!(consumer.commit_offsets(&[(lost, 1)]), Err(Error::Fenced { .. })));

    let state = group.describe()?;
    assert_eq!(state.members.len(), 2);
    let refused = group.reset_offsets("user-clicks", Position::Earliest);
    assert!(matches!(refused, Err(Error::GroupNotEmpty { .. })));
    drop((consumer, other));
    group.reset_offsets("user-clicks", Position::Earliest)?;
    assert_eq!(broker.groups()?.len(), 1);
    group.delete()
}

#[test]
fn an_application_is_tested_without_files_and_without_waiting() -> Result<()> {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default())?;

    let dir = tempdir().unwrap();
    let clock = ManualClock::new(0);
    let broker = Broker::builder(dir.path())
        .clock(clock.clone())
        .background(false)
        .open()?;
    broker.create_topic("t", TopicConfig::default())?;
    let producer = broker.producer().linger(Duration::from_secs(60)).build()?;
    producer.send(Record::to("t").value("lingers"))?;
    broker.run_housekeeping()?;
    let partition = broker.topic("t")?.partition(0)?;
    assert_eq!(partition.high_watermark(), 0, "it lingers still");
    clock.advance(Duration::from_secs(3600));
    broker.run_housekeeping()?;
    assert_eq!(partition.high_watermark(), 1);

    let copies = tempdir().unwrap();
    let copy = copies.path().join("backup/2026-01-01");
    broker.checkpoint(&copy)?;
    let copy = Broker::open(copy)?;
    assert!(copy.recovery_report().is_clean());
    assert_eq!(copy.topic("t")?.partition(0)?.high_watermark(), 1);
    Ok(())
}

#[test]
fn errors_can_be_matched_on() -> Result<()> {
    let dir = tempdir().unwrap();
    let broker = Broker::open(dir.path())?;
    assert!(matches!(
        Broker::open(dir.path()),
        Err(Error::Locked { .. })
    ));
    broker.create_topic("t", TopicConfig::default())?;
    assert!(matches!(
        broker.create_topic("t", TopicConfig::default()),
        Err(Error::TopicExists { .. })
    ));
    assert!(matches!(
        broker.create_topic("no/slash", TopicConfig::default()),
        Err(Error::InvalidTopicName { .. })
    ));
    assert!(matches!(
        TopicConfig::default().set("colour", "red"),
        Err(Error::InvalidConfig { .. })
    ));
    let partition = broker.topic("t")?.partition(0)?;
    let large = vec![0; 2 << 20];
    assert!(matches!(
        partition.append(&[Record::value_only(&large)]),
        Err(Error::RecordTooLarge { .. })
    ));
    let mut reader = partition.reader(Position::Offset(7))?;
    assert!(matches!(reader.next(), Err(Error::OffsetOutOfRange { .. })));
    broker.close()?;
    assert!(matches!(
        partition.append(&[Record::value_only("late")]),
        Err(Error::Closed(_))
    ));
    Ok(())
}

#[test]
fn a_topic_is_deleted_with_what_was_not_synced_yet() -> Result<()> {
    let dir = tempdir().unwrap();
    let broker = Broker::open(dir.path())?;
    let topic = broker.create_topic("t", TopicConfig::default())?;
    topic
        .partition(0)?
        .append(&[Record::value_only("not synced")])?;
    broker.delete_topic("t")?;
    broker.close()
}
