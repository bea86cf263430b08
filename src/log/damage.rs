//! Where reading can go on behind a damaged batch.
//!
//! A batch whose frame is damaged does not say where the next one starts, and bytes that look like a
//! batch may be the payload of another. So a search ends at an *anchor*: a place that is known
//! independently, an index entry whose batch agrees with it or the end of the segment. Bytes are taken
//! for a batch only if batches follow one another from there, each with its CRC and its base offset
//! right, exactly to the anchor. What lies before them is lost.
//!
//! Cost: the bytes up to the first good anchor, an index interval as a rule, are looked at once.

use std::ops::Range;

use super::segment::{LocatedBatch, Place, Segment};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::record::Offset;

/// So many index entries behind the damage are tried as anchors.
const MOST_ANCHORS: usize = 8;

/// Bytes looked at in one piece.
const CHUNK: u64 = 256 << 10;

/// Damaged bytes.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    /// Where the first bad batch starts.
    pub(crate) position: u64,
    /// Names the offsets that are lost.
    pub(crate) error: Error,
    /// The batch from which on the segment is good again, if there is one.
    pub(crate) next: Option<LocatedBatch>,
}

/// What a segment remembers of the last search.
#[derive(Debug, Clone)]
pub(crate) struct KnownDamage {
    /// Up to here the segment was readable at that time.
    published: u64,
    damage: Damage,
}

impl Segment {
    /// Finds the first bad batch at or behind a good place, and where the good ones go on. `end` is
    /// where the segment's offsets end. `None` if nothing is bad.
    pub(crate) fn examine(
        &self,
        disk: &dyn Disk,
        from: Place,
        end: Offset,
    ) -> Result<Option<Damage>> {
        let published = self.file().published();
        let mut place = from;
        while place.position < published {
            match self.read_batch(place.position, place.offset) {
                Ok((header, _)) => place = place.behind(&header),
                Err(error @ Error::Corrupt { .. }) => {
                    return self.damage_at(disk, place, error, end).map(Some);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// What a bad batch at `place` takes with it. `error` says what is wrong with it.
    pub(crate) fn damage_at(
        &self,
        disk: &dyn Disk,
        place: Place,
        error: Error,
        end: Offset,
    ) -> Result<Damage> {
        let published = self.file().published();
        let known = self.known_damage.lock().clone();
        if let Some(known) = known
            .filter(|known| known.published == published && known.damage.position == place.position)
        {
            return Ok(known.damage);
        }
        let first_lost = place.offset.unwrap_or(self.base());
        let next = self.find_next(disk, place.position, first_lost)?;
        let behind = next.map_or(end.max(first_lost), |next| next.header.base_offset);
        let damage = Damage {
            position: place.position,
            error: error.with_offsets(first_lost..behind),
            next,
        };
        *self.known_damage.lock() = Some(KnownDamage {
            published,
            damage: damage.clone(),
        });
        Ok(damage)
    }

    /// The first good batch behind the bad one at `bad`, whose records start at `first_lost`.
    fn find_next(
        &self,
        disk: &dyn Disk,
        bad: u64,
        first_lost: Offset,
    ) -> Result<Option<LocatedBatch>> {
        let entries = self.with_index(disk, |index| index.entries_behind(bad, MOST_ANCHORS));
        let anchor = entries
            .iter()
            .find_map(|entry| self.checked_hint(*entry))
            .or_else(|| self.first_staged(bad))
            .filter(|anchor| anchor.header.base_offset > first_lost);
        let stop = anchor.map_or(
            Place {
                position: self.file().published(),
                // An active segment may grow while this is asked.
                offset: self.seal().map(|seal| seal.end_offset),
            },
            |anchor| anchor.place(),
        );
        Ok(self
            .search(bad + 1..stop.position, first_lost, stop)?
            .or(anchor))
    }

    /// The batch at the border between file and stage, if that is behind `position`.
    fn first_staged(&self, position: u64) -> Option<LocatedBatch> {
        let position = self.file().border().filter(|border| *border > position)?;
        let (header, _) = self.read_batch(position, None).ok()?;
        Some(LocatedBatch { position, header })
    }

    /// The first place in `range` from which batches lead to `stop`.
    fn search(
        &self,
        range: Range<u64>,
        first_lost: Offset,
        stop: Place,
    ) -> Result<Option<LocatedBatch>> {
        let mut start = range.start;
        while start + HEADER_LEN as u64 <= range.end {
            let chunk = self.file().slice(start..range.end.min(start + CHUNK))?;
            let candidates = possible_starts(&chunk).filter_map(|at| {
                let header = BatchHeader::parse(&chunk[at..]).ok()?;
                let position = start + at as u64;
                let fits = header.base_offset > first_lost
                    && position + u64::from(header.size) <= range.end;
                fits.then_some(LocatedBatch { position, header })
            });
            for candidate in candidates {
                if self.leads_to(candidate.place(), stop)? {
                    return Ok(Some(candidate));
                }
            }
            // Shorter than asked for where a stage begins; then there is no batch across.
            start += chunk.len().saturating_sub(HEADER_LEN) as u64 + 1;
        }
        Ok(None)
    }

    /// True if good batches follow one another from `place` exactly to `stop`.
    fn leads_to(&self, mut place: Place, stop: Place) -> Result<bool> {
        while place.position < stop.position {
            match self.read_batch(place.position, place.offset) {
                Ok((header, _)) => place = place.behind(&header),
                Err(Error::Corrupt { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let fits = match (place.offset, stop.offset) {
            (Some(found), Some(wanted)) => found == wanted || (self.has_gaps() && found < wanted),
            _ => true,
        };
        Ok(place.position == stop.position && fits)
    }
}

/// Where headers could start, going by their magic byte: it rules out nearly every position, most of
/// them many at a time.
fn possible_starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const BLOCK: usize = 64;
    let magics = &bytes[MAGIC_AT..=bytes.len() - HEADER_LEN + MAGIC_AT];
    let blocks = magics.chunks(BLOCK).zip((0..).step_by(BLOCK));
    blocks
        .filter(|(block, _)| {
            block
                .iter()
                .fold(0, |found, byte| found | u8::from(*byte == MAGIC))
                > 0
        })
        .flat_map(|(block, start)| {
            let found = block.iter().zip(start..);
            found.filter_map(|(byte, at)| (*byte == MAGIC).then_some(at))
        })
}

/// Where a batch's magic byte is, and what it has to be.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;
