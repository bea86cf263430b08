//! One segment, as its readers see it: consecutive batches in one file, and a sparse index over it.
//!
//! A log is a list of segments; only the last one, the *active* segment, grows. Invariants:
//! * The first batch's base offset is `base`, and offsets only grow.
//! * Readers see bytes below the published end of the file, which is always between two batches.
//! * The index may lag behind the data or be wrong; what it says is compared with the batch there.
//!
//! Elsewhere: how a segment grows ([`writer`](super::writer)), which segment to use
//! ([`Log`](super::Log)), what a batch's bytes mean ([`format`](crate::format)).

use std::path::Path;
use std::sync::OnceLock;

use parking_lot::RwLock;

use super::index::SegmentIndex;
use super::names::FileKind;
use crate::disk::{AppendFile, Disk, MappedBytes};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN};
use crate::format::seal::Seal;
use crate::record::{Offset, Timestamp};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    file: AppendFile,
    /// Readers look here when they seek; the writer adds an entry every few KiB.
    index: RwLock<IndexState>,
    seal: OnceLock<Seal>,
}

#[derive(Debug)]
enum IndexState {
    /// In memory: the active segment's, or a sealed one's that was looked at.
    Loaded(SegmentIndex),
    /// In its files, or nowhere.
    Stored,
}

