//! One segment: its batches, and what is kept beside them.

use std::path::PathBuf;
use std::sync::Arc;

use super::index::IndexCheck;
use super::{Finding, Verified};
use crate::disk::read_file;
use crate::error::{Error, Result};
use crate::format::seal::{self, FrameDigest, SEAL_LEN, Seal};
use crate::log::Log;
use crate::log::epochs::Epochs;
use crate::log::index::SegmentIndex;
use crate::log::names::FileKind;
use crate::log::segment::Segment;
use crate::log::survey::{Facts, Found, FoundBatch, Loss, PublishedSource, Survey};
use crate::record::Offset;

/// What is known of a segment when it is looked at.
struct Look<'a> {
    log: &'a Log,
    segment: &'a Arc<Segment>,
    seal: Option<Seal>,
    published: u64,
    /// Frame digest of what is published of the active segment, if that is known.
    digest: Option<u32>,
}

/// What comes of it.
struct Seen<'a> {
    verified: Verified,
    digest: FrameDigest,
    index: IndexCheck<'a>,
    damaged: bool,
    /// Behind the last batch.
    end_of_batches: Offset,
}

impl Log {
    /// Looks at a segment; says where its offsets end, too.
    pub(super) fn verify_segment(
        &self,
        segment: &Arc<Segment>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Verified, Offset)> {
        let look = Look::new(self, segment);
        let mut found = Vec::new();
        let index = look.index(&mut found)?;
        let epochs = if self.adopted {
            Arc::new(Epochs::default())
        } else {
            self.epochs.load_full()
        };
        let facts = Facts {
            base: segment.base(),
            end: look.seal.map(|seal| seal.end_offset),
            gaps: segment.has_gaps(),
            unproven: false,
            entries: &index.offsets,
            epochs: &epochs,
            is_last: false,
        };
        let source = PublishedSource::new(segment.file(), look.published);
        let mut seen = Seen {
            verified: Verified {
                segments: 1,
                bytes: look.published,
                findings: found,
                ..Verified::default()
            },
            digest: FrameDigest::new(),
            index: IndexCheck::new(self.dir(), segment.base(), &index, self.adopted),
            damaged: false,
            end_of_batches: segment.base(),
        };
        let mut told = 0;
        let end = Survey::new(&source, facts).run(|found| {
            let position = match found {
                Found::Batch(batch) => seen.batch(&look, &batch),
                Found::Lost(loss) => seen.lost(&look, &loss),
            };
            if position - told >= PROGRESS_BYTES {
                progress(position - told);
                told = position;
            }
            Ok(())
        })?;
        progress(look.published.saturating_sub(told));
        seen.index.end(look.published, look.seal.is_some());
        look.compare(&mut seen)?;
        seen.verified.findings.append(&mut seen.index.findings);
        Ok((seen.verified, end))
    }
}

/// So far apart progress is told.
const PROGRESS_BYTES: u64 = 1 << 20;

impl Seen<'_> {
    fn batch(&mut self, look: &Look<'_>, batch: &FoundBatch<'_>) -> u64 {
        let header = &batch.header;
        self.verified.batches += 1;
        self.verified.records += u64::from(header.records_count);
        self.digest.update(batch.bytes);
        self.index.batch(batch.position, header);
        self.end_of_batches = header.next_offset();
        let mut wrong = |reason: String| {
            let finding = Finding::damage(look.segment.path(), reason)
                .at(batch.position)
                .losing(Some(header.base_offset..header.next_offset()));
            self.verified.findings.push(finding);
        };
        if let Some(right) = batch.right_epoch {
            let found = header.leader_epoch;
            wrong(format!("batch of leader epoch {found}, expected {right}"));
            self.damaged = true;
        }
        if batch.is_late {
            wrong("a record is later than its batch says".to_owned());
        }
        batch.position + u64::from(header.size)
    }

    fn lost(&mut self, look: &Look<'_>, loss: &Loss) -> u64 {
        self.damaged = true;
        self.index.damage_up_to(loss.bytes.end);
        let finding = Finding::damage(look.segment.path(), loss.reason)
            .at(loss.bytes.start)
            .losing(Some(loss.offsets.clone()));
        self.verified.findings.push(finding);
        loss.bytes.end
    }
}

