//! What a partition knows of its producers: enough to tell a repeated batch from a new one.
//!
//! Idempotence is decided here. Each batch of an idempotent producer carries the producer's id and
//! epoch and the sequence number of its first record; sequences count the records of one producer
//! in one partition, from 0, and continue at 0 after `i32::MAX`. Of every producer the last five
//! batches are kept, the most that Kafka's clients have in flight: a repeat of one of them is
//! answered with the offsets it got the first time, and nothing is written.
//!
//! Invariants:
//! * What is recorded is in the log: [`ProducerState::record`] comes after the write.
//! * A snapshot holds the last batch of each producer only. The others come back by replaying the
//!   log from where the snapshot was made, as in Kafka. A waypoint holds them all.
//!
//! Pure: values in, verdicts out. Elsewhere: the snapshot's bytes (`format::producer_snapshot`),
//! when it is written (`log`), where sequences come from (`producer`).

use std::collections::HashMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::producer_snapshot::ProducerEntry;
use crate::format::waypoint::{KnownProducer, ProducedBatch};
use crate::record::{Offset, Timestamp, TopicPartition};

/// How many batches of a producer are remembered: Kafka's window.
const WINDOW: usize = 5;

/// Stands for "none" in the files' integers.
const NONE: i64 = -1;

/// All producers that wrote to one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    producers: HashMap<i64, Producer>,
}

/// The last batch of each producer: its sequence number has to survive compaction.
#[derive(Debug, Default)]
pub(crate) struct LastBatches {
    /// Epoch, and last offset of the last batch of data if there is one.
    producers: HashMap<i64, (i16, Option<Offset>)>,
}

impl LastBatches {
    /// True if the batch is the last one of its producer; of one with markers only, any of its epoch.
    pub(crate) fn has(&self, header: &BatchHeader) -> bool {
        match self.producers.get(&header.producer_id) {
            Some((_, Some(last))) => *last == header.last_offset(),
            Some((epoch, None)) => {
                header.attributes.is_control() && *epoch == header.producer_epoch
            }
            None => false,
        }
    }
}

/// What to do with a batch that a producer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It continues the sequence, or has none: write it.
    Append,
    /// It is in the log already: write nothing, answer with this.
    Duplicate(KnownBatch),
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KnownBatch {
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Largest timestamp of its records, or the time of the append on a topic that stamps records.
    pub(crate) max_timestamp: Timestamp,
    first_sequence: i32,
    last_sequence: i32,
}

/// One producer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// Of the last batch or marker.
    last_timestamp: Timestamp,
    /// Of the last transaction marker; carried along from and to snapshots.
    coordinator_epoch: i32,
    /// Where its open transaction starts.
    transaction_start: Option<Offset>,
    /// The last batches of this epoch, oldest first; the first `batch_count` are in use.
    batches: [KnownBatch; WINDOW],
    batch_count: usize,
}

