//! What a failure left unfinished is finished, or in nobody's way: one fault each, or two.

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::Broker;

use super::traces;
use crate::support::{self, append, partition, small_segments};

/// Input/output error.
const EIO: i32 = 5;

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
fn a_start_whose_manifest_was_in_doubt_has_its_files_removed_after_a_clean_close() {
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
