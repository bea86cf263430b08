//! One record batch, as it lies in a file.

use std::path::Path;
use std::sync::Arc;

use crate::consumer::Records;
use crate::consumer::run::RecordRun;
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::compression::Codec;
use crate::format::control::{ControlMarker, MarkerKind};
use crate::format::{Compression, TimestampType};
use crate::record::{Offset, Timestamp, TopicPartition};

/// A record batch of a segment file. Its header fields are as they were found; where
/// [`crc_matches`](Self::crc_matches) is false, any of them may be wrong.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) file: Arc<Path>,
    pub(super) partition: TopicPartition,
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    pub(super) bytes: Vec<u8>,
    pub(super) crc_matches: bool,
}

/// How a transaction ended, as a control batch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Marker {
    /// What the producer wrote since its last marker is valid.
    Commit {
        /// Of the coordinator that wrote the marker.
        coordinator_epoch: i32,
    },
    /// What the producer wrote since its last marker is void.
    Abort {
        /// Of the coordinator that wrote the marker.
        coordinator_epoch: i32,
    },
}

impl Batch {
    /// Where the batch starts in the file, in bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes it takes, header included.
    pub fn size_bytes(&self) -> u32 {
        self.header.size
    }

    /// Offset of the first record, as first written.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// Offset of the last record, as first written: compaction may have taken it.
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// How many records there are.
    pub fn record_count(&self) -> u32 {
        self.header.records_count
    }

    /// The leader epoch under which the batch was appended; -1 is none.
    pub fn leader_epoch(&self) -> i32 {
        self.header.leader_epoch
    }

    /// The producer that wrote it; -1 is none.
    pub fn producer_id(&self) -> i64 {
        self.header.producer_id
    }

    /// The producer's epoch; -1 is none.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// The producer's number for the first record; -1 is none.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }

    /// The producer's number for the last record; -1 is none.
    pub fn last_sequence(&self) -> i32 {
        self.header.last_sequence()
    }

    /// The largest timestamp, in milliseconds since the Unix epoch; -1 is none.
    pub fn max_timestamp(&self) -> Timestamp {
        self.header.max_timestamp
    }

    /// Whose clock the timestamps come from.
    pub fn timestamp_type(&self) -> TimestampType {
        self.header.attributes.timestamp_type()
    }

    /// What the records are compressed with; [`Compression::None`] if they are not.
    pub fn compression(&self) -> Compression {
        match self.header.attributes.compression() {
            Codec::None => Compression::None,
            Codec::Gzip => Compression::Gzip,
            Codec::Snappy => Compression::Snappy,
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd,
        }
    }

    /// True if the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header.attributes.is_transactional()
    }

    /// True if the batch holds a [`marker`](Self::marker) and no data.
    pub fn is_control(&self) -> bool {
        self.header.attributes.is_control()
    }

    /// When compaction may drop the tombstones, in milliseconds since the Unix epoch, if that was
    /// decided.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.header.delete_horizon()
    }

    /// The checksum (CRC-32C) that the header states.
    pub fn crc(&self) -> u32 {
        self.header.crc
    }

    /// Whether the bytes are the ones that the checksum was computed of.
    pub fn crc_matches(&self) -> bool {
        self.crc_matches
    }

    /// The records, decompressed. The record of a control batch is among them.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are not well-formed records (as a rule the checksum tells before);
    /// `UnsupportedCompression` if the codec is compiled out.
    pub fn records(&self) -> Result<Records> {
        let run = RecordRun::copied(&self.partition, &self.header, &self.bytes)
            .map_err(|error| self.in_this_file(error))?;
        let mut records = Records::with_capacity(1);
        records.push(run);
        Ok(records)
    }

    /// What a control batch says; `None` for other batches, and for markers of other kinds.
    ///
    /// # Errors
    /// As [`records`](Self::records).
    pub fn marker(&self) -> Result<Option<Marker>> {
        if !self.is_control() {
            return Ok(None);
        }
        let records = self.records()?;
        let Some(record) = records.iter().next() else {
            return Ok(None);
        };
        let marker = ControlMarker::parse(record.key(), record.value())
            .map_err(|invalid| Error::corrupt(&self.file, self.position, invalid.reason))?;
        Ok(marker.map(|marker| {
            let coordinator_epoch = marker.coordinator_epoch;
            match marker.kind {
                MarkerKind::Commit => Marker::Commit { coordinator_epoch },
                MarkerKind::Abort => Marker::Abort { coordinator_epoch },
            }
        }))
    }

    /// Consumers know the partition and the place in the batch; here it is a file and a place in it.
    fn in_this_file(&self, error: Error) -> Error {
        match error {
            Error::Corrupt {
                position, reason, ..
            } => Error::corrupt(&self.file, self.position.saturating_add(position), reason),
            other => other,
        }
    }
}
