//! What is stored of a group, and what may change in it.
//!
//! A group is stored as one record for each committed offset, and at most one of the group itself.
//! One without a record of itself (it only ever committed offsets) is *simple*, in Kafka's words.
//!
//! Members are never stored: they do not survive their process. So the record that we write is that of
//! a group without members, and a Kafka that adopts the directory sees an empty group at once. It says
//! since when the group is empty, or that it was live when it was written. What is found live in a log is
//! live no more, so it counts as empty since the log was read (`is_noted` is false until that
//! is written down). The same holds for the groups of a Kafka that was killed, whose records
//! have members.
//!
//! Elsewhere: the log that holds it ([`offset_log`](super::offset_log)), the bytes (`format`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::format::Parsed;
use crate::format::group_record::GroupMetadata;
use crate::format::offsets_record::{
    OffsetKey, OffsetValue, OffsetsKey, decode_key, encode_group_key,
};
use crate::record::{Offset, Timestamp, TopicPartition};

/// The time of what was not written yet: it gets the time of the write.
const NOT_WRITTEN: Timestamp = -1;

/// The protocol type of consumers, as opposed to Kafka's Connect workers, for example.
const CONSUMER_PROTOCOL: &str = "consumer";

/// All groups of one partition of the offsets topic.
pub(super) type Groups = BTreeMap<String, StoredGroup>;

/// A committed offset and what was committed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetAndMetadata {
    /// The **next** offset to read.
    pub(crate) offset: Offset,
    /// Leader epoch of the record before it; -1 if not known.
    pub(crate) leader_epoch: i32,
    /// The application's own note.
    pub(crate) metadata: String,
    /// When it was committed, by the broker's clock; -1 until it is written.
    pub(crate) commit_timestamp: Timestamp,
}

impl OffsetAndMetadata {
    /// An offset of which nothing more is known.
    pub(crate) fn at(offset: Offset) -> Self {
        Self {
            offset,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp: NOT_WRITTEN,
        }
    }

    /// True if it says the same, whenever it was committed.
    fn says(&self, other: &Self) -> bool {
        (self.offset, self.leader_epoch, &self.metadata)
            == (other.offset, other.leader_epoch, &other.metadata)
    }
}

/// What is stored of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StoredGroup {
    /// The group's own record; none for a simple group.
    pub(super) record: Option<GroupRecord>,
    pub(super) offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

impl StoredGroup {
    fn is_nothing(&self) -> bool {
        self.record.is_none() && self.offsets.is_empty()
    }

    /// Kafka's protocol type; empty for a simple group.
    pub(super) fn protocol_type(&self) -> &str {
        self.record
            .as_ref()
            .map_or("", |record| &record.protocol_type)
    }

    pub(super) fn generation(&self) -> i32 {
        // A record of Kafka's may say less than 0; the next generation is 1 all the same.
        self.record
            .as_ref()
            .map_or(0, |record| record.generation.max(0))
    }
}

/// The record of a group itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupRecord {
    pub(super) protocol_type: String,
    /// Rises with every change of who owns what.
    pub(super) generation: i32,
    /// Since when the group has no member; `None` while it has some.
    pub(super) empty_since: Option<Timestamp>,
    /// The log says so too. If not, it says that the group is live.
    pub(super) is_noted: bool,
}

impl GroupRecord {
    /// A consumer group in its process.
    pub(super) fn of_consumers(generation: i32, empty_since: Option<Timestamp>) -> Self {
        Self {
            protocol_type: CONSUMER_PROTOCOL.to_owned(),
            generation,
            empty_since,
            is_noted: true,
        }
    }

    /// What a record of the log means to someone who reads it at `now`.
    fn read(metadata: GroupMetadata, now: Timestamp) -> Self {
        let noted = (metadata.members.is_empty() && metadata.current_state_timestamp >= 0)
            .then_some(metadata.current_state_timestamp);
        Self {
            protocol_type: metadata.protocol_type,
            generation: metadata.generation,
            empty_since: Some(noted.unwrap_or(now)),
            is_noted: noted.is_some(),
        }
    }

    fn encode(&self) -> Parsed<Vec<u8>> {
        let metadata = GroupMetadata {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: None,
            leader: None,
            current_state_timestamp: self.empty_since.unwrap_or(-1),
            members: Vec::new(),
        };
        metadata.encode()
    }
}

/// A change of what is stored of a group; `None` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) group: String,
    pub(super) what: Changed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changed {
    Offset(TopicPartition, Option<OffsetAndMetadata>),
    Record(Option<GroupRecord>),
}

