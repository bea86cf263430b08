//! A reader: one partition from any offset on, without a group and without commits.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::BrokerState;
use crate::consumer::fetch::{NO_EPOCH, PartitionReader};
use crate::consumer::run::RecordRun;
use crate::consumer::{ConsumerRecord, Records};
use crate::error::Result;
use crate::notify::Waiter;
use crate::partition::{Cursor, OffsetAndTimestamp, PartitionState};
use crate::record::{Offset, Position, Timestamp};

/// Reads one partition, record by record, from any offset on. Made by
/// [`Partition::reader`](crate::Partition::reader).
///
/// A reader belongs to no group, commits nothing, and disturbs nobody. It is `Send`; threads that
/// read at the same time use one each. It keeps its broker open.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::{Broker, Position, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("clicks", TopicConfig::default())?;
/// let partition = broker.topic("clicks")?.partition(0)?;
/// partition.append(&[Record::value_only("a"), Record::value_only("b")])?;
///
/// let mut reader = partition.reader(Position::Earliest)?;
/// while let Some(record) = reader.next()? {
///     println!("{}: {:?}", record.offset(), record.value());
/// }
/// assert_eq!(reader.position(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    broker: Arc<BrokerState>,
    partition: PartitionReader,
    waiter: Arc<Waiter>,
}

impl Reader {
    pub(crate) fn new(
        broker: Arc<BrokerState>,
        partition: Arc<PartitionState>,
        position: Position,
    ) -> Result<Self> {
        broker.check_open()?;
        let position = resolve(&partition, position)?;
        let partition = PartitionReader::new(partition, position);
        Ok(Self {
            broker,
            partition,
            waiter: Arc::default(),
        })
    }

    /// The next record, or `None` at the end of the log; later calls see what was written since.
    ///
    /// # Errors
    /// On any error the position stays, and the next call tries again.
    /// * [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange): the position is below the log's start
    ///   (retention went past it) or beyond its end. [`seek`](Self::seek) somewhere else.
    /// * [`Corrupt`](crate::Error::Corrupt): the batch at the position is damaged. It is never
    ///   skipped silently: `seek` past the offsets that the error names to go on without it.
    #[expect(
        clippy::should_implement_trait,
        reason = "the record borrows from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<ConsumerRecord<'_>>> {
        if self.is_ready()? {
            Ok(self.partition.next())
        } else {
            Ok(None)
        }
    }

    /// The records up to the end of a batch, as they were appended together, or `None` at the end of
    /// the log. Unlike the records of [`next`](Self::next) they can be kept.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_batch(&mut self) -> Result<Option<Records>> {
        if !self.is_ready()? {
            return Ok(None);
        }
        let mut records = Records::with_capacity(1);
        if let Some(run) = self.partition.take(usize::MAX) {
            records.push(run);
        }
        Ok(Some(records))
    }

    /// Blocks until a record is readable, at most for `timeout`; true if one is.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, Position, Record, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// # let partition = broker.topic("clicks")?.partition(0)?;
    /// let mut tail = partition.reader(Position::Latest)?;
    /// assert!(!tail.wait(Duration::ZERO)?);
    /// partition.append(&[Record::value_only("new")])?;
    /// assert!(tail.wait(Duration::from_secs(1))?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        if self.is_ready()? {
            return Ok(true);
        }
        if timeout.is_zero() {
            return Ok(false);
        }
        let deadline = Instant::now().checked_add(timeout);
        let found = self.wait_until_ready(deadline);
        self.partition
            .partition()
            .waiters()
            .unregister(&self.waiter);
        found
    }

    /// The offset of the next record (or a lower one, where records are missing).
    pub fn position(&self) -> Offset {
        self.partition.position()
    }

    /// Goes elsewhere, forward or back. An offset out of range shows at the next read; other
    /// positions are looked up now.
    pub fn seek(&mut self, position: Position) -> Result<()> {
        let position = resolve(self.partition.partition(), position)?;
        self.partition.seek(position, NO_EPOCH);
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool> {
        if self.partition.has_record() {
            return Ok(true);
        }
        self.broker.check_open()?;
        self.partition.ready()
    }

    /// Register, look again, sleep.
    fn wait_until_ready(&mut self, deadline: Option<Instant>) -> Result<bool> {
        loop {
            self.waiter.reset();
            self.partition.partition().waiters().register(&self.waiter);
            if self.is_ready()? {
                return Ok(true);
            }
            if !wait(&self.waiter, deadline) {
                return self.is_ready();
            }
        }
    }
}

