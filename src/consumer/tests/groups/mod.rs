//! Members of one group: who gets what, when, and what happens to those who go away.

mod listening;
mod starting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::{Error, ManualClock, Range, RebalanceListener, Result, RoundRobin};

const INTERVAL: Duration = Duration::from_secs(10);

fn member_of(broker: &Broker, group: &str) -> ConsumerBuilder {
    earliest(broker)
        .group(group)
        .max_poll_interval(INTERVAL)
        .auto_commit(None)
}

fn join(broker: &Broker, topic: &str) -> Consumer {
    subscribed(member_of(broker, "g"), topic)
}

/// Polls all of them in turn until nobody's assignment changes any more.
fn settle(consumers: &mut [&mut Consumer]) {
    let mut rounds = 0;
    loop {
        let before: Vec<_> = consumers
            .iter()
            .map(|consumer| consumer.assignment())
            .collect();
        for consumer in &mut *consumers {
            look(consumer);
        }
        let after = consumers.iter().map(|consumer| consumer.assignment());
        if after.eq(before) {
            return;
        }
        rounds += 1;
        assert!(rounds < 10, "it never settles");
    }
}

fn numbers(consumer: &Consumer) -> Vec<u32> {
    let assignment = consumer.assignment();
    assignment.iter().map(TopicPartition::partition).collect()
}

/// On a clock of its own, without a background thread.
fn broker_on(clock: &ManualClock, partitions: u32) -> Broker {
    let broker = Broker::builder("memory")
        .storage(crate::sim::SimDisk::new())
        .clock(clock.clone())
        .background(false)
        .open()
        .unwrap();
    let config = TopicConfig::default().partitions(partitions);
    broker.create_topic("t", config).unwrap();
    broker
}

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log {
    told: Arc<Mutex<Vec<String>>>,
    commits: bool,
    fails: Arc<AtomicBool>,
}

impl Log {
    fn note(&self, what: &str, partitions: &[TopicPartition]) -> Result<()> {
        let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        let line = format!("{what} {}", partitions.join(" "));
        self.told.lock().push(line);
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::IllegalState("the listener's own"));
        }
        Ok(())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock())
    }
}

impl RebalanceListener for Log {
    fn assigned(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.note("assigned", partitions)
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        if self.commits {
            consumer.commit()?;
        }
        assert!(matches!(
            consumer.poll(Duration::ZERO),
            Err(Error::IllegalState(_))
        ));
        self.note("revoked", partitions)
    }

    fn lost(&mut self, _: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.note("lost", partitions)
    }
}

#[test]
fn members_share_the_partitions_and_each_record_comes_once() {
    let broker = broker_with("t", 6);
    for number in 0..6 {
        append(&broker, "t", number, 0..10);
    }
    let mut members = [(); 3].map(|()| join(&broker, "t"));
    let [a, b, c] = &mut members;
    // Before anybody reads: what moves was not read by its first owner.
    a.pause(&a.assignment()).unwrap();
    settle(&mut [a, b, c]);
    a.resume(&a.assignment()).unwrap();
    let mut seen: BTreeMap<_, u32> = BTreeMap::new();
    for member in &mut members {
        assert_eq!(member.assignment().len(), 2);
        member
            .seek(&member.assignment()[0], Position::Earliest)
            .unwrap();
        member
            .seek(&member.assignment()[1], Position::Earliest)
            .unwrap();
        for record in &look(member) {
            *seen
                .entry((record.partition(), record.offset()))
                .or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn automatic_commits_come_before_a_partition_is_handed_over() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..5);
    let builder = || member_of(&broker, "g").auto_commit(Some(Duration::from_secs(3600)));
    let mut first = subscribed(builder(), "t");
    assert_eq!(look(&mut first).len(), 10);
    let mut second = subscribed(builder(), "t");
    settle(&mut [&mut first, &mut second]);
    assert_eq!(
        (first.assignment().len(), second.assignment().len()),
        (1, 1)
    );
    let moved = second.assignment()[0].clone();
    assert_eq!(second.committed(&moved).unwrap(), Some(5));
    assert_eq!(second.position(&moved).unwrap(), 5);
}

#[test]
fn who_lost_a_partition_cannot_commit_for_it() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..5);
    let (mut first, mut second) = (join(&broker, "t"), join(&broker, "t"));
    look(&mut first);
    settle(&mut [&mut first, &mut second]);
    let moved = second.assignment()[0].clone();
    second.commit_offsets(&[(moved.clone(), 3)]).unwrap();
    let kept = first.assignment()[0].clone();
    let refused = first.commit_offsets(&[(kept.clone(), 2), (moved.clone(), 1)]);
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert_eq!(first.committed(&moved).unwrap(), Some(3));
    assert_eq!(first.committed(&kept).unwrap(), None, "all or nothing");
    first.commit_offsets(&[(kept, 2)]).unwrap();
}

