//! Which partitions a consumer reads: a share of the topics it subscribes to, or those it was assigned.
//!
//! A member of a group has its coordinator say which are its own ([`rebalance`](super::rebalance));
//! a consumer without a group reads all partitions of its topics. Either way the assignment follows
//! the broker's topics: one atomic load per poll tells whether any changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Consumer;
use super::assignment::Assigned;
use super::pattern::TopicPattern;
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::group::coordinator::Membership;
use crate::group::state::Subscribed;
use crate::partition::PartitionState;
use crate::record::{Position, TopicPartition};

/// How a consumer came to its partitions. The ways exclude each other, as in Kafka.
#[derive(Debug, Default)]
pub(super) enum Subscription {
    #[default]
    None,
    Topics(BTreeSet<String>),
    Pattern(TopicPattern),
    Manual(BTreeSet<TopicPartition>),
}

impl Subscription {
    /// The topics it means right now; they need not exist.
    pub(super) fn topics(&self, broker: &BrokerState) -> BTreeSet<String> {
        match self {
            Self::None | Self::Manual(_) => BTreeSet::new(),
            Self::Topics(topics) => topics.clone(),
            Self::Pattern(pattern) => pattern.matching(broker),
        }
    }

    /// All partitions it means right now.
    fn partitions(&self, broker: &BrokerState) -> Result<Vec<Arc<PartitionState>>> {
        match self {
            Self::Manual(partitions) => partitions
                .iter()
                .map(|partition| find_partition(broker, partition))
                .collect(),
            _ => Ok(all_partitions(broker, &self.topics(broker))),
        }
    }

    /// True if topics are subscribed to, by name or pattern.
    pub(super) fn is_to_topics(&self) -> bool {
        matches!(self, Self::Topics(_) | Self::Pattern(_))
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
    /// Reads these topics, instead of those it read so far; an empty list is
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// With a group, the consumer is a member of it from now on, until it unsubscribes, is closed or
    /// is dropped. The members that subscribe to a topic share its partitions: each has exactly one
    /// owner. What is free is assigned at once; what another member has to give up first comes in one of the
    /// next polls, and so does what this member has to give up. Without a group, the consumer reads
    /// all partitions.
    ///
    /// Later on, partitions that are added to the topics are read too, from their beginning. A topic
    /// that is deleted drops out, and comes back if it is made again.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// broker.create_topic("clicks", TopicConfig::default().partitions(3))?;
    /// let mut first = broker.consumer().group("dashboard").build()?;
    /// first.subscribe(["clicks"])?;
    /// assert_eq!(first.assignment().len(), 3);
    ///
    /// let mut second = broker.consumer().group("dashboard").build()?;
    /// second.subscribe(["clicks"])?;
    /// first.poll(Duration::ZERO)?; // gives one up
    /// second.poll(Duration::ZERO)?; // takes it on
    /// assert_eq!((first.assignment().len(), second.assignment().len()), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`UnknownTopic`](Error::UnknownTopic): a topic does not exist. (Kafka waits for it instead.)
    /// * [`InconsistentGroupProtocol`](Error::InconsistentGroupProtocol): the group's members use
    ///   another assignor.
    /// * [`IllegalState`](Error::IllegalState): partitions were assigned, or a pattern was subscribed
    ///   to; unsubscribe first.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item: AsRef<str>>) -> Result<()> {
        let topics: BTreeSet<String> = topics
            .into_iter()
            .map(|topic| topic.as_ref().to_owned())
            .collect();
        if topics.is_empty() {
            return self.unsubscribe();
        }
        if matches!(self.subscription, Subscription::Pattern(_)) {
            return Err(PATTERN_SUBSCRIBED);
        }
        for topic in &topics {
            self.broker.topic(topic)?;
        }
        self.subscribe_to(Subscription::Topics(topics))
    }

