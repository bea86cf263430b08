//! `range`: topic by topic, neighbours together.

use std::collections::BTreeMap;

use super::input::Input;
use super::{Assignment, Assignor, MemberSubscription};

/// Gives each member a run of neighbouring partitions of every topic: Kafka's `RangeAssignor`.
///
/// Each topic is divided by itself among its subscribers: static members first, by instance id, then
/// the others by member id. With `n` partitions and `m` subscribers each gets `n / m`, and the first
/// `n % m` one more. So topics of the same size and subscribers are divided alike, and records with
/// equal keys of several topics come to the same member; on the other hand, the first members get
/// more when there are many small topics. What members own already plays no part.
///
/// ```
/// use std::collections::BTreeMap;
/// use streamlog::{Assignor, MemberSubscription, Range, TopicPartition};
///
/// let members = ["m1", "m2"].map(|id| MemberSubscription::new(id, ["a", "b"]));
/// let partitions = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 3)]);
/// let assignment = Range.assign(&members, &partitions);
/// let second = [TopicPartition::new("a", 2), TopicPartition::new("b", 2)];
/// assert_eq!(assignment["m2"], second); // and m1 has the first two of each
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Range;

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment {
        let input = Input::in_turn(members, partitions);
        let mut owners = vec![None; input.partition_count()];
        for topic in &input.topics {
            let each = topic.partitions.len() / topic.subscribers.len();
            let one_more = topic.partitions.len() % topic.subscribers.len();
            let mut start = topic.partitions.start;
            for (place, member) in topic.subscribers.iter().enumerate() {
                let end = start + each + usize::from(place < one_more);
                owners[start..end].fill(Some(*member));
                start = end;
            }
        }
        input.assignment(&owners)
    }
}
