//! The sparse indexes of one segment: offset to position, timestamp to offset.
//!
//! An index narrows a search, it never answers it: whoever uses an entry compares it with the batch
//! header it points at, and walks the segment from its start if they disagree. So a lost, stale or
//! damaged index file costs time, never a wrong record. The active segment's entries are kept in
//! memory, and written with its waypoints and when the segment is sealed or closed; after an unclean
//! stop those behind the last waypoint are rebuilt.
//!
//! Kafka's rules (reference: `OffsetIndex`, `TimeIndex`): an entry holds a batch's **last** offset and
//! its **start** position; there is one after more than `index.interval.bytes` of batches.

use crate::disk::{Disk, DiskFile, OpenMode, read_file, read_full_at, write_anew};
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::index_entry::{OffsetIndexEntry, TimeIndexEntry};
use crate::format::waypoint::IndexPrefix;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The entries of both indexes, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) offsets: Vec<OffsetIndexEntry>,
    pub(crate) times: Vec<TimeIndexEntry>,
}

/// What the index learns of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexedBatch {
    /// Last offset, relative to the segment's base.
    pub(crate) relative_last_offset: u32,
    pub(crate) position: u32,
    pub(crate) size: u32,
    pub(crate) max_timestamp: i64,
}

impl IndexedBatch {
    /// The batch at `position` of the segment that starts at `base`.
    pub(crate) fn new(base: u64, position: u64, header: &BatchHeader) -> Self {
        Self {
            relative_last_offset: u32::try_from(header.last_offset().saturating_sub(base))
                .unwrap_or(u32::MAX),
            position: u32::try_from(position).unwrap_or(u32::MAX),
            size: header.size,
            // One that compaction emptied keeps the timestamp of a record that is not there.
            max_timestamp: if header.records_count > 0 {
                header.max_timestamp
            } else {
                -1
            },
        }
    }
}

/// Decides which batches get an entry. One lives with the writer, one with each rebuild, and both
/// come to the same entries.
#[derive(Debug, Clone)]
pub(crate) struct IndexBuilder {
    interval: u64,
    /// Bytes of batches since the last entry.
    bytes_since_entry: u64,
    /// Largest timestamp in the segment so far, with the last offset of the batch that held it.
    largest: Option<TimeIndexEntry>,
}

impl IndexBuilder {
    pub(crate) fn new(interval: u32) -> Self {
        Self {
            interval: interval.into(),
            bytes_since_entry: 0,
            largest: None,
        }
    }

    /// Goes on behind entries that were loaded from a file, at byte `end` of the segment.
    /// The stored index has its final time entry, and so the largest timestamp.
    pub(crate) fn resume(interval: u32, index: &SegmentIndex, end: u64) -> Self {
        Self::resume_at(interval, index, end, index.times.last().copied())
    }

    /// Goes on behind these entries, at byte `end` of the segment, whose largest timestamp so far is
    /// this.
    pub(crate) fn resume_at(
        interval: u32,
        index: &SegmentIndex,
        end: u64,
        largest: Option<TimeIndexEntry>,
    ) -> Self {
        let last_entry = index
            .offsets
            .last()
            .map_or(0, |entry| u64::from(entry.position));
        let bytes_since_entry = end.saturating_sub(last_entry);
        Self {
            interval: interval.into(),
            bytes_since_entry,
            largest,
        }
    }

    /// Largest timestamp so far; -1 if no record has one.
    pub(crate) fn largest_timestamp(&self) -> i64 {
        self.largest.map_or(-1, |entry| entry.timestamp)
    }

