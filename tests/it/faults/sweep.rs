//! Makes each disk operation of a workload fail, in each way it can, once or for good.
//!
//! ```text
//!   sound run ─▶ how many operations ─▶ cases ─▶ one run each: work ─▶ killed? power lost? ─▶ sound again, go on
//! ```
//! Elsewhere: the ways to fail ([`kind`](super::kind)), and the workloads beside this file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamlog::Error;
use streamlog::sim::{CrashKind, CrashPlan, Operation, SimDisk};

use super::kind::{KINDS, Kind};

/// One failure: the operation of a kind with this number.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub operation: Operation,
    pub at: u64,
    pub kind: Kind,
    pub sticky: bool,
}

/// How a broker came to its end before it is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    PowerLost,
    Closed,
}

/// What is done on a disk that fails, and what was promised by then.
pub trait Workload: Sized {
    /// Opens a broker on a disk that is sound so far.
    fn begin(disk: SimDisk) -> Self;
    /// Does what may fail, and notes what the calls answer.
    fn work(&mut self);
    fn errors(&self) -> &[Error];
    /// Looks at what is there; `reads_fail` if the disk may fail those, too.
    fn look(&mut self, reads_fail: bool);
    /// The disk is sound again: whoever was not stopped goes on, and what was begun is finished.
    fn go_on(&mut self);
    fn close(&mut self);
    /// Opens what is left, and holds it against what was promised.
    fn check(&self, disk: &SimDisk, end: End);
}

/// Runs a workload on copies of a disk, with every failure; of the ways in which one operation can fail, a
/// part in `thin` in turn.
pub fn sweep<W: Workload>(name: &str, prepared: &SimDisk, thin: usize) {
    let cases = cases(sound_run::<W>(prepared), thin);
    run_all(name, &cases, |case| case.run::<W>(prepared));
}

/// How many operations of each kind a run takes that nothing disturbs.
fn sound_run<W: Workload>(prepared: &SimDisk) -> impl Fn(Operation) -> u64 {
    let disk = prepared.duplicate();
    let mut workload = W::begin(disk.clone());
    let before = Operation::ALL.map(|operation| disk.count(operation));
    workload.work();
    let after = Operation::ALL.map(|operation| disk.count(operation));
    assert!(workload.errors().is_empty(), "{:?}", workload.errors());
    workload.look(false);
    for (end, disk) in crashes(&disk) {
        workload.check(&disk, end);
    }
    workload.go_on();
    workload.close();
    assert!(workload.errors().is_empty(), "{:?}", workload.errors());
    workload.check(&disk, End::Closed);
    move |operation| {
        let index = Operation::ALL.iter().position(|it| *it == operation);
        index.map_or(0, |index| after[index] - before[index])
    }
}

/// Every operation with every way to fail, or a part in `thin` of those.
pub fn cases(count: impl Fn(Operation) -> u64, thin: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in Operation::ALL {
        let kinds = KINDS.into_iter().filter(|kind| kind.strikes(operation));
        let ways: Vec<_> = kinds
            .flat_map(|kind| [(kind, false), (kind, true)])
            .collect();
        // Each operation fails in some way.
        let thin = thin.min(ways.len());
        for at in 0..count(operation) {
            let turn = usize::try_from(at).expect("small");
            let ways = ways.iter().enumerate();
            cases.extend(
                ways.filter(|(number, _)| (number + turn).is_multiple_of(thin))
                    .map(|(_, &(kind, sticky))| Case {
                        operation,
                        at,
                        kind,
                        sticky,
                    }),
            );
        }
    }
    cases
}

/// Runs all cases, on two threads. `run` says whether a call failed.
pub fn run_all(name: &str, cases: &[Case], run: impl Fn(&Case) -> bool + Sync) {
    let next = AtomicUsize::new(0);
    let (tally, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match catch_unwind(AssertUnwindSafe(|| run(case))) {
                Ok(failed) => {
                    let mut tally = tally.lock().unwrap();
                    let entry: &mut (u32, u32) = tally.entry(case.kind).or_default();
                    entry.0 += 1;
                    entry.1 += u32::from(failed);
                }
                Err(_) => failures.lock().unwrap().push(*case),
            }
            if failures.lock().unwrap().len() >= 20 {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    println!(
        "{name}: {} runs (runs, of which a call failed): {:?}",
        cases.len(),
        tally.into_inner().unwrap()
    );
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "wrong outcomes: {failures:#?}");
}

impl Case {
    pub fn arm(&self, disk: &SimDisk) {
        let fault = self.kind.fault(self.operation).after(self.at);
        disk.fail(if self.sticky { fault.sticky() } else { fault });
    }

    /// Readers, too, may meet the failure after the workload.
    fn strikes_readers(&self) -> bool {
        use Operation as Op;
        let reads = matches!(self.operation, Op::Open | Op::Length | Op::Read | Op::Map);
        self.sticky && reads
    }

    /// Nobody gets an error that the failure does not explain.
    pub fn explain(&self, errors: &[Error]) {
        for error in errors {
            assert!(self.kind.explains(error), "{self:?}: {error:?}");
        }
    }

    /// True if a call failed.
    fn run<W: Workload>(&self, prepared: &SimDisk) -> bool {
        let disk = prepared.duplicate();
        let mut workload = W::begin(disk.clone());
        self.arm(&disk);
        workload.work();
        self.explain(workload.errors());
        let failed = !workload.errors().is_empty();
        workload.look(self.strikes_readers());
        let crashes = crashes(&disk);
        disk.clear_faults();
        for (end, left) in crashes {
            workload.check(&left, end);
        }
        workload.go_on();
        workload.close();
        workload.check(&disk, End::Closed);
        failed
    }
}

/// What a killed process leaves, and what is left if also the power fails and takes whatever it can.
fn crashes(disk: &SimDisk) -> Vec<(End, SimDisk)> {
    let plan = CrashPlan::new(0)
        .single_operations(0)
        .cuts(0)
        .random_subsets(0);
    let mut lost = disk.crash_states(usize::MAX, plan);
    let lost = lost.find(|state| state.kind == CrashKind::PowerLoss);
    // There is none where everything is durable.
    let lost = lost.map_or_else(|| disk.duplicate(), |state| state.disk);
    vec![(End::Killed, disk.duplicate()), (End::PowerLost, lost)]
}
