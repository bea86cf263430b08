//! What a simulated disk promises to the tests that use it.

mod crashes;
mod faults;
mod links;
mod plain_operations;

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;
use crate::disk::{self, Disk, DiskFile, OpenMode};

const SEED: u64 = 7;

fn recording() -> SimDisk {
    let disk = SimDisk::recording();
    disk.create_dir_all(Path::new("d")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk
}

fn open(disk: &SimDisk, path: &str, mode: OpenMode) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), mode).unwrap()
}

/// Writes a file whose name and content are durable.
fn durable_file(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = open(disk, path, OpenMode::Create);
    disk::write_all_at(&*file, bytes, 0).unwrap();
    file.sync().unwrap();
    disk::sync_parent(disk, Path::new(path)).unwrap();
    file
}

fn states(disk: &SimDisk) -> Vec<CrashState> {
    disk.crash_states(usize::MAX, CrashPlan::new(SEED))
        .collect()
}

/// The contents of `path` in all states of a kind, without repetitions. `None` where it is missing.
fn outcomes(disk: &SimDisk, kind: CrashKind, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    states(disk)
        .iter()
        .filter(|state| state.kind == kind)
        .map(|state| state.disk.read(path))
        .collect()
}

fn after_power_loss(disk: &SimDisk, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    outcomes(disk, CrashKind::PowerLoss, path)
}

fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}
