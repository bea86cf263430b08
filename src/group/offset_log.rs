//! One partition of `__consumer_offsets`: the groups that live in it, and what they committed.
//!
//! The state is a replay of the log, made at the first use and then kept in step: a change is
//! appended first, and shows in memory only if that worked. One lock covers both, so the order of
//! the log is the order of the map.
//!
//! A log that cannot be read makes its groups fail with `Corrupt`, commits included: going on from an
//! incomplete state would start them at a wrong place.
//!
//! Until topics are compacted in general, a log that is many times as large as its state is
//! [shortened](OffsetLog::shorten).
//!
//! Elsewhere: which partition a group lives in ([`offsets`](super::offsets)), what is stored of a group
//! ([`stored`](super::stored)), reading the log ([`replay`](super::replay)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::expiry::Expiry;
use super::replay::{Replayed, read_log};
use super::stored::{Change, Groups, KeyAndValue};
use crate::broker::Storage;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::partition::PartitionState;
use crate::record::{Headers, Offset, Timestamp};

/// Smaller logs are left as they are: reading one this long takes some hundredths of a second.
pub(super) const SMALLEST_SHORTENED: u64 = 16 << 20;

/// A log is shortened when it is this many times as large as what it stands for, so that writing that
/// again is little beside what was written before.
const MOST_TIMES_LIVE: u64 = 8;

/// So many changes fit a batch (16 MiB), with metadata as long as it may be.
const LARGEST_BATCH: usize = 1_000;

/// See the module's description.
#[derive(Debug)]
pub(super) struct OffsetLog {
    log: Arc<PartitionState>,
    expiry: Arc<Expiry>,
    /// Held across the append: commits are no hot path, and readers of records never come here.
    /// In the lock order behind the members' lock, before the partition's own.
    /// `None` until it is needed, then the replayed state, or why there is none.
    state: Mutex<Option<Result<Replayed>>>,
    /// From this size on, in bytes, the log is worth a look whether it can be shortened.
    worth_a_look: AtomicU64,
}

impl OffsetLog {
    pub(super) fn new(log: Arc<PartitionState>, expiry: Arc<Expiry>) -> Self {
        Self {
            log,
            expiry,
            state: Mutex::new(None),
            worth_a_look: AtomicU64::new(SMALLEST_SHORTENED),
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
            if self.is_worth_a_look() {
                self.expiry.shorten_soon();
            }
            Ok(end)
        })
    }

    /// True if the log has grown to where it may have to be shortened.
    pub(super) fn is_worth_a_look(&self) -> bool {
        self.log.log().size_bytes() >= self.worth_a_look.load(Ordering::Relaxed)
    }

    /// Shortens the log if it is larger than `smallest`, and many times what it stands for: writes all of
    /// that again, in a segment of its own, and moves the log's start to there. A crash leaves the log
    /// from its old start or from the new one on, and both stand for the same.
    pub(super) fn shorten(&self, storage: &dyn Storage, smallest: u64) -> Result<()> {
        let state = self.state.lock();
        let Some(Ok(known)) = &*state else {
            return Ok(());
        };
        if known.has_more {
            self.worth_a_look.store(u64::MAX, Ordering::Relaxed);
            return Ok(());
        }
        let now = self.expiry.now();
        let changes = everything(&known.groups);
        let live = encoded_size(&self.log, &changes)?;
        let limit = smallest.max(live.saturating_mul(MOST_TIMES_LIVE));
        self.worth_a_look.store(limit, Ordering::Relaxed);
        if self.log.log().size_bytes() < limit {
            return Ok(());
        }
        // Nobody else writes here, so what is written now begins the new segment.
        self.log.begin_segment()?;
        let start = self.log.log().end_offset();
        for some in changes.chunks(LARGEST_BATCH) {
            append(&self.log, now, some)?;
        }
        // All of it before the start: a power loss must not take both.
        self.log.wait_durable(self.log.log().end_offset())?;
        storage.raise_start(&self.log, start)
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

/// What writes the state again.
fn everything(groups: &Groups) -> Vec<Change> {
    let all = groups.iter().flat_map(|(name, group)| {
        let record = group.record.clone();
        let record = record.map(|record| Change::record(name, Some(record)));
        let offsets = group.offsets.iter();
        let offsets = offsets.map(move |(partition, committed)| {
            Change::offset(name, partition, Some(committed.clone()))
        });
        record.into_iter().chain(offsets)
    });
    all.collect()
}

fn encoded_size(log: &PartitionState, changes: &[Change]) -> Result<u64> {
    let mut size = 0_usize;
    for change in changes {
        let (key, value) = encode(log, change)?;
        size = size.saturating_add(key.len() + value.map_or(0, |value| value.len()));
    }
    Ok(u64::try_from(size).unwrap_or(u64::MAX))
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
