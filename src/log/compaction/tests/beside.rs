//! What compaction leaves, beside everything else that happens to a log.

use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::disk::Disk;
use crate::log::AppendContext;
use crate::log::compaction::swap;
use crate::sim::{Fault, Operation};
use crate::{Record, SalvageOptions};

fn file(name: &str) -> PathBuf {
    Path::new("data/t-0").join(name)
}

/// Batches of keys of their own in front of those that supersede one another, so that more than one segment
/// is left, and the first ends before the second begins.
fn with_gap_between_segments() -> Fixture {
    let fixture = Fixture::new(config());
    for number in 0..8 {
        fixture.put(&[(&format!("first {number}"), Some("stays"))]);
    }
    fixture.put(&[("a", Some("goes"))]);
    fixture.roll();
    for number in 0..8 {
        fixture.put(&[(&format!("second {number}"), Some("stays"))]);
    }
    fixture.put(&[("a", Some("stays"))]);
    fixture.roll();
    fixture.compact_at(0, PLENTY).unwrap();
    let segments = fixture.log.log().segments();
    let ends: Vec<_> = segments.iter().map(|segment| segment.base()).collect();
    assert!(ends.contains(&9), "{ends:?}");
    assert!(!fixture.batches().iter().any(|(base, _)| *base == 8));
    fixture
}

#[test]
fn what_is_gone_at_the_end_of_a_segment_is_no_loss_when_its_seal_is() {
    let Fixture { disk, broker, log } = with_gap_between_segments();
    let bases: Vec<_> = log.log().segments().iter().map(|it| it.base()).collect();
    drop(log);
    broker.close().unwrap();
    for base in bases {
        disk.remove(file(&format!("{base:020}.seal")));
    }
    let broker = open(&disk);
    for (_, recovery) in &broker.recovery_report().partitions {
        assert!(recovery.damage.is_empty(), "{:?}", recovery.damage);
    }
    let log = log_of(&broker);
    let fixture = Fixture { disk, broker, log };
    assert_eq!(fixture.records().len(), 17);
    assert_eq!(fixture.reopened().records().len(), 17);
}

#[test]
fn a_segment_that_is_missing_behind_a_compacted_one_is_reported() {
    let Fixture { disk, broker, log } = with_gap_between_segments();
    drop(log);
    broker.close().unwrap();
    for kind in ["log", "index", "timeindex", "seal"] {
        disk.remove(file(&format!("{:020}.{kind}", 9)));
    }
    let broker = open(&disk);
    let damage = broker
        .recovery_report()
        .partitions
        .iter()
        .flat_map(|(_, recovery)| &recovery.damage);
    let damage: Vec<_> = damage.collect();
    assert!(
        damage.len() == 1 && damage[0].contains("the records were in it, and are not there"),
        "{damage:?}"
    );
}

#[test]
fn a_segment_that_is_missing_is_not_hidden_between_two_that_become_one() {
    let fixture = Fixture::new(config());
    for value in ["1", "2", "3"] {
        fixture.put(&[("a", Some(value))]);
        fixture.roll();
    }
    let Fixture { disk, broker, log } = fixture;
    drop(log);
    broker.close().unwrap();
    for kind in ["log", "index", "timeindex", "seal"] {
        disk.remove(file(&format!("{:020}.{kind}", 1)));
    }
    let broker = open(&disk);
    let log = log_of(&broker);
    let fixture = Fixture { disk, broker, log };
    let refused = fixture.try_compact(0, PLENTY);
    assert!(
        matches!(refused, Err(Error::MissingSegment { .. })),
        "{refused:?}"
    );
    assert!(fixture.disk.read(file(&format!("{:020}.log", 0))).is_some());
}

#[test]
fn a_transaction_of_which_a_header_is_left_is_not_open() {
    let fixture = Fixture::new(config());
    let stamp = ProducerStamp {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
    };
    fixture.put_as(&[("a", Some("old"))], stamp, true, Compression::None);
    fixture.end_transaction(MarkerKind::Commit, 7);
    for round in 0..3 {
        fixture.put(&[("a", Some("new"))]);
        fixture.roll();
        fixture.compact_at(round * 2 * DAY, PLENTY).unwrap();
    }
    let batches = fixture.batches();
    assert_eq!(batches[0], (0, 0), "the last batch of its producer");
    assert!(!batches.iter().any(|(base, _)| *base == 1), "{batches:?}");
    // Without snapshots, the batches say who has a transaction open.
    let Fixture { disk, broker, log } = fixture;
    drop(log);
    broker.close().unwrap();
    for (path, _) in disk.files() {
        if path.extension().is_some_and(|kind| kind == "snapshot") {
            disk.remove(&path);
        }
    }
    let broker = open(&disk);
    let log = log_of(&broker);
    let end = log.high_watermark();
    assert_eq!(log.log().stable_end(), end, "nothing is open");
}

#[test]
fn what_a_pass_goes_by_is_durable_before_anything_is_dropped() {
    let fixture = Fixture::new(config());
    let stamp = ProducerStamp {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
    };
    fixture.put(&[("a", Some("old"))]);
    fixture.put_as(&[("a", Some("new"))], stamp, true, Compression::None);
    fixture.roll();
    // In the active segment. Without it, the transaction is aborted and the old record counts.
    fixture.end_transaction(MarkerKind::Commit, 7);
    assert!(fixture.log.durable_end() < fixture.log.log().end_offset());
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.log.durable_end(), fixture.log.log().end_offset());
    assert_eq!(fixture.records(), [record(1, "a", "new")]);
}

