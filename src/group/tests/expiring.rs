//! Offsets that nobody uses are forgotten, in time, and no others.

use std::time::Duration;

use super::states::broker_at;
use super::*;
use crate::{Error, ManualClock, Position};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// A day, less the time of one check.
const ALMOST_A_DAY: Duration = Duration::from_secs(24 * 60 * 60 - 600);

/// A disk and a clock, and a broker on them whose group `g` committed for `t`.
fn broker_with_group() -> (SimDisk, ManualClock, Broker) {
    let (disk, clock) = (SimDisk::new(), ManualClock::new(1_000_000));
    let broker = broker_at(&disk, &clock);
    let topic = broker.create_topic("t", TopicConfig::default().partitions(2));
    let records = [(); 5].map(|()| Record::value_only("v"));
    topic
        .unwrap()
        .partition(0)
        .unwrap()
        .append(&records)
        .unwrap();
    broker.group("g").commit_offsets(&[(id(0), 3)]).unwrap();
    (disk, clock, broker)
}

fn pass(clock: &ManualClock, broker: &Broker, time: Duration) {
    clock.advance(time);
    broker.run_housekeeping().unwrap();
}

fn record(broker: &Broker, group: &str, empty_since: Option<i64>) {
    let store = state(broker);
    let stored = store.offsets().record_state(&store, group, 1, empty_since);
    stored.unwrap();
}

#[test]
fn offsets_of_a_simple_group_expire_a_week_after_their_commit() {
    let (_, clock, broker) = broker_with_group();
    pass(&clock, &broker, DAY * 6);
    broker.group("g").commit_offsets(&[(id(1), 0)]).unwrap();
    pass(&clock, &broker, ALMOST_A_DAY);
    assert_eq!(broker.group("g").export().unwrap().len(), 2);
    pass(&clock, &broker, CHECK_INTERVAL);
    assert_eq!(broker.group("g").export().unwrap(), [(id(1), 0)]);
    pass(&clock, &broker, DAY * 6);
    assert_eq!(names(&state(&broker)), [""; 0]);
}

#[test]
fn expired_offsets_stay_away_after_a_restart() {
    let (disk, clock, broker) = broker_with_group();
    record(&broker, "g", Some(0));
    pass(&clock, &broker, DAY * 8);
    broker.close().unwrap();
    let broker = broker_at(&disk, &clock);
    assert_eq!(broker.groups().unwrap(), []);
    let described = broker.group("g").describe();
    assert!(matches!(described, Err(Error::UnknownGroup { .. })));
}

#[test]
fn offsets_of_a_group_with_a_member_do_not_expire() {
    let (_, clock, broker) = broker_with_group();
    let builder = broker.consumer().group("g").max_poll_interval(DAY * 365);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    pass(&clock, &broker, DAY * 30);
    pass(&clock, &broker, DAY * 30);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    drop(consumer);
    pass(&clock, &broker, DAY * 6);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    pass(&clock, &broker, DAY);
    assert_eq!(broker.group("g").export().unwrap(), []);
}

#[test]
fn a_group_that_became_empty_has_a_week_from_then_on() {
    let (_, clock, broker) = broker_with_group();
    record(&broker, "g", None);
    let consumer = broker.group("g").join(["t"]).unwrap();
    pass(&clock, &broker, DAY * 30);
    drop(consumer);
    record(&broker, "g", Some(clock_now(&clock)));
    pass(&clock, &broker, DAY * 6 + ALMOST_A_DAY);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    pass(&clock, &broker, CHECK_INTERVAL);
    assert_eq!(broker.groups().unwrap(), []);
}

fn clock_now(clock: &ManualClock) -> i64 {
    crate::Clock::wall(clock)
}

#[test]
fn a_group_that_died_with_its_process_has_a_week_after_a_long_pause() {
    let (disk, clock, broker) = broker_with_group();
    record(&broker, "g", None);
    broker.close().unwrap();
    clock.advance(DAY * 365);
    let broker = broker_at(&disk, &clock);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    pass(&clock, &broker, CHECK_INTERVAL);
    pass(&clock, &broker, DAY * 6);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    // It is written down since when: the time goes on to count after another restart.
    broker.close().unwrap();
    let broker = broker_at(&disk, &clock);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    pass(&clock, &broker, DAY);
    assert_eq!(broker.groups().unwrap(), []);
}