/// What the walk over batch headers yields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocatedBatch {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Segment {
    /// A segment with its index in memory.
    pub(crate) fn active(base: Offset, file: AppendFile, index: SegmentIndex) -> Self {
        Self {
            base,
            file,
            index: RwLock::new(IndexState::Loaded(index)),
            seal: OnceLock::new(),
        }
    }

    /// A segment that will not grow any more.
    pub(crate) fn sealed(base: Offset, file: AppendFile, seal: Seal) -> Self {
        Self {
            base,
            file,
            index: RwLock::new(IndexState::Stored),
            seal: OnceLock::from(seal),
        }
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn file(&self) -> &AppendFile {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// What the segment held when it was sealed; `None` while it is active.
    pub(crate) fn seal(&self) -> Option<&Seal> {
        self.seal.get()
    }

    /// Marks the segment as finished. Its index is in its files now and leaves memory.
    pub(crate) fn set_sealed(&self, seal: Seal) {
        // Sealed once, by the writer alone.
        let _ = self.seal.set(seal);
        *self.index.write() = IndexState::Stored;
    }

    /// Lets the writer add to the index of the active segment.
    pub(crate) fn update_index<T>(&self, update: impl FnOnce(&mut SegmentIndex) -> T) -> T {
        let mut state = self.index.write();
        if let IndexState::Stored = *state {
            *state = IndexState::Loaded(SegmentIndex::default());
        }
        match &mut *state {
            IndexState::Loaded(index) => update(index),
            IndexState::Stored => update(&mut SegmentIndex::default()),
        }
    }

    /// The batch at `position`, framed and with its CRC checked. `expected_base` is the offset that
    /// must come next; with `gaps`, a larger one is fine (compaction leaves gaps).
    pub(crate) fn read_batch(
        &self,
        position: u64,
        expected_base: Option<Offset>,
        gaps: bool,
    ) -> Result<(BatchHeader, MappedBytes)> {
        let mut bytes = self.file.slice(position..self.file.published())?;
        let view = BatchView::parse(&bytes).map_err(|invalid| self.corrupt(position, invalid))?;
        view.check_crc()
            .map_err(|invalid| self.corrupt(position, invalid))?;
        let header = *view.header();
        self.check_sequence(position, &header, expected_base, gaps)?;
        bytes.truncate(header.size as usize);
        Ok((header, bytes))
    }

    /// Base offsets lie outside the CRC: that they follow one another is what protects them.
    fn check_sequence(
        &self,
        position: u64,
        header: &BatchHeader,
        expected: Option<Offset>,
        gaps: bool,
    ) -> Result<()> {
        let found = header.base_offset;
        match expected {
            Some(expected) if found < expected || (found > expected && !gaps) => {
                let reason = format!("batch starts at offset {found}, expected {expected}");
                Err(Error::corrupt(self.path(), position, reason))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn corrupt(&self, position: u64, invalid: Invalid) -> Error {
        Error::corrupt(self.path(), position + invalid.at as u64, invalid.reason)
    }

    /// The header at `position`; `None` at the published end. The CRC is not looked at.
    fn header_at(&self, position: u64) -> Result<Option<BatchHeader>> {
        let published = self.file.published();
        if position >= published {
            return Ok(None);
        }
        let end = published.min(position + HEADER_LEN as u64);
        let bytes = self.file.slice(position..end)?;
        let header =
            BatchHeader::parse(&bytes).map_err(|invalid| self.corrupt(position, invalid))?;
        if position + u64::from(header.size) > published {
            return Err(Error::corrupt(
                self.path(),
                position,
                "batch reaches beyond the end of the segment",
            ));
        }
        Ok(Some(header))
    }

    /// Largest timestamp of the first batch, which the segment's age is counted from.
    pub(crate) fn first_timestamp(&self) -> Option<Timestamp> {
        self.header_at(0)
            .ok()
            .flatten()
            .map(|header| header.max_timestamp)
    }

    /// The batch that holds `offset`, or the first one behind it; `None` if the segment ends before.
    pub(crate) fn locate(
        &self,
        disk: &dyn Disk,
        offset: Offset,
        gaps: bool,
    ) -> Result<Option<LocatedBatch>> {
        let relative = u32::try_from(offset.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let hint = self.with_index(disk, |index| index.offset_entry(relative))?;
        if let Some(entry) = hint
            && let Some(found) = self.checked_hint(u64::from(entry.position), entry.relative_offset)
        {
            return self.walk(found.position, None, gaps, |batch| {
                batch.header.last_offset() >= offset
            });
        }
        self.walk(0, Some(self.base), gaps, |batch| {
            batch.header.last_offset() >= offset
        })
    }

    /// The first batch from which on a record may be as late as `timestamp`.
    pub(crate) fn locate_timestamp(
        &self,
        disk: &dyn Disk,
        timestamp: Timestamp,
        gaps: bool,
    ) -> Result<Option<LocatedBatch>> {
        let late_enough = |batch: &LocatedBatch| batch.header.max_timestamp >= timestamp;
        let hint = self.with_index(disk, |index| {
            let time = index.time_entry_below(timestamp)?;
            Some((time, index.offset_entry(time.relative_offset)))
        })?;
        if let Some((time, Some(offset))) = hint
            && let Some(found) =
                self.checked_hint(u64::from(offset.position), offset.relative_offset)
            && self.confirms(
                found.position,
                self.base + u64::from(time.relative_offset),
                time.timestamp,
            )
        {
            return self.walk(found.position, None, gaps, late_enough);
        }
        self.walk(0, Some(self.base), gaps, late_enough)
    }

    /// True if the batch that ends at `last_offset`, at or behind `position`, has this timestamp.
    fn confirms(&self, position: u64, last_offset: Offset, timestamp: Timestamp) -> bool {
        let found = self.walk(position, None, true, |batch| {
            batch.header.last_offset() >= last_offset
        });
        matches!(found, Ok(Some(batch))
            if batch.header.last_offset() == last_offset && batch.header.max_timestamp == timestamp)
    }

    /// The batch that an index entry points at, if it is what the entry says: its CRC holds, and it
    /// ends at the entry's offset.
    fn checked_hint(&self, position: u64, relative_last_offset: u32) -> Option<LocatedBatch> {
        if position >= self.file.published() {
            return None;
        }
        let (header, _) = self.read_batch(position, None, true).ok()?;
        let agrees = header.last_offset() == self.base + u64::from(relative_last_offset);
        agrees.then_some(LocatedBatch { position, header })
    }

    /// Walks headers from `position` to the first batch that `wanted` accepts.
    pub(crate) fn walk(
        &self,
        mut position: u64,
        mut expected: Option<Offset>,
        gaps: bool,
        wanted: impl Fn(&LocatedBatch) -> bool,
    ) -> Result<Option<LocatedBatch>> {
        while let Some(header) = self.header_at(position)? {
            self.check_sequence(position, &header, expected, gaps)?;
            let batch = LocatedBatch { position, header };
            if wanted(&batch) {
                return Ok(Some(batch));
            }
            expected = Some(header.next_offset());
            position += u64::from(header.size);
        }
        Ok(None)
    }

    /// Looks something up in the index, which is read from its files first if need be. One that
    /// cannot be read counts as empty: the search walks the segment.
    fn with_index<T>(
        &self,
        disk: &dyn Disk,
        look_up: impl FnOnce(&SegmentIndex) -> Option<T>,
    ) -> Result<Option<T>> {
        if let IndexState::Loaded(index) = &*self.index.read() {
            return Ok(look_up(index));
        }
        let dir = self.path().parent().unwrap_or(Path::new("."));
        let offsets = FileKind::OffsetIndex.path(dir, self.base);
        let times = FileKind::TimeIndex.path(dir, self.base);
        let index =
            SegmentIndex::load(disk, &offsets, &times, self.file.published())?.unwrap_or_default();
        let found = look_up(&index);
        *self.index.write() = IndexState::Loaded(index);
        Ok(found)
    }
}
