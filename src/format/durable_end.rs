//! `durable-ends`: for each partition, up to where its log was synced.
//!
//! Ours alone. A pair of slots a partition, rewritten in turn after each sync of the log and not
//! synced itself: whichever survives a crash was true when it was written, so the newer valid slot
//! is a lower bound of what is on the device. That is how recovery tells a torn write, beyond this
//! end, from damage below it. One slot of a pair always holds still while the other is written, and
//! neither crosses a sector.
//!
//! Slots say whose they are, so the file can be read whatever the order of the pairs. Damaged or
//! missing slots cost time, not data: the log is scanned from its start.
//!
//! Layout, big-endian like Kafka's files beside it:
//!
//! | at | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | flags: bit 0 clean, bit 1 quiet |
//! | 2 | 2 | zero |
//! | 4 | 4 | partition |
//! | 8 | 8 | generation |
//! | 16 | 16 | topic id |
//! | 32 | 8 | base offset of the segment |
//! | 40 | 4 | position |
//! | 44 | 4 | index digest |
//! | 48 | 8 | end offset |
//! | 56 | 4 | frame digest |
//! | 60 | 4 | CRC-32 of bytes 0..60 |

use super::byte_reader::ByteReader;
use super::metadata::TopicId;

/// Size of a slot, in bytes.
pub(crate) const SLOT_LEN: usize = 64;
/// Size of a partition's two slots, in bytes.
pub(crate) const PAIR_LEN: usize = 2 * SLOT_LEN;

const VERSION: u8 = 1;
const CRC_AT: usize = SLOT_LEN - 4;

// A sector is written whole or not at all, if anything is: no pair may lie across two.
const _: () = assert!(512 % PAIR_LEN == 0);

/// What was known to be on the device after a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Rises with every write; of a pair the higher one is newer.
    pub(crate) generation: u64,
    /// Tells the partition from one of a deleted topic of the same name.
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
    /// Base offset of the segment that was active.
    pub(crate) segment_base: u64,
    /// Everything below this byte of that segment was synced, and all segments before it. Segments
    /// are shorter than 2 GiB.
    pub(crate) position: u32,
    /// Offset of the next record at that position.
    pub(crate) end_offset: u64,
    /// [`Slot::CLEAN`]; other bits are ignored.
    pub(crate) flags: u8,
    /// [`FrameDigest`](super::seal::FrameDigest) of the segment up to the position.
    pub(crate) digest: u32,
    /// CRC-32 of the bytes of the segment's offset index and time index, as in a
    /// [`Seal`](super::seal::Seal); 0 unless clean.
    pub(crate) index_digest: u32,
}

impl Slot {
    /// Written at an orderly close: the position is exactly the end of the file.
    pub(crate) const CLEAN: u8 = 1;

    /// No sync of the log began after it was written. Without it, one may have failed since, and left
    /// bytes in the kernel's cache that it takes for written.
    pub(crate) const QUIET: u8 = 2;

    pub(crate) fn is_clean(&self) -> bool {
        self.flags & Self::CLEAN != 0
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.flags & Self::QUIET != 0
    }
}

