//! Kafka's model as a library: topics, partitions, producers and consumers over a durable log.

pub(crate) mod broker;
mod clock;
pub(crate) mod config;
pub(crate) mod consumer;
pub(crate) mod disk;
mod error;
pub(crate) mod format;
pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod notify;
pub(crate) mod partition;
pub(crate) mod producer;
pub(crate) mod reader;
mod record;
pub(crate) mod topic;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, Result, SharedIoError};
pub use format::{Compression, TimestampType};
pub use record::{Offset, Position, Record, RecordMetadata, Timestamp, TopicPartition};
