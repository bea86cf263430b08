//! The manifest is replaced as a whole or not at all, and a full disk does not keep it from making room.

use crate::disk::read_file;
use crate::format::manifest::ManifestTopic;
use crate::format::topic_id::TopicId;
use crate::sim::{CrashPlan, Fault, Operation, SimDisk};

use super::*;

const ROOT: &str = "data";
const SEED: u64 = 71;

fn manifest(partitions: u32, log_starts: Vec<(u32, u64)>) -> Manifest {
    Manifest {
        next_producer_id: 7,
        topics: vec![ManifestTopic {
            name: "queue".to_owned(),
            id: TopicId::from_random([3; 16]),
            partitions,
            adopted: false,
            config: Vec::new(),
            log_starts,
        }],
        deleted: Vec::new(),
    }
}

/// The longest that a manifest of these partitions gets.
fn shortened(partitions: u32) -> Manifest {
    manifest(
        partitions,
        (0..partitions).map(|number| (number, u64::MAX)).collect(),
    )
}

/// A disk with a manifest, which is full now.
fn full(partitions: u32) -> (SimDisk, ManifestFile) {
    let disk = SimDisk::recording();
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    sync_parent(&disk, Path::new(ROOT)).unwrap();
    let file = ManifestFile::new(Path::new(ROOT), Arc::new(disk.clone()));
    file.store(&manifest(partitions, Vec::new()), Effect::TakesRoom)
        .unwrap();
    disk.set_capacity(Some(disk.used()));
    (disk, file)
}

fn on(disk: &SimDisk) -> Manifest {
    load(disk, Path::new(ROOT)).unwrap().unwrap()
}

#[test]
fn a_full_disk_takes_a_manifest_that_makes_room_and_no_other() {
    for partitions in [1, 50, 2_000] {
        let (disk, file) = full(partitions);
        let refused = file.store(&manifest(partitions + 1, Vec::new()), Effect::TakesRoom);
        assert!(
            matches!(refused, Err(Error::DiskFull { .. })),
            "{refused:?}"
        );
        assert_eq!(on(&disk), manifest(partitions, Vec::new()));
        file.store(&shortened(partitions), Effect::MakesRoom)
            .unwrap();
        assert_eq!(on(&disk), shortened(partitions));
    }
}

#[test]
fn a_spare_file_of_an_earlier_process_is_as_good() {
    let (disk, _) = full(3);
    let file = ManifestFile::new(Path::new(ROOT), Arc::new(disk.clone()));
    file.store(&shortened(3), Effect::MakesRoom).unwrap();
    assert_eq!(on(&disk), shortened(3));
}

#[test]
fn the_spare_file_is_renewed_as_soon_as_there_is_room() {
    let (disk, file) = full(3);
    file.store(&shortened(3), Effect::MakesRoom).unwrap();
    assert_eq!(disk.read("data/topics.manifest.spare"), None);
    disk.set_capacity(Some(disk.used()));
    let refused = file.store(&shortened(3), Effect::MakesRoom);
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    disk.set_capacity(None);
    file.store(&manifest(4, Vec::new()), Effect::TakesRoom)
        .unwrap();
    disk.set_capacity(Some(disk.used()));
    file.store(&shortened(4), Effect::MakesRoom).unwrap();
    assert_eq!(on(&disk), shortened(4));
}

#[test]
fn a_spare_file_that_somebody_took_away_refuses_as_if_there_were_none() {
    let (disk, file) = full(3);
    disk.remove("data/topics.manifest.spare");
    disk.set_capacity(Some(disk.used()));
    let refused = file.store(&shortened(3), Effect::MakesRoom);
    assert!(refused.is_err());
    assert_eq!(on(&disk), manifest(3, Vec::new()));
}

#[test]
fn a_manifest_that_cannot_be_made_of_the_spare_file_leaves_the_old_one() {
    for operation in [
        Operation::Open,
        Operation::Write,
        Operation::SetLength,
        Operation::Sync,
        Operation::Rename,
    ] {
        let (disk, file) = full(3);
        // Of a rename, the new name counts.
        let path = if operation == Operation::Rename {
            "topics.manifest"
        } else {
            ".spare"
        };
        disk.fail(Fault::error(operation, io::ErrorKind::Other).on_path(path));
        let failed = file.store(&shortened(3), Effect::MakesRoom);
        assert!(failed.is_err(), "{operation:?}");
        assert_eq!(on(&disk), manifest(3, Vec::new()), "{operation:?}");
        // Whatever is left of the spare file.
        file.store(&shortened(3), Effect::MakesRoom)
            .unwrap_or_else(|error| panic!("{operation:?}: {error}"));
        assert_eq!(on(&disk), shortened(3), "{operation:?}");
    }
}

#[test]
fn a_crash_leaves_one_of_the_two_manifests() {
    let (disk, file) = full(3);
    let before = disk.operation_count();
    file.store(&shortened(3), Effect::MakesRoom).unwrap();
    let end = disk.operation_count();
    let mut states = 0;
    for at in before..=end {
        for crash in disk.crash_states(at, CrashPlan::new(SEED)) {
            let found = on(&crash.disk);
            assert!(
                found == shortened(3) || (at < end && found == manifest(3, Vec::new())),
                "operation {at}"
            );
            let spare = read_file(
                &crash.disk,
                Path::new("data/topics.manifest.spare"),
                1 << 20,
            );
            assert!(spare.is_ok());
            states += 1;
        }
    }
    assert!(states > 20, "{states}");
}
