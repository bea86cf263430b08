//! Committing: telling the group how far this consumer has come.
//!
//! What is committed is a position: the *next* offset to read. Automatic commits happen at the start
//! of a poll, before anything is fetched, and in `close`: both are the caller's word that the records
//! of earlier polls are processed. A drop is not (guarantee G4).

use std::sync::Arc;
use std::time::Duration;

use super::Consumer;
use super::assignment::{Assigned, Committed};
use super::subscription::find_partition;
use crate::error::{Error, Result};
use crate::group::commit::CommitReceipt;
use crate::group::offsets::{DataSync, OffsetAndMetadata};
use crate::record::{Offset, TopicPartition};

/// What Kafka commits by if nothing is said.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// When to commit without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AutoCommit {
    /// Every 5 seconds if there is a group.
    Default,
    Off,
    Every(Duration),
}

impl AutoCommit {
    pub(super) fn interval(self, has_group: bool) -> Option<Duration> {
        match self {
            Self::Default => has_group.then_some(DEFAULT_INTERVAL),
            Self::Off => None,
            Self::Every(interval) => Some(interval),
        }
    }
}

impl Consumer {
    /// Commits the positions of all assigned partitions: everything that poll has returned counts as
    /// processed. Records may still be alive.
    ///
    /// It returns when the commit is as safe as the broker's default durability says: it survives
    /// the death of the process, or power loss. The data below the offsets is then as safe.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, Position, Record, TopicConfig, TopicPartition};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// # broker.producer().build()?.send(Record::to("clicks").value("/home"))?.wait()?;
    /// let mut consumer = broker.consumer().group("dashboard")
    ///     .auto_offset_reset(Position::Earliest).auto_commit(None).build()?;
    /// consumer.subscribe(["clicks"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// for record in &records { /* … */ }
    /// consumer.commit()?;
    /// assert_eq!(consumer.committed(&TopicPartition::new("clicks", 0))?, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing is committed after an error, unless it [is indefinite](Error::is_indefinite).
    /// * [`Fenced`](Error::Fenced): the consumer is no member any more, since it did not poll within
    ///   `max.poll.interval.ms`; its next poll joins again.
    /// * [`IllegalState`](Error::IllegalState): there is no group.
    /// * [`GroupNotEmpty`](Error::GroupNotEmpty): the partitions were assigned by hand, and the group
    ///   has members.
    /// * What writing may answer.
    pub fn commit(&mut self) -> Result<()> {
        self.commit_positions(DataSync::First)?.wait()
    }

    /// Like [`commit`](Self::commit), without waiting for the device: the commit is in force when this
    /// returns, for whoever reads the group's offsets and whoever owns the partitions next. The
    /// receipt tells when it is as safe as the broker's durability says, for which it can be waited,
    /// blocking or as a future. It may be dropped.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// let mut consumer = broker.group("dashboard").join(["clicks"])?;
    /// let records = consumer.poll(Duration::ZERO)?;
    /// let receipt = consumer.commit_async()?;
    /// // … go on, and look later:
    /// receipt.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As `commit`; what can still fail afterwards comes out of the receipt.
    pub fn commit_async(&mut self) -> Result<CommitReceipt> {
        self.commit_positions(DataSync::Later)
    }

