//! Single promises about a failing disk, one fault each.

use std::time::Duration;

use streamlog::sim::{CrashKind, CrashPlan, Fault, Operation, SimDisk};
use streamlog::{Broker, Durability, Error, Position, Record};

use crate::support::{self, Model, append, append_at, partition, read_all, small_segments};

const SALT: u64 = 40;

fn broker_on(disk: &SimDisk) -> Broker {
    let broker = support::open(disk).unwrap();
    broker
        .create_topic("t", small_segments().partitions(2))
        .unwrap();
    broker
}

fn assert_all(broker: &Broker, end: u64) {
    let log = partition(broker, "t", 0);
    assert_eq!(log.high_watermark(), end);
    let seen = read_all(&log, &Model::new(SALT, end));
    assert!(
        seen.errors.is_empty() && seen.has(0..end),
        "{:?}",
        seen.errors
    );
}

#[test]
fn a_full_disk_stops_nobody_but_writers_and_those_only_until_there_is_space() {
    // Full at every byte of the way, which hits batches, indexes, seals, snapshots and new segments.
    let mut struck = 0;
    for spare in (0..6000).step_by(23) {
        let disk = SimDisk::new();
        let broker = broker_on(&disk);
        let log = partition(&broker, "t", 0);
        append(&log, SALT, 3).unwrap();
        let producer = broker.producer().linger(Duration::ZERO).build().unwrap();
        disk.set_capacity(Some(disk.used() + spare));
        let mut failures = 0;
        let mut round = 0;
        while failures < 3 && round < 200 {
            round += 1;
            let end = log.high_watermark();
            match append(&log, SALT, 1 + round % 4) {
                Ok(offset) => assert_eq!(offset, end),
                Err(Error::DiskFull { .. }) => failures += 1,
                Err(error) => panic!("{error:?}"),
            }
            if round % 5 == 0 {
                let made = broker
                    .create_topic(&format!("more-{round}"), small_segments())
                    .map(drop);
                assert!(
                    matches!(made, Ok(()) | Err(Error::DiskFull { .. })),
                    "{made:?}"
                );
            }
        }
        struck += usize::from(failures > 0);
        let end = log.high_watermark();
        assert_all(&broker, end);
        // The same handles go on once there is space.
        disk.set_capacity(None);
        append_at(&log, SALT, end, 2).unwrap();
        producer
            .send(Record::to("t").partition(1).value("x"))
            .unwrap()
            .wait()
            .unwrap();
        assert_all(&broker, end + 2);
        let killed = disk.duplicate();
        assert_all(&support::open(&killed).unwrap(), end + 2);
        broker.close().unwrap();
        let again = support::open(&disk).unwrap();
        assert!(
            again.recovery_report().is_clean(),
            "{:?}",
            again.recovery_report()
        );
        assert_all(&again, end + 2);
    }
    assert!(struck > 100, "the disk was full {struck} times");
}

#[test]
fn a_topic_that_did_not_fit_can_be_made_once_there_is_space() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    let before: Vec<_> = disk.files();
    for nth in 0..4 {
        for _ in 0..3 {
            disk.fail(
                Fault::os_error(Operation::Open, 28)
                    .on_path("data/u-")
                    .after(nth)
                    .sticky(),
            );
            let refused = broker
                .create_topic("u", small_segments().partitions(3))
                .map(drop);
            assert!(
                matches!(refused, Err(Error::DiskFull { .. })),
                "{refused:?}"
            );
            disk.clear_faults();
            let left = disk
                .image()
                .directories()
                .into_iter()
                .filter(|dir| dir.starts_with("data/u-0"));
            assert_eq!(left.count(), 0);
        }
    }
    assert!(before.iter().all(|(path, _)| disk.read(path).is_some()));
    broker
        .create_topic("u", small_segments().partitions(3))
        .unwrap();
    append(&partition(&broker, "u", 2), SALT, 1).unwrap();
    broker.close().unwrap();
    assert!(support::open(&disk).unwrap().recovery_report().is_clean());
}

#[test]
fn a_failed_sync_stops_its_partition_and_no_other() {
    let disk = SimDisk::recording();
    let broker = broker_on(&disk);
    let log = partition(&broker, "t", 0);
    append(&log, SALT, 4).unwrap();
    log.flush().unwrap();
    append(&log, SALT, 2).unwrap();
    disk.fail(Fault::lost_sync().on_path("t-0"));
    let failed = log.flush().unwrap_err();
    let Error::StorageFailed {
        partition: named,
        cause,
    } = &failed
    else {
        panic!("{failed:?}")
    };
    assert!(named == "t-0" && !cause.is_empty() && failed.is_indefinite());
    for _ in 0..2 {
        assert!(matches!(
            append_at(&log, SALT, 6, 1),
            Err(Error::StorageFailed { .. })
        ));
        assert!(
            matches!(log.flush(), Err(Error::StorageFailed { .. })),
            "a sync is not tried again"
        );
    }
    // Readers see what is on the device, and are told at its end.
    assert_eq!((log.high_watermark(), log.durable_end()), (4, 4));
    let seen = read_all(&log, &Model::new(SALT, 4));
    assert!(
        seen.has(0..4)
            && seen
                .errors
                .iter()
                .all(|error| matches!(error, Error::StorageFailed { .. }))
    );
    let other = partition(&broker, "t", 1);
    append(&other, SALT + 1, 1).unwrap();
    other.flush().unwrap();
    assert!(matches!(broker.close(), Err(Error::StorageFailed { .. })));

    // The kernel has dropped those pages, and shows them still: opening writes them again.
    let broker = support::open(&disk).unwrap();
    assert_all(&broker, 6);
    let log = partition(&broker, "t", 0);
    assert_eq!(log.durable_end(), 6);
    append(&log, SALT, 1).unwrap();
    log.flush().unwrap();
    drop(broker);
    for state in disk.crash_states(usize::MAX, CrashPlan::new(1)) {
        if state.kind == CrashKind::PowerLoss {
            assert_all(&support::open(&state.disk).unwrap(), 7);
        }
    }
}

