//! What verification finds, and that it changes nothing.

use super::*;
use streamlog::{CleanupPolicy, Durability, Severity};

use crate::support::{log_file, segment_file};

#[test]
fn an_intact_log_is_clean_in_all_codecs() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker
        .create_topic("t", small_segments().partitions(2))
        .unwrap();
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for round in 0..20 {
        for codec in codecs {
            let producer = broker.producer().compression(codec).build().unwrap();
            for number in 0..3 {
                let value = format!("value {round}/{number} ").repeat(10);
                let record = Record::to("t").key("k").value(&value).partition(number % 2);
                producer.send(record).unwrap();
            }
            producer.flush().unwrap();
        }
    }
    let mut consumer = broker.consumer().group("g").build().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    while !consumer.poll(std::time::Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    // While it is in use, and staged, and after a clean open, and after a kill.
    let live = broker.verify().unwrap();
    assert!(live.is_clean(), "{live}");
    assert!(live.records >= 300 && live.segments > 8, "{live}");
    assert_eq!(live.partitions, 2 + 3);
    let killed = verified(&disk.duplicate());
    assert!(killed.is_clean(), "{killed}");
    broker.close().unwrap();
    let closed = verified(&disk);
    assert!(closed.is_clean(), "{closed}");
    assert_eq!(closed.records, live.records);
}

#[test]
fn verification_changes_no_byte_and_tells_how_far_it_is() {
    let (disk, _) = closed();
    let broker = support::open(&disk).unwrap();
    let before = disk.image();
    let mut last = 0;
    let report = broker
        .verify_with(|progress| {
            assert!(progress.bytes_done >= last && progress.bytes_done <= progress.bytes_total);
            last = progress.bytes_done;
        })
        .unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(last, report.bytes);
    assert_eq!(before.difference(&disk.image()), None);
    broker.close().unwrap();
}

#[test]
fn damage_is_named_with_file_position_and_offsets() {
    let (disk, end) = closed();
    let base = bases(&disk)[1];
    let path = log_file("t-0", base);
    let (position, _, count) = batches(&disk.read(&path).unwrap())[0];
    change(&disk, &path, |bytes| bytes[position + 62] ^= 4);
    let report = verified(&disk);
    assert!(report.has_damage());
    let [finding] = &report.findings[..] else {
        panic!("{report}");
    };
    assert_eq!(finding.severity, Severity::Damage);
    assert_eq!(finding.partition.as_ref().unwrap().to_string(), "t-0");
    assert_eq!(finding.file, path);
    assert_eq!(finding.position, Some(position as u64));
    assert_eq!(finding.offsets, Some(base..base + count));
    assert!(finding.offsets.as_ref().unwrap().end < end);
}

#[test]
fn what_is_made_again_is_told_from_damage() {
    let (disk, _) = closed();
    let broker = support::open(&disk).unwrap();
    let base = bases(&disk)[1];
    for suffix in ["seal", "index"] {
        assert!(disk.remove(segment_file("t-0", base, suffix)));
    }
    change(&disk, segment_file("t-0", base, "snapshot"), |bytes| {
        bytes[3] ^= 1;
    });
    let report = broker.verify().unwrap();
    assert!(!report.is_clean() && !report.has_damage(), "{report}");
    assert!(report.findings.len() >= 3, "{report}");
    broker.close().unwrap();
}

#[test]
fn appends_go_on_while_a_log_is_verified() {
    for durability in [Durability::Written, Durability::Synced] {
        let broker = Broker::in_memory();
        let config = TopicConfig::default()
            .segment_bytes(20_000)
            .durability(durability);
        broker.create_topic("t", config).unwrap();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for count in 0..3_000 {
                    append(&log, SALT, 1 + count % 5).unwrap();
                    if count % 100 == 0 {
                        let start = log.high_watermark() / 2;
                        log.delete_records(start).unwrap();
                    }
                }
            });
            while !writer.is_finished() {
                let report = broker.verify().unwrap();
                assert!(report.is_clean(), "{report}");
            }
        });
    }
}

