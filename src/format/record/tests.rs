use super::*;
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, BatchView, HEADER_LEN, ProducerStamp};
use crate::format::random::{OwnedRecord, Random};
use crate::record::Headers;

/// A record with key `k`, value `v` and one header `h`: `1`.
fn one_record() -> Vec<u8> {
    vec![24, 0, 0, 0, 2, b'k', 2, b'v', 2, 2, b'h', 2, b'1']
}

fn reason(bytes: &[u8]) -> &'static str {
    read_record(bytes, &mut 0).unwrap_err().reason
}

/// The one record with some bytes replaced, and its length made right.
fn with(at: usize, replaced: usize, by: &[u8]) -> Vec<u8> {
    let mut bytes = one_record();
    bytes.splice(at..at + replaced, by.iter().copied());
    bytes[0] = u8::try_from((bytes.len() - 1) * 2).unwrap();
    bytes
}

/// A batch of records with these offset deltas; its header and records.
fn batch_of(deltas: &[u32]) -> (BatchHeader, Vec<u8>) {
    let mut builder = BatchBuilder::new(0, Compression::None);
    for &delta in deltas {
        builder.push_at(delta, 0, None, Some(b"v"), &Headers::default());
    }
    let bytes = builder.finish(ProducerStamp::NONE, false).unwrap().to_vec();
    (
        BatchHeader::parse(&bytes).unwrap(),
        bytes[HEADER_LEN..].to_vec(),
    )
}

#[test]
fn a_record_is_read_field_by_field() {
    let mut at = 0;
    let bytes = one_record();
    let record = read_record(&bytes, &mut at).unwrap();
    assert_eq!(at, bytes.len());
    assert_eq!((record.offset_delta, record.timestamp_delta), (0, 0));
    assert_eq!(
        (record.key, record.value),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert_eq!(
        record.headers.iter().collect::<Vec<_>>(),
        [("h", Some(&b"1"[..]))]
    );
    assert_eq!(record.headers.len(), 1);
}

#[test]
fn null_and_empty_are_told_apart() {
    let key = |bytes: &[u8]| read_record(bytes, &mut 0).unwrap().key.map(<[u8]>::to_vec);
    assert_eq!(key(&with(4, 2, &[0x01])), None);
    assert_eq!(key(&with(4, 2, &[0x00])), Some(vec![]));
}

#[test]
fn fields_must_add_up_to_the_length() {
    let mut bytes = one_record();
    bytes.push(0);
    bytes[0] += 2;
    assert_eq!(reason(&bytes), "record is longer than its fields");
    bytes[0] -= 4;
    assert_eq!(reason(&bytes), "length is beyond the end of the record");
}

#[test]
fn hostile_lengths_and_counts_are_refused() {
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f]; // i32::MAX
    let below = [0x03]; // -2
    assert_eq!(
        reason(&[0x01]),
        "record length is negative or beyond the end of the records"
    );
    assert_eq!(
        reason(&huge),
        "record length is negative or beyond the end of the records"
    );
    assert_eq!(
        reason(&[0x00, 0x00]),
        "bytes end inside a varint",
        "no room for any field"
    );
    assert_eq!(reason(&with(3, 1, &[0x01])), "offset delta is negative");
    for length_at in [4, 6, 9, 11] {
        let length_is = |by: &[u8]| reason(&with(length_at, 1, by));
        assert_eq!(
            length_is(&huge),
            "length is beyond the end of the record",
            "at {length_at}"
        );
        assert_eq!(length_is(&below), "length is below -1", "at {length_at}");
    }
    for count in [&huge[..], &below, &[0x01], &[0x06]] {
        let counted = reason(&with(8, 1, count));
        assert_eq!(
            counted,
            "header count is negative or more than fit the record"
        );
    }
}

#[test]
fn header_keys_are_utf_8_and_not_null() {
    assert_eq!(reason(&with(10, 1, &[0xff])), "header key is not UTF-8");
    assert_eq!(reason(&with(9, 2, &[0x01])), "header key is null");
}

#[test]
fn a_cut_record_is_refused_and_the_position_stays() {
    let bytes = one_record();
    for end in 0..bytes.len() {
        let mut at = 0;
        assert!(read_record(&bytes[..end], &mut at).is_err());
        assert_eq!(at, 0);
    }
    assert!(
        read_record(&bytes, &mut 1_000).is_err(),
        "a position beyond the end"
    );
}

#[test]
fn records_that_are_in_order_are_accepted() {
    for deltas in [&[0][..], &[0, 1, 2], &[3, 5, 9], &[]] {
        let (header, records) = batch_of(deltas);
        assert_eq!(check_records(&records, &header), Ok(()));
        let read: Vec<_> = CheckedRecords::new(&records, header.records_count).collect();
        assert_eq!(
            read.iter()
                .map(|record| record.offset_delta)
                .collect::<Vec<_>>(),
            deltas
        );
    }
}

