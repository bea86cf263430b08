//! Up to where groups have consumed a topic, for retention that waits for them.

use std::sync::Arc;

use super::offsets::{OffsetStore, home};
use super::stored::StoredGroup;
use crate::config::RetentionConsumed;
use crate::error::Result;
use crate::record::Offset;
use crate::topic::TopicState;

impl OffsetStore {
    /// For each of a topic's `partitions`, the offset below which all groups that count have consumed
    /// it. `offsets` is the topic of committed offsets, if there is one.
    ///
    /// # Errors
    /// A part of the offsets cannot be read: then nobody knows, and everything has to stay.
    pub(crate) fn consumed(
        &self,
        offsets: Option<&Arc<TopicState>>,
        topic: &str,
        partitions: usize,
        who: &RetentionConsumed,
    ) -> Result<Vec<Offset>> {
        if *who == RetentionConsumed::Off {
            return Ok(vec![Offset::MAX; partitions]);
        }
        let logs = offsets.map_or(&[][..], |offsets| self.logs_of(offsets));
        let nothing = || vec![0; partitions];
        let mut lowest: Option<Vec<Offset>> = None;
        match who {
            RetentionConsumed::Off => {}
            RetentionConsumed::Groups(_) if logs.is_empty() => {}
            RetentionConsumed::Groups(names) => {
                for name in names {
                    let committed = home(logs, name)?.read(|groups| {
                        let group = groups.get(name)?;
                        committed(group, topic, partitions)
                    })?;
                    lower(&mut lowest, committed.unwrap_or_else(nothing));
                }
            }
            RetentionConsumed::EveryGroup => {
                for log in logs {
                    log.read(|groups| {
                        let all = groups.values();
                        for committed in all.filter_map(|it| committed(it, topic, partitions)) {
                            lower(&mut lowest, committed);
                        }
                    })?;
                }
            }
        }
        Ok(lowest.unwrap_or_else(nothing))
    }
}

/// What a group committed for each partition of a topic, 0 where it did not; `None` if it did for none.
fn committed(group: &StoredGroup, topic: &str, partitions: usize) -> Option<Vec<Offset>> {
    let mut committed = None;
    let of_topic = group.offsets.iter().filter(|(id, _)| id.topic() == topic);
    for (id, offset) in of_topic {
        let all = committed.get_or_insert_with(|| vec![0; partitions]);
        let index = usize::try_from(id.partition()).unwrap_or(usize::MAX);
        if let Some(place) = all.get_mut(index) {
            *place = offset.offset;
        }
    }
    committed
}

fn lower(lowest: &mut Option<Vec<Offset>>, others: Vec<Offset>) {
    match lowest {
        None => *lowest = Some(others),
        Some(lowest) => {
            for (lowest, other) in lowest.iter_mut().zip(others) {
                *lowest = (*lowest).min(other);
            }
        }
    }
}
