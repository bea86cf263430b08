//! A topic's configuration (stub).
use super::Durability;
use crate::error::Result;
use crate::format::{Compression, TimestampType};
use std::time::Duration;

/// How a topic stores its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) segment_bytes: u32,
    pub(crate) segment_ms: Duration,
    pub(crate) segment_index_bytes: u32,
    pub(crate) index_interval_bytes: u32,
    pub(crate) max_message_bytes: usize,
    pub(crate) flush_messages: Option<u64>,
    pub(crate) flush_ms: Option<Duration>,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) compression: Compression,
    pub(crate) durability: Durability,
}
impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            segment_bytes: 1 << 30,
            segment_ms: Duration::from_secs(604_800),
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            flush_messages: None,
            flush_ms: Some(Duration::from_secs(1)),
            timestamp_type: TimestampType::CreateTime,
            compression: Compression::Producer,
            durability: Durability::Written,
        }
    }
}
impl TopicConfig {
    /// p
    pub fn partitions(mut self, n: u32) -> Self {
        self.partitions = n;
        self
    }
    /// s
    pub fn segment_bytes(mut self, n: u32) -> Self {
        self.segment_bytes = n;
        self
    }
    /// d
    pub fn durability(mut self, n: Durability) -> Self {
        self.durability = n;
        self
    }
    /// s
    pub fn set(self, _k: &str, _v: &str) -> Result<Self> {
        Ok(self)
    }
    pub(crate) fn validate(&self) -> Result<()> {
        Ok(())
    }
    pub(crate) fn changed_entries(&self) -> Vec<(&'static str, String)> {
        vec![]
    }
}
