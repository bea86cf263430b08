//! Reads a whole segment, batch by batch, whatever its state, and says what is good and what is lost.
//!
//! Nothing is taken from memory or believed of side files: bytes in, [`Found`]s out, in the order of the
//! file. A batch is good if its frame, its CRC and all of its records are, and its offsets follow. What is
//! not is stepped over; where the good ones go on behind it is for [`search`] to say.
//!
//! Invariants:
//! * What is found lies in the file in this order, without overlap: every byte is in one batch or one loss.
//! * Offsets only grow, and stay below `end`. Without gaps, each offset below it is found or lost.
//! * What is read at a time is bounded by the length of the file, not by what a length field says.
//!
//! Elsewhere: who looks on without changing anything ([`verify`](super::verify)), who writes what is good
//! anew ([`salvage`](super::salvage)).

mod search;
mod source;

use std::ops::Range;

pub(super) use source::{FileSource, PublishedSource, Source};

use super::epochs::Epochs;
use super::zero_ahead;
use crate::error::Result;
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN, batch_size};
use crate::format::compression::{Codec, DecompressError, MAX_DECOMPRESSED_BYTES, decompress};
use crate::format::index_entry::OffsetIndexEntry;
use crate::format::record::{CheckedRecords, check_records};
use crate::format::{Invalid, Parsed, TimestampType};
use crate::record::Offset;

/// A segment spans no more offsets.
const SEGMENT_OFFSETS: u64 = 1 << 31;

/// What is known of a segment beside its bytes.
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    /// Offset of the first batch.
    pub(super) base: Offset,
    /// Where its offsets end, if that is known: batches lie below.
    pub(super) end: Option<Offset>,
    /// Offsets may be missing.
    pub(super) gaps: bool,
    /// Offsets may be missing, and the digest of all frames does not prove those that are there: a batch
    /// counts only if something else confirms its offset.
    pub(super) unproven: bool,
    /// From its index, if that can be trusted as far as it goes: places where batches start.
    pub(super) entries: &'a [OffsetIndexEntry],
    /// Which epochs were written down; batches of others have a damaged frame.
    pub(super) epochs: &'a Epochs,
    /// It is the last one, whose file may end with zeros that were written ahead.
    pub(super) is_last: bool,
}

/// What is next in a segment.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Batch(FoundBatch<'a>),
    Lost(Loss),
}

/// A good batch.
#[derive(Debug)]
pub(super) struct FoundBatch<'a> {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// The leader epoch that it should have, if it has another one.
    pub(super) right_epoch: Option<i32>,
    /// A record is later than the batch says, so a look-up by time may miss it.
    pub(super) is_late: bool,
}

/// What a look at all of a batch says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    pub(super) header: BatchHeader,
    is_late: bool,
}

/// Bytes that are no batch of this segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Where they lie; empty if it is bytes that are missing.
    pub(super) bytes: Range<u64>,
    /// Offsets that are not there because of it; empty if none is known to be missing.
    pub(super) offsets: Range<Offset>,
    pub(super) reason: &'static str,
}

/// A place where batches go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    position: u64,
    offset: Offset,
}

/// See the module's description.
pub(super) struct Survey<'a> {
    source: &'a dyn Source,
    facts: Facts<'a>,
    /// Bytes in memory, and where in the file they start.
    window: (u64, Vec<u8>),
    len: u64,
}

impl<'a> Survey<'a> {
    pub(super) fn new(source: &'a dyn Source, facts: Facts<'a>) -> Self {
        Self {
            len: source.len(),
            source,
            facts,
            window: (0, Vec::new()),
        }
    }