pub(crate) fn encode(slot: &Slot) -> [u8; SLOT_LEN] {
    let mut bytes = [0; SLOT_LEN];
    bytes[0] = VERSION;
    bytes[1] = slot.flags;
    bytes[4..8].copy_from_slice(&slot.partition.to_be_bytes());
    bytes[8..16].copy_from_slice(&slot.generation.to_be_bytes());
    bytes[16..32].copy_from_slice(&slot.topic_id.0);
    bytes[32..40].copy_from_slice(&slot.segment_base.to_be_bytes());
    bytes[40..44].copy_from_slice(&slot.position.to_be_bytes());
    bytes[44..48].copy_from_slice(&slot.index_digest.to_be_bytes());
    bytes[48..56].copy_from_slice(&slot.end_offset.to_be_bytes());
    bytes[56..CRC_AT].copy_from_slice(&slot.digest.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// `None` if the slot is empty, torn, or of another version: nothing is known then.
pub(crate) fn decode(bytes: &[u8; SLOT_LEN]) -> Option<Slot> {
    let mut reader = ByteReader::new(bytes);
    if reader.u8().ok()? != VERSION {
        return None;
    }
    let flags = reader.u8().ok()?;
    let _zero = reader.i16().ok()?;
    let partition = reader.u32().ok()?;
    let generation = reader.u64().ok()?;
    let topic_id = TopicId(reader.array().ok()?);
    let segment_base = reader.u64().ok()?;
    let position = reader.u32().ok()?;
    let index_digest = reader.u32().ok()?;
    let end_offset = reader.u64().ok()?;
    let digest = reader.u32().ok()?;
    let checksum = reader.u32().ok()?;
    let slot = Slot {
        generation,
        topic_id,
        partition,
        segment_base,
        position,
        end_offset,
        flags,
        digest,
        index_digest,
    };
    (checksum == crc32fast::hash(&bytes[..CRC_AT]) && segment_base <= end_offset).then_some(slot)
}

/// The newer valid slot of a pair, and which of the two it was: the next write goes to the other.
/// A pair that the end of the file cuts off counts as far as it is there.
pub(crate) fn latest(pair: &[u8]) -> Option<(Slot, usize)> {
    let slots = pair.as_chunks::<SLOT_LEN>().0.iter().take(2);
    let valid = slots
        .enumerate()
        .filter_map(|(index, bytes)| Some((decode(bytes)?, index)));
    valid.max_by_key(|(slot, _)| slot.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot {
        generation: 7,
        topic_id: TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        partition: 3,
        segment_base: 42,
        position: 4096,
        end_offset: 99,
        flags: Slot::CLEAN,
        digest: 0xdead_beef,
        index_digest: 0xcafe_f00d,
    };

    #[rustfmt::skip]
    const BYTES: [u8; CRC_AT] = [
        1, 1, 0, 0, 0, 0, 0, 3,
        0, 0, 0, 0, 0, 0, 0, 7,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        0, 0, 0, 0, 0, 0, 0, 42,
        0, 0, 0x10, 0, 0xca, 0xfe, 0xf0, 0x0d,
        0, 0, 0, 0, 0, 0, 0, 99,
        0xde, 0xad, 0xbe, 0xef,
    ];

    fn pair(first: Option<u64>, second: Option<u64>) -> Vec<u8> {
        let slot = |generation: Option<u64>| {
            generation.map_or([0; SLOT_LEN], |generation| {
                encode(&Slot { generation, ..SLOT })
            })
        };
        [slot(first), slot(second)].concat()
    }

    #[test]
    fn a_slot_lies_as_the_table_says() {
        let bytes = encode(&SLOT);
        assert_eq!(bytes[..CRC_AT], BYTES);
        assert_eq!(bytes[CRC_AT..], crc32fast::hash(&BYTES).to_be_bytes());
        assert_eq!(decode(&bytes), Some(SLOT));
        assert!(SLOT.is_clean() && !Slot { flags: 0, ..SLOT }.is_clean());
    }

    #[test]
    fn an_empty_or_damaged_slot_tells_nothing() {
        assert_eq!(decode(&[0; SLOT_LEN]), None);
        assert_eq!(decode(&[0xff; SLOT_LEN]), None);
        for bit in 0..SLOT_LEN * 8 {
            let mut bytes = encode(&SLOT);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_slot_torn_between_two_writes_tells_nothing() {
        let (old, new) = (
            encode(&SLOT),
            encode(&Slot {
                generation: 9,
                position: 8192,
                ..SLOT
            }),
        );
        for cut in 1..SLOT_LEN {
            let torn: [u8; SLOT_LEN] =
                std::array::from_fn(|at| if at < cut { new[at] } else { old[at] });
            assert!(
                torn == new || torn == old || decode(&torn).is_none(),
                "torn at {cut}"
            );
        }
    }

    #[test]
    fn a_slot_whose_end_lies_before_its_segment_is_refused() {
        assert_eq!(
            decode(&encode(&Slot {
                end_offset: 41,
                ..SLOT
            })),
            None
        );
        assert!(
            decode(&encode(&Slot {
                end_offset: 42,
                ..SLOT
            }))
            .is_some()
        );
    }

    #[test]
    fn the_higher_generation_of_a_pair_wins() {
        let found = |first, second| {
            latest(&pair(first, second)).map(|(slot, index)| (slot.generation, index))
        };
        assert_eq!(found(Some(1), Some(2)), Some((2, 1)));
        assert_eq!(found(Some(3), Some(2)), Some((3, 0)));
        assert_eq!(found(Some(3), None), Some((3, 0)));
        assert_eq!(found(None, Some(u64::MAX)), Some((u64::MAX, 1)));
        assert_eq!(found(None, None), None);
    }

    #[test]
    fn of_a_pair_cut_short_what_is_there_counts() {
        let bytes = pair(Some(1), Some(2));
        for len in 0..=PAIR_LEN {
            let expected = match len {
                ..SLOT_LEN => None,
                SLOT_LEN..PAIR_LEN => Some(1),
                _ => Some(2),
            };
            assert_eq!(
                latest(&bytes[..len]).map(|(slot, _)| slot.generation),
                expected,
                "cut to {len}"
            );
        }
    }
}
