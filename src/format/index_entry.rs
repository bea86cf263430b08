//! Entries of a segment's three index files: `.index`, `.timeindex`, `.txnindex`.
//!
//! The files are arrays of these entries and nothing else. None has a checksum, so nothing found in
//! one is believed before the log confirmed it; all can be rebuilt from the log.
//!
//! Elsewhere: when an entry is added, and how one is found (`log`).

use super::byte_reader::ByteReader;
use super::{Invalid, Parsed};

/// Of `.index`: where in the segment a batch starts.
///
/// As in Kafka, the offset is the **last** one of the batch and the position its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetIndexEntry {
    /// Last offset of the batch, less the segment's base offset.
    pub(crate) relative_offset: u32,
    /// Byte position of the batch's start in the segment.
    pub(crate) position: u32,
}

impl OffsetIndexEntry {
    /// Size of an entry, in bytes.
    pub(crate) const LEN: usize = 8;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, self.relative_offset.to_be_bytes());
        put(&mut bytes, 4, self.position.to_be_bytes());
        bytes
    }

    /// Fails on negative numbers: both fields are `i32` to Kafka.
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "entries are chunks of a larger slice"
    )]
    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Parsed<Self> {
        let mut reader = ByteReader::new(bytes);
        Ok(Self {
            relative_offset: reader.non_negative_i32("negative relative offset")?,
            position: reader.non_negative_i32("negative position")?,
        })
    }
}

/// Of `.timeindex`: the largest timestamp so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeIndexEntry {
    /// Largest timestamp in the segment up to and with that batch, in milliseconds.
    pub(crate) timestamp: i64,
    /// Last offset of the batch that held this timestamp, less the segment's base offset.
    pub(crate) relative_offset: u32,
}

impl TimeIndexEntry {
    /// Size of an entry, in bytes.
    pub(crate) const LEN: usize = 12;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, self.timestamp.to_be_bytes());
        put(&mut bytes, 8, self.relative_offset.to_be_bytes());
        bytes
    }

    /// Fails on negative numbers: records without a timestamp (-1) get no entry.
    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Parsed<Self> {
        let mut reader = ByteReader::new(bytes);
        let timestamp = reader.i64()?;
        if timestamp < 0 {
            return Err(Invalid {
                at: 0,
                reason: "negative timestamp",
            });
        }
        Ok(Self {
            timestamp,
            relative_offset: reader.non_negative_i32("negative relative offset")?,
        })
    }
}

/// Of `.txnindex`: a transaction whose ABORT marker is in this segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    /// Offset of its first record.
    pub(crate) first_offset: u64,
    /// Offset of its ABORT marker.
    pub(crate) last_offset: u64,
    /// First offset of the earliest transaction of another producer that was open at the marker;
    /// `last_offset + 1` if there was none.
    pub(crate) last_stable_offset: u64,
}

