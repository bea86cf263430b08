//! `<offset>.snapshot`: what a partition knew of its producers before that offset.
//!
//! Version 1 of Kafka's layout: `i16` version, CRC-32C of everything after it, `i32` count, then
//! [`ENTRY_LEN`] bytes a producer. Only the last batch of each producer is in it. It can be rebuilt
//! from the log, so a bad one is no reason to stop.
//!
//! Elsewhere: what the entries mean, when a snapshot is written (`log`).

use super::byte_reader::{ByteReader, as_len};
use super::crc::crc32c;
use super::{Invalid, Parsed};

const VERSION: i16 = 1;
/// Version, checksum.
const PREFIX_LEN: usize = 6;
/// Size of one producer, in bytes.
const ENTRY_LEN: usize = 46;

/// One producer's last known state. Field types are the file's: -1 stands for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Sequence number of the last record of the last batch.
    pub(crate) last_sequence: i32,
    /// Offset of that record; -1 if only a marker was seen.
    pub(crate) last_offset: i64,
    /// How many records the last batch held, less one.
    pub(crate) offset_delta: i32,
    /// Largest timestamp of the last batch, in milliseconds.
    pub(crate) timestamp: i64,
    /// Of the last transaction marker; -1 if there was none.
    pub(crate) coordinator_epoch: i32,
    /// Where the open transaction starts; -1 if none is open.
    pub(crate) current_txn_first_offset: i64,
}

/// The whole file. More producers than an `i32` counts (98 GB of snapshot) are left out.
pub(crate) fn encode(entries: &[ProducerEntry]) -> Vec<u8> {
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX_LEN + 4 + entries.len() * ENTRY_LEN);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&count.to_be_bytes());
    for (entry, _) in entries.iter().zip(0..count) {
        encode_entry(entry, &mut bytes);
    }
    let checksum = crc32c(&bytes[PREFIX_LEN..]);
    bytes[2..PREFIX_LEN].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The producers in a file, in its order.
pub(crate) fn decode(bytes: &[u8]) -> Parsed<Vec<ProducerEntry>> {
    let mut reader = ByteReader::new(bytes);
    if reader.i16()? != VERSION {
        return Err(Invalid {
            at: 0,
            reason: "unknown version of a producer snapshot",
        });
    }
    if reader.u32()? != crc32c(&bytes[PREFIX_LEN..]) {
        return Err(Invalid {
            at: 2,
            reason: "checksum of a producer snapshot does not match",
        });
    }
    let count = as_len(reader.non_negative_i32("negative count of producers")?);
    // Exactly as many as there are bytes for, checked before any is allocated.
    if count.checked_mul(ENTRY_LEN) != Some(reader.remaining()) {
        return Err(Invalid {
            at: PREFIX_LEN,
            reason: "count of producers does not match the length",
        });
    }
    (0..count).map(|_| decode_entry(&mut reader)).collect()
}

fn encode_entry(entry: &ProducerEntry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
    bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
    bytes.extend_from_slice(&entry.last_sequence.to_be_bytes());
    bytes.extend_from_slice(&entry.last_offset.to_be_bytes());
    bytes.extend_from_slice(&entry.offset_delta.to_be_bytes());
    bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
    bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
    bytes.extend_from_slice(&entry.current_txn_first_offset.to_be_bytes());
}

fn decode_entry(reader: &mut ByteReader<'_>) -> Parsed<ProducerEntry> {
    Ok(ProducerEntry {
        producer_id: reader.i64()?,
        producer_epoch: reader.i16()?,
        last_sequence: reader.i32()?,
        last_offset: reader.i64()?,
        offset_delta: reader.i32()?,
        timestamp: reader.i64()?,
        coordinator_epoch: reader.i32()?,
        current_txn_first_offset: reader.i64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: ProducerEntry = ProducerEntry {
        producer_id: 4711,
        producer_epoch: 3,
        last_sequence: 46,
        last_offset: 1004,
        offset_delta: 4,
        timestamp: 1_700_000_000_000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    };

    #[rustfmt::skip]
    const ENTRY_BYTES: [u8; ENTRY_LEN] = [
        0, 0, 0, 0, 0, 0, 0x12, 0x67,
        0, 3,
        0, 0, 0, 46,
        0, 0, 0, 0, 0, 0, 0x03, 0xec,
        0, 0, 0, 4,
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,
        0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ];

    #[test]
    fn a_snapshot_is_version_checksum_count_and_entries() {
        let bytes = encode(&[ENTRY]);
        assert_eq!(bytes[..2], [0, 1]);
        assert_eq!(bytes[6..10], [0, 0, 0, 1]);
        assert_eq!(bytes[10..], ENTRY_BYTES);
        assert_eq!(bytes[2..6], [0xb2, 0x77, 0x93, 0xf2]);
        assert_eq!(decode(&bytes), Ok(vec![ENTRY]));
    }

    #[test]
    fn any_number_of_producers_survives_a_round_trip() {
        for count in [0, 1, 2, 100] {
            let entries: Vec<_> = (0..count)
                .map(|id| ProducerEntry {
                    producer_id: id,
                    ..ENTRY
                })
                .collect();
            assert_eq!(decode(&encode(&entries)), Ok(entries));
        }
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_refused() {
        let bytes = encode(&[ENTRY, ENTRY]);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(&[ENTRY, ENTRY]);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_count_without_the_bytes_is_refused_though_the_checksum_is_right() {
        for count in [i32::MAX, -1, 1, i32::MIN] {
            let mut bytes = encode(&[]);
            bytes[6..10].copy_from_slice(&count.to_be_bytes());
            let checksum = crc32c(&bytes[6..]);
            bytes[2..6].copy_from_slice(&checksum.to_be_bytes());
            assert_eq!(decode(&bytes).unwrap_err().at, 6, "count {count}");
        }
    }
}
