//! `sticky` and `cooperative-sticky`: as even as can be, and as little moved as that allows.
//!
//! Both compute the same: [`equal`] if all members subscribe to the same topics, else [`general`].
//! The cooperative one then leaves out what changes hands. Kafka's eager class keeps its memory in the
//! subscription's user data; here both read it from the member's `owned` and `generation`.
//!
//! Where Kafka's classes go wrong, these do not follow:
//! - A partition number that its topic does not have any more (the topic was deleted and made anew,
//!   smaller) is ignored; Kafka's would go on to assign other partitions twice.
//! - A member without any topic is not counted among those with equal subscriptions; Kafka's may do
//!   so, depending on hash codes, and give it partitions of topics it did not subscribe to.
//! - A partition does not go back to a former owner that is not subscribed to it any more; with Kafka's
//!   it may, or the computation fails.
//!
//! Elsewhere: Java's iteration orders, which show in the results ([`java`](super::java)).

mod equal;
mod general;
mod movements;

use std::collections::{BTreeMap, BTreeSet};

use super::input::{Input, Owners};
use super::{Assignment, Assignor, MemberSubscription};

/// Divides evenly, and moves as few partitions as that allows: Kafka's `StickyAssignor`.
///
/// Members keep what they own ([`MemberSubscription::owned`]) up to their share; only the rest, and
/// what nobody owns, is given out. If all members subscribe to the same topics, no member gets two
/// partitions more than another, and no other assignment of that kind moves fewer. If not, partitions
/// go to the least loaded subscribers, and move from more to less loaded ones until no move helps.
///
/// Of two members that claim the same partition, the one of the higher generation is believed; if both
/// are of the same, neither has a right to it.
///
/// The group is rebalanced eagerly: each member gives up everything before it gets its new share.
///
/// ```
/// use std::collections::BTreeMap;
/// use streamlog::{Assignor, MemberSubscription, Sticky, TopicPartition};
///
/// let parts = |numbers: &[u32]| -> Vec<_> {
///     numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
/// };
/// // m1 had partitions 0 and 3, and is gone.
/// let members = [
///     MemberSubscription::new("m2", ["t"]).owned(parts(&[1]), 1),
///     MemberSubscription::new("m3", ["t"]).owned(parts(&[2]), 1),
/// ];
/// let assignment = Sticky.assign(&members, &BTreeMap::from([("t".to_owned(), 4)]));
/// assert_eq!(assignment["m2"], parts(&[0, 1]));
/// assert_eq!(assignment["m3"], parts(&[2, 3]));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Sticky;

/// [`Sticky`] for rebalances that do not stop the group: Kafka's `CooperativeStickyAssignor`.
///
/// The computation is the same, but a partition that would go from one member to another is given to
/// nobody in this round. Its owner gives it up, which makes the group assign once more; then it goes to
/// its new owner. Everything else is read on meanwhile.
///
/// ```
/// use std::collections::BTreeMap;
/// use streamlog::{Assignor, CooperativeSticky, MemberSubscription, TopicPartition};
///
/// let parts = |numbers: &[u32]| -> Vec<_> {
///     numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
/// };
/// let partitions = BTreeMap::from([("t".to_owned(), 4)]);
/// let newcomer = MemberSubscription::new("m2", ["t"]);
///
/// let first = MemberSubscription::new("m1", ["t"]).owned(parts(&[0, 1, 2, 3]), 1);
/// let round = CooperativeSticky.assign(&[first, newcomer.clone()], &partitions);
/// assert_eq!(round["m1"], parts(&[0, 1]));
/// assert!(round["m2"].is_empty()); // m1 has to give up 2 and 3 first
///
/// let first = MemberSubscription::new("m1", ["t"]).owned(parts(&[0, 1]), 2);
/// let round = CooperativeSticky.assign(&[first, newcomer], &partitions);
/// assert_eq!(round["m2"], parts(&[2, 3]));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeSticky;

impl Assignor for Sticky {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment {
        let input = Input::in_hash_order(members, partitions);
        let computed = compute(&input);
        input.assignment(&computed.owners)
    }
}

impl Assignor for CooperativeSticky {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment {
        let input = Input::in_hash_order(members, partitions);
        let mut computed = compute(&input);
        for partition in computed.changing_hands {
            computed.owners[partition] = None;
        }
        input.assignment(&computed.owners)
    }
}

/// What both assignors start from.
#[derive(Debug)]
struct Computed {
    owners: Owners,
    /// The partitions whose new owner has to wait for another one to give them up.
    changing_hands: Vec<usize>,
}

fn compute(input: &Input<'_>) -> Computed {
    let claims = Claims::settle(input);
    if all_subscriptions_equal(input) {
        equal::assign(input, &claims)
    } else {
        general::assign(input, &claims)
    }
}

fn all_subscriptions_equal(input: &Input<'_>) -> bool {
    let Some((first, others)) = input.members.split_first() else {
        return true;
    };
    let topics = topics(first);
    let mut others = others.iter();
    others.all(|member| member.topics == first.topics || self::topics(member) == topics)
}

fn topics(member: &MemberSubscription) -> BTreeSet<&str> {
    member.topics.iter().map(String::as_str).collect()
}

/// Who is believed to own what.
#[derive(Debug)]
struct Claims {
    /// By partition: the member, if one is believed.
    owners: Owners,
    /// By partition: whether two members of one generation claimed it at some point. What Kafka makes
    /// of it differs: see [`equal`], [`general`].
    disputed: Vec<bool>,
}

impl Claims {
    /// Of two claims the higher generation wins; equal ones cancel each other.
    fn settle(input: &Input<'_>) -> Self {
        let mut owners: Owners = vec![None; input.partition_count()];
        let mut disputed = vec![false; input.partition_count()];
        let mut latest: Owners = owners.clone();
        for member in 0..input.members.len() {
            for partition in input.claims(member) {
                let other = latest[partition].map(|other| generation(input, other));
                let own = generation(input, member);
                if other.is_some_and(|other| other > own) {
                    continue;
                }
                let is_disputed = other == Some(own);
                disputed[partition] |= is_disputed;
                owners[partition] = (!is_disputed).then_some(member);
                latest[partition] = Some(member);
            }
        }
        Self { owners, disputed }
    }
}

/// A member's generation; -1 for all that are none.
fn generation(input: &Input<'_>, member: usize) -> i32 {
    input.members[member].generation.max(-1)
}
