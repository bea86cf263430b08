//! Segments whose offsets have gaps: nothing but their seal tells a wrong frame from a right one.

use streamlog::sim::SimDisk;
use streamlog::{CleanupPolicy, Error, Position, Record};

use crate::support::{self, log_file, partition, small_segments};

/// A closed directory with one compacted segment of some batches, and a last one.
fn compacted() -> SimDisk {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
    broker.create_topic("t", config).unwrap();
    let log = partition(&broker, "t", 0);
    for number in 0..30 {
        // The first ones stay.
        let key = format!("k{}", number.min(6));
        log.append(&[Record::value_only(&[7; 100]).key(&key)])
            .unwrap();
    }
    broker.run_housekeeping().unwrap();
    broker.close().unwrap();
    disk
}

#[test]
fn a_wrong_frame_is_an_error_to_readers_and_never_a_gap() {
    let closed = compacted();
    let path = log_file("t-0", 0);
    let bytes = closed.read(&path).unwrap();
    let size = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    assert!(bytes.len() > 2 * size, "two batches at least");
    for batch in [0, size] {
        for bit in 0..21 * 8 {
            let disk = closed.duplicate();
            let mut flipped = bytes.clone();
            flipped[batch + bit / 8] ^= 1 << (bit % 8);
            disk.write(&path, &flipped).unwrap();
            let broker = support::open(&disk).unwrap();
            let log = partition(&broker, "t", 0);
            let is_told = |error: &Error| matches!(error, Error::Corrupt { .. });
            let mut reader = log.reader(Position::Earliest).unwrap();
            let error = reader.next().map(|_| ()).unwrap_err();
            assert!(is_told(&error), "byte {}: {error}", batch + bit / 8);
            let error = log.offset_for_timestamp(0).unwrap_err();
            assert!(is_told(&error), "byte {}: {error}", batch + bit / 8);
        }
    }
}
