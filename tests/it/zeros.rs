//! The zeros that a partition with synced appends keeps behind its records: nobody sees them, a kill
//! leaves them, and neither a roll nor an orderly close does.

use std::io::ErrorKind;
use std::path::Path;

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, Durability, TopicConfig};

use crate::support::{self, Model, append, assert_settled, log_file, partition, read_all};

const SALT: u64 = 60;

fn broker_on(disk: &SimDisk, config: TopicConfig) -> Broker {
    let broker = support::open(disk).unwrap();
    let config = config.durability(Durability::Synced);
    broker.create_topic("t", config).unwrap();
    broker
}

fn append_some(broker: &Broker, batches: u64) {
    let log = partition(broker, "t", 0);
    for number in 0..batches {
        append(&log, SALT, 1 + number % 3).unwrap();
    }
}

/// Everything is there, and the files have zeros behind it, or none.
fn assert_whole(disk: &SimDisk, broker: &Broker, has_zeros: bool) {
    let log = partition(broker, "t", 0);
    let end = log.high_watermark();
    let seen = read_all(&log, &Model::new(SALT, end));
    assert!(
        seen.errors.is_empty() && seen.has(0..end),
        "{:?}",
        seen.errors
    );
    assert_eq!(len_of_files(disk) > log.size_bytes(), has_zeros);
}

fn len_of_files(disk: &SimDisk) -> u64 {
    lens_of_files(disk).iter().sum()
}

fn lens_of_files(disk: &SimDisk) -> Vec<u64> {
    let is_log = |path: &Path| path.extension().is_some_and(|it| it == "log");
    let files = disk.files().into_iter();
    files
        .filter(|(path, _)| path.starts_with("data/t-0") && is_log(path))
        .map(|(_, len)| len)
        .collect()
}

/// A killed log with zeros behind its records, where these end, and their number.
fn killed() -> (SimDisk, usize, u64) {
    let disk = SimDisk::new();
    let broker = broker_on(&disk, TopicConfig::default());
    append_some(&broker, 20);
    assert_whole(&disk, &broker, true);
    let log = partition(&broker, "t", 0);
    let end = usize::try_from(log.size_bytes()).unwrap();
    (disk.duplicate(), end, log.high_watermark())
}

#[test]
fn a_file_grows_in_steps_and_is_cut_at_an_orderly_close() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk, TopicConfig::default());
    append_some(&broker, 4);
    assert_whole(&disk, &broker, false);
    let mut lens = std::collections::BTreeSet::new();
    for _ in 0..500 {
        append_some(&broker, 1);
        lens.insert(len_of_files(&disk));
    }
    assert!(lens.len() < 6, "{lens:?}");
    assert_whole(&disk, &broker, true);
    broker.close().unwrap();
    let closed = disk.duplicate();
    let again = support::open(&disk).unwrap();
    assert!(again.recovery_report().is_clean());
    assert_whole(&disk, &again, false);
    assert_settled(&closed);
    // So is what survives a power loss right after it.
    let recorded = SimDisk::recording();
    let broker = broker_on(&recorded, TopicConfig::default());
    append_some(&broker, 20);
    broker.close().unwrap();
    assert_eq!(
        recorded.durable_image().read(log_file("t-0", 0)),
        recorded.read(log_file("t-0", 0)).as_deref()
    );
}

#[test]
fn a_kill_leaves_zeros_that_are_not_worth_a_word_and_are_used() {
    let (disk, _, end) = killed();
    let before = disk.read(log_file("t-0", 0)).unwrap();
    let broker = support::open(&disk).unwrap();
    assert!(broker.recovery_report().is_clean());
    assert_eq!(partition(&broker, "t", 0).durable_end(), end);
    assert!(disk.read(log_file("t-0", 0)).unwrap() == before);
    assert_whole(&disk, &broker, true);
    let again = support::open(&disk.duplicate()).unwrap();
    assert!(again.recovery_report().is_clean());
    append_some(&broker, 20);
    assert_eq!(len_of_files(&disk), before.len() as u64);
    broker.close().unwrap();
    let broker = support::open(&disk).unwrap();
    assert!(broker.recovery_report().is_clean());
    assert_whole(&disk, &broker, false);
    // Closed with nothing appended, they are gone as well.
    let (disk, ..) = killed();
    support::open(&disk).unwrap().close().unwrap();
    assert_whole(&disk, &support::open(&disk).unwrap(), false);
    assert_settled(&disk);
}