#[test]
fn all_who_wait_for_a_failed_sync_are_told() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker
        .create_topic("t", small_segments().durability(Durability::Synced))
        .unwrap();
    disk.fail(Fault::os_error(Operation::Sync, 5).on_path(".log").sticky());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let broker = &broker;
            scope.spawn(move || {
                let log = partition(broker, "t", 0);
                let failed = log.append(&[Record::value_only("x")]).unwrap_err();
                assert!(matches!(failed, Error::StorageFailed { .. }) && failed.is_indefinite());
            });
        }
    });
    assert_eq!(
        partition(&broker, "t", 0).high_watermark(),
        0,
        "nothing unsynced is shown"
    );
}

#[test]
fn a_failed_write_leaves_what_was_written_before_it_readable() {
    for errno in [5, 30, 13] {
        let disk = SimDisk::new();
        let broker = broker_on(&disk);
        let log = partition(&broker, "t", 0);
        append(&log, SALT, 4).unwrap();
        disk.fail(Fault::os_error(Operation::Write, errno).on_path(".log"));
        assert!(matches!(
            append(&log, SALT, 1),
            Err(Error::StorageFailed { .. })
        ));
        assert!(matches!(
            append(&log, SALT, 1),
            Err(Error::StorageFailed { .. })
        ));
        assert_eq!(log.high_watermark(), 4);
        let mut reader = log.reader(Position::Earliest).unwrap();
        for offset in 0..4 {
            assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
        }
        assert!(matches!(
            reader.next().map(|_| ()),
            Err(Error::StorageFailed { .. })
        ));
        append(&partition(&broker, "t", 1), SALT + 1, 1).unwrap();
        assert!(broker.close().is_err());
        assert_all(&support::open(&disk).unwrap(), 4);
    }
}

#[test]
fn short_and_interrupted_calls_are_no_errors() {
    let disk = SimDisk::new();
    disk.fail(Fault::short_write(3).sticky());
    disk.fail(Fault::short_read(5).sticky());
    disk.fail(
        Fault::error(Operation::Write, std::io::ErrorKind::Interrupted)
            .after(7)
            .sticky(),
    );
    let broker = broker_on(&disk);
    for count in 1..9 {
        append(&partition(&broker, "t", 0), SALT, count).unwrap();
    }
    broker.close().unwrap();
    assert_all(&support::open(&disk).unwrap(), 36);
}

#[test]
fn without_handles_calls_fail_and_work_again_with_some() {
    for operation in [Operation::Open, Operation::Map] {
        let disk = SimDisk::new();
        let broker = broker_on(&disk);
        let log = partition(&broker, "t", 0);
        append(&log, SALT, 1).unwrap();
        disk.fail(Fault::os_error(operation, 24).sticky());
        let mut refused = 0;
        for _ in 0..60 {
            match append(&log, SALT, 2) {
                Ok(_) => {}
                Err(error @ Error::TooManyOpenFiles { .. }) if error.is_retryable() => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(
            refused > 0,
            operation == Operation::Open,
            "a roll needs a file"
        );
        let refused = broker.create_topic("u", small_segments()).map(drop);
        assert_eq!(
            refused.is_err(),
            operation == Operation::Open,
            "{refused:?}"
        );
        disk.clear_faults();
        append(&log, SALT, 1).unwrap();
        let end = log.high_watermark();
        assert_all(&broker, end);
        broker.close().unwrap();
        assert_all(&support::open(&disk).unwrap(), end);
    }
}

#[test]
fn a_manifest_whose_name_is_not_durable_is_not_changed_any_more() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk);
    disk.fail(Fault::os_error(Operation::SyncDir, 5));
    let failed = broker
        .create_topic("u", small_segments())
        .map(drop)
        .unwrap_err();
    assert!(failed.is_indefinite());
    let failed = broker
        .create_topic("v", small_segments())
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(&failed, Error::StorageFailed { partition, .. } if partition == "topics.manifest"),
        "{failed:?}"
    );
    // Records are not concerned.
    append(&partition(&broker, "t", 0), SALT, 2).unwrap();
    drop(broker);
    let broker = support::open(&disk).unwrap();
    assert_all(&broker, 2);
    broker.create_topic("v", small_segments()).unwrap();
}

#[test]
fn a_failed_rename_leaves_the_old_file() {
    for path in ["topics.manifest", "leader-epoch-checkpoint"] {
        let disk = SimDisk::new();
        let broker = broker_on(&disk);
        disk.fail(Fault::os_error(Operation::Rename, 5).on_path(path));
        let log = partition(&broker, "t", 0);
        let failed = if path == "topics.manifest" {
            broker.create_topic("u", small_segments()).map(drop)
        } else {
            append(&log, SALT, 1).map(drop)
        };
        assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
        assert!(
            disk.files()
                .iter()
                .all(|(path, _)| path.extension().is_none_or(|it| it != "tmp"))
        );
        append(&log, SALT, 1).unwrap();
        broker.create_topic("u", small_segments()).unwrap();
    }
}
