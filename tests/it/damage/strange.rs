//! What has no business in a data directory: directories for files, files for directories, strangers'
//! files, giants; and what has none in a call: names, configurations, records.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{Broker, Error, Record, TopicConfig};

use super::{SALT, Sample};
use crate::support::{self, Model, append, assert_settled, partition, read_all, small_segments};

#[test]
fn a_directory_in_the_place_of_a_file_keeps_nobody_else_from_working() {
    let files = Sample::closed()
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path);
    for path in files.filter(|path| path.starts_with("data/t-0")) {
        for sample in [Sample::closed(), Sample::killed()] {
            if !sample.disk.remove(&path) {
                continue;
            }
            sample.disk.write(path.join("inside"), "x").unwrap();
            let look = sample.look();
            // Either the file is not needed, or its loss is damage.
            if look.report.damage.is_empty() {
                look.assert_whole(sample.end);
            }
            drop(look);
            assert_eq!(sample.disk.read(path.join("inside")).unwrap(), b"x");
        }
    }
}

#[test]
fn a_file_in_the_place_of_a_partition_keeps_nobody_else_from_working() {
    let sample = Sample::closed();
    for (path, _) in sample.disk.files() {
        if path.starts_with("data/t-0") {
            sample.disk.remove(&path);
        }
    }
    let real = tempfile::tempdir().unwrap();
    sample.disk.write_to(real.path()).unwrap();
    let partition_dir = real.path().join("data/t-0");
    fs::remove_dir(&partition_dir).unwrap();
    fs::write(&partition_dir, "not a directory").unwrap();
    let broker = Broker::builder(real.path().join("data"))
        .background(false)
        .open()
        .unwrap();
    let log = partition(&broker, "t", 0);
    assert!(broker.recovery_report().has_damage());
    assert!(matches!(append(&log, SALT, 1), Err(Error::Io { path, .. }) if path == partition_dir));
    append(&partition(&broker, "t", 1), SALT + 1, 1).unwrap();
}

#[test]
fn the_manifests_place_may_not_be_a_directory() {
    for name in ["topics.manifest", "meta.properties", "durable-ends"] {
        let sample = Sample::closed();
        let path = Path::new("data").join(name);
        sample.disk.remove(&path);
        sample.disk.write(path.join("inside"), "x").unwrap();
        let refused = support::open(&sample.disk);
        assert!(
            matches!(&refused, Err(Error::Io { path: at, .. }) if *at == path),
            "{refused:?}"
        );
    }
}

#[test]
fn strangers_are_left_alone() {
    let sample = Sample::closed();
    let strangers = [
        "data/README",
        "data/notes/today",
        "data/other-7/00000000000000000000.log",
        "data/t-0/README",
        "data/t-0/42.log",
        "data/t-0/00000000000000000000.log.bak",
        "data/t-0/99999999999999999999.log",
        "data/t-0/sub/00000000000000000000.log",
        "data/t-0.0123456789abcdef0123456789abcdef-stray/00000000000000000000.log",
    ];
    for path in strangers {
        sample.disk.write(path, path).unwrap();
    }
    let look = sample.look();
    look.assert_whole(sample.end);
    look.assert_takes_appends();
    assert!(
        look.broker
            .recovery_report()
            .stray
            .contains(&PathBuf::from("data/other-7"))
    );
    drop(look);
    assert_settled(&sample.disk);
    for path in strangers {
        assert_eq!(sample.disk.read(path).as_deref(), Some(path.as_bytes()));
    }
}

#[test]
fn what_a_crash_left_of_a_deleted_topic_is_removed() {
    let sample = Sample::closed();
    let left = "data/u-0.0123456789abcdef0123456789abcdef-delete/00000000000000000000.log";
    sample.disk.write(left, "records").unwrap();
    sample.look().assert_whole(sample.end);
    assert_eq!(sample.disk.read(left), None);
}

