//! Groups as a whole, as their coordinator and administrators see them: the state that is stored of
//! one, listing them, deleting them.
//!
//! What changes a group behind its members' backs runs under
//! [`GroupMembers::with_empty`](super::members::GroupMembers::with_empty); who calls sees to that.
//!
//! Elsewhere: committing and fetching ([`offsets`](super::offsets)), the public handle
//! ([`handle`](super::handle)).

use std::collections::BTreeMap;

use super::offset_log::OffsetLog;
use super::offsets::{OffsetStore, home};
use super::stored::{Change, GroupRecord, StoredGroup};
use crate::broker::BrokerState;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// What a list of groups says of a stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredName {
    pub(crate) name: String,
    /// Kafka's; empty for a simple group.
    pub(crate) protocol_type: String,
}

impl OffsetStore {
    /// The generation that was stored of a group; 0 for one that nothing is stored of.
    pub(crate) fn generation(&self, broker: &BrokerState, group: &str) -> Result<i32> {
        if let Some(waiting) = self.waiting_records.lock().get(group) {
            return Ok(waiting.generation);
        }
        let stored = self.read(broker, group, |groups| {
            groups.get(group).map(StoredGroup::generation)
        })?;
        Ok(stored.unwrap_or(0))
    }

    /// Stores a group's generation, and since when it has no member (`None`: it has some). Costs
    /// nothing if that is stored already. It does not make the offsets topic: before the first commit
    /// the state is kept in memory, and written ahead of that commit.
    ///
    /// It does not wait for the device: a commit that does carries it along, for it is in the same log.
    pub(crate) fn record_state(
        &self,
        broker: &BrokerState,
        group: &str,
        generation: i32,
        empty_since: Option<Timestamp>,
    ) -> Result<()> {
        let record = GroupRecord::of_consumers(generation, empty_since);
        // Held to the end, so that what waited is not written over this.
        let mut waiting = self.waiting_records.lock();
        match self.existing_logs(broker)? {
            [] => {
                waiting.insert(group.to_owned(), record);
                Ok(())
            }
            logs => {
                waiting.remove(group);
                self.write_record(logs, group, record)
            }
        }
    }

    /// Writes what waited for the topic. Returns the first failure; the record it is about waits on.
    pub(super) fn write_waiting(
        &self,
        logs: &[OffsetLog],
        waiting: &mut BTreeMap<String, GroupRecord>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        waiting.retain(|group, record| {
            let written = self.write_record(logs, group, record.clone());
            let failed = written.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(written);
            failed
        });
        outcome
    }

    fn write_record(&self, logs: &[OffsetLog], group: &str, record: GroupRecord) -> Result<()> {
        let change = Change::record(group, Some(record));
        let log = home(logs, group)?;
        log.write(self.expiry.now(), |_| Ok(vec![change]))?;
        Ok(())
    }

    /// The groups of which something is stored, sorted.
    pub(crate) fn groups(&self, broker: &BrokerState) -> Result<Vec<StoredName>> {
        let mut found = Vec::new();
        for log in self.existing_logs(broker)? {
            log.read(|groups| {
                found.extend(groups.iter().map(|(name, group)| StoredName {
                    name: name.clone(),
                    protocol_type: group.protocol_type().to_owned(),
                }));
            })?;
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What is stored of a group, if anything is.
    pub(super) fn stored(&self, broker: &BrokerState, group: &str) -> Result<Option<StoredGroup>> {
        self.read(broker, group, |groups| groups.get(group).cloned())
    }

    /// Deletes a group without members: its offsets, and what is stored of itself.
    ///
    /// # Errors
    /// `UnknownGroup` if nothing is stored of it; `Corrupt` if that cannot be read.
    pub(super) fn delete_group(&self, broker: &BrokerState, group: &str) -> Result<()> {
        self.waiting_records.lock().remove(group);
        self.change_stored(broker, group, |stored| Change::removal(group, stored))
    }

    /// Deletes what a group without members committed for a topic.
    ///
    /// # Errors
    /// As [`Self::delete_group`]. It is none if there is nothing for this topic.
    pub(super) fn delete_offsets(
        &self,
        broker: &BrokerState,
        group: &str,
        topic: &str,
    ) -> Result<()> {
        self.change_stored(broker, group, |stored| {
            let of_topic = stored.offsets.keys().filter(|id| id.topic() == topic);
            of_topic
                .map(|partition| Change::offset(group, partition, None))
                .collect()
        })
    }

    /// Changes a group that is stored, as safely as the broker's durability says.
    fn change_stored(
        &self,
        broker: &BrokerState,
        group: &str,
        choose: impl FnOnce(&StoredGroup) -> Vec<Change>,
    ) -> Result<()> {
        let unknown = || Error::UnknownGroup {
            group: group.to_owned(),
        };
        let log = match self.existing_logs(broker)? {
            [] => return Err(unknown()),
            logs => home(logs, group)?,
        };
        let end = log.write(self.expiry.now(), |groups| {
            groups.get(group).map(choose).ok_or_else(unknown)
        })?;
        if broker.durability() == Durability::Synced {
            log.wait_durable(end)
        } else {
            Ok(())
        }
    }
}
