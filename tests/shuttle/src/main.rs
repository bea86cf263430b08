//! The coordinator of groups under thousands of schedules: members join, poll, commit, are late and
//! leave, each on a thread of its own, in every order that shuttle comes up with.
//!
//! It is the crate's own code, compiled with shuttle's locks and atomics. What is checked: a partition never
//! has two owners; a commit counts if and only if its member is the owner at that moment; a member with
//! nothing to do is woken when there is something again (a lost wake-up is a deadlock, which shuttle reports);
//! who is left in the end owns everything.
//!
//! `STREAMLOG_SCHEDULES` is how many schedules each scenario runs (5,000); `STREAMLOG_SEED` chooses them.

mod fences;
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a part of the crate"
)]
mod group;
mod notify;
mod scenarios;
mod sync;

#[path = "../../../src/error.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a part of the crate"
)]
mod error;
#[path = "../../../src/record.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a part of the crate"
)]
mod record;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

fn main() {
    let schedules = from_environment("STREAMLOG_SCHEDULES", 5_000);
    let seed = from_environment("STREAMLOG_SEED", 7);
    println!("STREAMLOG_SEED={seed} STREAMLOG_SCHEDULES={schedules}");
    for (name, scenario) in scenarios::ALL {
        let half = usize::try_from(schedules / 2).unwrap_or(usize::MAX);
        // At random, and with few but well placed preemptions.
        let random = RandomScheduler::new_from_seed(seed, half);
        let mut ran = Runner::new(random, Config::default()).run(scenario);
        let few = PctScheduler::new_from_seed(seed, 3, half);
        ran += Runner::new(few, Config::default()).run(scenario);
        println!("{name}: {ran} schedules");
    }
}

fn from_environment(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => default,
    }
}
