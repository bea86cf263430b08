//! Building a batch record by record, in a buffer that is used again.

use super::{Attributes, BatchHeader, HEADER_LEN};
use crate::format::Compression;
use crate::format::compression::{Codec, Levels, compress_at};
use crate::format::record::Encoding;
use crate::record::Headers;
use crate::{Error, Result};

const NO_TIMESTAMP: i64 = -1;

/// What an idempotent producer adds to a batch, so that the log can tell repeats and gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Sequence number of the batch's first record.
    pub(crate) base_sequence: i32,
}

impl ProducerStamp {
    /// Not idempotent: nothing is deduplicated.
    pub(crate) const NONE: Self = Self {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    };
}

/// An open batch: push records, finish, write out what `finish` returns, clear, and start again.
///
/// The records are encoded where they will stay; the space of the header is kept free in front of
/// them. Nothing is allocated once the buffers have grown to the usual batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Space for the header, then the records pushed so far, up to `end`; then room for more. The
    /// room is zeroed when it is made, so that a push is checked once and then only copies.
    plain: Vec<u8>,
    end: usize,
    /// The same compressed, filled by `finish`.
    compressed: Vec<u8>,
    codec: Codec,
    levels: Levels,
    count: u32,
    next_offset_delta: u32,
    /// Of the first record, unless it was set before.
    base_timestamp: Option<i64>,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// Takes `capacity` bytes at once. [`Compression::Producer`] means no compression here; levels are
    /// the defaults.
    pub(crate) fn new(capacity: usize, compression: Compression) -> Self {
        Self::with_levels(capacity, compression, Levels::default())
    }

    /// As [`Self::new`], with levels.
    pub(crate) fn with_levels(capacity: usize, compression: Compression, levels: Levels) -> Self {
        Self {
            plain: vec![0; capacity.max(HEADER_LEN)],
            end: HEADER_LEN,
            compressed: Vec::new(),
            codec: compression.codec().unwrap_or(Codec::None),
            levels,
            count: 0,
            next_offset_delta: 0,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the batch so far, header included, before compression. `finish` never returns more.
    pub(crate) fn size(&self) -> usize {
        self.end
    }

    /// The record as [`push_encoding`](Self::push_encoding) would add it now. It holds until something
    /// is pushed or cleared.
    #[inline]
    pub(crate) fn encoding<'a>(
        &self,
        timestamp: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a Headers<'a>,
    ) -> Encoding<'a> {
        self.encoding_at(self.next_offset_delta, timestamp, key, value, headers)
    }

    #[inline]
    fn encoding_at<'a>(
        &self,
        offset_delta: u32,
        timestamp: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a Headers<'a>,
    ) -> Encoding<'a> {
        // Wrapping, as in the reader: any two timestamps survive, though none this far apart is sent.
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp.unwrap_or(timestamp));
        Encoding::new(offset_delta, timestamp_delta, key, value, headers)
    }

    /// Adds a record at the next offset. The caller has compared sizes with its limits.
    #[inline]
    pub(crate) fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &Headers<'_>,
    ) {
        self.push_at(self.next_offset_delta, timestamp, key, value, headers);
    }

    /// Adds a record that keeps its place in a batch with gaps, as compaction leaves them.
    /// Deltas must rise.
    #[inline]
    pub(crate) fn push_at(
        &mut self,
        offset_delta: u32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &Headers<'_>,
    ) {
        let record = self.encoding_at(offset_delta, timestamp, key, value, headers);
        self.push_encoding(timestamp, &record);
    }

    /// Adds a record that was measured before, and saves doing that again. `timestamp` is the one
    /// that it was measured with.
    #[inline]
    pub(crate) fn push_encoding(&mut self, timestamp: i64, record: &Encoding<'_>) {
        debug_assert!(
            record.offset_delta() >= self.next_offset_delta,
            "offset deltas must rise"
        );
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        debug_assert_eq!(
            record.timestamp_delta(),
            timestamp.wrapping_sub(base_timestamp),
            "measured for another place"
        );
        let end = self.end + record.size();
        if end > self.plain.len() {
            self.grow(end);
        }
        record.write(&mut self.plain[self.end..end]);
        self.end = end;
        self.max_timestamp = if self.count == 0 {
            timestamp
        } else {
            self.max_timestamp.max(timestamp)
        };
        self.count += 1;
        self.next_offset_delta = record.offset_delta().saturating_add(1);
    }

    /// Makes room up to `end`, and as much again: batches grow to their usual size in few steps.
    #[cold]
    fn grow(&mut self, end: usize) {
        let room = self.plain.len().saturating_mul(2).max(end);
        self.plain.resize(room, 0);
    }

    /// Makes deltas count from `base_timestamp` and not from the first record, for a batch with a
    /// delete horizon. Call it before the first push.
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn set_base_timestamp(&mut self, base_timestamp: i64) {
        debug_assert!(self.is_empty(), "deltas were written against another base");
        self.base_timestamp = Some(base_timestamp);
    }

    /// Completes the batch with base offset 0 and leader epoch -1, which are the log's to set, and
    /// returns its bytes. They stay uncompressed if compression does not make them fewer.
    ///
    /// [`Error::UnsupportedCompression`] if the codec is compiled out; [`Error::IllegalState`] if the
    /// batch is beyond the format's 2 GiB.
    pub(crate) fn finish(
        &mut self,
        stamp: ProducerStamp,
        transactional: bool,
    ) -> Result<&mut [u8], Error> {
        self.seal(BatchHeader {
            base_offset: 0,
            size: 0,
            leader_epoch: -1,
            crc: 0,
            attributes: Attributes::PLAIN.with_transactional(transactional),
            last_offset_delta: self.next_offset_delta.saturating_sub(1),
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            records_count: self.count,
        })
    }

    /// Completes the batch in place of `original`, from which the records came: in another codec, or
    /// with some of them left out. Offsets, epochs, producer, attributes and, if nothing is left or
    /// the log set it, the max timestamp stay those of `original`. Errors as for `finish`.
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn finish_as(&mut self, original: &BatchHeader) -> Result<&mut [u8], Error> {
        let keeps_max = self.is_empty() || original.attributes.has(Attributes::LOG_APPEND_TIME);
        self.seal(BatchHeader {
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: if keeps_max {
                original.max_timestamp
            } else {
                self.max_timestamp
            },
            records_count: self.count,
            ..*original
        })
    }

    /// Forgets the records and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.end = HEADER_LEN;
        self.count = 0;
        self.next_offset_delta = 0;
        self.base_timestamp = None;
        self.max_timestamp = NO_TIMESTAMP;
    }

    fn seal(&mut self, header: BatchHeader) -> Result<&mut [u8], Error> {
        let codec = self.compress()?;
        let batch = if codec == Codec::None {
            &mut self.plain[..self.end]
        } else {
            &mut self.compressed[..]
        };
        // Both are 32 bits with a sign in the file, and every record takes more than one byte: the
        // count is in range if the size is.
        let size = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        if i32::try_from(size).is_err() || i32::try_from(header.last_offset_delta).is_err() {
            return Err(Error::IllegalState(
                "a batch cannot exceed 2 GiB or 2^31 offsets",
            ));
        }
        let attributes = header.attributes.with_codec(codec);
        BatchHeader {
            size,
            attributes,
            ..header
        }
        .write_over(batch);
        Ok(batch)
    }

    /// Fills `compressed` if that is worth it, and says in which codec the batch will be.
    fn compress(&mut self) -> Result<Codec> {
        if self.codec == Codec::None || self.is_empty() {
            return Ok(Codec::None);
        }
        self.compressed.clear();
        self.compressed.resize(HEADER_LEN, 0);
        let records = &self.plain[HEADER_LEN..self.end];
        compress_at(self.levels, self.codec, records, &mut self.compressed)?;
        Ok(if self.compressed.len() < self.end {
            self.codec
        } else {
            Codec::None
        })
    }
}
