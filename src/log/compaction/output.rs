//! The segment that a pass writes: batches in order, with index and seal, under names that nobody takes
//! for a segment's yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::swap::{cleaned, swapped};
use crate::disk::{Disk, DiskFile, OpenMode, remove_if_present, write_all_at, write_anew};
use crate::error::{Error, Result};
use crate::format::batch::{BatchHeader, HEADER_LEN, UNPROTECTED_LEN};
use crate::format::index_entry::AbortedTransaction;
use crate::format::seal::{self, FrameDigest, Seal};
use crate::log::index::{IndexBuilder, IndexedBatch, SegmentIndex};
use crate::log::names::FileKind;
use crate::log::space::{DiskSpace, Purpose};
use crate::log::tail::LONGEST_SEGMENT;
use crate::record::{Offset, Timestamp};

/// So much is written at a time: Kafka's `log.cleaner.io.buffer.size`.
const BUFFER: usize = 512 << 10;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Output {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    base: Offset,
    file: Arc<dyn DiskFile>,
    /// What is not in the file yet.
    buffer: Vec<u8>,
    /// Where the buffer goes.
    flushed: u64,
    digest: FrameDigest,
    first_frame: Option<u32>,
    batches: u64,
    builder: IndexBuilder,
    index: SegmentIndex,
    aborted: Vec<AbortedTransaction>,
    space: Arc<DiskSpace>,
    /// Counted there for as long as this lives: what is swapped in is counted by itself.
    counted: u64,
}

/// A finished output: all of it is on the device, and nothing refers to it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) seal: Seal,
    pub(super) file: Arc<dyn DiskFile>,
}

/// What the batches alone do not say of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cover {
    /// Where its offsets end: the next segment's base.
    pub(super) end_offset: Offset,
    pub(super) clean_until: Offset,
    pub(super) sealed_at: Timestamp,
}

impl Output {
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        space: &Arc<DiskSpace>,
        dir: &Path,
        base: Offset,
        index_interval: u32,
    ) -> Result<Self> {
        let path = cleaned(&FileKind::Log.path(dir, base));
        let file = disk
            .open(&path, OpenMode::Truncate)
            .map_err(|error| Error::io("create", &path, error))?;
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_path_buf(),
            base,
            file,
            buffer: Vec::with_capacity(BUFFER),
            flushed: 0,
            digest: FrameDigest::new(),
            first_frame: None,
            batches: 0,
            builder: IndexBuilder::new(index_interval),
            index: SegmentIndex::default(),
            aborted: Vec::new(),
            space: Arc::clone(space),
            counted: 0,
        })
    }

    fn path(&self) -> PathBuf {
        cleaned(&FileKind::Log.path(&self.dir, self.base))
    }

    fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Adds a batch.
    pub(super) fn push(&mut self, batch: &[u8]) -> Result<()> {
        let parsed = BatchHeader::parse(batch);
        let header = parsed
            .map_err(|invalid| Error::corrupt(&self.path(), self.position(), invalid.reason))?;
        if self.position() + batch.len() as u64 > LONGEST_SEGMENT {
            return Err(Error::IllegalState("a segment cannot exceed 2 GiB"));
        }
        let indexed = IndexedBatch::new(self.base, self.position(), &header);
        if let Some(entry) = self.builder.add(indexed) {
            self.index.push(entry);
        }
        let frame = &batch[..UNPROTECTED_LEN.min(HEADER_LEN)];
        self.digest.update(frame);
        let first = self.digest.value();
        self.first_frame.get_or_insert(first);
        self.batches += 1;
        self.count(batch)?;
        if self.buffer.len() + batch.len() > BUFFER {
            self.flush()?;
        }
        if batch.len() < BUFFER {
            self.buffer.extend_from_slice(batch);
            return Ok(());
        }
        self.write(batch)?;
        self.flushed += batch.len() as u64;
        Ok(())
    }

    /// Notes that a transaction whose marker was added was aborted, and has records left.
    pub(super) fn push_aborted(&mut self, aborted: AbortedTransaction) {
        self.aborted.push(aborted);
    }

    fn flush(&mut self) -> Result<()> {
        self.write(&self.buffer)?;
        self.flushed = self.position();
        self.buffer.clear();
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) -> Result<()> {
        let bytes = bytes.len() as u64;
        self.space.reserve(bytes, Purpose::Internal)?.keep();
        self.counted += bytes;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        write_all_at(&*self.file, bytes, self.flushed)
            .map_err(|error| Error::io("write", &self.path(), error))
    }

    /// Writes and syncs the rest. Names are not durable yet.
    pub(super) fn finish(&mut self, cover: Cover) -> Result<Finished> {
        self.flush()?;
        if let Some(entry) = self.builder.final_time_entry() {
            self.index.push_time(entry);
        }
        let seal = Seal {
            base_offset: self.base,
            end_position: self.flushed,
            end_offset: cover.end_offset,
            max_timestamp: self.builder.largest_timestamp(),
            batches: self.batches,
            frame_digest: self.digest.value(),
            index_digest: self.index.digest(),
            first_frame: self.first_frame.unwrap_or(0),
            gaps: true,
            clean_until: cover.clean_until,
            sealed_at: cover.sealed_at,
        };
        let (offsets, times) = self.index.encode();
        let aborted: Vec<u8> = self.aborted.iter().flat_map(|it| it.encode()).collect();
        self.count(&offsets)?;
        self.count(&times)?;
        self.write_beside(FileKind::OffsetIndex, &offsets)?;
        self.write_beside(FileKind::TimeIndex, &times)?;
        self.write_beside(FileKind::Seal, &seal::encode(&seal))?;
        let replaces = FileKind::TransactionIndex.path(&self.dir, self.base);
        if !aborted.is_empty() || self.disk.open(&replaces, OpenMode::Read).is_ok() {
            self.write_beside(FileKind::TransactionIndex, &aborted)?;
        }
        self.file
            .sync()
            .map_err(|error| Error::io("sync", &self.path(), error))?;
        Ok(Finished {
            seal,
            file: Arc::clone(&self.file),
        })
    }

    fn write_beside(&self, kind: FileKind, bytes: &[u8]) -> Result<()> {
        let path = swapped(&kind.path(&self.dir, self.base));
        let file = write_anew(&*self.disk, &path, bytes)?;
        file.sync().map_err(|error| Error::io("sync", &path, error))
    }

    /// Removes what was written. What cannot be removed is only in the way, until the next open.
    pub(super) fn discard(&self) {
        let _ = remove_if_present(&*self.disk, &self.path());
        for kind in FileKind::BESIDE_LOG {
            let path = swapped(&kind.path(&self.dir, self.base));
            let _ = remove_if_present(&*self.disk, &path);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.space.give_back(self.counted);
    }
}
