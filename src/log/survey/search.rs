//! Where good batches go on behind a bad one.
//!
//! The length of the bad batch is tried first: as a rule its records are damaged and not its frame.
//! Otherwise all bytes behind it are searched for a batch. Bytes that look like one may be the payload of
//! another, with a good CRC and a plausible offset, if somebody keeps batches in records. So a batch that
//! is found is believed only if it leads on, batch by batch, to something that is known independently:
//! * a place that the index has an entry for, with this very offset;
//! * the end of the segment;
//! * a bad batch that begins with the offset that comes next; but then the first one, too, has to have the
//!   offset that the bad batch before it says.
//!
//! Bad batches on the way are stepped over if their length leads to a good one. Batches that lead to
//! nothing of this are lost with the bytes around them: nobody can tell.

use std::collections::HashSet;

use super::{Checked, Place, Survey, behind};
use crate::error::Result;
use crate::format::batch::{BatchHeader, HEADER_LEN, LAST_OFFSET_DELTA, MAGIC_AT, batch_size};
use crate::format::index_entry::OffsetIndexEntry;
use crate::record::Offset;

/// The only magic byte there is.
const MAGIC: u8 = 2;

/// Bytes searched at a time.
const CHUNK: usize = 256 << 10;

/// So many bad batches in a row are stepped over by their lengths.
const MOST_STEPS: usize = 10_000;

impl Survey<'_> {
    /// The place of the first good batch behind the bad one at `bad`.
    pub(super) fn find_next(&mut self, bad: Place) -> Result<Option<Place>> {
        match self.step_over(bad)? {
            Some(end) if end.position == self.len => Ok(None),
            Some(next) => Ok(Some(next)),
            None => self.search(bad),
        }
    }

    /// Follows the lengths of bad batches to a good one or to the end of the file, as long as their offsets
    /// say that these are the batches that come next.
    fn step_over(&mut self, bad: Place) -> Result<Option<Place>> {
        let mut place = bad;
        for _ in 0..MOST_STEPS {
            let Ok(frame) = self.frame_at(place.position)? else {
                return Ok(None);
            };
            if !self.may_follow(&frame, place.offset) {
                return Ok(None);
            }
            place = behind(place, &frame);
            if place.position == self.len {
                return Ok(Some(place));
            }
            if let Some(good) = self.good_at(place.position, bad.offset + 1)? {
                let follows =
                    good.offset == place.offset || (self.facts.gaps && good.offset > place.offset);
                return Ok(follows.then_some(good));
            }
        }
        Ok(None)
    }

    /// True if a batch with this frame may be the one that comes at `expected`.
    fn may_follow(&self, frame: &BatchHeader, expected: Offset) -> bool {
        self.check_offsets(frame, expected).is_ok()
    }

    /// A batch at a position, good in itself, with no offset below `least`.
    fn good_at(&mut self, position: u64, least: Offset) -> Result<Option<Place>> {
        let Ok(frame) = self.frame_at(position)? else {
            return Ok(None);
        };
        let place = Place {
            position,
            offset: frame.base_offset,
        };
        if frame.base_offset < least {
            return Ok(None);
        }
        Ok(self.batch_at(place)?.is_ok().then_some(place))
    }

    fn search(&mut self, bad: Place) -> Result<Option<Place>> {
        let expected = self.offset_behind(bad)?;
        // A bad batch that begins as it should has its first offset; else only bytes may be in the way.
        let least = bad.offset + u64::from(self.says_offset(bad)?);
        // Chains that led nowhere, by where they pass.
        let mut dead_ends = HashSet::new();
        let mut start = bad.position + 1;
        while start + HEADER_LEN as u64 <= self.len {
            let chunk = self.read(start, CHUNK)?;
            let searched = (chunk.len() + 1).saturating_sub(HEADER_LEN);
            if searched == 0 {
                // The last bytes before a stage, too few for a batch.
                start += chunk.len().max(1) as u64;
                continue;
            }
            let starts: Vec<u64> = (0..searched)
                .filter(|at| chunk[at + MAGIC_AT] == MAGIC)
                .map(|at| start + at as u64)
                .collect();
            for position in starts {
                if dead_ends.contains(&position) {
                    continue;
                }
                let Some(place) = self.good_at(position, least)? else {
                    continue;
                };
                let is_expected = expected == Some(place.offset);
                if self.is_believed(place, is_expected, &mut dead_ends)? {
                    return Ok(Some(place));
                }
            }
            start += searched as u64;
        }
        Ok(None)
    }

    /// True if batches lead from here to something that is known.
    fn is_believed(
        &mut self,
        from: Place,
        is_expected: bool,
        dead_ends: &mut HashSet<u64>,
    ) -> Result<bool> {
        let mut place = from;
        let mut passed = Vec::new();
        while place.position < self.len && !dead_ends.contains(&place.position) {
            if let Ok(Checked { header, .. }) = self.batch_at(place)? {
                if self.has_entry(place.position, header.last_offset()) {
                    return Ok(true);
                }
                passed.push(place.position);
                place = behind(place, &header);
            } else if let Some(next) = self.next_by_length(place)? {
                place = next;
            } else {
                break;
            }
        }
        let believed = place.position == self.len
            || self.are_zeros_ahead(place.position)?
            || (is_expected && self.says_offset(place)?);
        if !believed {
            dead_ends.extend(passed);
        }
        Ok(believed)
    }

    pub(super) fn has_entry(&self, position: u64, last_offset: Offset) -> bool {
        let entry = OffsetIndexEntry {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            relative_offset: u32::try_from(last_offset - self.facts.base).unwrap_or(u32::MAX),
        };
        let entries = self.facts.entries;
        let found = entries.binary_search_by_key(&entry.position, |entry| entry.position);
        found.is_ok_and(|at| entries[at] == entry)
    }

    /// The good batch that the length of a bad one leads to.
    fn next_by_length(&mut self, bad: Place) -> Result<Option<Place>> {
        let bytes = self.read(bad.position, HEADER_LEN)?;
        let size = batch_size(bytes)
            .ok()
            .and_then(|size| u64::try_from(size).ok());
        let next = size.and_then(|size| bad.position.checked_add(size));
        match next.filter(|next| *next < self.len) {
            Some(next) => self.good_at(next, bad.offset + 1),
            None => Ok(None),
        }
    }

    /// What the bad batch says comes behind it, whatever its length is.
    fn offset_behind(&mut self, bad: Place) -> Result<Option<Offset>> {
        if !self.says_offset(bad)? {
            return Ok(None);
        }
        let bytes = self.read(bad.position, HEADER_LEN)?;
        let delta = bytes.get(LAST_OFFSET_DELTA).and_then(|it| it.first_chunk());
        let delta = delta.map(|bytes| u32::from_be_bytes(*bytes));
        Ok(delta.map(|delta| bad.offset + u64::from(delta) + 1))
    }

    /// True if the bytes at the place begin as a batch with its offset does.
    fn says_offset(&mut self, place: Place) -> Result<bool> {
        let bytes = self.read(place.position, HEADER_LEN)?;
        let offset = place.offset.to_be_bytes();
        Ok(bytes.starts_with(&offset) && bytes.get(MAGIC_AT).is_none_or(|magic| *magic == MAGIC))
    }
}
