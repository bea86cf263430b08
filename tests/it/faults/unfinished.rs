//! What a failure left unfinished is finished, or in nobody's way: one fault each, or two.

use std::path::Path;
use std::time::Duration;

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, Error, ManualClock, Offset, TopicPartition};

use super::table::{Table, compacted};
use super::traces;
use crate::support::{self, DIR, START, append, partition, small_segments};

/// Input/output error.
const EIO: i32 = 5;
/// No space left on device.
const ENOSPC: i32 = 28;

fn filled(disk: &SimDisk) -> Broker {
    let broker = support::open(disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    for _ in 0..30 {
        append(&log, 1, 3).unwrap();
    }
    broker
}

#[test]
fn files_that_could_not_be_removed_go_when_the_broker_is_opened_again() {
    for operation in [Operation::Rename, Operation::Remove] {
        let disk = SimDisk::new();
        let broker = filled(&disk);
        disk.fail(Fault::os_error(operation, EIO).on_path("t-0").sticky());
        partition(&broker, "t", 0).delete_records(60).unwrap();
        broker.close().unwrap();
        disk.clear_faults();
        let broker = support::open(&disk).unwrap();
        assert!(broker.recovery_report().clean_shutdown);
        traces::assert_removed(&disk, &partition(&broker, "t", 0));
    }
}

#[test]
fn a_segment_that_is_finished_below_the_start_goes_with_the_close() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    let log = partition(&broker, "t", 0);
    log.delete_records(log.high_watermark()).unwrap();
    // The segment that was active then is finished by these.
    for _ in 0..10 {
        append(&log, 1, 3).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    let image = disk.image();
    let broker = support::open(&disk).unwrap();
    traces::assert_removed(&disk, &partition(&broker, "t", 0));
    broker.close().unwrap();
    for (path, _) in image.files() {
        let is_there = disk.read(&path).is_some();
        assert!(is_there, "{} went with the next open", path.display());
    }
}

#[test]
fn a_start_whose_manifest_was_in_doubt_has_its_files_removed_if_it_holds() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    disk.fail(Fault::os_error(Operation::SyncDir, EIO));
    let refused = partition(&broker, "t", 0).delete_records(60).unwrap_err();
    assert!(refused.is_indefinite(), "{refused:?}");
    broker.close().unwrap();
    let broker = support::open(&disk).unwrap();
    let log = partition(&broker, "t", 0);
    assert_eq!(log.log_start_offset(), 60);
    traces::assert_removed(&disk, &log);
}

/// A broker with a table whose segments are small and dirty, so that several become one.
fn dirty(disk: &SimDisk, clock: &ManualClock) -> (Broker, Table) {
    let broker = support::open_at(disk, clock).unwrap();
    broker.create_topic("table", compacted()).unwrap();
    let mut table = Table::new("table");
    for _ in 0..2 {
        broker.run_housekeeping().unwrap();
        for _ in 0..12 {
            let keys = [("a", true), ("b", true), ("c", true)];
            table.put(&broker, &keys).unwrap();
        }
    }
    (broker, table)
}

#[test]
fn what_compaction_replaced_and_could_not_remove_goes_with_the_next_pass() {
    let cases = [
        Fault::os_error(Operation::Remove, EIO).on_path(".deleted"),
        Fault::os_error(Operation::Remove, EIO)
            .on_path(".deleted")
            .after(2),
        // The first rename is the commit; then names are settled.
        Fault::os_error(Operation::Rename, EIO)
            .on_path("table-0")
            .after(1),
        Fault::os_error(Operation::Rename, EIO)
            .on_path("table-0")
            .after(4),
    ];
    for fault in cases {
        let disk = SimDisk::new();
        let clock = ManualClock::new(START);
        let (broker, mut table) = dirty(&disk, &clock);
        disk.fail(fault.clone().sticky());
        let _ = broker.run_housekeeping();
        assert!(disk.faults_struck() > 0, "{fault:?}");
        disk.clear_faults();
        // Nothing is dirty any more, and yet there is something to do.
        clock.advance(Duration::from_secs(1));
        broker.run_housekeeping().unwrap();
        assert!(broker.cleaning_failures().is_empty());
        traces::assert_none(&disk, Path::new(DIR));
        table.look(&broker, false);
    }
}

