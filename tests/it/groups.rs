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
//! * a commit counts if and only if its member was the owner: one that is refused is followed by the loss of
//!   all that the member had;
//! * a group that begins at the latest begins where its first member subscribed, whoever reads first;
//! * who was replaced by another with its `group.instance.id` is told so, and gets nothing any more;
//! * in the end every record was seen.
//!
//! That none of this is empty is checked, too: there are commits that count, and members that are replaced.
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

/// A round has far more acknowledged commits than this, on average.
const COMMITS: u64 = 200;

#[test]
fn churn_gives_no_partition_two_owners_and_loses_and_repeats_nothing() {
    let seconds = from_environment("STREAMLOG_CHURN_SECONDS", 10);
    let seed = from_environment("STREAMLOG_SEED", seed_from_clock());
    println!("STREAMLOG_SEED={seed}");
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut round, mut commits, mut replaced) = (0, 0, 0);
    while round < 8 || Instant::now() < end {
        let plan = Plan {
            seed: random.number(),
            name: format!("round {round} of seed {seed}"),
            members: random.between(2, 5),
            partitions: u32::try_from(random.between(1, 8)).unwrap(),
            lives: random.between(3, 12),
            static_members: if round % 3 == 0 { 2 } else { random.below(2) },
            from_latest: round % 2 == 1,
        };
        let history = match round / 2 % 4 {
            0 => run(&plan, CooperativeSticky),
            1 => run(&plan, Range),
            2 => run(&plan, RoundRobin),
            _ => run(&plan, Sticky),
        };
        let counts = history.check(&plan.name);
        commits += counts.commits;
        replaced += counts.replaced;
        round += 1;
    }
    println!("{round} rounds, {commits} commits, {replaced} members replaced");
    assert!(commits >= round * COMMITS, "{commits} commits count");
    assert!(replaced > 0, "nobody was replaced");
}
