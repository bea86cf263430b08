use super::*;
use crate::format::Compression;
use crate::format::compression::decompress;
use crate::format::random::{OwnedRecord, Random, small_batch};
use crate::format::record::{CheckedRecords, check_records};

fn plain_builder() -> BatchBuilder {
    BatchBuilder::new(256, Compression::None)
}

/// Whatever a reader does with a batch before it shows records.
fn read(bytes: &[u8]) -> Parsed<()> {
    let batch = BatchView::parse(bytes)?;
    batch.check_crc()?;
    check_records(batch.records_bytes(), batch.header())
}

fn patched(at: usize, by: &[u8]) -> Vec<u8> {
    let mut bytes = small_batch(&mut plain_builder());
    bytes[at..at + by.len()].copy_from_slice(by);
    bytes
}

fn refused_at(bytes: &[u8]) -> usize {
    BatchHeader::parse(bytes).unwrap_err().at
}

#[test]
fn what_is_built_parses() {
    let bytes = small_batch(&mut plain_builder());
    read(&bytes).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    let expected = BatchHeader {
        base_offset: 0,
        size: u32::try_from(bytes.len()).unwrap(),
        leader_epoch: -1,
        crc: batch.header().crc,
        attributes: Attributes(Attributes::TRANSACTIONAL),
        last_offset_delta: 2,
        base_timestamp: 1_000,
        max_timestamp: 2_000_000,
        producer_id: 4_711,
        producer_epoch: 3,
        base_sequence: 42,
        records_count: 3,
    };
    assert_eq!(*batch.header(), expected);
    assert_eq!(batch_size(&bytes[..FRAME_LEN]), Ok(bytes.len()));
    assert_eq!(
        (
            expected.last_offset(),
            expected.next_offset(),
            expected.last_sequence()
        ),
        (2, 3, 44)
    );
}

#[test]
fn a_view_keeps_to_its_own_bytes() {
    let bytes = small_batch(&mut plain_builder());
    let twice = [&bytes[..], &bytes].concat();
    let batch = BatchView::parse(&twice).unwrap();
    assert_eq!(batch.bytes(), bytes);
    assert_eq!(batch.records_bytes(), &bytes[HEADER_LEN..]);
    batch.check_crc().unwrap();
}

#[test]
fn every_flipped_bit_is_noticed_or_in_the_unprotected_bytes() {
    let bytes = small_batch(&mut plain_builder());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let unprotected = bit / 8 < at::CRC;
        assert!(
            unprotected || read(&flipped).is_err(),
            "bit {bit} flips unseen"
        );
        // Of the unprotected bytes, size and magic are noticed all the same.
        if (at::LENGTH..at::LEADER_EPOCH).contains(&(bit / 8)) || bit / 8 == at::MAGIC {
            assert!(read(&flipped).is_err(), "bit {bit} flips unseen");
        }
    }
}

#[test]
fn a_batch_cut_at_any_byte_is_refused() {
    let bytes = small_batch(&mut plain_builder());
    for end in 0..bytes.len() {
        let cut = &bytes[..end];
        assert!(read(cut).is_err());
        assert_eq!(batch_size(cut).is_ok(), end >= FRAME_LEN);
        assert_eq!(BatchHeader::parse(cut).is_ok(), end >= HEADER_LEN);
    }
}

#[test]
fn hostile_headers_are_refused_where_they_are_wrong() {
    for length in [-1, 0, 48, i32::MIN] {
        assert_eq!(
            refused_at(&patched(at::LENGTH, &i32::to_be_bytes(length))),
            at::LENGTH
        );
    }
    for magic in [0, 1, 3, 255] {
        assert_eq!(refused_at(&patched(at::MAGIC, &[magic])), at::MAGIC);
    }
    for codec in 5..=7 {
        assert_eq!(
            refused_at(&patched(at::ATTRIBUTES, &[0, codec])),
            at::ATTRIBUTES
        );
    }
    for offset in [-1, i64::MIN, i64::MAX, i64::MAX - 2] {
        assert_eq!(
            refused_at(&patched(at::BASE_OFFSET, &offset.to_be_bytes())),
            at::BASE_OFFSET
        );
    }
    for negative in [-1, i32::MIN] {
        let at_delta = patched(at::LAST_OFFSET_DELTA, &negative.to_be_bytes());
        assert_eq!(refused_at(&at_delta), at::LAST_OFFSET_DELTA);
        assert_eq!(
            refused_at(&patched(at::RECORDS_COUNT, &negative.to_be_bytes())),
            at::RECORDS_COUNT
        );
    }
}