    /// Takes note of a batch; returns the entries that it is due, if any.
    pub(crate) fn add(
        &mut self,
        batch: IndexedBatch,
    ) -> Option<(OffsetIndexEntry, Option<TimeIndexEntry>)> {
        if batch.max_timestamp > self.largest_timestamp() {
            let relative_offset = batch.relative_last_offset;
            self.largest = Some(TimeIndexEntry {
                timestamp: batch.max_timestamp,
                relative_offset,
            });
        }
        let due = self.bytes_since_entry > self.interval;
        if due {
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += u64::from(batch.size);
        let entry = OffsetIndexEntry {
            relative_offset: batch.relative_last_offset,
            position: batch.position,
        };
        due.then_some((entry, self.largest))
    }

    /// The time entry that a segment gets when it is sealed or closed.
    pub(crate) fn final_time_entry(&self) -> Option<TimeIndexEntry> {
        self.largest
    }
}

impl SegmentIndex {
    /// Adds what [`IndexBuilder::add`] returned.
    pub(crate) fn push(&mut self, (offset, time): (OffsetIndexEntry, Option<TimeIndexEntry>)) {
        self.offsets.push(offset);
        if let Some(time) = time {
            self.push_time(time);
        }
    }

    /// Adds a time entry unless it brings nothing new: timestamps strictly rise.
    pub(crate) fn push_time(&mut self, entry: TimeIndexEntry) {
        if self
            .times
            .last()
            .is_none_or(|last| entry.timestamp > last.timestamp)
        {
            self.times.push(entry);
        }
    }

    /// True if another offset entry, or another time entry besides the final one, would make a file
    /// larger than `segment.index.bytes`.
    pub(crate) fn is_full(&self, limit: u32) -> bool {
        let limit = limit as usize;
        self.offsets.len() >= limit / OffsetIndexEntry::LEN
            || self.times.len() + 1 >= limit / TimeIndexEntry::LEN
    }

    /// The last entry at or below `relative_offset`.
    pub(crate) fn offset_entry(&self, relative_offset: u32) -> Option<OffsetIndexEntry> {
        let behind = self
            .offsets
            .partition_point(|entry| entry.relative_offset <= relative_offset);
        behind.checked_sub(1).map(|index| self.offsets[index])
    }

    /// Entries at or below `relative_offset`, the last one first, at most `count`.
    pub(crate) fn offset_entries(
        &self,
        relative_offset: u32,
        count: usize,
    ) -> Vec<OffsetIndexEntry> {
        let behind = self
            .offsets
            .partition_point(|entry| entry.relative_offset <= relative_offset);
        let entries = self.offsets[..behind].iter().rev();
        entries.take(count).copied().collect()
    }

    /// Entries of batches behind `position`, in order, at most `count`.
    pub(crate) fn entries_behind(&self, position: u64, count: usize) -> Vec<OffsetIndexEntry> {
        let first = self
            .offsets
            .partition_point(|entry| u64::from(entry.position) <= position);
        self.offsets[first..].iter().take(count).copied().collect()
    }

    /// The last entry with a timestamp below `timestamp`: every record up to its offset is older.
    pub(crate) fn time_entry_below(&self, timestamp: i64) -> Option<TimeIndexEntry> {
        let behind = self
            .times
            .partition_point(|entry| entry.timestamp < timestamp);
        behind.checked_sub(1).map(|index| self.times[index])
    }

    /// Reads the files of a segment of `log_len` bytes. `None` if one is missing or cannot be what
    /// its segment's index looks like, and has to be rebuilt.
    pub(crate) fn load(
        disk: &dyn Disk,
        offsets: &Path,
        times: &Path,
        log_len: u64,
    ) -> Result<Option<Self>> {
        // A batch takes its header at least, and no entry is larger than that.
        let limit = usize::try_from(log_len).unwrap_or(usize::MAX);
        let (Some(offsets), Some(times)) = (
            read_index(disk, offsets, limit)?,
            read_index(disk, times, limit)?,
        ) else {
            return Ok(None);
        };
        let index = Self {
            offsets: decode_all(&offsets, |bytes| OffsetIndexEntry::decode(bytes).ok()),
            times: decode_all(&times, |bytes| TimeIndexEntry::decode(bytes).ok()),
        };
        let whole = index.offsets.len() * OffsetIndexEntry::LEN == offsets.len()
            && index.times.len() * TimeIndexEntry::LEN == times.len();
        Ok((whole && index.is_plausible(log_len)).then_some(index))
    }

