//! `<number>.stage`: small batches on their way into a segment.
//!
//! Ours alone. A header says for which segment, and from which byte on; whole batches follow, back to
//! back, as they will stand in the segment. From the end of the file backwards there is one *mark* a
//! batch, which is stored after it. Everything between is left from earlier use.
//!
//! The mark is the [`FrameDigest`] of the segment up to and with its batch. It is what tells a batch
//! from a mixture of an old and a new one at the same place, whose offset says it is new and whose
//! checksum, which leaves the offset out, says it is whole.
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
//! | 32 | 8 | position in the segment |
//! | 40 | 8 | base offset of the first batch |
//! | 48 | 4 | frame digest of the segment up to the position |
//! | 52 | 8 | zero |
//! | 60 | 4 | CRC-32 of bytes 0..60 |
//! | 64 | | batches |
//! | length - 4 n | 4 | mark of batch n, from 1 |

use super::batch::{BatchHeader, BatchView};
use super::byte_reader::ByteReader;
use super::metadata::TopicId;
use super::seal::FrameDigest;

/// Size of the header, in bytes.
pub(crate) const STAGE_HEADER_LEN: usize = 64;

const VERSION: u8 = 1;
const CRC_AT: usize = STAGE_HEADER_LEN - 4;

/// What batches are staged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageHeader {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
    pub(crate) segment_base: u64,
    /// Where in the segment the first batch goes.
    pub(crate) position: u64,
    /// The offset that it starts at.
    pub(crate) base_offset: u64,
    /// [`FrameDigest`] of the segment up to the position.
    pub(crate) digest: u32,
}

/// Size of a batch's mark, in bytes.
pub(crate) const MARK_LEN: usize = 4;

/// The mark of the batch with which the segment's digest became this.
pub(crate) fn mark(digest: &FrameDigest) -> [u8; MARK_LEN] {
    digest.value().to_be_bytes()
}