/// Waits until woken, or until the deadline if there is one; true if woken.
pub(crate) fn wait(waiter: &Waiter, deadline: Option<Instant>) -> bool {
    /// A deadline that the clock cannot express: wait again and again.
    const LONG: Duration = Duration::from_secs(3600);
    if let Some(deadline) = deadline {
        return waiter.wait_until(deadline);
    }
    waiter.wait_until(Instant::now() + LONG);
    true
}

/// The first record at or behind `offset` whose timestamp is `timestamp` or later.
pub(crate) fn first_at_or_after(
    partition: &PartitionState,
    offset: Offset,
    timestamp: Timestamp,
) -> Result<Option<OffsetAndTimestamp>> {
    let mut cursor = Cursor::at(offset);
    while let Some(batch) = partition.fetch(&mut cursor)? {
        if batch.header.attributes.is_control() || batch.header.max_timestamp < timestamp {
            continue;
        }
        let mut run = RecordRun::new(partition.id(), batch)?;
        run.skip_below(offset);
        if let Some(record) = run.iter().find(|record| record.timestamp() >= timestamp) {
            return Ok(Some(OffsetAndTimestamp::new(
                record.offset(),
                record.timestamp(),
            )));
        }
    }
    Ok(None)
}

/// The first of the latest records in what the log start left of a batch; `None` if it cuts none.
pub(crate) fn latest_in_cut_batch(
    partition: &PartitionState,
) -> Result<Option<OffsetAndTimestamp>> {
    let start = partition.log_start_offset();
    let first = partition.fetch(&mut Cursor::at(start))?;
    let Some(cut) = first.filter(|batch| batch.header.base_offset < start) else {
        return Ok(None);
    };
    if cut.header.attributes.is_control() {
        return Ok(None);
    }
    let mut run = RecordRun::new(partition.id(), cut)?;
    run.skip_below(start);
    let places = run
        .iter()
        .map(|record| OffsetAndTimestamp::new(record.offset(), record.timestamp()));
    Ok(places
        .filter(|place| place.timestamp >= 0)
        .max_by_key(|place| (place.timestamp, Reverse(place.offset))))
}

