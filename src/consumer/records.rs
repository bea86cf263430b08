//! What `poll` hands out: records that borrow from the log, and a [`Records`] that keeps it alive.

use std::iter::FusedIterator;

use super::run::{RecordRun, RunIter};
use crate::format::TimestampType;
use crate::format::record::{HeadersIter, HeadersView};
use crate::record::{Offset, Timestamp, TopicPartition};

/// The records of one [`Consumer::poll`](crate::Consumer::poll).
///
/// Nothing was copied: keys and values are slices of the mapped log (of a buffer, if the batch was
/// compressed). `Records` owns what it shows. It borrows nothing from the consumer, may be sent to
/// another thread, and stays valid after the consumer or broker was closed and the topic deleted; as
/// long as it lives, the memory and disk space of the segments it shows are not given back.
///
/// Records of one partition stand together, in offset order.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use std::time::Duration;
/// use streamlog::{Broker, Position, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("clicks", TopicConfig::default())?;
/// broker.producer().build()?.send(Record::to("clicks").key("alice").value("/home"))?.wait()?;
///
/// let mut consumer = broker.consumer().auto_offset_reset(Position::Earliest).build()?;
/// consumer.subscribe(["clicks"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// drop(consumer);
/// for record in &records {
///     println!("{}: {:?}", record.offset(), record.value());
/// }
/// assert_eq!(records.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Records {
    runs: Vec<RecordRun>,
    count: usize,
}

impl Records {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if the poll timed out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records, partition by partition, in offset order.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter {
            runs: self.runs.iter(),
            current: None,
            left: self.count,
        }
    }

    /// The partitions that have records here, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        let mut last = None;
        self.runs
            .iter()
            .map(RecordRun::partition)
            .filter(move |&partition| {
                // Runs of one partition stand together.
                last.replace(partition) != Some(partition)
            })
    }

    /// The records of one partition, in offset order.
    pub fn records_of(
        &self,
        partition: &TopicPartition,
    ) -> impl Iterator<Item = ConsumerRecord<'_>> {
        self.runs
            .iter()
            .filter(move |run| run.partition() == partition)
            .flat_map(RecordRun::iter)
    }

    pub(crate) fn with_capacity(runs: usize) -> Self {
        Self {
            runs: Vec::with_capacity(runs),
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, run: RecordRun) {
        self.count += run.len();
        self.runs.push(run);
    }

    pub(crate) fn run_count(&self) -> usize {
        self.runs.len()
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumerRecord<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Records`].
#[derive(Debug, Clone)]
pub struct RecordsIter<'a> {
    runs: std::slice::Iter<'a, RecordRun>,
    current: Option<RunIter<'a>>,
    left: usize,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = ConsumerRecord<'a>;

    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some(record) = self.current.as_mut().and_then(Iterator::next) {
                self.left = self.left.saturating_sub(1);
                return Some(record);
            }
            self.current = Some(self.runs.next()?.iter());
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}
impl FusedIterator for RecordsIter<'_> {}

/// A record as it lies in the log. It borrows from [`Records`] or from a
/// [`Reader`](crate::Reader), and is cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerRecord<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
    pub(super) timestamp_type: TimestampType,
    pub(super) leader_epoch: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: HeadersView<'a>,
}

impl<'a> ConsumerRecord<'a> {
    /// The topic's name.
    pub fn topic(&self) -> &'a str {
        self.partition.topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition in one, as [`Consumer::seek`](crate::Consumer::seek) and others take it.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.partition
    }

    /// The record's number in its partition. Offsets grow; they have gaps where compaction removed
    /// records, and where the log keeps the markers of transactions.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Milliseconds since the Unix epoch; -1 if the producer gave none. See
    /// [`timestamp_type`](Self::timestamp_type) for whose clock it is.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Whether the timestamp is the producer's or the log's (`message.timestamp.type`).
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The key; `None` if it is null, which is not the same as empty.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is a tombstone: on a compacted topic, it deletes the key.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in the order they were sent in. Keys may repeat.
    pub fn headers(&self) -> RecordHeaders<'a> {
        RecordHeaders {
            headers: self.headers.iter(),
            left: self.headers.len(),
        }
    }

    /// The leader epoch under which the record was appended. It rises whenever the log is opened
    /// after a crash.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }
}

/// Iterates over the headers of a record.
#[derive(Debug, Clone)]
pub struct RecordHeaders<'a> {
    headers: HeadersIter<'a>,
    left: usize,
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        let (key, value) = self.headers.next()?;
        self.left = self.left.saturating_sub(1);
        Some(Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordHeaders<'_> {}

/// One header of a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    key: &'a str,
    value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The key; it may be empty.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The value; `None` if it is null, which is not the same as empty.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }
}
