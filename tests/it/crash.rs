//! Crashes: what was promised before one is there after it, and nothing else.
//!
//! Goal: every acknowledged record survives what its durability says, the survivors are a prefix of
//! what was appended in whole batches, nothing is invented, topics and committed offsets are as
//! before or after the call that was under way, and the broker works on.
//!
//! Method: each workload runs once on a disk that records, with a ledger of what was promised when.
//! Then, for every operation of the disk, the disks that a crash there may leave are opened, compared
//! with the ledger, written to, closed, and opened again. `STREAMLOG_SEED` chooses other random
//! states; a failure names all that is needed to see it again.

mod check;
mod ledger;
mod run;
mod sweep;
mod workloads;

use std::time::Instant;

use streamlog::sim::{CrashKind, CrashPlan, SimDisk};

use check::{Promise, check_state, look, open};
use sweep::{Case, Tally, seed, sweep};
use workloads::WORKLOADS;

/// What each change has to pass.
const STATES: usize = 50_000;

#[test]
fn every_crash_leaves_what_was_promised() {
    let cases = sweep::record(WORKLOADS, SimDisk::recording);
    let started = Instant::now();
    // As many states a moment as it takes.
    let moments: usize = cases
        .iter()
        .map(|case| case.disk.operation_count() - case.first + 1)
        .sum();
    let plan = CrashPlan::new(seed()).random_subsets(6 + STATES / moments / 4);
    let tally = sweep(&cases, |case, at, tally| {
        for state in case.disk.crash_states(at, plan) {
            let promise = Promise {
                ledger: &case.ledger,
                at,
                kind: state.kind,
            };
            tally.check(case, at, &state.description, || {
                check_state(promise, &state.disk, case.durability).map(drop)
            });
        }
    });
    println!(
        "{} crash states at {moments} moments in {:?}",
        tally.states(),
        started.elapsed()
    );
    tally.expect_no_violation();
    assert!(tally.states() >= STATES, "only {} states", tally.states());
}

#[test]
fn a_crash_inside_recovery_changes_nothing() {
    let cases = sweep::record(WORKLOADS, SimDisk::recording);
    let started = Instant::now();
    let first = CrashPlan::new(seed())
        .single_operations(1)
        .cuts(1)
        .random_subsets(1);
    let second = CrashPlan::new(seed() + 1)
        .single_operations(1)
        .cuts(0)
        .random_subsets(1);
    let tally = sweep(&cases, |case, at, tally| {
        // Every moment would take too long, and neighbours differ little.
        if at % 8 != seed() as usize % 8 {
            return;
        }
        for state in case.disk.crash_states(at, first) {
            crash_again(case, at, &state, second, tally);
        }
    });
    println!(
        "{} crash states inside of recovery in {:?}",
        tally.states(),
        started.elapsed()
    );
    tally.expect_no_violation();
    assert!(tally.states() > 5_000, "only {} states", tally.states());
}

/// Crashes the recovery of a state at each of its operations.
fn crash_again(
    case: &Case,
    at: usize,
    state: &streamlog::sim::CrashState,
    plan: CrashPlan,
    tally: &Tally,
) {
    let disk = &state.disk;
    let began = disk.operation_count();
    let recovered = open(disk, case.durability).and_then(|broker| {
        let done = disk.operation_count();
        look(&broker, &case.ledger).map(|found| (found, done))
    });
    // What went wrong here, the other test tells.
    let Ok((recovered, done)) = recovered else {
        return;
    };
    for moment in began..=done {
        for again in disk.crash_states(moment, plan) {
            let description = format!(
                "{}; then, at operation {moment} of recovery: {}",
                state.description, again.description
            );
            let kind = if again.kind == CrashKind::PowerLoss {
                again.kind
            } else {
                state.kind
            };
            let promise = Promise {
                ledger: &case.ledger,
                at,
                kind,
            };
            tally.check(case, at, &description, || {
                let found = check_state(promise, &again.disk, case.durability)?;
                // Only what the first crash left in the cache alone can go now.
                let settled =
                    state.kind == CrashKind::PowerLoss || again.kind == CrashKind::ProcessCrash;
                if settled && found != recovered {
                    return Err(format!("recovered {found:?}, uninterrupted {recovered:?}"));
                }
                Ok(())
            });
        }
    }
}

/// The test of the test: a disk whose syncs do nothing must be found out by every workload that was
/// promised to survive power loss.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let promises_much = [
        "appends that survive power loss",
        "flushes",
        "producer that syncs",
        "close and reopen",
    ];
    let workloads = WORKLOADS
        .iter()
        .filter(|workload| promises_much.contains(&workload.name));
    let cases = sweep::record(workloads, SimDisk::without_syncs);
    assert_eq!(cases.len(), promises_much.len());
    let plan = CrashPlan::new(seed())
        .single_operations(0)
        .cuts(0)
        .random_subsets(0);
    for case in &cases {
        let tally = sweep(std::slice::from_ref(case), |case, at, tally| {
            for state in case.disk.crash_states(at, plan) {
                let promise = Promise {
                    ledger: &case.ledger,
                    at,
                    kind: state.kind,
                };
                tally.check(case, at, &state.description, || {
                    check_state(promise, &state.disk, case.durability).map(drop)
                });
            }
        });
        assert!(
            tally.violations() > 0,
            "{}: nobody noticed that nothing was synced",
            case.name
        );
    }
}
