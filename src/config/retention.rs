//! Typed setters for what becomes of old records.

use std::time::Duration;

use super::topic::whole_millis;
use super::{CleanupPolicy, TopicConfig};

/// What happens to old records. In this version all of it is checked and stored, and nothing is
/// deleted yet: it takes effect in a later release.
impl TopicConfig {
    /// How old records go. Default [`CleanupPolicy::Delete`]. Stored, without effect in this version.
    ///
    /// Kafka's `cleanup.policy`.
    #[must_use]
    pub fn cleanup_policy(mut self, policy: CleanupPolicy) -> Self {
        self.cleanup_policy = policy;
        self
    }

    /// How long records are kept at least, by the largest timestamp of their segment; `None` is for
    /// ever. Default 7 days. Stored, without effect in this version.
    ///
    /// Kafka's `retention.ms`. `None` is -1.
    #[must_use]
    pub fn retention_ms(mut self, age: Option<Duration>) -> Self {
        self.retention_ms = age.map(whole_millis);
        self
    }

    /// Size below which a partition's log is not cut, in bytes; `None`, the default, is no limit by
    /// size. Stored, without effect in this version.
    ///
    /// Kafka's `retention.bytes`. `None` is -1.
    #[must_use]
    pub fn retention_bytes(mut self, bytes: Option<u64>) -> Self {
        self.retention_bytes = bytes;
        self
    }

    /// How long a tombstone stays after the first compaction that met it, so that readers who are
    /// behind learn of the deletion. Default 1 day. Stored, without effect in this version.
    ///
    /// Kafka's `delete.retention.ms`.
    #[must_use]
    pub fn delete_retention_ms(mut self, age: Duration) -> Self {
        self.delete_retention_ms = whole_millis(age);
        self
    }

    /// How long a record is safe from compaction. Default 0. Stored, without effect in this version.
    ///
    /// Kafka's `min.compaction.lag.ms`; not more than `max.compaction.lag.ms`.
    #[must_use]
    pub fn min_compaction_lag_ms(mut self, age: Duration) -> Self {
        self.min_compaction_lag_ms = whole_millis(age);
        self
    }

    /// How long a record may stay uncompacted, whatever the dirty ratio; `None`, the default, is for
    /// ever. Stored, without effect in this version.
    ///
    /// Kafka's `max.compaction.lag.ms`. `None` is 9223372036854775807.
    #[must_use]
    pub fn max_compaction_lag_ms(mut self, age: Option<Duration>) -> Self {
        self.max_compaction_lag_ms = age.map(whole_millis);
        self
    }

    /// Which part of a log must be new since the last compaction before the next, from 0 to 1.
    /// Default 0.5. Lower keeps less that is superseded, and rewrites more often. Stored, without
    /// effect in this version.
    ///
    /// Kafka's `min.cleanable.dirty.ratio`.
    #[must_use]
    pub fn min_cleanable_dirty_ratio(mut self, ratio: f64) -> Self {
        self.min_cleanable_dirty_ratio = ratio;
        self
    }

    /// How long the files of deleted segments stay after they are out of use. Default one minute.
    /// Stored, without effect in this version.
    ///
    /// Kafka's `file.delete.delay.ms`.
    #[must_use]
    pub fn file_delete_delay_ms(mut self, delay: Duration) -> Self {
        self.file_delete_delay_ms = whole_millis(delay);
        self
    }
}
