//! Writes a log that others read: segments with their indexes and seals, and what belongs to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SalvageRequest;
use crate::disk::{DiskFile, OpenMode, read_file, write_all_at, write_anew};
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::metadata::PartitionMetadata;
use crate::format::producer_snapshot;
use crate::format::seal::{self, FrameDigest, Seal};
use crate::log::epochs::Epochs;
use crate::log::index::{IndexBuilder, IndexedBatch, SegmentIndex};
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::writer::EPOCH_FILE;
use crate::record::Offset;

/// Written at a time.
const BUFFER: usize = 1 << 20;

/// See the module's description.
pub(super) struct Rebuild<'a> {
    request: &'a SalvageRequest<'a>,
    dir: &'a Path,
    first_base: Offset,
    /// What is known of the segment that batches come from, until the first comes.
    expected: Option<Expected>,
    current: Option<NewSegment>,
}

#[derive(Clone, Copy)]
struct Expected {
    base: Offset,
    gaps: bool,
    seal: Option<Seal>,
}

/// A segment that is being written.
struct NewSegment {
    base: Offset,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Not written yet; they belong at `written`.
    buffer: Vec<u8>,
    written: u64,
    index: SegmentIndex,
    builder: IndexBuilder,
    digest: FrameDigest,
    first_frame: u32,
    batches: u64,
    next_offset: Offset,
    /// Offsets are missing.
    gaps: bool,
    clean_until: Offset,
    sealed_at: i64,
}

impl<'a> Rebuild<'a> {
    pub(super) fn new(
        request: &'a SalvageRequest<'a>,
        dir: &'a Path,
        first_base: Offset,
    ) -> Result<Self> {
        request
            .disk
            .create_dir_all(dir)
            .map_err(|error| Error::io("create directory", dir, error))?;
        Ok(Self {
            request,
            dir,
            first_base,
            expected: None,
            current: None,
        })
    }

    /// Batches that follow come from this segment.
    pub(super) fn expect_segment(&mut self, base: Offset, gaps: bool, seal: Option<Seal>) {
        self.expected = Some(Expected { base, gaps, seal });
    }

