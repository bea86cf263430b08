//! Walks a segment file, and finds its way again behind damage.
//!
//! What is read at a time is bounded by the file's length: a length field alone makes nobody allocate.
//! The file is read, not mapped, since it may be cut while we look.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::Batch;
use crate::disk::real::RealDisk;
use crate::disk::{Disk, DiskFile, OpenMode, read_full_at};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN, MAGIC_AT};
use crate::log::{names, zero_ahead};
use crate::record::{Offset, TopicPartition};

/// How much is read at a time when looking for the next batch behind damage.
const SEARCH_BYTES: usize = 64 << 10;
/// A batch that is more offsets ahead than this is none: one segment spans no more.
const SEGMENT_OFFSETS: u64 = 1 << 31;

/// What is next in a segment file.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A batch whose header makes sense and whose bytes are all there.
    Batch(Batch),
    /// Bytes that are no batch.
    Damage(Damage),
}

/// Bytes of a segment file that are no batch: damage, or the end of a file that was being written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Where they start, in bytes.
    pub position: u64,
    /// How many they are: up to the next whole batch, or the end of the file.
    pub len: u64,
    /// What is wrong with the batch that should be there.
    pub reason: &'static str,
}

/// Walks the batches of a `.log` file; an iterator over [`Entry`]s, in the order of the file.
///
/// It ends at the length that the file had when it was opened, or after an error of the disk; and before
/// the zeros that a log in use, or one that was killed, keeps behind its batches.
#[derive(Debug)]
pub struct SegmentReader {
    file: Arc<dyn DiskFile>,
    path: Arc<Path>,
    partition: TopicPartition,
    len: u64,
    position: u64,
    /// A later batch has this offset or a higher one.
    next_offset: Offset,
}

impl SegmentReader {
    /// Opens a `.log` file. Topic and partition of its records are taken from the name of its
    /// directory, `topic-partition`; elsewhere they have an empty topic.
    ///
    /// # Errors
    /// What the system answers; what is in the file does not matter yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = RealDisk
            .open(path, OpenMode::Read)
            .map_err(|error| Error::io("open", path, error))?;
        let len = file
            .len()
            .map_err(|error| Error::io("read the length of", path, error))?;
        Ok(Self {
            file,
            path: path.into(),
            partition: partition_of(path),
            len,
            position: 0,
            next_offset: 0,
        })
    }

    /// Where the next entry starts, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Length of the file when it was opened, in bytes.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    fn read_entry(&mut self) -> Result<Option<Entry>> {
        if self.position >= self.len {
            return Ok(None);
        }
        let start = self.position;
        let entry = match self.batch_at(start)? {
            Ok(batch) if batch.crc_matches || self.is_followed(&batch)? => {
                self.position += u64::from(batch.header.size);
                self.next_offset = self.next_offset.max(batch.header.next_offset());
                Entry::Batch(batch)
            }
            // The checksum is wrong, and nothing follows where the length says: not to be believed.
            Ok(_) => self.skip_damage("CRC does not match, and no batch follows")?,
            Err(_) if self.are_zeros_ahead(start)? => return Ok(None),
            Err(invalid) => self.skip_damage(invalid.reason)?,
        };
        Ok(Some(entry))
    }

    /// The batch that starts at `position`, if one does.
    fn batch_at(&self, position: u64) -> Result<Result<Batch, Invalid>> {
        let header = match BatchHeader::parse(&self.read(position, HEADER_LEN)?) {
            Ok(header) => header,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let torn = Err(Invalid {
            at: 0,
            reason: "batch reaches beyond the end of the file",
        });
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if u64::from(header.size) > self.len.saturating_sub(position) {
            return Ok(torn);
        }
        let bytes = self.read(position, size)?;
        let Ok(view) = BatchView::parse(&bytes) else {
            return Ok(torn); // The file was cut meanwhile.
        };
        let (header, crc_matches) = (*view.header(), view.check_crc().is_ok());
        Ok(Ok(Batch {
            file: Arc::clone(&self.path),
            partition: self.partition.clone(),
            position,
            header,
            bytes,
            crc_matches,
        }))
    }

    /// Whether another header, or the end of the file, is where the batch's length says.
    fn is_followed(&self, batch: &Batch) -> Result<bool> {
        let end = batch.position + u64::from(batch.header.size);
        Ok(end == self.len || BatchHeader::parse(&self.read(end, HEADER_LEN)?).is_ok())
    }

    /// Whether all that is left is zeros that the log wrote ahead.
    fn are_zeros_ahead(&self, position: u64) -> Result<bool> {
        if !zero_ahead::is_ahead(position, self.len) {
            return Ok(false);
        }
        let left = usize::try_from(self.len - position).unwrap_or(usize::MAX);
        let rest = self.read(position, left)?;
        Ok(rest.iter().all(|byte| *byte == 0))
    }

    /// Goes on at the next whole batch with a right checksum, or at the end of the file.
    fn skip_damage(&mut self, reason: &'static str) -> Result<Entry> {
        let start = self.position;
        self.position = self.find_batch(start + 1)?.unwrap_or(self.len);
        Ok(Entry::Damage(Damage {
            position: start,
            len: self.position - start,
            reason,
        }))
    }

    fn find_batch(&self, from: u64) -> Result<Option<u64>> {
        let mut start = from;
        while start < self.len {
            let window = self.read(start, SEARCH_BYTES + HEADER_LEN)?;
            let last = window.len().saturating_sub(HEADER_LEN);
            for at in (0..=last).filter(|&at| self.may_start_batch(&window[at..])) {
                let position = start + at as u64;
                if self
                    .batch_at(position)?
                    .is_ok_and(|batch| batch.crc_matches)
                {
                    return Ok(Some(position));
                }
            }
            start += last as u64 + 1;
        }
        Ok(None)
    }

    fn may_start_batch(&self, bytes: &[u8]) -> bool {
        // The magic byte first: it rules out nearly every position.
        bytes.get(MAGIC_AT) == Some(&2)
            && BatchHeader::parse(bytes).is_ok_and(|header| {
                let expected = self.next_offset..self.next_offset.saturating_add(SEGMENT_OFFSETS);
                self.next_offset == 0 || expected.contains(&header.base_offset)
            })
    }

    /// Up to `len` bytes from `position` on: fewer only at the end of the file.
    fn read(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(left)];
        let count = read_full_at(&*self.file, &mut bytes, position)
            .map_err(|error| Error::io("read", &self.path, error))?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

impl Iterator for SegmentReader {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.read_entry();
        if entry.is_err() {
            self.position = self.len;
        }
        entry.transpose()
    }
}

impl std::iter::FusedIterator for SegmentReader {}

fn partition_of(path: &Path) -> TopicPartition {
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let dir = path.parent().and_then(Path::file_name);
    let named = dir
        .and_then(|name| name.to_str())
        .and_then(names::parse_partition_dir);
    let (topic, partition) = named.unwrap_or_default();
    TopicPartition::new(topic, partition)
}
