//! Record batch v2: the 61-byte header, views of whole batches, and edits in place.

use std::fmt;
use std::str::FromStr;

use super::compression::Codec;
use super::{Invalid, Parsed};
use crate::Error;

mod builder;

pub(crate) use builder::{BatchBuilder, ProducerStamp};

/// Bytes before the records.
pub(crate) const HEADER_LEN: usize = 61;
/// Base offset and batch length: what must be read to find the next batch.
pub(crate) const FRAME_LEN: usize = 12;
/// Bytes that the CRC leaves out, the CRC itself among them.
pub(crate) const UNPROTECTED_LEN: usize = 21;

/// Whose clock a record's timestamp comes from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampType {
    /// The producer's: each record keeps the time it was sent with. The default.
    #[default]
    CreateTime,
    /// The log's: each record reports the time its batch was appended, whatever the producer gave.
    LogAppendTime,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for TimestampType {
    type Err = Error;

    fn from_str(_name: &str) -> Result<Self, Error> {
        todo!()
    }
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes(i16);

impl Attributes {
    pub(crate) fn compression(self) -> Codec {
        todo!()
    }
    pub(crate) fn timestamp_type(self) -> TimestampType {
        todo!()
    }
    pub(crate) fn is_transactional(self) -> bool {
        todo!()
    }
    pub(crate) fn is_control(self) -> bool {
        todo!()
    }
    pub(crate) fn has_delete_horizon(self) -> bool {
        todo!()
    }
    pub(crate) fn raw(self) -> i16 {
        self.0
    }
}

/// The 61 bytes before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: u64,
    /// The whole batch, in bytes.
    pub(crate) size: u32,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: Attributes,
    pub(crate) last_offset_delta: u32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) records_count: u32,
}

impl BatchHeader {
    pub(crate) fn parse(_bytes: &[u8]) -> Parsed<Self> {
        todo!()
    }
    pub(crate) fn last_offset(&self) -> u64 {
        todo!()
    }
    pub(crate) fn next_offset(&self) -> u64 {
        todo!()
    }
    pub(crate) fn last_sequence(&self) -> i32 {
        todo!()
    }
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        todo!()
    }
}

/// Size of the whole batch that starts with these bytes, from the first [`FRAME_LEN`] of them.
pub(crate) fn batch_size(_first_bytes: &[u8]) -> Parsed<usize> {
    Err(Invalid {
        at: 0,
        reason: "todo",
    })
}

/// A parsed header and exactly the batch's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    pub(crate) fn parse(_bytes: &'a [u8]) -> Parsed<Self> {
        todo!()
    }
    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
    pub(crate) fn records_bytes(&self) -> &'a [u8] {
        todo!()
    }
    pub(crate) fn check_crc(&self) -> Parsed<()> {
        todo!()
    }
}

pub(crate) fn set_base_offset(_batch: &mut [u8], _base_offset: u64) {
    todo!()
}

pub(crate) fn set_leader_epoch(_batch: &mut [u8], _leader_epoch: i32) {
    todo!()
}

pub(crate) fn set_log_append_time(_batch: &mut [u8], _now: i64) {
    todo!()
}
