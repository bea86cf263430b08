//! Batches that other people's code made, from `tests/vectors/record-batches`: the bytes of a segment
//! file, and what a correct reader finds in them. Goal: every field of every file is read right, and
//! what leaves the writer no choice is written back byte for byte.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::batch::{BatchBuilder, BatchHeader, BatchView, ProducerStamp};
use super::compression::{Codec, compress, decompress};
use super::control::{ControlMarker, MarkerKind, marker};
use super::record::{CheckedRecords, RecordView, check_records};
use super::{Compression, TimestampType, batch};
use crate::record::{Record, Timestamp};

const FILES: [&str; 20] = [
    "single-record",
    "null-key-and-value",
    "empty-key-and-value",
    "headers",
    "varint-boundaries",
    "negative-timestamp-deltas",
    "no-timestamp",
    "large-record",
    "gzip",
    "snappy",
    "lz4",
    "zstd",
    "idempotent",
    "sequence-wrap",
    "transactional",
    "control-markers",
    "log-append-time",
    "compacted",
    "delete-horizon",
    "segment-fragment",
];

fn directory() -> PathBuf {
    [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "vectors",
        "record-batches",
    ]
    .iter()
    .collect()
}

/// The bytes of every vector file, with its name; but for those whose codec is compiled out.
pub(super) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |name| fs::read(directory().join(format!("{name}.bin"))).unwrap();
    let compiled_in = |bytes: &[u8]| {
        let codec = BatchHeader::parse(bytes).unwrap().attributes.compression();
        compress(codec, b"", &mut Vec::new()).is_ok()
    };
    let files = FILES.iter().map(|&name| (name, bytes(name)));
    files.filter(|(_, bytes)| compiled_in(bytes)).collect()
}

/// What the reader is to find in a file, batch by batch.
fn expected_batches(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory().join(format!("{name}.json"))).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(batches) = file["batches"].take() else {
        panic!("{name}: no batches")
    };
    batches
}

/// Splits a segment file into its batches, and checks each one's CRC.
fn batches(bytes: &[u8]) -> Vec<BatchView<'_>> {
    let mut rest = bytes;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        assert!(batch::batch_size(rest).unwrap() <= rest.len());
        let batch = BatchView::parse(rest).unwrap();
        batch.check_crc().unwrap();
        rest = &rest[batch.bytes().len()..];
        batches.push(batch);
    }
    batches
}

fn plain_records(batch: &BatchView<'_>) -> Vec<u8> {
    let header = batch.header();
    let codec = header.attributes.compression();
    let records = decompress(codec, batch.records_bytes(), 1 << 20).unwrap();
    check_records(&records, header).unwrap();
    records
}

fn timestamp(header: &BatchHeader, record: &RecordView<'_>) -> Timestamp {
    match header.attributes.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp + record.timestamp_delta,
        TimestampType::LogAppendTime => header.max_timestamp,
    }
}

/// Describes a batch the way the JSON files do, but for records and control markers.
fn describe(position: usize, header: &BatchHeader) -> Value {
    json!({
        "position": position,
        "size_in_bytes": header.size,
        "base_offset": header.base_offset,
        "batch_length": header.size - 12,
        "partition_leader_epoch": header.leader_epoch,
        "magic": 2,
        "crc": header.crc,
        "attributes": header.attributes.raw(),
        "compression": header.attributes.compression().name(),
        "timestamp_type": header.attributes.timestamp_type().to_string(),
        "is_transactional": header.attributes.is_transactional(),
        "is_control": header.attributes.is_control(),
        "delete_horizon_ms": header.delete_horizon(),
        "last_offset_delta": header.last_offset_delta,
        "last_offset": header.last_offset(),
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "last_sequence": header.last_sequence(),
        "records_count": header.records_count,
    })
}

