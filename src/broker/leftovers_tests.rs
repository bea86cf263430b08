//! What is left of deleted topics goes, whatever kept it; what is anybody else's stays.

use std::path::PathBuf;

use crate::sim::{Fault, Operation, SimDisk};
use crate::{Broker, Position, Record, TopicConfig};

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder("data").storage(disk.clone());
    builder.background(false).open().unwrap()
}

fn create(broker: &Broker, value: &str) {
    let config = TopicConfig::default().partitions(3);
    let topic = broker.create_topic("t", config).unwrap();
    for number in 0..3 {
        let partition = topic.partition(number).unwrap();
        partition.append(&[Record::value_only(value)]).unwrap();
    }
}

/// A disk on which a topic was deleted, except for the directories of its last two partitions.
fn half_deleted() -> (SimDisk, Broker) {
    let disk = SimDisk::new();
    let broker = open(&disk);
    create(&broker, "old");
    let fault = |number| {
        let other = std::io::ErrorKind::Other;
        Fault::error(Operation::Rename, other).on_path(format!("t-{number}"))
    };
    disk.fail(fault(1));
    disk.fail(fault(2));
    assert!(broker.delete_topic("t").is_err());
    disk.clear_faults();
    assert_eq!(directories(&disk), ["t-1", "t-2"]);
    (disk, broker)
}

/// Of partitions, by whatever name.
fn directories(disk: &SimDisk) -> Vec<String> {
    let directories = disk.image().directories();
    let names = directories
        .iter()
        .filter_map(|dir| dir.strip_prefix("data").ok()?.to_str());
    let mut names: Vec<_> = names
        .filter(|name| name.starts_with("t-"))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn an_open_after_a_kill_removes_what_is_left_of_a_deleted_topic() {
    let (disk, _killed) = half_deleted();
    let disk = disk.duplicate();
    let broker = open(&disk);
    assert_eq!(broker.recovery_report().stray, Vec::<PathBuf>::new());
    assert_eq!(directories(&disk), Vec::<String>::new());
    assert!(broker.topics().is_empty());
}

#[test]
fn an_open_after_a_close_does_so_too() {
    let (disk, broker) = half_deleted();
    // Something else is written down meanwhile.
    broker.create_topic("u", TopicConfig::default()).unwrap();
    broker.close().unwrap();
    let broker = open(&disk);
    assert!(broker.recovery_report().is_clean());
    assert_eq!(directories(&disk), Vec::<String>::new());
}

#[test]
fn what_cannot_be_removed_by_one_open_is_by_the_next() {
    let (disk, _killed) = half_deleted();
    for operation in [Operation::Rename, Operation::SyncDir, Operation::Remove] {
        let disk = disk.duplicate();
        let path = if operation == Operation::SyncDir {
            "data"
        } else {
            "t-1"
        };
        let fault = Fault::error(operation, std::io::ErrorKind::Other).on_path(path);
        disk.fail(fault.sticky());
        let opened = Broker::builder("data")
            .storage(disk.clone())
            .background(false)
            .open();
        disk.clear_faults();
        drop(opened);
        let broker = open(&disk);
        assert_eq!(broker.recovery_report().stray, Vec::<PathBuf>::new());
        assert_eq!(directories(&disk), Vec::<String>::new(), "{operation:?}");
    }
}

#[test]
fn a_topic_of_the_same_name_takes_their_place() {
    let (disk, broker) = half_deleted();
    create(&broker, "new");
    assert_eq!(directories(&disk), ["t-0", "t-1", "t-2"]);
    for disk in [&disk.duplicate(), &disk.duplicate()] {
        let broker = open(disk);
        assert_eq!(broker.recovery_report().stray, Vec::<PathBuf>::new());
        let topic = broker.topic("t").unwrap();
        for partition in topic.partitions() {
            let mut reader = partition.reader(Position::Earliest).unwrap();
            let record = reader.next().unwrap().unwrap();
            assert_eq!(record.value(), Some(b"new".as_slice()));
        }
    }
}

#[test]
fn a_directory_with_another_id_is_reported_and_stays() {
    let (disk, _killed) = half_deleted();
    let disk = disk.duplicate();
    let other = open(&SimDisk::new());
    create(&other, "other");
    let id = other.topic("t").unwrap().id();
    let metadata = format!("version: 0\ntopic_id: {id}");
    disk.write("data/t-1/partition.metadata", metadata).unwrap();
    let broker = open(&disk);
    assert_eq!(broker.recovery_report().stray, [PathBuf::from("data/t-1")]);
    assert_eq!(directories(&disk), ["t-1"]);
}

#[test]
fn what_is_put_back_after_a_deletion_is_reported_and_stays() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    create(&broker, "old");
    let backup = ["t-1/partition.metadata", "t-1/00000000000000000000.log"];
    let backup = backup.map(|name| format!("data/{name}"));
    let saved = backup.each_ref().map(|path| disk.read(path).unwrap());
    broker.delete_topic("t").unwrap();
    broker.close().unwrap();
    for (path, bytes) in backup.iter().zip(saved) {
        disk.write(path, bytes).unwrap();
    }
    for _ in 0..2 {
        let broker = open(&disk);
        assert_eq!(broker.recovery_report().stray, [PathBuf::from("data/t-1")]);
        broker.close().unwrap();
    }
    assert!(backup.iter().all(|path| disk.read(path).is_some()));
}

#[test]
fn a_topic_whose_id_is_lost_is_not_taken_for_the_deleted_one_of_its_name() {
    let (disk, broker) = half_deleted();
    create(&broker, "new");
    let disk = disk.duplicate();
    assert!(disk.remove("data/t-1/partition.metadata"));
    let broker = open(&disk);
    assert!(!broker.recovery_report().has_damage());
    let log = broker.topic("t").unwrap().partition(1).unwrap();
    assert_eq!(log.high_watermark(), 1);
}