fn resolve(partition: &PartitionState, position: Position) -> Result<Offset> {
    match position {
        // Checked by the fetch, as in Kafka.
        Position::Offset(offset) => Ok(offset),
        other => partition.resolve(other),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{Broker, Compression, Error, Partition, Record, TopicConfig};

    const LONG: Duration = Duration::from_secs(60);

    fn partition_of(broker: &Broker, config: TopicConfig) -> Partition {
        broker
            .create_topic("t", config)
            .unwrap()
            .partition(0)
            .unwrap()
    }

    fn offsets(reader: &mut Reader) -> Vec<Offset> {
        let mut offsets = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            offsets.push(record.offset());
        }
        offsets
    }

    #[test]
    fn a_reader_starts_anywhere_and_follows_the_end() {
        let broker = Broker::in_memory();
        let partition = partition_of(&broker, TopicConfig::default());
        let records = [10, 20, 30].map(|time| Record::value_only("v").timestamp(time));
        partition.append(&records).unwrap();
        for (position, expected) in [
            (Position::Earliest, vec![0, 1, 2]),
            (Position::Offset(1), vec![1, 2]),
            (Position::Timestamp(15), vec![1, 2]),
            (Position::Latest, vec![]),
        ] {
            let mut reader = partition.reader(position).unwrap();
            assert_eq!(offsets(&mut reader), expected, "{position:?}");
            assert_eq!(reader.position(), 3);
        }
        let mut reader = partition.reader(Position::Latest).unwrap();
        assert!(reader.next().unwrap().is_none());
        partition.append(&records).unwrap();
        assert_eq!(offsets(&mut reader), [3, 4, 5]);
        reader.seek(Position::Offset(2)).unwrap();
        assert_eq!(reader.position(), 2);
        assert_eq!(offsets(&mut reader), [2, 3, 4, 5]);
    }

    #[test]
    fn every_codec_reads_back() {
        for codec in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let broker = Broker::in_memory();
            let partition = partition_of(&broker, TopicConfig::default().compression(codec));
            let values: Vec<String> = (0..500).map(|value| format!("value {value}")).collect();
            let records: Vec<_> = values.iter().map(Record::value_only).collect();
            partition.append(&records).unwrap();
            let mut reader = partition.reader(Position::Earliest).unwrap();
            for value in &values {
                assert_eq!(
                    reader.next().unwrap().unwrap().value(),
                    Some(value.as_bytes()),
                    "{codec}"
                );
            }
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn batches_come_as_they_were_appended_and_can_be_kept() {
        let broker = Broker::in_memory();
        let partition = partition_of(&broker, TopicConfig::default());
        for count in [3, 1, 2] {
            partition
                .append(&vec![Record::value_only("v"); count])
                .unwrap();
        }
        let mut reader = partition.reader(Position::Offset(1)).unwrap();
        let first = reader.next_batch().unwrap().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().offset(), 3);
        assert_eq!(reader.next().unwrap().unwrap().offset(), 4);
        let rest = reader.next_batch().unwrap().unwrap();
        assert!(reader.next_batch().unwrap().is_none());
        drop(reader);
        broker.close().unwrap();
        let offsets = |records: &Records| {
            records
                .iter()
                .map(|record| record.offset())
                .collect::<Vec<_>>()
        };
        assert_eq!((offsets(&first), offsets(&rest)), (vec![1, 2], vec![5]));
    }

    #[test]
    fn out_of_range_is_told_and_the_position_stays() {
        let broker = Broker::in_memory();
        let partition = partition_of(&broker, TopicConfig::default());
        partition.append(&vec![Record::value_only("v"); 5]).unwrap();
        let mut reader = partition.reader(Position::Offset(9)).unwrap();
        for _ in 0..2 {
            let read = reader.next();
            assert!(matches!(
                read,
                Err(Error::OffsetOutOfRange {
                    offset: 9,
                    start: 0,
                    end: 5,
                    ..
                })
            ));
        }
        partition.delete_records(3).unwrap();
        reader.seek(Position::Offset(2)).unwrap();
        assert!(matches!(
            reader.next(),
            Err(Error::OffsetOutOfRange { start: 3, .. })
        ));
        assert_eq!(reader.position(), 2);
        reader.seek(Position::Earliest).unwrap();
        assert_eq!(offsets(&mut reader), [3, 4]);
    }

    #[test]
    fn waiting_ends_with_a_record_with_the_time_or_with_the_broker() {
        let broker = Broker::in_memory();
        let partition = partition_of(&broker, TopicConfig::default());
        let mut reader = partition.reader(Position::Earliest).unwrap();
        assert!(!reader.wait(Duration::from_millis(5)).unwrap());
        let count = 2_000;
        let writer = thread::spawn(move || {
            for _ in 0..count {
                partition.append(&[Record::value_only("v")]).unwrap();
            }
        });
        for expected in 0..count {
            // A lost wake-up would sit here until the end.
            assert!(reader.wait(LONG).unwrap());
            assert_eq!(reader.next().unwrap().unwrap().offset(), expected);
        }
        writer.join().unwrap();
        let closer = thread::spawn(move || broker.close().unwrap());
        assert!(matches!(reader.wait(Duration::MAX), Err(Error::Closed(_))));
        closer.join().unwrap();
    }
}
