//! Typed setters for what becomes of old records.

use std::time::Duration;

use super::topic::whole_millis;
use super::{CleanupPolicy, RetentionConsumed, TopicConfig};

/// What becomes of old records: retention removes them by whole segments, from the front of each
/// partition. It is looked at every few minutes
/// ([`retention_check_interval`](crate::BrokerBuilder::retention_check_interval)), earlier where a segment
/// was finished or the configuration changed, and never by an append.
///
/// Who holds records keeps them; who reads on below the new start of the log is told so
/// ([`OffsetOutOfRange`](crate::Error::OffsetOutOfRange)).
impl TopicConfig {
    /// How old records go. Default [`CleanupPolicy::Delete`].
    ///
    /// A topic with [`CleanupPolicy::Compact`] takes no records without a key. If it has some, because its
    /// policy was another before, the first compaction drops them, as Kafka does.
    ///
    /// Kafka's `cleanup.policy`.
    #[must_use]
    pub fn cleanup_policy(mut self, policy: CleanupPolicy) -> Self {
        self.cleanup_policy = policy;
        self
    }

    /// How long records are kept at least; `None` is for ever. **Default 7 days: older records are
    /// deleted.**
    ///
    /// It is counted by timestamps, and a record's timestamp may be anything: a segment goes when its
    /// largest one lies further back than this. So records from an archive, with timestamps of last year,
    /// go at the next look, and one record with a timestamp far ahead keeps its segment and all after it. The
    /// segment that is being written goes as well, if all of it is old enough; appends go on in a new one.
    ///
    /// A clock that suddenly reads much later deletes nothing before it has done so for half a minute.
    ///
    /// Kafka's `retention.ms`. `None` is -1.
    #[must_use]
    pub fn retention_ms(mut self, age: Option<Duration>) -> Self {
        self.retention_ms = age.map(whole_millis);
        self
    }

    /// From which size on a partition's log loses its oldest segments, in bytes; `None`, the default, is
    /// no limit by size.
    ///
    /// A segment goes only if what remains is at least this large, so the log stays up to a segment above
    /// it; see [`segment_bytes`](Self::segment_bytes). It bounds one partition;
    /// [`max_disk_bytes`](crate::BrokerBuilder::max_disk_bytes) bounds all of them together.
    ///
    /// Kafka's `retention.bytes`. `None` is -1.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: Option<u64>) -> Self {
        self.retention_bytes = bytes;
        self
    }

    /// Keeps records from retention until these groups have passed them: until what each has committed
    /// for the partition lies behind them. Default [`RetentionConsumed::Off`].
    ///
    /// Nothing goes any earlier for it; with `retention_ms(Some(Duration::ZERO))` the topic becomes a queue
    /// that frees what all have consumed. One group that stands still keeps everything, and so does a
    /// named one that never committed, or whose offsets
    /// [have expired](crate::BrokerBuilder::offsets_retention) or cannot be read.
    /// [`delete_records`](crate::Partition::delete_records) is not bound by it.
    ///
    /// `retention.consumed`, which Kafka does not have: empty, `*` for every group, or a list of names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streamlog::{RetentionConsumed, TopicConfig};
    ///
    /// let queue = TopicConfig::default()
    ///     .retention_ms(Some(Duration::ZERO))
    ///     .retention_consumed(RetentionConsumed::Groups(vec!["billing".to_owned()]));
    /// assert_eq!(queue.get("retention.consumed").as_deref(), Some("billing"));
    /// ```
    #[must_use]
    pub fn retention_consumed(mut self, consumed: RetentionConsumed) -> Self {
        self.retention_consumed = consumed;
        self
    }

    /// How long a tombstone stays after the first compaction that met it, so that readers who are
    /// behind learn of the deletion. Default 1 day.
    ///
    /// Kafka's `delete.retention.ms`.
    #[must_use]
    pub fn delete_retention_ms(mut self, age: Duration) -> Self {
        self.delete_retention_ms = whole_millis(age);
        self
    }

    /// How long a record is safe from compaction, by its timestamp: a reader that is less behind sees every
    /// record. Default 0; the segment that is being written to is never compacted.
    ///
    /// Kafka's `min.compaction.lag.ms`; not more than `max.compaction.lag.ms`.
    #[must_use]
    pub fn min_compaction_lag_ms(mut self, age: Duration) -> Self {
        self.min_compaction_lag_ms = whole_millis(age);
        self
    }

    /// How long a record may stay uncompacted, whatever the dirty ratio; `None`, the default, is for
    /// ever. What an idle topic holds is finished for it, so this also bounds how long a deleted value is kept.
    ///
    /// Kafka's `max.compaction.lag.ms`. `None` is 9223372036854775807.
    #[must_use]
    pub fn max_compaction_lag_ms(mut self, age: Option<Duration>) -> Self {
        self.max_compaction_lag_ms = age.map(whole_millis);
        self
    }

    /// Which part of a log must be new since the last compaction before the next, from 0 to 1.
    /// Default 0.5. Lower keeps less that is superseded, and rewrites more often.
    ///
    /// Kafka's `min.cleanable.dirty.ratio`.
    #[must_use]
    pub fn min_cleanable_dirty_ratio(mut self, ratio: f64) -> Self {
        self.min_cleanable_dirty_ratio = ratio;
        self
    }

    /// Kept for Kafka, and without effect here: Kafka keeps the files of deleted segments for this
    /// long, for those who still read them. Here whoever holds records holds their bytes, so files go at
    /// once, and their space returns when the last holder lets go. Default one minute.
    ///
    /// Kafka's `file.delete.delay.ms`.
    #[must_use]
    pub fn file_delete_delay_ms(mut self, delay: Duration) -> Self {
        self.file_delete_delay_ms = whole_millis(delay);
        self
    }
}
