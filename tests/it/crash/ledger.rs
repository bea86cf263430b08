//! What a workload did, and what was promised when: the model that crash states are held against.
//!
//! Times are counts of disk operations. A call that began at operation 5 and returned at operation 9
//! has certainly no effect on a disk that stopped before operation 5, and must have its effect on one
//! that stopped at operation 9 or later. In between it may or may not have happened.

use std::collections::{BTreeMap, BTreeSet};

use streamlog::{Offset, TopicConfig};

use super::look::{Found, FoundTopic};

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
    /// A call failed that may have moved the start.
    pub(crate) may_start_later: bool,
    /// Passes of compaction, each with the offsets that had no record any more.
    pub(crate) passes: Vec<Set<BTreeSet<Offset>>>,
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
            may_start_later: false,
            passes: Vec::new(),
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

impl TopicLedger {
    /// True if this id is the topic's; of one whose making failed none is known.
    pub(crate) fn may_have(&self, id: &str) -> bool {
        self.id.as_deref().is_none_or(|known| known == id)
    }
}

/// A copy of everything.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointLedger {
    pub(crate) dir: String,
    pub(crate) began: usize,
    pub(crate) acked: usize,
    /// What there was at that moment.
    pub(crate) found: Found,
}

/// A group, a topic's id, and a partition.
pub(crate) type CommitKey = (String, String, u32);

#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) topics: Vec<TopicLedger>,
    pub(crate) commits: BTreeMap<CommitKey, Vec<Set<Offset>>>,
    /// By group: those that are stored, when its first member joins and when its last one leaves.
    pub(crate) generations: BTreeMap<String, Vec<Set<i32>>>,
    pub(crate) checkpoints: Vec<CheckpointLedger>,
    /// Segments are compacted or grow old: what is found is cleaned, too.
    pub(crate) cleans: bool,
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

/// What the next part of a workload starts from, after a crash and a recovery.
pub(crate) fn ledger_from(found: &Found, before: &Ledger) -> Ledger {
    let mut ledger = Ledger {
        cleans: before.cleans,
        ..Ledger::default()
    };
    for old in &before.topics {
        let Some(FoundTopic { partitions, .. }) = found
            .topics
            .get(&old.name)
            .filter(|topic| old.id.as_ref() == Some(&topic.id))
        else {
            continue;
        };
        let mut topic = old.clone();
        (
            topic.began,
            topic.acked,
            topic.deletion_began,
            topic.deletion_acked,
        ) = (0, 0, NEVER, NEVER);
        topic.configs = topic
            .configs
            .last()
            .map(|config| Set::always(config.value.clone()))
            .into_iter()
            .collect();
        topic.partitions.truncate(partitions.len());
        for (partition, found) in topic.partitions.iter_mut().zip(partitions) {
            partition
                .batches
                .retain(|batch| batch.void == NEVER && batch.end() <= found.end);
            for batch in &mut partition.batches {
                (batch.began, batch.acked, batch.synced) = (0, 0, 0);
            }
            partition.boundaries.retain(|offset| *offset <= found.end);
            partition.starts = vec![Set::always(found.start)];
            partition.passes = vec![Set::always(found.gone())];
            partition.may_start_later = false;
            (partition.began, partition.acked) = (0, 0);
        }
        ledger.topics.push(topic);
    }
    for (key, committed) in &found.commits {
        let sets = committed.map(Set::always).into_iter().collect();
        ledger.commits.insert(key.clone(), sets);
    }
    let stored = found.groups.iter().filter(|(_, stored)| **stored > 0);
    for (group, generation) in stored {
        let sets = vec![Set::always(*generation)];
        ledger.generations.insert(group.clone(), sets);
    }
    ledger
}
