//! What a killed process left staged: it goes where it was meant to go.
//!
//! Batches that were stored into a stage were acknowledged; the segment's file lacks those that no flush
//! had reached. After a crash of the process the stage has all of them. After one of the machine it has
//! any mixture of what it ever held, since it is never synced; but it was this partition's alone, so what
//! continues the log, with good checksums and the right epoch, are batches that once stood there.
//!
//! Bytes below the durable end are not touched, and what is written here is looked at again as part of
//! the segment's tail. The stage stays until that is on the device.

use std::path::Path;

use super::{Recovery, SegmentFile};
use crate::disk::{STAGE_LEN, read_file};
use crate::error::{Error, Result};
use crate::format::stage::{self, StageHeader};
use crate::log::names::FileKind;
use crate::record::Offset;

impl Recovery<'_> {
    /// Writes what is staged for the last segment into it.
    pub(super) fn take_over_stage(&mut self) -> Result<()> {
        let is_part = |(_, kind, _): &&SegmentFile| *kind == FileKind::Stage;
        let parts = self.files.iter().filter(is_part);
        self.stage_parts = parts
            .map(|(number, kind, _)| self.path(*number, *kind))
            .collect();
        let Some(base) = self.bases.last().copied().filter(|_| !self.is_clean()) else {
            return Ok(());
        };
        let mut staged = Vec::new();
        for path in &self.stage_parts {
            staged.extend(self.staged_batches(path, base)?);
        }
        staged.sort_by_key(|(position, _)| *position);
        for (position, batches) in staged {
            self.take_over(base, position, &batches)?;
        }
        Ok(())
    }

    /// The batches of a part, with their position, if they are meant for this partition's segment at
    /// `base`.
    fn staged_batches(&self, part: &Path, base: Offset) -> Result<Option<(u64, Vec<u8>)>> {
        let part = match read_file(self.disk, part, STAGE_LEN) {
            Ok(part) => part.unwrap_or_default(),
            // Not one that a log has written.
            Err(Error::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_ours = |header: &StageHeader| {
            header.topic_id == self.request.topic_id
                && header.partition == self.request.id.partition()
                && header.segment_base == base
        };
        let Some(header) = stage::decode(&part).filter(is_ours) else {
            return Ok(None);
        };
        // An epoch's start is written down before its first batch: others are of a history that ended.
        let batches = stage::batches(&part, &header, |batch| {
            self.epochs.epoch_at(batch.base_offset) == Some(batch.leader_epoch)
        });
        Ok(Some((header.position, batches.to_vec())))
    }

    /// Writes staged batches at their position, but none below the durable end, and none behind a gap.
    fn take_over(&mut self, base: Offset, position: u64, batches: &[u8]) -> Result<()> {
        let durable = match self.slot {
            Some(slot) if slot.segment_base == base => u64::from(slot.position),
            Some(slot) if slot.segment_base > base => u64::MAX,
            _ => 0,
        };
        let known = usize::try_from(durable.saturating_sub(position)).unwrap_or(usize::MAX);
        let (file, len) = self.open_log_file(base)?;
        match batches.get(known..) {
            Some(new) if position <= len => file.write(new, position.max(durable)),
            _ => Ok(()),
        }
    }
}
