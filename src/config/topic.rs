//! A topic's configuration: typed setters here and, of what becomes of old records, in `retention`; names and
//! values in `entries`.

use std::time::Duration;

use super::{CleanupPolicy, Durability, RetentionConsumed, consumed, entries};
use crate::error::{Error, Result};
use crate::format::compression::Levels;
use crate::format::{Compression, TimestampType};

/// Most partitions that a topic may have. Each costs a directory, files and buffers; a number
/// beyond this is taken for a mistake.
pub(crate) const MAX_PARTITIONS: u32 = 100_000;

/// How a topic stores its records: how many partitions, and Kafka's topic configs.
///
/// Names and defaults are those of Kafka 4.0, except `flush.ms`, whose default here is one second,
/// and `durability` and `retention.consumed`, which Kafka does not have. Every config can be set by a
/// typed method or, with [`set`](Self::set), by its name. Values are checked when the topic is created or
/// altered.
///
/// **Records are deleted after 7 days unless you say otherwise**: that is Kafka's default of
/// [`retention_ms`](Self::retention_ms), and it is in force here. `retention_ms(None)` keeps them for
/// ever.
///
/// The getters are in [`values`](Self::values). `docs/configuration.md` in the repository has all configs in
/// one table, with Kafka's defaults, ours, and the reasons where they differ.
///
/// ```
/// use std::time::Duration;
/// use streamlog::TopicConfig;
///
/// let config = TopicConfig::default()
///     .partitions(6)
///     .segment_bytes(256 << 20)
///     .retention_ms(Some(Duration::from_secs(7 * 86_400)))
///     .set("min.compaction.lag.ms", "60000")?;
/// assert_eq!(config.get("segment.bytes").as_deref(), Some("268435456"));
/// # Ok::<(), streamlog::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) cleanup_policy: CleanupPolicy,
    pub(crate) compression: Compression,
    pub(crate) compression_gzip_level: i32,
    pub(crate) compression_lz4_level: i32,
    pub(crate) compression_zstd_level: i32,
    pub(crate) delete_retention_ms: Duration,
    pub(crate) durability: Durability,
    pub(crate) file_delete_delay_ms: Duration,
    pub(crate) flush_messages: Option<u64>,
    pub(crate) flush_ms: Option<Duration>,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_compaction_lag_ms: Option<Duration>,
    pub(crate) max_message_bytes: usize,
    pub(crate) message_timestamp_after_max_ms: Option<Duration>,
    pub(crate) message_timestamp_before_max_ms: Option<Duration>,
    pub(crate) min_cleanable_dirty_ratio: f64,
    pub(crate) min_compaction_lag_ms: Duration,
    pub(crate) preallocate: bool,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention_consumed: RetentionConsumed,
    pub(crate) retention_ms: Option<Duration>,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_index_bytes: u32,
    pub(crate) segment_jitter_ms: Duration,
    pub(crate) segment_ms: Duration,
    pub(crate) timestamp_type: TimestampType,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            cleanup_policy: CleanupPolicy::Delete,
            compression: Compression::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            delete_retention_ms: DAY,
            durability: Durability::Written,
            file_delete_delay_ms: Duration::from_secs(60),
            flush_messages: None,
            flush_ms: Some(Duration::from_secs(1)),
            index_interval_bytes: 4096,
            max_compaction_lag_ms: None,
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_after_max_ms: Some(HOUR),
            message_timestamp_before_max_ms: None,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: Duration::ZERO,
            preallocate: false,
            retention_bytes: None,
            retention_consumed: RetentionConsumed::Off,
            retention_ms: Some(WEEK),
            segment_bytes: 1 << 30,
            segment_index_bytes: 10 << 20,
            segment_jitter_ms: Duration::ZERO,
            segment_ms: WEEK,
            timestamp_type: TimestampType::CreateTime,
        }
    }
}

