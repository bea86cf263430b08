//! The cleaner thread looks by itself, looks early when there is a reason, and keeps nobody.

use super::*;

/// Generous: nothing is measured.
fn until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::yield_now();
    }
}

fn open(disk: &SimDisk, set: impl FnOnce(BrokerBuilder) -> BrokerBuilder) -> Broker {
    let builder = Broker::builder(support::DIR).storage(disk.clone());
    set(builder).open().unwrap()
}

/// Long past.
const OLD: i64 = 1_000;

#[test]
fn old_records_go_by_themselves() {
    let every =
        |builder: BrokerBuilder| builder.retention_check_interval(Duration::from_millis(10));
    let broker = open(&SimDisk::new(), every);
    broker.create_topic("t", an_hour()).unwrap();
    let log = partition(&broker, "t", 0);
    for round in 1..4 {
        fill(&log, 20, OLD);
        until(|| log.log_start_offset() == round * 20);
    }
    broker.close().unwrap();
}

#[test]
fn a_changed_configuration_is_applied_at_once() {
    let broker = open(&SimDisk::new(), |builder| builder);
    broker.create_topic("t", kept()).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 20, OLD);
    broker.alter_topic("t", an_hour()).unwrap();
    until(|| log.log_start_offset() == 20);
}

#[test]
fn a_finished_segment_has_its_log_looked_at() {
    let broker = open(&SimDisk::new(), |builder| builder);
    let config = kept().retention_bytes(Some(2_000));
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 100, OLD);
    until(|| log.size_bytes() < 2_000 + 1_500);
}

#[test]
fn a_commit_frees_what_retention_kept_for_it() {
    let broker = open(&SimDisk::new(), |builder| builder);
    let config = an_hour().retention_consumed(RetentionConsumed::EveryGroup);
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 40, OLD);
    let mut consumer = broker.consumer().group("g").build().unwrap();
    consumer.assign(&[log.id().clone()]).unwrap();
    consumer.seek(log.id(), Position::Latest).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    until(|| log.log_start_offset() == 40);
}

#[test]
fn the_thread_does_not_keep_a_broker_open() {
    let disk = SimDisk::new();
    for _ in 0..3 {
        let every =
            |builder: BrokerBuilder| builder.retention_check_interval(Duration::from_millis(1));
        let broker = open(&disk, every);
        let topic = broker.topic("t");
        let topic = topic.or_else(|_| broker.create_topic("t", an_hour()));
        fill(&topic.unwrap().partition(0).unwrap(), 20, OLD);
        // The next one would be told `Locked`.
        drop(broker);
    }
}

#[test]
fn topics_come_and_go_while_they_are_cleaned() {
    let every = |builder: BrokerBuilder| builder.retention_check_interval(Duration::from_millis(1));
    let broker = open(&SimDisk::new(), every);
    for _ in 0..100 {
        let topic = broker.create_topic("t", an_hour()).unwrap();
        let log = topic.partition(0).unwrap();
        fill(&log, 20, OLD);
        let young = Record::value_only("young").timestamp(i64::MAX);
        let last = log.append(&[young]).unwrap();
        let mut reader = log.reader(Position::Offset(last)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().offset(), last);
        broker.delete_topic("t").unwrap();
    }
    broker.close().unwrap();
}

#[test]
fn a_check_interval_of_nothing_is_refused() {
    let builder = Broker::builder(support::DIR).storage(SimDisk::new());
    let opened = builder.retention_check_interval(Duration::ZERO).open();
    assert!(matches!(opened, Err(Error::InvalidConfig { .. })));
}

#[test]
fn appends_go_on_while_many_segments_are_removed() {
    let broker = open(&SimDisk::new(), |builder| builder);
    broker.create_topic("t", kept()).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 2_000, OLD);
    let first = log.high_watermark();
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| fill(&log, 2_000, OLD));
        let mut start = 0;
        while !appender.is_finished() || start < first {
            start = (start + 97).min(log.high_watermark());
            log.delete_records(start).unwrap();
        }
    });
    assert_eq!(log.high_watermark(), 4_000);
    let left: Vec<_> = (log.log_start_offset()..4_000).collect();
    assert_eq!(offsets(&log), left);
}

#[test]
fn a_topic_can_be_deleted_and_made_again_while_its_files_are_removed() {
    let broker = open(&SimDisk::new(), |builder| builder);
    for _ in 0..20 {
        broker.create_topic("t", kept()).unwrap();
        let old = partition(&broker, "t", 0);
        fill(&old, 200, OLD);
        std::thread::scope(|scope| {
            // It may be told that the topic is gone.
            let remover = scope.spawn(|| old.delete_records(190));
            broker.delete_topic("t").unwrap();
            broker.create_topic("t", kept()).unwrap();
            let new = partition(&broker, "t", 0);
            fill(&new, 50, OLD);
            let _ = remover.join().unwrap();
            assert_eq!(offsets(&new), (0..50).collect::<Vec<_>>());
        });
        broker.delete_topic("t").unwrap();
    }
}