fn describe_control(record: &RecordView<'_>) -> Value {
    let marker = ControlMarker::parse(record.key, record.value)
        .unwrap()
        .unwrap();
    json!({
        "key_version": 0,
        "type": match marker.kind { MarkerKind::Abort => "ABORT", MarkerKind::Commit => "COMMIT" },
        "value_version": 0,
        "coordinator_epoch": marker.coordinator_epoch,
    })
}

/// Base64 or null, or `{"repeat": base64, "times": n}`.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(base64(text)),
        value => {
            let times = usize::try_from(value["times"].as_u64().unwrap()).unwrap();
            Some(base64(value["repeat"].as_str().unwrap()).repeat(times))
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| DIGITS.iter().position(|&digit| digit == byte).unwrap();
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').collect();
    let decode = |group: &[u8]| {
        let bits = group
            .iter()
            .fold(0, |bits, &byte| (bits << 6) | digit(byte));
        // A group of n digits holds n - 1 bytes, from the top.
        let bits = bits << (6 * (4 - group.len()));
        bits.to_be_bytes()[size_of::<usize>() - 3..][..group.len() - 1].to_vec()
    };
    digits.chunks(4).flat_map(decode).collect()
}

fn assert_record(context: &str, header: &BatchHeader, record: &RecordView<'_>, expected: &Value) {
    assert_eq!(
        json!(header.base_offset + u64::from(record.offset_delta)),
        expected["offset"],
        "{context}"
    );
    assert_eq!(
        json!(timestamp(header, record)),
        expected["timestamp"],
        "{context}"
    );
    assert_eq!(
        record.key.map(<[u8]>::to_vec),
        bytes_of(&expected["key"]),
        "{context}"
    );
    assert_eq!(
        record.value.map(<[u8]>::to_vec),
        bytes_of(&expected["value"]),
        "{context}"
    );
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec)))
        .collect();
    let expected: Vec<_> = expected["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap().to_owned(), bytes_of(&pair[1])))
        .collect();
    assert_eq!(headers, expected, "{context}");
}

fn push(builder: &mut BatchBuilder, timestamp: Timestamp, view: &RecordView<'_>) {
    let mut record = Record::to("");
    for (key, value) in view.headers.iter() {
        record = match value {
            Some(value) => record.header(key, value),
            None => record.null_header(key),
        };
    }
    builder.push_at(
        view.offset_delta,
        timestamp,
        view.key,
        view.value,
        &record.headers,
    );
}

/// Puts the records of a batch into `builder`, at their offsets.
fn refill(builder: &mut BatchBuilder, header: &BatchHeader, records: &[u8]) {
    builder.clear();
    if header.delete_horizon().is_some() {
        builder.set_base_timestamp(header.base_timestamp);
    }
    for view in CheckedRecords::new(records, header.records_count) {
        push(builder, header.base_timestamp + view.timestamp_delta, &view);
    }
}

#[test]
fn every_field_of_every_vector_is_read() {
    for (name, bytes) in files() {
        let mut position = 0;
        let batches = batches(&bytes);
        let expected = expected_batches(name);
        assert_eq!(batches.len(), expected.len(), "{name}");
        for (batch, mut expected) in batches.iter().zip(expected) {
            let header = batch.header();
            let records = plain_records(batch);
            let records: Vec<_> = CheckedRecords::new(&records, header.records_count).collect();
            let Value::Array(expected_records) = expected["records"].take() else {
                panic!("{name}")
            };
            assert_eq!(records.len(), expected_records.len(), "{name}");
            for (record, expected) in records.iter().zip(&expected_records) {
                assert_record(name, header, record, expected);
            }

            let mut description = describe(position, header);
            description["records"] = Value::Null;
            if header.attributes.is_control() {
                description["control"] = describe_control(&records[0]);
            }
            assert_eq!(description, expected, "{name}");
            assert_eq!(header.next_offset(), header.last_offset() + 1);
            position += batch.bytes().len();
        }
    }
}

