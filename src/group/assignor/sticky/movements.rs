//! What moved so far, so that no two partitions of a topic just change places.

use std::collections::BTreeMap;

use super::super::java::HashSet;

/// A member, and the one to which it lost something.
type Pair = (usize, usize);

/// The partitions that moved, each with its first owner and its present one.
#[derive(Debug, Default)]
pub(super) struct Movements {
    by_partition: BTreeMap<usize, Pair>,
    /// Topic and pair.
    partitions: BTreeMap<(usize, Pair), HashSet<usize>>,
}

/// A partition that may move, with what is needed to remember it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moving {
    pub(super) partition: usize,
    pub(super) topic: usize,
    /// Kafka's hash code.
    pub(super) hash: u32,
}

impl Movements {
    /// Which partition should move instead of this one: one of the same topic that went the other way
    /// before, if there is any. Sending it back leaves one more partition where it was.
    pub(super) fn instead_of(&self, moving: Moving, from: usize, to: usize) -> usize {
        let origin = self.by_partition.get(&moving.partition);
        let origin = origin.map_or(from, |(first, _)| *first);
        let went_the_other_way = self.partitions.get(&(moving.topic, (to, origin)));
        let first = went_the_other_way.and_then(HashSet::first).copied();
        first.unwrap_or(moving.partition)
    }

    /// Remembers a move. A partition that comes home has not moved.
    pub(super) fn record(&mut self, moved: Moving, from: usize, to: usize) {
        let earlier = self.by_partition.remove(&moved.partition);
        if let Some(pair) = earlier {
            self.forget(moved, pair);
        }
        let origin = earlier.map_or(from, |(first, _)| first);
        if origin == to {
            return;
        }
        let pair = (origin, to);
        self.by_partition.insert(moved.partition, pair);
        let partitions = self.partitions.entry((moved.topic, pair));
        partitions
            .or_insert_with(HashSet::new)
            .insert(moved.hash, moved.partition);
    }

    fn forget(&mut self, moved: Moving, pair: Pair) {
        let key = (moved.topic, pair);
        if let Some(partitions) = self.partitions.get_mut(&key) {
            partitions.remove(&moved.partition);
            if partitions.is_empty() {
                self.partitions.remove(&key);
            }
        }
    }
}
