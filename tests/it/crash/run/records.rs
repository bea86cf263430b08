//! Records that are appended, sent, flushed and deleted.

use streamlog::{Error, Offset, Producer, Record};

use super::{Run, START};
use crate::crash::ledger::{Batch, Expected, NEVER, Set};

impl Run {
    /// A record unlike all others, with a value of about this many bytes.
    pub(super) fn record(&mut self, size: usize) -> Expected {
        self.records += 1;
        let number = self.records;
        let mut value = format!("value-{number}-").into_bytes();
        // Not all alike, so that misplaced sectors show, and not too random, so that codecs have work.
        value.extend(
            (0..size).map(|index| u8::try_from((index as u64 * number / 7) % 251).unwrap_or(0)),
        );
        let key = (!number.is_multiple_of(3)).then(|| format!("key-{}", number % 5).into_bytes());
        let headers = if number.is_multiple_of(4) {
            vec![("number".to_owned(), Some(vec![1, 2]))]
        } else {
            Vec::new()
        };
        let timestamp = START + i64::try_from(number).unwrap_or(0);
        Expected {
            key,
            value: Some(value),
            timestamp,
            headers,
        }
    }

    /// Appends a batch of `count` records; true if that succeeded.
    pub(crate) fn append(
        &mut self,
        topic: &str,
        partition: u32,
        count: usize,
        size: usize,
    ) -> bool {
        let records = (0..count).map(|_| self.record(size)).collect();
        self.append_records(topic, partition, records)
    }

    pub(super) fn append_records(
        &mut self,
        topic: &str,
        partition: u32,
        mut records: Vec<Expected>,
    ) -> bool {
        let base = self.ledger.partition(topic, partition).end();
        let handle = self.partition(topic, partition);
        let (began, result, done) = {
            let batch: Vec<_> = records
                .iter()
                .map(|record| as_record(record, topic, partition))
                .collect();
            self.timed(|_| handle.append(&batch))
        };
        self.stamp(topic, &mut records);
        let mut batch = Batch {
            base,
            records,
            began,
            acked: NEVER,
            synced: NEVER,
            void: NEVER,
            whole: true,
        };
        let appended = result.is_ok();
        match result {
            Ok(offset) => {
                assert_eq!(offset, base, "offsets follow each other");
                batch.acked = done;
                if handle.durable_end() >= batch.end() {
                    batch.synced = done;
                }
            }
            Err(error) if error.is_indefinite() => {}
            Err(_) => batch.void = done,
        }
        self.ledger.partition(topic, partition).batches.push(batch);
        appended
    }

    /// Appends to a topic whose acknowledgements are to survive power loss.
    pub(crate) fn append_synced(&mut self, topic: &str, partition: u32, count: usize, size: usize) {
        assert!(
            self.append(topic, partition, count, size),
            "the append succeeds"
        );
        let last = self
            .ledger
            .partition(topic, partition)
            .batches
            .last_mut()
            .expect("a batch");
        last.synced = last.acked;
    }

    /// On a topic with `LogAppendTime`, the records carry the time of the append.
    pub(super) fn stamp(&mut self, topic: &str, records: &mut [Expected]) {
        if self.broker_stamps.contains(topic) {
            let now = streamlog::Clock::wall(&self.clock);
            for record in records {
                record.timestamp = now;
            }
        }
    }

    /// Sends a record; it is acknowledged when [`Self::settle`] finds it so.
    pub(crate) fn send(&mut self, producer: &Producer, topic: &str, partition: u32, size: usize) {
        let record = self.record(size);
        let base = self.ledger.partition(topic, partition).end();
        let (began, delivery, _) = {
            let borrowed = as_record(&record, topic, partition);
            self.timed(|_| producer.send(borrowed))
        };
        let delivery = delivery.expect("the record is sent");
        let batch = Batch {
            base,
            records: vec![record],
            began,
            acked: NEVER,
            synced: NEVER,
            void: NEVER,
            whole: false,
        };
        self.ledger.partition(topic, partition).batches.push(batch);
        self.deliveries
            .push((topic.to_owned(), partition, base, delivery));
    }

    /// Flushes the producer; all that was sent is acknowledged.
    pub(crate) fn flush_producer(&mut self, producer: &Producer, synced: bool) {
        let (_, result, _) = self.timed(|_| producer.flush());
        result.expect("the producer is flushed");
        self.settle(synced);
        assert!(
            self.deliveries.is_empty(),
            "a flush leaves nothing unacknowledged"
        );
    }

    /// Looks which records are acknowledged by now.
    pub(crate) fn settle(&mut self, synced: bool) {
        let now = self.disk.operation_count();
        for (topic, partition, offset, delivery) in std::mem::take(&mut self.deliveries) {
            if !delivery.is_done() {
                self.deliveries.push((topic, partition, offset, delivery));
                continue;
            }
            let metadata = delivery.wait().expect("the record is delivered");
            assert_eq!(
                metadata.offset(),
                offset,
                "offsets follow the order of sends"
            );
            let batches = &mut self.ledger.partition(&topic, partition).batches;
            let batch = batches
                .iter_mut()
                .find(|batch| batch.base == offset && batch.void == NEVER);
            let batch = batch.expect("the record is in the ledger");
            batch.acked = now;
            if synced {
                batch.synced = batch.synced.min(now);
            }
        }
        self.note_durable(now);
    }

    pub(crate) fn flush(&mut self, topic: &str, partition: u32) {
        let handle = self.partition(topic, partition);
        let (_, result, done) = self.timed(|_| handle.flush());
        result.expect("the partition is flushed");
        for batch in self
            .ledger
            .partition(topic, partition)
            .batches
            .iter_mut()
            .filter(|batch| batch.acked <= done)
        {
            batch.synced = batch.synced.min(done);
        }
    }

    pub(crate) fn delete_records(&mut self, topic: &str, partition: u32, offset: Offset) {
        let handle = self.partition(topic, partition);
        let (began, result, done) = self.timed(|_| handle.delete_records(offset));
        result.expect("records are deleted");
        let set = Set {
            began,
            acked: done,
            synced: done,
            value: offset,
        };
        self.ledger.partition(topic, partition).starts.push(set);
    }

    /// The partition refuses appends, since nobody knows what is on disk.
    pub(crate) fn expect_stopped(&self, topic: &str, partition: u32) {
        let refused = self
            .partition(topic, partition)
            .append(&[Record::value_only("refused")]);
        assert!(
            matches!(refused, Err(Error::StorageFailed { .. })),
            "{refused:?}"
        );
    }
}

fn as_record<'a>(record: &'a Expected, topic: &'a str, partition: u32) -> Record<'a> {
    let mut built = Record::to(topic)
        .partition(partition)
        .timestamp(record.timestamp);
    if let Some(key) = &record.key {
        built = built.key(key);
    }
    if let Some(value) = &record.value {
        built = built.value(value);
    }
    for (key, value) in &record.headers {
        built = match value {
            Some(value) => built.header(key, value),
            None => built.null_header(key),
        };
    }
    built
}
