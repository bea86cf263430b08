//! Groups under churn: members join, leave, stall, panic and are replaced, and a history of all they
//! saw is checked afterwards.
//!
//! ```text
//!   members, a producer, topics that grow ─▶ history: sends, polls, commits, assignments, each with the
//!   ticks of one clock between which it happened ─▶ checker
//! ```
//! The checker's rules:
//! * a partition never has two owners;
//! * an owner starts where the last commit that was acknowledged says, and sees every record from there on
//!   in order: nothing skipped, nothing repeated;
//! * a commit counts if and only if its member was the owner;
//! * in the end every record was seen.
//!
//! Rounds go on for `STREAMLOG_CHURN_SECONDS` (10); `STREAMLOG_SEED` sets the choices, the timing is the
//! machine's.

mod churn;
mod history;
mod member;
mod paused;

use std::time::{Duration, Instant};

use streamlog::{CooperativeSticky, Range, RoundRobin, Sticky};

use crate::random::{Random, from_environment, seed_from_clock};
use churn::{Plan, run};

#[test]
fn churn_gives_no_partition_two_owners_and_loses_and_repeats_nothing() {
    let seconds = from_environment("STREAMLOG_CHURN_SECONDS", 10);
    let seed = from_environment("STREAMLOG_SEED", seed_from_clock());
    println!("STREAMLOG_SEED={seed}");
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0;
    while round < 4 || Instant::now() < end {
        let plan = Plan {
            seed: random.number(),
            name: format!("round {round} of seed {seed}"),
            members: random.between(2, 5),
            partitions: u32::try_from(random.between(1, 8)).unwrap(),
            lives: random.between(3, 12),
        };
        let history = match round % 4 {
            0 => run(&plan, CooperativeSticky),
            1 => run(&plan, Range),
            2 => run(&plan, RoundRobin),
            _ => run(&plan, Sticky),
        };
        history.check(&plan.name);
        round += 1;
    }
    println!("{round} rounds");
}
