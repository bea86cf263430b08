//! What goes wrong on the way: refused places, full and failing disks, crashes at every operation.

use std::io::ErrorKind;
use std::path::Path;

use streamlog::sim::{CrashPlan, Fault, Operation, SimDisk};
use streamlog::{Broker, Error, Partition};

use super::{BACKUP, SALT, assert_clean, files_below, filled, open_copy, same, values};
use crate::support::{self, append, partition};

const PARTIAL: &str = "backups/1.partial";

fn nothing_is_left(disk: &SimDisk) {
    nothing_is_left_of(disk, BACKUP);
    nothing_is_left_of(disk, PARTIAL);
}

fn nothing_is_left_of(disk: &SimDisk, dir: &str) {
    let directories = disk.image().directories();
    assert!(
        !directories.contains(&Path::new(dir).to_path_buf()),
        "{dir}"
    );
}

fn is_in_use(broker: &Broker) {
    append(&partition(broker, "t", 0), SALT, 1).unwrap();
}

#[test]
fn a_place_that_is_taken_or_within_is_refused() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    disk.write("backups/1/notes.txt", "mine").unwrap();
    disk.write("backups/2", "a file").unwrap();
    let checkpoint = |dir| broker.checkpoint(dir).unwrap_err();
    assert!(matches!(checkpoint(BACKUP), Error::DirectoryExists { .. }));
    assert!(matches!(checkpoint("data"), Error::InvalidDirectory { .. }));
    assert!(matches!(
        checkpoint("data/backup"),
        Error::InvalidDirectory { .. }
    ));
    assert!(matches!(checkpoint("backups/2"), Error::Io { .. }));
    assert_eq!(disk.read("backups/1/notes.txt").unwrap(), b"mine");
    assert_eq!(disk.read("backups/2").unwrap(), b"a file");
    is_in_use(&broker);
}

#[test]
fn what_a_crash_left_goes_and_what_others_left_stays() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    disk.write("backups/1.partial/t-0/00000000000000000000.log", "x")
        .unwrap();
    disk.write("backups/1.partial/durable-ends", "x").unwrap();
    broker.checkpoint(BACKUP).unwrap();
    assert!(files_below(&disk, PARTIAL).is_empty());
    same(&broker, &open_copy(&disk, BACKUP));
    disk.write("backups/2.partial/.lock", "").unwrap();
    let refused = broker.checkpoint("backups/2").unwrap_err();
    assert!(
        matches!(refused, Error::DirectoryExists { directory } if directory == Path::new("backups/2.partial"))
    );
    assert!(disk.read("backups/2.partial/.lock").is_some());
}

#[test]
fn a_full_disk_leaves_no_directory_and_a_broker_in_use() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    broker.checkpoint("backups/0").unwrap();
    let needed = disk.used();
    broker.checkpoint("backups/00").unwrap();
    let needed = disk.used() - needed;
    for part in 0..20 {
        disk.set_capacity(Some(disk.used() + needed * part / 20));
        let error = broker.checkpoint(BACKUP).unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        disk.set_capacity(None);
        nothing_is_left(&disk);
        is_in_use(&broker);
    }
    broker.checkpoint(BACKUP).unwrap();
    same(&broker, &open_copy(&disk, BACKUP));
}

#[test]
fn a_failure_of_any_operation_leaves_no_directory_and_a_broker_in_use() {
    for operation in Operation::ALL {
        for at in 0.. {
            let disk = SimDisk::new();
            let broker = filled(&disk);
            disk.fail(
                Fault::error(operation, ErrorKind::Other)
                    .on_path("backups/1")
                    .after(at),
            );
            let made = broker.checkpoint(BACKUP);
            if disk.faults_struck() == 0 {
                made.unwrap();
                break;
            }
            disk.clear_faults();
            assert!(made.is_err(), "{operation:?} {at}");
            if operation != Operation::Remove {
                nothing_is_left(&disk);
            }
            is_in_use(&broker);
            broker.checkpoint(BACKUP).unwrap();
            same(&broker, &open_copy(&disk, BACKUP));
        }
    }
}

#[test]
fn without_links_everything_is_copied() {
    let disk = SimDisk::new();
    let broker = filled(&disk);
    let fault = Fault::error(Operation::Link, ErrorKind::CrossesDevices);
    disk.fail(fault.sticky());
    let made = broker.checkpoint(BACKUP).unwrap();
    assert_eq!(made.linked_bytes, 0);
    same(&broker, &open_copy(&disk, BACKUP));
}

#[test]
fn a_partition_that_has_stopped_has_no_checkpoint() {
    let disk = SimDisk::recording();
    let broker = filled(&disk);
    let log = partition(&broker, "t", 2);
    append(&log, SALT, 1).unwrap();
    disk.fail(Fault::lost_sync().on_path("t-2"));
    log.flush().unwrap_err();
    let refused = broker.checkpoint(BACKUP).unwrap_err();
    assert!(matches!(refused, Error::StorageFailed { .. }), "{refused}");
    nothing_is_left(&disk);
    is_in_use(&broker);
}

