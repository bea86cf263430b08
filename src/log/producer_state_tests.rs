use super::*;

const PRODUCER: i64 = 4711;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x30;

/// The header of a batch, as if parsed from a log.
#[derive(Debug, Clone, Copy)]
struct Batch {
    base_offset: u64,
    count: u32,
    attributes: i16,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
    timestamp: i64,
}

/// `count` records of epoch 0 from `sequence` on.
fn batch(sequence: i32, count: u32) -> Batch {
    Batch {
        base_offset: 0,
        count,
        attributes: 0,
        producer_id: PRODUCER,
        epoch: 0,
        sequence,
        timestamp: 1_000,
    }
}

fn marker(epoch: i16) -> Batch {
    Batch {
        attributes: CONTROL,
        epoch,
        ..batch(-1, 1)
    }
}

impl Batch {
    fn at(self, base_offset: u64) -> Self {
        Self {
            base_offset,
            ..self
        }
    }

    fn epoch(self, epoch: i16) -> Self {
        Self { epoch, ..self }
    }

    fn header(self) -> BatchHeader {
        let mut bytes = self.base_offset.to_be_bytes().to_vec();
        bytes.extend_from_slice(&49_i32.to_be_bytes());
        bytes.extend_from_slice(&0_i32.to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.attributes.to_be_bytes());
        bytes.extend_from_slice(&(self.count - 1).to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.producer_id.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        BatchHeader::parse(&bytes).unwrap()
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

fn state(batches: &[Batch]) -> ProducerState {
    let mut state = ProducerState::default();
    for batch in batches {
        state.record(&batch.header());
    }
    state
}

fn check(state: &ProducerState, batch: Batch) -> Result<Verdict> {
    state.check(&batch.header(), &partition())
}

#[track_caller]
fn assert_appends(state: &ProducerState, batch: Batch) {
    assert_eq!(check(state, batch).unwrap(), Verdict::Append, "{batch:?}");
}

#[track_caller]
fn assert_duplicate(state: &ProducerState, batch: Batch, offsets: (u64, u64)) {
    match check(state, batch).unwrap() {
        Verdict::Duplicate(known) => assert_eq!((known.base_offset, known.last_offset), offsets),
        Verdict::Append => panic!("{batch:?} would be written twice"),
    }
}

#[track_caller]
fn assert_out_of_order(state: &ProducerState, batch: Batch, wanted: i32) {
    match check(state, batch) {
        Err(Error::OutOfOrderSequence {
            sequence,
            expected,
            producer_id,
            ..
        }) => {
            assert_eq!(
                (sequence, expected, producer_id),
                (batch.sequence, wanted, PRODUCER)
            );
        }
        other => panic!("{batch:?}: {other:?}"),
    }
}

#[test]
fn batches_without_a_producer_pass_and_leave_no_trace() {
    let anonymous = Batch {
        producer_id: -1,
        epoch: -1,
        ..batch(-1, 3)
    };
    let state = state(&[anonymous]);
    assert_eq!(state, ProducerState::default());
    assert_appends(&state, anonymous);
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    assert_appends(&state(&[]), batch(0, 3));
    assert_appends(&state(&[]), batch(77, 3));
}

#[test]
fn the_next_sequence_is_appended() {
    assert_appends(&state(&[batch(0, 3)]), batch(3, 1));
}

#[test]
fn each_of_the_last_five_batches_is_answered_with_its_first_offsets() {
    let batches: Vec<_> = (0..6)
        .map(|i| batch(i * 10, 10).at(100 + u64::try_from(i).unwrap() * 50))
        .collect();
    let state = state(&batches);
    for (known, base) in batches[1..].iter().zip([150, 200, 250, 300, 350]) {
        assert_duplicate(&state, known.at(0), (base, base + 9));
    }
    assert_out_of_order(&state, batches[0], 60);
}

#[test]
fn gaps_partial_overlaps_and_older_repeats_are_out_of_order() {
    let state = state(&[batch(0, 10), batch(10, 10).at(10)]);
    assert_out_of_order(&state, batch(21, 1), 20);
    assert_out_of_order(&state, batch(10, 5), 20);
    assert_out_of_order(&state, batch(15, 5), 20);
    assert_out_of_order(&state, batch(5, 10), 20);
    assert_out_of_order(&state, batch(0, 20), 20);
}

#[test]
fn after_the_largest_sequence_comes_zero() {
    let at_the_end = state(&[batch(i32::MAX - 2, 3)]);
    assert_appends(&at_the_end, batch(0, 1));
    assert_out_of_order(&at_the_end, batch(1, 1), 0);

    let wraps_inside = batch(i32::MAX - 2, 5).at(70);
    let state = state(&[wraps_inside]);
    assert_appends(&state, batch(2, 1));
    assert_duplicate(&state, wraps_inside, (70, 74));
}

#[test]
fn an_older_epoch_is_fenced_even_if_it_repeats_a_batch() {
    let state = state(&[batch(0, 3).epoch(4), batch(0, 3).epoch(5)]);
    assert!(matches!(
        check(&state, batch(0, 3).epoch(4)),
        Err(Error::Fenced { .. })
    ));
}

#[test]
fn a_new_epoch_starts_at_zero_and_forgets_the_old_batches() {
    let mut state = state(&[batch(0, 3)]);
    assert_out_of_order(&state, batch(3, 1).epoch(1), 0);
    assert_appends(&state, batch(0, 3).epoch(1));
    state.record(&batch(0, 1).epoch(1).at(3).header());
    assert_duplicate(&state, batch(0, 1).epoch(1), (3, 3));
    assert_out_of_order(&state, batch(0, 3).epoch(1), 1);
}

#[test]
fn markers_keep_the_batches_unless_their_epoch_is_new() {
    let mut state = state(&[batch(0, 3), marker(0).at(3)]);
    assert_appends(&state, batch(3, 1));
    assert_duplicate(&state, batch(0, 3), (0, 2));
    state.record(&marker(1).at(4).header());
    assert_out_of_order(&state, batch(3, 1).epoch(1), 0);
    assert_appends(&state, batch(0, 1).epoch(1));
}

#[test]
fn records_outside_of_an_open_transaction_are_refused() {
    let inside = |sequence| Batch {
        attributes: TRANSACTIONAL,
        ..batch(sequence, 2)
    };
    let mut state = state(&[inside(0)]);
    assert_appends(&state, inside(2));
    assert!(matches!(
        check(&state, batch(2, 2)),
        Err(Error::IllegalState(_))
    ));
    state.record(&marker(0).at(2).header());
    assert_appends(&state, batch(2, 2));
}

#[test]
fn producers_do_not_disturb_each_other() {
    let other = Batch {
        producer_id: 1,
        ..batch(0, 9)
    };
    let state = state(&[batch(0, 3), other]);
    assert_appends(&state, batch(3, 1));
    assert_appends(
        &state,
        Batch {
            sequence: 9,
            ..other
        },
    );
}

#[test]
fn silent_producers_expire_unless_a_transaction_is_open() {
    let day = Duration::from_secs(86_400);
    let open = Batch {
        attributes: TRANSACTIONAL,
        producer_id: 1,
        ..batch(0, 1)
    };
    let mut state = state(&[batch(0, 3), open]);
    state.expire(1_000 + 86_400_000 - 1, day);
    assert_duplicate(&state, batch(0, 3), (0, 2));
    state.expire(1_000 + 86_400_000, day);
    assert_appends(&state, batch(0, 3));
    assert_eq!(
        state.to_snapshot().len(),
        1,
        "the one with a transaction stays"
    );
}

#[test]
fn a_snapshot_keeps_the_last_batch_of_each_producer() {
    let open = Batch {
        attributes: TRANSACTIONAL,
        producer_id: 1,
        ..batch(i32::MAX, 4)
    }
    .at(20);
    let only_marker = Batch {
        producer_id: 2,
        ..marker(7)
    }
    .at(24);
    let before = state(&[batch(0, 3), batch(3, 5).at(3), open, only_marker]);
    let entries = before.to_snapshot();
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry.producer_id)
            .collect::<Vec<_>>(),
        [1, 2, PRODUCER]
    );
    assert_eq!(
        (
            entries[0].last_sequence,
            entries[0].current_txn_first_offset
        ),
        (2, 20)
    );
    assert_eq!(
        (
            entries[1].last_sequence,
            entries[1].last_offset,
            entries[1].producer_epoch
        ),
        (-1, -1, 7)
    );
    assert_eq!(
        (
            entries[2].last_offset,
            entries[2].offset_delta,
            entries[2].timestamp
        ),
        (7, 4, 1_000)
    );

    let after = ProducerState::from_snapshot(&entries);
    assert_eq!(after.to_snapshot(), entries);
    assert_duplicate(&after, batch(3, 5), (3, 7));
    assert_duplicate(&after, open, (20, 23));
    assert_out_of_order(&after, batch(0, 3), 8);
    assert_appends(&after, batch(8, 1));
    assert_appends(
        &after,
        Batch {
            producer_id: 2,
            epoch: 7,
            ..batch(0, 1)
        },
    );
}

#[test]
fn nonsense_in_a_snapshot_stands_for_none() {
    let entry = ProducerEntry {
        producer_id: PRODUCER,
        producer_epoch: 0,
        last_sequence: i32::MIN,
        last_offset: 3,
        offset_delta: 2,
        timestamp: i64::MIN,
        coordinator_epoch: i32::MIN,
        current_txn_first_offset: i64::MIN,
    };
    let hostile = [
        entry,
        ProducerEntry {
            last_sequence: 5,
            offset_delta: i32::MAX,
            ..entry
        },
        ProducerEntry {
            last_sequence: 5,
            offset_delta: i32::MIN,
            ..entry
        },
        ProducerEntry {
            last_sequence: 5,
            last_offset: i64::MIN,
            ..entry
        },
        ProducerEntry {
            producer_id: -1,
            ..entry
        },
    ];
    for entry in hostile {
        let mut state = ProducerState::from_snapshot(&[entry]);
        assert_appends(&state, batch(0, 1));
        assert!(
            state
                .to_snapshot()
                .iter()
                .all(|entry| entry.last_offset == -1)
        );
        state.expire(i64::MAX, Duration::MAX);
    }
}