impl ProducerState {
    /// Judges a batch that a producer wants appended, before it has offsets.
    ///
    /// A producer that is not known may start anywhere: what was known of it may be gone with the
    /// head of the log.
    ///
    /// # Errors
    /// `OutOfOrderSequence` if records are missing before it, or it repeats what is no longer known
    /// or only parts of a batch; `Fenced` if a newer producer has taken over its id; `IllegalState`
    /// if it is outside of the transaction that its producer has open here.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        partition: &TopicPartition,
    ) -> Result<Verdict> {
        if header.producer_id < 0 || header.attributes.is_control() {
            return Ok(Verdict::Append);
        }
        let Some(producer) = self.producers.get(&header.producer_id) else {
            return Ok(Verdict::Append);
        };
        if header.producer_epoch < producer.epoch {
            let (id, old, new) = (header.producer_id, header.producer_epoch, producer.epoch);
            return Err(Error::Fenced {
                reason: format!("epoch {new} of producer {id} has replaced epoch {old}"),
            });
        }
        let same_epoch = header.producer_epoch == producer.epoch;
        if let Some(known) = producer.find(header).filter(|_| same_epoch) {
            return Ok(Verdict::Duplicate(known));
        }
        let expected = if same_epoch {
            producer.next_sequence()
        } else {
            0
        };
        if header.base_sequence != expected {
            return Err(Error::OutOfOrderSequence {
                partition: partition.clone(),
                producer_id: header.producer_id,
                sequence: header.base_sequence,
                expected,
            });
        }
        if producer.transaction_start.is_some() && !header.attributes.is_transactional() {
            return Err(Error::IllegalState(
                "the producer has a transaction open; send within it, or end it",
            ));
        }
        Ok(Verdict::Append)
    }

    /// Takes note of a batch that was written, or that recovery found; with its final offsets.
    ///
    /// It is not judged: what is in the log is true. Markers end the transaction of their producer
    /// and leave its batches, unless their epoch is new.
    pub(crate) fn record(&mut self, header: &BatchHeader) {
        if header.producer_id < 0 {
            return;
        }
        let producer = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| Producer {
                epoch: header.producer_epoch,
                coordinator_epoch: -1,
                ..Producer::default()
            });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batch_count = 0;
        }
        producer.last_timestamp = header.max_timestamp;
        if header.attributes.is_control() {
            producer.transaction_start = None;
            return;
        }
        // Compaction leaves headers of transactions that are over, and takes their markers.
        if header.attributes.is_transactional() && header.records_count > 0 {
            producer.transaction_start.get_or_insert(header.base_offset);
        }
        if header.base_sequence >= 0 {
            producer.remember(KnownBatch {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                max_timestamp: header.max_timestamp,
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
            });
        }
    }

    /// Forgets producers without an open transaction that have been silent for `after`
    /// (`producer.id.expiration.ms`). A late repeat of theirs is no longer recognised.
    pub(crate) fn expire(&mut self, now: Timestamp, after: Duration) {
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.producers.retain(|_, producer| {
            producer.transaction_start.is_some()
                || now.saturating_sub(producer.last_timestamp) < after
        });
    }

    /// Where the first transaction begins that is open.
    pub(crate) fn first_open_transaction(&self) -> Option<Offset> {
        let producers = self.producers.values();
        producers.filter_map(|it| it.transaction_start).min()
    }

    /// The last batch of each producer.
    pub(crate) fn last_batches(&self) -> LastBatches {
        let producers = self.producers.iter();
        LastBatches {
            producers: producers
                .map(|(id, producer)| {
                    let last = producer.known().last().map(|batch| batch.last_offset);
                    (*id, (producer.epoch, last))
                })
                .collect(),
        }
    }

    /// What a snapshot file holds, ordered by producer id so that equal states give equal files.
    pub(crate) fn to_snapshot(&self) -> Vec<ProducerEntry> {
        let mut entries: Vec<_> = self
            .producers
            .iter()
            .map(|(id, producer)| producer.to_entry(*id))
            .collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        entries
    }

    /// The state that a snapshot file describes. Numbers that make no sense stand for "none", as -1
    /// does: at worst a repeat is not recognised.
    pub(crate) fn from_snapshot(entries: &[ProducerEntry]) -> Self {
        let valid = entries.iter().filter(|entry| entry.producer_id >= 0);
        Self {
            producers: valid
                .map(|entry| (entry.producer_id, Producer::from_entry(entry)))
                .collect(),
        }
    }

    /// What a waypoint holds: everything.
    pub(crate) fn to_waypoint(&self) -> Vec<KnownProducer> {
        let mut producers: Vec<_> = self
            .producers
            .iter()
            .map(|(id, producer)| producer.to_waypoint(*id))
            .collect();
        producers.sort_unstable_by_key(|producer| producer.id);
        producers
    }

    /// The state that a waypoint describes.
    pub(crate) fn from_waypoint(producers: &[KnownProducer]) -> Self {
        let producers = producers.iter();
        Self {
            producers: producers
                .map(|known| (known.id, Producer::from_waypoint(known)))
                .collect(),
        }
    }
}

