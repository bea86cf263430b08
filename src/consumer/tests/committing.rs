//! What is committed, when, and who goes on from it.

use super::*;
use crate::{Durability, Error, ManualClock};

#[test]
fn a_commit_covers_what_poll_returned_and_the_next_consumer_goes_on_there() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).group("g").max_poll_records(4), "t");
    let records = look(&mut consumer);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(&id("t", 0)).unwrap(), Some(4));
    assert_eq!(records.len(), 4, "records are still alive");
    look(&mut consumer);
    drop(consumer);
    let mut next = subscribed(earliest(&broker).group("g"), "t");
    assert_eq!(values(&look(&mut next)), [4, 5, 6, 7, 8, 9]);
    let mut other = subscribed(earliest(&broker).group("other"), "t");
    assert_eq!(
        look(&mut other).len(),
        10,
        "groups do not affect one another"
    );
}

#[test]
fn a_commit_follows_a_seek() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).group("g").max_poll_records(4), "t");
    look(&mut consumer);
    for (position, next) in [
        (Position::Earliest, 4),
        (Position::Offset(5), 9),
        (Position::Latest, 10),
    ] {
        consumer.seek(&id("t", 0), position).unwrap();
        look(&mut consumer);
        consumer.commit().unwrap();
        let committed = consumer.committed(&id("t", 0)).unwrap();
        assert_eq!(committed, Some(next), "{position:?}");
    }
}

#[test]
fn commits_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for start in [0, 4, 8] {
        let broker = Broker::open(dir.path()).unwrap();
        if start == 0 {
            broker.create_topic("t", TopicConfig::default()).unwrap();
            append(&broker, "t", 0, 0..10);
        }
        let mut consumer = subscribed(earliest(&broker).group("g").max_poll_records(4), "t");
        assert_eq!(values(&look(&mut consumer))[0], start);
        consumer.commit().unwrap();
        drop(consumer);
        broker.close().unwrap();
    }
}

#[test]
fn explicit_offsets_are_committed_all_or_none() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    let mut consumer = subscribed(earliest(&broker).group("g"), "t");
    consumer
        .commit_offsets(&[(id("t", 0), 3), (id("t", 1), 0), (id("t", 0), 2)])
        .unwrap();
    assert_eq!(
        consumer.committed(&id("t", 0)).unwrap(),
        Some(2),
        "the last one counts"
    );
    assert_eq!(consumer.committed(&id("t", 1)).unwrap(), Some(0));
    let refused = consumer.commit_offsets(&[(id("t", 0), 4), (id("t", 2), 0)]);
    assert!(matches!(
        refused,
        Err(Error::UnknownPartition { partition: 2, .. })
    ));
    let refused = consumer.commit_offsets(&[(id("t", 0), 4), (id("missing", 0), 0)]);
    assert!(matches!(refused, Err(Error::UnknownTopic { .. })));
    let refused = consumer.commit_offsets(&[(id("t", 0), u64::MAX)]);
    assert!(matches!(refused, Err(Error::InvalidRecord { .. })));
    assert_eq!(consumer.committed(&id("t", 0)).unwrap(), Some(2));
    consumer.commit_offsets(&[(id("t", 0), 1)]).unwrap();
    assert_eq!(
        consumer.committed(&id("t", 0)).unwrap(),
        Some(1),
        "commits may go back"
    );
}

#[test]
fn without_a_group_there_is_nothing_to_commit_to() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    assert!(matches!(consumer.commit(), Err(Error::IllegalState(_))));
    assert!(matches!(
        consumer.committed(&id("t", 0)),
        Err(Error::IllegalState(_))
    ));
    consumer.close().unwrap();
}

/// A broker whose time is the test's.
fn broker_on(clock: &ManualClock) -> (Broker, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path())
        .clock(clock.clone())
        .background(false)
        .open()
        .unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    (broker, dir)
}

