//! Finding a batch in a segment: by offset, by timestamp, by walking over headers.
//!
//! An index narrows the search and never answers it: an entry counts if the batch that it points at agrees
//! with it. Where none does, the segment is walked from its start.

use std::path::Path;

use super::index::{IndexBuilder, IndexedBatch, SegmentIndex};
use super::names::FileKind;
use super::segment::{IndexState, LocatedBatch, Place, Segment};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::index_entry::{OffsetIndexEntry, TimeIndexEntry};
use crate::record::{Offset, Timestamp};

/// So many index entries are tried, from the nearest on, before a segment is walked from its start.
const MOST_HINTS: usize = 8;

impl Segment {
    /// The batch that holds `offset`, or the first one behind it, checked; `None` if the segment ends
    /// before. `end` is where the segment's offsets end.
    ///
    /// # Errors
    /// `Corrupt` if `offset` lies in damaged bytes. Damage before it is stepped over.
    pub(crate) fn locate(
        &self,
        disk: &dyn Disk,
        offset: Offset,
        end: Offset,
    ) -> Result<Option<LocatedBatch>> {
        let relative = u32::try_from(offset.saturating_sub(self.base())).unwrap_or(u32::MAX);
        let entries = self.with_index(disk, |index| index.offset_entries(relative, MOST_HINTS));
        let mut from = entries
            .into_iter()
            .find_map(|entry| self.checked_hint(entry))
            .map_or(self.first_place(), |found| found.place());
        loop {
            let found = self.walk(from, |batch| batch.header.last_offset() >= offset);
            let good = match found {
                Ok(None) => return Ok(None),
                // What was walked over is as good as the batch it led to: base offsets follow.
                Ok(Some(batch)) => self.read_batch(batch.position, None).map(|_| batch),
                Err(error) => Err(error),
            };
            match good {
                Ok(batch) => return Ok(Some(batch)),
                Err(error @ Error::Corrupt { .. }) => {
                    let Some(damage) = self.examine(disk, from, end)? else {
                        return Err(error);
                    };
                    match damage.next {
                        Some(next) if next.header.base_offset <= offset => from = next.place(),
                        _ => return Err(damage.error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The first batch from which on a record may be as late as `timestamp`.
    pub(crate) fn locate_timestamp(
        &self,
        disk: &dyn Disk,
        timestamp: Timestamp,
        end: Offset,
    ) -> Result<Option<LocatedBatch>> {
        let hint = self.with_index(disk, |index| {
            let time = index.time_entry_below(timestamp)?;
            Some((time, index.offset_entry(time.relative_offset)?))
        });
        let from = hint
            .and_then(|(time, offset)| {
                let found = self.checked_hint(offset)?;
                self.confirms(found.place(), &time).then_some(found.place())
            })
            .unwrap_or(self.first_place());
        // Largest timestamps count only with their CRC: a batch must not be passed over wrongly.
        let mut place = from;
        while place.position < self.file().published() {
            let (header, _) = match self.read_batch(place.position, place.offset) {
                Err(error @ Error::Corrupt { .. }) => {
                    return Err(self.damage_at(disk, place, error, end)?.error);
                }
                other => other?,
            };
            if header.max_timestamp >= timestamp {
                return Ok(Some(LocatedBatch {
                    position: place.position,
                    header,
                }));
            }
            place = place.behind(&header);
        }
        Ok(None)
    }

    /// True if the batch that ends at the entry's offset, at or behind `from`, has its timestamp.
    fn confirms(&self, from: Place, entry: &TimeIndexEntry) -> bool {
        let last_offset = self.base() + u64::from(entry.relative_offset);
        let found = self.walk(from, |batch| batch.header.last_offset() >= last_offset);
        matches!(found, Ok(Some(batch))
            if batch.header.last_offset() == last_offset
                && batch.header.max_timestamp == entry.timestamp)
    }

    /// The batch that an index entry points at, if it is what the entry says: its CRC holds, and it
    /// ends at the entry's offset.
    pub(super) fn checked_hint(&self, entry: OffsetIndexEntry) -> Option<LocatedBatch> {
        let position = u64::from(entry.position);
        if position >= self.file().published() {
            return None;
        }
        let (header, _) = self.read_batch(position, None).ok()?;
        let agrees = header.last_offset() == self.base() + u64::from(entry.relative_offset);
        agrees.then_some(LocatedBatch { position, header })
    }

    /// Walks headers from a place to the first batch that `wanted` accepts.
    pub(crate) fn walk(
        &self,
        mut place: Place,
        wanted: impl Fn(&LocatedBatch) -> bool,
    ) -> Result<Option<LocatedBatch>> {
        while let Some(header) = self.header_at(place.position)? {
            self.check_sequence(place.position, &header, place.offset)?;
            let batch = LocatedBatch {
                position: place.position,
                header,
            };
            if wanted(&batch) {
                return Ok(Some(batch));
            }
            place = place.behind(&header);
        }
        Ok(None)
    }

    /// Where a walk over headers comes to the end; `None` if it meets damage.
    pub(super) fn end_of_walk(&self, mut place: Place) -> Option<Place> {
        while let Some(header) = self.header_at(place.position).ok()? {
            self.check_sequence(place.position, &header, place.offset)
                .ok()?;
            place = place.behind(&header);
        }
        Some(place)
    }

    /// Where the first batch starts.
    pub(super) fn first_place(&self) -> Place {
        Place {
            position: 0,
            offset: Some(self.base()),
        }
    }

    /// Looks something up in the index, which is read from its files first if need be. If they are
    /// not what the seal says, it is made again, in memory.
    pub(super) fn with_index<T>(
        &self,
        disk: &dyn Disk,
        look_up: impl FnOnce(&SegmentIndex) -> T,
    ) -> T {
        if let IndexState::Loaded(index) = &*self.index.read() {
            return look_up(index);
        }
        let index = match self.load_index(disk) {
            Ok(index) => index.unwrap_or_else(|| self.rebuilt_index()),
            // Not remembered: it may pass.
            Err(_) => return look_up(&SegmentIndex::default()),
        };
        let found = look_up(&index);
        *self.index.write() = IndexState::Loaded(index);
        found
    }

    fn load_index(&self, disk: &dyn Disk) -> Result<Option<SegmentIndex>> {
        let dir = self.path().parent().unwrap_or(Path::new("."));
        let offsets = FileKind::OffsetIndex.path(dir, self.base());
        let times = FileKind::TimeIndex.path(dir, self.base());
        let index = SegmentIndex::load(disk, &offsets, &times, self.file().published())?;
        let seal = self.seal();
        Ok(index.filter(|index| seal.is_none_or(|seal| seal.index_digest == index.digest())))
    }

    /// The index of the batches up to the first bad one.
    fn rebuilt_index(&self) -> SegmentIndex {
        /// Kafka's default `index.interval.bytes`.
        const INTERVAL: u32 = 4096;
        let mut builder = IndexBuilder::new(INTERVAL);
        let mut index = SegmentIndex::default();
        let mut place = self.first_place();
        while place.position < self.file().published()
            && let Ok((header, _)) = self.read_batch(place.position, None)
        {
            if let Some(entry) =
                builder.add(IndexedBatch::new(self.base(), place.position, &header))
            {
                index.push(entry);
            }
            place = place.behind(&header);
        }
        index
    }
}