impl Producer {
    fn to_waypoint(&self, id: i64) -> KnownProducer {
        let batches = self.known().iter().map(|batch| ProducedBatch {
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            max_timestamp: batch.max_timestamp,
            first_sequence: batch.first_sequence,
            last_sequence: batch.last_sequence,
        });
        KnownProducer {
            id,
            epoch: self.epoch,
            last_timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            transaction_start: self.transaction_start,
            batches: batches.collect(),
        }
    }

    fn from_waypoint(known: &KnownProducer) -> Self {
        let mut producer = Self {
            epoch: known.epoch,
            last_timestamp: known.last_timestamp,
            coordinator_epoch: known.coordinator_epoch,
            transaction_start: known.transaction_start,
            ..Self::default()
        };
        for batch in &known.batches {
            producer.remember(KnownBatch {
                base_offset: batch.base_offset,
                last_offset: batch.last_offset,
                max_timestamp: batch.max_timestamp,
                first_sequence: batch.first_sequence,
                last_sequence: batch.last_sequence,
            });
        }
        producer
    }

    fn known(&self) -> &[KnownBatch] {
        &self.batches[..self.batch_count]
    }

    /// The remembered batch with exactly these sequence numbers.
    fn find(&self, header: &BatchHeader) -> Option<KnownBatch> {
        let sequences = (header.base_sequence, header.last_sequence());
        self.known()
            .iter()
            .copied()
            .find(|known| (known.first_sequence, known.last_sequence) == sequences)
    }

    /// The sequence number that continues the last batch; 0 if only a marker was seen.
    fn next_sequence(&self) -> i32 {
        self.known()
            .last()
            .map_or(0, |last| last.last_sequence.checked_add(1).unwrap_or(0))
    }

    fn remember(&mut self, batch: KnownBatch) {
        if self.batch_count == WINDOW {
            self.batches.rotate_left(1);
        } else {
            self.batch_count += 1;
        }
        self.batches[self.batch_count - 1] = batch;
    }

    fn to_entry(&self, producer_id: i64) -> ProducerEntry {
        let last = self.known().last();
        let length = |batch: &KnownBatch| batch.last_offset.saturating_sub(batch.base_offset);
        ProducerEntry {
            producer_id,
            producer_epoch: self.epoch,
            last_sequence: last.map_or(-1, |batch| batch.last_sequence),
            last_offset: last.map_or(NONE, |batch| to_signed(batch.last_offset)),
            offset_delta: last.map_or(0, |batch| i32::try_from(length(batch)).unwrap_or(i32::MAX)),
            timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: self.transaction_start.map_or(NONE, to_signed),
        }
    }

    fn from_entry(entry: &ProducerEntry) -> Self {
        let mut producer = Self {
            epoch: entry.producer_epoch,
            last_timestamp: entry.timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_start: Offset::try_from(entry.current_txn_first_offset).ok(),
            ..Self::default()
        };
        if let Some(batch) = batch_of(entry) {
            producer.remember(batch);
        }
        producer
    }
}

/// The last batch in a snapshot's entry, if there was one and its numbers fit together.
fn batch_of(entry: &ProducerEntry) -> Option<KnownBatch> {
    let last_offset = Offset::try_from(entry.last_offset).ok()?;
    let base_offset = last_offset.checked_sub(Offset::try_from(entry.offset_delta).ok()?)?;
    let last_sequence = (entry.last_sequence >= 0).then_some(entry.last_sequence)?;
    Some(KnownBatch {
        base_offset,
        last_offset,
        max_timestamp: entry.timestamp,
        first_sequence: sequence_before(last_sequence, entry.offset_delta),
        last_sequence,
    })
}

/// The sequence number `by` records before `sequence`: before 0 comes `i32::MAX`.
fn sequence_before(sequence: i32, by: i32) -> i32 {
    // Two non-negative numbers: the difference cannot overflow, and adding 2^31 clears the sign.
    (sequence - by) & i32::MAX
}

fn to_signed(offset: Offset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "producer_state_tests.rs"]
mod tests;