    pub(super) fn batch(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<()> {
        if let Some(expected) = self.expected.take() {
            self.begin(expected)?;
        }
        match &mut self.current {
            Some(current) => current.batch(header, bytes),
            None => Err(Error::IllegalState("a batch belongs to a segment")),
        }
    }

    /// Goes on in a new segment. The one before it ends where this one begins.
    fn begin(&mut self, expected: Expected) -> Result<()> {
        if self.current.is_none() && expected.base > self.first_base {
            let first = Expected {
                base: self.first_base,
                gaps: true,
                seal: None,
            };
            self.current = Some(self.new_segment(first)?);
        }
        self.seal(expected.base)?;
        self.current = Some(self.new_segment(expected)?);
        self.copy_txn_index(expected.base)
    }

    fn new_segment(&self, expected: Expected) -> Result<NewSegment> {
        let path = FileKind::Log.path(self.dir, expected.base);
        let file = self.create(&path)?;
        Ok(NewSegment {
            base: expected.base,
            path,
            file,
            buffer: Vec::new(),
            written: 0,
            index: SegmentIndex::default(),
            builder: IndexBuilder::new(self.request.index_interval),
            digest: FrameDigest::new(),
            first_frame: FrameDigest::new().value(),
            batches: 0,
            next_offset: expected.base,
            gaps: expected.gaps && !self.request.adopted,
            clean_until: expected.seal.map_or(0, |seal| seal.clean_until),
            sealed_at: expected
                .seal
                .map_or(self.request.now, |seal| seal.sealed_at),
        })
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>> {
        let file = self.request.disk.open(path, OpenMode::Truncate);
        file.map_err(|error| Error::io("create", path, error))
    }

    /// Finishes the segment that is being written, if there is one: its offsets end at `end`.
    fn seal(&mut self, end: Offset) -> Result<()> {
        let Some(mut segment) = self.current.take() else {
            return Ok(());
        };
        segment.write_out()?;
        sync(&*segment.file, &segment.path)?;
        let base = segment.base;
        let index_digest = self.write_index(&mut segment)?;
        let seal = Seal {
            base_offset: base,
            end_position: segment.written,
            end_offset: end,
            max_timestamp: segment.builder.largest_timestamp(),
            batches: segment.batches,
            frame_digest: segment.digest.value(),
            index_digest,
            first_frame: segment.first_frame,
            gaps: segment.gaps || segment.next_offset != end,
            clean_until: segment.clean_until,
            sealed_at: segment.sealed_at,
        };
        self.write(&FileKind::Seal.path(self.dir, base), &seal::encode(&seal))
    }

    fn write_index(&self, segment: &mut NewSegment) -> Result<u32> {
        if let Some(entry) = segment.builder.final_time_entry() {
            segment.index.push_time(entry);
        }
        let (offsets, times) = (
            FileKind::OffsetIndex.path(self.dir, segment.base),
            FileKind::TimeIndex.path(self.dir, segment.base),
        );
        let files = segment.index.store(self.request.disk, &offsets, &times)?;
        for (file, path) in files.iter().zip([&offsets, &times]) {
            sync(&**file, path)?;
        }
        Ok(segment.index.digest())
    }

    /// What it says of aborted transactions stays true.
    fn copy_txn_index(&self, base: Offset) -> Result<()> {
        let path = |dir: &Path| FileKind::TransactionIndex.path(dir, base);
        match read_file(self.request.disk, &path(&self.request.dir), usize::MAX)? {
            Some(bytes) => self.write(&path(self.dir), &bytes),
            None => Ok(()),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let file = write_anew(self.request.disk, path, bytes)?;
        sync(&*file, path)
    }

    /// The last segment is empty and begins at `end`, where the log goes on. After this everything is
    /// durable but the name of the directory.
    pub(super) fn finish(
        mut self,
        end: Offset,
        epochs: &Epochs,
        producers: &ProducerState,
    ) -> Result<()> {
        if self.current.is_none() && end > self.first_base {
            self.expected = None;
            self.current = Some(self.new_segment(Expected {
                base: self.first_base,
                gaps: true,
                seal: None,
            })?);
        }
        self.seal(end)?;
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
            self.write(&kind.path(self.dir, end), &[])?;
        }
        let snapshot = producer_snapshot::encode(&producers.to_snapshot());
        let path = FileKind::ProducerSnapshot.path(self.dir, end);
        self.write(&path, &snapshot)?;
        if !epochs.entries().is_empty() {
            let bytes = EpochCheckpoint::encode(epochs.entries());
            self.write(&self.dir.join(EPOCH_FILE), &bytes)?;
        }
        let metadata = PartitionMetadata {
            topic_id: self.request.topic_id,
        };
        let path = self.dir.join("partition.metadata");
        self.write(&path, &metadata.encode())?;
        self.request
            .disk
            .sync_dir(self.dir)
            .map_err(|error| Error::io("sync directory", self.dir, error))
    }
}

impl NewSegment {
    fn batch(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<()> {
        let position = self.written + self.buffer.len() as u64;
        let indexed = IndexedBatch::new(self.base, position, header);
        if let Some(entry) = self.builder.add(indexed) {
            self.index.push(entry);
        }
        self.digest.update(bytes);
        if self.batches == 0 {
            self.first_frame = self.digest.value();
        }
        self.batches += 1;
        self.gaps |= header.base_offset != self.next_offset;
        self.next_offset = header.next_offset();
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        write_all_at(&*self.file, &self.buffer, self.written)
            .map_err(|error| Error::io("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn sync(file: &dyn DiskFile, path: &Path) -> Result<()> {
    file.sync().map_err(|error| Error::io("sync", path, error))
}