#[test]
fn a_commit_for_an_empty_group_counts_from_that_commit() {
    let (_, clock, broker) = broker_with_group();
    record(&broker, "g", Some(clock_now(&clock)));
    pass(&clock, &broker, DAY * 6);
    broker
        .group("g")
        .reset_offsets("t", Position::Earliest)
        .unwrap();
    pass(&clock, &broker, DAY * 6);
    assert_eq!(broker.group("g").export().unwrap().len(), 2);
    pass(&clock, &broker, DAY);
    assert_eq!(broker.groups().unwrap(), []);
}

#[test]
fn committing_the_same_offset_again_keeps_it() {
    let (_, clock, broker) = broker_with_group();
    let log = home(&state(&broker), "g");
    let end = log.high_watermark();
    for _ in 0..24 * 10 {
        broker.group("g").commit_offsets(&[(id(0), 3)]).unwrap();
        pass(&clock, &broker, Duration::from_secs(3600));
    }
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 3)]);
    let written = log.high_watermark() - end;
    assert_eq!(written, 24 * 10 - 1, "once an hour");
    for _ in 0..100 {
        clock.advance(Duration::from_secs(1));
        broker.group("g").commit_offsets(&[(id(0), 3)]).unwrap();
    }
    assert!(log.high_watermark() - end <= written + 1);
}

#[test]
fn topics_that_a_live_group_gave_up_expire() {
    let (_, clock, broker) = broker_with_group();
    broker.create_topic("u", TopicConfig::default()).unwrap();
    let given_up = TopicPartition::new("u", 0);
    let group = broker.group("g");
    group.commit_offsets(&[(given_up.clone(), 0)]).unwrap();
    let builder = broker.consumer().group("g").max_poll_interval(DAY * 365);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    pass(&clock, &broker, DAY * 8);
    assert_eq!(group.export().unwrap(), [(id(0), 3)]);
}

#[test]
fn nothing_expires_without_a_retention_time() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new(0));
    let builder = Broker::builder("data").storage(disk).background(false);
    let broker = builder
        .clock(clock.clone())
        .offsets_retention(None)
        .open()
        .unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    broker.group("g").commit_offsets(&[(id(0), 0)]).unwrap();
    pass(&clock, &broker, DAY * 1000);
    assert_eq!(broker.group("g").export().unwrap(), [(id(0), 0)]);
}

#[test]
fn a_retention_time_of_nothing_is_refused() {
    let builder = Broker::builder("data").storage(SimDisk::new());
    let opened = builder.offsets_retention(Some(Duration::ZERO)).open();
    assert!(
        matches!(opened, Err(Error::InvalidConfig { key, .. }) if key == "offsets.retention.minutes")
    );
}

#[test]
fn looking_for_expired_offsets_reads_no_log() {
    let (disk, clock, broker) = broker_with_group();
    broker.close().unwrap();
    let broker = broker_at(&disk, &clock);
    pass(&clock, &broker, DAY * 30);
    let store = state(&broker);
    assert!(store.offsets().logs().is_empty());
    assert_eq!(broker.group("other").export().unwrap(), []);
    pass(&clock, &broker, DAY);
    // Only what lives beside `other` is in memory.
    assert_eq!(fetch(&store, "g", 0), Some(3));
}

#[test]
fn damage_and_a_full_disk_stop_the_check_of_nothing_else() {
    let (disk, clock, broker) = broker_with_group();
    broker.group("other").commit_offsets(&[(id(0), 3)]).unwrap();
    broker.close().unwrap();
    damage_home(&disk, "g");
    let broker = broker_at(&disk, &clock);
    assert!(broker.groups().is_err());
    assert_eq!(broker.group("other").export().unwrap(), [(id(0), 3)]);
    pass(&clock, &broker, DAY * 8);
    assert_eq!(broker.group("other").export().unwrap(), []);
    let damaged = broker.group("g").export();
    assert!(matches!(damaged, Err(Error::Corrupt { .. })));
}

#[test]
fn the_background_thread_forgets_too() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new(0));
    let builder = Broker::builder("data").storage(disk).clock(clock.clone());
    let broker = builder.open().unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    broker.group("g").commit_offsets(&[(id(0), 0)]).unwrap();
    let store = state(&broker);
    // The thread looks now and then whether the clock was moved.
    clock.advance(DAY * 8);
    store.due_at(Duration::ZERO);
    let started = std::time::Instant::now();
    while !names(&store).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}
