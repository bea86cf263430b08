//! Record batch v2: the 61-byte header, views of whole batches, and edits in place.
//!
//! | at | size | field | |
//! |---|---|---|---|
//! | 0 | 8 | base offset | set by the log; outside the CRC, like all up to byte 21 |
//! | 8 | 4 | batch length | bytes after this field: the whole batch is 12 more |
//! | 12 | 4 | leader epoch | set by the log; -1 is none |
//! | 16 | 1 | magic | 2 |
//! | 17 | 4 | CRC-32C | of all bytes from 21 on |
//! | 21 | 2 | attributes | [`Attributes`] |
//! | 23 | 4 | last offset delta | kept when compaction removes records |
//! | 27 | 8 | base timestamp | what the records' deltas count from; the delete horizon if the bit says so |
//! | 35 | 8 | max timestamp | of all records; the time of the append with `LogAppendTime` |
//! | 43 | 8 | producer id | -1 is none |
//! | 51 | 2 | producer epoch | -1 is none |
//! | 53 | 4 | base sequence | -1 is none |
//! | 57 | 4 | records count | of those present, may be 0 after compaction |
//! | 61 | | records | back to back, or one compressed stream |
//!
//! A header that parses has a size, count and last offset delta that are not negative and offsets
//! that fit an `i64`. It says nothing about the records: that takes [`BatchView::check_crc`], and
//! [`check_records`](super::record::check_records) after decompression.
//!
//! Elsewhere: building batches (`builder`), the records section (`record`), codecs (`compression`).

use std::fmt;
use std::str::FromStr;

use super::crc::crc32c;
use super::{Invalid, Parsed};
use crate::Error;

mod attributes;
mod builder;
pub(crate) mod retain;
#[cfg(test)]
mod tests;

pub(crate) use attributes::Attributes;
pub(crate) use builder::{BatchBuilder, ProducerStamp};

/// Bytes before the records.
pub(crate) const HEADER_LEN: usize = 61;
/// Base offset and batch length: what must be read to find the next batch.
pub(crate) const FRAME_LEN: usize = 12;
/// Bytes that the CRC leaves out, the CRC itself among them.
pub(crate) const UNPROTECTED_LEN: usize = 21;
/// The only magic byte that is read or written. 0 and 1 are formats that Kafka 4 dropped.
const MAGIC: u8 = 2;
/// Where a batch has its magic byte.
pub(crate) const MAGIC_AT: usize = at::MAGIC;
/// And its last offset delta.
pub(crate) const LAST_OFFSET_DELTA: std::ops::Range<usize> =
    at::LAST_OFFSET_DELTA..at::BASE_TIMESTAMP;
/// The batch length counts neither itself nor the base offset.
const NOT_IN_LENGTH: u32 = 12;

/// Where each field starts.
mod at {
    pub(super) const BASE_OFFSET: usize = 0;
    pub(super) const LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const RECORDS_COUNT: usize = 57;
}

const _: () = assert!(at::RECORDS_COUNT + 4 == HEADER_LEN);
const _: () = assert!(FRAME_LEN == NOT_IN_LENGTH as usize);
const _: () = assert!(at::LENGTH + 4 == FRAME_LEN && at::CRC + 4 == UNPROTECTED_LEN);

/// Whose clock a record's timestamp comes from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampType {
    /// The producer's: each record keeps the timestamp it was sent with. The default.
    #[default]
    CreateTime,
    /// The log's: each record reports the time its batch was appended, whatever the producer gave.
    LogAppendTime,
}

/// Kafka's name, as configurations spell it: `CreateTime`, `LogAppendTime`.
impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        })
    }
}

/// Accepts what `Display` writes. Anything else is [`Error::InvalidConfig`].
impl FromStr for TimestampType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "CreateTime" => Ok(Self::CreateTime),
            "LogAppendTime" => Ok(Self::LogAppendTime),
            _ => Err(Error::InvalidConfig {
                key: "message.timestamp.type".to_owned(),
                value: name.to_owned(),
                reason: "must be CreateTime or LogAppendTime".to_owned(),
            }),
        }
    }
}