    /// Reads so many entries from the start of the files; `None` if they are not there, or are others.
    pub(crate) fn load_prefix(
        disk: &dyn Disk,
        (offsets, offset_prefix): (&Path, IndexPrefix),
        (times, time_prefix): (&Path, IndexPrefix),
        log_len: u64,
    ) -> Result<Option<Self>> {
        let (Some(offsets), Some(times)) = (
            read_prefix(disk, offsets, offset_prefix, OffsetIndexEntry::LEN, log_len)?,
            read_prefix(disk, times, time_prefix, TimeIndexEntry::LEN, log_len)?,
        ) else {
            return Ok(None);
        };
        let index = Self {
            offsets: decode_all(&offsets, |bytes| OffsetIndexEntry::decode(bytes).ok()),
            times: decode_all(&times, |bytes| TimeIndexEntry::decode(bytes).ok()),
        };
        let whole = index.offsets.len() * OffsetIndexEntry::LEN == offsets.len()
            && index.times.len() * TimeIndexEntry::LEN == times.len();
        Ok((whole && index.is_plausible(log_len)).then_some(index))
    }

    /// Length of both files together, with this as the final time entry.
    pub(crate) fn stored_len(&self, last: Option<TimeIndexEntry>) -> u64 {
        let is_new = |last: TimeIndexEntry| {
            self.times
                .last()
                .is_none_or(|known| last.timestamp > known.timestamp)
        };
        let times = self.times.len() + usize::from(last.is_some_and(is_new));
        let len = self.offsets.len() * OffsetIndexEntry::LEN + times * TimeIndexEntry::LEN;
        u64::try_from(len).unwrap_or(u64::MAX)
    }

    /// CRC-32 of both files' bytes.
    pub(crate) fn digest(&self) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        for entry in &self.offsets {
            digest.update(&entry.encode());
        }
        for entry in &self.times {
            digest.update(&entry.encode());
        }
        digest.finalize()
    }

    fn is_plausible(&self, log_len: u64) -> bool {
        let rises = self.offsets.windows(2).all(|pair| {
            pair[0].relative_offset < pair[1].relative_offset && pair[0].position < pair[1].position
        });
        let first_is_real = self.offsets.first().is_none_or(|entry| entry.position > 0);
        let inside = self
            .offsets
            .last()
            .is_none_or(|entry| u64::from(entry.position) < log_len);
        let times_rise = self.times.windows(2).all(|pair| {
            pair[0].timestamp < pair[1].timestamp
                && pair[0].relative_offset < pair[1].relative_offset
        });
        rises && first_is_real && inside && times_rise
    }

    /// Writes both files anew; they become durable with a sync, and their names with the directory's.
    pub(crate) fn store(
        &self,
        disk: &dyn Disk,
        offsets: &Path,
        times: &Path,
    ) -> Result<[Arc<dyn DiskFile>; 2]> {
        let (offset_bytes, time_bytes) = self.encode();
        let offsets = write_anew(disk, offsets, &offset_bytes)?;
        Ok([offsets, write_anew(disk, times, &time_bytes)?])
    }

    /// The bytes of both files.
    pub(crate) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let offsets = self.offsets.iter().flat_map(|entry| entry.encode());
        let times = self.times.iter().flat_map(|entry| entry.encode());
        (offsets.collect(), times.collect())
    }
}

fn read_index(disk: &dyn Disk, path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    match read_file(disk, path, limit) {
        Err(Error::Corrupt { .. }) => Ok(None),
        other => other,
    }
}

