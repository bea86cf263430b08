//! Kafka's model as a library: topics, partitions, producers and consumers over a durable log.

mod broker;
mod clock;
mod config;
mod consumer;
mod disk;
mod error;
mod format;
mod group;
pub mod inspect;
mod log;
mod notify;
mod partition;
mod producer;
mod reader;
mod record;
mod topic;

pub use broker::{Broker, BrokerBuilder, ClampedCommit, PartitionRecovery, RecoveryReport};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{CleanupPolicy, Durability, TopicConfig};
pub use consumer::{
    Consumer, ConsumerBuilder, ConsumerRecord, Header, RecordHeaders, Records, RecordsIter,
    WakeupHandle,
};
pub use disk::sim;
pub use error::{Error, Result, SharedIoError};
#[cfg(any(test, feature = "__fuzzing"))]
#[doc(hidden)]
pub use format::fuzzing;
pub use format::{Compression, TimestampType};
pub use partition::Partition;
pub use producer::{
    Delivery, Murmur2Partitioner, Partitioner, Producer, ProducerBuilder, RoundRobinPartitioner,
};
pub use reader::Reader;
pub use record::{Offset, Position, Record, RecordMetadata, Timestamp, TopicPartition};
pub use topic::Topic;
