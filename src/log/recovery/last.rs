//! The last segment, which grows: after an orderly close it ends where the durable end says; after a
//! crash it is walked, and a torn tail is cut.

use std::sync::Arc;

use super::{LogFile, Recovery};
use crate::config::Durability;
use crate::disk::{AppendFile, OpenMode};
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::durable_end::Slot;
use crate::format::seal::FrameDigest;
use crate::log::durable_ends::DurablePoint;
use crate::log::index::{IndexBuilder, SegmentIndex};
use crate::log::names::FileKind;
use crate::log::scan::{Check, Scanner};
use crate::log::segment::Segment;
use crate::log::tail::{self, Floor, LONGEST_SEGMENT, Tail, Walked};
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
    /// Up to where it is known to be on the device, if that is not all of it.
    pub(super) durable: Option<DurablePoint>,
    /// The file's length, if it ends with zeros that were written ahead.
    pub(super) zeros_up_to: u64,
}

impl Recovery<'_> {
    /// `before` is the end of the segment before it.
    pub(super) fn open_last_segment(&mut self, before: Option<Offset>) -> Result<LastSegment> {
        let Some(&base) = self.bases.last() else {
            return self.begin_anew();
        };
        let last = match self.slot {
            Some(slot) if self.is_clean() && slot.segment_base == base => {
                self.open_clean(base, slot)?
            }
            _ => {
                let follows = self.request.adopted || before.is_none_or(|end| end == base);
                self.open_unclean(base, follows)?
            }
        };
        if self.former_end > last.next_offset && self.fatal_damage.is_none() {
            let file = match self.slot {
                Some(slot) if slot.segment_base > base => {
                    self.path(slot.segment_base, FileKind::Log)
                }
                _ => last.segment.path().to_path_buf(),
            };
            // What is left ends before it; an append would hide the gap.
            let reason = "the records were in it, and are not there";
            self.refuse_appends(
                Error::missing(&file, reason).with_offsets(last.next_offset..self.former_end),
            );
        }
        Ok(last)
    }

    fn refuse_appends(&mut self, error: Error) {
        self.damaged(&error);
        self.fatal_damage.get_or_insert(error);
    }

    /// There is no segment: the log is new, or everything is gone.
    fn begin_anew(&mut self) -> Result<LastSegment> {
        let start = self.request.start;
        if self.former_end > start {
            let file = self.path(start, FileKind::Log);
            let reason = "the records were in it, and are not there";
            return Err(Error::missing(&file, reason).with_offsets(start..self.former_end));
        }
        self.new_segment(start)
    }

    fn new_segment(&mut self, base: Offset) -> Result<LastSegment> {
        let path = self.path(base, FileKind::Log);
        let file = self
            .disk
            .open(&path, OpenMode::Create)
            .map_err(|error| Error::io("create", &path, error))?;
        self.names_unsynced = true;
        let file = self.held(path.clone(), file);
        Ok(LastSegment {
            segment: self.shared(Segment::active(
                base,
                AppendFile::new(path, Arc::new(file)),
                SegmentIndex::default(),
            )),
            position: 0,
            next_offset: base,
            index: IndexBuilder::new(self.request.config.index_interval_bytes),
            digest: FrameDigest::new(),
            batches: 0,
            first_timestamp: None,
            durable: None,
            zeros_up_to: 0,
        })
    }

    /// After an orderly close the end is known, and nothing is scanned.
    fn open_clean(&mut self, base: Offset, slot: Slot) -> Result<LastSegment> {
        let file = self.open_log_file(base)?;
        let len = self.log(base).map_or(0, |log| log.len);
        if len != u64::from(slot.position) {
            return self.open_changed(base, file, len, slot);
        }
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let loaded = SegmentIndex::load(self.disk, &offsets, &times, len)
            .ok()
            .flatten()
            .filter(|index| index.digest() == slot.index_digest);
        let index_is_good = loaded.is_some();
        let producers_known = self.producers_until >= slot.end_offset;
        let index = loaded.unwrap_or_default();
        let is_as_closed =
            index_is_good && producers_known && self.leads_to(&file, base, &index, slot.end_offset);
        if !is_as_closed {
            // Frames are enough to make index and producer state again; or something is wrong.
            let floor = Floor {
                position: len,
                offset: slot.end_offset,
                offset_at_position: Some(slot.end_offset),
            };
            let last = self.walk_last(base, file, len, floor)?;
            if !index_is_good {
                self.report.rebuilt.extend([offsets, times]);
            }
            if !producers_known {
                let snapshot = self.path(slot.end_offset, FileKind::ProducerSnapshot);
                self.report.rebuilt.push(snapshot);
            }
            return Ok(last);
        }
        file.publish(len);
        let interval = self.request.config.index_interval_bytes;
        let builder = IndexBuilder::resume(interval, &index, len);
        let first = self.log(base).and_then(LogFile::header);
        Ok(LastSegment {
            segment: self.shared(Segment::active(base, file, index)),
            position: len,
            next_offset: slot.end_offset,
            index: builder,
            digest: FrameDigest::resume(slot.digest),
            // Counted again only when the segment is walked; the seal's count is for people.
            batches: 0,
            first_timestamp: first.map(|header| header.max_timestamp),
            durable: None,
            zeros_up_to: 0,
        })
    }

    /// True if the batches from the last index entry on lead to the end of the file with this offset, and
    /// the first one is the segment's. One that cannot be read does not.
    fn leads_to(
        &self,
        file: &AppendFile,
        base: Offset,
        index: &SegmentIndex,
        end_offset: Offset,
    ) -> bool {
        let Some(log) = self.log(base).filter(|log| log.len > 0) else {
            return end_offset == base;
        };
        let begins =
            |header: &BatchHeader| header.base_offset == base && u64::from(header.size) <= log.len;
        let Some(first) = log.header().filter(begins) else {
            return false;
        };
        let hint = index.offsets.last();
        // Without a hint the second batch is the next: the first one has just been looked at.
        let from = hint.map_or(first.size, |entry| entry.position);
        let mut scanner = Scanner::new(file, from.into(), log.len);
        let mut next = first.next_offset();
        if let Some(entry) = hint {
            let last_offset = base + u64::from(entry.relative_offset);
            match scanner.next(Check::Crc) {
                Ok(Some(Ok((header, _)))) if header.last_offset() == last_offset => {
                    next = header.next_offset();
                }
                _ => return false,
            }
        }
        loop {
            match scanner.next(Check::Frames) {
                Ok(None) => return next == end_offset,
                Ok(Some(Ok((header, _)))) if header.base_offset >= next => {
                    next = header.next_offset();
                }
                _ => return false,
            }
        }
    }

    /// The file changed after an orderly close: somebody else did that, so all of it is kept.
    fn open_changed(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        slot: Slot,
    ) -> Result<LastSegment> {
        let end = u64::from(slot.position);
        if len > end {
            self.refuse_appends(Error::corrupt(
                file.path(),
                end,
                "there are bytes behind the end of the log",
            ));
        }
        let floor = Floor {
            position: len.min(end),
            offset: slot.end_offset,
            offset_at_position: (len >= end).then_some(slot.end_offset),
        };
        self.walk_last(base, file, len.min(end), floor)
    }

    /// After a crash: walk the last segment, cut a torn tail, see to what is left behind the durable end.
    ///
    /// A file that does not follow the segment before it, or that is longer than a segment can be,
    /// was not written by this log: nothing of it is cut.
    fn open_unclean(&mut self, base: Offset, follows: bool) -> Result<LastSegment> {
        let file = self.open_log_file(base)?;
        // With what was staged.
        let len = file.len()?;
        if len > LONGEST_SEGMENT {
            let reason = "longer than a segment can be";
            self.refuse_appends(Error::corrupt(file.path(), LONGEST_SEGMENT, reason));
        }
        let len = len.min(LONGEST_SEGMENT);
        let nothing_is_torn = !follows || (self.request.clean && self.slot.is_none());
        let floor = match self.slot {
            Some(slot) if slot.segment_base == base => Floor {
                position: slot.position.into(),
                offset: self.former_end,
                offset_at_position: Some(slot.end_offset),
            },
            _ => Floor {
                position: 0,
                offset: if nothing_is_torn {
                    Offset::MAX
                } else {
                    self.former_end
                },
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
        // What is below the floor stays as it is, whatever comes.
        file.publish(floor.position.min(len));
        let segment = Segment::unknown(base, file).of_adopted(self.request.adopted);
        let known = self.walked_so_far(&segment, plan);
        let mut walked = self.walk(&segment, plan, known, self.former_end)?;
        let file = segment.into_file();
        let tail = Tail::behind(&file, &walked, len)?;
        let zeros_up_to = if tail.is_ahead() {
            // Nothing is torn, and the log goes on in them.
            walked.torn = None;
            len
        } else {
            0
        };
        for error in &walked.damage {
            self.refuse_appends(error.clone());
        }
        let durable = self.keep_tail(&file, &walked, floor, tail)?;
        file.publish(walked.position);
        Ok(LastSegment {
            segment: self.shared(Segment::active(base, file, walked.index)),
            position: walked.position,
            next_offset: walked.next_offset,
            index: walked.builder,
            digest: walked.digest,
            batches: walked.batches,
            first_timestamp: walked.first_timestamp,
            durable,
            zeros_up_to,
        })
    }

    /// Cuts a torn tail, and makes what is left durable: now, or later, and then it says up to where
    /// that is so already.
    ///
    /// If a sync may have begun behind the durable end, it may have failed as well, and left bytes in
    /// the kernel's cache that it takes for written: then they are written again.
    fn keep_tail(
        &mut self,
        file: &AppendFile,
        walked: &Walked,
        floor: Floor,
        tail: Tail,
    ) -> Result<Option<DurablePoint>> {
        let is_torn = walked.torn.is_some();
        let base = self.bases.last().copied();
        let slot = self.slot.filter(|slot| Some(slot.segment_base) == base);
        let quiet = slot.is_some_and(|slot| slot.is_quiet());
        // Whoever cuts or writes wants to know how that ended, too.
        let note = if is_torn || walked.position > floor.position {
            // Readers of a topic with `durability=synced` see nothing before it is durable.
            let is_shown = self.request.config.durability < Durability::Synced;
            let may_wait = quiet && !is_torn && is_shown && self.request.sync_later;
            match slot.filter(|_| may_wait && self.fatal_damage.is_none()) {
                Some(slot) => return Ok(Some(DurablePoint::unclosed(&slot))),
                None => self.durable_slot.begin_sync()?,
            }
        } else {
            return Ok(None);
        };
        if is_torn && self.fatal_damage.is_none() {
            self.report.set_aside = tail::cut(self.disk, file, walked, tail)?;
            self.report.truncated_bytes = tail.torn_len();
        }
        if !quiet {
            tail::rewrite(file, floor.position.min(walked.position), walked.position)?;
        }
        file.sync()?;
        note.succeeded();
        Ok(None)
    }
}
