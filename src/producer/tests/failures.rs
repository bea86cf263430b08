use std::io;

use super::*;
use crate::config::Durability;
use crate::error::Error;
use crate::sim::{Fault, Operation};

fn fill(fixture: &Fixture) {
    fixture.disk.set_capacity(Some(fixture.disk.used()));
}

#[test]
fn a_full_disk_fails_the_delivery_and_the_next_flush_once() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    send(&producer, "a").unwrap().wait().unwrap();
    fill(&fixture);
    let waited = send(&producer, "b").unwrap().wait();
    assert!(matches!(waited, Err(Error::DiskFull { .. })), "{waited:?}");
    assert!(matches!(producer.flush(), Err(Error::DiskFull { .. })));
    producer.flush().unwrap();
}

#[test]
fn dropped_deliveries_lose_no_failure() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    send(&producer, "a").unwrap().wait().unwrap();
    fill(&fixture);
    drop(send(&producer, "b").unwrap());
    fixture.clock.advance(LINGER);
    fixture.broker.run_housekeeping().unwrap();
    drop(send(&producer, "c").unwrap());
    fixture.disk.set_capacity(None);
    assert!(
        matches!(producer.flush(), Err(Error::DiskFull { .. })),
        "of `b`"
    );
    assert_eq!(
        fixture.values(0),
        ["a", "c"],
        "each batch is tried for itself"
    );
}

#[test]
fn a_batch_that_failed_uses_no_sequence_numbers() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    send(&producer, "a").unwrap().wait().unwrap();
    fill(&fixture);
    let failed: Vec<_> = ["b", "c"]
        .map(|value| send(&producer, value).unwrap())
        .into();
    let failed = failed
        .into_iter()
        .map(|delivery| delivery.wait().unwrap_err().is_retryable());
    assert_eq!(failed.collect::<Vec<_>>(), [true, true]);
    fixture.disk.set_capacity(None);
    assert_eq!(send(&producer, "b").unwrap().wait().unwrap().offset(), 1);
    let sequences: Vec<_> = batches(&producer, 0)
        .iter()
        .map(|batch| batch.base_sequence)
        .collect();
    assert_eq!(sequences, [0, 1]);
}

#[test]
fn a_failed_sync_is_indefinite_and_stops_the_partition() {
    let fixture = Fixture::new(2);
    let producer = fixture.build(|builder| builder.durability(Durability::Synced));
    send(&producer, "a").unwrap().wait().unwrap();
    fixture
        .disk
        .fail(Fault::error(Operation::Sync, io::ErrorKind::Other).on_path(".log"));
    let (first, second) = (send(&producer, "b").unwrap(), send(&producer, "b").unwrap());
    let waited = first.wait().unwrap_err();
    assert!(waited.is_indefinite(), "{waited}");
    assert!(second.is_done(), "waiting longer would not help");
    let later = send(&producer, "c").unwrap().wait();
    assert!(
        matches!(later, Err(Error::StorageFailed { .. })),
        "{later:?}"
    );
    assert!(matches!(producer.flush(), Err(Error::StorageFailed { .. })));
    let elsewhere = producer.send(Record::to("t").partition(1)).unwrap();
    assert_eq!(elsewhere.wait().unwrap().offset(), 0);
}

#[test]
fn after_the_broker_closed_nothing_is_accepted() {
    let fixture = Fixture::new(1);
    let producer = fixture.producer();
    let delivery = send(&producer, "a").unwrap();
    fixture.broker.clone().close().unwrap();
    assert_eq!(delivery.wait().unwrap().offset(), 0, "closing flushed it");
    assert!(matches!(send(&producer, "b"), Err(Error::Closed(_))));
    assert!(matches!(
        fixture.broker.producer().build(),
        Err(Error::Closed(_))
    ));
    producer.close().unwrap();
}

#[test]
fn bad_values_are_refused_when_the_producer_is_built() {
    let fixture = Fixture::new(1);
    let refused = fixture.broker.producer().linger(Duration::MAX).build();
    assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
    let refused = fixture.broker.producer().batch_size(usize::MAX).build();
    assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
}
