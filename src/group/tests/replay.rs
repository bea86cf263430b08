//! What the records of a log stand for, also those that Kafka wrote.

use super::*;
use crate::Error;
use crate::format::control::{MarkerKind, marker};

#[test]
fn the_last_record_of_a_key_wins_and_a_tombstone_removes() {
    let broker = state(&broker_on(&SimDisk::new()));
    let log = home(&broker, "g");
    write(
        &log,
        &[
            (key("g", "t"), Some(value(1))),
            (key("g", "u"), Some(value(9))),
        ],
    );
    write(&log, &[(vec![0, 9], Some(b"of a kind not known".to_vec()))]);
    write(
        &log,
        &[(key("g", "t"), Some(value(2))), (key("g", "u"), None)],
    );
    assert_eq!(fetch(&broker, "g", 0), Some(2));
    let gone = broker
        .offsets()
        .fetch(&broker, "g", &TopicPartition::new("u", 0));
    assert_eq!(gone.unwrap(), None);
}

#[test]
fn offsets_of_a_transaction_count_once_it_is_committed() {
    let broker = state(&broker_on(&SimDisk::new()));
    let log = home(&broker, "g");
    write(&log, &[(key("g", "t"), Some(value(1)))]);
    for (producer, topic) in [(7, "t"), (8, "aborted"), (9, "open")] {
        let stamp = ProducerStamp {
            producer_id: producer,
            producer_epoch: 0,
            base_sequence: 0,
        };
        let mut batch = BatchBuilder::new(1024, Compression::None);
        batch.push(
            0,
            Some(&key("g", topic)),
            Some(&value(4)),
            &Headers::default(),
        );
        log.append(batch.finish(stamp, true).unwrap(), Durability::Written)
            .unwrap();
    }
    log.append(
        &mut marker(MarkerKind::Commit, 7, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    log.append(
        &mut marker(MarkerKind::Abort, 8, 0, 0, 0),
        Durability::Written,
    )
    .unwrap();
    assert_eq!(fetch(&broker, "g", 0), Some(4));
    for topic in ["aborted", "open"] {
        let partition = TopicPartition::new(topic, 0);
        assert_eq!(
            broker.offsets().fetch(&broker, "g", &partition).unwrap(),
            None,
            "{topic}"
        );
    }
}

#[test]
fn records_that_break_the_schema_fail_their_groups_and_no_others() {
    let broker = state(&broker_on(&SimDisk::new()));
    commit(&broker, "other", 0, OffsetAndMetadata::at(2));
    assert_ne!(partition_for("g", 50), partition_for("other", 50));
    let log = home(&broker, "g");
    write(&log, &[(key("g", "t"), Some(value(1)))]);
    write(&log, &[(key("g", "t"), Some(b"\0\x03short".to_vec()))]);
    let offsets = broker.offsets();
    for _ in 0..2 {
        assert!(matches!(
            offsets.fetch(&broker, "g", &id(0)),
            Err(Error::Corrupt { .. })
        ));
        let refused = offsets.commit(
            &broker,
            "g",
            &[(id(0), OffsetAndMetadata::at(1))],
            DataSync::First,
            |write| write(),
        );
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
    }
    assert_eq!(fetch(&broker, "other", 0), Some(2));
}
