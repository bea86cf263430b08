//! Reading a configuration by type: the counterpart of the setters.

use std::time::Duration;

use super::{CleanupPolicy, Durability, RetentionConsumed, TopicConfig};
use crate::format::{Compression, TimestampType};

/// The values of a [`TopicConfig`], each under the name of its setter; made by
/// [`TopicConfig::values`].
///
/// ```
/// use std::time::Duration;
/// use streamlog::TopicConfig;
///
/// let config = TopicConfig::default().segment_bytes(256 << 20).retention_ms(None);
/// let values = config.values();
/// assert_eq!(values.segment_bytes(), 256 << 20);
/// assert_eq!(values.retention_ms(), None);
/// assert_eq!(values.flush_ms(), Some(Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopicConfigValues<'a>(&'a TopicConfig);

impl TopicConfig {
    /// The values, by type. (The methods named after a config set it.) By name there is
    /// [`get`](Self::get).
    pub fn values(&self) -> TopicConfigValues<'_> {
        TopicConfigValues(self)
    }
}

macro_rules! values {
    ($($field:ident: $type:ty),* $(,)?) => {
        /// What each means is told by the setter of the same name in [`TopicConfig`].
        impl TopicConfigValues<'_> {
            $(
                #[doc = concat!("See [`TopicConfig::", stringify!($field), "`].")]
                pub fn $field(&self) -> $type {
                    self.0.$field
                }
            )*

            /// See [`TopicConfig::segment_bytes`].
            pub fn segment_bytes(&self) -> u64 {
                self.0.segment_bytes.into()
            }

            /// See [`TopicConfig::retention_consumed`].
            pub fn retention_consumed(&self) -> RetentionConsumed {
                self.0.retention_consumed.clone()
            }
        }
    };
}

values! {
    partitions: u32,
    cleanup_policy: CleanupPolicy,
    compression: Compression,
    compression_gzip_level: i32,
    compression_lz4_level: i32,
    compression_zstd_level: i32,
    delete_retention_ms: Duration,
    durability: Durability,
    file_delete_delay_ms: Duration,
    flush_messages: Option<u64>,
    flush_ms: Option<Duration>,
    index_interval_bytes: u32,
    max_compaction_lag_ms: Option<Duration>,
    max_message_bytes: usize,
    message_timestamp_after_max_ms: Option<Duration>,
    message_timestamp_before_max_ms: Option<Duration>,
    min_cleanable_dirty_ratio: f64,
    min_compaction_lag_ms: Duration,
    preallocate: bool,
    retention_bytes: Option<u64>,
    retention_ms: Option<Duration>,
    segment_index_bytes: u32,
    segment_jitter_ms: Duration,
    segment_ms: Duration,
    timestamp_type: TimestampType,
}
