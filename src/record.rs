//! The words everyone shares: [`Record`], [`Offset`], [`Position`], [`TopicPartition`].

use std::fmt;
use std::sync::Arc;

/// A record's number in its partition: 0, 1, 2, … It never changes and is never reused.
pub type Offset = u64;

/// Milliseconds since the Unix epoch; -1 means "none given".
pub type Timestamp = i64;

/// A record to be written. It borrows everything: sending copies its bytes once, into the batch
/// that will be written.
///
/// ```
/// use streamlog::Record;
///
/// let click = Record::to("user-clicks").key("alice").value("/home").header("source", "web");
/// let tombstone = Record::to("users").key("bob"); // no value: deletes `bob` on a compacted topic
/// # let _ = (click, tombstone);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a record is written by `Producer::send` or `Partition::append`"]
pub struct Record<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Option<u32>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// A record for `topic`, without key and value.
    #[inline]
    pub fn to(topic: &'a str) -> Self {
        Self {
            topic,
            ..Self::default()
        }
    }

    /// A record with a value and no topic, for [`Partition::append`](crate::Partition::append),
    /// which knows where it goes.
    #[inline]
    pub fn value_only<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Self::default().value(value)
    }

    /// Sets the key. Records with equal keys go to the same partition, the one that Kafka's own
    /// client would choose. An empty key is a key; a record that was given none has a null key.
    #[inline]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the value. A record that was given none has a null value: a tombstone.
    #[inline]
    pub fn value<V: AsRef<[u8]> + ?Sized>(mut self, value: &'a V) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Adds a header. Keys may repeat, and order is kept.
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, key: &'a str, value: &'a V) -> Self {
        self.headers.push(HeaderRef {
            key,
            value: Some(value.as_ref()),
        });
        self
    }

    /// Adds a header whose value is null, which is not the same as empty.
    pub fn null_header(mut self, key: &'a str) -> Self {
        self.headers.push(HeaderRef { key, value: None });
        self
    }

    /// Sets the partition, instead of leaving the choice to the partitioner.
    #[inline]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since the Unix epoch. Default: the time of the call.
    #[inline]
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// One header of a record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderRef<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Option<&'a [u8]>,
}

/// Four headers fit without an allocation; few records have more.
const INLINE_HEADERS: usize = 4;

/// A record's headers in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers<'a> {
    /// Present from the front. As options, none of them costs one store in a new record.
    inline: [Option<HeaderRef<'a>>; INLINE_HEADERS],
    inline_count: usize,
    more: Vec<HeaderRef<'a>>,
}

impl<'a> Headers<'a> {
    fn push(&mut self, header: HeaderRef<'a>) {
        if self.inline_count < INLINE_HEADERS {
            self.inline[self.inline_count] = Some(header);
            self.inline_count += 1;
        } else {
            self.more.push(header);
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.inline_count + self.more.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = HeaderRef<'a>> {
        self.inline.iter().flatten().chain(&self.more).copied()
    }
}

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// The first record that is retained.
    Earliest,
    /// The end: only records written from now on.
    Latest,
    /// This offset.
    Offset(Offset),
    /// The first record whose timestamp, in milliseconds, is this or later; the end if there is none.
    Timestamp(Timestamp),
}

/// A topic's name and a partition's number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// Names a partition. It need not exist.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// The topic's name.
    #[inline]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number, from 0.
    #[inline]
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

/// Kafka's notation, `topic-partition`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Where an acknowledged record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
}

impl RecordMetadata {
    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// The partition's number.
    pub fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// The record's offset in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The record's timestamp: its own, or the time of the append on a topic with
    /// `message.timestamp.type=LogAppendTime`.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_beyond_the_inline_ones() {
        let mut record = Record::to("t");
        let keys = ["a", "b", "a", "c", "d", "e"];
        for key in keys {
            record = record.header(key, "v");
        }
        assert_eq!(record.headers.len(), keys.len());
        assert_eq!(
            record
                .headers
                .iter()
                .map(|header| header.key)
                .collect::<Vec<_>>(),
            keys
        );
    }
}
