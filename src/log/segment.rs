//! One segment, as its readers see it: consecutive batches in one file, and a sparse index over it.
//!
//! A log is a list of segments; only the last one, the *active* segment, grows. Invariants:
//! * The first batch's base offset is `base`, and offsets only grow.
//! * Readers see bytes below the published end of the file, which is always between two batches.
//! * The index may lag behind the data or be wrong; what it says is compared with the batch there.
//!
//! Elsewhere: finding a batch ([`lookup`](super::lookup)), how a segment grows
//! ([`writer`](super::writer)), which segment to use ([`Log`](super::Log)), where reading goes on behind
//! damage ([`damage`](super::damage)), what a batch's bytes mean ([`format`](crate::format)).

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::damage::KnownDamage;
use super::index::SegmentIndex;
use super::open_segments::{OpenSegments, Usage};
use crate::disk::{AppendFile, MappedBytes};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN, batch_size};
use crate::format::seal::{FrameDigest, Seal};
use crate::record::Offset;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    file: AppendFile,
    /// Offsets may have gaps, whether or not a seal says so: others wrote the log.
    adopted: bool,
    /// Readers look here when they seek; the writer adds an entry every few KiB.
    pub(super) index: RwLock<IndexState>,
    seal: OnceLock<Seal>,
    /// Whether the frames of a segment with gaps are those of its seal, once that was looked at.
    frames: OnceLock<Result<()>>,
    /// A compacted segment has taken its place.
    replaced: AtomicBool,
    /// The damage that a reader met last: it will be back.
    pub(super) known_damage: Mutex<Option<KnownDamage>>,
    usage: Usage,
    /// Bytes of the files beside the segment's own, as far as they are counted.
    beside: AtomicU64,
}

#[derive(Debug)]
pub(super) enum IndexState {
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

/// Where a batch starts, and with which offset if that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) offset: Option<Offset>,
}

impl LocatedBatch {
    pub(super) fn place(&self) -> Place {
        Place {
            position: self.position,
            offset: Some(self.header.base_offset),
        }
    }
}

impl Place {
    /// Where the batch after the one with this header starts.
    pub(super) fn behind(self, header: &BatchHeader) -> Self {
        Self {
            position: self.position + u64::from(header.size),
            offset: Some(header.next_offset()),
        }
    }
}

impl Segment {
    /// A segment with its index in memory.
    pub(crate) fn active(base: Offset, file: AppendFile, index: SegmentIndex) -> Self {
        Self {
            base,
            file,
            adopted: false,
            index: RwLock::new(IndexState::Loaded(index)),
            seal: OnceLock::new(),
            frames: OnceLock::new(),
            replaced: AtomicBool::new(false),
            known_damage: Mutex::default(),
            usage: Usage::default(),
            beside: AtomicU64::new(0),
        }
    }

    /// A segment of which only its file is known, to look at.
    pub(super) fn unknown(base: Offset, file: AppendFile) -> Self {
        Self {
            base,
            file,
            adopted: false,
            index: RwLock::new(IndexState::Stored),
            seal: OnceLock::new(),
            frames: OnceLock::new(),
            replaced: AtomicBool::new(false),
            known_damage: Mutex::default(),
            usage: Usage::default(),
            beside: AtomicU64::new(0),
        }
    }

    /// The same segment; `adopted` says that others may have left gaps in its offsets.
    pub(super) fn of_adopted(self, adopted: bool) -> Self {
        Self { adopted, ..self }
    }

    /// True if offsets may be missing between its batches, and at its end.
    pub(crate) fn has_gaps(&self) -> bool {
        self.adopted || self.seal().is_some_and(|seal| seal.gaps)
    }

    /// Where offsets have gaps, a batch's own cannot be told from a wrong one by those around it: all
    /// frames together have to be what the seal says. Looked at once, before the first batch is shown.
    pub(super) fn check_frames(&self) -> Result<()> {
        let Some(seal) = self.seal().filter(|seal| seal.gaps) else {
            return Ok(());
        };
        if let Some(known) = self.frames.get() {
            return known.clone();
        }
        let checked = if self.frame_digest()? == Some(seal.frame_digest) {
            Ok(())
        } else {
            let reason = "the headers of its batches are not those that were sealed";
            let error = Error::corrupt(self.path(), 0, reason);
            Err(error.with_offsets(self.base..seal.end_offset))
        };
        self.frames.get_or_init(|| checked).clone()
    }