#[test]
fn automatic_commits_cover_earlier_polls_only_and_keep_their_interval() {
    let clock = ManualClock::new(0);
    let (broker, _dir) = broker_on(&clock);
    append(&broker, "t", 0, 0..10);
    let mut consumer = subscribed(earliest(&broker).group("g").max_poll_records(2), "t");
    let committed = |consumer: &Consumer| consumer.committed(&id("t", 0)).unwrap();
    look(&mut consumer);
    clock.advance(Duration::from_millis(4_999));
    look(&mut consumer);
    assert_eq!(committed(&consumer), None, "not due yet");
    clock.advance(Duration::from_millis(1));
    assert_eq!(values(&look(&mut consumer)), [4, 5]);
    assert_eq!(
        committed(&consumer),
        Some(4),
        "what this poll returned is not processed yet"
    );
    look(&mut consumer);
    assert_eq!(committed(&consumer), Some(4), "not due again");
    clock.advance(Duration::from_secs(5));
    look(&mut consumer);
    assert_eq!(committed(&consumer), Some(8));
}

#[test]
fn closing_commits_and_dropping_does_not() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let group = || earliest(&broker).group("g").max_poll_records(2);
    let mut consumer = subscribed(group(), "t");
    look(&mut consumer);
    drop(consumer);
    let mut consumer = subscribed(group(), "t");
    assert_eq!(values(&look(&mut consumer)), [0, 1]);
    consumer.close().unwrap();
    let mut consumer = subscribed(group().auto_commit(None), "t");
    assert_eq!(values(&look(&mut consumer)), [2, 3]);
    consumer.close().unwrap();
    assert_eq!(
        values(&look(&mut subscribed(group(), "t"))),
        [2, 3],
        "automatic commits were off"
    );
}

#[test]
fn a_commit_that_changes_nothing_writes_nothing() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..2);
    let mut consumer = subscribed(earliest(&broker).group("hello").auto_commit(None), "t");
    look(&mut consumer);
    consumer.commit().unwrap();
    let offsets_log = || {
        let topic = broker.topic("__consumer_offsets").unwrap();
        (0..50)
            .map(|number| topic.partition(number).unwrap().high_watermark())
            .sum::<u64>()
    };
    assert_eq!(offsets_log(), 2, "of the group, and of its offset");
    consumer.commit().unwrap();
    assert_eq!(offsets_log(), 2);
    // Where Kafka would look for the group.
    let home = partition(&broker, "__consumer_offsets", 99_162_322 % 50);
    assert_eq!(home.high_watermark(), 2);
}

#[test]
fn deleting_a_topic_forgets_what_was_committed_for_it() {
    let broker = broker_with("t", 1);
    broker.create_topic("kept", TopicConfig::default()).unwrap();
    let mut consumer = earliest(&broker).group("g").build().unwrap();
    consumer.subscribe(["t", "kept"]).unwrap();
    consumer
        .commit_offsets(&[(id("t", 0), 1), (id("kept", 0), 2)])
        .unwrap();
    broker.delete_topic("t").unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    assert_eq!(consumer.committed(&id("t", 0)).unwrap(), None);
    assert_eq!(consumer.committed(&id("kept", 0)).unwrap(), Some(2));
}

#[test]
fn a_durable_commit_makes_the_data_below_it_durable_first() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder(dir.path())
        .durability(Durability::Synced)
        .background(false);
    let broker = broker.open().unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 0..3);
    let mut consumer = subscribed(earliest(&broker).group("g"), "t");
    look(&mut consumer);
    consumer.commit().unwrap();
    let durable = |topic: &str, number: usize| {
        let topic = consumer.broker.topic(topic).unwrap();
        topic.partitions.load()[number].durable_end()
    };
    assert_eq!(durable("t", 0), 3);
    assert_eq!(
        (0..50)
            .map(|number| durable("__consumer_offsets", number))
            .sum::<u64>(),
        2,
        "of the group, and of its offset"
    );
}

#[test]
fn concurrent_commits_of_many_groups_all_count() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..100);
    std::thread::scope(|scope| {
        for group in 0..8 {
            let broker = broker.clone();
            scope.spawn(move || {
                let mut consumer = subscribed(earliest(&broker).group(format!("g{group}")), "t");
                for offset in 0..=100 {
                    consumer.commit_offsets(&[(id("t", 0), offset)]).unwrap();
                }
            });
        }
    });
    let consumer = broker.consumer().build().unwrap();
    let store = consumer.broker.offsets();
    assert_eq!(store.groups(&consumer.broker).unwrap().len(), 8);
    for group in 0..8 {
        let found = store
            .fetch(&consumer.broker, &format!("g{group}"), &id("t", 0))
            .unwrap();
        assert_eq!(found.unwrap().offset, 100);
    }
}
