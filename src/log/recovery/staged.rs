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
use crate::format::batch::BatchHeader;
use crate::format::stage::{self, StageHeader};
use crate::log::names::FileKind;
use crate::record::Offset;

impl Recovery<'_> {
    /// The files of the stage.
    pub(super) fn list_stage(&mut self) {
        let is_part = |(_, kind): &&SegmentFile| *kind == FileKind::Stage;
        let parts = self.files.iter().filter(is_part);
        self.stage_parts = parts
            .map(|(number, kind)| self.path(*number, *kind))
            .collect();
    }

    /// How many staged batches for the segment at `base` are as `agrees` wants them, less those that are
    /// not.
    pub(super) fn staged_agreement(
        &self,
        base: Offset,
        agrees: impl Fn(&BatchHeader) -> bool,
    ) -> Result<i32> {
        let mut agreement = 0;
        for part in &self.stage_parts {
            let staged = self.staged_batches(part, base, |_| true)?;
            let mut batches = staged.as_ref().map_or(&[][..], |(_, batches)| batches);
            while let Ok(header) = BatchHeader::parse(batches) {
                agreement += if agrees(&header) { 1 } else { -1 };
                batches = batches.get(header.size as usize..).unwrap_or_default();
            }
        }
        Ok(agreement)
    }

    /// Writes what is staged for the last segment into it.
    pub(super) fn take_over_stage(&mut self) -> Result<()> {
        let Some(base) = self.bases.last().copied().filter(|_| !self.is_clean()) else {
            return Ok(());
        };
        // An epoch's start is written down before its first batch: others are of a history that ended.
        let is_of_epoch = |batch: &BatchHeader| {
            self.epochs.epoch_at(batch.base_offset) == Some(batch.leader_epoch)
        };
        let mut staged = Vec::new();
        for path in &self.stage_parts {
            staged.extend(self.staged_batches(path, base, is_of_epoch)?);
        }
        staged.sort_by_key(|(position, _)| *position);
        for (position, batches) in staged {
            self.take_over(base, position, &batches)?;
        }
        Ok(())
    }

    /// The batches of a part up to one that is not accepted, with their position, if they are meant for
    /// this partition's segment at `base`.
    fn staged_batches(
        &self,
        part: &Path,
        base: Offset,
        accept: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, Vec<u8>)>> {
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
        let batches = stage::batches(&part, &header, accept);
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
        let file = self.open_log_file(base)?;
        let len = file.len()?;
        match batches.get(known..) {
            Some(new) if position <= len => file.write(new, position.max(durable)),
            _ => Ok(()),
        }
    }
}
