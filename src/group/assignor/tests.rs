//! What Kafka's own classes gave, and what holds for any group.

mod properties;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Assignment, Assignor, CooperativeSticky, MemberSubscription, Range, RoundRobin, Sticky,
};
use crate::record::TopicPartition;

type Counts = BTreeMap<String, u32>;

const ALL: [&dyn Assignor; 4] = [&Range, &RoundRobin, &Sticky, &CooperativeSticky];

fn counts<const N: usize>(topics: [(&str, u32); N]) -> Counts {
    topics.map(|(name, count)| (name.to_owned(), count)).into()
}

fn parts(topic: &str, numbers: impl IntoIterator<Item = u32>) -> Vec<TopicPartition> {
    let numbers = numbers.into_iter();
    numbers
        .map(|number| TopicPartition::new(topic, number))
        .collect()
}

/// The members as they are when they got this.
fn owning(
    members: &[MemberSubscription],
    assignment: &Assignment,
    generation: i32,
) -> Vec<MemberSubscription> {
    let got = |member: &MemberSubscription| assignment.get(&member.member_id).cloned();
    members
        .iter()
        .map(|member| {
            member
                .clone()
                .owned(got(member).unwrap_or_default(), generation)
        })
        .collect()
}

fn owner_of<'a>(assignment: &'a Assignment, partition: &TopicPartition) -> Option<&'a str> {
    let mut entries = assignment.iter();
    entries
        .find(|(_, partitions)| partitions.contains(partition))
        .map(|(member, _)| member.as_str())
}

/// Everything that somebody subscribes to and that exists.
fn assignable(members: &[MemberSubscription], partitions: &Counts) -> BTreeSet<TopicPartition> {
    let topics: BTreeSet<&String> = members.iter().flat_map(|member| &member.topics).collect();
    topics
        .into_iter()
        .flat_map(|topic| parts(topic, 0..partitions.get(topic).copied().unwrap_or(0)))
        .collect()
}

#[test]
fn a_group_without_members_gets_nothing() {
    for assignor in ALL {
        assert!(assignor.assign(&[], &counts([("t", 3)])).is_empty());
    }
}

#[test]
fn a_member_without_topics_gets_nothing() {
    let members = ["a", "b", "c", "d"].map(|id| {
        let topics: &[&str] = if id == "c" { &["t"] } else { &[] };
        MemberSubscription::new(id, topics.iter().copied())
    });
    for assignor in ALL {
        let assignment = assignor.assign(&members, &counts([("t", 3)]));
        assert_eq!(assignment.len(), 4);
        assert_eq!(assignment["c"], parts("t", 0..3), "{}", assignor.name());
    }
}

#[test]
fn a_topic_or_member_that_comes_twice_counts_once() {
    let once = [
        MemberSubscription::new("a", ["t"]),
        MemberSubscription::new("b", ["t", "u"]),
    ];
    let twice = [
        once[0].clone(),
        MemberSubscription::new("b", ["t", "u", "t"]),
        MemberSubscription::new("a", ["t", "t"]),
    ];
    let partitions = counts([("t", 5), ("u", 3)]);
    for assignor in ALL {
        let expected = assignor.assign(&once, &partitions);
        assert_eq!(assignor.assign(&twice, &partitions), expected);
    }
}

#[test]
fn partitions_that_are_gone_do_no_harm() {
    let mut owned = parts("t", [1, 7]);
    owned.extend(parts("gone", 0..3));
    for others_topics in [vec!["t"], vec!["t", "u"]] {
        let members = [
            MemberSubscription::new("a", ["t"]).owned(owned.clone(), 1),
            MemberSubscription::new("b", others_topics).owned(parts("t", [8]), 1),
        ];
        let assignment = Sticky.assign(&members, &counts([("t", 2)]));
        assert_eq!(assignment["a"], parts("t", [1]));
        assert_eq!(assignment["b"], parts("t", [0]));
    }
}

#[test]
fn a_former_owner_gets_back_only_what_it_subscribes_to() {
    // "a" had all of "t" in an earlier generation, and has no interest in it any more.
    let members = [
        MemberSubscription::new("a", ["u"]).owned(parts("t", 0..6), 1),
        MemberSubscription::new("b", ["t"]).owned(parts("t", 0..6), 2),
        MemberSubscription::new("c", ["t", "u"]),
    ];
    let assignment = Sticky.assign(&members, &counts([("t", 6), ("u", 1)]));
    assert_eq!(assignment["a"], parts("u", [0]));
    assert_eq!(assignment["b"].len(), 3);
    assert_eq!(assignment["c"].len(), 3);
}

#[test]
fn a_hundred_members_and_ten_thousand_partitions_are_no_burden() {
    let ids: Vec<String> = (0..100)
        .map(|number| format!("consumer-{number}"))
        .collect();
    let topics: Vec<String> = (0..100).map(|number| format!("topic-{number}")).collect();
    let partitions: Counts = topics.iter().map(|topic| (topic.clone(), 100)).collect();
    for is_equal in [true, false] {
        let members: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(number, id)| {
                let subscribed = topics.iter().enumerate();
                let subscribed = subscribed
                    .filter(|(topic, _)| is_equal || (topic * 31 + number * 17) % 5 < 2)
                    .map(|(_, topic)| topic);
                MemberSubscription::new(id, subscribed)
            })
            .collect();
        let first = Sticky.assign(&members, &partitions);
        // A quarter leaves: the rest has to be evened out again.
        let left = &owning(&members, &first, 1)[25..];
        for assignor in ALL {
            let assignment = assignor.assign(left, &partitions);
            assert_eq!(assignment.len(), 75);
        }
    }
}
