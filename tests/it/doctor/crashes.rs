//! Crashes and faults in the middle of a salvage.

use streamlog::sim::{CrashPlan, Fault, Operation};
use streamlog::{SalvageOptions, salvage};

use super::salvage::{all_batches, assert_restored, lost, salvaged};
use super::*;

/// Cut the power at every operation of a salvage: the next one ends as this one would have, and an open
/// in between finds the old partition or the new one.
#[test]
fn a_crash_at_any_operation_of_a_salvage_is_made_good() {
    let (damaged, end) = closed();
    let (path, position, _, offsets) = all_batches(&damaged)[9].clone();
    change(&damaged, path, |bytes| bytes[position + 70] ^= 1);
    support::open(&damaged).unwrap().close().unwrap();
    let expected: BTreeSet<_> = offsets.collect();
    // A recording disk with the same files.
    let disk = SimDisk::recording();
    for (path, _) in damaged.files() {
        disk.write(&path, damaged.read(&path).unwrap()).unwrap();
    }
    let first = disk.operation_count();
    let report = salvaged(&disk);
    assert_eq!(lost(&report), expected);
    let (mut states, mut interrupted) = (0, 0);
    for at in first..=disk.operation_count() {
        for state in disk.crash_states(at, CrashPlan::new(5).single_operations(4).random_subsets(2))
        {
            states += 1;
            let looked = state.disk.duplicate();
            let broker = support::open(&looked)
                .unwrap_or_else(|error| panic!("{}: {error}", state.description));
            let log = partition(&broker, "t", 0);
            assert_eq!(log.high_watermark(), end, "{}", state.description);
            drop(log);
            let damage = broker.recovery_report().has_damage();
            broker.close().unwrap();
            interrupted += u64::from(!damage);
            salvaged(&state.disk);
            assert_restored(&state.disk, end, &expected);
        }
    }
    println!("{states} states, {interrupted} opened without damage");
    assert!(states > 500);
}

#[test]
fn a_salvage_that_fails_leaves_the_partition_as_it_was() {
    for operation in [Operation::Write, Operation::Rename, Operation::Sync] {
        for after in 0..12 {
            let (disk, end) = closed();
            let (path, position, _, offsets) = all_batches(&disk)[9].clone();
            change(&disk, path, |bytes| bytes[position + 70] ^= 1);
            disk.fail(
                Fault::error(operation, std::io::ErrorKind::StorageFull)
                    .on_path("t-0.")
                    .after(after),
            );
            let failed = salvage(DIR, SalvageOptions::default().storage(disk.clone()));
            disk.clear_faults();
            if failed.is_err() {
                salvaged(&disk);
            }
            assert_restored(&disk, end, &offsets.collect());
        }
    }
}