pub(super) type KeyAndValue = (Vec<u8>, Option<Vec<u8>>);

impl Change {
    pub(super) fn offset(
        group: &str,
        partition: &TopicPartition,
        committed: Option<OffsetAndMetadata>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            what: Changed::Offset(partition.clone(), committed),
        }
    }

    pub(super) fn record(group: &str, record: Option<GroupRecord>) -> Self {
        Self {
            group: group.to_owned(),
            what: Changed::Record(record),
        }
    }

    /// Everything that removes a group.
    pub(super) fn removal(name: &str, group: &StoredGroup) -> Vec<Self> {
        let offsets = group.offsets.keys();
        let mut changes: Vec<_> = offsets
            .map(|partition| Self::offset(name, partition, None))
            .collect();
        if group.record.is_some() {
            changes.push(Self::record(name, None));
        }
        changes
    }

    /// Says when it is written, unless it repeats what was committed earlier.
    pub(super) fn stamp(&mut self, now: Timestamp) {
        if let Changed::Offset(_, Some(committed)) = &mut self.what
            && committed.commit_timestamp == NOT_WRITTEN
        {
            committed.commit_timestamp = now;
        }
    }

    /// True if it is worth a record. Committing the same offset again is not, unless what is stored was
    /// committed `refresh` earlier: the time of the commit decides when it expires.
    pub(super) fn changes(&self, groups: &Groups, refresh: Duration) -> bool {
        let group = groups.get(&self.group);
        match &self.what {
            Changed::Record(record) => {
                group.and_then(|group| group.record.as_ref()) != record.as_ref()
            }
            Changed::Offset(partition, committed) => {
                let present = group.and_then(|group| group.offsets.get(partition));
                match (present, committed) {
                    (Some(present), Some(committed)) => {
                        let age = committed
                            .commit_timestamp
                            .saturating_sub(present.commit_timestamp);
                        !present.says(committed) || age >= milliseconds(refresh)
                    }
                    (present, committed) => present.is_some() != committed.is_some(),
                }
            }
        }
    }

    pub(super) fn apply_to(self, groups: &mut Groups) {
        let group = groups.entry(self.group.clone()).or_default();
        match self.what {
            Changed::Record(record) => group.record = record,
            Changed::Offset(partition, Some(committed)) => {
                group.offsets.insert(partition, committed);
            }
            Changed::Offset(partition, None) => {
                group.offsets.remove(&partition);
            }
        }
        if group.is_nothing() {
            groups.remove(&self.group);
        }
    }

    pub(super) fn encode(&self) -> Parsed<KeyAndValue> {
        match &self.what {
            Changed::Record(record) => {
                let value = record.as_ref().map(GroupRecord::encode).transpose()?;
                Ok((encode_group_key(&self.group)?, value))
            }
            Changed::Offset(partition, committed) => {
                let key = OffsetKey {
                    group: self.group.clone(),
                    topic: partition.topic().to_owned(),
                    partition: partition.partition(),
                };
                let value = committed.as_ref().map(|committed| OffsetValue {
                    offset: committed.offset,
                    leader_epoch: committed.leader_epoch,
                    metadata: committed.metadata.clone(),
                    commit_timestamp: committed.commit_timestamp,
                });
                let value = value.map(|value| value.encode()).transpose()?;
                Ok((key.encode()?, value))
            }
        }
    }

    /// What a record of the log stands for, to someone who reads it at `now`; nothing for kinds of
    /// records that are not known here.
    pub(super) fn decode(key: &[u8], value: Option<&[u8]>, now: Timestamp) -> Parsed<Option<Self>> {
        let change = match decode_key(key)? {
            OffsetsKey::Unknown(_) => return Ok(None),
            OffsetsKey::Group(group) => {
                let metadata = value.map(GroupMetadata::decode).transpose()?;
                let record = metadata.map(|metadata| GroupRecord::read(metadata, now));
                Self::record(&group, record)
            }
            OffsetsKey::Offset(key) => {
                let value = value.map(OffsetValue::decode).transpose()?;
                let committed = value.map(|value| OffsetAndMetadata {
                    offset: value.offset,
                    leader_epoch: value.leader_epoch,
                    metadata: value.metadata,
                    commit_timestamp: value.commit_timestamp,
                });
                Self::offset(
                    &key.group,
                    &TopicPartition::new(key.topic, key.partition),
                    committed,
                )
            }
        };
        Ok(Some(change))
    }
}

/// A span of time in the unit of timestamps.
pub(super) fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
