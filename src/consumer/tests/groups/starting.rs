//! Where the members of a group begin, whoever of them it is.

use super::*;

#[test]
fn the_next_owner_starts_where_the_last_one_committed() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let mut first = subscribed(member_of(&broker, "g").max_poll_records(4), "t");
    assert_eq!(values(&look(&mut first)), [0, 1, 2, 3]);
    first.commit().unwrap();
    assert_eq!(values(&look(&mut first)), [4, 5, 6, 7]);
    let mut second = join(&broker, "t");
    assert!(look(&mut second).is_empty(), "the other one is its owner");
    drop(first);
    assert_eq!(values(&look(&mut second)), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn new_partitions_topics_and_matches_are_handed_out_by_themselves() {
    let broker = broker_with("orders-eu", 2);
    let builder = || member_of(&broker, "g").auto_offset_reset(Position::Latest);
    let mut members = [(); 2].map(|()| {
        let mut member = builder().build().unwrap();
        member.subscribe_pattern("orders-.*").unwrap();
        member
    });
    let [a, b] = &mut members;
    settle(&mut [a, b]);
    broker.add_partitions("orders-eu", 4).unwrap();
    let config = TopicConfig::default().partitions(2);
    broker.create_topic("orders-us", config.clone()).unwrap();
    broker.create_topic("other", config).unwrap();
    append(&broker, "orders-us", 1, 0..3);
    append(&broker, "orders-eu", 3, 0..3);
    let mut seen = 0;
    for _ in 0..5 {
        seen += look(a).len() + look(b).len();
    }
    assert_eq!((a.assignment().len(), b.assignment().len()), (3, 3));
    assert_eq!(seen, 6, "what is new is read from its beginning");
    assert_eq!(a.subscription(), ["orders-eu", "orders-us"]);
}

#[test]
fn a_sleeping_member_learns_of_new_partitions() {
    let broker = broker_with("t", 1);
    let mut consumer = join(&broker, "t");
    let other = broker.clone();
    let thread = std::thread::spawn(move || {
        other.add_partitions("t", 2).unwrap();
        append(&other, "t", 1, 0..1);
    });
    assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    thread.join().unwrap();
}

#[test]
fn a_deleted_topic_is_lost_and_a_new_one_of_its_name_is_another() {
    let broker = broker_with("t", 1);
    broker.create_topic("u", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 0..3);
    let mut consumer = member_of(&broker, "g").build().unwrap();
    consumer.subscribe(["t", "u"]).unwrap();
    let log = Log::default();
    consumer.on_rebalance(log.clone());
    assert_eq!(look(&mut consumer).len(), 3);
    broker.delete_topic("t").unwrap();
    consumer.commit().unwrap();
    look(&mut consumer);
    assert_eq!(log.take(), ["assigned t-0 u-0", "lost t-0"]);
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 7..9);
    assert_eq!(values(&look(&mut consumer)), [7, 8]);
    broker.delete_topic("t").unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 5..7);
    assert_eq!(
        values(&look(&mut consumer)),
        [5, 6],
        "even if it never saw it gone"
    );
}

#[test]
fn a_new_group_that_loses_its_owner_before_a_commit_skips_nothing() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..3);
    let builder = || member_of(&broker, "g").auto_offset_reset(Position::Latest);
    let mut first = subscribed(builder(), "t");
    let mut second = subscribed(builder(), "t");
    look(&mut first);
    append(&broker, "t", 0, 3..5);
    drop(first);
    assert_eq!(values(&look(&mut second)), [3, 4]);
}

#[test]
fn a_new_group_skips_nothing_when_a_partition_moves_before_its_first_poll() {
    for leaves in [false, true] {
        let broker = broker_with("t", 2);
        append(&broker, "t", 0, 0..3);
        let builder = || member_of(&broker, "g").auto_offset_reset(Position::Latest);
        let mut first = subscribed(builder(), "t");
        let mut second = subscribed(builder(), "t");
        append(&broker, "t", 0, 3..5);
        append(&broker, "t", 1, 5..7);
        let mut seen = Vec::new();
        if leaves {
            drop(first);
            seen.extend(values(&look(&mut second)));
        } else {
            for _ in 0..2 {
                seen.extend(values(&look(&mut first)));
                seen.extend(values(&look(&mut second)));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [3, 4, 5, 6], "leaves: {leaves}");
    }
}

#[test]
fn where_a_deleted_topic_began_means_nothing_for_its_successor() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..100);
    let builder = || member_of(&broker, "g").auto_offset_reset(Position::Latest);
    let mut consumer = subscribed(builder(), "t");
    look(&mut consumer);
    for seen in [true, false] {
        broker.delete_topic("t").unwrap();
        if seen {
            look(&mut consumer);
        }
        broker.create_topic("t", TopicConfig::default()).unwrap();
        append(&broker, "t", 0, 0..200);
        assert_eq!(look(&mut consumer).len(), 200, "seen: {seen}");
    }
    let another = builder();
    broker.delete_topic("t").unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 0..3);
    let mut another = subscribed(another, "t");
    drop(consumer);
    assert_eq!(look(&mut another).len(), 3, "it is younger than the group");
}

#[test]
fn a_new_topic_is_read_from_its_beginning_whoever_notices_it_first() {
    let broker = broker_with("t-old", 1);
    let pattern = || {
        let builder = member_of(&broker, "g").auto_offset_reset(Position::Latest);
        let mut consumer = builder.build().unwrap();
        consumer.subscribe_pattern("t-.*").unwrap();
        consumer
    };
    let mut first = pattern();
    look(&mut first);
    broker
        .create_topic("t-new", TopicConfig::default())
        .unwrap();
    append(&broker, "t-new", 0, 0..3);
    let mut second = pattern();
    let seen: usize = (0..3)
        .map(|_| look(&mut first).len() + look(&mut second).len())
        .sum();
    assert_eq!(seen, 3);
}

#[test]
fn one_partition_without_a_start_does_not_keep_the_others_from_being_read() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 1, 0..5);
    broker
        .group("g")
        .commit_offsets(&[(id("t", 1), 0)])
        .unwrap();
    let mut consumer = subscribed(member_of(&broker, "g").no_auto_offset_reset(), "t");
    assert_eq!(look(&mut consumer).len(), 5);
    let missing = consumer.poll(Duration::ZERO);
    assert!(matches!(missing, Err(Error::NoCommittedOffset { .. })));
}

#[test]
fn a_start_can_be_some_time_ago() {
    let clock = ManualClock::new(1_000_000);
    let broker = broker_on(&clock, 1);
    append(&broker, "t", 0, 0..1);
    clock.advance(Duration::from_secs(60));
    append(&broker, "t", 0, 1..2);
    clock.advance(Duration::from_secs(30));
    let builder = broker
        .consumer()
        .auto_offset_reset_by_duration(Duration::from_secs(45));
    assert_eq!(values(&look(&mut subscribed(builder, "t"))), [1]);
}

#[test]
fn a_partition_that_moves_before_its_first_commit_is_not_taken_for_a_new_one() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..3);
    append(&broker, "t", 1, 0..3);
    let builder = || member_of(&broker, "g").auto_offset_reset(Position::Latest);
    let mut first = subscribed(builder(), "t");
    look(&mut first);
    first.commit_offsets(&[(id("t", 0), 3)]).unwrap();
    let mut second = subscribed(builder(), "t");
    append(&broker, "t", 1, 3..5);
    drop(first);
    assert_eq!(values(&look(&mut second)), [3, 4]);
}