#[test]
fn no_unsynced_record_is_shown_to_who_stands_in_a_gap_before_it() {
    let disk = SimDisk::new();
    let config = TopicConfig::default().durability(Durability::Synced);
    let Fixture { broker, log, .. } = Fixture::on(disk.clone(), config);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    for value in ["first", "second"] {
        partition.append(&[Record::value_only(value)]).unwrap();
    }
    drop((partition, log));
    broker.close().unwrap();
    let path = file("00000000000000000000.log");
    let mut bytes = disk.read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    disk.write(&path, bytes).unwrap();
    let report = crate::salvage("data", SalvageOptions::default().storage(disk.clone())).unwrap();
    assert_eq!(report.partitions[0].end, 2);
    let broker = open(&disk);
    let log = log_of(&broker);
    let mut batch = BatchBuilder::new(100, Compression::None);
    batch.push(1000, None, Some(b"unsynced"), &Headers::default());
    let batch = batch.finish(ProducerStamp::NONE, false).unwrap();
    let context = AppendContext {
        config: &log.config(),
        durability: Durability::Synced,
        now: 1000,
    };
    log.log().append(batch, context).unwrap();
    assert_eq!(log.high_watermark(), 2, "it is not to be seen yet");
    let mut cursor = Cursor::at(1);
    let fetched = log.fetch(&mut cursor).unwrap();
    assert!(fetched.is_none(), "{:?}", fetched.map(|it| it.header));
    assert_eq!(cursor.next_offset, 2);
}

#[test]
fn a_split_that_another_program_did_not_finish_is_taken_back() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("data/t-0")).unwrap();
    // As Kafka leaves it: the last part got its name first, and the whole is still there.
    for name in [
        "00000000000000000000.log",
        "00000000000000000000.log.cleaned",
        "00000000000000000010.log.swap",
        "00000000000000000010.index.swap",
    ] {
        disk.write(file(name), "bytes").unwrap();
    }
    let dir = Path::new("data/t-0");
    swap::settle(&disk, dir, &disk.list(dir).unwrap()).unwrap();
    let left: Vec<_> = disk.list(dir).unwrap();
    let left: Vec<_> = left.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(left, ["00000000000000000000.log"]);
}

#[test]
fn a_removal_that_failed_is_not_finished_in_a_later_topic_of_the_same_name() {
    let fixture = Fixture::new(TopicConfig::default());
    fixture.put(&[("a", Some("1"))]);
    fixture.roll();
    fixture.disk.fail(
        Fault::error(Operation::Rename, io::ErrorKind::Other)
            .on_path(".log.deleted")
            .sticky(),
    );
    let partition = fixture.broker.topic("t").unwrap().partition(0).unwrap();
    let _ = partition.delete_records(1);
    assert!(fixture.disk.faults_struck() > 0);
    fixture.disk.clear_faults();
    let former = Arc::clone(&fixture.log);
    fixture.broker.delete_topic("t").unwrap();
    fixture
        .broker
        .create_topic("t", TopicConfig::default())
        .unwrap();
    let log = log_of(&fixture.broker);
    let fixture = Fixture { log, ..fixture };
    fixture.put(&[("b", Some("2"))]);
    former.log().remove_below_start().unwrap();
    let names: Vec<_> = fixture.disk.files();
    assert!(
        names
            .iter()
            .any(|(path, _)| path.ends_with("t-0/00000000000000000000.log")),
        "{names:?}"
    );
}

#[test]
fn the_batch_that_a_pass_ends_with_stays_without_its_records() {
    let fixture = Fixture::new(config());
    let put = |key, base_sequence, transactional| {
        let stamp = ProducerStamp {
            producer_id: 7,
            producer_epoch: 0,
            base_sequence,
        };
        fixture.put_as(&[(key, Some("v"))], stamp, transactional, Compression::None);
    };
    fixture.put(&[("a", Some("old"))]);
    put("a", 0, true);
    fixture.roll();
    fixture.end_transaction(MarkerKind::Abort, 7);
    // So it is not the producer for whom the batch stays.
    put("b", 1, false);
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.batches(), [(0, 1), (1, 0), (2, 1), (3, 1)]);
}

#[test]
fn what_lies_beside_a_committed_output_is_on_the_device() {
    let fixture = Fixture::on(SimDisk::recording(), config());
    fixture.put(&[("a", Some("1"))]);
    fixture.put(&[("a", Some("2"))]);
    fixture.roll();
    // It stays as it was committed.
    let fault = Fault::error(Operation::Rename, io::ErrorKind::Other).on_path(".index");
    fixture.disk.fail(fault.sticky());
    fixture.compact_at(0, PLENTY).unwrap();
    let durable = fixture.disk.durable_image();
    for kind in ["log", "index", "timeindex", "seal"] {
        let name = file(&format!("{:020}.{kind}.swap", 0));
        let written = fixture.disk.read(&name);
        assert!(written.is_some(), "{kind}");
        assert_eq!(durable.read(&name), written.as_deref(), "{kind}");
    }
}

#[test]
fn a_replaced_segment_opens_nothing_by_its_former_name() {
    let fixture = Fixture::new(config());
    fixture.put(&[("a", Some("1"))]);
    fixture.put(&[("a", Some("2"))]);
    fixture.roll();
    let former = Arc::clone(&fixture.log.log().segments()[0]);
    fixture.compact_at(0, PLENTY).unwrap();
    former.unmap();
    let read = former.read_batch(0, None);
    assert!(matches!(read, Err(Error::Io { .. })), "{read:?}");
}