fn committed(broker: &Broker) -> Option<Offset> {
    let consumer = broker.consumer().group("g").build().unwrap();
    consumer.committed(&TopicPartition::new("t", 0)).unwrap()
}

#[test]
fn a_topic_inherits_no_commits_of_one_whose_deletion_failed_half_way() {
    for is_opened_again in [false, true] {
        let disk = SimDisk::new();
        let mut broker = filled(&disk);
        let id = TopicPartition::new("t", 0);
        broker.group("g").commit_offsets(&[(id, 3)]).unwrap();
        disk.fail(Fault::os_error(Operation::Write, ENOSPC).on_path("__consumer_offsets"));
        let failed = broker.delete_topic("t").unwrap_err();
        assert!(matches!(failed, Error::DiskFull { .. }), "{failed:?}");
        assert!(broker.topic("t").is_err());
        if is_opened_again {
            broker.close().unwrap();
            broker = support::open(&disk).unwrap();
        }
        broker.create_topic("t", small_segments()).unwrap();
        assert_eq!(committed(&broker), None);
    }
}

#[test]
fn a_topic_inherits_no_commits_of_one_whose_deletion_was_in_doubt() {
    let mut deletions = 0;
    for at in 0..4 {
        let disk = SimDisk::new();
        let broker = filled(&disk);
        let id = TopicPartition::new("t", 0);
        broker.group("g").commit_offsets(&[(id, 3)]).unwrap();
        disk.fail(Fault::os_error(Operation::SyncDir, EIO).after(at));
        let _ = broker.delete_topic("t");
        disk.clear_faults();
        // If it was the sync of offsets that failed, so does this.
        let _ = broker.close();
        let broker = support::open(&disk).unwrap();
        if broker.topic("t").is_err() {
            broker.create_topic("t", small_segments()).unwrap();
            assert_eq!(committed(&broker), None, "{at}");
            deletions += 1;
        }
    }
    assert!(deletions > 0);
}

#[test]
fn a_topic_whose_predecessors_commits_cannot_be_forgotten_is_not_made() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    let id = TopicPartition::new("t", 0);
    broker.group("g").commit_offsets(&[(id, 3)]).unwrap();
    let full = Fault::os_error(Operation::Write, ENOSPC).on_path("__consumer_offsets");
    disk.fail(full.sticky());
    broker.delete_topic("t").unwrap_err();
    let refused = broker.create_topic("t", small_segments()).map(drop);
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    disk.clear_faults();
    broker.create_topic("t", small_segments()).unwrap();
    assert_eq!(committed(&broker), None);
}

#[test]
fn a_topic_that_could_not_be_made_or_changed_is_as_before_for_the_next_process_too() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    disk.fail(Fault::os_error(Operation::Open, EIO).on_path("data/u-0/0"));
    let made = broker.create_topic("u", small_segments()).map(drop);
    disk.fail(Fault::os_error(Operation::Open, EIO).on_path("data/t-1/0"));
    let added = broker.add_partitions("t", 2);
    for failed in [made, added] {
        assert!(failed.unwrap_err().is_retryable());
        let next = support::open(&disk.duplicate()).unwrap();
        assert!(next.topic("u").is_err());
        assert_eq!(next.topic("t").unwrap().partition_count(), 1);
    }
}

#[test]
fn partitions_can_be_added_however_often_that_failed_before() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    for _ in 0..3 {
        // The new directory is made, and can neither be filled nor removed.
        disk.fail(
            Fault::os_error(Operation::Open, EIO)
                .on_path("data/t-1/")
                .after(1)
                .sticky(),
        );
        disk.fail(
            Fault::os_error(Operation::Remove, EIO)
                .on_path("data/t-1")
                .sticky(),
        );
        broker.add_partitions("t", 2).unwrap_err();
        disk.clear_faults();
        assert!(
            disk.image()
                .directories()
                .contains(&Path::new("data/t-1").to_path_buf())
        );
    }
    broker.add_partitions("t", 2).unwrap();
    append(&partition(&broker, "t", 1), 2, 1).unwrap();
    broker.close().unwrap();
    assert!(support::open(&disk).unwrap().recovery_report().is_clean());
}
