//! What a group knows of the topics that it subscribes to: which of their partitions are older than the
//! group, and where those ended when it first had them.
//!
//! That is where `latest` is, whichever member comes to use it, and however late; what is younger than
//! the group's first member is read from its beginning. A topic that is made again under its old
//! name has another serial number, and inherits nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Offset, TopicPartition};

/// What a group has to know of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicFacts {
    pub(crate) partitions: u32,
    /// Rises from topic to topic: one that is made again under its old name has another.
    pub(crate) serial: u64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct KnownTopics {
    /// Subscribed topics that exist, as the targets know them.
    topics: BTreeMap<String, TopicFacts>,
    /// Topics with a higher serial number were made while there were members.
    last_old_serial: u64,
    /// From which number on a topic's partitions came to be while there were members.
    first_added: BTreeMap<String, u32>,
    /// What partitions were like when the group first had them, with their topic's serial number.
    first_seen: BTreeMap<TopicPartition, (u64, FirstSeen)>,
}

/// What a partition was like when the group first had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstSeen {
    /// Where it ended.
    pub(crate) end: Offset,
    /// It was added while the group was away: what the group has committed ends with a lower one.
    pub(crate) added_since: bool,
}

impl KnownTopics {
    /// Of a group that has its first member now.
    pub(super) fn since(last_old_serial: u64) -> Self {
        Self {
            last_old_serial,
            ..Self::default()
        }
    }

    /// Looks these topics up; true if anything has changed.
    pub(super) fn learn(
        &mut self,
        subscribed: BTreeSet<String>,
        facts: &dyn Fn(&str) -> Option<TopicFacts>,
    ) -> bool {
        let topics: BTreeMap<_, _> = subscribed
            .into_iter()
            .filter_map(|topic| Some((facts(&topic)?, topic)))
            .map(|(facts, topic)| (topic, facts))
            .collect();
        for (topic, facts) in &topics {
            let first_added = self.first_added.entry(topic.clone());
            let first_added = first_added.or_insert(facts.partitions);
            if facts.serial > self.last_old_serial {
                // Made since, perhaps again under an old name: all of it is new.
                *first_added = 0;
            }
        }
        self.first_added
            .retain(|topic, _| topics.contains_key(topic) || facts(topic).is_some());
        std::mem::replace(&mut self.topics, topics) != self.topics
    }

    pub(super) fn exists(&self, partition: &TopicPartition) -> bool {
        let facts = self.topics.get(partition.topic());
        facts.is_some_and(|facts| partition.partition() < facts.partitions)
    }

    /// True if the partition came to be while there were members.
    pub(super) fn is_added(&self, partition: &TopicPartition) -> bool {
        let first_added = self.first_added.get(partition.topic());
        first_added.is_some_and(|first| *first <= partition.partition())
    }

    pub(super) fn serial(&self, partition: &TopicPartition) -> u64 {
        let facts = self.topics.get(partition.topic());
        facts.map_or(0, |facts| facts.serial)
    }

    /// What a partition of the topic with this serial number was like when the group first had it, which
    /// is now if it never had.
    pub(super) fn first_seen(
        &mut self,
        id: &TopicPartition,
        serial: u64,
        look: impl FnOnce() -> FirstSeen,
    ) -> FirstSeen {
        match self.first_seen.get(id) {
            Some((known, seen)) if *known == serial => *seen,
            _ => {
                let seen = look();
                self.first_seen.insert(id.clone(), (serial, seen));
                seen
            }
        }
    }

    /// How many partitions each topic has.
    pub(super) fn partitions(&self) -> BTreeMap<String, u32> {
        let topics = self.topics.iter();
        topics
            .map(|(topic, facts)| (topic.clone(), facts.partitions))
            .collect()
    }

    /// How many partitions there are in all.
    pub(super) fn partition_count(&self) -> u64 {
        let counts = self
            .topics
            .values()
            .map(|facts| u64::from(facts.partitions));
        counts.sum()
    }
}