#[allow(dead_code, reason = "for transactions")]
impl AbortedTransaction {
    /// Size of an entry, in bytes.
    pub(crate) const LEN: usize = 34;
    const VERSION: i16 = 0;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        put(&mut bytes, 0, Self::VERSION.to_be_bytes());
        put(&mut bytes, 2, self.producer_id.to_be_bytes());
        put(&mut bytes, 10, self.first_offset.to_be_bytes());
        put(&mut bytes, 18, self.last_offset.to_be_bytes());
        put(&mut bytes, 26, self.last_stable_offset.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Parsed<Self> {
        let mut reader = ByteReader::new(bytes);
        if reader.i16()? != Self::VERSION {
            return Err(Invalid {
                at: 0,
                reason: "unknown version of an aborted transaction",
            });
        }
        let producer_id = reader.i64()?;
        if producer_id < 0 {
            return Err(Invalid {
                at: 2,
                reason: "negative producer id",
            });
        }
        let first_offset = reader.non_negative_i64("negative first offset")?;
        let last_offset = reader.non_negative_i64("negative last offset")?;
        if last_offset < first_offset {
            return Err(Invalid {
                at: 18,
                reason: "aborted transaction ends before it starts",
            });
        }
        let last_stable_offset = reader.non_negative_i64("negative last stable offset")?;
        Ok(Self {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset,
        })
    }
}

/// Copies a field to its place; `at` and the length are constants of the layout.
fn put<const LEN: usize>(bytes: &mut [u8], at: usize, field: [u8; LEN]) {
    bytes[at..at + LEN].copy_from_slice(&field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_entry_is_two_big_endian_integers() {
        let entry = OffsetIndexEntry {
            relative_offset: 0x0102_0304,
            position: 0x0000_1000,
        };
        let bytes = [1, 2, 3, 4, 0, 0, 0x10, 0];
        assert_eq!(entry.encode(), bytes);
        assert_eq!(OffsetIndexEntry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn a_time_entry_is_a_timestamp_and_an_offset() {
        let entry = TimeIndexEntry {
            timestamp: 1_700_000_000_000,
            relative_offset: 99,
        };
        let bytes = [0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0, 0, 0, 99];
        assert_eq!(entry.encode(), bytes);
        assert_eq!(TimeIndexEntry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn an_aborted_transaction_starts_with_its_version() {
        let entry = AbortedTransaction {
            producer_id: 50,
            first_offset: 600,
            last_offset: 605,
            last_stable_offset: 0x0102_0304_0506_0708,
        };
        let mut bytes = [0; AbortedTransaction::LEN];
        bytes[9] = 50;
        bytes[16..18].copy_from_slice(&[0x02, 0x58]);
        bytes[24..26].copy_from_slice(&[0x02, 0x5d]);
        bytes[26..34].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(entry.encode(), bytes);
        assert_eq!(AbortedTransaction::decode(&bytes), Ok(entry));
    }

    #[test]
    fn numbers_that_kafka_would_read_as_negative_are_refused() {
        let negative = [0xff; AbortedTransaction::LEN];
        assert!(OffsetIndexEntry::decode(negative.first_chunk().unwrap()).is_err());
        assert!(TimeIndexEntry::decode(negative.first_chunk().unwrap()).is_err());
        assert!(AbortedTransaction::decode(&negative).is_err());
        assert!(OffsetIndexEntry::decode(&[0, 0, 0, 1, 0x80, 0, 0, 0]).is_err());
        for field in [2, 10, 18, 26] {
            let mut bytes = [0; AbortedTransaction::LEN];
            bytes[field] = 0x80;
            assert!(
                AbortedTransaction::decode(&bytes).is_err(),
                "field at {field}"
            );
        }
    }

    #[test]
    fn an_aborted_transaction_of_another_version_or_out_of_order_is_refused() {
        let mut bytes = [0; AbortedTransaction::LEN];
        assert!(AbortedTransaction::decode(&bytes).is_ok());
        bytes[1] = 1;
        assert_eq!(AbortedTransaction::decode(&bytes).unwrap_err().at, 0);
        bytes[1] = 0;
        bytes[17] = 2; // first offset 2, last offset 0
        assert_eq!(AbortedTransaction::decode(&bytes).unwrap_err().at, 18);
    }

    #[test]
    fn the_extremes_survive_a_round_trip() {
        let top = 0x7fff_ffff;
        let entry = OffsetIndexEntry {
            relative_offset: top,
            position: top,
        };
        assert_eq!(OffsetIndexEntry::decode(&entry.encode()), Ok(entry));
        let entry = TimeIndexEntry {
            timestamp: i64::MAX,
            relative_offset: top,
        };
        assert_eq!(TimeIndexEntry::decode(&entry.encode()), Ok(entry));
        let end = i64::MAX.unsigned_abs();
        let entry = AbortedTransaction {
            producer_id: i64::MAX,
            first_offset: end,
            last_offset: end,
            last_stable_offset: end,
        };
        assert_eq!(AbortedTransaction::decode(&entry.encode()), Ok(entry));
    }
}
