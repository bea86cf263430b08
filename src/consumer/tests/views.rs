//! Record views over batches that other people's code wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::consumer::Records;
use crate::consumer::run::RecordRun;
use crate::disk::real::RealDisk;
use crate::disk::{AppendFile, Disk, MappedBytes, OpenMode};
use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN};
use crate::partition::FetchedBatch;
use crate::record::{Offset, TopicPartition};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/record-batches")
}

/// Bytes in a mapped file, as the log hands them out. The file is gone when this returns.
fn mapped(bytes: &[u8]) -> MappedBytes {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let file = AppendFile::new(
        path.clone(),
        RealDisk.open(&path, OpenMode::Create).unwrap(),
    );
    file.write(bytes, 0).unwrap();
    let end = u64::try_from(bytes.len()).unwrap();
    file.publish(end);
    file.slice(0..end).unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition::new("vectors", 0)
}

fn run_of(batch: &[u8]) -> Result<RecordRun> {
    let header = BatchHeader::parse(batch).unwrap();
    RecordRun::new(
        &partition(),
        FetchedBatch {
            header,
            bytes: mapped(batch),
        },
    )
}

/// The batches of a vector and what they should hold.
fn load(name: &str) -> Vec<(Vec<u8>, Value)> {
    let bytes = fs::read(vectors().join(format!("{name}.bin"))).unwrap();
    let json = fs::read_to_string(vectors().join(format!("{name}.json"))).unwrap();
    let described: Value = serde_json::from_str(&json).unwrap();
    let batches = described["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| {
            let position = usize::try_from(batch["position"].as_u64().unwrap()).unwrap();
            let size = usize::try_from(batch["size_in_bytes"].as_u64().unwrap()).unwrap();
            (bytes[position..position + size].to_vec(), batch.clone())
        });
    batches.collect()
}

fn all_names() -> Vec<String> {
    let names = fs::read_dir(vectors())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let batches = names.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    batches
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn base64(text: &str) -> Vec<u8> {
    let sextet = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text
        .bytes()
        .filter(|&byte| byte != b'=')
        .map(sextet)
        .collect();
    let bits = digits
        .iter()
        .flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    bits.chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit))
        .collect()
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(base64(text)),
        repeated => {
            let times = usize::try_from(repeated["times"].as_u64().unwrap()).unwrap();
            Some(base64(repeated["repeat"].as_str().unwrap()).repeat(times))
        }
    }
}

#[test]
fn every_vector_shows_the_records_it_describes() {
    let names = all_names();
    assert!(names.len() >= 20, "vectors are missing: {names:?}");
    for name in names {
        for (bytes, described) in load(&name) {
            let run = run_of(&bytes).unwrap();
            let expected = described["records"].as_array().unwrap();
            assert_eq!(run.len(), expected.len(), "{name}");
            assert_eq!(run.iter().count(), expected.len(), "{name}");
            assert_eq!(
                run.end_offset(),
                described["last_offset"].as_u64().unwrap() + 1,
                "{name}"
            );
            for (record, expected) in run.iter().zip(expected) {
                assert_eq!(
                    record.offset(),
                    expected["offset"].as_u64().unwrap(),
                    "{name}"
                );
                assert_eq!(
                    record.timestamp(),
                    expected["timestamp"].as_i64().unwrap(),
                    "{name}"
                );
                assert_eq!(
                    record.key(),
                    bytes_of(&expected["key"]).as_deref(),
                    "{name}"
                );
                assert_eq!(
                    record.value(),
                    bytes_of(&expected["value"]).as_deref(),
                    "{name}"
                );
                let headers: Vec<_> = record
                    .headers()
                    .map(|header| (header.key().to_owned(), header.value().map(<[u8]>::to_vec)))
                    .collect();
                let wanted = expected["headers"].as_array().unwrap().iter();
                let wanted: Vec<_> = wanted
                    .map(|header| (header[0].as_str().unwrap().to_owned(), bytes_of(&header[1])))
                    .collect();
                assert_eq!(headers, wanted, "{name}");
                assert_eq!(record.headers().len(), wanted.len(), "{name}");
            }
        }
    }
}

#[test]
fn records_stamped_by_the_log_all_report_its_time() {
    let (bytes, described) = load("log-append-time").remove(0);
    let run = run_of(&bytes).unwrap();
    let time = described["max_timestamp"].as_i64().unwrap();
    assert!(run.iter().all(|record| {
        record.timestamp() == time && record.timestamp_type() == TimestampType::LogAppendTime
    }));
}

