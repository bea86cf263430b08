//! Runs the workloads, and visits every moment of them on all processors.
//!
//! For looking into a failure: `STREAMLOG_WORKLOAD` limits the run to workloads whose names contain
//! it, and `STREAMLOG_OPERATIONS=1` lists what they did to the disk.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use streamlog::Durability;
use streamlog::sim::SimDisk;

use super::ledger::Ledger;
use super::run::Run;
use super::workloads::Workload;

/// Chooses the random crash states: the environment's `STREAMLOG_SEED`, or 1.
pub(crate) fn seed() -> u64 {
    std::env::var("STREAMLOG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1)
}

/// True if the environment leaves out workloads.
pub(crate) fn is_partial() -> bool {
    std::env::var_os("STREAMLOG_WORKLOAD").is_some()
}

/// A workload that ran.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) disk: SimDisk,
    pub(crate) ledger: Ledger,
    pub(crate) durability: Durability,
    pub(crate) large: bool,
    pub(crate) cleans: bool,
}

impl Case {
    /// The moments to look at, one in `stride`.
    fn moments(&self, stride: usize) -> impl Iterator<Item = usize> {
        let stride = match (self.large, self.cleans) {
            (true, _) => stride * 8,
            // There is much to do with each.
            (false, true) if stride > 1 => stride * 2,
            (false, _) => stride,
        };
        (0..=self.disk.operation_count()).step_by(stride)
    }
}

/// Runs workloads, each on its own disk.
pub(crate) fn record<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
    disk: fn() -> SimDisk,
) -> Vec<Case> {
    let wanted = std::env::var("STREAMLOG_WORKLOAD").unwrap_or_default();
    let workloads = workloads
        .into_iter()
        .filter(|workload| workload.name.contains(&wanted));
    let cases: Vec<_> = workloads
        .map(|workload| {
            let mut run = Run::new(disk(), workload);
            (workload.program)(&mut run);
            run.learn_boundaries();
            Case {
                name: workload.name,
                disk: run.disk,
                ledger: run.ledger,
                durability: run.durability,
                large: workload.large,
                cleans: workload.cleans,
            }
        })
        .collect();
    if std::env::var_os("STREAMLOG_OPERATIONS").is_some() {
        cases.iter().for_each(list_operations);
    }
    println!("{} workloads, STREAMLOG_SEED={}", cases.len(), seed());
    cases
}

fn list_operations(case: &Case) {
    println!("{}:", case.name);
    for number in 0..case.disk.operation_count() {
        let what = case.disk.describe_operation(number).unwrap_or_default();
        println!("{number:5} {what}");
    }
}

/// Visits moments of every case, one in `stride`, several at a time.
pub(crate) fn sweep(
    cases: &[Case],
    stride: usize,
    visit: impl Fn(&Case, usize, &Tally) + Sync,
) -> Tally {
    let moments: Vec<_> = cases
        .iter()
        .flat_map(|case| case.moments(stride).map(move |at| (case, at)))
        .collect();
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
pub(crate) struct Tally {
    states: AtomicUsize,
    /// Those of logs that are cleaned.
    cleaned: AtomicUsize,
    violations: Mutex<Violations>,
}

/// Those of a kind look alike but for the numbers: how many, and the first of them.
#[derive(Default)]
struct Violations {
    count: usize,
    kinds: BTreeMap<String, (usize, String)>,
}

impl Tally {
    pub(crate) fn states(&self) -> usize {
        self.states.load(Ordering::Relaxed)
    }

    pub(crate) fn cleaned_states(&self) -> usize {
        self.cleaned.load(Ordering::Relaxed)
    }

    pub(crate) fn violations(&self) -> usize {
        self.violations.lock().expect("nobody panics with it").count
    }

    /// Checks one state. A panic of the library is a violation too.
    pub(crate) fn check(
        &self,
        case: &Case,
        at: usize,
        state: &str,
        check: impl FnOnce() -> Result<(), String>,
    ) {
        self.states.fetch_add(1, Ordering::Relaxed);
        self.cleaned
            .fetch_add(case.cleans.into(), Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(check));
        if let Err(message) = outcome.unwrap_or_else(|panic| Err(panic_message(&*panic))) {
            self.violation(case, at, state, &message);
        }
    }

    fn violation(&self, case: &Case, at: usize, state: &str, message: &str) {
        let before = at
            .checked_sub(1)
            .and_then(|last| case.disk.describe_operation(last));
        let before = before.unwrap_or_else(|| "nothing".to_owned());
        let story = format!(
            "[{}] after operation {at} ({before}), {state}:\n    {message}",
            case.name
        );
        let words = message.chars().filter(|letter| !letter.is_ascii_digit());
        let kind = format!("[{}] {}", case.name, words.take(60).collect::<String>());
        let mut violations = self.violations.lock().expect("nobody panics with it");
        violations.count += 1;
        violations.kinds.entry(kind).or_insert((0, story)).0 += 1;
    }

    pub(crate) fn expect_no_violation(&self) {
        let violations = self.violations.lock().expect("nobody panics with it");
        let kinds = violations.kinds.values();
        let shown: Vec<_> = kinds
            .map(|(count, first)| format!("{count} times, first {first}"))
            .collect();
        assert!(
            violations.count == 0,
            "{} violations in {} states, STREAMLOG_SEED={}:\n{}",
            violations.count,
            self.states(),
            seed(),
            shown.join("\n")
        );
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or(panic.downcast_ref::<&str>().copied());
    format!("panic: {}", message.unwrap_or("of an unknown kind"))
}
