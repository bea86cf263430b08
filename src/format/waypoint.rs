//! `<base>.waypoint`: from where the last segment may be walked after a crash.
//!
//! Ours alone. Everything below a waypoint was synced before the waypoint was written, and it holds
//! what a walk from the segment's start would have found out by then: so opening after a crash looks
//! at what came later, whatever the size of the segment. It is replaced every few MiB and never
//! synced. A lost, torn or foreign one costs time: the segment is walked from its start.
//!
//! Layout, big-endian like Kafka's files beside it:
//!
//! | at | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 3 | zero |
//! | 4 | 4 | partition |
//! | 8 | 16 | topic id |
//! | 24 | 8 | base offset of the segment |
//! | 32 | 8 | end offset |
//! | 40 | 4 | position |
//! | 44 | 4 | frame digest |
//! | 48 | 8 | batches |
//! | 56 | 4 | frame digest of the first batch alone |
//! | 60 | 4 | entries of the offset index |
//! | 64 | 4 | CRC-32 of these |
//! | 68 | 4 | entries of the time index |
//! | 72 | 4 | CRC-32 of these |
//! | 76 | 12 | time entry of the largest timestamp; -1, 0 if there is none |
//! | 88 | 4 | count of producers, which follow |
//! | end | 4 | CRC-32 of everything before |
//!
//! A producer: `i64` id, `i16` epoch, `i64` last timestamp, `i32` coordinator epoch, `i64` first offset
//! of its open transaction or -1, `u8` count of batches; then for each batch, oldest first: `u64` base
//! offset, `u64` last offset, `i64` largest timestamp, `i32` first sequence, `i32` last sequence. Kafka's
//! snapshots hold the last batch only; here are all that a repeat may be of.

use super::byte_reader::{ByteReader, as_len};
use super::index_entry::TimeIndexEntry;
use super::topic_id::TopicId;
use super::{Invalid, Parsed};

const VERSION: u8 = 1;
/// Size of a producer without its batches, and of a batch.
const PRODUCER_LEN: usize = 31;
const BATCH_LEN: usize = 32;

/// See the module's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waypoint {
    /// Tells the partition from one of a deleted topic of the same name.
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
    /// Base offset of the segment, which is also in the file's name.
    pub(crate) segment_base: u64,
    /// Everything below this byte of the segment is on the device.
    pub(crate) position: u32,
    /// Offset of the next record at that position.
    pub(crate) end_offset: u64,
    /// [`FrameDigest`](super::seal::FrameDigest) of the segment up to the position.
    pub(crate) digest: u32,
    /// How many batches that are.
    pub(crate) batches: u64,
    /// Frame digest of the first batch alone: tells another log's file of this name at a glance.
    pub(crate) first_frame: u32,
    /// What the index files begin with. They may go on.
    pub(crate) offset_index: IndexPrefix,
    pub(crate) time_index: IndexPrefix,
    /// Largest timestamp so far.
    pub(crate) largest: Option<TimeIndexEntry>,
    pub(crate) producers: Vec<KnownProducer>,
}

/// The first entries of an index file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexPrefix {
    pub(crate) entries: u32,
    /// CRC-32 of their bytes.
    pub(crate) digest: u32,
}

/// All that is known of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownProducer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) last_timestamp: i64,
    /// Of the last transaction marker; -1 if there was none.
    pub(crate) coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub(crate) transaction_start: Option<u64>,
    /// Its last batches, oldest first.
    pub(crate) batches: Vec<ProducedBatch>,
}

/// A batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducedBatch {
    pub(crate) base_offset: u64,
    pub(crate) last_offset: u64,
    pub(crate) max_timestamp: i64,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
}

