//! `<base>.seal`: what a finished segment held when it was finished.
//!
//! Ours alone. A segment that is no longer written to gets one, so that one that lost its end, or
//! whose unprotected header bytes changed, is noticed. Layout, big-endian like Kafka's files beside
//! it:
//!
//! | at | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 2 |
//! | 1 | 1 | 1 if offsets may have gaps, else 0 |
//! | 2 | 2 | zero |
//! | 4 | 4 | frame digest |
//! | 8 | 8 | base offset |
//! | 16 | 8 | end position |
//! | 24 | 8 | end offset |
//! | 32 | 8 | largest timestamp |
//! | 40 | 8 | batches |
//! | 48 | 4 | index digest |
//! | 52 | 4 | CRC-32 of the first 21 bytes of the first batch |
//! | 56 | 8 | compacted up to this offset; 0 if never |
//! | 64 | 8 | time of the seal |
//! | 72 | 4 | CRC-32 of bytes 0..72 |

use super::batch::UNPROTECTED_LEN;
use super::byte_reader::ByteReader;
use super::{Invalid, Parsed};

/// Size of the file, in bytes.
pub(crate) const SEAL_LEN: usize = 76;

const VERSION: u8 = 2;
const CRC_AT: usize = SEAL_LEN - 4;

/// The summary of a finished segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The segment's base offset, which is also in the file's name.
    pub(crate) base_offset: u64,
    /// Length of the `.log` file, in bytes.
    pub(crate) end_position: u64,
    /// Offset of the record after the segment's last.
    pub(crate) end_offset: u64,
    /// Largest timestamp of its records, in milliseconds; -1 if none has one.
    pub(crate) max_timestamp: i64,
    /// How many batches it holds.
    pub(crate) batches: u64,
    /// Of all its batches.
    pub(crate) frame_digest: u32,
    /// CRC-32 of the bytes of its offset index and its time index, in this order: Kafka's index files
    /// have no checksum of their own.
    pub(crate) index_digest: u32,
    /// [`FrameDigest`] of the first batch alone: tells another log's file of this name at a glance.
    pub(crate) first_frame: u32,
    /// Offsets may be missing between batches, and at the end: the segment was compacted, or salvaged.
    pub(crate) gaps: bool,
    /// Below this offset the segment holds, of each key, nothing that a later record of the log as it
    /// was then supersedes; 0 if it was never compacted.
    pub(crate) clean_until: u64,
    /// Wall-clock time at which its last record was there, in milliseconds: what its age is counted
    /// from if no record has a timestamp.
    pub(crate) sealed_at: i64,
}

