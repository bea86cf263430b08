//! The index of aborted transactions, which Kafka needs for as long as records of them are there.

use std::path::Path;

use super::*;
use crate::format::index_entry::AbortedTransaction;

const INDEX: &str = "data/t-0/00000000000000000000.txnindex";

fn listed(disk: &SimDisk) -> Option<Vec<AbortedTransaction>> {
    let bytes = disk.read(Path::new(INDEX))?;
    let (entries, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    let decoded = entries.iter().map(AbortedTransaction::decode);
    Some(decoded.collect::<Result<_, _>>().unwrap())
}

/// An aborted transaction around many other records: first offset, marker's offset.
fn aborted_around_others(fixture: &Fixture) -> (Offset, Offset) {
    let put = |base_sequence| {
        let stamp = ProducerStamp {
            producer_id: 7,
            producer_epoch: 0,
            base_sequence,
        };
        fixture.put_as(&[("a", Some("aborted"))], stamp, true, Compression::None);
    };
    put(0);
    for number in 0..20 {
        fixture.put(&[(&format!("k{number}"), Some("v"))]);
    }
    put(1);
    fixture.end_transaction(MarkerKind::Abort, 7);
    fixture.roll();
    (0, 22)
}

#[test]
fn an_aborted_transaction_is_listed_while_records_of_it_are_left() {
    let fixture = Fixture::new(config().segment_bytes(10_000));
    let (first_offset, last_offset) = aborted_around_others(&fixture);
    assert_eq!(listed(&fixture.disk), None);
    // It comes to the tenth key or so, and so not to the last record of the transaction.
    fixture.compact_at(0, 24 * 10).unwrap();
    assert_eq!(fixture.batches().first(), Some(&(1, 1)), "what it came to");
    let entry = AbortedTransaction {
        producer_id: 7,
        first_offset,
        last_offset,
        last_stable_offset: last_offset + 1,
    };
    assert_eq!(listed(&fixture.disk), Some(vec![entry]));
    let report = fixture.broker.verify().unwrap();
    assert!(report.is_clean(), "{report}");

    let fixture = fixture.reopened();
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.records().len(), 20);
    assert_eq!(listed(&fixture.disk), Some(Vec::new()));
    let report = fixture.broker.verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(fixture.reopened().records().len(), 20);
}
