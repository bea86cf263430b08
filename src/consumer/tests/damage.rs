//! Damage: named, never skipped, and it stays where it is. Control batches: skipped, never shown.

use super::*;
use crate::Durability;
use crate::Error;
use crate::format::batch::{HEADER_LEN, UNPROTECTED_LEN};
use crate::format::control::{MarkerKind, marker};
use crate::sim::SimDisk;

const LOG: &str = "data/t-0/00000000000000000000.log";

fn open(disk: &SimDisk) -> Broker {
    Broker::builder("data")
        .storage(disk.clone())
        .background(false)
        .open()
        .unwrap()
}

/// Three batches of two records in partition 0, the middle one damaged, and one batch in partition 1.
fn damaged() -> SimDisk {
    let disk = SimDisk::new();
    let broker = open(&disk);
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    for start in [0, 2, 4] {
        append(&broker, "t", 0, start..start + 2);
    }
    append(&broker, "t", 1, [100]);
    broker.close().unwrap();
    let mut bytes = disk.read(LOG).unwrap();
    let batch = bytes.len() / 3;
    bytes[batch + HEADER_LEN + 3] ^= 1;
    disk.write(LOG, bytes).unwrap();
    disk
}

#[test]
fn damage_is_named_again_and_again_until_the_caller_seeks_past_it() {
    let disk = damaged();
    let broker = open(&disk);
    let mut consumer = earliest(&broker).build().unwrap();
    consumer.assign(&[id("t", 0)]).unwrap();
    assert_eq!(
        values(&look(&mut consumer)),
        [0, 1],
        "what is good comes first"
    );
    for _ in 0..3 {
        let poll = consumer.poll(LONG);
        assert!(matches!(poll, Err(Error::Corrupt { position, .. }) if position > 0));
        assert_eq!(consumer.position(&id("t", 0)).unwrap(), 2);
    }
    consumer.seek(&id("t", 0), Position::Offset(4)).unwrap();
    assert_eq!(values(&look(&mut consumer)), [4, 5]);
}

/// A batch whose checksum is good and whose record contradicts the format: its writer was wrong.
#[test]
fn a_malformed_record_among_small_batches_is_named_before_it_is_reached() {
    const SIZE: usize = HEADER_LEN + 8;
    let disk = SimDisk::new();
    let broker = open(&disk);
    broker.create_topic("t", TopicConfig::default()).unwrap();
    for value in 0..6 {
        append(&broker, "t", 0, [value]);
    }
    broker.close().unwrap();
    let mut bytes = disk.read(LOG).unwrap();
    assert_eq!(bytes.len(), 6 * SIZE);
    let batch = &mut bytes[3 * SIZE..4 * SIZE];
    batch[SIZE - 1] = 2;
    let crc = crc_fast::crc32_iscsi(&batch[UNPROTECTED_LEN..]);
    batch[UNPROTECTED_LEN - 4..UNPROTECTED_LEN].copy_from_slice(&crc.to_be_bytes());
    disk.write(LOG, bytes).unwrap();

    let broker = open(&disk);
    for most in [2, 100] {
        let mut consumer = subscribed(earliest(&broker).max_poll_records(most), "t");
        let mut seen = Vec::new();
        let error = loop {
            match consumer.poll(Duration::ZERO) {
                Ok(records) => seen.extend(values(&records)),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, [0, 1, 2]);
        let text = error.to_string();
        assert!(
            text.contains("batch of offsets 3 to 3: header count"),
            "{text}"
        );
        assert!(consumer.poll(Duration::ZERO).is_err(), "it stays");
        consumer.seek(&id("t", 0), Position::Offset(4)).unwrap();
        assert_eq!(values(&look(&mut consumer))[..1], [4]);
    }
    let mut reader = partition(&broker, "t", 0)
        .reader(Position::Earliest)
        .unwrap();
    for _ in 0..3 {
        assert!(reader.next().unwrap().is_some());
    }
    for _ in 0..2 {
        assert!(matches!(reader.next(), Err(Error::Corrupt { .. })));
        assert_eq!(reader.position(), 3);
    }
}

#[test]
fn a_damaged_partition_does_not_starve_the_others() {
    let disk = damaged();
    let broker = open(&disk);
    let mut consumer = subscribed(earliest(&broker), "t");
    let (mut seen, mut errors) = (Vec::new(), 0);
    for value in 101..110 {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => seen.extend(values(&records)),
            Err(Error::Corrupt { .. }) => errors += 1,
            Err(other) => panic!("{other}"),
        }
        append(&broker, "t", 1, [value]);
    }
    assert!(errors >= 3, "the damage is told: {errors} times");
    assert!(seen.contains(&107), "the others go on: {seen:?}");
}

#[test]
fn a_reader_stays_at_the_damage_too() {
    let disk = damaged();
    let broker = open(&disk);
    let mut reader = partition(&broker, "t", 0)
        .reader(Position::Offset(1))
        .unwrap();
    assert_eq!(reader.next().unwrap().unwrap().offset(), 1);
    for _ in 0..2 {
        assert!(matches!(reader.next(), Err(Error::Corrupt { .. })));
        assert!(matches!(reader.wait(LONG), Err(Error::Corrupt { .. })));
        assert_eq!(reader.position(), 2);
    }
    reader.seek(Position::Offset(4)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().offset(), 4);
}

#[test]
fn control_batches_are_stepped_over() {
    let broker = broker_with("t", 1);
    let mut consumer = subscribed(earliest(&broker), "t");
    let log = consumer.broker.topic("t").unwrap().partitions.load()[0].clone();
    log.append(
        &mut marker(MarkerKind::Commit, 7, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    append(&broker, "t", 0, [1]);
    log.append(
        &mut marker(MarkerKind::Abort, 7, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    assert_eq!(offsets(&look(&mut consumer)), [1]);
    assert_eq!(
        consumer.position(&id("t", 0)).unwrap(),
        3,
        "past the last marker, too"
    );
    assert_eq!(consumer.lag(&id("t", 0)).unwrap(), 0);
}
