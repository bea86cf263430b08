//! What `poll` hands out: records that borrow from the log, and a [`Records`] that keeps it alive.

use std::iter::{Chain, FusedIterator};
use std::{option, slice};

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
    /// Runs of one partition stand together.
    runs: Runs,
    count: usize,
}

/// Runs in order. The first one lies in here: a poll of one partition seldom has more, and then
/// allocates nothing.
#[derive(Debug, Clone, Default)]
struct Runs {
    first: Option<RecordRun>,
    /// Empty if there is no first.
    others: Vec<RecordRun>,
}

impl Runs {
    fn iter(&self) -> RunsIter<'_> {
        self.first.iter().chain(&self.others)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    fn push(&mut self, run: RecordRun) {
        if self.first.is_none() {
            self.first = Some(run);
        } else {
            self.others.push(run);
        }
    }
}

type RunsIter<'a> = Chain<option::Iter<'a, RecordRun>, slice::Iter<'a, RecordRun>>;

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

    /// For each partition that has records here, the offset to go on from after them, ready for
    /// [`Consumer::commit_offsets`](crate::Consumer::commit_offsets): one past the last record, or
    /// more where compaction left a gap behind it.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, Position, Record, TopicConfig, TopicPartition};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// # broker.producer().build()?.send(Record::to("clicks").value("/home"))?.wait()?;
    /// let mut consumer = broker.consumer().group("dashboard")
    ///     .auto_offset_reset(Position::Earliest).auto_commit(None).build()?;
    /// consumer.subscribe(["clicks"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(records.next_offsets(), [(TopicPartition::new("clicks", 0), 1)]);
    /// // Later, when they are processed, however far the consumer has come meanwhile:
    /// consumer.commit_offsets(&records.next_offsets())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_offsets(&self) -> Vec<(TopicPartition, Offset)> {
        let mut offsets: Vec<(TopicPartition, Offset)> = Vec::new();
        for run in self.runs.iter() {
            match offsets.last_mut() {
                Some((partition, offset)) if partition == run.partition() => {
                    *offset = run.end_offset();
                }
                _ => offsets.push((run.partition().clone(), run.end_offset())),
            }
        }
        offsets
    }

    /// Room for as many runs.
    pub(crate) fn with_capacity(runs: usize) -> Self {
        Self {
            runs: Runs {
                first: None,
                others: Vec::with_capacity(runs.saturating_sub(1)),
            },
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
    runs: RunsIter<'a>,
    current: Option<RunIter<'a>>,
    left: usize,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline]
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
    #[inline]
    pub fn topic(&self) -> &'a str {
        self.partition.topic()
    }

    /// The partition's number.
    #[inline]
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition in one, as [`Consumer::seek`](crate::Consumer::seek) and others take it.
    #[inline]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.partition
    }

    /// The record's number in its partition. Offsets grow; they have gaps where compaction removed
    /// records, and where the log keeps the markers of transactions.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Milliseconds since the Unix epoch; -1 if the producer gave none. See
    /// [`timestamp_type`](Self::timestamp_type) for whose clock it is.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Whether the timestamp is the producer's or the log's (`message.timestamp.type`).
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The key; `None` if it is null, which is not the same as empty.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is a tombstone: on a compacted topic, it deletes the key.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in the order they were sent in. Keys may repeat.
    #[inline]
    pub fn headers(&self) -> RecordHeaders<'a> {
        RecordHeaders {
            headers: self.headers.iter(),
            left: self.headers.len(),
        }
    }

    /// The leader epoch under which the record was appended. It rises whenever the log is opened
    /// after a crash.
    #[inline]
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
