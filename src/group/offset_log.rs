//! One partition of `__consumer_offsets`: the groups that live in it, and what they committed.
//!
//! The state is a replay of the log, made at the first use and then kept in step: a change is
//! appended first, and shows in memory only if that worked. One lock covers both, so the order of
//! the log is the order of the map.
//!
//! A log that cannot be read makes its groups fail with `Corrupt`, commits included: going on from an
//! incomplete state would start them at a wrong place.
//!
//! Elsewhere: which partition a group lives in ([`offsets`](super::offsets)), what is stored of a group
//! ([`stored`](super::stored)), reading the log ([`replay`](super::replay)).

use std::sync::Arc;

use parking_lot::Mutex;

use super::expiry::Expiry;
use super::replay::{Replayed, read_log};
use super::stored::{Change, Groups, KeyAndValue};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::partition::PartitionState;
use crate::record::{Headers, Offset, Timestamp};

/// See the module's description.
#[derive(Debug)]
pub(super) struct OffsetLog {
    log: Arc<PartitionState>,
    expiry: Arc<Expiry>,
    /// Held across the append: commits are no hot path, and readers of records never come here.
    /// In the lock order behind the members' lock, before the partition's own.
    /// `None` until it is needed, then the replayed state, or why there is none.
    state: Mutex<Option<Result<Replayed>>>,
}

impl OffsetLog {
    pub(super) fn new(log: Arc<PartitionState>, expiry: Arc<Expiry>) -> Self {
        Self {
            log,
            expiry,
            state: Mutex::new(None),
        }
    }

    pub(super) fn partition(&self) -> &Arc<PartitionState> {
        &self.log
    }

    /// Blocks until everything below `end` is on the device.
    pub(super) fn wait_durable(&self, end: Offset) -> Result<()> {
        self.log.wait_durable(end)
    }

    /// Looks at the groups.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Groups) -> T) -> Result<T> {
        self.lock_and(|groups, _| Ok(look(groups)))
    }

    /// Looks at the groups if they are in memory; `None` if not, or if the log is damaged.
    pub(super) fn read_loaded<T>(&self, look: impl FnOnce(&Groups) -> T) -> Option<T> {
        match &*self.state.lock() {
            Some(Ok(known)) => Some(look(&known.groups)),
            _ => None,
        }
    }

    /// Writes, as one atomic batch, those changes that `choose` makes out of the present state and
    /// that change something. Returns the end of the log: once that is durable, so are they.
    pub(super) fn write(
        &self,
        now: Timestamp,
        choose: impl FnOnce(&Groups) -> Result<Vec<Change>>,
    ) -> Result<Offset> {
        let refresh = self.expiry.refresh();
        self.lock_and(|groups, log| {
            let mut changes = choose(groups)?;
            for change in &mut changes {
                change.stamp(now);
            }
            changes.retain(|change| change.changes(groups, refresh));
            if changes.is_empty() {
                return Ok(log.high_watermark());
            }
            let end = append(log, now, &changes)?;
            for change in changes {
                change.apply_to(groups);
            }
            Ok(end)
        })
    }

    fn lock_and<T>(
        &self,
        action: impl FnOnce(&mut Groups, &Arc<PartitionState>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let known = if let Some(known) = state.take() {
            known
        } else {
            let read = read_log(&self.log, self.expiry.now())?;
            self.expiry.check_soon();
            read
        };
        match state.insert(known) {
            Ok(known) => action(&mut known.groups, &self.log),
            Err(error) => Err(error.clone()),
        }
    }
}

fn encode(log: &PartitionState, change: &Change) -> Result<KeyAndValue> {
    change.encode().map_err(|invalid| Error::InvalidRecord {
        topic: log.id().topic().to_owned(),
        reason: invalid.reason,
    })
}

/// Appends the changes as one batch; returns its end.
fn append(log: &Arc<PartitionState>, now: Timestamp, changes: &[Change]) -> Result<Offset> {
    let mut batch = BatchBuilder::new(changes.len().saturating_mul(128), Compression::None);
    for change in changes {
        let (key, value) = encode(log, change)?;
        batch.push(now, Some(&key), value.as_deref(), &Headers::default());
    }
    let appended = log.append(
        batch.finish(ProducerStamp::NONE, false)?,
        Durability::Written,
    )?;
    Ok(appended.end_offset)
}