    /// Shows everything to `see`; returns where the offsets of the segment end.
    pub(super) fn run(&mut self, mut see: impl FnMut(Found<'_>) -> Result<()>) -> Result<Offset> {
        let mut place = Place {
            position: 0,
            offset: self.facts.base,
        };
        // What the batch before says comes next, if one lies right before.
        let mut before = Some(self.facts.base);
        while place.position < self.len {
            match self.batch_at(place)? {
                Ok(Checked { header, .. })
                    if self.facts.unproven && !self.is_confirmed(place, &header, before)? =>
                {
                    before = Some(header.next_offset());
                    let loss = self.unconfirmed(place, &header)?;
                    place.position = loss.bytes.end;
                    see(Found::Lost(loss))?;
                }
                Ok(Checked { header, is_late }) => {
                    let position = place.position;
                    place = behind(place, &header);
                    before = Some(place.offset);
                    let right_epoch = self.right_epoch(&header);
                    let bytes = self.read(position, header.size as usize)?;
                    see(Found::Batch(FoundBatch {
                        position,
                        header,
                        bytes,
                        right_epoch,
                        is_late,
                    }))?;
                }
                Err(_) if self.are_zeros_ahead(place.position)? => break,
                Err(invalid) => {
                    let next = self.find_next(place)?;
                    let end = self.facts.end.unwrap_or(place.offset);
                    let next = next.unwrap_or(Place {
                        position: self.len,
                        offset: end.max(place.offset),
                    });
                    see(Found::Lost(Loss {
                        bytes: place.position..next.position,
                        offsets: place.offset..next.offset,
                        reason: invalid.reason,
                    }))?;
                    place = next;
                    before = None;
                }
            }
        }
        self.see_missing_end(place, see)
    }

    /// True if the offset of a batch is what both the batch before it and the one behind it say, or what
    /// the index says. At a gap only the index can tell.
    fn is_confirmed(
        &mut self,
        place: Place,
        header: &BatchHeader,
        before: Option<Offset>,
    ) -> Result<bool> {
        if self.has_entry(place.position, header.last_offset()) {
            return Ok(true);
        }
        let end = place.position + u64::from(header.size);
        let behind = if end == self.len {
            self.facts.end
        } else {
            let next = self.frame_at(end)?;
            next.ok().map(|next| next.base_offset)
        };
        Ok(before == Some(header.base_offset) && behind == Some(header.next_offset()))
    }

    /// A batch whose offset may be wrong is lost, and takes what may be its own.
    fn unconfirmed(&mut self, place: Place, header: &BatchHeader) -> Result<Loss> {
        let end = place.position + u64::from(header.size);
        let next = self.frame_at(end)?.map(|next| next.base_offset);
        let behind = next.unwrap_or(header.next_offset());
        Ok(Loss {
            bytes: place.position..end,
            offsets: place.offset..behind.max(place.offset),
            reason: "nothing confirms its offset",
        })
    }

    /// Offsets that should be there, and have no bytes.
    fn see_missing_end(
        &self,
        place: Place,
        mut see: impl FnMut(Found<'_>) -> Result<()>,
    ) -> Result<Offset> {
        let Some(end) = self.facts.end.filter(|end| *end > place.offset) else {
            return Ok(place.offset);
        };
        if !self.facts.gaps {
            see(Found::Lost(Loss {
                bytes: self.len..self.len,
                offsets: place.offset..end,
                reason: "the file ends before its records do",
            }))?;
        }
        Ok(end)
    }

    /// The good batch at a place; or what is wrong there.
    fn batch_at(&mut self, place: Place) -> Result<Parsed<Checked>> {
        let header = match self.frame_at(place.position)? {
            Ok(header) => header,
            Err(invalid) => return Ok(Err(invalid)),
        };
        if let Err(invalid) = self.check_offsets(&header, place.offset) {
            return Ok(Err(invalid));
        }
        let bytes = self.read(place.position, header.size as usize)?;
        Ok(check_batch(bytes))
    }

    fn check_offsets(&self, header: &BatchHeader, expected: Offset) -> Parsed<()> {
        let limit = self.offset_limit();
        let found = header.base_offset;
        if found < expected || (found > expected && !self.facts.gaps) {
            return invalid("base offset does not follow the batch before");
        }
        if header.next_offset() > limit {
            return invalid("its offsets are beyond the end of the segment");
        }
        Ok(())
    }

    fn offset_limit(&self) -> Offset {
        let longest = self.facts.base.saturating_add(SEGMENT_OFFSETS);
        self.facts.end.unwrap_or(longest)
    }

    /// A header whose batch lies within the file.
    fn frame_at(&mut self, position: u64) -> Result<Parsed<BatchHeader>> {
        let left = self.len.saturating_sub(position);
        if left < HEADER_LEN as u64 {
            return Ok(invalid("file ends inside a batch header"));
        }
        let bytes = self.read(position, HEADER_LEN)?;
        let is_inside = |size: usize| u64::try_from(size).is_ok_and(|size| size <= left);
        match batch_size(bytes) {
            Ok(size) if is_inside(size) => Ok(BatchHeader::parse(bytes)),
            Ok(_) => Ok(invalid("batch reaches beyond the end of the file")),
            Err(invalid) => Ok(Err(invalid)),
        }
    }

    fn right_epoch(&self, header: &BatchHeader) -> Option<i32> {
        let known = self.facts.epochs.epoch_at(header.base_offset)?;
        (known != header.leader_epoch).then_some(known)
    }

    /// All that is left is zeros, as a log leaves them behind its batches.
    fn are_zeros_ahead(&mut self, position: u64) -> Result<bool> {
        if !self.facts.is_last || !zero_ahead::is_ahead(position, self.len) {
            return Ok(false);
        }
        let left = usize::try_from(self.len - position).unwrap_or(usize::MAX);
        Ok(self.read(position, left)?.iter().all(|byte| *byte == 0))
    }

    /// Bytes from a position on: as many as asked for, or up to the end of the file.
    fn read(&mut self, position: u64, len: usize) -> Result<&[u8]> {
        const CHUNK: usize = 1 << 20;
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let (start, bytes) = &self.window;
        let at = usize::try_from(position.wrapping_sub(*start)).unwrap_or(usize::MAX);
        let is_there = position >= *start && at.saturating_add(len) <= bytes.len();
        if !is_there {
            let mut bytes = std::mem::take(&mut self.window.1);
            self.source
                .read(position, len.max(CHUNK.min(left)), &mut bytes)?;
            self.window = (position, bytes);
        }
        let at = if is_there { at } else { 0 };
        let end = self.window.1.len().min(at + len);
        Ok(&self.window.1[at.min(end)..end])
    }
}

fn behind(place: Place, header: &BatchHeader) -> Place {
    Place {
        position: place.position + u64::from(header.size),
        offset: header.next_offset(),
    }
}

fn invalid<T>(reason: &'static str) -> Parsed<T> {
    Err(Invalid { at: 0, reason })
}

/// Looks at the frame, the CRC and all records of a batch. Records in a codec that is compiled out are
/// believed: their CRC is.
pub(super) fn check_batch(bytes: &[u8]) -> Parsed<Checked> {
    let view = BatchView::parse(bytes)?;
    view.check_crc()?;
    let header = *view.header();
    let is_late = match header.attributes.compression() {
        Codec::None => check_all_records(view.records_bytes(), &header)?,
        codec => match decompress(codec, view.records_bytes(), MAX_DECOMPRESSED_BYTES) {
            Ok(records) => check_all_records(&records, &header)?,
            Err(DecompressError::Unsupported(_)) => false,
            Err(DecompressError::Invalid(reason)) => {
                let at = HEADER_LEN;
                return Err(Invalid { at, reason });
            }
        },
    };
    Ok(Checked { header, is_late })
}

/// True if they are good, and one is later than the batch says.
fn check_all_records(records: &[u8], header: &BatchHeader) -> Parsed<bool> {
    check_records(records, header)?;
    let latest = CheckedRecords::new(records, header.records_count)
        .map(|record| header.base_timestamp.wrapping_add(record.timestamp_delta))
        .max();
    let is_created = header.attributes.timestamp_type() == TimestampType::CreateTime;
    Ok(is_created && latest.is_some_and(|latest| latest > header.max_timestamp))
}