/// The whole file.
pub(crate) fn encode(waypoint: &Waypoint) -> Vec<u8> {
    let mut bytes = vec![VERSION, 0, 0, 0];
    bytes.extend(waypoint.partition.to_be_bytes());
    bytes.extend(waypoint.topic_id.0);
    bytes.extend(waypoint.segment_base.to_be_bytes());
    bytes.extend(waypoint.end_offset.to_be_bytes());
    bytes.extend(waypoint.position.to_be_bytes());
    bytes.extend(waypoint.digest.to_be_bytes());
    bytes.extend(waypoint.batches.to_be_bytes());
    bytes.extend(waypoint.first_frame.to_be_bytes());
    for prefix in [waypoint.offset_index, waypoint.time_index] {
        bytes.extend(prefix.entries.to_be_bytes());
        bytes.extend(prefix.digest.to_be_bytes());
    }
    let none = TimeIndexEntry {
        timestamp: -1,
        relative_offset: 0,
    };
    bytes.extend(waypoint.largest.unwrap_or(none).encode());
    let count = u32::try_from(waypoint.producers.len()).unwrap_or(u32::MAX);
    bytes.extend(count.to_be_bytes());
    for (producer, _) in waypoint.producers.iter().zip(0..count) {
        encode_producer(producer, &mut bytes);
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_be_bytes());
    bytes
}

fn encode_producer(producer: &KnownProducer, bytes: &mut Vec<u8>) {
    let none = |offset: Option<u64>| offset.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1);
    let count = u8::try_from(producer.batches.len()).unwrap_or(u8::MAX);
    bytes.extend(producer.id.to_be_bytes());
    bytes.extend(producer.epoch.to_be_bytes());
    bytes.extend(producer.last_timestamp.to_be_bytes());
    bytes.extend(producer.coordinator_epoch.to_be_bytes());
    bytes.extend(none(producer.transaction_start).to_be_bytes());
    bytes.push(count);
    for (batch, _) in producer.batches.iter().zip(0..count) {
        bytes.extend(batch.base_offset.to_be_bytes());
        bytes.extend(batch.last_offset.to_be_bytes());
        bytes.extend(batch.max_timestamp.to_be_bytes());
        bytes.extend(batch.first_sequence.to_be_bytes());
        bytes.extend(batch.last_sequence.to_be_bytes());
    }
}

/// The file is exactly one waypoint.
pub(crate) fn decode(bytes: &[u8]) -> Parsed<Waypoint> {
    let at = bytes.len().saturating_sub(4);
    let (content, checksum) = bytes.split_at(at);
    if checksum != crc32fast::hash(content).to_be_bytes() {
        let reason = "checksum of a waypoint does not match";
        return Err(Invalid { at, reason });
    }
    let mut reader = ByteReader::new(content);
    if reader.u8()? != VERSION {
        let reason = "unknown version of a waypoint";
        return Err(Invalid { at: 0, reason });
    }
    let _zero = reader.take(3)?;
    let partition = reader.u32()?;
    let topic_id = TopicId(reader.array()?);
    let segment_base = reader.u64()?;
    let end_offset = reader.u64()?;
    if end_offset < segment_base {
        return reader.invalid("a waypoint before its segment");
    }
    let waypoint = Waypoint {
        topic_id,
        partition,
        segment_base,
        end_offset,
        position: reader.non_negative_i32("negative position")?,
        digest: reader.u32()?,
        batches: reader.u64()?,
        first_frame: reader.u32()?,
        offset_index: decode_prefix(&mut reader)?,
        time_index: decode_prefix(&mut reader)?,
        largest: TimeIndexEntry::decode(&reader.array()?).ok(),
        producers: decode_producers(&mut reader)?,
    };
    reader.finish()?;
    Ok(waypoint)
}

fn decode_prefix(reader: &mut ByteReader<'_>) -> Parsed<IndexPrefix> {
    Ok(IndexPrefix {
        entries: reader.u32()?,
        digest: reader.u32()?,
    })
}

