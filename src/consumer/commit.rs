//! Committing: telling the group how far this consumer has come.
//!
//! What is committed is a position: the *next* offset to read. Automatic commits happen at the start
//! of a poll, before anything is fetched, and in `close`: both are the caller's word that the records
//! of earlier polls are processed. A drop is not (guarantee G4).

use std::time::Duration;

use super::Consumer;
use super::assignment::{Assigned, Committed};
use crate::error::{Error, Result};
use crate::group::offsets::OffsetAndMetadata;
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
    /// [`IllegalState`](Error::IllegalState) without a group; else what writing may answer. The
    /// former commit then stays.
    pub fn commit(&mut self) -> Result<()> {
        self.broker.check_open()?;
        self.refresh_assignment()?;
        let positions = self
            .assignment
            .iter()
            .filter(|assigned| assigned.is_started());
        let offsets: Vec<_> = positions.map(next_to_read).collect();
        self.broker
            .offsets()
            .commit(&self.broker, self.required_group()?, &offsets)?;
        self.uncommitted = false;
        Ok(())
    }

    /// Commits these offsets, all or none: for each partition, the *next* offset to read, which is
    /// one past the last record that was processed. An offset may go back. Positions stay.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState) without a group;
    /// [`UnknownTopic`](Error::UnknownTopic) and [`UnknownPartition`](Error::UnknownPartition) for
    /// one that does not exist, and nothing is committed.
    pub fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        self.broker.check_open()?;
        let group = self.required_group()?;
        let offsets: Vec<_> = offsets
            .iter()
            .map(|(partition, offset)| (partition.clone(), OffsetAndMetadata::at(*offset)))
            .collect();
        self.broker.offsets().commit(&self.broker, group, &offsets)
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
        self.group.as_deref().ok_or(Error::IllegalState(
            "the consumer has no group to commit to",
        ))
    }

    /// What the group knows about an assigned partition; `None` without a group.
    pub(super) fn committed_start(
        &self,
        partition: &TopicPartition,
    ) -> Result<Option<Committed<'_>>> {
        let Some(group) = self.group.as_deref() else {
            return Ok(None);
        };
        let offsets = self.broker.offsets();
        let offset = offsets.fetch(&self.broker, group, partition)?;
        let added_since = offset.is_none()
            && offsets
                .highest_partition(&self.broker, group, partition.topic())?
                .is_some_and(|highest| highest < partition.partition());
        Ok(Some(Committed {
            group,
            offset,
            added_since,
        }))
    }

    /// Commits what earlier polls returned, if it is time to. After a failure the next attempt waits
    /// for the next interval, so that records can be read meanwhile.
    pub(super) fn commit_if_due(&mut self) -> Result<()> {
        let Some(wait) = self.until_commit() else {
            return Ok(());
        };
        if wait.is_zero() {
            self.last_commit = self.broker.clock().monotonic();
            self.commit()?;
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

fn next_to_read(assigned: &Assigned) -> (TopicPartition, OffsetAndMetadata) {
    let (offset, leader_epoch) = assigned.position();
    let committed = OffsetAndMetadata {
        leader_epoch,
        ..OffsetAndMetadata::at(offset)
    };
    (assigned.id().clone(), committed)
}
