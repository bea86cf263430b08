//! Segments that have a successor. They were synced before it existed, so nothing of them is ever cut:
//! what does not agree with their seal, or with the format, is damage.

use std::sync::Arc;

use super::{Recovery, read_small};
use crate::disk::{AppendFile, replace_file};
use crate::error::{Error, Result};
use crate::format::seal::{self, Seal};
use crate::log::epochs::Epochs;
use crate::log::index::SegmentIndex;
use crate::log::names::FileKind;
use crate::log::segment::Segment;
use crate::log::tail::{self, Floor, Walked};
use crate::record::{Offset, Timestamp};

impl Recovery<'_> {
    pub(super) fn open_sealed_segments(&mut self) -> Result<Vec<Arc<Segment>>> {
        let bases = self.bases.clone();
        if let Some(&first) = bases.first()
            && first > self.request.start.max(self.first_possible())
        {
            let file = self.path(self.request.start, FileKind::Log);
            self.damaged(&Error::MissingSegment {
                file,
                reason: format!("the log now begins at offset {first}"),
            });
        }
        let mut sealed = Vec::new();
        for pair in bases.windows(2) {
            sealed.push(self.open_sealed(pair[0], pair[1])?);
        }
        Ok(sealed)
    }

    /// A log that others may have cut at the front begins where it begins.
    fn first_possible(&self) -> Offset {
        if self.request.gaps {
            self.bases.first().copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Opens a segment that has a successor, which starts at `next_base`.
    fn open_sealed(&mut self, base: Offset, next_base: Offset) -> Result<Arc<Segment>> {
        let (file, len) = self.open_log_file(base)?;
        let seal_path = self.path(base, FileKind::Seal);
        let stored = match self.len_of(base, FileKind::Seal) {
            Some(_) => {
                read_small(self.disk, &seal_path)?.and_then(|bytes| seal::decode(&bytes).ok())
            }
            None => None,
        };
        let seal = stored.filter(|seal| seal.base_offset == base);
        let indexes_there = [FileKind::OffsetIndex, FileKind::TimeIndex]
            .iter()
            .all(|kind| self.len_of(base, *kind).is_some());
        let needs_producers = self.producers_until < next_base;
        let mut seal = match seal {
            Some(seal) if indexes_there && !needs_producers => seal,
            other => self.walk_sealed(base, &file, len, other)?,
        };
        self.check_sealed(&file, len, &mut seal, next_base);
        file.publish(seal.end_position);
        Ok(Arc::new(Segment::sealed(base, file, seal)))
    }

    /// Compares a seal with what is there. A segment that lost its end is missing that part; one that
    /// gained bytes is damaged behind what is known of it.
    fn check_sealed(&mut self, file: &AppendFile, len: u64, seal: &mut Seal, next_base: Offset) {
        if len < seal.end_position {
            let reason = format!("it is {len} bytes long and was {}", seal.end_position);
            self.damaged(&Error::MissingSegment {
                file: file.path().to_path_buf(),
                reason,
            });
            seal.end_position = len;
        } else if len > seal.end_position {
            self.damaged(&Error::corrupt(
                file.path(),
                seal.end_position,
                "there are bytes behind the end of the segment",
            ));
        }
        if seal.end_offset < next_base && !self.request.gaps {
            let file = self.path(seal.end_offset, FileKind::Log);
            let reason = format!("offsets {}..{next_base} were in it", seal.end_offset);
            self.damaged(&Error::MissingSegment { file, reason });
        }
    }

    /// Reads a sealed segment as a whole, to make its seal, indexes or producer state again.
    fn walk_sealed(
        &mut self,
        base: Offset,
        file: &AppendFile,
        len: u64,
        known: Option<Seal>,
    ) -> Result<Seal> {
        // All of it is durable: whatever is wrong is damage.
        let floor = Floor {
            position: 0,
            offset: Offset::MAX,
            offset_at_position: None,
        };
        let plan = self.plan(base, len, floor);
        let (producers, until) = (&mut self.producers, self.producers_until);
        let mut epochs = Epochs::default();
        let walked = tail::walk(file, plan, &mut epochs, |header| {
            if header.base_offset >= until {
                producers.record(header);
            }
        })?;
        self.report.checked_bytes += walked.checked_bytes;
        if let Some(bad) = walked.damage {
            let position = bad.position + bad.invalid.at as u64;
            self.damaged(&Error::corrupt(file.path(), position, bad.invalid.reason));
            // What lies behind the damage is served as far as the seal, or the file, goes.
            return Ok(known.unwrap_or(Seal {
                base_offset: base,
                end_position: len,
                end_offset: self
                    .bases
                    .iter()
                    .copied()
                    .find(|next| *next > base)
                    .unwrap_or(walked.next_offset),
                max_timestamp: Timestamp::MAX,
                batches: walked.batches,
                frame_digest: walked.digest.value(),
            }));
        }
        let seal = Seal {
            base_offset: base,
            end_position: walked.position,
            end_offset: walked.next_offset,
            max_timestamp: walked.builder.largest_timestamp(),
            batches: walked.batches,
            frame_digest: walked.digest.value(),
        };
        self.store_index(base, &walked)?;
        // A segment that lost whole batches at its end looks good by itself: the seal knows better.
        if let Some(known) = known {
            return Ok(known);
        }
        let path = self.path(base, FileKind::Seal);
        replace_file(self.disk, &path, &seal::encode(&seal))?;
        self.report.rebuilt.push(path);
        Ok(seal)
    }

    pub(super) fn store_index(&mut self, base: Offset, walked: &Walked) -> Result<()> {
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let mut index = walked.index.clone();
        walked
            .builder
            .final_time_entry()
            .into_iter()
            .for_each(|entry| index.push_time(entry));
        let len = self.len_of(base, FileKind::Log).unwrap_or(0);
        if SegmentIndex::load(self.disk, &offsets, &times, len)?.as_ref() != Some(&index) {
            index.store(self.disk, &offsets, &times)?;
            self.disk
                .sync_dir(&self.request.dir)
                .map_err(|error| Error::io("sync directory", &self.request.dir, error))?;
            self.report.rebuilt.extend([offsets, times]);
        }
        Ok(())
    }
}
