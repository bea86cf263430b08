//! Segments that have a successor. They were synced before it existed, so nothing of them is ever cut:
//! what does not agree with their seal, or with the format, is damage.

use std::sync::Arc;

use super::{LogFile, Recovery, read_small};
use crate::disk::{AppendFile, remove_if_present, replace_file};
use crate::error::{Error, Result};
use crate::format::seal::{self, Seal};
use crate::log::index::SegmentIndex;
use crate::log::names::FileKind;
use crate::log::segment::Segment;
use crate::log::tail::{Floor, LONGEST_SEGMENT, Walked};
use crate::log::writer::first_frame;
use crate::record::{Offset, Timestamp};

impl Recovery<'_> {
    pub(super) fn open_sealed_segments(&mut self) -> Result<Vec<Arc<Segment>>> {
        let bases = self.bases.clone();
        if let Some(&first) = bases.first()
            && first > self.request.start.max(self.first_possible())
        {
            let file = self.path(self.request.start, FileKind::Log);
            let error = Error::missing(&file, format!("the log now begins at offset {first}"));
            self.damaged(&error.with_offsets(self.request.start..first));
        }
        let mut sealed = Vec::new();
        for pair in bases.windows(2) {
            sealed.push(self.open_sealed(pair[0], pair[1])?);
        }
        Ok(sealed)
    }

    /// A log that others may have cut at the front begins where it begins.
    fn first_possible(&self) -> Offset {
        if self.request.adopted {
            self.bases.first().copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Opens a segment that has a successor, which starts at `next_base`.
    fn open_sealed(&mut self, base: Offset, next_base: Offset) -> Result<Arc<Segment>> {
        let (file, len) = self.finished_log_file(base);
        let stored = self.load_seal(base);
        let indexes_there = [FileKind::OffsetIndex, FileKind::TimeIndex]
            .iter()
            .all(|kind| self.has(base, *kind));
        let needs_producers = self.producers_until < next_base;
        let gaps = stored.map_or(self.may_have_gaps(), |seal| {
            self.request.adopted || seal.gaps
        });
        let agrees = |seal: &Seal| {
            seal.end_position == len
                && (seal.end_offset == next_base || (gaps && seal.end_offset < next_base))
        };
        let first_frame = self.log(base).map(LogFile::first_frame);
        let first_is_known = stored
            .as_ref()
            .is_none_or(|seal| first_frame == Some(seal.first_frame));
        let is_fine = first_is_known && indexes_there && !needs_producers;
        let (file, seal) = match stored {
            Some(seal) if is_fine && agrees(&seal) => (file, seal),
            stored => {
                let agreeing = stored.filter(&agrees);
                let (file, walked) = self.walk_sealed(base, file, len, agreeing, gaps)?;
                let is_whole = walked.damage.is_empty()
                    && walked.position == len
                    && (walked.next_offset == next_base || gaps);
                let mut seal = match (agreeing, stored) {
                    // The segment is good, and not the one that was sealed here.
                    (Some(seal), _) if !first_is_known && is_whole => self.foreign(&file, seal),
                    (Some(seal), _) => seal,
                    // One of the two is another log's, and nothing tells which.
                    (None, Some(seal))
                        if is_whole && !first_is_known && seal.end_offset == next_base =>
                    {
                        self.foreign(&file, seal)
                    }
                    // The segment is good, so the seal is another's, or lost.
                    (None, _) if is_whole => self.store_seal(base, next_base, &walked, &file)?,
                    (None, Some(seal)) => {
                        self.disagreeing(&file, len, &walked, first_is_known, seal)
                    }
                    (None, None) => self.unsealed(base, next_base, &file, len, &walked),
                };
                if walked.damage.is_empty() && seal.end_position == walked.position {
                    self.store_index(&walked, &mut seal);
                }
                (file, seal)
            }
        };
        // Compaction leaves gaps, and its seals say where offsets end all the same.
        if seal.end_offset < next_base && !self.request.adopted {
            let file = self.path(seal.end_offset, FileKind::Log);
            let error = Error::missing(&file, "the records were in it, and are not there");
            self.damaged(&error.with_offsets(seal.end_offset..next_base));
        }
        file.publish(seal.end_position.min(len));
        Ok(self.shared(Segment::sealed(base, file, seal)))
    }

    /// Whether a segment that nothing is known of may have gaps.
    fn may_have_gaps(&self) -> bool {
        self.request.adopted || self.request.config.cleanup_policy.has_compact()
    }

    /// One that cannot be read counts as lost.
    fn load_seal(&self, base: Offset) -> Option<Seal> {
        if !self.has(base, FileKind::Seal) {
            return None;
        }
        let bytes = read_small(self.disk, &self.path(base, FileKind::Seal)).ok()??;
        seal::decode(&bytes)
            .ok()
            .filter(|seal| seal.base_offset == base)
    }

    /// Reads a sealed segment as a whole, to make its seal, indexes or producer state again.
    fn walk_sealed(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        seal: Option<Seal>,
        gaps: bool,
    ) -> Result<(AppendFile, Walked)> {
        // All of it is durable: whatever is wrong is damage.
        let floor = Floor {
            position: 0,
            offset: Offset::MAX,
            offset_at_position: None,
        };
        let len = len.min(LONGEST_SEGMENT);
        file.publish(len);
        let segment = match seal {
            Some(seal) => Segment::sealed(base, file, seal),
            None => Segment::unknown(base, file),
        };
        let segment = segment.of_adopted(gaps);
        let mut plan = self.plan(base, len, floor);
        plan.gaps = gaps;
        let known = Walked::nothing(plan);
        let walked = self.walk(&segment, plan, known, self.end_of_offsets(base))?;
        for error in &walked.damage {
            self.damaged(error);
        }
        Ok((segment.into_file().unpublished(), walked))
    }

    fn end_of_offsets(&self, base: Offset) -> Offset {
        let next = self.bases.iter().copied().find(|next| *next > base);
        next.unwrap_or(base)
    }

    /// Another log's file lies where this segment was: nothing of it is shown.
    fn foreign(&mut self, file: &AppendFile, seal: Seal) -> Seal {
        let error = Error::corrupt(file.path(), 0, "it is another log's file, by its seal");
        self.damaged(&error.with_offsets(seal.base_offset..seal.end_offset));
        Seal {
            end_position: 0,
            ..seal
        }
    }

    /// A segment that is not as long as its seal says, and is not good by itself. One that lost its
    /// end is missing that part; one that gained bytes is damaged behind what is known of it.
    fn disagreeing(
        &mut self,
        file: &AppendFile,
        len: u64,
        walked: &Walked,
        first_is_known: bool,
        mut seal: Seal,
    ) -> Seal {
        if !first_is_known && walked.position > 0 && walked.damage.is_empty() {
            return self.foreign(file, seal);
        }
        if len < seal.end_position {
            let reason = format!("it is {len} bytes long and was {}", seal.end_position);
            let error = Error::missing(file.path(), reason);
            self.damaged(&error.with_offsets(walked.next_offset..seal.end_offset));
            seal.end_position = len;
        } else if len > seal.end_position && walked.damage.is_empty() {
            self.damaged(&Error::corrupt(
                file.path(),
                seal.end_position,
                "there are bytes behind the end of the segment",
            ));
        }
        seal
    }

    /// What can be said of a segment without a seal that is not good: it is served as far as its file
    /// goes.
    fn unsealed(
        &mut self,
        base: Offset,
        next_base: Offset,
        file: &AppendFile,
        len: u64,
        walked: &Walked,
    ) -> Seal {
        let end_offset = if walked.damage.is_empty() && !self.may_have_gaps() {
            walked.next_offset
        } else {
            next_base
        };
        if len > LONGEST_SEGMENT {
            let reason = "longer than a segment can be";
            self.damaged(&Error::corrupt(file.path(), LONGEST_SEGMENT, reason));
        }
        Seal {
            base_offset: base,
            end_position: len.min(LONGEST_SEGMENT),
            end_offset,
            max_timestamp: Timestamp::MAX,
            batches: walked.batches,
            frame_digest: walked.digest.value(),
            index_digest: 0,
            first_frame: 0,
            gaps: self.may_have_gaps(),
            clean_until: 0,
            sealed_at: self.request.now,
        }
    }

    /// Makes the seal of a good segment again. Where its offsets end is where the next segment begins: what
    /// is not there in front of that was compacted.
    fn store_seal(
        &mut self,
        base: Offset,
        end_offset: Offset,
        walked: &Walked,
        file: &AppendFile,
    ) -> Result<Seal> {
        let seal = Seal {
            base_offset: base,
            end_position: walked.position,
            end_offset,
            max_timestamp: walked.builder.largest_timestamp(),
            batches: walked.batches,
            frame_digest: walked.digest.value(),
            index_digest: walked.complete_index().digest(),
            first_frame: first_frame(file)?,
            gaps: self.may_have_gaps(),
            clean_until: 0,
            sealed_at: self.request.now,
        };
        self.write_seal(&seal);
        Ok(seal)
    }

    /// If that fails, the next open looks again.
    fn write_seal(&mut self, seal: &Seal) {
        let path = self.path(seal.base_offset, FileKind::Seal);
        if replace_file(self.disk, &path, &seal::encode(seal)).is_ok() {
            self.report.rebuilt.push(path);
        }
    }

    /// Writes index files that are missing or wrong. If that fails, who looks something up makes the
    /// index again in memory.
    fn store_index(&mut self, walked: &Walked, seal: &mut Seal) {
        let base = seal.base_offset;
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let stored = SegmentIndex::load(self.disk, &offsets, &times, seal.end_position);
        let is_good = |index: SegmentIndex| index.digest() == seal.index_digest;
        if stored.is_ok_and(|stored| stored.is_some_and(is_good)) {
            return;
        }
        let index = walked.complete_index();
        for path in [&offsets, &times] {
            // As new files: a checkpoint may share those that are there.
            if remove_if_present(self.disk, path).is_err() {
                return;
            }
        }
        let files = index.store(self.disk, &offsets, &times);
        let written = files.is_ok_and(|files| files.iter().all(|file| file.sync().is_ok()))
            && self.disk.sync_dir(&self.request.dir).is_ok();
        if !written {
            return;
        }
        self.report.rebuilt.extend([offsets, times]);
        // It differs from the old one if `index.interval.bytes` was changed since.
        if index.digest() != seal.index_digest {
            seal.index_digest = index.digest();
            self.write_seal(seal);
        }
    }
}
