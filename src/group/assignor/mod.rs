//! Who of a group reads what: Kafka's partition assignors.
//!
//! An assignor is a pure function of the members (what they subscribe to, what they own) and of the
//! number of partitions of each topic. The four here give what Kafka's classes of the same name give;
//! a fixture that those classes wrote holds them to it.
//!
//! What every one of them keeps to:
//! - every partition of a topic that exists and has a subscriber gets exactly one member, a subscriber
//!   (but see [`CooperativeSticky`], which gives some of them in the next round only);
//! - the order of the members in the input does not matter, nor does anything else outside the input.
//!
//! Elsewhere: when a group assigns, and what happens to partitions that move (`group::members`).

mod input;
mod java;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;

pub use range::Range;
pub use round_robin::RoundRobin;
pub use sticky::{CooperativeSticky, Sticky};

use crate::record::TopicPartition;

/// What each member shall read, by member id. Every member has an entry, which may be empty.
///
/// The crate's own assignors sort each list by topic and number.
pub type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Divides partitions among the members of a group.
///
/// The ones that Kafka has are [`Range`], [`RoundRobin`], [`Sticky`] and [`CooperativeSticky`]; write
/// your own when partitions are not equally heavy, or members not equally strong.
///
/// An assignor should be a pure function: the same input, in whatever order, must give the same
/// result. It runs whenever members, subscriptions or partitions change, and should be quick.
///
/// ```
/// use std::collections::BTreeMap;
/// use streamlog::{Assignment, Assignor, MemberSubscription, TopicPartition};
///
/// /// The member with the lowest id reads everything; the others stand by.
/// #[derive(Debug)]
/// struct OneActive;
///
/// impl Assignor for OneActive {
///     fn name(&self) -> &str {
///         "one-active"
///     }
///
///     fn assign(&self, members: &[MemberSubscription], partitions: &BTreeMap<String, u32>) -> Assignment {
///         let mut assignment: Assignment =
///             members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
///         let active = members.iter().min_by_key(|member| &member.member_id);
///         for topic in active.into_iter().flat_map(|member| &member.topics) {
///             let count = partitions.get(topic).copied().unwrap_or(0); // 0: it does not exist
///             if let Some(mut first) = assignment.first_entry() {
///                 first.get_mut().extend((0..count).map(|number| TopicPartition::new(topic.as_str(), number)));
///             }
///         }
///         assignment
///     }
/// }
///
/// let members = [MemberSubscription::new("b", ["orders"]), MemberSubscription::new("a", ["orders"])];
/// let assignment = OneActive.assign(&members, &BTreeMap::from([("orders".to_owned(), 2)]));
/// assert_eq!(assignment["a"].len(), 2);
/// assert!(assignment["b"].is_empty());
/// ```
pub trait Assignor: Debug + Send + Sync {
    /// The name by which members agree on an assignor. Kafka's are `range`, `roundrobin`, `sticky`
    /// and `cooperative-sticky`.
    fn name(&self) -> &str;

    /// Says what each of `members` shall read.
    ///
    /// `partitions` has the number of partitions of each topic that exists. Members may subscribe to
    /// topics that are not in it, and may own partitions that are gone: both are to be ignored. It may
    /// also have topics that nobody subscribes to.
    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment;
}

/// One member of a group, as an [`Assignor`] sees it.
///
/// ```
/// use streamlog::{MemberSubscription, TopicPartition};
///
/// let member = MemberSubscription::new("consumer-1", ["orders", "payments"])
///     .instance_id("till-4")
///     .owned([TopicPartition::new("orders", 0)], 17);
/// assert_eq!(member.topics, ["orders", "payments"]);
/// assert_eq!(member.generation, 17);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberSubscription {
    /// Names the member within its group. Of two members with the same id the first counts.
    pub member_id: String,
    /// The name that a static member keeps over restarts (Kafka's `group.instance.id`). Default: none.
    pub instance_id: Option<String>,
    /// The topics it subscribes to. They need not exist; one that comes twice counts once.
    pub topics: Vec<String>,
    /// What it says it owns, from the assignments so far. Default: nothing.
    pub owned: Vec<TopicPartition>,
    /// The group's generation in which it came to own that: of two members that claim the same
    /// partition, the one with the higher generation is believed. Default: -1, none.
    pub generation: i32,
}

impl MemberSubscription {
    /// A dynamic member that owns nothing yet.
    pub fn new(
        member_id: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            member_id: member_id.into(),
            instance_id: None,
            topics: topics.into_iter().map(Into::into).collect(),
            owned: Vec::new(),
            generation: -1,
        }
    }

    /// Makes it a static member of this name.
    #[must_use]
    pub fn instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Says what it owns, and since which generation of the group (negative: none).
    #[must_use]
    pub fn owned(
        mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        generation: i32,
    ) -> Self {
        self.owned = partitions.into_iter().collect();
        self.generation = generation;
        self
    }
}
