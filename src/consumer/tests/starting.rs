//! Where a consumer starts.

use super::*;
use crate::Error;

#[test]
fn a_new_group_starts_at_the_end_it_subscribed_at() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..3);
    let mut consumer = subscribed(broker.consumer().group("g"), "t");
    // Written between the subscription and the first poll: not missed.
    append(&broker, "t", 0, [3]);
    assert_eq!(values(&look(&mut consumer)), [3]);
}

#[test]
fn a_time_can_be_where_to_start() {
    let broker = broker_with("t", 1);
    let records: Vec<_> = [10, 20, 30]
        .map(|time| Record::value_only("0").timestamp(time))
        .into();
    partition(&broker, "t", 0).append(&records).unwrap();
    let policy = Position::Timestamp(20);
    let mut consumer = subscribed(broker.consumer().auto_offset_reset(policy), "t");
    assert_eq!(offsets(&look(&mut consumer)), [1, 2]);
}

#[test]
fn without_a_policy_nothing_is_chosen() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..3);
    let mut consumer = subscribed(broker.consumer().group("g").no_auto_offset_reset(), "t");
    for _ in 0..2 {
        let poll = consumer.poll(LONG);
        assert!(matches!(poll, Err(Error::NoCommittedOffset { group, .. }) if group == "g"));
    }
    consumer.seek(&id("t", 0), Position::Offset(1)).unwrap();
    assert_eq!(values(&look(&mut consumer)), [1, 2]);
}

#[test]
fn a_position_out_of_range_is_reset_by_the_policy() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..5);
    let mut consumer = subscribed(earliest(&broker), "t");
    consumer.seek(&id("t", 0), Position::Offset(100)).unwrap();
    assert_eq!(values(&look(&mut consumer)), [0, 1, 2, 3, 4]);

    let mut consumer = subscribed(broker.consumer(), "t");
    consumer.seek(&id("t", 0), Position::Offset(100)).unwrap();
    assert!(look(&mut consumer).is_empty());
    assert_eq!(consumer.position(&id("t", 0)).unwrap(), 5);

    let mut consumer = subscribed(broker.consumer().no_auto_offset_reset(), "t");
    consumer.seek(&id("t", 0), Position::Offset(100)).unwrap();
    let poll = consumer.poll(LONG);
    assert!(matches!(
        poll,
        Err(Error::OffsetOutOfRange {
            offset: 100,
            start: 0,
            end: 5,
            ..
        })
    ));
    assert_eq!(
        consumer.position(&id("t", 0)).unwrap(),
        100,
        "none never moves"
    );
}

#[test]
fn a_committed_offset_that_was_deleted_is_reset_by_the_policy() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..5);
    let mut consumer = subscribed(earliest(&broker).group("g"), "t");
    consumer.commit_offsets(&[(id("t", 0), 1)]).unwrap();
    partition(&broker, "t", 0).delete_records(3).unwrap();
    assert_eq!(values(&look(&mut consumer)), [3, 4]);
}

#[test]
fn partitions_added_while_the_group_was_away_are_read_from_their_start() {
    let broker = broker_with("t", 2);
    let mut consumer = subscribed(broker.consumer().group("g"), "t");
    look(&mut consumer);
    consumer.commit().unwrap();
    consumer.close().unwrap();
    broker.add_partitions("t", 3).unwrap();
    append(&broker, "t", 2, [7]);
    let mut consumer = subscribed(broker.consumer().group("g"), "t");
    assert_eq!(values(&look(&mut consumer)), [7]);
}
