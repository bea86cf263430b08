//! Where a group is to go on: the strategies of Kafka's reset tool, as a plan that can be looked at
//! before it is carried out.
//!
//! Elsewhere: carrying it out, for a group without members ([`handle`](super::handle)).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::offsets::OffsetAndMetadata;
use super::stored::milliseconds;
use crate::broker::BrokerState;
use crate::consumer::subscription::find_partition;
use crate::error::{Error, Result};
use crate::partition::PartitionState;
use crate::record::{Offset, Position, TopicPartition};

/// Where a group is to go on; see [`ConsumerGroup::reset_offsets`](crate::ConsumerGroup::reset_offsets).
///
/// A [`Position`] is one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetReset {
    /// At a position: the beginning, the end, an offset, or the first record of a time.
    To(Position),
    /// So many offsets after the committed one; before it, if negative.
    ShiftBy(i64),
    /// At the first record of the last so many hours, minutes, …, by the broker's clock.
    ByDuration(Duration),
    /// Where it is; at the end of partitions for which nothing is committed. For committed offsets that lie
    /// outside of what the log holds by now.
    ToCurrent,
}

impl From<Position> for OffsetReset {
    fn from(position: Position) -> Self {
        Self::To(position)
    }
}

/// What a reset does, or would do, to one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResetOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// What was committed before.
    pub from: Option<Offset>,
    /// The next offset to read from now on.
    pub to: Offset,
    /// What was asked for lies outside of the log, so `to` is the nearest offset in it.
    pub clamped: Option<Clamped>,
}

/// Which end of its log an offset was moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clamped {
    /// What was asked for lies before the log's start.
    ToStart,
    /// What was asked for lies beyond the log's end.
    ToEnd,
}

/// All partitions of a topic.
pub(super) fn partitions_of(broker: &BrokerState, topic: &str) -> Result<Vec<TopicPartition>> {
    let topic = broker.topic(topic)?;
    let partitions = topic.partitions.load();
    Ok(partitions
        .iter()
        .map(|partition| partition.id().clone())
        .collect())
}

/// Says where the group would go on in each of these partitions, in order, without repetitions.
pub(super) fn plan(
    broker: &BrokerState,
    group: &str,
    partitions: &[TopicPartition],
    reset: OffsetReset,
) -> Result<Vec<ResetOffset>> {
    let partitions: BTreeSet<_> = partitions.iter().collect();
    let stored = broker.offsets().stored(broker, group)?;
    let committed = stored.map(|group| group.offsets).unwrap_or_default();
    let planned = partitions
        .into_iter()
        .map(|id| plan_one(broker, group, id, &committed, reset));
    planned.collect()
}

fn plan_one(
    broker: &BrokerState,
    group: &str,
    id: &TopicPartition,
    committed: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    reset: OffsetReset,
) -> Result<ResetOffset> {
    let partition = find_partition(broker, id)?;
    let from = committed.get(id).map(|committed| committed.offset);
    let wanted = match reset {
        OffsetReset::To(position) => partition.resolve(position)?.into(),
        OffsetReset::ByDuration(span) => {
            let since = broker.clock().wall().saturating_sub(milliseconds(span));
            partition.resolve(Position::Timestamp(since))?.into()
        }
        OffsetReset::ToCurrent => from.unwrap_or(partition.high_watermark()).into(),
        OffsetReset::ShiftBy(by) => {
            let from = from.ok_or_else(|| Error::NoCommittedOffset {
                group: group.to_owned(),
                partition: id.clone(),
            })?;
            // Neither end of either type is out of reach.
            i128::from(from) + i128::from(by)
        }
    };
    let (to, clamped) = clamp(&partition, wanted);
    Ok(ResetOffset {
        partition: id.clone(),
        from,
        to,
        clamped,
    })
}

/// The nearest offset that the log holds, or its end.
fn clamp(partition: &PartitionState, wanted: i128) -> (Offset, Option<Clamped>) {
    let (start, end) = (partition.log_start_offset(), partition.high_watermark());
    match Offset::try_from(wanted) {
        Ok(offset) if (start..=end).contains(&offset) => (offset, None),
        // Where a damaged log ends is not known: who reads there is told of the damage.
        Ok(offset) if offset > end && partition.log().damage().is_some() => (offset, None),
        Ok(offset) if offset > end => (end, Some(Clamped::ToEnd)),
        Err(_) if wanted > 0 => (end, Some(Clamped::ToEnd)),
        _ => (start, Some(Clamped::ToStart)),
    }
}
