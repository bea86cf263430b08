//! What compaction leaves of a batch: some of its records, each at its offset, or only the header.
//!
//! A batch that loses nothing stays as it is, byte for byte. Another keeps its offsets, producer,
//! sequence, epoch, timestamp type and codec. Its base timestamp becomes that of the first record that is
//! left or, from the first time a tombstone is left in it, the *delete horizon* (KIP-534): the time from
//! which on a later compaction may drop the tombstones.
//!
//! Elsewhere: which records are kept (`log::compaction`).

use super::{Attributes, BatchHeader, BatchView, HEADER_LEN};
use crate::format::compression::{Codec, DecompressError, Levels, compress_at, decompress};
use crate::format::record::{RecordView, check_records, take_record};
use crate::format::varint::{
    length_size, take_length, take_varlong, varlong_size, write_length, write_varlong,
};
use crate::format::{Invalid, Parsed};
use crate::{Error, Result};

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Retained<'a> {
    /// All of it, unchanged.
    Whole,
    /// This batch instead, with so many records.
    Rewritten(&'a [u8], u32),
    /// No record.
    Nothing,
}

/// When the tombstones of a batch may go, if it does not say so yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// In milliseconds, wall clock.
    pub(crate) time: i64,
    /// Set it even if no tombstone is left: the batch is the marker of a transaction of which nothing is.
    pub(crate) always: bool,
}

/// The records of a batch, decompressed to at most `limit` bytes into `buffer` if need be, and
/// well-formed.
pub(crate) fn records_of<'a>(
    batch: &BatchView<'a>,
    limit: usize,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], DecompressError> {
    let records = match batch.header().attributes.compression() {
        Codec::None => batch.records_bytes(),
        codec => {
            *buffer = decompress(codec, batch.records_bytes(), limit)?;
            buffer
        }
    };
    check_records(records, batch.header())
        .map_err(|invalid| DecompressError::Invalid(invalid.reason))?;
    Ok(records)
}

/// Takes records out of batches, in buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Retainer {
    levels: Levels,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

/// A record that stays, without what changes with its batch.
#[derive(Debug, Clone, Copy)]
struct Kept<'a> {
    timestamp_delta: i64,
    offset_delta: u32,
    /// Key, value and headers, as they are.
    tail: &'a [u8],
}

impl Retainer {
    /// Batches stay in their codec, at these levels.
    pub(crate) fn at(levels: Levels) -> Self {
        Self {
            levels,
            ..Self::default()
        }
    }

    /// Keeps those records that `keep` wants, which is told the offset of each. `records` are those of
    /// [`records_of`].
    ///
    /// # Errors
    /// `UnsupportedCompression` if the batch's codec is compiled out, `IllegalState` if it would become
    /// larger than the format allows.
    pub(crate) fn retain(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        horizon: Horizon,
        mut keep: impl FnMut(u64, &RecordView<'_>) -> bool,
    ) -> Result<Retained<'_>> {
        let (mut kept, mut has_tombstone) = (Vec::new(), false);
        let mut rest = records;
        while !rest.is_empty() {
            let before = rest;
            let (record, raw) = take_record(&mut rest)
                .and_then(|record| Some((record, Kept::of(before)?)))
                .ok_or(Error::IllegalState(
                    "records that were checked are not good",
                ))?;
            if keep(header.base_offset + u64::from(record.offset_delta), &record) {
                has_tombstone |= record.value.is_none();
                kept.push(raw);
            }
        }
        let count = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        let gets_horizon =
            !header.attributes.has_delete_horizon() && (has_tombstone || horizon.always);
        let Some(first) = kept.first() else {
            return Ok(Retained::Nothing);
        };
        if count == header.records_count && !gets_horizon {
            return Ok(Retained::Whole);
        }
        let mut attributes = header.attributes;
        let base_timestamp = if attributes.has_delete_horizon() {
            header.base_timestamp
        } else if gets_horizon {
            attributes = attributes.with_delete_horizon();
            horizon.time
        } else {
            header.base_timestamp.wrapping_add(first.timestamp_delta)
        };
        let header = BatchHeader {
            attributes,
            records_count: count,
            max_timestamp: max_timestamp(header, &kept),
            ..*header
        };
        let batch = self.write(&header, base_timestamp, &kept)?;
        Ok(Retained::Rewritten(batch, count))
    }