/// On a real file system, where a file can be longer than memory.
#[test]
fn giants_are_neither_read_into_memory_nor_cut() {
    // The first is as long as a segment may be.
    const LENGTHS: [u64; 3] = [(1 << 31) - 1, 1 << 32, 1 << 43];
    let files = Sample::closed()
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path);
    let files: Vec<_> = files.filter(|path| !path.starts_with("data/t-1")).collect();
    for (new, killed) in [
        (Sample::closed as fn() -> Sample, false),
        (Sample::killed, true),
    ] {
        for path in &files {
            for length in LENGTHS {
                let is_log = path.extension().is_some_and(|extension| extension == "log");
                let sample = new();
                // Two gigabytes are looked at, so that is done where it tells most.
                let (is_first, is_last) = (
                    path.ends_with("00000000000000000000.log"),
                    *path == sample.last(),
                );
                let wanted = match length {
                    _ if length == LENGTHS[0] => (is_first && !killed) || (is_last && killed),
                    _ if length == LENGTHS[1] => is_first || is_last,
                    _ => (is_last && killed) || (!is_log && !killed),
                };
                if !wanted {
                    continue;
                }
                let real = tempfile::tempdir().unwrap();
                sample.disk.write_to(real.path()).unwrap();
                let Ok(file) = File::options().write(true).open(real.path().join(path)) else {
                    continue;
                };
                if file.set_len(length).is_err() {
                    // More than this file system can say.
                    continue;
                }
                let opened = Broker::builder(real.path().join("data"))
                    .background(false)
                    .open();
                if let Ok(broker) = &opened {
                    let log = partition(broker, "t", 0);
                    let model = Model::new(SALT, sample.end);
                    if log.high_watermark() <= sample.end {
                        let seen = read_all(&log, &model);
                        assert!(
                            seen.has(0..sample.durable.min(seen.end)),
                            "{} {length}",
                            path.display()
                        );
                    }
                    let other = partition(broker, "t", 1);
                    append(&other, SALT + 1, 1).unwrap();
                }
                if is_log && length > 1 << 31 {
                    assert_eq!(
                        file.metadata().unwrap().len(),
                        length,
                        "{} was cut",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn a_read_only_directory_is_refused_and_not_half_opened() {
    for sample in [Sample::closed(), Sample::killed()] {
        sample.disk.set_read_only(true);
        let before = sample.disk.image();
        assert!(matches!(
            support::open(&sample.disk),
            Err(Error::ReadOnly { .. })
        ));
        assert_eq!(before.difference(&sample.disk.image()), None);
        sample.disk.set_read_only(false);
        sample.look().assert_whole(sample.end);
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_not_damage_and_may_come_back() {
    let sample = Sample::killed();
    sample
        .disk
        .fail(Fault::os_error(Operation::Read, 5).on_path("t-0").sticky());
    let broker = support::open(&sample.disk).unwrap();
    let log = partition(&broker, "t", 0);
    assert!(matches!(append(&log, SALT, 1), Err(Error::Io { .. })));
    append(&partition(&broker, "t", 1), SALT + 1, 1).unwrap();
    broker.close().unwrap();
    sample.disk.clear_faults();
    sample.look().assert_whole(sample.end);
}

#[test]
fn a_reader_meets_a_failing_disk_and_goes_on_where_it_was() {
    let sample = Sample::closed();
    let broker = support::open(&sample.disk).unwrap();
    for (operation, errno) in [
        (Operation::Map, 24),
        (Operation::Map, 12),
        (Operation::Map, 5),
    ] {
        let disk = &sample.disk;
        disk.fail(Fault::os_error(operation, errno).on_path("t-0").sticky());
        let log = partition(&broker, "t", 0);
        let mut reader = log.reader(streamlog::Position::Earliest).unwrap();
        let error = reader.next().map(|record| record.is_some()).unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(matches!(error, Error::TooManyOpenFiles { .. }), errno != 5);
        assert_eq!(reader.position(), 0);
        disk.clear_faults();
        assert_eq!(
            reader.next().unwrap().map(|record| record.offset()),
            Some(0)
        );
        // Mapped now: start again with a fresh broker.
        if errno != 5 {
            break;
        }
    }
    let seen = read_all(&partition(&broker, "t", 0), &Model::new(SALT, sample.end));
    assert!(seen.errors.is_empty() && seen.has(0..sample.end));
}

#[test]
fn illegal_topic_names_are_refused_and_leave_nothing_behind() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("a.b", TopicConfig::default()).unwrap();
    let before = disk.image();
    let long = "x".repeat(250);
    for name in [
        "", ".", "..", "a/b", "../x", "a b", "a\0b", "ä", "a:b", &long,
    ] {
        let refused = broker.create_topic(name, TopicConfig::default()).map(drop);
        assert!(
            matches!(&refused, Err(Error::InvalidTopicName { topic, .. }) if topic == name),
            "{refused:?}"
        );
    }
    for name in ["a.b", "a_b"] {
        let refused = broker.create_topic(name, TopicConfig::default()).map(drop);
        assert!(
            matches!(&refused, Err(Error::TopicExists { topic }) if topic == "a.b"),
            "{refused:?}"
        );
    }
    assert_eq!(before.difference(&disk.image()), None);
    broker
        .create_topic(&"x".repeat(249), TopicConfig::default())
        .unwrap();
    broker.delete_topic(&"x".repeat(249)).unwrap();
}

#[test]
fn illegal_configurations_are_refused_and_leave_nothing_behind() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let before = disk.image();
    let bad = [
        TopicConfig::default().partitions(0),
        TopicConfig::default().partitions(u32::MAX),
        TopicConfig::default().segment_bytes(13),
        TopicConfig::default().segment_bytes(1 << 31),
        TopicConfig::default().segment_index_bytes(23),
        TopicConfig::default().max_message_bytes(usize::MAX),
    ];
    for config in bad {
        let refused = broker.create_topic("u", config.clone()).map(drop);
        assert!(
            matches!(refused, Err(Error::InvalidConfig { .. })),
            "{config:?}: {refused:?}"
        );
        let refused = broker.alter_topic("t", config);
        assert!(
            matches!(refused, Err(Error::InvalidConfig { .. })),
            "{refused:?}"
        );
    }
    for (key, value) in [
        ("segment.bytes", "x"),
        ("no.such.config", "1"),
        ("retention.ms", "-2"),
    ] {
        let refused = TopicConfig::default().set(key, value).map(drop);
        assert!(
            matches!(&refused, Err(Error::InvalidConfig { key: named, .. }) if named == key),
            "{refused:?}"
        );
    }
    assert!(matches!(
        broker.add_partitions("t", 1),
        Err(Error::InvalidConfig { .. })
    ));
    assert!(matches!(
        broker.add_partitions("u", 2),
        Err(Error::UnknownTopic { .. })
    ));
    assert_eq!(before.difference(&disk.image()), None);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_takes_no_offset() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker
        .create_topic("t", TopicConfig::default().max_message_bytes(200))
        .unwrap();
    let log = partition(&broker, "t", 0);
    append(&log, SALT, 1).unwrap();
    let before = disk.image();
    let large = [5; 300];
    let refused = log.append(&[Record::value_only(&large)]);
    let Err(Error::RecordTooLarge { topic, size, limit }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((topic.as_str(), limit), ("t-0", 200));
    assert!(size > 300);
    let producer = broker.producer().build().unwrap();
    let refused = producer
        .send(Record::to("t").value(&large))
        .and_then(streamlog::Delivery::wait);
    assert!(
        matches!(refused, Err(Error::RecordTooLarge { .. })),
        "{refused:?}"
    );
    assert!(matches!(log.append(&[]), Err(Error::InvalidRecord { .. })));
    let refused = log.append(&[Record::value_only("x").timestamp(-2)]);
    assert!(matches!(
        refused,
        Err(Error::InvalidTimestamp { timestamp: -2, .. })
    ));
    let path = "data/t-0/00000000000000000000.log";
    assert!(before.read(path) == disk.read(path).as_deref());
    assert_eq!(append(&log, SALT, 1).unwrap(), 1);
}
