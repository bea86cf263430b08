//! The handle of a group: join it, look at it, move it, delete it.
//!
//! Everything that changes a group behind its members' backs needs it to be without members, and keeps
//! them out until it is done ([`Coordinator::with_empty`](super::coordinator::Coordinator::with_empty)).
//!
//! Elsewhere: what is stored ([`admin`](super::admin)), what is said of a group
//! ([`description`](super::description)), where a reset leads ([`reset`](super::reset)), being a member
//! (`consumer`).

use std::fmt;
use std::sync::Arc;

use super::description::{self, GroupDescription};
use super::offsets::{DataSync, OffsetAndMetadata};
use super::reset::{self, OffsetReset, ResetOffset};
use crate::broker::BrokerState;
use crate::consumer::{Consumer, ConsumerBuilder};
use crate::error::{Error, Result};
use crate::record::{Offset, TopicPartition};

/// The format stores a group's name behind a 16-bit length.
const LONGEST_NAME: usize = 32_767;

/// A consumer group of a broker, by its name. It need not exist yet: joining it or committing for it makes
/// it. Made by [`Broker::group`](crate::Broker::group).
///
/// Cheap to clone, `Send + Sync`; clones are the same group. It keeps its broker open. A name that
/// does not have 1 to 32,767 bytes is `InvalidConfig` in every call.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use std::time::Duration;
/// use streamlog::{Broker, Error, Position, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("user-clicks", TopicConfig::default())?;
/// broker.topic("user-clicks")?.partition(0)?
///     .append(&[Record::value_only("/home"), Record::value_only("/cart")])?;
///
/// let group = broker.group("dashboard");
/// group.reset_offsets("user-clicks", Position::Earliest)?; // where a new group starts
/// let mut consumer = group.join(["user-clicks"])?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 2);
/// consumer.commit()?;
/// assert_eq!(group.describe()?.total_lag(), 0);
///
/// let refused = group.reset_offsets("user-clicks", Position::Earliest);
/// assert!(matches!(refused, Err(Error::GroupNotEmpty { .. }))); // the consumer would not notice
/// drop(consumer);
/// group.reset_offsets("user-clicks", Position::Earliest)?; // everything is processed once more
/// assert_eq!(group.describe()?.total_lag(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConsumerGroup {
    broker: Arc<BrokerState>,
    name: Arc<str>,
}

