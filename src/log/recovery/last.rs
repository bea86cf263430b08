//! The last segment, which grows: after an orderly close it ends where the durable end says; after a
//! crash it is walked, and a torn tail is cut.

use std::sync::Arc;

use super::Recovery;
use crate::disk::{AppendFile, OpenMode};
use crate::error::{Error, Result};
use crate::format::durable_end::Slot;
use crate::format::seal::FrameDigest;
use crate::log::index::{IndexBuilder, SegmentIndex};
use crate::log::names::FileKind;
use crate::log::segment::Segment;
use crate::log::tail::{self, Floor};
use crate::record::{Offset, Timestamp};

/// The last segment, ready to grow.
pub(super) struct LastSegment {
    pub(super) segment: Arc<Segment>,
    pub(super) position: u64,
    pub(super) next_offset: Offset,
    pub(super) index: IndexBuilder,
    pub(super) digest: FrameDigest,
    pub(super) batches: u64,
    pub(super) first_timestamp: Option<Timestamp>,
}

impl Recovery<'_> {
    pub(super) fn open_last_segment(&mut self) -> Result<LastSegment> {
        let durable_end = self
            .slot
            .map_or(0, |slot| slot.end_offset)
            .max(self.request.recovery_point);
        let Some(&base) = self.bases.last() else {
            return self.begin_anew(durable_end);
        };
        let last = match (self.request.clean, self.slot) {
            (true, Some(slot)) if slot.is_clean() && slot.segment_base == base => {
                self.open_clean(base, slot)?
            }
            _ => self.open_unclean(base, durable_end)?,
        };
        if let Some(slot) = self.slot.filter(|slot| slot.segment_base > base) {
            self.note_lost_successor(last.next_offset, slot);
        }
        Ok(last)
    }

    /// There is no segment: the log is new, or everything is gone.
    fn begin_anew(&mut self, durable_end: Offset) -> Result<LastSegment> {
        let base = durable_end.max(self.request.start);
        if durable_end > self.request.start {
            let file = self.path(self.request.start, FileKind::Log);
            let error = Error::MissingSegment {
                file,
                reason: format!("the log reached offset {durable_end}"),
            };
            self.damaged(&error);
            self.fatal_damage = Some(error);
        }
        self.new_segment(base)
    }

    fn new_segment(&mut self, base: Offset) -> Result<LastSegment> {
        let path = self.path(base, FileKind::Log);
        let file = self
            .disk
            .open(&path, OpenMode::Create)
            .map_err(|error| Error::io("create", &path, error))?;
        self.names_unsynced = true;
        Ok(LastSegment {
            segment: Arc::new(Segment::active(
                base,
                AppendFile::new(path, file),
                SegmentIndex::default(),
            )),
            position: 0,
            next_offset: base,
            index: IndexBuilder::new(self.request.config.index_interval_bytes),
            digest: FrameDigest::new(),
            batches: 0,
            first_timestamp: None,
        })
    }

    /// The segment that was active is gone. What is left ends before it; an append would hide the gap.
    fn note_lost_successor(&mut self, end: Offset, slot: Slot) {
        let file = self.path(slot.segment_base, FileKind::Log);
        let reason = format!(
            "the log reached offset {} and ends at {end}",
            slot.end_offset
        );
        let error = Error::MissingSegment { file, reason };
        self.damaged(&error);
        self.fatal_damage = Some(error);
    }

    /// After an orderly close the end is known, and nothing is scanned.
    fn open_clean(&mut self, base: Offset, slot: Slot) -> Result<LastSegment> {
        let (file, len) = self.open_log_file(base)?;
        if len != slot.position {
            return self.open_changed(base, file, len, slot);
        }
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let loaded = SegmentIndex::load(self.disk, &offsets, &times, len)?;
        let producers_known = self.producers_until >= slot.end_offset;
        let stored = loaded.filter(|_| producers_known);
        // No time is what records without timestamps leave; or the file was emptied.
        let no_times = len > 0 && stored.as_ref().is_some_and(|index| index.times.is_empty());
        let Some(index) = stored.filter(|_| !no_times) else {
            // A missing index or snapshot: frames are enough to make them again.
            let floor = Floor {
                position: len,
                offset: slot.end_offset,
                offset_at_position: Some(slot.end_offset),
            };
            let last = self.walk_last(base, file, len, floor)?;
            let rightly_empty = no_times && last.index.largest_timestamp() < 0;
            if len > 0 && !rightly_empty {
                self.report.rebuilt.extend([offsets, times]);
            }
            return Ok(last);
        };
        let builder = IndexBuilder::resume(self.request.config.index_interval_bytes, &index, len);
        file.publish(len);
        let segment = Arc::new(Segment::active(base, file, index));
        let first_timestamp = segment.first_timestamp();
        Ok(LastSegment {
            segment,
            position: len,
            next_offset: slot.end_offset,
            index: builder,
            digest: FrameDigest::resume(slot.digest),
            // Counted again only when the segment is walked; the seal's count is for people.
            batches: 0,
            first_timestamp,
        })
    }

    /// The file changed after an orderly close: somebody else did that, so all of it is kept.
    fn open_changed(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        slot: Slot,
    ) -> Result<LastSegment> {
        let error = if len < slot.position {
            let reason = format!("it is {len} bytes long and was {}", slot.position);
            Error::MissingSegment {
                file: file.path().to_path_buf(),
                reason,
            }
        } else {
            Error::corrupt(
                file.path(),
                slot.position,
                "there are bytes behind the end of the log",
            )
        };
        self.damaged(&error);
        self.fatal_damage = Some(error);
        let len = len.min(slot.position);
        let floor = Floor {
            position: len,
            offset: slot.end_offset,
            offset_at_position: None,
        };
        self.walk_last(base, file, len, floor)
    }

    /// After a crash: walk the last segment, cut a torn tail, write what is left again, sync.
    fn open_unclean(&mut self, base: Offset, durable_end: Offset) -> Result<LastSegment> {
        let (file, len) = self.open_log_file(base)?;
        let floor = match self.slot {
            Some(slot) if slot.segment_base == base => Floor {
                position: slot.position,
                offset: durable_end,
                offset_at_position: Some(slot.end_offset),
            },
            _ => Floor {
                position: 0,
                offset: durable_end,
                offset_at_position: None,
            },
        };
        self.walk_last(base, file, len, floor)
    }

    fn walk_last(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        floor: Floor,
    ) -> Result<LastSegment> {
        let plan = self.plan(base, len, floor);
        let (producers, until) = (&mut self.producers, self.producers_until);
        let walked = tail::walk(&file, plan, &mut self.epochs, |header| {
            if header.base_offset >= until {
                producers.record(header);
            }
        })?;
        self.report.checked_bytes += walked.checked_bytes;
        if let Some(bad) = walked.damage {
            let error = Error::corrupt(
                file.path(),
                bad.position + bad.invalid.at as u64,
                bad.invalid.reason,
            );
            self.damaged(&error);
            self.fatal_damage.get_or_insert(error);
        }
        if walked.torn.is_some() && self.fatal_damage.is_none() {
            self.report.set_aside = tail::cut(self.disk, &file, &walked, len)?;
            self.report.truncated_bytes = len - walked.position;
        }
        if walked.position > floor.position || walked.torn.is_some() {
            tail::rewrite(&file, floor.position.min(walked.position), walked.position)?;
            file.sync()?;
        }
        file.publish(walked.position);
        Ok(LastSegment {
            segment: Arc::new(Segment::active(base, file, walked.index)),
            position: walked.position,
            next_offset: walked.next_offset,
            index: walked.builder,
            digest: walked.digest,
            batches: walked.batches,
            first_timestamp: walked.first_timestamp,
        })
    }
}
