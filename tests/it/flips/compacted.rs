//! The same of a compacted log: its offsets have gaps, so the batches around a hit one do not tell that its
//! offset is wrong.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use streamlog::sim::SimDisk;
use streamlog::{Broker, CleanupPolicy, Error, Offset, Position, Record};

use super::step;
use crate::support::{self, partition, small_segments};

type Records = BTreeMap<Offset, (Vec<u8>, Vec<u8>)>;

fn compacted() -> (SimDisk, Records) {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    for number in 0..60 {
        let (key, value) = (
            format!("k{}", number * number % 17),
            format!("value {number}"),
        );
        let records = [
            Record::to("t").key(&key).value(&value),
            Record::to("t").key("often").value(&value),
        ];
        log.append(&records).unwrap();
    }
    let before = log.size_bytes();
    broker.run_housekeeping().unwrap();
    assert!(log.size_bytes() < before / 2);
    let (records, errors) = read(&broker);
    assert_eq!(errors, 0);
    drop(log);
    broker.close().unwrap();
    (disk, records)
}

/// All records that can be read, and how many times something could not.
fn read(broker: &Broker) -> (Records, usize) {
    let log = partition(broker, "t", 0);
    let mut reader = log.reader(Position::Earliest).unwrap();
    let (mut records, mut errors) = (Records::new(), 0);
    loop {
        match reader.next() {
            Ok(None) => return (records, errors),
            Ok(Some(record)) => {
                let bytes = |bytes: Option<&[u8]>| bytes.unwrap().to_vec();
                let found = (bytes(record.key()), bytes(record.value()));
                assert_eq!(records.insert(record.offset(), found), None, "twice");
            }
            Err(error) => {
                errors += 1;
                match error {
                    Error::Corrupt {
                        offsets: Some(lost),
                        ..
                    }
                    | Error::MissingSegment {
                        offsets: Some(lost),
                        ..
                    } if lost.end > reader.position() => {
                        reader.seek(Position::Offset(lost.end)).unwrap();
                    }
                    _ => return (records, errors),
                }
            }
        }
    }
}

fn flip(disk: &SimDisk, expected: &Records, path: &Path, bit: usize) {
    let disk = disk.duplicate();
    let mut bytes = disk.read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    disk.write(path, bytes).unwrap();
    let broker = support::open(&disk).unwrap();
    let (found, errors) = read(&broker);
    for (offset, record) in &found {
        assert_eq!(Some(record), expected.get(offset), "at offset {offset}");
    }
    let is_told = errors > 0 || broker.recovery_report().has_damage();
    assert!(
        is_told || found.len() == expected.len(),
        "records are gone, and nobody says so"
    );
}

#[test]
fn no_flipped_bit_of_a_compacted_log_gives_a_wrong_record() {
    let (disk, expected) = compacted();
    let files: Vec<(PathBuf, u64)> = disk.image().files();
    let mut failures = Vec::new();
    let mut flipped = 0;
    for (path, len) in files
        .iter()
        .filter(|(path, _)| path.starts_with("data/t-0"))
    {
        for bit in (0..usize::try_from(*len).unwrap() * 8).step_by(step()) {
            let outcome = catch_unwind(AssertUnwindSafe(|| flip(&disk, &expected, path, bit)));
            if outcome.is_err() {
                failures.push(format!(
                    "{} byte {} bit {}",
                    path.display(),
                    bit / 8,
                    bit % 8
                ));
            }
            flipped += 1;
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {flipped}: {:#?}",
        failures.len(),
        &failures[..10.min(failures.len())]
    );
    assert!(flipped * step() > 10_000, "{flipped} bits");
}