impl<'a> Look<'a> {
    fn new(log: &'a Log, segment: &'a Arc<Segment>) -> Self {
        let writer = log.writer.lock();
        let published = segment.file().published();
        let is_active = Arc::ptr_eq(&writer.active, segment);
        let is_known = is_active && writer.position == published;
        Self {
            log,
            segment,
            seal: segment.seal().copied(),
            published,
            digest: is_known.then(|| writer.digest.value()),
        }
    }

    fn path(&self, kind: FileKind) -> PathBuf {
        kind.path(self.log.dir(), self.segment.base())
    }

    /// The index: a finished segment's from its files, the active one's from memory. Empty if it is wrong
    /// as a whole.
    fn index(&self, found: &mut Vec<Finding>) -> Result<SegmentIndex> {
        let disk = self.log.disk();
        let Some(seal) = self.seal else {
            return Ok(self.segment.with_index(disk, SegmentIndex::clone));
        };
        let (offsets, times) = (
            self.path(FileKind::OffsetIndex),
            self.path(FileKind::TimeIndex),
        );
        let stored = SegmentIndex::load(disk, &offsets, &times, self.published)?;
        let reason = match stored {
            Some(index) if index.digest() == seal.index_digest => return Ok(index),
            Some(_) => "it and the time index are not what the seal says",
            None => "it or the time index is missing or malformed",
        };
        found.push(Finding::derived(&offsets, reason));
        Ok(SegmentIndex::default())
    }

    /// Compares the batches as a whole with what was noted of them.
    fn compare(&self, seen: &mut Seen<'_>) -> Result<()> {
        let mut found = Vec::new();
        let digest = seen.digest.value();
        match self.seal {
            Some(seal) => {
                self.compare_len(&seal, &mut found)?;
                self.compare_seal(seen, digest, &mut found)?;
            }
            None if !seen.damaged && self.digest.is_some_and(|known| known != digest) => {
                let reason = "the headers of its batches are not those that were noted";
                found.push(Finding::damage(self.segment.path(), reason));
            }
            None => {}
        }
        seen.verified.findings.append(&mut found);
        Ok(())
    }

    fn compare_len(&self, seal: &Seal, found: &mut Vec<Finding>) -> Result<()> {
        let len = self.segment.file().len()?;
        if len > seal.end_position {
            let reason = "there are bytes behind the end of the segment";
            let finding = Finding::damage(self.segment.path(), reason);
            found.push(finding.at(seal.end_position));
        } else if len < seal.end_position {
            let reason = format!("it is {len} bytes long and was {}", seal.end_position);
            found.push(Finding::damage(self.segment.path(), reason));
        }
        Ok(())
    }

    fn compare_seal(&self, seen: &Seen<'_>, digest: u32, found: &mut Vec<Finding>) -> Result<()> {
        let path = self.path(FileKind::Seal);
        let stored = match read_file(self.log.disk(), &path, SEAL_LEN) {
            Err(Error::Corrupt { .. }) => Some(Vec::new()),
            stored => stored?,
        };
        let Some(stored) = stored else {
            found.push(Finding::derived(&path, "it is missing"));
            return Ok(());
        };
        let seal = match seal::decode(&stored) {
            Ok(seal) => seal,
            Err(invalid) => {
                found.push(Finding::derived(&path, invalid.reason).at(invalid.at as u64));
                return Ok(());
            }
        };
        if seen.damaged {
            return Ok(());
        }
        let is_end = if seal.gaps || self.log.adopted {
            seal.end_offset >= seen.end_of_batches
        } else {
            seal.end_offset == seen.end_of_batches
        };
        let is_ours = seal.base_offset == self.segment.base()
            && seal.end_position == self.published
            && is_end
            && seal.max_timestamp == seen.index.largest_timestamp();
        if !is_ours {
            found.push(Finding::derived(&path, "it is not this segment's"));
        } else if seal.frame_digest != digest {
            let reason = "the headers of its batches are not those that were sealed";
            let lost = self.segment.base()..seal.end_offset;
            found.push(Finding::damage(self.segment.path(), reason).losing(Some(lost)));
        }
        Ok(())
    }
}
