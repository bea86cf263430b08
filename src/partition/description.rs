//! What a partition tells of itself.

use std::cmp::Reverse;

use super::Partition;
use crate::error::{Error, Result};
use crate::reader;
use crate::record::{Offset, Timestamp};

/// A partition, as [`Partition::describe`] found it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// Its number.
    pub partition: u32,
    /// Offset of the first record that is retained.
    pub log_start_offset: Offset,
    /// What readers may see ends here.
    pub high_watermark: Offset,
    /// What `read_committed` readers may see ends here.
    pub last_stable_offset: Offset,
    /// Everything below survives power loss.
    pub durable_end: Offset,
    /// Bytes of the segments' files.
    pub size_bytes: u64,
    /// How many segments there are, the active one included.
    pub segments: usize,
    /// Timestamp of the first record in the first segment, which may lie a little below
    /// `log_start_offset`: space goes by whole segments. `None` if the partition is empty, or the
    /// record has no timestamp.
    pub earliest_timestamp: Option<Timestamp>,
    /// The largest timestamp in any segment. `None` if there is none.
    pub latest_timestamp: Option<Timestamp>,
    /// How much of what may be compacted is new since the last compaction, from 0 to 1; compaction begins
    /// above `min.cleanable.dirty.ratio`. `None` if the topic is not compacted.
    pub dirty_ratio: Option<f64>,
    /// Everything before was compacted. `None` if the topic is not compacted.
    pub first_dirty_offset: Option<Offset>,
    /// Why the partition is not compacted any more, until it is opened again.
    pub compaction_failure: Option<Error>,
    /// Damage for which appends are refused. What can be read is read.
    pub damage: Option<Error>,
    /// A write or sync that failed, since which nothing is written, until the broker is opened again.
    pub write_failure: Option<Error>,
}

/// A record's place in its partition, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// Where the record is.
    pub offset: Offset,
    /// Its timestamp, in milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
}

/// For tools.
impl Partition {
    /// Offsets, sizes, times, and what is wrong if anything is. It reads no records: asking thousands of
    /// partitions costs one small read each.
    ///
    /// # Errors
    /// `Closed` if the broker is, or the topic was deleted. Damage is part of the description.
    pub fn describe(&self) -> Result<PartitionDescription> {
        self.broker.check_open()?;
        self.state.check_open()?;
        let log = self.state.log();
        let known = log.describe();
        let config = self.state.config.load();
        let is_compacted = config.cleanup_policy.has_compact();
        let dirtiness = is_compacted.then(|| log.dirtiness(&config, self.state.clock.wall()));
        Ok(PartitionDescription {
            partition: self.id().partition(),
            log_start_offset: self.log_start_offset(),
            high_watermark: self.high_watermark(),
            last_stable_offset: self.last_stable_offset(),
            durable_end: self.durable_end(),
            size_bytes: known.size_bytes,
            segments: known.segments,
            earliest_timestamp: known.earliest_timestamp,
            latest_timestamp: known.latest_timestamp,
            dirty_ratio: dirtiness.map(|it| it.ratio),
            first_dirty_offset: dirtiness.map(|it| it.first_dirty_offset),
            compaction_failure: log.compaction_failure(),
            damage: log.damage().cloned(),
            write_failure: log.write_failure(),
        })
    }

    /// The first record, by offset, whose timestamp is `timestamp` or later; `None` if there is none
    /// yet. As [`offset_for_timestamp`](Self::offset_for_timestamp), with the record's own time.
    ///
    /// # Errors
    /// `Corrupt` if it lies in or behind damage.
    pub fn first_at_or_after(&self, timestamp: Timestamp) -> Result<Option<OffsetAndTimestamp>> {
        self.state.first_at_or_after(timestamp)
    }

    /// The first record, by offset, of those with the largest timestamp (`kafka-get-offsets --time -3`);
    /// `None` if there is none with a timestamp.
    ///
    /// # Errors
    /// `Corrupt` if it lies in or behind damage.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, Record, TopicConfig};
    ///
    /// let broker = Broker::in_memory();
    /// let partition = broker.create_topic("t", TopicConfig::default())?.partition(0)?;
    /// assert_eq!(partition.offset_of_max_timestamp()?, None);
    /// for timestamp in [1_000, 3_000, 3_000, 2_000] {
    ///     partition.append(&[Record::value_only("v").timestamp(timestamp)])?;
    /// }
    /// let found = partition.offset_of_max_timestamp()?.unwrap();
    /// assert_eq!((found.offset, found.timestamp), (1, 3_000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn offset_of_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>> {
        self.state.check_open()?;
        self.state.log().look(|| self.look_for_max_timestamp())
    }

    fn look_for_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>> {
        // A batch that the log start cuts is looked into: what is left of it may be the latest.
        let cut = reader::latest_in_cut_batch(&self.state)?;
        let log = self.state.log();
        let mut whole = self.first_of(log.largest_timestamp()?)?;
        if whole.is_none() {
            // The latest may be the marker of a transaction, or may be gone since.
            whole = self.first_of(log.largest_data_timestamp()?)?;
        }
        let latest = [cut, whole].into_iter().flatten();
        Ok(latest.max_by_key(|found| (found.timestamp, Reverse(found.offset))))
    }

    fn first_of(&self, timestamp: Option<Timestamp>) -> Result<Option<OffsetAndTimestamp>> {
        timestamp.map_or(Ok(None), |timestamp| {
            self.state.first_at_or_after(timestamp)
        })
    }
}

impl OffsetAndTimestamp {
    pub(crate) fn new(offset: Offset, timestamp: Timestamp) -> Self {
        Self { offset, timestamp }
    }
}
