//! The log changes while somebody looks for a place in it: another thread comes right before a file is mapped.

use std::sync::Arc;

use super::*;
use crate::CleanupPolicy;
use crate::sim::{Operation, SimDisk};

const FAR: i64 = 1_000;
const NEAR: i64 = 60;
const EARLY: i64 = 10;

/// Segments that hold batches of records with these times.
fn log_of(disk: &SimDisk, segments: &[&[&[i64]]]) -> (Broker, Partition) {
    let builder = Broker::builder("data").storage(disk.clone());
    let broker = builder.background(false).open().unwrap();
    let config = TopicConfig::default().cleanup_policy(CleanupPolicy::Delete);
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    let state = Arc::clone(&broker.consumer().build().unwrap().broker);
    let state = state.topic("t").unwrap().partitions.load_full();
    for batches in segments {
        state[0].begin_segment().unwrap();
        for times in *batches {
            let records = times
                .iter()
                .map(|time| Record::value_only("0").timestamp(*time));
            log.append(&records.collect::<Vec<_>>()).unwrap();
        }
    }
    (broker, log)
}

/// Deletes the records below `start` right before the segment of this base is mapped.
fn delete_before_mapping(disk: &SimDisk, log: &Partition, base: &'static str, start: Offset) {
    let log = log.clone();
    disk.before(Operation::Map, base, move || {
        log.delete_records(start).unwrap();
    });
}

#[test]
fn a_time_is_found_though_its_place_is_deleted_meanwhile() {
    let disk = SimDisk::new();
    let (_broker, log) = log_of(&disk, &[&[&[FAR, EARLY]], &[&[EARLY], &[EARLY], &[FAR]]]);
    log.delete_records(1).unwrap();
    delete_before_mapping(&disk, &log, "02.log", 4);
    assert_eq!(log.offset_for_timestamp(FAR).unwrap(), Some(4));
    assert_eq!(log.log_start_offset(), 4, "it was deleted");
}

#[test]
fn a_consumer_is_reset_again_if_the_start_goes_past_where_it_was_reset_to() {
    let disk = SimDisk::new();
    let (broker, log) = log_of(&disk, &[&[&[NEAR, EARLY]], &[&[NEAR], &[NEAR]]]);
    let policy = Position::Timestamp(NEAR);
    let mut consumer = subscribed(broker.consumer().auto_offset_reset(policy), "t");
    consumer.seek(&id("t", 0), Position::Offset(0)).unwrap();
    log.delete_records(1).unwrap();
    delete_before_mapping(&disk, &log, "02.log", 3);
    assert_eq!(offsets(&look(&mut consumer)), [3]);
    assert_eq!(log.log_start_offset(), 3, "it was deleted");
}

#[test]
fn what_is_below_the_start_is_not_looked_at_for_the_largest_time() {
    let disk = SimDisk::new();
    let (broker, log) = log_of(&disk, &[&[&[EARLY]], &[&[EARLY]], &[&[NEAR]]]);
    log.delete_records(2).unwrap();
    let cleaned = broker.clone();
    disk.before(Operation::Map, "00.log", move || {
        cleaned.run_housekeeping().unwrap();
    });
    let found = log.offset_of_max_timestamp().unwrap();
    let found = found.map(|found| (found.offset, found.timestamp));
    assert_eq!(found, Some((2, NEAR)));
}