/// By name.
impl TopicConfig {
    /// Sets one config by Kafka's name, as text. Times are in milliseconds, sizes in bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](Error::InvalidConfig) if there is no such config, if it means nothing
    /// without replicas, or if the value is not allowed.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self> {
        entries::set(&mut self, key, value)?;
        Ok(self)
    }

    /// The value of one config by Kafka's name, in the form that [`set`](Self::set) takes; `None` if
    /// there is no such config.
    pub fn get(&self, key: &str) -> Option<String> {
        entries::find(key).map(|entry| (entry.print)(self))
    }

    /// All configs with their values, sorted by name. The number of partitions is not among them.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        entries::ENTRIES
            .iter()
            .map(|entry| (entry.key, (entry.print)(self)))
            .collect()
    }

    /// Those that differ from the defaults: what has to be stored.
    pub(crate) fn changed_entries(&self) -> Vec<(&'static str, String)> {
        let defaults = Self::default().entries();
        self.entries()
            .into_iter()
            .zip(defaults)
            .filter(|(own, default)| own != default)
            .map(|(own, _)| own)
            .collect()
    }

    /// For the codecs that have levels.
    pub(crate) fn compression_levels(&self) -> Levels {
        Levels {
            gzip: self.compression_gzip_level,
            zstd: self.compression_zstd_level,
        }
    }

    /// `Err(InvalidConfig)` names the first value that is out of its range or contradicts another.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |key: &str, value: String, reason: String| {
            Err(Error::InvalidConfig {
                key: key.to_owned(),
                value,
                reason,
            })
        };
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            let reason = format!("it must be a whole number from 1 to {MAX_PARTITIONS}");
            return invalid("partitions", self.partitions.to_string(), reason);
        }
        entries::check_all(self)?;
        if !consumed::can_be_listed(&self.retention_consumed) {
            let value = consumed::print(&self.retention_consumed);
            return invalid(
                "retention.consumed",
                value,
                format!("it must be {}", consumed::ALLOWED),
            );
        }
        if self
            .max_compaction_lag_ms
            .is_some_and(|max| self.min_compaction_lag_ms > max)
        {
            let value = self.min_compaction_lag_ms.as_millis().to_string();
            return invalid(
                "min.compaction.lag.ms",
                value,
                "it is more than max.compaction.lag.ms".to_owned(),
            );
        }
        Ok(())
    }
}