#[test]
fn the_largest_values_do_not_overflow() {
    let bytes = patched(at::BASE_OFFSET, &(i64::MAX - 3).to_be_bytes());
    assert_eq!(
        BatchHeader::parse(&bytes).unwrap().next_offset(),
        i64::MAX.cast_unsigned()
    );
    let bytes = patched(at::LENGTH, &i32::MAX.to_be_bytes());
    let size = usize::try_from(i32::MAX).unwrap() + FRAME_LEN;
    assert_eq!(batch_size(&bytes), Ok(size));
    assert_eq!(BatchHeader::parse(&bytes).unwrap().size as usize, size);
    assert!(BatchView::parse(&bytes).is_err());
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    let header = BatchHeader::parse(&small_batch(&mut plain_builder())).unwrap();
    let last = |base_sequence, last_offset_delta| {
        BatchHeader {
            last_offset_delta,
            base_sequence,
            ..header
        }
        .last_sequence()
    };
    assert_eq!(last(i32::MAX - 2, 2), i32::MAX);
    assert_eq!(last(i32::MAX - 1, 2), 0);
    assert_eq!(last(i32::MAX, i32::MAX.cast_unsigned()), i32::MAX - 1);
    assert_eq!(last(-1, 2), -1, "none stays none");
    assert_eq!(last(i32::MIN, 2), -1);
}

#[test]
fn attributes_without_a_meaning_are_kept() {
    let bytes = patched(at::ATTRIBUTES, &[0x7f, 0xf8]);
    let attributes = BatchHeader::parse(&bytes).unwrap().attributes;
    assert_eq!(attributes.raw(), 0x7ff8);
    assert!(
        attributes.is_control() && attributes.is_transactional() && attributes.has_delete_horizon()
    );
    assert_eq!(attributes.timestamp_type(), TimestampType::LogAppendTime);
}

#[test]
fn the_log_sets_offset_and_epoch_without_touching_the_crc() {
    let mut bytes = small_batch(&mut plain_builder());
    let before = BatchHeader::parse(&bytes).unwrap();
    set_base_offset(&mut bytes, 123_456_789_012);
    set_leader_epoch(&mut bytes, 7);
    read(&bytes).unwrap();
    let after = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(
        after,
        BatchHeader {
            base_offset: 123_456_789_012,
            leader_epoch: 7,
            ..before
        }
    );
}