pub(crate) fn encode(header: &StageHeader) -> [u8; STAGE_HEADER_LEN] {
    let mut bytes = [0; STAGE_HEADER_LEN];
    bytes[0] = VERSION;
    bytes[4..8].copy_from_slice(&header.partition.to_be_bytes());
    bytes[8..24].copy_from_slice(&header.topic_id.0);
    bytes[24..32].copy_from_slice(&header.segment_base.to_be_bytes());
    bytes[32..40].copy_from_slice(&header.position.to_be_bytes());
    bytes[40..48].copy_from_slice(&header.base_offset.to_be_bytes());
    bytes[48..52].copy_from_slice(&header.digest.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The header; `None` if it is empty, torn, or of another version: then nothing is staged.
pub(crate) fn decode(part: &[u8]) -> Option<StageHeader> {
    let head = part.get(..STAGE_HEADER_LEN)?;
    let mut reader = ByteReader::new(head);
    if reader.u8().ok()? != VERSION {
        return None;
    }
    let _zero = reader.take(3).ok()?;
    let header = StageHeader {
        partition: reader.u32().ok()?,
        topic_id: TopicId(reader.array().ok()?),
        segment_base: reader.u64().ok()?,
        position: reader.u64().ok()?,
        base_offset: reader.u64().ok()?,
        digest: reader.u32().ok()?,
    };
    let _zero = reader.take(8).ok()?;
    let is_sound = reader.u32().ok()? == crc32fast::hash(&head[..CRC_AT])
        && header.segment_base <= header.base_offset;
    is_sound.then_some(header)
}

/// The batches that are staged in `part`, whose header this is: whole, with good checksums, each
/// continuing the one before it and with its mark, and all accepted by `accept`.
pub(crate) fn batches<'a>(
    part: &'a [u8],
    header: &StageHeader,
    accept: impl Fn(&BatchHeader) -> bool,
) -> &'a [u8] {
    let body = part.get(STAGE_HEADER_LEN..).unwrap_or_default();
    let mut marks = body.rchunks_exact(MARK_LEN);
    let mut digest = FrameDigest::resume(header.digest);
    let (mut base_offset, mut end) = (header.base_offset, 0);
    while let Some(Ok(view)) = body.get(end..).map(BatchView::parse) {
        digest.update(&body[end..]);
        let batch = view.header();
        let is_marked = marks.next().is_some_and(|found| found == mark(&digest));
        let follows = batch.base_offset == base_offset;
        if !is_marked || !follows || view.check_crc().is_err() || !accept(batch) {
            break;
        }
        base_offset = batch.next_offset();
        end += batch.size as usize;
    }
    &body[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Compression;
    use crate::format::batch::{BatchBuilder, ProducerStamp, set_base_offset};
    use crate::record::Headers;

    const HEADER: StageHeader = StageHeader {
        topic_id: TopicId([7; 16]),
        partition: 3,
        segment_base: 0,
        position: 4096,
        base_offset: 5,
        digest: 0xdead_beef,
    };
    const PART_LEN: usize = 1024;

    fn batch(base_offset: u64, value: &str) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0, Compression::None);
        builder.push(1, None, Some(value.as_bytes()), &Headers::default());
        let batch = builder.finish(ProducerStamp::NONE, false).unwrap();
        set_base_offset(batch, base_offset);
        batch.to_vec()
    }

    /// Stores batches over what is in a part, as a log does.
    fn fill(part: &mut [u8], batches: &[Vec<u8>]) {
        part[..STAGE_HEADER_LEN].copy_from_slice(&encode(&HEADER));
        let mut digest = FrameDigest::resume(HEADER.digest);
        let mut at = STAGE_HEADER_LEN;
        for (number, batch) in batches.iter().enumerate() {
            part[at..at + batch.len()].copy_from_slice(batch);
            at += batch.len();
            digest.update(batch);
            let mark_at = part.len() - MARK_LEN * (number + 1);
            part[mark_at..mark_at + MARK_LEN].copy_from_slice(&mark(&digest));
        }
    }

    fn part(batches: &[Vec<u8>]) -> Vec<u8> {
        let mut part = vec![0; PART_LEN];
        fill(&mut part, batches);
        part
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(decode(&encode(&HEADER)), Some(HEADER));
    }

    #[test]
    fn a_header_with_any_bit_changed_stages_nothing() {
        let good = encode(&HEADER);
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
        assert_eq!(decode(&good[..63]), None);
        assert_eq!(decode(&[0; 64]), None);
    }

    #[test]
    fn all_batches_that_were_staged_are_found() {
        let staged = [batch(5, "five"), batch(6, "six")];
        let mut part = part(&staged);
        assert_eq!(batches(&part, &HEADER, |_| true), staged.concat());
        assert_eq!(batches(&part, &HEADER, |_| false), b"");
        // Used again: what an earlier use left behind is not found.
        fill(&mut part, &staged[..1]);
        part[PART_LEN - 2 * MARK_LEN..PART_LEN - MARK_LEN].fill(0);
        assert_eq!(batches(&part, &HEADER, |_| true), staged[0]);
    }

    #[test]
    fn a_new_frame_in_front_of_an_old_batch_is_no_batch() {
        let old = part(&[batch(5, "five"), batch(6, "old")]);
        let new = part(&[batch(5, "five"), batch(6, "new")]);
        let first_len = batch(5, "five").len();
        for torn in 1..batch(6, "new").len() {
            let mut mixed = old.clone();
            let end = STAGE_HEADER_LEN + first_len + torn;
            mixed[..end].copy_from_slice(&new[..end]);
            // As if the old one had stood there under another offset.
            mixed[PART_LEN - 2 * MARK_LEN..PART_LEN - MARK_LEN].fill(0xaa);
            assert_eq!(
                batches(&mixed, &HEADER, |_| true),
                batch(5, "five"),
                "{torn}"
            );
        }
    }

    #[test]
    fn batches_end_at_a_changed_bit() {
        let staged = [batch(5, "five"), batch(6, "six")];
        let good = part(&staged);
        let second = (STAGE_HEADER_LEN + staged[0].len()) * 8;
        for bit in second..second + staged[1].len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(batches(&bad, &HEADER, |_| true), staged[0], "bit {bit}");
        }
        for len in 0..good.len() {
            batches(&good[..len], &HEADER, |_| true);
        }
    }
}
