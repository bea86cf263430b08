//! What happened, by one clock, and whether it may have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use streamlog::{Offset, TopicPartition};

/// A moment: whatever happened before another has a smaller one.
pub type Tick = u64;

/// One ownership of one partition, as its owner saw it.
#[derive(Debug, Clone)]
pub struct Ownership {
    pub member: String,
    /// It was the owner at this time, and at all times up to `last`.
    pub first: Tick,
    pub last: Tick,
    /// What polls returned, in order.
    pub seen: Vec<Offset>,
    /// Commits that were acknowledged: begin, end, offset.
    pub commits: Vec<(Tick, Tick, Offset)>,
}

/// Everything that happened in one round.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clock: AtomicU64,
    ownerships: Mutex<BTreeMap<TopicPartition, Vec<Ownership>>>,
    /// How many records were acknowledged.
    sent: Mutex<BTreeMap<TopicPartition, Offset>>,
}

impl History {
    pub fn tick(&self) -> Tick {
        self.0.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub fn add(&self, partition: TopicPartition, ownership: Ownership) {
        let mut ownerships = self.0.ownerships.lock().unwrap();
        ownerships.entry(partition).or_default().push(ownership);
    }

    pub fn note_sent(&self, partition: TopicPartition, end: Offset) {
        self.0.sent.lock().unwrap().insert(partition, end);
    }

    /// Panics if it cannot have happened in a group that keeps its promises.
    pub fn check(&self, name: &str) {
        let mut ownerships = self.0.ownerships.lock().unwrap();
        let sent = self.0.sent.lock().unwrap();
        for (partition, end) in sent.iter() {
            let owners = ownerships.entry(partition.clone()).or_default();
            owners.sort_by_key(|ownership| ownership.first);
            check_partition(&format!("{name}: {partition}"), owners, *end);
        }
        for partition in ownerships.keys() {
            assert!(
                sent.contains_key(partition),
                "{name}: {partition} was never there"
            );
        }
    }
}

fn check_partition(name: &str, owners: &[Ownership], end: Offset) {
    for pair in owners.windows(2) {
        assert!(
            pair[0].last < pair[1].first,
            "{name}: two owners: {} from {} to {}, {} from {}",
            pair[0].member,
            pair[0].first,
            pair[0].last,
            pair[1].member,
            pair[1].first,
        );
    }
    let mut committed = 0;
    let mut all_seen = BTreeSet::<Offset>::new();
    for owner in owners {
        let who = &owner.member;
        if let Some(&first) = owner.seen.first() {
            assert_eq!(first, committed, "{name}: {who} starts at the last commit");
        }
        for pair in owner.seen.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "{name}: {who} skips or repeats");
        }
        for (begin, _, offset) in &owner.commits {
            assert!(
                *begin >= owner.first && *begin <= owner.last,
                "{name}: {who} commits as no owner"
            );
            committed = *offset;
        }
        all_seen.extend(&owner.seen);
    }
    assert!(
        all_seen.iter().copied().eq(0..end),
        "{name}: something was never seen"
    );
}