#[test]
fn append_time_is_set_with_a_new_crc() {
    let mut bytes = small_batch(&mut plain_builder());
    let before = BatchHeader::parse(&bytes).unwrap();
    set_log_append_time(&mut bytes, 99);
    read(&bytes).unwrap();
    let after = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(
        after.attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert!(after.attributes.is_transactional(), "other bits stay");
    assert_eq!(
        (after.max_timestamp, after.base_timestamp),
        (99, before.base_timestamp)
    );
}

#[test]
fn a_builder_starts_over_as_if_new_and_keeps_its_memory() {
    let mut builder = plain_builder();
    let first = small_batch(&mut builder);
    OwnedRecord::simple(5, &[1; 100]).push_to(&mut builder);
    let memory = builder.finish(ProducerStamp::NONE, false).unwrap().as_ptr();
    builder.clear();
    assert!(builder.is_empty());
    assert_eq!((builder.count(), builder.size()), (0, HEADER_LEN));
    assert_eq!(small_batch(&mut builder), first);
    assert_eq!(
        builder.finish(ProducerStamp::NONE, false).unwrap().as_ptr(),
        memory
    );
}

#[test]
fn finishing_twice_or_pushing_after_it_gives_whole_batches() {
    let mut builder = plain_builder();
    let first = small_batch(&mut builder);
    let stamp = ProducerStamp {
        producer_id: 4_711,
        producer_epoch: 3,
        base_sequence: 42,
    };
    assert_eq!(builder.finish(stamp, true).unwrap(), first);
    OwnedRecord::simple(5, b"late").push_to(&mut builder);
    let longer = builder.finish(ProducerStamp::NONE, false).unwrap();
    read(longer).unwrap();
    assert_eq!(BatchHeader::parse(longer).unwrap().records_count, 4);
}

#[test]
fn records_without_a_timestamp_have_none() {
    let mut builder = plain_builder();
    OwnedRecord::simple(-1, b"").push_to(&mut builder);
    let header = BatchHeader::parse(builder.finish(ProducerStamp::NONE, false).unwrap()).unwrap();
    assert_eq!((header.base_timestamp, header.max_timestamp), (-1, -1));
}

#[test]
fn a_batch_that_compaction_empties_keeps_its_place() {
    let original = BatchHeader::parse(&small_batch(&mut plain_builder())).unwrap();
    let mut builder = BatchBuilder::new(0, Compression::Zstd);
    let bytes = builder.finish_as(&original).unwrap();
    read(bytes).unwrap();
    let header = BatchHeader::parse(bytes).unwrap();
    assert_eq!(
        (header.records_count, header.size as usize),
        (0, HEADER_LEN)
    );
    assert_eq!((header.next_offset(), header.last_sequence()), (3, 44));
    assert_eq!(header.max_timestamp, original.max_timestamp);
}

#[test]
fn offsets_beyond_the_format_are_an_error() {
    let mut builder = plain_builder();
    let headers = crate::record::Headers::default();
    builder.push_at(i32::MAX.cast_unsigned(), 0, None, None, &headers);
    assert!(builder.finish(ProducerStamp::NONE, false).is_ok());
    builder.push(0, None, None, &headers);
    assert!(matches!(
        builder.finish(ProducerStamp::NONE, false),
        Err(Error::IllegalState(_))
    ));
}

#[test]
fn any_batch_comes_back_in_every_codec_and_never_grows() {
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = BatchBuilder::new(0, compression);
        for seed in 0..60 {
            builder.clear();
            let mut plain = plain_builder();
            for record in Random::new(seed).records() {
                record.push_to(&mut builder);
                record.push_to(&mut plain);
            }
            let uncompressed = builder.size();
            let bytes = match builder.finish(ProducerStamp::NONE, false) {
                Err(Error::UnsupportedCompression { .. }) => continue,
                bytes => bytes.unwrap(),
            };
            assert!(bytes.len() <= uncompressed, "{compression}, seed {seed}");
            let batch = BatchView::parse(bytes).unwrap();
            batch.check_crc().unwrap();
            let codec = batch.header().attributes.compression();
            let records =
                decompress(codec, batch.records_bytes(), uncompressed - HEADER_LEN).unwrap();
            check_records(&records, batch.header()).unwrap();
            let expected = plain.finish(ProducerStamp::NONE, false).unwrap();
            assert!(
                records == expected[HEADER_LEN..],
                "{compression}, seed {seed}"
            );
            let count = CheckedRecords::new(&records, batch.header().records_count).count();
            assert_eq!(u32::try_from(count), Ok(batch.header().records_count));
        }
    }
}

#[test]
fn timestamp_types_have_kafkas_names() {
    for (name, value) in [
        ("CreateTime", TimestampType::CreateTime),
        ("LogAppendTime", TimestampType::LogAppendTime),
    ] {
        assert_eq!(value.to_string(), name);
        assert_eq!(name.parse::<TimestampType>().unwrap(), value);
    }
    let error = "createtime"
        .parse::<TimestampType>()
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid config message.timestamp.type=createtime: must be CreateTime or LogAppendTime"
    );
}
