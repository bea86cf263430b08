//! Runs the workloads, and visits every moment of them on all processors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use streamlog::Durability;
use streamlog::sim::SimDisk;

use super::ledger::Ledger;
use super::run::Run;
use super::workloads::Workload;

/// Violations that are shown; more would say nothing new.
const SHOWN: usize = 15;

/// Chooses the random crash states: the environment's `STREAMLOG_SEED`, or 1.
pub fn seed() -> u64 {
    std::env::var("STREAMLOG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1)
}

/// A workload that ran.
pub struct Case {
    pub name: &'static str,
    pub disk: SimDisk,
    pub ledger: Ledger,
    pub durability: Durability,
    /// The first moment to look at.
    pub first: usize,
}

/// Runs workloads, each on its own disk.
pub fn record<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
    disk: fn() -> SimDisk,
) -> Vec<Case> {
    let wanted = std::env::var("STREAMLOG_WORKLOAD").unwrap_or_default();
    let mut cases = Vec::new();
    for workload in workloads
        .into_iter()
        .filter(|workload| workload.name.contains(&wanted))
    {
        let mut run = Run::new(disk(), workload.durability, workload.prepared);
        (workload.program)(&mut run);
        run.learn_boundaries();
        let Run {
            disk,
            ledger,
            durability,
            ..
        } = run;
        if std::env::var_os("STREAMLOG_OPERATIONS").is_some() {
            for number in 0..disk.operation_count() {
                println!(
                    "{number:4} {}",
                    disk.describe_operation(number).unwrap_or_default()
                );
            }
            println!("{ledger:#?}");
        }
        cases.push(Case {
            name: workload.name,
            disk,
            ledger,
            durability,
            first: 0,
        });
    }
    println!(
        "seed {}; choose with STREAMLOG_SEED, and a workload with STREAMLOG_WORKLOAD",
        seed()
    );
    cases
}

/// Visits every moment of every case, several at a time.
pub fn sweep(cases: &[Case], visit: impl Fn(&Case, usize, &Tally) + Sync) -> Tally {
    let moments = cases
        .iter()
        .flat_map(|case| (case.first..=case.disk.operation_count()).map(move |at| (case, at)));
    let moments: Vec<_> = moments.collect();
    let next = AtomicUsize::new(0);
    let tally = Tally::default();
    let work = || {
        while let Some((case, at)) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
            visit(case, *at, &tally);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    tally
}

/// What was seen.
#[derive(Default)]
pub struct Tally {
    states: AtomicUsize,
    violations: Mutex<Vec<String>>,
}

impl Tally {
    pub fn states(&self) -> usize {
        self.states.load(Ordering::Relaxed)
    }

    pub fn violations(&self) -> usize {
        self.violations.lock().expect("nobody panics with it").len()
    }

    /// Checks one state. A panic of the library is a violation too.
    pub fn check(
        &self,
        case: &Case,
        at: usize,
        state: &str,
        check: impl FnOnce() -> Result<(), String>,
    ) {
        self.states.fetch_add(1, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!(
                "panic: {}",
                message
                    .or(panic.downcast_ref::<&str>().copied())
                    .unwrap_or("?")
            ))
        });
        if let Err(message) = outcome {
            let before = at
                .checked_sub(1)
                .and_then(|last| case.disk.describe_operation(last))
                .unwrap_or_default();
            let violation = format!(
                "[{}] after operation {at} ({before}), {state}:\n    {message}",
                case.name
            );
            self.violations
                .lock()
                .expect("nobody panics with it")
                .push(violation);
        }
    }

    pub fn expect_no_violation(&self) {
        let violations = self.violations.lock().expect("nobody panics with it");
        let mut kinds = std::collections::BTreeMap::<String, (usize, String)>::new();
        for violation in violations.iter() {
            let kind = violation.split("]").next().unwrap_or("").to_owned()
                + &violation
                    .lines()
                    .last()
                    .unwrap_or("")
                    .chars()
                    .take(60)
                    .filter(|c| !c.is_ascii_digit())
                    .collect::<String>();
            kinds.entry(kind).or_insert((0, violation.clone())).0 += 1;
        }
        for (kind, (count, first)) in &kinds {
            println!("{count} x {kind}: {first}");
        }
        let shown: Vec<_> = violations.iter().take(SHOWN).cloned().collect();
        assert!(
            violations.is_empty(),
            "{} violations in {} states, seed {}. The first:\n{}",
            violations.len(),
            self.states(),
            seed(),
            shown.join("\n")
        );
    }
}
