//! What must not be left on a disk.

use std::path::{Path, PathBuf};

use streamlog::Partition;
use streamlog::sim::SimDisk;

use crate::support::DIR;

/// Endings of files that are on their way in or out.
const PASSING: [&str; 4] = ["deleted", "cleaned", "swap", "growing"];

/// No file below `dir` is one that only a crash leaves.
pub fn assert_none(disk: &SimDisk, dir: &Path) {
    let passing = files_in(disk, dir).into_iter().filter(|path| {
        let ending = path.extension().unwrap_or_default();
        PASSING.iter().any(|passing| ending == *passing)
    });
    let passing: Vec<_> = passing.collect();
    assert!(passing.is_empty(), "{passing:?}");
}

/// Of what lies below a log's start, there is the segment that reaches above, and no other.
pub fn assert_removed(disk: &SimDisk, log: &Partition) {
    let dir = Path::new(DIR).join(log.id().to_string());
    let files = files_in(disk, &dir);
    assert_none(disk, &dir);
    let bases: Vec<_> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .map(|path| base(path))
        .collect();
    assert!(!bases.is_empty(), "{files:?}");
    let start = log.log_start_offset();
    let behind = bases.iter().filter(|base| **base <= start).count();
    assert!(behind <= 1, "{start}: {files:?}");
    let first = bases[0];
    let left = files.iter().filter(|path| {
        let ending = path.extension().unwrap_or_default();
        ["index", "timeindex", "seal", "snapshot"].contains(&&*ending.to_string_lossy())
            && base(path) < first
    });
    assert_eq!(left.count(), 0, "{start}: {files:?}");
}

fn files_in(disk: &SimDisk, dir: &Path) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.starts_with(dir)).collect()
}

fn base(path: &Path) -> u64 {
    let name = path.file_stem().expect("a name").to_string_lossy();
    name.parse().expect("a base offset")
}