    /// Reads all topics whose whole name matches a regular expression, now and later: topics that are
    /// created are read from their beginning. Internal topics are left out. Otherwise as
    /// [`subscribe`](Self::subscribe).
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// broker.create_topic("orders-eu", TopicConfig::default())?;
    /// let mut consumer = broker.consumer().group("audit").build()?;
    /// consumer.subscribe_pattern("orders-.*")?;
    /// broker.create_topic("orders-us", TopicConfig::default())?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.assignment().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `subscribe`, and [`InvalidConfig`](Error::InvalidConfig) for a malformed expression.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        let pattern = TopicPattern::new(pattern)?;
        if matches!(self.subscription, Subscription::Topics(_)) {
            return Err(TOPICS_SUBSCRIBED);
        }
        self.subscribe_to(Subscription::Pattern(pattern))
    }

    fn subscribe_to(&mut self, subscription: Subscription) -> Result<()> {
        self.broker.check_open()?;
        self.check_not_in_listener()?;
        if matches!(self.subscription, Subscription::Manual(_)) {
            return Err(Error::IllegalState(
                "partitions are assigned; call `unsubscribe` first",
            ));
        }
        if self.settings.group.is_none() {
            return self.read_instead(subscription);
        }
        // The version first: a change in between is found again by the next refresh.
        let version = self.broker.topics_version();
        let topics = subscription.topics(&self.broker);
        match &self.membership {
            None => self.join(topics)?,
            Some(membership) => membership.subscribe(Subscribed {
                topics,
                facts: &|topic| self.broker.topic_facts(topic),
                last_serial: version,
                now: self.broker.clock().monotonic(),
            }),
        }
        self.subscription = subscription;
        self.topics_version = version;
        self.take_on_free();
        Ok(())
    }

    /// Reads these partitions, instead of those it read so far. Partitions it read already keep
    /// their position and pause; an empty list is [`unsubscribe`](Self::unsubscribe).
    ///
    /// This makes the consumer no member of its group, and nobody divides the partitions. Commits
    /// still go to the group, if the consumer was given one, while that has no members.
    ///
    /// # Errors
    /// Nothing has changed after an error.
    /// * [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition): there
    ///   is no such partition.
    /// * [`IllegalState`](Error::IllegalState): topics are subscribed; unsubscribe first.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.broker.check_open()?;
        self.check_not_in_listener()?;
        if partitions.is_empty() {
            return self.unsubscribe();
        }
        if self.subscription.is_to_topics() {
            return Err(TOPICS_SUBSCRIBED);
        }
        self.read_instead(Subscription::Manual(partitions.iter().cloned().collect()))
    }

    /// Reads nothing any more, and leaves the group; its partitions go to other members at once.
    /// Positions that were not committed are forgotten, as in Kafka: [`commit`](Self::commit) before,
    /// if they matter.
    ///
    /// # Errors
    /// What the rebalance listener returned; nothing is subscribed all the same. `IllegalState` from
    /// inside that listener.
    pub fn unsubscribe(&mut self) -> Result<()> {
        self.check_not_in_listener()?;
        // Until it has left, nobody takes its partitions for being late.
        self.begin_poll();
        let told = self.leave_orderly();
        self.polling = false;
        self.subscription = Subscription::None;
        self.follow(Vec::new(), false);
        self.unannounced.clear();
        told
    }

    /// The subscribed topics, sorted; of a pattern, those that match it now.
    pub fn subscription(&self) -> Vec<String> {
        let topics = self.subscription.topics(&self.broker);
        topics.into_iter().collect()
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
        if version == self.topics_version {
            return Ok(());
        }
        if let Some(membership) = &self.membership {
            membership.subscribe(Subscribed {
                topics: self.subscription.topics(&self.broker),
                facts: &|topic| self.broker.topic_facts(topic),
                last_serial: version,
                now: self.broker.clock().monotonic(),
            });
            self.replace_recreated();
        } else if self.settings.group.is_some() && self.subscription.is_to_topics() {
            // Not a member at the moment: what it reads comes with the next membership.
            return Ok(());
        } else {
            let partitions = self.subscription.partitions(&self.broker)?;
            self.follow(partitions, true);
        }
        self.topics_version = version;
        Ok(())
    }

    /// A topic that was deleted and made again keeps its owners; what they read is another log.
    fn replace_recreated(&mut self) {
        for assigned in &mut self.assignment {
            if let Ok(present) = find_partition(&self.broker, assigned.id())
                && !Arc::ptr_eq(assigned.partition(), &present)
            {
                assigned
                    .partition()
                    .waiters()
                    .unregister(self.wakeup.waiter());
                *assigned = Assigned::new(present, true);
                self.all_started = false;
            }
        }
        // One that was gone at the moment it was granted, and is back.
        let membership = self.membership.as_ref();
        let owned = membership.map(Membership::owned);
        for partition in owned.unwrap_or_default() {
            if self.assigned(&partition).is_err()
                && let Ok(present) = find_partition(&self.broker, &partition)
            {
                self.insert_assigned(Assigned::new(present, true));
                self.unannounced.insert(partition);
            }
        }
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

    /// Reads one more partition.
    pub(super) fn insert_assigned(&mut self, added: Assigned) {
        if let Some(index) = find(&self.assignment, added.id()) {
            self.assignment[index] = added;
        } else {
            let before = |assigned: &Assigned| assigned.id() < added.id();
            let index = self.assignment.partition_point(before);
            self.assignment.insert(index, added);
        }
        self.all_started = false;
    }

    /// Reads these no more; what was fetched of them is not delivered.
    pub(super) fn remove_assigned(&mut self, partitions: &[TopicPartition]) {
        let partitions: BTreeSet<_> = partitions.iter().collect();
        let waiter = self.wakeup.waiter();
        self.assignment.retain(|assigned| {
            let stays = !partitions.contains(assigned.id());
            if !stays {
                assigned.partition().waiters().unregister(waiter);
            }
            stays
        });
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

const TOPICS_SUBSCRIBED: Error =
    Error::IllegalState("topics are subscribed; call `unsubscribe` first");
const PATTERN_SUBSCRIBED: Error =
    Error::IllegalState("a pattern is subscribed to; call `unsubscribe` first");
const NOT_ASSIGNED: Error = Error::IllegalState("the partition is not assigned to this consumer");

/// The assignment is sorted by topic and number.
fn find(assignment: &[Assigned], partition: &TopicPartition) -> Option<usize> {
    assignment
        .binary_search_by(|assigned| assigned.id().cmp(partition))
        .ok()
}
