//! Verification and salvage: what is wrong is found, what is good is kept, and nothing is made up.
//!
//! Method: small logs on the simulated disk, of records that are known by their offset; damage of every
//! kind is planted, and what verification and salvage say and leave is compared with what was written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use streamlog::sim::SimDisk;
use streamlog::{Broker, Compression, Offset, Position, Record, TopicConfig, VerifyReport};

use crate::support::{self, DIR, append, partition, small_segments};

mod crashes;
mod salvage;
mod verify;

const SALT: u64 = 11;

/// A closed directory with a topic `t` of one partition, several segments, and a group; where its log ends.
fn closed() -> (SimDisk, Offset) {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    for count in 0..40 {
        append(&log, SALT, 1 + count % 3).unwrap();
    }
    let end = log.high_watermark();
    let group = broker.group("g");
    group.reset_offsets("t", Position::Offset(end - 5)).unwrap();
    broker.close().unwrap();
    (disk, end)
}

fn verified(disk: &SimDisk) -> VerifyReport {
    let broker = support::open(disk).unwrap();
    let report = broker.verify().unwrap();
    broker.close().unwrap();
    report
}

/// Base offsets of the segments of `t-0`.
fn bases(disk: &SimDisk) -> Vec<Offset> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    let logs = files.filter(|path| {
        path.parent() == Some(&Path::new(DIR).join("t-0"))
            && path.extension().is_some_and(|suffix| suffix == "log")
    });
    logs.map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        .collect()
}

/// Positions, sizes and record counts of the batches of a segment's file.
fn batches(bytes: &[u8]) -> Vec<(usize, usize, u64)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let size = 12 + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
        let delta = u32::from_be_bytes(bytes[at + 23..at + 27].try_into().unwrap());
        found.push((at, size, u64::from(delta) + 1));
        at += size;
    }
    found
}

fn change(disk: &SimDisk, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.read(&path).unwrap();
    change(&mut bytes);
    disk.write(&path, bytes).unwrap();
}
