//! Random cases that a seed repeats: many at a time, and a failing one is cut down to the operations that
//! it takes, and printed.
//!
//! * `STREAMLOG_CASES` sets the number of cases, `STREAMLOG_SEED` the first one's seed; the others
//!   follow it, so that a failure names a seed to run alone with `STREAMLOG_CASES=1`.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::random::from_environment;

/// Runs so many cases: the operations of each seed, until one fails. What is wrong is the error; a panic is
/// wrong, too.
pub fn check<T: Debug + Clone>(
    cases: u64,
    operations: impl Fn(u64) -> Vec<T> + Sync,
    run: impl Fn(&[T]) -> Result<(), String> + Sync,
) {
    let cases = from_environment("STREAMLOG_CASES", cases);
    let first = from_environment("STREAMLOG_SEED", 1);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        return;
                    }
                    let seed = first.wrapping_add(case);
                    if let Some(failure) = check_case(operations(seed), &run) {
                        next.store(cases, Ordering::Relaxed);
                        panic!("STREAMLOG_SEED={seed} STREAMLOG_CASES=1: {failure}");
                    }
                }
            });
        }
    });
}

fn check_case<T: Debug + Clone>(
    operations: Vec<T>,
    run: &impl Fn(&[T]) -> Result<(), String>,
) -> Option<String> {
    let failure = caught(&operations, run).err()?;
    let fewer = shrink(operations, run);
    let failure = caught(&fewer, run).err().unwrap_or(failure);
    let list: Vec<_> = fewer
        .iter()
        .enumerate()
        .map(|(index, operation)| format!("  {index}: {operation:?}"))
        .collect();
    Some(format!("{failure}\noperations:\n{}", list.join("\n")))
}

fn caught<T>(operations: &[T], run: &impl Fn(&[T]) -> Result<(), String>) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(operations)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("?")))
    })
}

/// Leaves out operations, in smaller and smaller pieces, as long as the case still fails.
fn shrink<T: Clone>(mut operations: Vec<T>, run: &impl Fn(&[T]) -> Result<(), String>) -> Vec<T> {
    let mut piece = operations.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < operations.len() {
            let mut fewer = operations.clone();
            fewer.drain(at..(at + piece).min(operations.len()));
            if caught(&fewer, run).is_err() {
                operations = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    operations
}
