//! Holds `docs/format.md` to the truth: its examples are decoded, and made again.

use super::batch::{BatchBuilder, BatchView, ProducerStamp, set_base_offset, set_leader_epoch};
use super::manifest::Manifest;
use super::record::{RecordView, check_records, read_record};
use super::{Compression, TimestampType};
use crate::record::Record;

const DOCUMENT: &str = include_str!("../../docs/format.md");

/// The fenced block that begins with these words.
fn block(start: &str) -> &'static str {
    let at = DOCUMENT.find(start).unwrap() + start.len();
    DOCUMENT[at..].split("```").next().unwrap()
}

/// The bytes of the `hex` block: on each line what stands before the description.
fn example() -> Vec<u8> {
    let lines = block("```hex\n").lines();
    let pairs = lines.flat_map(|line| line.split("  ").next().unwrap().split(' '));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

#[test]
fn the_example_in_the_document_is_the_batch_it_describes() {
    let bytes = example();
    assert_eq!(bytes.len(), 100);
    let batch = BatchView::parse(&bytes).unwrap();
    batch.check_crc().unwrap();
    let header = batch.header();
    assert_eq!(
        (
            header.base_offset,
            header.last_offset(),
            header.next_offset()
        ),
        (42, 43, 44)
    );
    assert_eq!(usize::try_from(header.size).unwrap(), bytes.len());
    assert_eq!(header.leader_epoch, 3);
    assert_eq!(header.attributes.raw(), 0);
    assert_eq!(
        header.attributes.timestamp_type(),
        TimestampType::CreateTime
    );
    assert_eq!(header.base_timestamp, 1_700_000_000_000);
    assert_eq!(header.max_timestamp, 1_700_000_000_250);
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (7, 0, 0)
    );
    assert_eq!(header.records_count, 2);
    check_records(batch.records_bytes(), header).unwrap();
}

#[test]
fn the_records_in_the_document_are_those_it_describes() {
    let bytes = example();
    let records = BatchView::parse(&bytes).unwrap().records_bytes();
    let mut at = 0;
    let first = read_record(records, &mut at).unwrap();
    let second = read_record(records, &mut at).unwrap();
    assert_eq!(at, records.len());
    let plain = |record: &RecordView<'_>| (record.offset_delta, record.timestamp_delta);
    assert_eq!((plain(&first), plain(&second)), ((0, 0), (1, 250)));
    assert_eq!(
        (first.key, first.value),
        (Some(&b"alice"[..]), Some(&b"/home"[..]))
    );
    assert_eq!((second.key, second.value), (Some(&b"bob"[..]), None));
    let headers: Vec<_> = first.headers.iter().collect();
    assert_eq!(headers, [("source", Some(&b"web"[..]))]);
    assert_eq!(second.headers.iter().count(), 0);
}

#[test]
fn the_example_in_the_document_is_what_we_write() {
    let mut builder = BatchBuilder::new(0, Compression::None);
    let first = Record::to("t")
        .key("alice")
        .value("/home")
        .header("source", "web");
    let second = Record::to("t").key("bob");
    for (record, timestamp) in [(first, 1_700_000_000_000), (second, 1_700_000_000_250)] {
        builder.push(timestamp, record.key, record.value, &record.headers);
    }
    let stamp = ProducerStamp {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
    };
    let batch = builder.finish(stamp, false).unwrap();
    set_base_offset(batch, 42);
    set_leader_epoch(batch, 3);
    assert_eq!(batch, example());
}

#[test]
fn the_manifest_in_the_document_is_one() {
    let text = [
        "streamlog-topics 1\n",
        block("```text\nstreamlog-topics 1\n"),
    ]
    .concat();
    let manifest = Manifest::decode(text.as_bytes()).unwrap();
    assert_eq!(manifest.next_producer_id, 1000);
    assert_eq!(manifest.topics.len(), 2);
    assert_eq!(
        manifest.topics[0].config,
        [("retention.ms".to_owned(), "-1".to_owned())]
    );
    assert_eq!(manifest.topics[0].log_starts, [(2, 5000)]);
    assert!(manifest.topics[1].adopted);
    assert_eq!(manifest.encode(), text.as_bytes());
}
