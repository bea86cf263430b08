//! One partition of `__consumer_offsets`: the committed offsets of the groups that live in it.
//!
//! The state is a replay of the log, made at the first use and then kept in step: a change is
//! appended first, and shows in memory only if that worked. One lock covers both, so the order of
//! the log is the order of the map.
//!
//! A log that cannot be read makes its groups fail with `Corrupt`, commits included: going on from an
//! incomplete state would start them at a wrong place.
//!
//! Elsewhere: which partition a group lives in ([`offsets`](super::offsets)), the bytes of a record
//! (`format::offsets_record`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::offsets::OffsetAndMetadata;
use crate::config::Durability;
use crate::consumer::run::RecordRun;
use crate::error::{Error, Result};
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::format::control::{ControlMarker, MarkerKind};
use crate::format::offsets_record::{OffsetKey, OffsetValue, OffsetsKey, decode_key};
use crate::format::{Compression, Invalid};
use crate::partition::{Cursor, FetchedBatch, PartitionState};
use crate::record::{Headers, Offset, Timestamp, TopicPartition};

/// Committed offsets by group and partition.
pub(super) type Groups = BTreeMap<String, BTreeMap<TopicPartition, OffsetAndMetadata>>;

/// A new committed offset, or `None` to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) group: String,
    pub(super) partition: TopicPartition,
    pub(super) committed: Option<OffsetAndMetadata>,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct OffsetLog {
    log: Arc<PartitionState>,
    /// Held across the append: commits are no hot path, and readers of records never come here.
    /// In the lock order before the partition's own lock.
    /// `None` until it is needed, then the replayed state, or why there is none.
    state: Mutex<Option<Result<Groups>>>,
}

impl OffsetLog {
    pub(super) fn new(log: Arc<PartitionState>) -> Self {
        Self {
            log,
            state: Mutex::new(None),
        }
    }

    /// Blocks until everything below `end` is on the device.
    pub(super) fn wait_durable(&self, end: Offset) -> Result<()> {
        self.log.wait_durable(end)
    }

    /// Looks at the committed offsets.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Groups) -> T) -> Result<T> {
        self.lock_and(|groups, _| Ok(look(groups)))
    }

    /// Writes, as one atomic batch, those changes that `choose` makes out of the present state and
    /// that change something. Returns the end of the log: once that is durable, so are they.
    pub(super) fn write(
        &self,
        now: Timestamp,
        choose: impl FnOnce(&Groups) -> Result<Vec<Change>>,
    ) -> Result<Offset> {
        self.lock_and(|groups, log| {
            let mut changes = choose(groups)?;
            changes.retain(|change| change.differs_from(groups));
            if changes.is_empty() {
                return Ok(log.high_watermark());
            }
            let end = append(log, now, &changes)?;
            apply(changes, groups);
            Ok(end)
        })
    }

    fn lock_and<T>(
        &self,
        action: impl FnOnce(&mut Groups, &Arc<PartitionState>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let known = match state.take() {
            Some(known) => known,
            None => read_log(&self.log)?,
        };
        match state.insert(known) {
            Ok(groups) => action(groups, &self.log),
            Err(error) => Err(error.clone()),
        }
    }
}

impl Change {
    fn differs_from(&self, groups: &Groups) -> bool {
        let present = groups
            .get(&self.group)
            .and_then(|offsets| offsets.get(&self.partition));
        present != self.committed.as_ref()
    }

    fn apply_to(self, groups: &mut Groups) {
        match self.committed {
            Some(committed) => {
                groups
                    .entry(self.group)
                    .or_default()
                    .insert(self.partition, committed);
            }
            None => {
                if let Some(offsets) = groups.get_mut(&self.group) {
                    offsets.remove(&self.partition);
                    if offsets.is_empty() {
                        groups.remove(&self.group);
                    }
                }
            }
        }
    }
}

fn apply(changes: Vec<Change>, groups: &mut Groups) {
    for change in changes {
        change.apply_to(groups);
    }
}

