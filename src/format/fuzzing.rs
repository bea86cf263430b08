//! The decoders, opened to fuzz targets: each takes any bytes, and panics only if a promise breaks.
//!
//! The promises: no decoder panics; what decodes encodes again, and decodes to the same; nothing
//! decompresses beyond its limit.

#![expect(clippy::missing_panics_doc, reason = "panics are how these report")]

use super::Compression;
use super::batch::{
    BatchBuilder, BatchHeader, BatchView, HEADER_LEN, ProducerStamp, UNPROTECTED_LEN, batch_size,
};
use super::compression::{Codec, DecompressError, compress, decompress};
use super::control::{ControlMarker, marker};
use super::crc::crc32c;
pub use super::fuzzing_files::*;
use super::record::{CheckedRecords, RecordView, check_records, explain_record, read_record};
use super::varint::{read_varint, read_varlong, varlong_size, write_varlong};
use crate::record::Record;

/// What a fuzz input may decompress to: enough for several blocks of every codec.
const LIMIT: usize = 1 << 20;

/// A batch with whatever header and records `data` holds; its CRC is made right first.
pub fn batch(data: &[u8]) {
    let size = batch_size(data);
    let header = BatchHeader::parse(data);
    assert!(
        header.is_err() || size.is_ok(),
        "a header parses only with its frame"
    );
    if let Ok(batch) = BatchView::parse(data) {
        assert_eq!(size, Ok(batch.bytes().len()));
        let _ = batch.check_crc();
        let repaired = with_right_crc(batch.bytes());
        let batch = BatchView::parse(&repaired).expect("the CRC is no part of the structure");
        assert_eq!(batch.check_crc(), Ok(()));
        whole_batch(&batch);
    }
}

/// Records, one after the other.
pub fn record(data: &[u8]) {
    let mut at = 0;
    loop {
        let explained = explain_record(data, &mut { at });
        let read = read_record(data, &mut at);
        assert_eq!(read, explained, "both readers accept the same records");
        let Ok(view) = read else {
            return;
        };
        let mut builder = BatchBuilder::new(0, Compression::None);
        builder.set_base_timestamp(0);
        push(&mut builder, &view, view.timestamp_delta);
        if let Ok(bytes) = builder.finish(ProducerStamp::NONE, false) {
            let again = read_record(&bytes[HEADER_LEN..], &mut 0);
            assert_same(&view, &again.expect("what we write is a record"));
        }
    }
}

/// A variable-length integer of both widths.
pub fn varint(data: &[u8]) {
    let read = read_varlong(data, &mut 0);
    if let Ok(value) = read {
        let (mut bytes, mut at) = (vec![0; varlong_size(value)], 0);
        write_varlong(&mut bytes, &mut at, value);
        assert_eq!(bytes.len(), at);
        assert_eq!(read_varlong(&bytes, &mut 0), Ok(value));
    }
    if let Ok(value) = read_varint(data, &mut 0) {
        assert_eq!(read, Ok(i64::from(value)), "both widths agree");
    }
}

/// The key and value of a control record: the first byte says where to part them.
pub fn control(data: &[u8]) {
    let Some((&key_len, rest)) = data.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(usize::from(key_len).min(rest.len()));
    let Ok(Some(parsed)) = ControlMarker::parse(Some(key), Some(value)) else {
        return;
    };
    let bytes = marker(parsed.kind, 1, 1, parsed.coordinator_epoch, 0);
    let record = BatchView::parse(&bytes)
        .and_then(|batch| read_record(batch.records_bytes(), &mut 0))
        .expect("a marker is a batch");
    assert_eq!(
        ControlMarker::parse(record.key, record.value),
        Ok(Some(parsed))
    );
}

/// Any bytes as a gzip stream.
pub fn decompress_gzip(data: &[u8]) {
    decompress_any(Codec::Gzip, data);
}

/// Any bytes as a snappy stream.
pub fn decompress_snappy(data: &[u8]) {
    decompress_any(Codec::Snappy, data);
}

/// Any bytes as an LZ4 frame.
pub fn decompress_lz4(data: &[u8]) {
    decompress_any(Codec::Lz4, data);
}

/// Any bytes as a zstd stream.
pub fn decompress_zstd(data: &[u8]) {
    decompress_any(Codec::Zstd, data);
}

