//! Reading a log of the offsets topic into the state that it stands for.

use std::collections::BTreeMap;
use std::path::Path;

use super::stored::{Change, Groups};
use crate::consumer::run::RecordRun;
use crate::error::{Error, Result};
use crate::format::control::{ControlMarker, MarkerKind};
use crate::partition::{Cursor, FetchedBatch, PartitionState};
use crate::record::{Offset, Timestamp};

/// What a log stands for.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) groups: Groups,
}

/// Replays a log. Damage is an answer, to be remembered; other failures may pass, and are tried
/// again at the next use. `now` is when groups became empty that were live when it was written.
pub(super) fn read_log(log: &PartitionState, now: Timestamp) -> Result<Result<Replayed>> {
    match replay(log, now) {
        Err(error @ Error::Corrupt { .. }) => Ok(Err(error)),
        Err(error) => Err(error),
        Ok(replayed) => Ok(Ok(replayed)),
    }
}

/// The last record of a key wins; those of a transaction count from its commit marker on.
fn replay(log: &PartitionState, now: Timestamp) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut open_transactions: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    let mut cursor = Cursor::at(log.log_start_offset());
    while let Some(batch) = log.fetch(&mut cursor)? {
        let (attributes, producer) = (batch.header.attributes, batch.header.producer_id);
        if attributes.is_control() {
            let ended = open_transactions.remove(&producer).unwrap_or_default();
            if marker(log, batch)? == Some(MarkerKind::Commit) {
                apply(ended, &mut replayed);
            }
        } else if attributes.is_transactional() {
            open_transactions
                .entry(producer)
                .or_default()
                .extend(changes(log, batch, now)?);
        } else {
            apply(changes(log, batch, now)?, &mut replayed);
        }
    }
    Ok(replayed)
}

fn apply(changes: Vec<Change>, replayed: &mut Replayed) {
    for change in changes {
        change.apply_to(&mut replayed.groups);
    }
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

/// The changes that the records of a batch stand for; those of kinds that are not known here are left out.
fn changes(log: &PartitionState, batch: FetchedBatch, now: Timestamp) -> Result<Vec<Change>> {
    let run = RecordRun::new(log.id(), batch)?;
    let changes = run.iter().filter_map(|record| {
        Change::decode(record.key().unwrap_or_default(), record.value(), now)
            .map_err(|invalid| corrupt(log, record.offset(), invalid.reason))
            .transpose()
    });
    changes.collect()
}

fn corrupt(log: &PartitionState, offset: Offset, reason: &str) -> Error {
    let partition = log.id().to_string();
    Error::corrupt(
        Path::new(&partition),
        0,
        format!("record at offset {offset}: {reason}"),
    )
}
