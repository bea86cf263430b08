//! Which partitions a consumer reads: all of the topics it subscribes to, or those it was assigned.
//!
//! A group has one member for now, so a subscription owns every partition of its topics at once. The
//! assignment follows the broker's topics: one atomic load per poll tells whether any changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Consumer;
use super::assignment::Assigned;
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::partition::PartitionState;
use crate::record::{Position, TopicPartition};

/// How a consumer came to its partitions. The two ways exclude each other, as in Kafka.
#[derive(Debug, Default)]
pub(super) enum Subscription {
    #[default]
    None,
    Topics(BTreeSet<String>),
    Manual(BTreeSet<TopicPartition>),
}

impl Subscription {
    /// The partitions it means right now.
    fn partitions(&self, broker: &BrokerState) -> Result<Vec<Arc<PartitionState>>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Topics(topics) => Ok(all_partitions(broker, topics)),
            Self::Manual(partitions) => partitions
                .iter()
                .map(|partition| find_partition(broker, partition))
                .collect(),
        }
    }
}

/// All partitions of those topics that exist, by topic and number. A topic may be deleted while it
/// is subscribed, and come back.
fn all_partitions(broker: &BrokerState, topics: &BTreeSet<String>) -> Vec<Arc<PartitionState>> {
    let existing = topics.iter().filter_map(|name| broker.topic(name).ok());
    existing
        .flat_map(|topic| topic.partitions.load().iter().cloned().collect::<Vec<_>>())
        .collect()
}

pub(crate) fn find_partition(
    broker: &BrokerState,
    id: &TopicPartition,
) -> Result<Arc<PartitionState>> {
    let topic = broker.topic(id.topic())?;
    let partitions = topic.partitions.load();
    let index = usize::try_from(id.partition()).unwrap_or(usize::MAX);
    partitions
        .get(index)
        .cloned()
        .ok_or_else(|| Error::UnknownPartition {
            topic: id.topic().to_owned(),
            partition: id.partition(),
            count: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        })
}

