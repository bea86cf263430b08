//! `roundrobin`: all partitions in turn.

use std::collections::BTreeMap;

use super::input::Input;
use super::{Assignment, Assignor, MemberSubscription};

/// Deals all partitions out in turn, one to each member: Kafka's `RoundRobinAssignor`.
///
/// Partitions come by topic and number; members, static ones first by instance id, then the others by
/// member id. A member that does not subscribe to the topic is passed over. With equal subscriptions
/// no member gets two partitions more than another. What members own already plays no part: when
/// one joins or leaves, most partitions move.
///
/// ```
/// use std::collections::BTreeMap;
/// use streamlog::{Assignor, MemberSubscription, RoundRobin, TopicPartition};
///
/// let members = ["m1", "m2"].map(|id| MemberSubscription::new(id, ["a", "b"]));
/// let partitions = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 3)]);
/// let assignment = RoundRobin.assign(&members, &partitions);
/// let second = [("a", 1), ("b", 0), ("b", 2)].map(|(topic, number)| TopicPartition::new(topic, number));
/// assert_eq!(assignment["m2"], second);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Assignor for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment {
        let input = Input::in_turn(members, partitions);
        let mut owners = vec![None; input.partition_count()];
        let mut turn = 0;
        for topic in &input.topics {
            let subscribers = &topic.subscribers;
            for partition in topic.partitions.clone() {
                let place = subscribers.partition_point(|member| *member < turn);
                let member = subscribers.get(place).or(subscribers.first()).copied();
                owners[partition] = member;
                turn = member.map_or(turn, |member| member + 1);
            }
        }
        input.assignment(&owners)
    }
}