#[test]
fn a_group_with_members_takes_no_commits_from_outside() {
    let broker = broker_with("t", 1);
    let member = join(&broker, "t");
    let mut outsider = member_of(&broker, "g").build().unwrap();
    outsider.assign(&[id("t", 0)]).unwrap();
    let refused = outsider.commit_offsets(&[(id("t", 0), 0)]);
    assert!(matches!(
        refused,
        Err(Error::GroupNotEmpty { members: 1, .. })
    ));
    drop(member);
    outsider.commit_offsets(&[(id("t", 0), 0)]).unwrap();
}

#[test]
fn who_does_not_poll_is_fenced_and_joins_again() {
    let clock = ManualClock::new(0);
    let broker = broker_on(&clock, 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..5);
    let (mut slow, mut quick) = (join(&broker, "t"), join(&broker, "t"));
    let log = Log::default();
    slow.on_rebalance(log.clone());
    settle(&mut [&mut slow, &mut quick]);
    log.take();
    let former = slow.member_id().unwrap().to_owned();
    clock.advance(INTERVAL / 2);
    look(&mut quick);
    clock.advance(INTERVAL / 2);
    broker.run_housekeeping().unwrap();
    assert!(matches!(slow.commit(), Err(Error::Fenced { .. })));
    look(&mut quick);
    assert_eq!(numbers(&quick), [0, 1]);

    assert!(
        look(&mut slow).is_empty(),
        "a fenced member delivers nothing"
    );
    assert_ne!(slow.member_id().unwrap(), former);
    settle(&mut [&mut slow, &mut quick]);
    assert_eq!((numbers(&slow).len(), numbers(&quick).len()), (1, 1));
    let told = log.take();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("lost t-") && told[1].starts_with("assigned t-"),
        "{told:?}"
    );
}

#[test]
fn who_waits_in_a_poll_is_not_late() {
    let broker = broker_with("t", 1);
    let short = Duration::from_millis(1);
    let mut consumer = subscribed(member_of(&broker, "g").max_poll_interval(short), "t");
    let former = consumer.member_id().unwrap().to_owned();
    let records = consumer.poll(short * 50).unwrap();
    assert!(records.is_empty());
    // The poll joins again if it was late on its way here.
    let during = consumer.member_id().unwrap().to_owned();
    assert!(during == former || consumer.assignment().len() == 1);
    assert!(consumer.poll(short * 50).unwrap().is_empty());
}

#[test]
fn a_waiting_poll_takes_over_from_a_member_that_goes_away() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..5);
    append(&broker, "t", 1, 0..5);
    for panics in [false, true] {
        let leaver = join(&broker, "t");
        let mut waiter = join(&broker, "t");
        let thread = std::thread::spawn(move || {
            let _leaver = leaver;
            if panics {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        });
        let mut seen = 0;
        while seen < 10 {
            seen += waiter.poll(LONG).unwrap().len();
        }
        assert_eq!(thread.join().is_err(), panics);
        drop(waiter);
    }
}

#[test]
fn nothing_of_a_partition_is_delivered_after_it_was_revoked() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..100);
    append(&broker, "t", 1, 0..100);
    let mut first = subscribed(member_of(&broker, "g").max_poll_records(10), "t");
    look(&mut first);
    let mut second = join(&broker, "t");
    for _ in 0..30 {
        for record in &look(&mut first) {
            let owner = first.assignment().contains(&id("t", record.partition()));
            assert!(owner, "of {} after its revocation", record.partition());
        }
        look(&mut second);
    }
    assert_eq!(numbers(&second).len(), 1);
}

#[test]
fn a_partition_that_stays_is_read_on_without_a_pause() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..100);
    append(&broker, "t", 1, 0..100);
    let mut first = subscribed(member_of(&broker, "g").max_poll_records(10), "t");
    first.pause(&[id("t", 0), id("t", 1)]).unwrap();
    look(&mut first);
    let mut second = join(&broker, "t");
    settle(&mut [&mut first, &mut second]);
    let kept = first.assignment();
    assert_eq!(first.paused(), kept, "a pause outlives the rebalance");
    first.resume(&kept).unwrap();
    assert_eq!(values(&look(&mut first)), (0..10).collect::<Vec<_>>());
    let third = join(&broker, "t");
    assert_eq!(values(&look(&mut first)), (10..20).collect::<Vec<_>>());
    drop(third);
    assert_eq!(values(&look(&mut first)), (20..30).collect::<Vec<_>>());
}

#[test]
fn who_cannot_join_again_reads_nothing() {
    let clock = ManualClock::new(0);
    let broker = broker_on(&clock, 2);
    append(&broker, "t", 0, 0..5);
    let mut late = join(&broker, "t");
    clock.advance(INTERVAL);
    broker.run_housekeeping().unwrap();
    let other = subscribed(member_of(&broker, "g").assignor(Range), "t");
    for _ in 0..2 {
        broker
            .create_topic(
                &format!("u-{:?}", late.assignment().len()),
                TopicConfig::default(),
            )
            .ok();
        let refused = late.poll(Duration::ZERO);
        assert!(matches!(
            refused,
            Err(Error::InconsistentGroupProtocol { .. })
        ));
        assert!(late.assignment().is_empty());
        assert!(matches!(late.commit(), Err(Error::Fenced { .. })));
    }
    drop(other);
    assert_eq!(
        look(&mut late).len(),
        5,
        "when it can, it is a member again"
    );
}

