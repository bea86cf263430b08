//! Segments below the log's start are removed, and nothing that is still wanted. What crashes in between
//! leave is among the workloads of `crash`.

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, Error, Offset, Partition, Position};

use crate::support::{
    self, Model, append, log_file, partition, read_all, segment_file, small_segments,
};

const SALT: u64 = 90;

/// A partition of many segments; what it holds; where they start.
fn filled(disk: &SimDisk) -> (Broker, Partition, Model, Vec<Offset>) {
    let broker = support::open(disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    for count in 0..60 {
        append(&log, SALT, 1 + count % 4).unwrap();
    }
    let model = Model::new(SALT, log.high_watermark());
    let bases = bases(disk);
    assert!(bases.len() > 6);
    (broker, log, model, bases)
}

fn files(disk: &SimDisk) -> Vec<String> {
    let files = disk.files();
    let names = files
        .iter()
        .filter_map(|(path, _)| path.to_str()?.strip_prefix("data/t-0/"));
    names.map(str::to_owned).collect()
}

fn bases(disk: &SimDisk) -> Vec<Offset> {
    let names = files(disk).into_iter();
    names
        .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
        .collect()
}

#[test]
fn segments_are_removed_once_all_of_their_records_are_deleted() {
    let disk = SimDisk::new();
    let (_broker, log, model, all) = filled(&disk);
    let size = log.size_bytes();
    log.delete_records(all[2] - 1).unwrap();
    assert_eq!(bases(&disk), all[1..], "one record of the second is left");
    log.delete_records(all[2]).unwrap();
    assert_eq!(bases(&disk), all[2..]);
    assert!(log.size_bytes() < size);
    let seen = read_all(&log, &model);
    assert!(seen.has(all[2]..model.end()) && seen.errors.is_empty());
    log.delete_records(model.end()).unwrap();
    assert_eq!(bases(&disk), all[all.len() - 1..], "the active one stays");
}

#[test]
fn nothing_of_a_removed_segment_stays() {
    let disk = SimDisk::new();
    let (_broker, log, _, all) = filled(&disk);
    log.delete_records(all[3]).unwrap();
    for name in files(&disk) {
        let base = name.get(..20).and_then(|digits| digits.parse().ok());
        assert!(
            base.is_none_or(|base: Offset| base >= all[3]) || name.contains(".stage"),
            "{name}"
        );
        assert!(!name.contains(".deleted"), "{name}");
    }
}

#[test]
fn what_is_left_opens_without_complaint_and_goes_on() {
    for clean in [true, false] {
        let disk = SimDisk::new();
        let (broker, log, _, all) = filled(&disk);
        log.delete_records(all[3] + 1).unwrap();
        let disk = if clean {
            drop(log);
            broker.close().unwrap();
            disk
        } else {
            disk.duplicate()
        };
        let broker = support::open(&disk).unwrap();
        assert!(!broker.recovery_report().has_damage());
        let log = partition(&broker, "t", 0);
        assert_eq!(log.log_start_offset(), all[3] + 1);
        append(&log, SALT, 3).unwrap();
        let model = Model::new(SALT, log.high_watermark());
        let seen = read_all(&log, &model);
        assert!(seen.has(all[3] + 1..model.end()) && seen.errors.is_empty());
    }
}

#[test]
fn records_in_hand_stay_and_readers_below_the_start_are_told() {
    let disk = SimDisk::new();
    let (broker, log, _, all) = filled(&disk);
    let mut consumer = broker.consumer().max_poll_records(3).build().unwrap();
    consumer.assign(&[log.id().clone()]).unwrap();
    consumer.seek(log.id(), Position::Earliest).unwrap();
    let held = consumer.poll(std::time::Duration::ZERO).unwrap();
    let before: Vec<_> = held
        .iter()
        .map(|record| record.value().map(<[u8]>::to_vec))
        .collect();
    let mut reader = log.reader(Position::Earliest).unwrap();
    reader.next().unwrap();
    log.delete_records(all[4]).unwrap();
    let after: Vec<_> = held
        .iter()
        .map(|record| record.value().map(<[u8]>::to_vec))
        .collect();
    assert_eq!(before, after);
    reader.seek(Position::Offset(all[1])).unwrap();
    let refused = reader.next().map(drop);
    assert!(
        matches!(refused, Err(Error::OffsetOutOfRange { start, .. }) if start == all[4]),
        "{refused:?}"
    );
}

#[test]
fn what_could_not_be_removed_is_not_shown_and_goes_with_the_next() {
    for operation in [Operation::Rename, Operation::Remove] {
        let disk = SimDisk::new();
        let (broker, log, model, all) = filled(&disk);
        disk.fail(Fault::error(operation, std::io::ErrorKind::Other).on_path("t-0/"));
        log.delete_records(all[3]).unwrap();
        assert_eq!(disk.faults_struck(), 1);
        assert_eq!(log.log_start_offset(), all[3]);
        let seen = read_all(&log, &model);
        assert!(seen.has(all[3]..model.end()) && seen.errors.is_empty());
        drop(log);
        broker.close().unwrap();
        let broker = support::open(&disk).unwrap();
        assert!(broker.recovery_report().is_clean());
        let log = partition(&broker, "t", 0);
        let seen = read_all(&log, &model);
        assert!(seen.has(all[3]..model.end()) && seen.errors.is_empty());
        log.delete_records(all[4]).unwrap();
        assert_eq!(bases(&disk), all[4..]);
        let names = files(&disk);
        assert!(!names.iter().any(|name| name.contains(".deleted")));
    }
}

#[test]
fn a_segment_that_is_missing_is_damage_and_what_is_left_of_it_stays() {
    let disk = SimDisk::new();
    let (broker, log, _, all) = filled(&disk);
    log.delete_records(all[2]).unwrap();
    drop(log);
    broker.close().unwrap();
    assert!(disk.remove(log_file("t-0", all[2])));
    let broker = support::open(&disk).unwrap();
    assert!(broker.recovery_report().has_damage());
    assert!(disk.read(segment_file("t-0", all[2], "index")).is_some());
}
