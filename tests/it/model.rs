//! Random operations, against a model that is too simple to be wrong.
//!
//! ```text
//!   seed ─▶ operations ─▶ world: a broker on a disk in memory, and beside it a list of records
//!                               for each partition ─▶ after each operation: do they agree?
//! ```
//! One thread, a clock that stands still unless told otherwise, no background thread: a seed repeats
//! its case exactly.

mod consumers;
mod found;
mod operation;
mod readers;
mod world;

use crate::random::Random;
use operation::Operation;
use world::World;

#[test]
fn random_operations_agree_with_the_model() {
    crate::cases::check(5_000, operations, run);
}

fn operations(seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let count = random.between(5, 70);
    let with_groups = random.one_in(3);
    let mut operations = vec![Operation::create_topic(&mut random)];
    operations.extend((0..count).map(|_| Operation::random(&mut random, with_groups)));
    operations
}

/// Runs one case in a world of its own.
fn run(operations: &[Operation]) -> Result<(), String> {
    let mut world = World::new();
    for (index, operation) in operations.iter().enumerate() {
        world
            .perform(operation)
            .map_err(|failure| format!("operation {index}: {failure}"))?;
    }
    world.finish()
}
