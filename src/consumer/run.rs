//! A run: consecutive records of one partition, decoded as they are looked at.
//!
//! A run begins with one fetched batch. Making it decompresses and checks the whole batch, so that
//! walking it afterwards cannot fail. Batches that lie behind it in the same map are taken in without
//! a run of their own ([`RecordRun::extend`]): a log of single-record batches is then a few long runs.
//! Invariants:
//! * The bytes `at..end` hold `left` well-formed records: those of the current batch up to
//!   `batch_end`, then whole batches with their headers. Only the last batch may be cut, between two
//!   records.
//! * All batches have the leader epoch of the first.
//! * The bytes live as long as the run (or any clone), whatever becomes of the segment, the topic or
//!   the broker: a run shares the map it shows, or owns what it decompressed.
//!
//! Elsewhere: how a record's bytes are laid out (`format::record`), which batch comes next
//! ([`fetch`](super::fetch)), what users see ([`records`](super::records)).

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use super::records::ConsumerRecord;
use crate::disk::MappedBytes;
use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::compression::{Codec, DecompressError, MAX_DECOMPRESSED_BYTES, decompress};
use crate::format::record::{RecordView, check_records, skip_record, take_record};
use crate::partition::{FetchedBatch, Peeked};
use crate::record::{Offset, Timestamp, TopicPartition};

/// See the module's description. Cloning costs two reference counts.
#[derive(Debug, Clone)]
pub(crate) struct RecordRun {
    partition: TopicPartition,
    bytes: RunBytes,
    /// Where the next record starts, or its batch if that is another one.
    at: usize,
    /// Where the current batch ends, if it is not cut: the next one's header follows.
    batch_end: usize,
    /// Where the last record ends.
    end: usize,
    /// How many records there are in `at..end`.
    left: usize,
    /// Of the current batch.
    stamp: BatchStamp,
    /// The offset to go on from after the last record: one past its batch's last offset, which
    /// compaction may have taken; the next record's, if the batch is cut.
    end_offset: Offset,
}

/// What the records of a batch have in common.
#[derive(Debug, Clone, Copy)]
struct BatchStamp {
    base_offset: Offset,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    timestamp_type: TimestampType,
    leader_epoch: i32,
}

#[derive(Debug, Clone)]
enum RunBytes {
    /// A whole batch, header included, where it lies in the log.
    Mapped(MappedBytes),
    /// A copy of a batch, or the records of one that was compressed.
    Owned(Arc<Vec<u8>>),
}

impl Deref for RunBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl RecordRun {
    /// All records of a batch, a control batch included.
    pub(crate) fn new(partition: &TopicPartition, batch: FetchedBatch) -> Result<Self> {
        let FetchedBatch { header, bytes, .. } = batch;
        let (bytes, at) = match header.attributes.compression() {
            Codec::None => (RunBytes::Mapped(bytes), HEADER_LEN),
            codec => (decompressed(partition, codec, &header, &bytes)?, 0),
        };
        Self::checked(partition, &header, bytes, at)
    }