    /// Of all published batches; `None` if one's length is wrong.
    fn frame_digest(&self) -> Result<Option<u32>> {
        if self.file.published() == 0 {
            return Ok(Some(FrameDigest::new().value()));
        }
        let bytes = self.slice(0..self.file.published())?;
        let (mut rest, mut digest) = (&*bytes, FrameDigest::new());
        while !rest.is_empty() {
            let size = batch_size(rest).ok();
            let Some((batch, behind)) = size.and_then(|size| rest.split_at_checked(size)) else {
                return Ok(None);
            };
            digest.update(batch);
            rest = behind;
        }
        Ok(Some(digest.value()))
    }

    /// True if a compacted segment has taken its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// A compacted segment takes its place: readers that stand in it go on there.
    pub(super) fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// What is mapped stays readable; nothing is opened by its name any more, for that may be another's.
    pub(super) fn retire(&self) {
        self.file.let_go();
        self.file.retire();
    }

    /// The same segment, written just now: its frames are known to be those of its seal.
    pub(super) fn with_good_frames(self) -> Self {
        Self {
            frames: OnceLock::from(Ok(())),
            ..self
        }
    }

    pub(super) fn into_file(self) -> AppendFile {
        self.file
    }

    /// A segment that will not grow any more.
    pub(crate) fn sealed(base: Offset, file: AppendFile, seal: Seal) -> Self {
        Self {
            base,
            file,
            adopted: false,
            index: RwLock::new(IndexState::Stored),
            seal: OnceLock::from(seal),
            frames: OnceLock::new(),
            replaced: AtomicBool::new(false),
            known_damage: Mutex::default(),
            usage: Usage::default(),
            beside: AtomicU64::new(0),
        }
    }

    /// The segment as others see it: counted among those that are open.
    pub(crate) fn shared(self, open: &Arc<OpenSegments>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            usage: Usage::at_home(me, open),
            ..self
        })
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Gives back what reading it again brings back.
    pub(super) fn unmap(&self) {
        self.file.unmap();
        if self.seal().is_some() {
            *self.index.write() = IndexState::Stored;
        }
    }

    /// Published bytes in place.
    fn slice(&self, range: Range<u64>) -> Result<MappedBytes> {
        let bytes = self.file.slice(range);
        self.usage.note();
        bytes
    }

    /// What the segment takes of the disk budget, once it is finished.
    pub(crate) fn counted_bytes(&self) -> u64 {
        self.file.published().saturating_add(self.bytes_beside())
    }

    pub(super) fn bytes_beside(&self) -> u64 {
        self.beside.load(Ordering::Relaxed)
    }

    pub(super) fn add_beside(&self, bytes: u64) {
        self.beside.fetch_add(bytes, Ordering::Relaxed);
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
    /// must come next, or a larger one where there may be gaps.
    pub(crate) fn read_batch(
        &self,
        position: u64,
        expected_base: Option<Offset>,
    ) -> Result<(BatchHeader, MappedBytes)> {
        let (header, mut bytes) = self.read_batch_and_rest(position, expected_base)?;
        bytes.truncate(header.size as usize);
        Ok((header, bytes))
    }

    /// As [`Self::read_batch`], with everything that is published behind it.
    pub(crate) fn read_batch_and_rest(
        &self,
        position: u64,
        expected_base: Option<Offset>,
    ) -> Result<(BatchHeader, MappedBytes)> {
        self.check_frames()?;
        let bytes = self.slice(position..self.file.published())?;
        let view = BatchView::parse(&bytes).map_err(|invalid| self.corrupt(position, invalid))?;
        view.check_crc()
            .map_err(|invalid| self.corrupt(position, invalid))?;
        let header = *view.header();
        self.check_sequence(position, &header, expected_base)?;
        Ok((header, bytes))
    }

    /// Base offsets lie outside the CRC: that they follow one another is what protects them.
    pub(super) fn check_sequence(
        &self,
        position: u64,
        header: &BatchHeader,
        expected: Option<Offset>,
    ) -> Result<()> {
        let found = header.base_offset;
        match expected {
            Some(expected) if found < expected || (found > expected && !self.has_gaps()) => {
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
    pub(super) fn header_at(&self, position: u64) -> Result<Option<BatchHeader>> {
        let published = self.file.published();
        if position >= published {
            return Ok(None);
        }
        self.check_frames()?;
        let end = published.min(position + HEADER_LEN as u64);
        let bytes = self.slice(position..end)?;
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
}
