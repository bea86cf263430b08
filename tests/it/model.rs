//! Random operations, against a model that is too simple to be wrong.
//!
//! ```text
//!   seed ─▶ operations ─▶ world: a broker on a disk in memory, and beside it a list of records
//!                               for each partition ─▶ after each operation: do they agree?
//! ```
//! One thread, a clock that stands still unless told otherwise, no background thread: a seed repeats
//! its case exactly. A failing case is cut down to the operations that it takes, and printed.
//!
//! * `STREAMLOG_CASES` sets the number of cases, `STREAMLOG_SEED` the first one's seed; the others
//!   follow it, so that a failure names a seed to run alone with `STREAMLOG_CASES=1`.

mod consumers;
mod found;
mod operation;
mod readers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::random::{Random, from_environment};
use operation::Operation;
use world::World;

#[test]
fn random_operations_agree_with_the_model() {
    let cases = from_environment("STREAMLOG_CASES", 5_000);
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
                    check_case(first.wrapping_add(case));
                }
            });
        }
    });
}

fn check_case(seed: u64) {
    let operations = operations(seed);
    let Err(failure) = run(&operations) else {
        return;
    };
    let fewer = shrink(operations);
    let failure = run(&fewer).err().unwrap_or(failure);
    let list: Vec<_> = fewer
        .iter()
        .enumerate()
        .map(|(index, operation)| format!("  {index}: {operation:?}"))
        .collect();
    panic!(
        "STREAMLOG_SEED={seed} STREAMLOG_CASES=1: {failure}\noperations:\n{}",
        list.join("\n")
    );
}

fn operations(seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let count = random.between(5, 70);
    let with_groups = random.one_in(3);
    let mut operations = vec![Operation::create_topic(&mut random)];
    operations.extend((0..count).map(|_| Operation::random(&mut random, with_groups)));
    operations
}

/// Runs one case in a world of its own. What is wrong is the error; a panic is wrong, too.
fn run(operations: &[Operation]) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new();
        for (index, operation) in operations.iter().enumerate() {
            world
                .perform(operation)
                .map_err(|failure| format!("operation {index}: {failure}"))?;
        }
        world.finish()
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("?")))
    })
}

/// Leaves out operations, in smaller and smaller pieces, as long as the case still fails.
fn shrink(mut operations: Vec<Operation>) -> Vec<Operation> {
    let mut piece = operations.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < operations.len() {
            let mut fewer = operations.clone();
            fewer.drain(at..(at + piece).min(operations.len()));
            if run(&fewer).is_err() {
                operations = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    operations
}
