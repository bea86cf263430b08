//! What a group looks like from outside: plain values, as they were when somebody asked.
//!
//! Two sources are put together: what is stored, and who is a member at the moment ([`members_of`],
//! [`live_groups`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::stored::StoredGroup;
use crate::broker::BrokerState;
use crate::consumer::subscription::find_partition;
use crate::error::{Error, Result};
use crate::record::{Offset, TopicPartition};

/// What a group is doing. The names are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no member. It may have committed offsets.
    Empty,
    /// Every member owns what it is meant to own.
    Stable,
    /// Partitions are on their way from one member to another.
    Reconciling,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Stable => "Stable",
            Self::Reconciling => "Reconciling",
        })
    }
}

/// One entry of [`Broker::groups`](crate::Broker::groups).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// The group's name.
    pub name: String,
    /// What it is doing.
    pub state: GroupState,
    /// Kafka's protocol type: `consumer` for a group that has or had members; empty for a *simple* group,
    /// which has only committed offsets; others for groups that Kafka left in the directory.
    pub protocol_type: String,
}

/// What [`ConsumerGroup::describe`](crate::ConsumerGroup::describe) says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's name.
    pub name: String,
    /// What it is doing.
    pub state: GroupState,
    /// Kafka's protocol type, as in a [`GroupListing`].
    pub protocol_type: String,
    /// Rises with every change of who owns what; 0 for a group that never had a member.
    pub generation: i32,
    /// Who divides the partitions: the assignor's name, while there are members.
    pub assignor: Option<String>,
    /// The live members, by member id.
    pub members: Vec<MemberDescription>,
    /// Every partition that the group committed an offset for or that a member owns, by topic and
    /// number.
    pub offsets: Vec<GroupOffset>,
}

impl GroupDescription {
    /// How many records the group has still to read, in all partitions whose lag is known.
    pub fn total_lag(&self) -> u64 {
        let lags = self.offsets.iter().filter_map(|offset| offset.lag);
        lags.fold(0, u64::saturating_add)
    }
}

/// A live member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// The member's id, which no other member has or had since the broker was opened.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The name it was given for people to read (`client.id`).
    pub client_id: String,
    /// Where it runs. A member of this process is a thread: its name.
    pub host: String,
    /// The generation that the member has come to.
    pub generation: i32,
    /// The partitions that it owns, by topic and number.
    pub assignment: Vec<TopicPartition>,
}

/// How far a group has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read, as the group committed it; `None` if it has not yet.
    pub committed: Option<Offset>,
    /// Where the partition ends; `None` if there is no such partition.
    pub log_end: Option<Offset>,
    /// How many offsets the committed one is behind the end, if both are known; 0 if it lies beyond.
    pub lag: Option<u64>,
    /// The member that owns the partition.
    pub owner: Option<String>,
    /// What was committed with the offset: the application's own note.
    pub metadata: String,
}

/// See [`ConsumerGroup::describe`](crate::ConsumerGroup::describe).
pub(super) fn describe(broker: &BrokerState, group: &str) -> Result<GroupDescription> {
    // Members first: what the last of them stored when it left is found then.
    let live = members_of(broker, group);
    let stored = broker.offsets().stored(broker, group)?;
    if stored.is_none() && live.is_none() {
        return Err(Error::UnknownGroup {
            group: group.to_owned(),
        });
    }
    let stored = stored.unwrap_or_default();
    let live = live.unwrap_or_else(|| LiveGroup::none(&stored));
    Ok(GroupDescription {
        name: group.to_owned(),
        state: live.state,
        protocol_type: protocol_type(stored.protocol_type(), live.state),
        generation: live.generation.max(stored.generation()),
        offsets: offsets(broker, &stored, &live.members),
        assignor: live.assignor,
        members: live.members,
    })
}

/// What is known of a group's members at a moment.
#[derive(Debug)]
struct LiveGroup {
    state: GroupState,
    generation: i32,
    assignor: Option<String>,
    members: Vec<MemberDescription>,
}

impl LiveGroup {
    /// A group without members.
    fn none(stored: &StoredGroup) -> Self {
        Self {
            state: GroupState::Empty,
            generation: stored.generation(),
            assignor: None,
            members: Vec::new(),
        }
    }
}

/// The live side of a group; `None` if it has no member.
fn members_of(broker: &BrokerState, group: &str) -> Option<LiveGroup> {
    let view = broker.offsets().coordinator().view(group)?;
    let members = view.members.into_iter().map(|member| MemberDescription {
        member_id: member.id.to_string(),
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.host,
        generation: member.generation,
        assignment: member.owned,
    });
    Some(LiveGroup {
        state: state_of(view.is_settled),
        generation: view.generation,
        assignor: view.assignor,
        members: members.collect(),
    })
}

fn state_of(is_settled: bool) -> GroupState {
    if is_settled {
        GroupState::Stable
    } else {
        GroupState::Reconciling
    }
}

/// The groups that have members, with what they are doing.
fn live_groups(broker: &BrokerState) -> BTreeMap<String, GroupState> {
    let groups = broker.offsets().coordinator().live_groups().into_iter();
    groups
        .map(|(name, is_settled)| (name, state_of(is_settled)))
        .collect()
}

/// See [`Broker::groups`](crate::Broker::groups).
pub(crate) fn list(broker: &BrokerState) -> Result<Vec<GroupListing>> {
    // Members first, as in `describe`.
    let mut live = live_groups(broker);
    let stored = broker.offsets().groups(broker)?.into_iter();
    let mut listings: Vec<_> = stored
        .map(|stored| {
            let state = live.remove(&stored.name).unwrap_or(GroupState::Empty);
            GroupListing {
                protocol_type: protocol_type(&stored.protocol_type, state),
                name: stored.name,
                state,
            }
        })
        .collect();
    listings.extend(live.into_iter().map(|(name, state)| GroupListing {
        protocol_type: protocol_type("", state),
        name,
        state,
    }));
    listings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listings)
}

/// A group with members is one of consumers, whatever was stored of it.
fn protocol_type(stored: &str, state: GroupState) -> String {
    let live = state != GroupState::Empty;
    if live { "consumer" } else { stored }.to_owned()
}

fn offsets(
    broker: &BrokerState,
    stored: &StoredGroup,
    members: &[MemberDescription],
) -> Vec<GroupOffset> {
    let owners: BTreeMap<_, _> = members
        .iter()
        .flat_map(|member| member.assignment.iter().map(move |id| (id, member)))
        .collect();
    let partitions: BTreeSet<_> = stored
        .offsets
        .keys()
        .chain(owners.keys().copied())
        .collect();
    let offsets = partitions.into_iter().map(|id| {
        let committed = stored.offsets.get(id);
        let offset = committed.map(|committed| committed.offset);
        let end = find_partition(broker, id)
            .ok()
            .map(|partition| partition.high_watermark());
        GroupOffset {
            partition: id.clone(),
            committed: offset,
            log_end: end,
            lag: end
                .zip(offset)
                .map(|(end, offset)| end.saturating_sub(offset)),
            owner: owners.get(id).map(|member| member.member_id.clone()),
            metadata: committed.map_or_else(String::new, |committed| committed.metadata.clone()),
        }
    });
    offsets.collect()
}