#[test]
fn splitting_a_run_loses_and_repeats_nothing() {
    for name in ["varint-boundaries", "zstd", "compacted", "lz4"] {
        let (bytes, _) = load(name).remove(0);
        let whole = run_of(&bytes).unwrap();
        let all: Vec<Offset> = whole.iter().map(|record| record.offset()).collect();
        for size in [1, 2, 3, 7, all.len(), all.len() + 1] {
            let (mut rest, mut parts, mut byte_count) = (whole.clone(), Vec::new(), 0);
            while !rest.is_empty() {
                assert_eq!(rest.next_offset(), all[parts.len()], "{name}");
                let part = rest.split_to(size);
                assert!(part.len() <= size);
                byte_count += part.byte_len();
                parts.extend(part.iter().map(|record| record.offset()));
            }
            assert_eq!(parts, all, "{name} by {size}");
            assert_eq!(byte_count, whole.byte_len(), "{name} by {size}");
            assert_eq!(rest.next_offset(), whole.end_offset(), "{name}");
        }
    }
}

#[test]
fn records_below_the_wanted_offset_are_dropped() {
    let (bytes, _) = load("compacted").remove(0);
    // Offsets 400, 403 and 407 are left of 400 to 409.
    for (wanted, first) in [
        (0, 400),
        (400, 400),
        (401, 403),
        (403, 403),
        (407, 407),
        (408, 410),
    ] {
        let mut run = run_of(&bytes).unwrap();
        run.skip_below(wanted);
        assert_eq!(run.next_offset(), first, "from {wanted}");
        assert_eq!(run.is_empty(), first == 410);
    }
}

#[test]
fn walking_record_by_record_is_the_same_as_iterating() {
    let (bytes, _) = load("headers").remove(0);
    let whole = run_of(&bytes).unwrap();
    let mut walked = whole.clone();
    for expected in whole.iter() {
        assert_eq!(walked.next(), Some(expected));
    }
    assert_eq!(walked.next(), None);
}

#[test]
fn a_batch_that_lies_about_its_records_is_corrupt_and_not_half_shown() {
    let (good, _) = load("varint-boundaries").remove(0);
    for position in HEADER_LEN..HEADER_LEN + 200 {
        let mut bad = good.clone();
        bad[position] ^= 0x41;
        // Changes to keys and values go unseen here: that is the checksum's work.
        match run_of(&bad) {
            Ok(run) => assert_eq!(run.iter().count(), run.len()),
            Err(Error::Corrupt { reason, .. }) => assert!(reason.contains("batch of offsets")),
            Err(other) => panic!("{other}"),
        }
    }
    for name in ["gzip", "snappy", "lz4", "zstd"] {
        let (mut bad, _) = load(name).remove(0);
        let middle = bad.len() / 2;
        bad[middle..].fill(0);
        assert!(matches!(run_of(&bad), Err(Error::Corrupt { .. })), "{name}");
    }
}

#[test]
fn records_know_their_number_and_their_partitions() {
    let mut records = Records::with_capacity(3);
    let others = TopicPartition::new("others", 7);
    for (id, name) in [
        (&partition(), "gzip"),
        (&partition(), "headers"),
        (&others, "snappy"),
    ] {
        let (bytes, _) = load(name).remove(0);
        let header = *BatchView::parse(&bytes).unwrap().header();
        records.push(
            RecordRun::new(
                id,
                FetchedBatch {
                    header,
                    bytes: mapped(&bytes),
                },
            )
            .unwrap(),
        );
    }
    assert_eq!(records.len(), records.iter().count());
    assert_eq!(records.iter().len(), records.len());
    assert_eq!(
        records.partitions().collect::<Vec<_>>(),
        [&partition(), &others]
    );
    let of_others = records.records_of(&others).count();
    assert_eq!(
        of_others + records.records_of(&partition()).count(),
        records.len()
    );
    assert_eq!(of_others, 40);
}

#[test]
fn records_are_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Records>();
    let (bytes, _) = load("single-record").remove(0);
    let mut records = Records::default();
    records.push(run_of(&bytes).unwrap());
    let records = Arc::new(records);
    let other = Arc::clone(&records);
    let count = std::thread::spawn(move || other.iter().count())
        .join()
        .unwrap();
    assert_eq!(count, records.len());
}