impl fmt::Debug for ConsumerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerGroup")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl ConsumerGroup {
    pub(crate) fn new(broker: Arc<BrokerState>, name: Arc<str>) -> Self {
        Self { broker, name }
    }

    /// The group's name (`group.id`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new member of the group that subscribes to these topics, with default settings: the same as
    /// [`Broker::consumer`](crate::Broker::consumer) with
    /// [`group`](crate::ConsumerBuilder::group), and [`subscribe`](Consumer::subscribe).
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
    /// let consumer = broker.group("dashboard").join(["user-clicks"])?;
    /// assert_eq!(consumer.group(), Some("dashboard"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`subscribe`](Consumer::subscribe); [`InvalidConfig`](Error::InvalidConfig) for the
    /// name.
    pub fn join(&self, topics: impl IntoIterator<Item: AsRef<str>>) -> Result<Consumer> {
        let builder = ConsumerBuilder::new(Arc::clone(&self.broker));
        let mut consumer = builder.group(&*self.name).build()?;
        consumer.subscribe(topics)?;
        Ok(consumer)
    }

    /// What the group is doing: its members, what each of them owns, and how far the group has come. Each
    /// part is as it is at the time, and records may come in between: a lag is a moment's value.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, Record, TopicConfig, TopicPartition};
    /// use streamlog::GroupState;
    ///
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// # broker.topic("user-clicks")?.partition(0)?.append(&[(); 5].map(|()| Record::value_only("v")))?;
    /// let group = broker.group("dashboard");
    /// group.commit_offsets(&[(TopicPartition::new("user-clicks", 0), 3)])?;
    /// let description = group.describe()?;
    /// assert_eq!(description.state, GroupState::Empty);
    /// assert_eq!(description.offsets[0].committed, Some(3));
    /// assert_eq!(description.offsets[0].lag, Some(2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`UnknownGroup`](Error::UnknownGroup) if there is no such group; [`Corrupt`](Error::Corrupt) if
    /// its offsets cannot be read.
    pub fn describe(&self) -> Result<GroupDescription> {
        self.check()?;
        description::describe(&self.broker, &self.name)
    }

    /// Has the group go on elsewhere, in all partitions of a topic: at a
    /// [`Position`](crate::Position), or where another [`OffsetReset`] says. What lies outside of a log is
    /// clamped to its start or end, as Kafka's reset tool does, and the answer says so. All or nothing,
    /// and as safe as a commit. A group that does not exist is made.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, OffsetReset, Position, Record, TopicConfig, TopicPartition};
    /// use streamlog::Clamped;
    ///
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// # broker.topic("user-clicks")?.partition(0)?.append(&[(); 5].map(|()| Record::value_only("v")))?;
    /// let group = broker.group("dashboard");
    /// group.reset_offsets("user-clicks", Position::Latest)?;
    /// let back = group.reset_offsets("user-clicks", OffsetReset::ShiftBy(-2))?;
    /// assert_eq!((back[0].from, back[0].to), (Some(5), 3));
    /// let further = group.reset_offsets("user-clicks", OffsetReset::ShiftBy(-100))?;
    /// assert_eq!((further[0].to, further[0].clamped), (0, Some(Clamped::ToStart)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`GroupNotEmpty`](Error::GroupNotEmpty): the group has live members, which know their
    ///   positions better.
    /// * [`UnknownTopic`](Error::UnknownTopic): there is no such topic.
    /// * [`NoCommittedOffset`](Error::NoCommittedOffset): [`ShiftBy`](OffsetReset::ShiftBy) for a partition
    ///   without a committed offset.
    /// * [`Corrupt`](Error::Corrupt): the group's offsets cannot be read, or a record that has to be
    ///   looked at for its time.
    pub fn reset_offsets(
        &self,
        topic: &str,
        to: impl Into<OffsetReset>,
    ) -> Result<Vec<ResetOffset>> {
        self.check()?;
        self.reset_partitions(&reset::partitions_of(&self.broker, topic)?, to)
    }

    /// What [`reset_offsets`](Self::reset_offsets) would do. It writes nothing, and members may be live.
    ///
    /// # Errors
    /// As [`reset_offsets`](Self::reset_offsets), except `GroupNotEmpty`.
    pub fn plan_reset(&self, topic: &str, to: impl Into<OffsetReset>) -> Result<Vec<ResetOffset>> {
        self.check()?;
        self.plan_reset_partitions(&reset::partitions_of(&self.broker, topic)?, to)
    }

    /// As [`reset_offsets`](Self::reset_offsets), for chosen partitions. The answer is sorted.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, OffsetReset, Record, TopicConfig, TopicPartition};
    /// # use std::time::Duration;
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default().partitions(2))?;
    /// let group = broker.group("dashboard");
    /// let first = TopicPartition::new("user-clicks", 0);
    /// let last_hour = OffsetReset::ByDuration(Duration::from_secs(3600));
    /// let planned = group.plan_reset_partitions(std::slice::from_ref(&first), last_hour)?;
    /// assert_eq!(group.reset_partitions(&[first], last_hour)?, planned);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`reset_offsets`](Self::reset_offsets), and [`UnknownPartition`](Error::UnknownPartition).
    pub fn reset_partitions(
        &self,
        partitions: &[TopicPartition],
        to: impl Into<OffsetReset>,
    ) -> Result<Vec<ResetOffset>> {
        self.check()?;
        let to = to.into();
        self.while_empty(|| {
            let planned = reset::plan(&self.broker, &self.name, partitions, to)?;
            let offsets = planned.iter().map(|reset| (&reset.partition, reset.to));
            self.commit_all(offsets)?;
            Ok(planned)
        })
    }

    /// What [`reset_partitions`](Self::reset_partitions) would do. It writes nothing, and members may be
    /// live.
    ///
    /// # Errors
    /// As [`reset_partitions`](Self::reset_partitions), except `GroupNotEmpty`.
    pub fn plan_reset_partitions(
        &self,
        partitions: &[TopicPartition],
        to: impl Into<OffsetReset>,
    ) -> Result<Vec<ResetOffset>> {
        self.check()?;
        reset::plan(&self.broker, &self.name, partitions, to.into())
    }

    /// Everything the group has committed, by topic and number: for each partition, the *next* offset to
    /// read. Empty for a group that does not exist. [`commit_offsets`](Self::commit_offsets) takes it
    /// back, for this or another group.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, Position, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// # broker.group("dashboard").reset_offsets("user-clicks", Position::Latest)?;
    /// // A second dashboard that starts where the first one is.
    /// let offsets = broker.group("dashboard").export()?;
    /// broker.group("new-dashboard").commit_offsets(&offsets)?;
    /// assert_eq!(broker.group("new-dashboard").export()?, offsets);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) if the group's offsets cannot be read.
    pub fn export(&self) -> Result<Vec<(TopicPartition, Offset)>> {
        self.check()?;
        let stored = self.broker.offsets().stored(&self.broker, &self.name)?;
        let offsets = stored.unwrap_or_default().offsets.into_iter();
        Ok(offsets
            .map(|(partition, committed)| (partition, committed.offset))
            .collect())
    }

    /// Commits these offsets for the group, all or none, without being a member: for each partition, the
    /// *next* offset to read. They are taken as they are, wherever the log starts and ends. A group that
    /// does not exist is made.
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`GroupNotEmpty`](Error::GroupNotEmpty): the group has live members.
    /// * [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition): there is no
    ///   such partition.
    /// * [`Corrupt`](Error::Corrupt): the group's offsets cannot be read.
    pub fn commit_offsets(&self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        self.check()?;
        self.while_empty(|| self.commit_all(offsets.iter().map(|(partition, to)| (partition, *to))))
    }

    /// Deletes the group, with everything it committed. Who joins it later starts anew, as the consumer's
    /// `auto_offset_reset` says.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, Error, Position, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// let group = broker.group("dashboard");
    /// group.reset_offsets("user-clicks", Position::Latest)?;
    /// group.delete()?;
    /// assert!(matches!(group.delete(), Err(Error::UnknownGroup { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`GroupNotEmpty`](Error::GroupNotEmpty) while it has live members;
    /// [`UnknownGroup`](Error::UnknownGroup) if there is no such group; [`Corrupt`](Error::Corrupt) if its
    /// offsets cannot be read, and nothing was deleted.
    pub fn delete(&self) -> Result<()> {
        self.check()?;
        self.while_empty(|| self.broker.offsets().delete_group(&self.broker, &self.name))
    }

    /// Deletes what the group committed for a topic, which need not exist any more; nothing happens if
    /// that is nothing. A group that has nothing left is gone.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, Position, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// # broker.create_topic("orders", TopicConfig::default())?;
    /// let group = broker.group("dashboard");
    /// group.reset_offsets("user-clicks", Position::Latest)?;
    /// group.reset_offsets("orders", Position::Latest)?;
    /// group.delete_offsets("orders")?;
    /// assert_eq!(group.export()?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`delete`](Self::delete). (Kafka refuses only while a member subscribes to the topic.)
    pub fn delete_offsets(&self, topic: &str) -> Result<()> {
        self.check()?;
        let offsets = self.broker.offsets();
        self.while_empty(|| offsets.delete_offsets(&self.broker, &self.name, topic))
    }

    fn check(&self) -> Result<()> {
        self.broker.check_open()?;
        if self.name.is_empty() || self.name.len() > LONGEST_NAME {
            return Err(Error::InvalidConfig {
                key: "group.id".to_owned(),
                value: self.name.to_string(),
                reason: "must have 1 to 32767 bytes".to_owned(),
            });
        }
        Ok(())
    }

    /// Keeps members out while something is done to the group.
    fn while_empty<T>(&self, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let coordinator = self.broker.offsets().coordinator();
        coordinator.with_empty(&self.name, action)
    }

    fn commit_all<'a>(
        &self,
        offsets: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    ) -> Result<()> {
        let offsets: Vec<_> = offsets
            .map(|(partition, offset)| (partition.clone(), OffsetAndMetadata::at(offset)))
            .collect();
        let store = self.broker.offsets();
        // Under the lock of `while_empty`.
        store
            .commit(
                &self.broker,
                &self.name,
                &offsets,
                DataSync::First,
                |write| write(),
            )?
            .wait()
    }
}