    /// `header` still has the base timestamp that the records' deltas count from.
    fn write(
        &mut self,
        header: &BatchHeader,
        base_timestamp: i64,
        kept: &[Kept<'_>],
    ) -> Result<&[u8]> {
        self.plain.clear();
        self.plain.resize(HEADER_LEN, 0);
        for record in kept {
            let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
            let moved = Kept {
                timestamp_delta: timestamp.wrapping_sub(base_timestamp),
                ..*record
            };
            moved.write(&mut self.plain);
        }
        let codec = header.attributes.compression();
        let batch = if codec == Codec::None {
            &mut self.plain
        } else {
            self.compressed.clear();
            self.compressed.resize(HEADER_LEN, 0);
            compress_at(
                self.levels,
                codec,
                &self.plain[HEADER_LEN..],
                &mut self.compressed,
            )?;
            &mut self.compressed
        };
        let size = i32::try_from(batch.len())
            .ok()
            .and_then(|size| u32::try_from(size).ok())
            .ok_or(Error::IllegalState("a batch cannot exceed 2 GiB"))?;
        BatchHeader {
            size,
            base_timestamp,
            ..*header
        }
        .write_over(batch);
        Ok(batch)
    }
}

/// The largest of the records', unless the log set it.
fn max_timestamp(header: &BatchHeader, kept: &[Kept<'_>]) -> i64 {
    if header.attributes.has(Attributes::LOG_APPEND_TIME) {
        return header.max_timestamp;
    }
    kept.iter()
        .map(|record| header.base_timestamp.wrapping_add(record.timestamp_delta))
        .max()
        .unwrap_or(header.max_timestamp)
}

/// Of a batch without records.
const EMPTY_SIZE: u32 = 61;

const _: () = assert!(EMPTY_SIZE as usize == HEADER_LEN);

/// A batch without records in place of one with this header: it holds its offsets, and its producer's
/// last sequence number.
pub(crate) fn emptied(header: &BatchHeader) -> [u8; HEADER_LEN] {
    let mut batch = [0; HEADER_LEN];
    BatchHeader {
        size: EMPTY_SIZE,
        attributes: header
            .attributes
            .with_codec(Codec::None)
            .without_delete_horizon(),
        base_timestamp: -1,
        records_count: 0,
        ..*header
    }
    .write_over(&mut batch);
    batch
}

impl<'a> Kept<'a> {
    /// The record at the front of `bytes`.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let length = usize::try_from(take_length(&mut rest)?).ok()?;
        // Behind the attributes.
        let mut tail = rest.get(1..length)?;
        Some(Self {
            timestamp_delta: take_varlong(&mut tail)?,
            offset_delta: take_length(&mut tail)?,
            tail,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let offset_delta = i64::from(self.offset_delta);
        let body =
            1 + varlong_size(self.timestamp_delta) + varlong_size(offset_delta) + self.tail.len();
        let mut at = out.len();
        out.resize(at + length_size(body) + body, 0);
        write_length(out, &mut at, body);
        // The attributes.
        at += 1;
        write_varlong(out, &mut at, self.timestamp_delta);
        write_varlong(out, &mut at, offset_delta);
        out[at..].copy_from_slice(self.tail);
    }
}

/// Reads every record of `records`, which are those of a good batch.
pub(crate) fn each_record(
    header: &BatchHeader,
    records: &[u8],
    mut see: impl FnMut(u64, &RecordView<'_>),
) -> Parsed<()> {
    let mut rest = records;
    while !rest.is_empty() {
        let at = records.len() - rest.len();
        let record = take_record(&mut rest).ok_or(Invalid {
            at,
            reason: "records that were checked are not good",
        })?;
        see(header.base_offset + u64::from(record.offset_delta), &record);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