    /// As [`new`](Self::new), of a batch that may go away: uncompressed records are copied too.
    pub(crate) fn copied(
        partition: &TopicPartition,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Self> {
        let (bytes, at) = match header.attributes.compression() {
            Codec::None => (RunBytes::Owned(Arc::new(batch.to_vec())), HEADER_LEN),
            codec => (decompressed(partition, codec, header, batch)?, 0),
        };
        Self::checked(partition, header, bytes, at)
    }

    /// A run over the records from `at` on, once all of them are well-formed.
    fn checked(
        partition: &TopicPartition,
        header: &BatchHeader,
        bytes: RunBytes,
        at: usize,
    ) -> Result<Self> {
        check_records(bytes.get(at..).unwrap_or_default(), header)
            .map_err(|invalid| corrupt(partition, header, at + invalid.at, invalid.reason))?;
        Ok(Self {
            partition: partition.clone(),
            batch_end: bytes.len(),
            end: bytes.len(),
            bytes,
            at,
            left: usize::try_from(header.records_count).unwrap_or(0),
            stamp: BatchStamp::of(header),
            end_offset: header.next_offset(),
        })
    }

    /// Takes in the batch that lies right behind the run, records checked; false, and nothing has
    /// changed, if it has to be fetched by itself.
    #[inline]
    pub(crate) fn extend(&mut self, next: &Peeked<'_>) -> bool {
        let header = &next.header;
        let is_plain = header.attributes.compression() == Codec::None
            && !header.attributes.is_control()
            && header.records_count > 0
            && header.leader_epoch == self.stamp.leader_epoch;
        let RunBytes::Mapped(bytes) = &mut self.bytes else {
            return false;
        };
        // A run that is cut ends inside a batch: nothing lies behind it.
        if !is_plain || bytes.len() != self.end {
            return false;
        }
        let records = next.batch.get(HEADER_LEN..).unwrap_or_default();
        if check_records(records, header).is_err()
            || !bytes.extend(next.shown, next.at, next.batch.len())
        {
            return false;
        }
        self.end += next.batch.len();
        self.left += usize::try_from(header.records_count).unwrap_or(0);
        self.end_offset = header.next_offset();
        true
    }

    /// How many records are left.
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(crate) fn leader_epoch(&self) -> i32 {
        self.stamp.leader_epoch
    }

    /// Bytes that the records take, with the headers between them.
    pub(crate) fn byte_len(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// The offset to go on from after the last record, whether or not there is a record with it.
    pub(crate) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// The offset to go on from: that of the next record, or behind the run if there is none.
    pub(crate) fn next_offset(&self) -> Offset {
        self.iter()
            .next()
            .map_or(self.end_offset, |record| record.offset())
    }

    /// Drops the records below `offset`.
    pub(crate) fn skip_below(&mut self, offset: Offset) {
        if self.stamp.base_offset >= offset {
            return;
        }
        while self.left > 0 && self.next_offset() < offset {
            self.skip(1);
        }
    }

    /// Splits off the first `count` records, or all if there are fewer.
    pub(crate) fn split_to(&mut self, count: usize) -> Self {
        let mut first = self.clone();
        first.left = count.min(self.left);
        self.skip(first.left);
        first.end = self.at;
        first.end_offset = self.next_offset();
        first
    }

    /// Steps over records without decoding them.
    fn skip(&mut self, count: usize) {
        let mut walk = self.iter();
        for _ in 0..count {
            if !walk.step_over() {
                break;
            }
        }
        let (stamp, in_batch, behind) = (walk.stamp, walk.records.len(), walk.behind.len());
        self.stamp = stamp;
        self.at = self.end - behind - in_batch;
        self.batch_end = self.batch_end.max(self.end - behind);
        self.left -= count.min(self.left);
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Option<ConsumerRecord<'_>> {
        self.left = self.left.checked_sub(1)?;
        if self.at == self.batch_end {
            // Rare: a reader's runs are of one batch.
            let behind = self.bytes.get(self.at..self.end)?;
            let (stamp, size) = BatchStamp::parse(behind)?;
            self.stamp = stamp;
            self.batch_end = self.at + size;
            self.at += HEADER_LEN;
        }
        let mut rest = self.bytes.get(self.at..self.batch_end.min(self.end))?;
        let before = rest.len();
        let view = take_record(&mut rest)?;
        self.at += before - rest.len();
        Some(self.stamp.record(&self.partition, view))
    }

    /// The records that are left.
    pub(crate) fn iter(&self) -> RunIter<'_> {
        let bytes = self.bytes.get(self.at..self.end).unwrap_or_default();
        let in_batch = self.batch_end.saturating_sub(self.at).min(bytes.len());
        let (records, behind) = bytes.split_at(in_batch);
        RunIter {
            partition: &self.partition,
            records,
            behind,
            stamp: self.stamp,
        }
    }
}

fn decompressed(
    partition: &TopicPartition,
    codec: Codec,
    header: &BatchHeader,
    batch: &[u8],
) -> Result<RunBytes> {
    let compressed = batch.get(HEADER_LEN..).unwrap_or_default();
    match decompress(codec, compressed, MAX_DECOMPRESSED_BYTES) {
        Ok(records) => Ok(RunBytes::Owned(Arc::new(records))),
        Err(DecompressError::Invalid(reason)) => {
            Err(corrupt(partition, header, HEADER_LEN, reason))
        }
        Err(DecompressError::Unsupported(codec)) => Err(Error::UnsupportedCompression { codec }),
    }
}

/// A batch whose frame and checksum are good, and whose records contradict the format, `at` bytes
/// behind its start (or, if it is compressed, in what it decompresses to).
fn corrupt(partition: &TopicPartition, header: &BatchHeader, at: usize, reason: &str) -> Error {
    let (first, last) = (header.base_offset, header.last_offset());
    let reason = format!("batch of offsets {first} to {last}: {reason}");
    let at = u64::try_from(at).unwrap_or(u64::MAX);
    Error::corrupt(Path::new(&partition.to_string()), at, reason)
        .with_offsets(first..header.next_offset())
}

impl BatchStamp {
    #[inline]
    fn of(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            timestamp_type: header.attributes.timestamp_type(),
            leader_epoch: header.leader_epoch,
        }
    }

