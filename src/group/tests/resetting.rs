//! Where a reset leads, and that a plan is what is carried out.

use std::time::Duration;

use super::states::broker_at;
use super::*;
use crate::{Clamped, Error, ManualClock, OffsetReset, Position, ResetOffset};

/// A broker whose topic `t` holds ten records in partition 0, one a second from time 0, the first two
/// of them deleted; partition 1 holds none. The clock stands at ten seconds.
fn broker_with_records() -> Broker {
    let broker = broker_at(&SimDisk::new(), &ManualClock::new(10_000));
    let topic = broker.create_topic("t", TopicConfig::default().partitions(2));
    let partition = topic.unwrap().partition(0).unwrap();
    for second in 0..10 {
        let record = Record::value_only("v").timestamp(second * 1_000);
        partition.append(&[record]).unwrap();
    }
    partition.delete_records(2).unwrap();
    broker
}

/// Where partition 0 would go on, checked against doing it.
fn reset(broker: &Broker, to: OffsetReset) -> (u64, Option<Clamped>) {
    let group = broker.group("g");
    let planned = group.plan_reset_partitions(&[id(0)], to).unwrap();
    assert_eq!(
        group.export().unwrap(),
        [(id(0), 5)],
        "a plan writes nothing"
    );
    assert_eq!(planned[0].from, Some(5));
    assert_eq!(group.reset_partitions(&[id(0)], to).unwrap(), planned);
    assert_eq!(group.export().unwrap(), [(id(0), planned[0].to)]);
    group.commit_offsets(&[(id(0), 5)]).unwrap();
    (planned[0].to, planned[0].clamped)
}

#[test]
fn every_strategy_leads_where_kafkas_tool_leads() {
    let broker = broker_with_records();
    broker.group("g").commit_offsets(&[(id(0), 5)]).unwrap();
    let (start, end) = (Some(Clamped::ToStart), Some(Clamped::ToEnd));
    for (to, expected) in [
        (Position::Earliest.into(), (2, None)),
        (Position::Latest.into(), (10, None)),
        (Position::Offset(4).into(), (4, None)),
        (Position::Offset(2).into(), (2, None)),
        (Position::Offset(10).into(), (10, None)),
        (Position::Offset(1).into(), (2, start)),
        (Position::Offset(11).into(), (10, end)),
        (Position::Offset(u64::MAX).into(), (10, end)),
        (Position::Timestamp(6_500).into(), (7, None)),
        (Position::Timestamp(0).into(), (2, None)),
        (Position::Timestamp(60_000).into(), (10, None)),
        (OffsetReset::ShiftBy(3), (8, None)),
        (OffsetReset::ShiftBy(0), (5, None)),
        (OffsetReset::ShiftBy(-3), (2, None)),
        (OffsetReset::ShiftBy(-4), (2, start)),
        (OffsetReset::ShiftBy(6), (10, end)),
        (OffsetReset::ShiftBy(i64::MIN), (2, start)),
        (OffsetReset::ShiftBy(i64::MAX), (10, end)),
        (OffsetReset::ByDuration(Duration::from_secs(3)), (7, None)),
        (OffsetReset::ByDuration(Duration::ZERO), (10, None)),
        (OffsetReset::ByDuration(Duration::MAX), (2, None)),
        (OffsetReset::ToCurrent, (5, None)),
    ] {
        assert_eq!(reset(&broker, to), expected, "{to:?}");
    }
}

#[test]
fn a_reset_moves_every_partition_of_its_topic_and_makes_the_group() {
    let broker = broker_with_records();
    let group = broker.group("new");
    let done = group.reset_offsets("t", Position::Earliest).unwrap();
    let to: Vec<_> = done
        .iter()
        .map(|reset| (reset.partition.clone(), reset.from, reset.to))
        .collect();
    assert_eq!(to, [(id(0), None, 2), (id(1), None, 0)]);
    assert_eq!(group.export().unwrap(), [(id(0), 2), (id(1), 0)]);
    let mut consumer = group.join(["t"]).unwrap();
    assert_eq!(consumer.position(&id(0)).unwrap(), 2);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 8);
}

#[test]
fn current_is_the_end_where_nothing_is_committed_and_the_nearest_place_otherwise() {
    let broker = broker_with_records();
    let group = broker.group("g");
    let planned = |expected: (Option<u64>, u64, Option<Clamped>)| {
        let planned = group.plan_reset("t", OffsetReset::ToCurrent).unwrap();
        let ResetOffset {
            from, to, clamped, ..
        } = planned[0];
        assert_eq!((from, to, clamped), expected);
    };
    planned((None, 10, None));
    group.commit_offsets(&[(id(0), 1)]).unwrap();
    planned((Some(1), 2, Some(Clamped::ToStart)));
    group.commit_offsets(&[(id(0), 11)]).unwrap();
    planned((Some(11), 10, Some(Clamped::ToEnd)));
}

#[test]
fn shifting_needs_an_offset_to_shift_and_changes_nothing_without() {
    let broker = broker_with_records();
    let group = broker.group("g");
    group.commit_offsets(&[(id(0), 5)]).unwrap();
    let refused = group.reset_offsets("t", OffsetReset::ShiftBy(1));
    assert!(
        matches!(&refused, Err(Error::NoCommittedOffset { partition, .. }) if *partition == id(1)),
        "{refused:?}"
    );
    assert_eq!(group.export().unwrap(), [(id(0), 5)]);
}

#[test]
fn what_does_not_exist_cannot_be_reset() {
    let broker = broker_with_records();
    let group = broker.group("g");
    let topic = group.reset_offsets("nothing", Position::Earliest);
    assert!(matches!(topic, Err(Error::UnknownTopic { .. })));
    let partition = group.reset_partitions(&[id(0), id(2)], Position::Earliest);
    assert!(matches!(partition, Err(Error::UnknownPartition { .. })));
    assert!(group.export().unwrap().is_empty());
    assert_eq!(group.reset_partitions(&[], Position::Earliest).unwrap(), []);
}

#[test]
fn partitions_are_answered_in_order_and_once() {
    let broker = broker_with_records();
    let asked = [id(1), id(0), id(1)];
    let done = broker
        .group("g")
        .reset_partitions(&asked, Position::Latest)
        .unwrap();
    let partitions: Vec<_> = done.iter().map(|reset| &reset.partition).collect();
    assert_eq!(partitions, [&id(0), &id(1)]);
}

#[test]
fn a_plan_can_be_made_while_members_are_live() {
    let broker = broker_with_records();
    let group = broker.group("g");
    let consumer = group.join(["t"]).unwrap();
    let planned = group.plan_reset("t", Position::Earliest).unwrap();
    assert_eq!(planned.len(), 2);
    drop(consumer);
    assert_eq!(
        group.reset_offsets("t", Position::Earliest).unwrap(),
        planned
    );
}
