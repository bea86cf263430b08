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

#[test]
fn a_copy_is_of_one_moment() {
    let disk = recording();
    let first = durable_file(&disk, "d/first", &[0; 8]);
    durable_file(&disk, "d/large", &vec![0; 1 << 20]);
    let last = durable_file(&disk, "d/last", &[0; 8]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                for file in [&first, &last] {
                    disk::write_all_at(&**file, &number.to_be_bytes(), 0).unwrap();
                }
            }
        });
        let number = |copy: &SimDisk, path| {
            let bytes = copy.read(path).unwrap();
            u64::from_be_bytes(bytes.try_into().unwrap())
        };
        let seen: Vec<_> = (0..50)
            .map(|_| disk.duplicate())
            .map(|copy| (number(&copy, "d/first"), number(&copy, "d/last")))
            .collect();
        is_over.store(true, Ordering::Relaxed);
        for (first, last) in seen {
            assert!(first == last || first == last + 1, "{first} and {last}");
        }
    });
}
