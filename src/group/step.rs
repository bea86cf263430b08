//! What a group has for a member to do.

use crate::record::TopicPartition;

/// Why a static member is none any more.
pub(crate) const REPLACED: &str = "another consumer joined with the same group.instance.id";

/// What a member has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Stop reading these, then release them.
    Revoke(Vec<TopicPartition>),
    /// Read these from now on.
    Assign(Vec<Granted>),
    /// Nothing until there are news.
    Settled,
    /// It is no member any more.
    Fenced(Fence),
}

/// A partition that a member owns from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) partition: TopicPartition,
    /// It came to be while the group had members: none of its records is old.
    pub(crate) added: bool,
    /// The topic's, as the group knows it.
    pub(crate) serial: u64,
}

/// Why a member is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fence {
    /// It did not poll, or did not give up partitions, for `max.poll.interval.ms`.
    Late,
    /// Another consumer joined with its `group.instance.id`.
    Replaced,
}