#[test]
fn a_static_member_comes_back_to_its_place_and_fences_its_double() {
    let clock = ManualClock::new(0);
    let broker = broker_on(&clock, 4);
    let named = |name: &str| member_of(&broker, "g").group_instance_id(name);
    let (mut a, mut b) = (subscribed(named("a"), "t"), subscribed(named("b"), "t"));
    settle(&mut [&mut a, &mut b]);
    let place = a.assignment();
    a.close().unwrap();
    look(&mut b);
    assert_eq!(b.assignment().len(), 2, "its place is kept");
    let mut again = subscribed(named("a"), "t");
    assert_eq!(again.assignment(), place);
    let double = subscribed(named("a"), "t");
    for _ in 0..2 {
        assert!(matches!(
            again.poll(Duration::ZERO),
            Err(Error::Fenced { .. })
        ));
        assert!(matches!(again.commit(), Err(Error::Fenced { .. })));
    }
    assert_eq!(double.assignment(), place);
    drop((again, double));
    clock.advance(Duration::from_secs(44));
    look(&mut b);
    broker.run_housekeeping().unwrap();
    look(&mut b);
    assert_eq!(b.assignment().len(), 2);
    clock.advance(Duration::from_secs(1));
    broker.run_housekeeping().unwrap();
    look(&mut b);
    assert_eq!(b.assignment().len(), 4, "its session is over");
}

#[test]
fn all_members_use_one_assignor_and_each_divides_as_kafka_does() {
    let broker = broker_with("t", 3);
    let mut a = subscribed(member_of(&broker, "g").assignor(Range), "t");
    let refused = member_of(&broker, "g")
        .assignor(RoundRobin)
        .build()
        .unwrap()
        .subscribe(["t"]);
    assert!(matches!(
        refused,
        Err(Error::InconsistentGroupProtocol { .. })
    ));
    let mut b = subscribed(member_of(&broker, "g").assignor(Range), "t");
    settle(&mut [&mut a, &mut b]);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1], vec![2]));
    let mut c = subscribed(member_of(&broker, "other").assignor(RoundRobin), "t");
    let mut d = subscribed(member_of(&broker, "other").assignor(RoundRobin), "t");
    settle(&mut [&mut c, &mut d]);
    assert_eq!((numbers(&c), numbers(&d)), (vec![0, 2], vec![1]));
}

#[test]
fn groups_do_not_affect_one_another() {
    let broker = broker_with("t", 2);
    append(&broker, "t", 0, 0..3);
    let mut consumers = ["g1", "g2", "g3"].map(|group| subscribed(member_of(&broker, group), "t"));
    for consumer in &mut consumers {
        assert_eq!(consumer.assignment().len(), 2);
        assert_eq!(look(consumer).len(), 3);
        consumer.commit().unwrap();
    }
}

#[test]
fn poll_waits_for_fetch_min_bytes_but_not_for_ever() {
    let broker = broker_with("t", 1);
    append(&broker, "t", 0, 0..10);
    let builder = member_of(&broker, "g")
        .fetch_min_bytes(1 << 20)
        .fetch_max_wait(Duration::from_millis(20));
    let mut consumer = subscribed(builder, "t");
    let start = std::time::Instant::now();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 10);
    assert!(start.elapsed() >= Duration::from_millis(20));
    append(&broker, "t", 0, 10..20);
    assert_eq!(
        consumer.poll(Duration::ZERO).unwrap().len(),
        10,
        "it may not wait"
    );

    let builder = member_of(&broker, "h")
        .fetch_min_bytes(200)
        .fetch_max_wait(LONG);
    let mut consumer = subscribed(builder, "t");
    consumer.seek(&id("t", 0), Position::Latest).unwrap();
    let other = broker.clone();
    let thread = std::thread::spawn(move || {
        for value in 0..200 {
            append(&other, "t", 0, value..=value);
        }
    });
    let records = consumer.poll(LONG).unwrap();
    assert!(records.len() > 1, "one record alone is not 200 bytes");
    thread.join().unwrap();
}

#[test]
fn a_commit_need_not_wait_for_the_device() {
    let broker = Broker::builder("memory")
        .storage(crate::sim::SimDisk::new())
        .durability(crate::Durability::Synced)
        .open()
        .unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&broker, "t", 0, 0..3);
    let mut consumer = join(&broker, "t");
    look(&mut consumer);
    let receipt = consumer.commit_async().unwrap();
    assert_eq!(
        consumer.committed(&id("t", 0)).unwrap(),
        Some(3),
        "in force at once"
    );
    receipt.wait().unwrap();
    let receipt = consumer.commit_offsets_async(&[(id("t", 0), 1)]).unwrap();
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let mut receipt = std::pin::pin!(receipt);
    while receipt.as_mut().poll(&mut context).is_pending() {
        std::thread::yield_now();
    }
    assert!(receipt.is_done());
    assert_eq!(consumer.committed(&id("t", 0)).unwrap(), Some(1));
}
