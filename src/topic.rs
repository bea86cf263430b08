//! A topic: a name, a configuration, and its partitions.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::broker::BrokerState;
use crate::config::{ConfigEntry, TopicConfig, is_internal};
use crate::error::{Error, Result};
use crate::format::topic_id::TopicId;
use crate::partition::{Partition, PartitionDescription, PartitionState};

/// What everybody who uses a topic shares.
#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    /// Kafka wrote it, before we did.
    pub(crate) adopted: bool,
    /// Rises from topic to topic while the broker is open; 0 for those that were there before.
    pub(crate) serial: u64,
    pub(crate) config: Arc<ArcSwap<TopicConfig>>,
    /// Grows with `add_partitions`; a snapshot, so that looking costs no lock.
    pub(crate) partitions: ArcSwap<Vec<Arc<PartitionState>>>,
}

impl TopicState {
    /// The partition of this number.
    pub(crate) fn partition(&self, partition: u32) -> Result<Arc<PartitionState>> {
        let partitions = self.partitions.load();
        let found = usize::try_from(partition)
            .ok()
            .and_then(|index| partitions.get(index));
        found.cloned().ok_or_else(|| Error::UnknownPartition {
            topic: self.name.to_string(),
            partition,
            count: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        })
    }
}

/// A topic, as [`Topic::describe`] found it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its [id](Topic::id).
    pub id: String,
    /// The broker keeps it for itself.
    pub is_internal: bool,
    /// Apache Kafka wrote it.
    pub is_adopted: bool,
    /// All configs, sorted by name.
    pub configs: Vec<ConfigEntry>,
    /// In order of their numbers.
    pub partitions: Vec<PartitionDescription>,
}

/// A topic of a broker. Cheap to clone; clones are the same topic.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::{Broker, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
/// let topic = broker.topic("user-clicks")?;
/// assert_eq!(topic.partition_count(), 3);
/// topic.partition(0)?.append(&[Record::value_only("hello")])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Topic {
    broker: Arc<BrokerState>,
    state: Arc<TopicState>,
}

impl Topic {
    pub(crate) fn new(broker: Arc<BrokerState>, state: Arc<TopicState>) -> Self {
        Self { broker, state }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The id that Kafka's `partition.metadata` files carry: 22 characters. A topic that is deleted
    /// and made again has another one.
    pub fn id(&self) -> String {
        self.state.id.to_string()
    }

    /// True for a topic that the broker keeps for itself (`__consumer_offsets`).
    pub fn is_internal(&self) -> bool {
        is_internal(self.name())
    }

    /// True if the topic was found in a directory that Apache Kafka wrote.
    pub fn is_adopted(&self) -> bool {
        self.state.adopted
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<TopicConfig> {
        self.state.config.load_full()
    }

    /// How many partitions there are now; [`Broker::add_partitions`](crate::Broker::add_partitions)
    /// adds more.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.state.partitions.load().len()).unwrap_or(u32::MAX)
    }

    /// The partition of this number, from 0; `UnknownPartition` if there are fewer.
    pub fn partition(&self, partition: u32) -> Result<Partition> {
        let state = self.state.partition(partition)?;
        Ok(Partition::new(Arc::clone(&self.broker), state))
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        let partitions = self.state.partitions.load();
        partitions
            .iter()
            .map(|state| Partition::new(Arc::clone(&self.broker), Arc::clone(state)))
            .collect()
    }

    /// Configuration, offsets, sizes and times of all partitions, and what is wrong if anything is. Reads
    /// no records; see [`Partition::describe`].
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, Record, TopicConfig};
    ///
    /// let broker = Broker::in_memory();
    /// let topic = broker.create_topic("t", TopicConfig::default().partitions(2))?;
    /// topic.partition(1)?.append(&[Record::value_only("v").timestamp(7)])?;
    /// let partitions = topic.describe()?.partitions;
    /// assert_eq!((partitions[0].high_watermark, partitions[1].high_watermark), (0, 1));
    /// assert_eq!(partitions[1].latest_timestamp, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Closed` if the broker is, or the topic was deleted.
    pub fn describe(&self) -> Result<TopicDescription> {
        let partitions = self.partitions();
        let partitions = partitions.iter().map(Partition::describe);
        Ok(TopicDescription {
            name: self.name().to_owned(),
            id: self.id(),
            is_internal: self.is_internal(),
            is_adopted: self.is_adopted(),
            configs: self.config().describe(),
            partitions: partitions.collect::<Result<_>>()?,
        })
    }
}