/// Partitions, segments and their indexes.
impl TopicConfig {
    /// How many partitions the topic has. Default 1, at most 100,000.
    ///
    /// Order holds within a partition, and a group shares a topic out by partitions: their number
    /// bounds how many consumers work at once. It can grow later
    /// ([`Broker::add_partitions`](crate::Broker::add_partitions)), but then keys move to other
    /// partitions; it cannot shrink. Each costs a directory and a few files.
    ///
    /// Kafka's broker default is `num.partitions`.
    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = count;
        self
    }

    /// Largest size of a segment file, in bytes. Default 1 GiB; from 14 to 2,147,483,647.
    ///
    /// Records are deleted by whole segments: smaller ones let space go sooner and more evenly, and
    /// cost a file, two indexes and a sync each. A batch never spans two segments, so this also
    /// bounds the size of a batch.
    ///
    /// Kafka's `segment.bytes` (whose minimum is 1 MiB since 4.0).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        // What does not fit is also beyond the largest allowed: `validate` says so.
        self.segment_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self
    }

    /// Longest time that one segment takes records, by their timestamps. Default 7 days.
    ///
    /// Shorten it for topics with little traffic whose old records must go in time. It is looked at
    /// when records are appended: an idle topic keeps its segment. On a compacted topic
    /// [`max_compaction_lag_ms`](Self::max_compaction_lag_ms) is a bound too, for only finished segments
    /// are compacted.
    ///
    /// Kafka's `segment.ms`. Whole milliseconds, at least 1.
    #[must_use]
    pub fn segment_ms(mut self, age: Duration) -> Self {
        self.segment_ms = whole_millis(age);
        self
    }

    /// Upper bound of a random time taken off `segment.ms`, so that partitions do not all start new
    /// segments at once. Default 0.
    ///
    /// Each segment has a time of its own, below this and below `segment.ms`, which it keeps when the
    /// broker is opened again.
    ///
    /// Kafka's `segment.jitter.ms`.
    #[must_use]
    pub fn segment_jitter_ms(mut self, jitter: Duration) -> Self {
        self.segment_jitter_ms = whole_millis(jitter);
        self
    }

    /// Largest size of an index file, in bytes. Default 10 MiB; at least 24.
    ///
    /// A full index starts a new segment. The default never does, at the default
    /// `index.interval.bytes`. Unlike Kafka, no space is taken ahead.
    ///
    /// Kafka's `segment.index.bytes`.
    #[must_use]
    pub fn segment_index_bytes(mut self, bytes: u32) -> Self {
        self.segment_index_bytes = bytes;
        self
    }

    /// How many bytes of batches go between two index entries. Default 4096.
    ///
    /// Finding an offset reads about this much of the log. Less makes seeks cheaper and the index
    /// larger: 8 bytes an entry, and 12 for times.
    ///
    /// Kafka's `index.interval.bytes`.
    #[must_use]
    pub fn index_interval_bytes(mut self, bytes: u32) -> Self {
        self.index_interval_bytes = bytes;
        self
    }

    /// Whether a new segment file takes its whole size at once. Default false.
    ///
    /// Kept for Kafka, and without effect here. It is meant to spare an append the growing of its file,
    /// and that is done where it pays: a partition with synced appends writes into zeros that it put there
    /// before, a few KiB at a time. A whole segment ahead would cost its size in every partition, also
    /// in those that are hardly used, and after a kill recovery would have to tell it from what was
    /// written.
    ///
    /// Kafka's `preallocate`.
    #[must_use]
    pub fn preallocate(mut self, preallocate: bool) -> Self {
        self.preallocate = preallocate;
        self
    }
}

/// What an acknowledgement promises.
impl TopicConfig {
    /// The least that an acknowledged record survives. Default [`Durability::Written`].
    ///
    /// A producer may ask for more, never for less. On a [`Durability::Synced`] topic readers see
    /// nothing that a power cut could take back. The cost is a sync of the device (often 0.1 to 10
    /// ms), which all who wait at the time share.
    ///
    /// Named `durability` (`written`, `synced`); Kafka has no such config.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Longest time until written records are synced to the device in the background; `None` leaves
    /// it to segment ends, `flush` and `close`. Default one second.
    ///
    /// It bounds what a power cut can take from a [`Durability::Written`] topic; the death of the
    /// process takes nothing. Shorter costs more syncs.
    ///
    /// Kafka's `flush.ms`, whose default is never: Kafka counts on replicas, which a single process
    /// has not. `None` is 9223372036854775807.
    #[must_use]
    pub fn flush_ms(mut self, interval: Option<Duration>) -> Self {
        self.flush_ms = interval.map(whole_millis);
        self
    }

    /// How many records may be written before the append that reaches the number waits for a sync.
    /// Default `None`, no such limit.
    ///
    /// It bounds the loss by count where [`flush_ms`](Self::flush_ms) does by time. 1 syncs every
    /// append, and [`durability`](Self::durability) does that better.
    ///
    /// Kafka's `flush.messages`. `None` is 9223372036854775807.
    #[must_use]
    pub fn flush_messages(mut self, count: Option<u64>) -> Self {
        self.flush_messages = count;
        self
    }
}