/// The 61 bytes before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Offset of the first record as first written; compaction keeps it even if that record is gone.
    pub(crate) base_offset: u64,
    /// The whole batch, in bytes: what to add to its position to find the next one.
    pub(crate) size: u32,
    /// -1 is none.
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: Attributes,
    /// Also the last sequence delta. At most `i32::MAX`.
    pub(crate) last_offset_delta: u32,
    /// What the records' timestamp deltas count from: the first record's timestamp, or the delete horizon.
    pub(crate) base_timestamp: i64,
    /// The largest timestamp, or the time of the append. It stays when compaction empties a batch.
    pub(crate) max_timestamp: i64,
    /// -1 is none.
    pub(crate) producer_id: i64,
    /// -1 is none.
    pub(crate) producer_epoch: i16,
    /// -1 is none, also in control batches.
    pub(crate) base_sequence: i32,
    /// Records that are present: less than the offsets spanned after compaction, and maybe 0.
    pub(crate) records_count: u32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let header = header_bytes(bytes)?;
        if header[at::MAGIC] != MAGIC {
            return Err(Invalid {
                at: at::MAGIC,
                reason: "magic byte is not 2",
            });
        }
        let size = u32::try_from(batch_size(header)?).map_err(|_| Invalid {
            at: at::LENGTH,
            reason: "batch length exceeds 32 bits",
        })?;
        let attributes = Attributes::parse(i16::from_be_bytes(field(header, at::ATTRIBUTES)))
            .ok_or(Invalid {
                at: at::ATTRIBUTES,
                reason: "unknown codec",
            })?;
        let last_offset_delta = not_negative(
            header,
            at::LAST_OFFSET_DELTA,
            "last offset delta is negative",
        )?;
        let base_offset = i64::from_be_bytes(field(header, at::BASE_OFFSET));
        // The next offset must fit as well: `next_offset` cannot overflow.
        if base_offset < 0
            || base_offset
                .checked_add(i64::from(last_offset_delta) + 1)
                .is_none()
        {
            return Err(Invalid {
                at: at::BASE_OFFSET,
                reason: "base offset is negative or too large",
            });
        }
        Ok(Self {
            base_offset: base_offset.cast_unsigned(),
            size,
            leader_epoch: i32::from_be_bytes(field(header, at::LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(header, at::CRC)),
            attributes,
            last_offset_delta,
            base_timestamp: i64::from_be_bytes(field(header, at::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, at::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, at::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, at::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, at::BASE_SEQUENCE)),
            records_count: not_negative(header, at::RECORDS_COUNT, "records count is negative")?,
        })
    }

    /// Offset of the last record as first written.
    pub(crate) fn last_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last_offset_delta)
    }

    /// Where the log goes on. Readers advance to here by the header, never by the records: the last
    /// ones may have been compacted away.
    pub(crate) fn next_offset(&self) -> u64 {
        self.last_offset() + 1
    }

    /// Sequence number of the last record as first written; 0 follows `i32::MAX`, and -1 stays -1.
    pub(crate) fn last_sequence(&self) -> i32 {
        match u32::try_from(self.base_sequence) {
            // Two values of 31 bits: the sum has 32, and losing the top one is the wrap.
            Ok(base) => ((base + self.last_offset_delta) & i32::MAX.cast_unsigned()).cast_signed(),
            Err(_) => -1,
        }
    }

    /// From this time on, in milliseconds, compaction may drop the batch's tombstones.
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    /// Writes the header over the start of `batch`, which is otherwise complete and `size` bytes
    /// long, with its CRC. The field `crc` is not looked at.
    pub(super) fn write_over(&self, batch: &mut [u8]) {
        debug_assert_eq!(usize::try_from(self.size), Ok(batch.len()));
        // Its length is checked here, once for all fields.
        let header = &mut batch[..HEADER_LEN];
        put(header, at::BASE_OFFSET, self.base_offset.to_be_bytes());
        put(
            header,
            at::LENGTH,
            self.size.saturating_sub(NOT_IN_LENGTH).to_be_bytes(),
        );
        put(header, at::LEADER_EPOCH, self.leader_epoch.to_be_bytes());
        put(header, at::MAGIC, [MAGIC]);
        put(header, at::ATTRIBUTES, self.attributes.raw().to_be_bytes());
        put(
            header,
            at::LAST_OFFSET_DELTA,
            self.last_offset_delta.to_be_bytes(),
        );
        put(
            header,
            at::BASE_TIMESTAMP,
            self.base_timestamp.to_be_bytes(),
        );
        put(header, at::MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(header, at::PRODUCER_ID, self.producer_id.to_be_bytes());
        put(
            header,
            at::PRODUCER_EPOCH,
            self.producer_epoch.to_be_bytes(),
        );
        put(header, at::BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(header, at::RECORDS_COUNT, self.records_count.to_be_bytes());
        set_crc(batch);
    }
}

/// Size of the whole batch that starts with these bytes, from the first [`FRAME_LEN`] of them. It is
/// at least [`HEADER_LEN`]; whether so many bytes follow is for the caller to see.
#[inline]
pub(crate) fn batch_size(first_bytes: &[u8]) -> Parsed<usize> {
    let frame: &[u8; FRAME_LEN] = first_bytes.first_chunk().ok_or(Invalid {
        at: first_bytes.len(),
        reason: "bytes end before the batch length",
    })?;
    let [.., a, b, c, d] = *frame;
    usize::try_from(i32::from_be_bytes([a, b, c, d]))
        .map(|length| length.saturating_add(FRAME_LEN))
        .ok()
        .filter(|&size| size >= HEADER_LEN)
        .ok_or(Invalid {
            at: at::LENGTH,
            reason: "batch length is negative or shorter than a header",
        })
}

/// A parsed header and exactly the batch's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Takes the batch that `bytes` starts with; more may follow it. Does not check the CRC.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Parsed<Self> {
        let header = BatchHeader::parse(bytes)?;
        let batch = usize::try_from(header.size)
            .ok()
            .and_then(|size| bytes.get(..size));
        match batch {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(Invalid {
                at: bytes.len(),
                reason: "bytes end inside a batch",
            }),
        }
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: records, or one stream of the codec that the attributes name.
    pub(crate) fn records_bytes(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    #[inline]
    pub(crate) fn check_crc(&self) -> Parsed<()> {
        if crc32c(&self.bytes[UNPROTECTED_LEN..]) == self.header.crc {
            Ok(())
        } else {
            Err(Invalid {
                at: at::CRC,
                reason: "CRC does not match",
            })
        }
    }
}

/// Gives a whole batch its place in the log. Outside the CRC. Panics if `batch` is not a batch.
pub(crate) fn set_base_offset(batch: &mut [u8], base_offset: u64) {
    put(batch, at::BASE_OFFSET, base_offset.to_be_bytes());
}

/// Gives a whole batch the log's epoch. Outside the CRC. Panics if `batch` is not a batch.
pub(crate) fn set_leader_epoch(batch: &mut [u8], leader_epoch: i32) {
    put(batch, at::LEADER_EPOCH, leader_epoch.to_be_bytes());
}

/// Makes `now` the timestamp of every record of a whole batch: timestamp type `LogAppendTime`, max
/// timestamp `now`, and the CRC computed anew. The records' deltas keep what the producer sent.
/// Panics if `batch` is not a batch.
pub(crate) fn set_log_append_time(batch: &mut [u8], now: i64) {
    let raw = i16::from_be_bytes([batch[at::ATTRIBUTES], batch[at::ATTRIBUTES + 1]]);
    put(
        batch,
        at::ATTRIBUTES,
        (raw | Attributes::LOG_APPEND_TIME).to_be_bytes(),
    );
    put(batch, at::MAX_TIMESTAMP, now.to_be_bytes());
    set_crc(batch);
}

fn set_crc(batch: &mut [u8]) {
    let crc = crc32c(&batch[UNPROTECTED_LEN..]);
    put(batch, at::CRC, crc.to_be_bytes());
}

#[inline]
fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    batch[at..at + N].copy_from_slice(&value);
}

#[inline]
fn header_bytes(bytes: &[u8]) -> Parsed<&[u8; HEADER_LEN]> {
    bytes.first_chunk().ok_or(Invalid {
        at: bytes.len(),
        reason: "bytes end inside a batch header",
    })
}

#[inline]
fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&header[at..at + N]);
    value
}

#[inline]
fn not_negative(header: &[u8; HEADER_LEN], at: usize, reason: &'static str) -> Parsed<u32> {
    u32::try_from(i32::from_be_bytes(field(header, at))).map_err(|_| Invalid { at, reason })
}