#[test]
fn what_is_torn_before_the_zeros_is_cut_with_them_and_alone_reported() {
    for torn in [1, 17, 60, 400] {
        let (disk, position, end) = killed();
        let mut bytes = disk.read(log_file("t-0", 0)).unwrap();
        bytes[position..position + torn].fill(7);
        disk.write(log_file("t-0", 0), bytes).unwrap();
        let broker = support::open(&disk).unwrap();
        let report = &broker.recovery_report().partitions;
        let report = report.iter().find(|(id, _)| id.topic() == "t").unwrap();
        assert_eq!(report.1.truncated_bytes, torn as u64);
        assert_eq!(report.1.set_aside, None);
        assert_eq!(partition(&broker, "t", 0).high_watermark(), end);
        assert_whole(&disk, &broker, false);
        append_some(&broker, 20);
        assert_whole(&disk, &broker, true);
        drop(broker);
        assert_settled(&disk);
    }
}

#[test]
fn sealed_segments_have_none() {
    let disk = SimDisk::new();
    let broker = broker_on(&disk, TopicConfig::default().segment_bytes(9000));
    append_some(&broker, 300);
    let log = partition(&broker, "t", 0);
    let lens = lens_of_files(&disk);
    assert!(lens.len() > 3, "{lens:?}");
    let sealed = &lens[..lens.len() - 1];
    assert!(sealed.iter().all(|len| *len > 8192 && *len <= 9000));
    assert!(sealed.iter().sum::<u64>() < log.size_bytes());
    let killed = disk.duplicate();
    assert!(
        support::open(&killed.duplicate())
            .unwrap()
            .recovery_report()
            .is_clean()
    );
    assert_settled(&killed);
    broker.close().unwrap();
    assert_whole(&disk, &support::open(&disk).unwrap(), false);
}

#[test]
fn written_appends_get_none() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    append_some(&broker, 30);
    partition(&broker, "t", 0).flush().unwrap();
    assert_whole(&disk, &broker, false);
}

#[test]
fn without_space_for_zeros_appends_go_on() {
    for room in (700..14_000).step_by(700) {
        let disk = SimDisk::new();
        let broker = broker_on(&disk, TopicConfig::default());
        append_some(&broker, 4);
        disk.set_capacity(Some(disk.used() + room));
        let log = partition(&broker, "t", 0);
        let before = log.size_bytes();
        // As many as there is space for.
        while append(&log, SALT, 2).is_ok() {}
        assert!(log.size_bytes() + 400 > before + room, "room for {room}");
        assert_whole(&disk, &broker, false);
        disk.set_capacity(None);
        append_some(&broker, 2);
        let killed = disk.duplicate();
        let again = support::open(&killed).unwrap();
        assert!(again.recovery_report().is_clean());
        assert_whole(&killed, &again, false);
        broker.close().unwrap();
        assert_settled(&disk);
    }
}

#[test]
fn a_fault_of_any_kind_while_they_are_written_fails_nobody() {
    for kind in [
        ErrorKind::StorageFull,
        ErrorKind::Other,
        ErrorKind::Interrupted,
    ] {
        for cut_fails in [false, true] {
            let disk = SimDisk::new();
            let broker = broker_on(&disk, TopicConfig::default());
            append_some(&broker, 4);
            // The first write to the file is the batch's.
            disk.fail(Fault::short_write(5000).on_path(".log").after(1));
            disk.fail(
                Fault::error(Operation::Write, kind)
                    .on_path(".log")
                    .after(2),
            );
            if cut_fails {
                disk.fail(Fault::error(Operation::SetLength, kind).on_path(".log"));
            }
            append_some(&broker, 1);
            disk.clear_faults();
            append_some(&broker, 10);
            let killed = support::open(&disk.duplicate()).unwrap();
            assert_whole(&disk, &killed, kind == ErrorKind::Interrupted || cut_fails);
            broker.close().unwrap();
            assert_whole(&disk, &support::open(&disk).unwrap(), false);
            assert_settled(&disk);
        }
    }
}