/// What is accepted, and in which form it is stored.
impl TopicConfig {
    /// Largest size of a batch as it is stored, compressed and with its header, in bytes. Default
    /// 1,048,588 (1 MiB and the 12 bytes before a batch's own count); at most 2,147,483,647.
    ///
    /// Larger ones are refused with [`RecordTooLarge`](Error::RecordTooLarge). Raise it for large
    /// records; every reader of the topic must have room for such a batch. Stored batches are not
    /// affected.
    ///
    /// Kafka's `max.message.bytes`.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The codec that batches are stored in. Default [`Compression::Producer`]: each as its producer
    /// made it.
    ///
    /// Name one to have it the same for all who write. Compression costs time where records are
    /// sent, saves space and reading, and works better on larger batches.
    ///
    /// Kafka's `compression.type` ([`Compression::None`] is `uncompressed`).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Level of [`Compression::Gzip`], from 1 (fast) to 9 (small); -1, the default, is the codec's
    /// own choice, 6.
    ///
    /// In force where [`compression`](Self::compression) names the codec, and for batches that compaction
    /// writes anew. Where producers choose, theirs are compressed at the default level.
    ///
    /// Kafka's `compression.gzip.level`.
    #[must_use]
    pub fn compression_gzip_level(mut self, level: i32) -> Self {
        self.compression_gzip_level = level;
        self
    }

    /// Level of [`Compression::Lz4`], from 1 to 17. Default 9.
    ///
    /// Kept for Kafka, and without effect here: the LZ4 of this crate is the fast compressor, which is
    /// what Kafka's default stands for as well. Who wants batches smaller than that finds
    /// [`Compression::Zstd`] smaller and faster than the upper levels.
    ///
    /// Kafka's `compression.lz4.level`.
    #[must_use]
    pub fn compression_lz4_level(mut self, level: i32) -> Self {
        self.compression_lz4_level = level;
        self
    }

    /// Level of [`Compression::Zstd`], from -131,072 (fast) to 22 (small). Default 3.
    ///
    /// In force where [`compression`](Self::compression) names the codec, and for batches that compaction
    /// writes anew. Where producers choose, theirs are compressed at the default level. From about 10 on,
    /// writing takes many times longer and saves a few percent; reading is as fast at any level.
    ///
    /// Kafka's `compression.zstd.level`.
    #[must_use]
    pub fn compression_zstd_level(mut self, level: i32) -> Self {
        self.compression_zstd_level = level;
        self
    }

    /// Whose clock a record's timestamp is from. Default [`TimestampType::CreateTime`], the
    /// producer's.
    ///
    /// With [`TimestampType::LogAppendTime`] timestamps rise with offsets, whatever producers say,
    /// so retention and searches by time are exact; when a record was made is lost.
    ///
    /// Kafka's `message.timestamp.type`.
    #[must_use]
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        self.timestamp_type = timestamp_type;
        self
    }

    /// How far a record's timestamp may lie behind the clock; `None`, the default, is any time.
    ///
    /// Kafka's `message.timestamp.before.max.ms`. `None` is 9223372036854775807.
    #[must_use]
    pub fn message_timestamp_before_max_ms(mut self, limit: Option<Duration>) -> Self {
        self.message_timestamp_before_max_ms = limit.map(whole_millis);
        self
    }

    /// How far a record's timestamp may lie ahead of the clock; `None` is any time. Default one
    /// hour.
    ///
    /// One timestamp far ahead keeps its segment, and all after it, from time retention.
    ///
    /// Kafka's `message.timestamp.after.max.ms`. `None` is 9223372036854775807.
    #[must_use]
    pub fn message_timestamp_after_max_ms(mut self, limit: Option<Duration>) -> Self {
        self.message_timestamp_after_max_ms = limit.map(whole_millis);
        self
    }
}

/// Times are kept as they can be written down: whole milliseconds, as many as an `i64` holds.
pub(super) fn whole_millis(time: Duration) -> Duration {
    let most = i64::MAX.unsigned_abs();
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(most).min(most))
}

#[cfg(test)]
#[path = "topic_tests.rs"]
mod tests;