/// The bytes that a prefix of an index file is of, if they are there.
fn read_prefix(
    disk: &dyn Disk,
    path: &Path,
    prefix: IndexPrefix,
    entry_len: usize,
    log_len: u64,
) -> Result<Option<Vec<u8>>> {
    let len = usize::try_from(prefix.entries).unwrap_or(usize::MAX);
    let len = len.saturating_mul(entry_len);
    // A batch takes its header at least, and no entry is larger than that.
    if len as u64 > log_len {
        return Ok(None);
    }
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| Error::io("open", path, error))?,
    };
    let mut bytes = vec![0; len];
    let count = read_full_at(&*file, &mut bytes, 0);
    let count = count.map_err(|error| Error::io("read", path, error))?;
    let is_it = count == len && crc32fast::hash(&bytes) == prefix.digest;
    Ok(is_it.then_some(bytes))
}

/// Decodes entries up to the first that is none.
fn decode_all<const LEN: usize, T>(
    bytes: &[u8],
    decode: impl Fn(&[u8; LEN]) -> Option<T>,
) -> Vec<T> {
    bytes
        .as_chunks::<LEN>()
        .0
        .iter()
        .map_while(decode)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(
        relative_last_offset: u32,
        position: u32,
        size: u32,
        max_timestamp: i64,
    ) -> IndexedBatch {
        IndexedBatch {
            relative_last_offset,
            position,
            size,
            max_timestamp,
        }
    }

    #[test]
    fn an_entry_comes_after_more_than_the_interval() {
        let mut builder = IndexBuilder::new(100);
        assert!(
            builder.add(batch(0, 0, 60, 5)).is_none(),
            "the first batch never has one"
        );
        assert!(
            builder.add(batch(1, 60, 40, 4)).is_none(),
            "60 bytes are not more than 100"
        );
        assert!(
            builder.add(batch(2, 100, 10, 3)).is_none(),
            "100 bytes are not more than 100"
        );
        let (offset, time) = builder.add(batch(3, 110, 10, 3)).unwrap();
        assert_eq!(
            offset,
            OffsetIndexEntry {
                relative_offset: 3,
                position: 110
            }
        );
        assert_eq!(
            time,
            Some(TimeIndexEntry {
                timestamp: 5,
                relative_offset: 0
            })
        );
    }

    #[test]
    fn a_resumed_builder_goes_on_as_if_it_had_never_stopped() {
        let batches: Vec<_> = (0..50)
            .map(|i| batch(i, i * 30, 30, i64::from(i % 7)))
            .collect();
        for cut in 0..batches.len() {
            let (done, rest) = batches.split_at(cut);
            let mut builder = IndexBuilder::new(100);
            let mut stored = SegmentIndex::default();
            done.iter()
                .filter_map(|&batch| builder.add(batch))
                .for_each(|entry| stored.push(entry));
            builder
                .final_time_entry()
                .into_iter()
                .for_each(|entry| stored.push_time(entry));
            let mut resumed = IndexBuilder::resume(100, &stored, 30 * cut as u64);
            for &batch in rest {
                assert_eq!(
                    resumed.add(batch),
                    builder.add(batch),
                    "resumed after {cut} batches"
                );
            }
        }
    }

    #[test]
    fn lookups_find_the_entry_at_or_below() {
        let index = SegmentIndex {
            offsets: vec![
                OffsetIndexEntry {
                    relative_offset: 10,
                    position: 100,
                },
                OffsetIndexEntry {
                    relative_offset: 20,
                    position: 200,
                },
            ],
            times: vec![TimeIndexEntry {
                timestamp: 5,
                relative_offset: 3,
            }],
        };
        assert_eq!(index.offset_entry(9), None);
        assert_eq!(index.offset_entry(10).unwrap().position, 100);
        assert_eq!(index.offset_entry(u32::MAX).unwrap().position, 200);
        assert_eq!(index.time_entry_below(5), None);
        assert_eq!(index.time_entry_below(6).unwrap().relative_offset, 3);
    }
}