#[test]
fn a_batch_that_compaction_emptied_is_no_finding() {
    let broker = support::open(&SimDisk::new()).unwrap();
    let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
    broker.create_topic("t", config).unwrap();
    let log = support::partition(&broker, "t", 0);
    // The last of a producer, and newer than all that is left.
    let producer = broker.producer().build().unwrap();
    let record = Record::to("t").key("k").value("old");
    let newest = record.timestamp(support::START + 1_000);
    producer.send(newest).unwrap();
    producer.flush().unwrap();
    for _ in 0..10 {
        let record = Record::value_only(&[7; 400]).key("k");
        log.append(&[record.timestamp(support::START)]).unwrap();
    }
    broker.run_housekeeping().unwrap();
    let report = broker.verify().unwrap();
    assert!(report.is_clean() && report.records < 5, "{report}");
}

#[test]
fn verification_beside_compaction_finds_nothing_wrong() {
    let broker = support::open(&SimDisk::without_syncs()).unwrap();
    let config = small_segments()
        .cleanup_policy(CleanupPolicy::Compact)
        .min_cleanable_dirty_ratio(0.0);
    broker.create_topic("t", config).unwrap();
    let log = support::partition(&broker, "t", 0);
    std::thread::scope(|scope| {
        let verifier = scope.spawn(|| {
            for _ in 0..300 {
                let report = broker.verify().unwrap();
                assert!(report.is_clean(), "{report}");
            }
        });
        while !verifier.is_finished() {
            for key in ["a", "b", "c", "d"] {
                let record = Record::value_only(&[7; 400]).key(key);
                log.append(&[record]).unwrap();
            }
            broker.run_housekeeping().unwrap();
        }
    });
}

/// One bit of each byte is flipped, in every file of a closed directory. Whoever opens and verifies it is
/// told, or the byte says nothing.
#[test]
fn every_flipped_bit_that_says_something_is_found() {
    let (disk, _) = closed();
    let mut unnoticed: BTreeSet<(String, usize)> = BTreeSet::new();
    let mut flips = 0;
    for (path, len) in disk.image().files() {
        for byte in 0..usize::try_from(len).unwrap() {
            flips += 1;
            let flipped = disk.duplicate();
            let bit = (byte * 7 + 3) % 8;
            change(&flipped, &path, |bytes| bytes[byte] ^= 1 << bit);
            if !is_noticed(&flipped) {
                let name = path.strip_prefix(DIR).unwrap();
                unnoticed.insert((name.display().to_string(), byte));
            }
        }
    }
    assert!(flips > 5_000, "{flips}");
    unnoticed.retain(|(name, _)| !says_nothing(name));
    assert!(unnoticed.is_empty(), "{flips} flips: {unnoticed:?}");
}

fn is_noticed(disk: &SimDisk) -> bool {
    let Ok(broker) = support::open(disk) else {
        return true;
    };
    let recovered = broker.recovery_report().clone();
    let before = disk.image();
    let report = broker.verify().unwrap();
    assert_eq!(before.difference(&disk.image()), None, "{report}");
    broker.close().unwrap();
    !recovered.is_clean() || !recovered.clean_shutdown || !report.is_clean()
}

/// Bytes without a meaning, or with a second source that is as good:
/// * of the two slots in `durable-ends` the other one counts, and what was written before is as true;
/// * of the clean marker, it counts that it is there;
/// * the spare file of the manifest holds a place;
/// * ids in `meta.properties` are asked for by Kafka alone;
/// * checkpoints of the directory are for when `durable-ends` is lost, and are written anew at the close.
fn says_nothing(name: &str) -> bool {
    let is_checkpoint = name.ends_with("-checkpoint") && !name.contains('/');
    let others = [
        "durable-ends",
        ".kafka_cleanshutdown",
        "meta.properties",
        "topics.manifest.spare",
    ];
    is_checkpoint || others.contains(&name)
}