    fn commit_positions(&mut self, data: DataSync) -> Result<CommitReceipt> {
        /// Each time it takes another deletion of a topic at just the wrong moment.
        const MOST_ATTEMPTS: usize = 10;
        self.broker.check_open()?;
        if self.membership.is_none() {
            self.refresh_assignment()?;
        }
        let mut attempts = 1;
        let receipt = loop {
            match self.begin_commit(&self.positions(), data) {
                Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. })
                    if attempts < MOST_ATTEMPTS =>
                {
                    attempts += 1;
                }
                other => break other?,
            }
        };
        self.uncommitted = false;
        Ok(receipt)
    }

    /// How far the consumer is in each partition that it began to read, and that is there still: what was
    /// committed for a deleted topic is forgotten with it.
    fn positions(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let started = self.assignment.iter().filter(|assigned| {
            assigned.is_started()
                && find_partition(&self.broker, assigned.id())
                    .is_ok_and(|present| Arc::ptr_eq(&present, assigned.partition()))
        });
        started.map(next_to_read).collect()
    }

    /// Commits these offsets, all or none: for each partition, the *next* offset to read, which is
    /// one past the last record that was processed. An offset may go back. Positions stay.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit); a member is [`Fenced`](Error::Fenced) also from partitions
    /// that are not assigned to it. [`UnknownTopic`](Error::UnknownTopic) and
    /// [`UnknownPartition`](Error::UnknownPartition) for what does not exist.
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        self.broker.check_open()?;
        self.commit_now(&without_metadata(offsets))
    }

    /// [`commit_offsets`](Self::commit_offsets) without waiting for the device: see
    /// [`commit_async`](Self::commit_async).
    ///
    /// # Errors
    /// As `commit_offsets`.
    pub fn commit_offsets_async(
        &mut self,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<CommitReceipt> {
        self.broker.check_open()?;
        self.begin_commit(&without_metadata(offsets), DataSync::Later)
    }

    /// Commits, blocking, as the owner of these partitions or, without a group's division of them,
    /// while the group has no members.
    pub(super) fn commit_now(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        self.begin_commit(offsets, DataSync::First)?.wait()
    }

    fn begin_commit(
        &self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        data: DataSync,
    ) -> Result<CommitReceipt> {
        let (broker, group) = (&self.broker, self.required_group()?);
        let store = broker.offsets();
        let Some(membership) = &self.membership else {
            if self.subscription.is_to_topics() {
                return Err(Error::Fenced {
                    reason: "the consumer lost its place in the group".to_owned(),
                });
            }
            return store.commit(broker, group, offsets, data, |write| {
                store.coordinator().with_empty(group, write)
            });
        };
        if offsets.is_empty() {
            membership.with_owned([].iter(), || Ok(()))?;
        }
        store.commit(broker, group, offsets, data, |write| {
            let partitions = offsets.iter().map(|(partition, _)| partition);
            membership.with_owned(partitions, write)
        })
    }

    /// The offset that the group committed for a partition, assigned or not; `None` if there is none.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState) without a group; [`Corrupt`](Error::Corrupt) if the
    /// group's committed offsets cannot be read.
    pub fn committed(&self, partition: &TopicPartition) -> Result<Option<Offset>> {
        self.broker.check_open()?;
        let committed =
            self.broker
                .offsets()
                .fetch(&self.broker, self.required_group()?, partition)?;
        Ok(committed.map(|committed| committed.offset))
    }

    fn required_group(&self) -> Result<&str> {
        self.settings.group.as_deref().ok_or(Error::IllegalState(
            "the consumer has no group to commit to",
        ))
    }

    /// What the group knows about an assigned partition; `None` without a group.
    pub(super) fn committed_start(
        &self,
        partition: &TopicPartition,
    ) -> Result<Option<Committed<'_>>> {
        let Some(group) = self.settings.group.as_deref() else {
            return Ok(None);
        };
        let offsets = self.broker.offsets();
        let offset = offsets.fetch(&self.broker, group, partition)?;
        Ok(Some(Committed {
            group,
            offset,
            // Of a member's partitions that was found out when the group first had them.
            added_since: self.membership.is_none() && self.is_added_since(partition),
        }))
    }

    /// True if what the group committed for the topic ends with a lower partition: this one was added
    /// while the group was away. If that cannot be read, nor can what was committed, which is told.
    pub(super) fn is_added_since(&self, partition: &TopicPartition) -> bool {
        let Some(group) = self.settings.group.as_deref() else {
            return false;
        };
        let offsets = self.broker.offsets();
        let highest = offsets.highest_partition(&self.broker, group, partition.topic());
        highest.is_ok_and(|highest| highest.is_some_and(|highest| highest < partition.partition()))
    }

    /// Commits what earlier polls returned, if it is time to. After a failure the next attempt waits
    /// for the next interval, so that records can be read meanwhile.
    pub(super) fn commit_if_due(&mut self) -> Result<()> {
        let Some(wait) = self.until_commit() else {
            return Ok(());
        };
        if wait.is_zero() {
            self.last_commit = self.broker.clock().monotonic();
            unless_fenced(self.commit())?;
        }
        Ok(())
    }

    /// How long until an automatic commit is due; `None` if there is nothing to commit.
    pub(super) fn until_commit(&self) -> Option<Duration> {
        let interval = self.auto_commit?;
        if !self.uncommitted {
            return None;
        }
        let due = self.last_commit.saturating_add(interval);
        Some(due.saturating_sub(self.broker.clock().monotonic()))
    }
}

pub(super) fn next_to_read(assigned: &Assigned) -> (TopicPartition, OffsetAndMetadata) {
    let (offset, leader_epoch) = assigned.position();
    let committed = OffsetAndMetadata {
        leader_epoch,
        ..OffsetAndMetadata::at(offset)
    };
    (assigned.id().clone(), committed)
}

/// A member that is none any more learns of it in the next step, which deals with it.
pub(super) fn unless_fenced(committed: Result<()>) -> Result<()> {
    match committed {
        Err(Error::Fenced { .. }) => Ok(()),
        other => other,
    }
}

fn without_metadata(
    offsets: &[(TopicPartition, Offset)],
) -> Vec<(TopicPartition, OffsetAndMetadata)> {
    let offsets = offsets.iter();
    offsets
        .map(|(partition, offset)| (partition.clone(), OffsetAndMetadata::at(*offset)))
        .collect()
}