/// Appends the changes as one batch; returns its end.
fn append(log: &Arc<PartitionState>, now: Timestamp, changes: &[Change]) -> Result<Offset> {
    let mut batch = BatchBuilder::new(changes.len().saturating_mul(128), Compression::None);
    for change in changes {
        let (key, value) = encode(change, now).map_err(|invalid| Error::InvalidRecord {
            topic: log.id().topic().to_owned(),
            reason: invalid.reason,
        })?;
        batch.push(now, Some(&key), value.as_deref(), &Headers::default());
    }
    let appended = log.append(
        batch.finish(ProducerStamp::NONE, false)?,
        Durability::Written,
    )?;
    Ok(appended.end_offset)
}

type KeyAndValue = (Vec<u8>, Option<Vec<u8>>);

fn encode(change: &Change, now: Timestamp) -> Result<KeyAndValue, Invalid> {
    let key = OffsetKey {
        group: change.group.clone(),
        topic: change.partition.topic().to_owned(),
        partition: change.partition.partition(),
    };
    let value = change.committed.as_ref().map(|committed| OffsetValue {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
        commit_timestamp: now,
    });
    Ok((
        key.encode()?,
        value.map(|value| value.encode()).transpose()?,
    ))
}

/// Replays a log. Damage is an answer, to be remembered; other failures may pass, and are tried
/// again at the next use.
fn read_log(log: &PartitionState) -> Result<Result<Groups>> {
    match replay(log) {
        Err(error @ Error::Corrupt { .. }) => Ok(Err(error)),
        Err(error) => Err(error),
        Ok(groups) => Ok(Ok(groups)),
    }
}

/// The last record of a key wins; those of a transaction count from its commit marker on.
fn replay(log: &PartitionState) -> Result<Groups> {
    let mut groups = Groups::new();
    let mut open_transactions: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    let mut cursor = Cursor::at(log.log_start_offset());
    while let Some(batch) = log.fetch(&mut cursor)? {
        let (attributes, producer) = (batch.header.attributes, batch.header.producer_id);
        if attributes.is_control() {
            let ended = open_transactions.remove(&producer).unwrap_or_default();
            if marker(log, batch)? == Some(MarkerKind::Commit) {
                apply(ended, &mut groups);
            }
        } else if attributes.is_transactional() {
            open_transactions
                .entry(producer)
                .or_default()
                .extend(changes(log, batch)?);
        } else {
            apply(changes(log, batch)?, &mut groups);
        }
    }
    Ok(groups)
}

fn marker(log: &PartitionState, batch: FetchedBatch) -> Result<Option<MarkerKind>> {
    let run = RecordRun::new(log.id(), batch)?;
    let Some(record) = run.iter().next() else {
        return Ok(None);
    };
    let marker = ControlMarker::parse(record.key(), record.value())
        .map_err(|invalid| corrupt(log, record.offset(), invalid.reason))?;
    Ok(marker.map(|marker| marker.kind))
}

/// The changes that the records of a batch stand for. Records about the groups themselves are left
/// alone.
fn changes(log: &PartitionState, batch: FetchedBatch) -> Result<Vec<Change>> {
    let run = RecordRun::new(log.id(), batch)?;
    let changes = run.iter().map(|record| {
        decode(record.key().unwrap_or_default(), record.value())
            .map_err(|invalid| corrupt(log, record.offset(), invalid.reason))
    });
    changes.filter_map(Result::transpose).collect()
}

fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Change>, Invalid> {
    let OffsetsKey::Offset(key) = decode_key(key)? else {
        return Ok(None);
    };
    let committed = value
        .map(OffsetValue::decode)
        .transpose()?
        .map(|value| OffsetAndMetadata {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
        });
    let partition = TopicPartition::new(key.topic, key.partition);
    Ok(Some(Change {
        group: key.group,
        partition,
        committed,
    }))
}

fn corrupt(log: &PartitionState, offset: Offset, reason: &str) -> Error {
    let partition = log.id().to_string();
    Error::corrupt(
        Path::new(&partition),
        0,
        format!("record at offset {offset}: {reason}"),
    )
}