impl Consumer {
    /// Reads all partitions of these topics, instead of those it read so far. Partitions it read
    /// already keep their position and pause; an empty list is [`unsubscribe`](Self::unsubscribe).
    ///
    /// As a member of a group, the consumer is the group's one member from now on, until it
    /// unsubscribes, is closed or is dropped.
    ///
    /// Later on, partitions that are added to the topics are read too, from their beginning. A topic
    /// that is deleted drops out, and comes back if it is made again.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// broker.create_topic("clicks", TopicConfig::default().partitions(3))?;
    /// let mut consumer = broker.consumer().group("dashboard").build()?;
    /// consumer.subscribe(["clicks"])?;
    /// assert_eq!(consumer.assignment().len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`UnknownTopic`](Error::UnknownTopic): a topic does not exist. (Kafka waits for it instead.)
    /// * [`GroupMaxSizeReached`](Error::GroupMaxSizeReached): the group has a live member.
    /// * [`IllegalState`](Error::IllegalState): partitions were assigned; unsubscribe first.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item: AsRef<str>>) -> Result<()> {
        self.broker.check_open()?;
        let topics: BTreeSet<String> = topics
            .into_iter()
            .map(|topic| topic.as_ref().to_owned())
            .collect();
        if topics.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        if matches!(self.subscription, Subscription::Manual(_)) {
            return Err(Error::IllegalState(
                "partitions are assigned; call `unsubscribe` first",
            ));
        }
        for topic in &topics {
            self.broker.topic(topic)?;
        }
        if let (Some(group), None) = (&self.group, &self.membership) {
            self.membership = Some(self.broker.offsets().members().join(group)?);
        }
        self.read_instead(Subscription::Topics(topics))
    }

    /// Reads these partitions, instead of those it read so far. Partitions it read already keep
    /// their position and pause; an empty list is [`unsubscribe`](Self::unsubscribe).
    ///
    /// This works beside the group's member: commits still go to the group, if the consumer was
    /// given one, and nobody divides the partitions.
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition): there
    ///   is no such partition.
    /// * [`IllegalState`](Error::IllegalState): topics are subscribed; unsubscribe first.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.broker.check_open()?;
        if partitions.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        if matches!(self.subscription, Subscription::Topics(_)) {
            return Err(Error::IllegalState(
                "topics are subscribed; call `unsubscribe` first",
            ));
        }
        self.read_instead(Subscription::Manual(partitions.iter().cloned().collect()))
    }

    /// Reads nothing any more, and leaves the group. Positions that were not committed are
    /// forgotten, as in Kafka: [`commit`](Self::commit) before, if they matter.
    pub fn unsubscribe(&mut self) {
        self.subscription = Subscription::None;
        self.follow(Vec::new(), false);
        self.membership = None;
    }

    /// The subscribed topics, sorted.
    pub fn subscription(&self) -> Vec<String> {
        match &self.subscription {
            Subscription::Topics(topics) => topics.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// The partitions that the consumer reads, by topic and number.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assignment
            .iter()
            .map(|assigned| assigned.id().clone())
            .collect()
    }

    /// Goes on at `position` in one of the assigned partitions; what was fetched from elsewhere is
    /// not delivered any more. [`Position::Latest`] and [`Position::Timestamp`] are looked up now. An
    /// offset out of range shows at the next poll, where the reset policy applies.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState) if the partition is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, position: Position) -> Result<()> {
        self.broker.check_open()?;
        self.assigned_mut(partition)?.seek(position)?;
        self.all_started = false;
        self.uncommitted = true;
        Ok(())
    }

    /// Delivers no more records of these partitions until they are resumed, not even of batches that
    /// were fetched already. They stay assigned, and keep their position.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState), and nothing has changed, if one is not assigned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Takes a [`pause`](Self::pause) back.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState), and nothing has changed, if one is not assigned.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    /// The paused partitions, by topic and number.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.assignment.iter().filter(|assigned| assigned.paused);
        paused.map(|assigned| assigned.id().clone()).collect()
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        for partition in partitions {
            self.assigned_mut(partition)?;
        }
        for partition in partitions {
            self.assigned_mut(partition)?.paused = paused;
        }
        Ok(())
    }

    /// True if topics or partitions came or went since the assignment was made.
    pub(super) fn topics_changed(&self) -> bool {
        self.broker.topics_version() != self.topics_version
    }

    /// Follows changes of the broker's topics: one atomic load if there are none.
    pub(super) fn refresh_assignment(&mut self) -> Result<()> {
        let version = self.broker.topics_version();
        if version != self.topics_version {
            let partitions = self.subscription.partitions(&self.broker)?;
            self.follow(partitions, true);
            self.topics_version = version;
        }
        Ok(())
    }

    fn read_instead(&mut self, subscription: Subscription) -> Result<()> {
        // The version first: a change in between is found again by the next refresh.
        let version = self.broker.topics_version();
        let partitions = subscription.partitions(&self.broker)?;
        self.subscription = subscription;
        self.follow(partitions, false);
        self.topics_version = version;
        Ok(())
    }

    /// Makes `partitions` the assignment; what is there already stays as it is.
    fn follow(&mut self, partitions: Vec<Arc<PartitionState>>, added_later: bool) {
        self.stop_waiting_for_records();
        let former = std::mem::take(&mut self.assignment).into_iter();
        let mut former: BTreeMap<_, _> = former
            .map(|assigned| (assigned.id().clone(), assigned))
            .collect();
        let assignment =
            partitions
                .into_iter()
                .map(|partition| match former.remove(partition.id()) {
                    Some(assigned) if Arc::ptr_eq(assigned.partition(), &partition) => assigned,
                    // New, or of a topic that was deleted and made again under the old name.
                    _ => Assigned::new(partition, added_later),
                });
        self.assignment = assignment.collect();
        self.all_started = false;
        self.first = 0;
    }

    pub(super) fn assigned(&self, partition: &TopicPartition) -> Result<&Assigned> {
        find(&self.assignment, partition)
            .map(|index| &self.assignment[index])
            .ok_or(NOT_ASSIGNED)
    }

    fn assigned_mut(&mut self, partition: &TopicPartition) -> Result<&mut Assigned> {
        match find(&self.assignment, partition) {
            Some(index) => Ok(&mut self.assignment[index]),
            None => Err(NOT_ASSIGNED),
        }
    }
}

const NOT_ASSIGNED: Error = Error::IllegalState("the partition is not assigned to this consumer");

/// The assignment is sorted by topic and number.
fn find(assignment: &[Assigned], partition: &TopicPartition) -> Option<usize> {
    assignment
        .binary_search_by(|assigned| assigned.id().cmp(partition))
        .ok()
}