fn decompress_any(codec: Codec, data: &[u8]) {
    if let Ok(plain) = decompress(codec, data, LIMIT) {
        assert!(plain.len() <= LIMIT, "{codec:?} ignores its limit");
        round_trip(codec, &plain);
        if let Some(less) = plain.len().checked_sub(1) {
            assert!(
                decompress(codec, data, less).is_err(),
                "{codec:?} ignores a lower limit"
            );
        }
    }
    round_trip(codec, data);
}

fn round_trip(codec: Codec, plain: &[u8]) {
    let mut compressed = Vec::new();
    if compress(codec, plain, &mut compressed).is_ok() {
        let back = decompress(codec, &compressed, plain.len());
        assert_eq!(back.as_deref(), Ok(plain), "{codec:?}");
    }
}

fn with_right_crc(batch: &[u8]) -> Vec<u8> {
    let crc = crc32c(&batch[UNPROTECTED_LEN..]);
    let mut repaired = batch.to_vec();
    repaired[17..21].copy_from_slice(&crc.to_be_bytes());
    repaired
}

/// If the batch is good, encodes its records again, and expects the same records.
fn whole_batch(batch: &BatchView<'_>) {
    let Ok(plain) = checked_records(batch) else {
        return;
    };
    let header = batch.header();
    let mut builder = BatchBuilder::new(plain.len(), compression(header));
    builder.set_base_timestamp(header.base_timestamp);
    for view in CheckedRecords::new(&plain, header.records_count) {
        push(
            &mut builder,
            &view,
            header.base_timestamp.wrapping_add(view.timestamp_delta),
        );
    }
    let Ok(bytes) = builder.finish_as(header) else {
        return;
    };

    let again = BatchView::parse(bytes).expect("what we write is a batch");
    assert_eq!(again.check_crc(), Ok(()));
    let plain_again = checked_records(&again).expect("what we write is in order");
    let mut records_again = CheckedRecords::new(&plain_again, again.header().records_count);
    for view in CheckedRecords::new(&plain, header.records_count) {
        assert_same(&view, &records_again.next().expect("no record gets lost"));
    }
    assert!(records_again.next().is_none(), "no record appears");
    let expected = BatchHeader {
        size: again.header().size,
        crc: again.header().crc,
        // The codec goes if it does not pay; the max timestamp is that of the records.
        attributes: again.header().attributes,
        max_timestamp: again.header().max_timestamp,
        ..*header
    };
    assert_eq!(*again.header(), expected);
}

/// The decompressed records section, if it passes every check.
fn checked_records(batch: &BatchView<'_>) -> Result<Vec<u8>, &'static str> {
    let header = batch.header();
    let plain = decompress(
        header.attributes.compression(),
        batch.records_bytes(),
        LIMIT,
    );
    let plain = plain.map_err(|error| match error {
        DecompressError::Invalid(reason) | DecompressError::Unsupported(reason) => reason,
    })?;
    check_records(&plain, header).map_err(|invalid| invalid.reason)?;
    let count = CheckedRecords::new(&plain, header.records_count).count();
    assert_eq!(
        u32::try_from(count),
        Ok(header.records_count),
        "checked records can be read"
    );
    Ok(plain)
}

fn compression(header: &BatchHeader) -> Compression {
    match header.attributes.compression() {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

fn push(builder: &mut BatchBuilder, view: &RecordView<'_>, timestamp: i64) {
    let mut record = Record::to("");
    for (key, value) in view.headers.iter() {
        record = match value {
            Some(value) => record.header(key, value),
            None => record.null_header(key),
        };
    }
    assert_eq!(
        record.headers.len(),
        view.headers.len(),
        "every header can be read"
    );
    builder.push_at(
        view.offset_delta,
        timestamp,
        view.key,
        view.value,
        &record.headers,
    );
}

/// Equal in what they say; the bytes may differ, in varints that are longer than they need be.
fn assert_same(left: &RecordView<'_>, right: &RecordView<'_>) {
    let fields = |view: &RecordView<'_>| (view.offset_delta, view.timestamp_delta);
    assert_eq!(fields(left), fields(right));
    assert_eq!((left.key, left.value), (right.key, right.value));
    assert!(left.headers.iter().eq(right.headers.iter()));
}

#[cfg(test)]
mod tests;
