//! What happened, by one clock, and whether it may have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
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
    /// It was the owner at `first`: what is granted may be lost before the listener hears of it.
    pub is_proven: bool,
    /// What polls returned, in order.
    pub seen: Vec<Offset>,
    /// Commits that were acknowledged, in order. Each proves that it was the owner when it began to
    /// commit: `last` says so.
    pub commits: Vec<Offset>,
}

impl Ownership {
    /// It was the owner still at this time.
    pub fn prove(&mut self, time: Tick) {
        self.last = self.last.max(time);
        self.is_proven = true;
    }
}

/// Everything that happened in one round.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clock: AtomicU64,
    ownerships: Mutex<BTreeMap<TopicPartition, Vec<Ownership>>>,
    /// Where the group begins; elsewhere at 0.
    starts: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// How many records were acknowledged.
    sent: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// How many members lost their place to another with the same `group.instance.id`.
    replaced: AtomicU64,
}

/// How much of it happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Partitions for which a commit was acknowledged.
    pub commits: u64,
    pub replaced: u64,
}

impl History {
    pub fn tick(&self) -> Tick {
        self.0.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub fn add(&self, partition: TopicPartition, ownership: Ownership) {
        if ownership.is_proven {
            let mut ownerships = self.0.ownerships.lock().unwrap();
            ownerships.entry(partition).or_default().push(ownership);
        }
    }

    pub fn note_sent(&self, partition: TopicPartition, end: Offset) {
        self.0.sent.lock().unwrap().insert(partition, end);
    }

    pub fn note_start(&self, partition: TopicPartition, start: Offset) {
        self.0.starts.lock().unwrap().insert(partition, start);
    }

    pub fn note_replaced(&self) {
        self.0.replaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics if it cannot have happened in a group that keeps its promises.
    pub fn check(&self, name: &str) -> Counts {
        let mut ownerships = self.0.ownerships.lock().unwrap();
        let (sent, starts) = (self.0.sent.lock().unwrap(), self.0.starts.lock().unwrap());
        let mut counts = Counts {
            commits: 0,
            replaced: self.0.replaced.load(Ordering::Relaxed),
        };
        for (partition, end) in sent.iter() {
            let owners = ownerships.entry(partition.clone()).or_default();
            owners.sort_by_key(|ownership| ownership.first);
            let start = starts.get(partition).copied().unwrap_or(0);
            check_partition(&format!("{name}: {partition}"), owners, start..*end);
            let commits = owners.iter().map(|owner| owner.commits.len() as u64);
            counts.commits += commits.sum::<u64>();
        }
        for partition in ownerships.keys() {
            assert!(
                sent.contains_key(partition),
                "{name}: {partition} was never there"
            );
        }
        counts
    }
}

fn check_partition(name: &str, owners: &[Ownership], all: Range<Offset>) {
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
    let mut committed = all.start;
    let mut all_seen = BTreeSet::<Offset>::new();
    for owner in owners {
        let who = &owner.member;
        if let Some(&first) = owner.seen.first() {
            assert_eq!(first, committed, "{name}: {who} starts at the last commit");
        }
        for pair in owner.seen.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "{name}: {who} skips or repeats");
        }
        if let Some(last) = owner.commits.last() {
            committed = *last;
        }
        all_seen.extend(&owner.seen);
    }
    assert!(
        all_seen.iter().copied().eq(all),
        "{name}: something was never seen"
    );
}