    /// The stamp of the batch that `bytes` starts with, and its size. It was parsed before.
    #[inline]
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = BatchHeader::parse(bytes).ok()?;
        Some((Self::of(&header), usize::try_from(header.size).ok()?))
    }

    #[inline]
    fn record<'a>(
        &self,
        partition: &'a TopicPartition,
        view: RecordView<'a>,
    ) -> ConsumerRecord<'a> {
        ConsumerRecord {
            partition,
            offset: self
                .base_offset
                .saturating_add(u64::from(view.offset_delta)),
            timestamp: self.timestamp(view.timestamp_delta),
            timestamp_type: self.timestamp_type,
            leader_epoch: self.leader_epoch,
            key: view.key,
            value: view.value,
            headers: view.headers,
        }
    }

    /// With `LogAppendTime` the deltas still hold what the producer sent, and do not count.
    #[inline]
    fn timestamp(&self, delta: i64) -> Timestamp {
        match self.timestamp_type {
            TimestampType::CreateTime => self.base_timestamp.saturating_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

/// Iterates over the records of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunIter<'a> {
    partition: &'a TopicPartition,
    /// Those of the current batch that are left.
    records: &'a [u8],
    /// The batches behind it.
    behind: &'a [u8],
    stamp: BatchStamp,
}

impl RunIter<'_> {
    /// Goes on to the next batch; false if there is none.
    #[inline]
    fn enter_next_batch(&mut self) -> bool {
        // They were checked when the run took them in: that there are none is the one way to fail.
        let Some((stamp, size)) = BatchStamp::parse(self.behind) else {
            return false;
        };
        let (batch, behind) = self.behind.split_at(size.min(self.behind.len()));
        self.stamp = stamp;
        self.records = batch.get(HEADER_LEN..).unwrap_or_default();
        self.behind = behind;
        true
    }

    /// Steps over one record; false if there is none.
    fn step_over(&mut self) -> bool {
        (!self.records.is_empty() || self.enter_next_batch())
            && skip_record(&mut self.records).is_some()
    }
}

impl<'a> Iterator for RunIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.records.is_empty() && !self.enter_next_batch() {
            return None;
        }
        // The run was checked as a whole: this does not fail.
        let view = take_record(&mut self.records)?;
        Some(self.stamp.record(self.partition, view))
    }
}
