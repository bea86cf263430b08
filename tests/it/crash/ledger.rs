//! What a workload did, and what was promised when: the model that crash states are held against.
//!
//! Times are counts of disk operations. A call that began at operation 5 and returned at operation 9
//! has certainly no effect on a disk that stopped before operation 5, and must have its effect on one
//! that stopped at operation 9 or later. In between it may or may not have happened.

use std::collections::{BTreeMap, BTreeSet};

use streamlog::{Offset, TopicConfig};

/// A moment that never comes.
pub(crate) const NEVER: usize = usize::MAX;

/// One record as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Records that were appended together, or one that a producer gathered with others.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) base: Offset,
    pub(crate) records: Vec<Expected>,
    pub(crate) began: usize,
    /// From here on it survives the process.
    pub(crate) acked: usize,
    /// From here on it survives power loss.
    pub(crate) synced: usize,
    /// From here on it is known to have failed.
    pub(crate) void: usize,
    /// It was appended as it is; a producer's records are gathered in batches of its choice.
    pub(crate) whole: bool,
}

impl Batch {
    pub(crate) fn end(&self) -> Offset {
        self.base + self.records.len() as u64
    }
}

/// A value that was set by a call.
#[derive(Debug, Clone)]
pub(crate) struct Set<T> {
    pub(crate) began: usize,
    pub(crate) acked: usize,
    pub(crate) synced: usize,
    pub(crate) value: T,
}

impl<T> Set<T> {
    /// A value that was there, safe, before anything began.
    pub(crate) fn always(value: T) -> Self {
        Self {
            began: 0,
            acked: 0,
            synced: 0,
            value,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct PartitionLedger {
    pub(crate) began: usize,
    pub(crate) acked: usize,
    /// In the order of the log.
    pub(crate) batches: Vec<Batch>,
    pub(crate) starts: Vec<Set<Offset>>,
    /// Where batches begin in the log, as far as that was looked up.
    pub(crate) boundaries: BTreeSet<Offset>,
}

impl PartitionLedger {
    pub(crate) fn new(began: usize) -> Self {
        Self {
            began,
            acked: NEVER,
            batches: Vec::new(),
            starts: Vec::new(),
            boundaries: BTreeSet::new(),
        }
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> Offset {
        let end = self
            .batches
            .iter()
            .filter(|batch| batch.void == NEVER)
            .map(Batch::end)
            .max();
        let start = self.starts.iter().map(|start| start.value).max();
        end.max(start).unwrap_or(0)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TopicLedger {
    pub(crate) name: String,
    /// Known once the creating call returned.
    pub(crate) id: Option<String>,
    pub(crate) began: usize,
    pub(crate) acked: usize,
    pub(crate) deletion_began: usize,
    pub(crate) deletion_acked: usize,
    pub(crate) partitions: Vec<PartitionLedger>,
    pub(crate) configs: Vec<Set<TopicConfig>>,
}

/// A group, a topic's id, and a partition.
pub(crate) type CommitKey = (String, String, u32);

#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) topics: Vec<TopicLedger>,
    pub(crate) commits: BTreeMap<CommitKey, Vec<Set<Offset>>>,
    /// By group: those that are stored, when its first member joins and when its last one leaves.
    pub(crate) generations: BTreeMap<String, Vec<Set<i32>>>,
}

impl Ledger {
    /// The topic of this name that was not deleted.
    pub(crate) fn topic(&mut self, name: &str) -> &mut TopicLedger {
        let found = self
            .topics
            .iter_mut()
            .find(|topic| topic.name == name && topic.deletion_began == NEVER);
        found.unwrap_or_else(|| panic!("the workload uses topic {name} without creating it"))
    }

    pub(crate) fn partition(&mut self, topic: &str, partition: u32) -> &mut PartitionLedger {
        &mut self.topic(topic).partitions[partition as usize]
    }
}

/// The values that may be found after a crash at `at`: the last one that must be there, or any that
/// came after it. `None` first if none must be there.
pub(crate) fn possible<T: Clone>(
    sets: &[Set<T>],
    at: usize,
    must: impl Fn(&Set<T>) -> usize,
) -> Vec<Option<T>> {
    let begun: Vec<_> = sets.iter().filter(|set| set.began <= at).collect();
    match begun.iter().rposition(|set| must(set) <= at) {
        Some(last) => begun[last..]
            .iter()
            .map(|set| Some(set.value.clone()))
            .collect(),
        None => std::iter::once(None)
            .chain(begun.iter().map(|set| Some(set.value.clone())))
            .collect(),
    }
}