pub(crate) fn encode(seal: &Seal) -> [u8; SEAL_LEN] {
    let mut bytes = [0; SEAL_LEN];
    bytes[0] = VERSION;
    bytes[1] = u8::from(seal.gaps);
    bytes[4..8].copy_from_slice(&seal.frame_digest.to_be_bytes());
    bytes[8..16].copy_from_slice(&seal.base_offset.to_be_bytes());
    bytes[16..24].copy_from_slice(&seal.end_position.to_be_bytes());
    bytes[24..32].copy_from_slice(&seal.end_offset.to_be_bytes());
    bytes[32..40].copy_from_slice(&seal.max_timestamp.to_be_bytes());
    bytes[40..48].copy_from_slice(&seal.batches.to_be_bytes());
    bytes[48..52].copy_from_slice(&seal.index_digest.to_be_bytes());
    bytes[52..56].copy_from_slice(&seal.first_frame.to_be_bytes());
    bytes[56..64].copy_from_slice(&seal.clean_until.to_be_bytes());
    bytes[64..CRC_AT].copy_from_slice(&seal.sealed_at.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The file is exactly one seal.
pub(crate) fn decode(bytes: &[u8]) -> Parsed<Seal> {
    let mut reader = ByteReader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(Invalid {
            at: 0,
            reason: "unknown version of a seal",
        });
    }
    let gaps = reader.u8()? != 0;
    let _zero = reader.take(2)?;
    let frame_digest = reader.u32()?;
    let seal = Seal {
        base_offset: reader.u64()?,
        end_position: reader.u64()?,
        end_offset: reader.u64()?,
        max_timestamp: reader.i64()?,
        batches: reader.u64()?,
        frame_digest,
        index_digest: reader.u32()?,
        first_frame: reader.u32()?,
        gaps,
        clean_until: reader.u64()?,
        sealed_at: reader.i64()?,
    };
    let checksum = reader.u32()?;
    reader.finish()?;
    if checksum != crc32fast::hash(&bytes[..CRC_AT]) {
        return Err(Invalid {
            at: CRC_AT,
            reason: "checksum of a seal does not match",
        });
    }
    Ok(seal)
}

/// A running CRC-32 over the first 21 bytes ([`UNPROTECTED_LEN`]) of all batches of a segment, in
/// order: base offset, length, leader epoch, magic, and the CRC that covers what follows.
///
/// Together with each batch's own CRC it covers every byte of the segment, at the price of 21 bytes
/// a batch. It also notices a batch that is missing or in another place.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrameDigest(crc32fast::Hasher);

impl FrameDigest {
    /// Of no batch.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Goes on from the [`value`](Self::value) of the batches so far.
    pub(crate) fn resume(value: u32) -> Self {
        Self(crc32fast::Hasher::new_with_initial(value))
    }

    /// Adds a batch; bytes beyond the first 21 are left out, so the whole batch may be given.
    pub(crate) fn update(&mut self, first_21_bytes: &[u8]) {
        debug_assert!(first_21_bytes.len() >= UNPROTECTED_LEN);
        self.0
            .update(&first_21_bytes[..first_21_bytes.len().min(UNPROTECTED_LEN)]);
    }

    /// The digest of the batches so far; 0 if there were none.
    pub(crate) fn value(&self) -> u32 {
        self.0.clone().finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal {
        base_offset: 42,
        end_position: 1 << 30,
        end_offset: 1042,
        max_timestamp: -1,
        batches: 300,
        frame_digest: 0xdead_beef,
        index_digest: 0xcafe_f00d,
        first_frame: 0x1234_5678,
        gaps: true,
        clean_until: 1000,
        sealed_at: 1_700_000_000_000,
    };

    #[rustfmt::skip]
    const BYTES: [u8; CRC_AT] = [
        2, 1, 0, 0, 0xde, 0xad, 0xbe, 0xef,
        0, 0, 0, 0, 0, 0, 0, 42,
        0, 0, 0, 0, 0x40, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0x04, 0x12,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0, 0, 0, 0, 0, 0, 0x01, 0x2c,
        0xca, 0xfe, 0xf0, 0x0d, 0x12, 0x34, 0x56, 0x78,
        0, 0, 0, 0, 0, 0, 0x03, 0xe8,
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,
    ];

    #[test]
    fn a_seal_lies_as_the_table_says() {
        let bytes = encode(&SEAL);
        assert_eq!(bytes[..CRC_AT], BYTES);
        assert_eq!(bytes[CRC_AT..], crc32fast::hash(&BYTES).to_be_bytes());
        assert_eq!(decode(&bytes), Ok(SEAL));
    }

    #[test]
    fn a_seal_of_any_other_length_is_refused() {
        let bytes = encode(&SEAL);
        for len in 0..SEAL_LEN {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..SEAL_LEN * 8 {
            let mut bytes = encode(&SEAL);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_digest_goes_on_where_it_stopped() {
        let frames = [
            [1; UNPROTECTED_LEN],
            [2; UNPROTECTED_LEN],
            [3; UNPROTECTED_LEN],
        ];
        let mut digest = FrameDigest::new();
        assert_eq!(digest.value(), 0);
        for frame in &frames {
            digest.update(frame);
            digest = FrameDigest::resume(digest.value());
        }
        assert_eq!(digest.value(), crc32fast::hash(frames.as_flattened()));
        assert_eq!(FrameDigest::resume(0).value(), 0);
    }

    #[test]
    fn a_digest_leaves_out_what_kafkas_checksum_covers() {
        let (mut frame, mut batch) = (FrameDigest::new(), FrameDigest::new());
        frame.update(&[7; UNPROTECTED_LEN]);
        batch.update(&[[7; UNPROTECTED_LEN], [8; UNPROTECTED_LEN]].concat());
        assert_eq!(frame.value(), batch.value());
    }

    #[test]
    fn a_digest_notices_batches_that_changed_places() {
        let digest = |order: [u8; 2]| {
            let mut digest = FrameDigest::new();
            for byte in order {
                digest.update(&[byte; UNPROTECTED_LEN]);
            }
            digest.value()
        };
        assert_ne!(digest([1, 2]), digest([2, 1]));
    }
}