/// The logs that [`filled`] fills.
fn contents(broker: &Broker) -> Vec<Vec<Vec<u8>>> {
    let logs = [("t", 0), ("t", 1), ("safe", 0), ("large", 0)];
    let logs = logs.map(|(topic, number)| partition(broker, topic, number));
    logs.iter().map(values).collect()
}

fn plan(at: usize) -> CrashPlan {
    CrashPlan::new(at as u64)
        .single_operations(2)
        .cuts(1)
        .random_subsets(2)
}

#[test]
fn a_crash_at_any_moment_leaves_the_broker_whole_and_a_whole_checkpoint_or_none() {
    let disk = SimDisk::recording();
    let broker = filled(&disk);
    for topic in broker.topics() {
        topic
            .partitions()
            .iter()
            .for_each(|log| log.flush().unwrap());
    }
    let wanted = contents(&broker);
    let began = disk.operation_count();
    broker.checkpoint(BACKUP).unwrap();
    let done = disk.operation_count();
    let (mut whole, mut none) = (0, 0);
    for at in began..=done {
        for state in disk.crash_states(at, plan(at)) {
            let story = format!("[{at}] {}", state.description);
            let broker = support::open(&state.disk).unwrap();
            assert!(!broker.recovery_report().has_damage(), "{story}");
            assert_eq!(contents(&broker), wanted, "{story}");
            if files_below(&state.disk, BACKUP).is_empty() {
                assert!(at < done, "{story}");
                none += 1;
                // Whatever is left there is in nobody's way.
                if at % 16 == 0 {
                    broker.checkpoint(BACKUP).unwrap();
                }
            } else {
                assert_eq!(contents(&open_copy(&state.disk, BACKUP)), wanted, "{story}");
                whole += 1;
            }
        }
    }
    assert!(whole > 0 && none > 0);
}

#[test]
fn a_power_loss_after_a_checkpoint_that_failed_leaves_a_whole_one_or_none() {
    let (mut whole, mut none) = (0, 0);
    for at in 0.. {
        for is_sticky in [false, true] {
            let disk = SimDisk::recording();
            let broker = filled(&disk);
            let wanted = contents(&broker);
            broker.checkpoint("backups/0").unwrap();
            let fault = Fault::error(Operation::SyncDir, ErrorKind::Other);
            let fault = fault.on_path("backups").after(at);
            disk.fail(if is_sticky { fault.sticky() } else { fault });
            let made = broker.checkpoint(BACKUP);
            if disk.faults_struck() == 0 {
                assert!(whole > 0 && none > 0, "{whole}, {none}");
                return;
            }
            made.unwrap_err();
            nothing_is_left_of(&disk, BACKUP);
            let seed = usize::try_from(at).unwrap();
            for state in disk.crash_states(usize::MAX, plan(seed).random_subsets(12)) {
                if files_below(&state.disk, BACKUP).is_empty() {
                    none += 1;
                } else {
                    let story = format!("[{at}] {}", state.description);
                    assert_eq!(contents(&open_copy(&state.disk, BACKUP)), wanted, "{story}");
                    whole += 1;
                }
            }
            // Whatever is left beside it is in nobody's way.
            disk.clear_faults();
            broker.checkpoint(BACKUP).unwrap();
            same(&broker, &open_copy(&disk, BACKUP));
        }
    }
}

/// Appends until a new segment has begun, and leaves it at that.
fn roll(log: &Partition, disk: &SimDisk) {
    let segments = |disk: &SimDisk| {
        let files = files_below(disk, "data/t-0").into_iter();
        files
            .filter(|path| path.extension().is_some_and(|it| it == "log"))
            .count()
    };
    let before = segments(disk);
    while segments(disk) == before {
        append(log, SALT, 1).unwrap();
    }
}

#[test]
fn a_crash_of_the_original_after_it_does_not_reach_the_copy() {
    let disk = SimDisk::recording();
    let broker = filled(&disk);
    let log = partition(&broker, "t", 0);
    // The name of the last segment's file is not on the device.
    roll(&log, &disk);
    let wanted = contents(&broker);
    broker.checkpoint(BACKUP).unwrap();
    let done = disk.operation_count();
    roll(&log, &disk);
    log.flush().unwrap();
    for at in done..=disk.operation_count() {
        for state in disk.crash_states(at, plan(at)) {
            let story = format!("[{at}] {}", state.description);
            // The original goes on, in the files that it has now.
            let broker = support::open(&state.disk).unwrap();
            let log = partition(&broker, "t", 0);
            for _ in 0..5 {
                append(&log, SALT, 4).unwrap();
            }
            drop(log);
            broker.close().unwrap();
            let copy = open_copy(&state.disk, BACKUP);
            assert_eq!(contents(&copy), wanted, "{story}");
            assert_clean(copy.recovery_report());
        }
    }
}