#[test]
fn uncompressed_vectors_are_written_back_byte_for_byte() {
    let mut builder = BatchBuilder::new(1024, Compression::None);
    let mut written_back = 0;
    for (name, bytes) in files() {
        for batch in batches(&bytes) {
            let header = batch.header();
            if header.attributes.compression() == Codec::None {
                refill(&mut builder, header, batch.records_bytes());
                let again = builder.finish_as(header).unwrap();
                assert!(
                    again == batch.bytes(),
                    "{name}: {again:?} is not {:?}",
                    batch.bytes()
                );
                written_back += 1;
            }
        }
    }
    assert_eq!(
        written_back, 23,
        "batches without compression in the vectors"
    );
}

/// What producers write needs no `finish_as`: the log then sets offset, epoch and append time.
#[test]
fn the_path_of_producer_and_log_gives_the_bytes_of_other_clients() {
    let mut builder = BatchBuilder::new(1024, Compression::None);
    for (name, bytes) in files() {
        for batch in batches(&bytes) {
            let header = batch.header();
            let attributes = header.attributes;
            let compacted = name == "compacted" || attributes.has_delete_horizon();
            if compacted || attributes.is_control() || attributes.compression() != Codec::None {
                continue;
            }
            builder.clear();
            for view in CheckedRecords::new(batch.records_bytes(), header.records_count) {
                push(
                    &mut builder,
                    header.base_timestamp + view.timestamp_delta,
                    &view,
                );
            }
            let stamp = ProducerStamp {
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            };
            let again = builder
                .finish(stamp, attributes.is_transactional())
                .unwrap();
            if attributes.timestamp_type() == TimestampType::LogAppendTime {
                batch::set_log_append_time(again, header.max_timestamp);
            }
            batch::set_base_offset(again, header.base_offset);
            batch::set_leader_epoch(again, header.leader_epoch);
            assert!(
                again == batch.bytes(),
                "{name}: {again:?} is not {:?}",
                batch.bytes()
            );
        }
    }
}

#[test]
fn control_markers_are_written_byte_for_byte() {
    let mut markers = 0;
    for (name, bytes) in files() {
        for batch in batches(&bytes)
            .iter()
            .filter(|batch| batch.header().attributes.is_control())
        {
            let header = batch.header();
            let record = CheckedRecords::new(batch.records_bytes(), 1)
                .next()
                .unwrap();
            let read = ControlMarker::parse(record.key, record.value)
                .unwrap()
                .unwrap();
            let mut again = marker(
                read.kind,
                header.producer_id,
                header.producer_epoch,
                read.coordinator_epoch,
                header.base_timestamp,
            );
            batch::set_base_offset(&mut again, header.base_offset);
            batch::set_leader_epoch(&mut again, header.leader_epoch);
            assert_eq!(again, batch.bytes(), "{name}");
            markers += 1;
        }
    }
    assert!(markers >= 4, "two alone, two in the segment");
}

#[cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
#[test]
fn compressed_vectors_survive_another_compression_in_every_codec() {
    use Compression::{Gzip, Lz4, None, Snappy, Zstd};
    for compression in [None, Gzip, Snappy, Lz4, Zstd] {
        let mut builder = BatchBuilder::new(1024, compression);
        for (name, bytes) in files() {
            for batch in batches(&bytes) {
                let header = batch.header();
                let plain = plain_records(&batch);
                refill(&mut builder, header, &plain);
                let again = BatchView::parse(builder.finish_as(header).unwrap()).unwrap();
                again.check_crc().unwrap();
                assert_eq!(plain_records(&again), plain, "{name} in {compression}");
                assert_eq!(again.header().max_timestamp, header.max_timestamp, "{name}");
                assert_eq!(
                    again.header().base_timestamp,
                    header.base_timestamp,
                    "{name}"
                );
                if header.attributes.compression() != Codec::None && compression != None {
                    assert_eq!(
                        Some(again.header().attributes.compression()),
                        compression.codec(),
                        "{name}"
                    );
                }
            }
        }
    }
}
