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
mod killed;
mod ledger;
mod look;
mod promise;
mod run;
mod sweep;
mod workloads;

use std::time::Instant;

use streamlog::sim::{CrashKind, CrashPlan, CrashState, SimDisk};

use check::check_state;
use look::{look, open};
use promise::Promise;
use sweep::{Case, Tally, is_partial, record, seed, sweep};
use workloads::workloads;

/// What each change has to pass.
const STATES: usize = 50_000;
/// And how many of logs that are compacted, grow old, or are copied.
const CLEANED_STATES: usize = 40_000;

#[test]
fn every_crash_leaves_what_was_promised() {
    let cases = record(workloads(), SimDisk::recording);
    let started = Instant::now();
    let plan = CrashPlan::new(seed()).random_subsets(10);
    let tally = sweep(&cases, 1, |case, at, tally| visit(case, at, plan, tally));
    println!(
        "{} crash states, {} of them of logs that are cleaned, in {:?}",
        tally.states(),
        tally.cleaned_states(),
        started.elapsed()
    );
    tally.expect_no_violation();
    assert!(
        tally.states() >= STATES || is_partial(),
        "only {} states",
        tally.states()
    );
    assert!(
        tally.cleaned_states() >= CLEANED_STATES || is_partial(),
        "only {} states of logs that are cleaned",
        tally.cleaned_states()
    );
}

fn visit(case: &Case, at: usize, plan: CrashPlan, tally: &Tally) {
    // Much is done with each of them.
    let plan = if case.cleans {
        plan.single_operations(2).cuts(1).random_subsets(3)
    } else {
        plan
    };
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
}

#[test]
fn a_crash_inside_recovery_changes_nothing() {
    let workloads = workloads().filter(|workload| !workload.large);
    let cases = record(workloads, SimDisk::recording);
    let started = Instant::now();
    let first = CrashPlan::new(seed())
        .single_operations(1)
        .cuts(1)
        .random_subsets(2);
    let second = CrashPlan::new(seed())
        .single_operations(1)
        .cuts(0)
        .random_subsets(1);
    // Recoveries from neighbouring moments differ little.
    let tally = sweep(&cases, 47, |case, at, tally| {
        for state in case.disk.crash_states(at, first) {
            crash_again(case, at, &state, second, tally);
        }
    });
    println!(
        "{} crash states, {} of them of logs that are cleaned, in {:?}",
        tally.states(),
        tally.cleaned_states(),
        started.elapsed()
    );
    tally.expect_no_violation();
    assert!(
        tally.states() >= STATES / 5 || is_partial(),
        "only {} states",
        tally.states()
    );
}

/// Crashes the recovery of a state at each of its operations.
fn crash_again(case: &Case, at: usize, first: &CrashState, plan: CrashPlan, tally: &Tally) {
    let disk = &first.disk;
    let began = disk.operation_count();
    let recovered = open(disk, case.durability).and_then(|broker| {
        let done = disk.operation_count();
        look(&broker, &case.ledger).map(|found| (found, done))
    });
    // What is wrong with the first crash, the other test tells.
    let Ok((recovered, done)) = recovered else {
        return;
    };
    for moment in began..=done {
        for second in disk.crash_states(moment, plan) {
            let description = format!(
                "{}; then, after operation {moment} of recovery ({}), {}",
                first.description,
                disk.describe_operation(moment).unwrap_or_default(),
                second.description
            );
            let lost_power = second.kind == CrashKind::PowerLoss;
            let kind = if lost_power { second.kind } else { first.kind };
            let promise = Promise {
                ledger: &case.ledger,
                at,
                kind,
            };
            tally.check(case, at, &description, || {
                if moment == done && !lost_power {
                    expect_nothing_to_recover(&second.disk.duplicate(), case)?;
                }
                let found = check_state(promise, &second.disk, case.durability)?;
                // What the first crash left on the disk is there to stay, and so is what it took. Only
                // what it left in the cache can still go.
                let settled = first.kind == CrashKind::PowerLoss || !lost_power;
                if settled && found != recovered {
                    return Err(format!("{found:?}, but {recovered:?} without the crash"));
                }
                Ok(())
            });
        }
    }
}

/// What one recovery decided, the next one finds done.
fn expect_nothing_to_recover(disk: &SimDisk, case: &Case) -> Result<(), String> {
    let broker = open(disk, case.durability)?;
    let report = broker.recovery_report();
    if report.is_clean() {
        Ok(())
    } else {
        Err(format!("there is something left to recover: {report:?}"))
    }
}

/// The test of the test: a disk whose syncs do nothing is found out by every workload that relies on
/// them.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let names = [
        "appends that survive power loss",
        "flushes",
        "producer that syncs",
        "close and reopen",
        "creating topics",
        "deleting records",
        "compacting again and again",
        "segments that grow too old",
        "checkpoints of logs that are compacted",
    ];
    let workloads = workloads().filter(|workload| names.contains(&workload.name));
    let plan = CrashPlan::new(seed())
        .single_operations(0)
        .cuts(0)
        .random_subsets(0);
    for case in record(workloads, SimDisk::without_syncs) {
        let tally = sweep(std::slice::from_ref(&case), 1, |case, at, tally| {
            visit(case, at, plan, tally);
        });
        assert!(
            tally.violations() > 0,
            "{}: nobody noticed that nothing was synced",
            case.name
        );
    }
}