fn decode_producers(reader: &mut ByteReader<'_>) -> Parsed<Vec<KnownProducer>> {
    let count = as_len(reader.u32()?);
    // Bounded by the bytes that are there, before anything is allocated.
    if count > reader.remaining() / PRODUCER_LEN {
        return reader.invalid("more producers than there are bytes for");
    }
    (0..count).map(|_| decode_producer(reader)).collect()
}

fn decode_producer(reader: &mut ByteReader<'_>) -> Parsed<KnownProducer> {
    let (id, epoch) = (reader.i64()?, reader.i16()?);
    let (last_timestamp, coordinator_epoch) = (reader.i64()?, reader.i32()?);
    let transaction_start = u64::try_from(reader.i64()?).ok();
    let count = usize::from(reader.u8()?);
    if count > reader.remaining() / BATCH_LEN {
        return reader.invalid("more batches than there are bytes for");
    }
    let batches = (0..count).map(|_| {
        Ok(ProducedBatch {
            base_offset: reader.u64()?,
            last_offset: reader.u64()?,
            max_timestamp: reader.i64()?,
            first_sequence: reader.i32()?,
            last_sequence: reader.i32()?,
        })
    });
    Ok(KnownProducer {
        id,
        epoch,
        last_timestamp,
        coordinator_epoch,
        transaction_start,
        batches: batches.collect::<Parsed<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waypoint() -> Waypoint {
        let batch = ProducedBatch {
            base_offset: 90,
            last_offset: 98,
            max_timestamp: 1_700_000_000_000,
            first_sequence: 12,
            last_sequence: 20,
        };
        Waypoint {
            topic_id: TopicId([3; 16]),
            partition: 3,
            segment_base: 42,
            position: 4096,
            end_offset: 99,
            digest: 0xdead_beef,
            batches: 17,
            first_frame: 0x0bad_cafe,
            offset_index: IndexPrefix {
                entries: 5,
                digest: 1,
            },
            time_index: IndexPrefix {
                entries: 4,
                digest: 2,
            },
            largest: Some(TimeIndexEntry {
                timestamp: 1_700_000_000_000,
                relative_offset: 48,
            }),
            producers: vec![
                KnownProducer {
                    id: 7,
                    epoch: 1,
                    last_timestamp: 5,
                    coordinator_epoch: -1,
                    transaction_start: None,
                    batches: vec![batch; 5],
                },
                KnownProducer {
                    id: 8,
                    epoch: 0,
                    last_timestamp: -1,
                    coordinator_epoch: 4,
                    transaction_start: Some(77),
                    batches: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn a_waypoint_reads_back_as_it_was_written() {
        let with_nothing = Waypoint {
            largest: None,
            producers: Vec::new(),
            ..waypoint()
        };
        for waypoint in [waypoint(), with_nothing] {
            assert_eq!(decode(&encode(&waypoint)), Ok(waypoint));
        }
    }

    #[test]
    fn a_waypoint_lies_as_the_table_says() {
        let bytes = encode(&waypoint());
        assert_eq!(bytes[..8], [1, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(bytes[24..32], 42_u64.to_be_bytes());
        assert_eq!(bytes[40..44], 4096_u32.to_be_bytes());
        assert_eq!(bytes[60..64], 5_u32.to_be_bytes());
        assert_eq!(bytes[76..84], 1_700_000_000_000_i64.to_be_bytes());
        assert_eq!(bytes[88..92], 2_u32.to_be_bytes());
        assert_eq!(bytes.len(), 92 + 2 * PRODUCER_LEN + 5 * BATCH_LEN + 4);
    }

    #[test]
    fn a_damaged_or_cut_waypoint_is_refused() {
        let bytes = encode(&waypoint());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(decode(&vec![0; 500]).is_err());
    }

    #[test]
    fn counts_that_the_bytes_do_not_hold_are_refused() {
        let mut bytes = encode(&waypoint());
        let end = bytes.len() - 4;
        bytes[88..92].copy_from_slice(&u32::MAX.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_be_bytes());
        assert!(decode(&bytes).is_err());
    }
}