#[test]
fn offsets_must_rise_and_stay_in_the_batch() {
    let (header, records) = batch_of(&[0, 1, 2]);
    let outside = BatchHeader {
        last_offset_delta: 1,
        ..header
    };
    assert!(check_records(&records, &outside).is_err());
    let (first, second) = records.split_at(records.len() / 3);
    let repeated = [first, first, &second[first.len()..]].concat();
    let refused = check_records(&repeated, &header).unwrap_err();
    assert_eq!(
        refused,
        Invalid {
            at: first.len(),
            reason: "offset does not rise, or leaves the batch"
        }
    );
}

#[test]
fn the_count_must_be_that_of_the_records() {
    let (header, records) = batch_of(&[0, 1, 2]);
    let fewer = BatchHeader {
        records_count: 2,
        ..header
    };
    assert_eq!(
        check_records(&records, &fewer).unwrap_err().reason,
        "bytes are left after the last record"
    );
    for records_count in [4, u32::MAX >> 1] {
        let more = BatchHeader {
            records_count,
            ..header
        };
        assert!(check_records(&records, &more).is_err());
    }
    for end in 0..records.len() {
        assert!(check_records(&records[..end], &header).is_err());
    }
}

#[test]
fn records_that_were_not_checked_end_the_iteration() {
    let (header, records) = batch_of(&[0, 1, 2]);
    let cut = &records[..records.len() - 1];
    assert_eq!(CheckedRecords::new(cut, header.records_count).count(), 2);
    assert_eq!(CheckedRecords::new(&records, u32::MAX).count(), 3);
}

#[test]
fn any_records_come_back_and_their_sizes_were_exact() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut builder = BatchBuilder::new(0, Compression::None);
        let written = random.records();
        for owned in &written {
            let record = owned.borrowed();
            let size = builder
                .encoding(owned.timestamp, record.key, record.value, &record.headers)
                .size();
            let before = builder.size();
            owned.push_to(&mut builder);
            assert_eq!(builder.size() - before, size, "seed {seed}");
        }
        let bytes = builder.finish(ProducerStamp::NONE, false).unwrap();
        let batch = BatchView::parse(bytes).unwrap();
        check_records(batch.records_bytes(), batch.header()).unwrap();
        let read: Vec<_> = CheckedRecords::new(batch.records_bytes(), batch.header().records_count)
            .map(|record| owned(batch.header(), &record))
            .collect();
        assert!(read == written, "seed {seed}: {read:?} is not {written:?}");
    }
}

/// Both readers, of bytes that start with a record; what they agree on.
fn read_twice(bytes: &[u8]) -> Parsed<usize> {
    let (mut at, mut explained_at) = (0, 0);
    let read = read_record(bytes, &mut at);
    let explained = explain_record(bytes, &mut explained_at);
    assert_eq!(read, explained, "{bytes:?}");
    assert_eq!(at, explained_at, "{bytes:?}");
    let mut rest = bytes;
    match take_record(&mut rest).filter(|record| record.headers.are_good()) {
        Some(taken) => assert_eq!(Ok(taken), explained, "{bytes:?}"),
        None => assert!(explained.is_err(), "{bytes:?}"),
    }
    let mut skipped = bytes;
    if explained.is_ok() {
        assert_eq!(skip_record(&mut skipped), Some(()));
        assert_eq!((skipped, rest), (&bytes[at..], &bytes[at..]));
    }
    explained.map(|_| at)
}

#[test]
fn the_quick_reader_accepts_what_the_explaining_one_accepts() {
    // Every change of one byte, of records with long and short fields, and of two beside each other.
    let mut accepted = 0;
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut builder = BatchBuilder::new(0, Compression::None);
        for owned in random.records().iter().take(3) {
            owned.push_to(&mut builder);
        }
        let batch = builder.finish(ProducerStamp::NONE, false).unwrap();
        let mut bytes = batch[HEADER_LEN..].to_vec();
        bytes.truncate(200);
        for at in 0..bytes.len() {
            let before = bytes[at];
            for changed in [
                0,
                1,
                2,
                3,
                0x7e,
                0x7f,
                0x80,
                0x81,
                0xff,
                before ^ 1,
                before ^ 0x80,
            ] {
                bytes[at] = changed;
                accepted += usize::from(read_twice(&bytes).is_ok());
                accepted += usize::from(read_twice(&bytes[at..]).is_ok());
                accepted += usize::from(read_twice(&bytes[..at]).is_ok());
            }
            bytes[at] = before;
        }
    }
    assert!(accepted > 1_000, "{accepted}");
    // Zero in two bytes, as a header count and as a length of no key.
    assert_eq!(read_twice(&[14, 0, 0, 0, 1, 1, 0x80, 0x00]), Ok(8));
    assert_eq!(read_twice(&[14, 0, 0, 0, 0x80, 0x00, 1, 0x00]), Ok(8));
    assert!(read_twice(&[16, 0, 0, 0, 1, 1, 0x80, 0x00, 0]).is_err());
}

fn owned(header: &BatchHeader, record: &RecordView<'_>) -> OwnedRecord {
    OwnedRecord {
        timestamp: header.base_timestamp.wrapping_add(record.timestamp_delta),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record
            .headers
            .iter()
            .map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
    }
}
