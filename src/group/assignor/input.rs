//! What an assignor gets, in a form that is quick to compute with.
//!
//! Members and topics are numbers here: places in a list. So are partitions, which are numbered through
//! all topics, by topic name and then by their own number. Only what can be assigned is in it: topics
//! that exist, have partitions, and have a subscriber.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::{Assignment, MemberSubscription, java};
use crate::record::TopicPartition;

/// Which member each partition goes to; none if to nobody in this round.
pub(super) type Owners = Vec<Option<usize>>;

#[derive(Debug)]
pub(super) struct Input<'a> {
    /// No member id comes twice.
    pub(super) members: Vec<&'a MemberSubscription>,
    /// By name.
    pub(super) topics: Vec<Topic>,
    partitions: Vec<TopicPartition>,
}

#[derive(Debug)]
pub(super) struct Topic {
    name: Arc<str>,
    /// The numbers of its partitions.
    pub(super) partitions: Range<usize>,
    /// Ascending; never empty.
    pub(super) subscribers: Vec<usize>,
}

impl Topic {
    pub(super) fn has_subscriber(&self, member: usize) -> bool {
        self.subscribers.binary_search(&member).is_ok()
    }
}

impl<'a> Input<'a> {
    /// With the members as Kafka's plain assignors have them: static ones first, by instance id, then
    /// the others by member id.
    pub(super) fn in_turn(
        members: &'a [MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Self {
        let mut members = by_id(members);
        members.sort_by(|a, b| match (&a.instance_id, &b.instance_id) {
            (Some(a), Some(b)) => java::compare(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
        Self::new(members, partitions)
    }

    /// With the members as a Java `HashMap` of member ids has them, to which they were added by id.
    pub(super) fn in_hash_order(
        members: &'a [MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Self {
        let mut members = by_id(members);
        let table = java::Table::with(members.len());
        members.sort_by_key(|member| table.bucket(java::hash_of_text(&member.member_id)));
        Self::new(members, partitions)
    }

    fn new(members: Vec<&'a MemberSubscription>, counts: &BTreeMap<String, u32>) -> Self {
        let mut subscribers = subscribers_by_topic(&members);
        let mut topics = Vec::new();
        let mut partitions = Vec::new();
        for (name, count) in counts.iter().filter(|(_, count)| **count > 0) {
            let Some(subscribers) = subscribers.remove(name.as_str()) else {
                continue;
            };
            let name: Arc<str> = name.as_str().into();
            let first = partitions.len();
            let numbers = 0..*count;
            partitions.extend(numbers.map(|number| TopicPartition::new(Arc::clone(&name), number)));
            topics.push(Topic {
                name,
                partitions: first..partitions.len(),
                subscribers,
            });
        }
        Self {
            members,
            topics,
            partitions,
        }
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Partition `number` by its name.
    pub(super) fn partition(&self, number: usize) -> &TopicPartition {
        &self.partitions[number]
    }

    /// The number of a partition, if it can be assigned.
    pub(super) fn find(&self, partition: &TopicPartition) -> Option<usize> {
        let by_name = |topic: &Topic| (*topic.name).cmp(partition.topic());
        let topic = &self.topics[self.topics.binary_search_by(by_name).ok()?];
        let number = usize::try_from(partition.partition()).ok()?;
        topic.partitions.clone().nth(number)
    }

    /// The partitions that a member says it owns, of those that can be assigned.
    pub(super) fn claims(&self, member: usize) -> impl Iterator<Item = usize> {
        let owned = self.members[member].owned.iter();
        owned.filter_map(|partition| self.find(partition))
    }

    pub(super) fn assignment(&self, owners: &Owners) -> Assignment {
        let mut lists: Vec<Vec<TopicPartition>> = vec![Vec::new(); self.members.len()];
        for (partition, owner) in self.partitions.iter().zip(owners) {
            if let Some(owner) = owner {
                lists[*owner].push(partition.clone());
            }
        }
        let ids = self.members.iter().map(|member| member.member_id.clone());
        ids.zip(lists).collect()
    }
}

/// Each member once, in Java's order of their ids.
fn by_id(members: &[MemberSubscription]) -> Vec<&MemberSubscription> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|a, b| java::compare(&a.member_id, &b.member_id));
    sorted.dedup_by(|later, first| later.member_id == first.member_id);
    sorted
}

fn subscribers_by_topic<'a>(members: &[&'a MemberSubscription]) -> HashMap<&'a str, Vec<usize>> {
    let mut subscribers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, member) in members.iter().enumerate() {
        for topic in &member.topics {
            let of_topic = subscribers.entry(topic).or_default();
            if of_topic.last() != Some(&number) {
                of_topic.push(number);
            }
        }
    }
    subscribers
}
