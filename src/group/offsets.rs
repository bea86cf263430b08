//! Committed offsets of all groups: how far each has come, in every partition.
//!
//! They are records of the compacted topic `__consumer_offsets`, in Kafka's schemas, and are served
//! from memory. A group lives in the partition that Kafka would choose for it, so a directory that
//! came from Kafka is understood, and the other way round. The topic is made at the first commit;
//! each of its partitions is read at its first use, so opening a broker costs nothing.
//!
//! Elsewhere: one partition's log and state ([`offset_log`](super::offset_log)), what is stored of a
//! group ([`stored`](super::stored)), changing groups from outside ([`admin`](super::admin)), forgetting
//! them ([`expiry`](super::expiry)), positions, which are not committed yet (`consumer`).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::commit::CommitReceipt;
use super::coordinator::Coordinator;
use super::expiry::Expiry;
use super::offset_log::OffsetLog;
pub(crate) use super::stored::OffsetAndMetadata;
use super::stored::{Change, Changed, GroupRecord, Groups};
use crate::broker::{BrokerState, Housekeeping};
use crate::clock::Clock;
use crate::config::{Durability, TopicConfig};
use crate::consumer::subscription::find_partition;
use crate::error::{Error, Result};
use crate::format::offsets_record::partition_for;
use crate::record::{Offset, TopicPartition};
use crate::topic::TopicState;

/// The topic that holds committed offsets.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Longest metadata string of a commit, in bytes (`offset.metadata.max.bytes`).
const LONGEST_METADATA: usize = 4096;

/// When a durable commit has the records below its offsets made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataSync {
    /// Before it is written.
    First,
    /// When its receipt is waited for; until then opening after a power loss may find the commit
    /// beyond the records, and moves it back.
    Later,
}

/// What opening after a crash did to a committed offset that lay beyond its partition's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClampedOffset {
    pub(crate) group: String,
    pub(crate) partition: TopicPartition,
    pub(crate) from: Offset,
    /// The partition's end; `None` if there is no such partition, and the offset was removed.
    pub(crate) to: Option<Offset>,
}

/// Committed offsets of all groups, kept in `__consumer_offsets`.
#[derive(Debug)]
pub(crate) struct OffsetStore {
    /// The topic's partitions in order, once the topic exists.
    logs: OnceLock<Vec<OffsetLog>>,
    coordinator: Coordinator,
    pub(super) expiry: Arc<Expiry>,
    /// Records of groups that are to be written once the topic exists. In the lock order behind the
    /// members' lock, before the logs'.
    pub(super) waiting_records: Mutex<BTreeMap<String, GroupRecord>>,
    /// Offsets of topics that are gone may be left, for they could not be forgotten. In the lock order before
    /// the logs'.
    orphans: Mutex<bool>,
}

impl OffsetStore {
    /// A store that the housekeeping thread looks after, and does not keep. Offsets that nobody uses
    /// expire after `retention`.
    pub(crate) fn new(
        retention: Option<Duration>,
        clock: &Arc<dyn Clock>,
        housekeeping: &Arc<Housekeeping>,
    ) -> Arc<Self> {
        let expiry = Expiry::new(retention, Arc::clone(clock), Arc::clone(housekeeping));
        let store = Arc::new(Self {
            logs: OnceLock::new(),
            coordinator: Coordinator::default(),
            expiry: Arc::new(expiry),
            waiting_records: Mutex::default(),
            orphans: Mutex::default(),
        });
        let upkeep: Weak<Self> = Arc::downgrade(&store);
        housekeeping.look_after(upkeep);
        store
    }

    /// Who is in which group.
    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Commits all or none of these offsets for a group; those that are committed already cost
    /// nothing. `admit` says whether it may, calls what it is given to write, and keeps the answer
    /// true until that returns.
    ///
    /// The commit is in force when this returns. Its receipt says when it is as safe as the broker's
    /// durability says; the records below the offsets are then as safe (barrier W5).
    pub(crate) fn commit(
        &self,
        broker: &BrokerState,
        group: &str,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        data: DataSync,
        admit: impl FnOnce(&mut dyn FnMut() -> Result<Offset>) -> Result<Offset>,
    ) -> Result<CommitReceipt> {
        if offsets.is_empty() {
            return Ok(CommitReceipt::default());
        }
        let partitions = offsets
            .iter()
            .map(|(partition, committed)| {
                check(committed)?;
                find_partition(broker, partition)
            })
            .collect::<Result<Vec<_>>>()?;
        let log = home(self.logs_or_create(broker)?, group)?;
        let mut pending = Vec::new();
        if broker.durability() == Durability::Synced {
            let committed = offsets.iter().map(|(_, committed)| committed.offset);
            // A commit may lie beyond the end, as in Kafka; there is nothing to wait for there.
            let ends = partitions.iter().zip(committed).map(|(partition, offset)| {
                let end = offset.min(partition.high_watermark());
                (Arc::clone(partition), end)
            });
            pending.extend(ends);
            if data == DataSync::First {
                CommitReceipt::new(std::mem::take(&mut pending)).wait()?;
            }
        }
        let end = admit(&mut || {
            log.write(broker.clock().wall(), |_| {
                // Again, under the lock: a topic that is deleted from here on finds these and forgets them.
                for partition in &partitions {
                    let present = find_partition(broker, partition.id())?;
                    if !Arc::ptr_eq(&present, partition) {
                        // Another topic by now, under the same name: what was meant is gone.
                        let topic = partition.id().topic().to_owned();
                        return Err(Error::UnknownTopic { topic });
                    }
                }
                Ok(changes_of(group, offsets))
            })
        })?;
        broker.note_commit();
        if broker.durability() == Durability::Synced {
            pending.push((Arc::clone(log.partition()), end));
        }
        Ok(CommitReceipt::new(pending))
    }

    /// What a group committed for a partition.
    pub(crate) fn fetch(
        &self,
        broker: &BrokerState,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<OffsetAndMetadata>> {
        self.read(broker, group, |groups| {
            groups.get(group)?.offsets.get(partition).cloned()
        })
    }

    /// The highest partition of a topic for which a group committed an offset.
    pub(crate) fn highest_partition(
        &self,
        broker: &BrokerState,
        group: &str,
        topic: &str,
    ) -> Result<Option<u32>> {
        self.read(broker, group, |groups| {
            let of_topic = groups
                .get(group)?
                .offsets
                .keys()
                .filter(|partition| partition.topic() == topic);
            of_topic.map(TopicPartition::partition).max()
        })
    }

    /// Removes what all groups committed for a topic that is being deleted. A damaged part of the
    /// offsets does not save the others; its error is returned.
    pub(crate) fn forget_topic(&self, broker: &BrokerState, topic: &str) -> Result<()> {
        let mut result = Ok(());
        for log in self.existing_logs(broker)? {
            let written = log.write(broker.clock().wall(), |groups| {
                Ok(changes_where(groups, |partition, _| {
                    if partition.topic() == topic {
                        Fate::Gone
                    } else {
                        Fate::Kept
                    }
                }))
            });
            // Durable before the topic can be made again: its successor must not inherit them.
            result = result.and(written.and_then(|end| log.wait_durable(end)));
        }
        self.note_orphans(&result);
        result
    }

    fn note_orphans(&self, forgotten: &Result<()>) {
        // What cannot be read is not inherited either.
        let is_read =
            |error: &Error| !matches!(error, Error::Corrupt { .. } | Error::MissingSegment { .. });
        if forgotten.as_ref().is_err_and(is_read) {
            *self.orphans.lock() = true;
        }
    }

    /// True if [`Self::forget_orphans`] has something to do.
    pub(crate) fn has_orphans(&self) -> bool {
        *self.orphans.lock()
    }

    /// Forgets what is left of topics that are gone, if that failed when they went: before a topic is made,
    /// for it may have the name of one of them.
    pub(crate) fn forget_orphans(&self, broker: &BrokerState) -> Result<()> {
        let mut orphans = self.orphans.lock();
        if !*orphans {
            return Ok(());
        }
        for log in self.existing_logs(broker)? {
            let written = log.write(broker.clock().wall(), |groups| {
                Ok(changes_where(groups, |partition, _| {
                    match find_partition(broker, partition) {
                        Ok(_) => Fate::Kept,
                        Err(_) => Fate::Gone,
                    }
                }))
            });
            match written.and_then(|end| log.wait_durable(end)) {
                Err(Error::Corrupt { .. } | Error::MissingSegment { .. }) => {}
                forgotten => forgotten?,
            }
        }
        *orphans = false;
        Ok(())
    }

    /// For an open after a crash: moves committed offsets that lie beyond their partition's end back
    /// to it, and removes those of partitions that do not exist. Says what it did, and what could
    /// not be read. Doing it again finds nothing to do.
    pub(crate) fn recover(&self, broker: &BrokerState) -> (Vec<ClampedOffset>, Vec<Error>) {
        let (mut clamped, mut failed) = (Vec::new(), Vec::new());
        let logs = self.existing_logs(broker).unwrap_or_else(|error| {
            failed.push(error);
            &[]
        });
        for log in logs {
            let mut found = Vec::new();
            let written = log.write(broker.clock().wall(), |groups| {
                let changes = changes_where(groups, |partition, committed| {
                    clamp(broker, partition, committed)
                });
                found = changes
                    .iter()
                    .filter_map(|change| describe(groups, change))
                    .collect();
                Ok(changes)
            });
            // Without changes it is synced when its turn comes, behind the records it is about.
            let settled = written.and_then(|end| {
                if found.is_empty() {
                    return Ok(());
                }
                broker.sync_records()?;
                log.wait_durable(end)
            });
            match settled {
                Ok(()) => clamped.append(&mut found),
                Err(error) => {
                    self.note_orphans(&Err(error.clone()));
                    failed.push(error);
                }
            }
        }
        (clamped, failed)
    }

    /// Looks at the groups that live where `group` does; `None` if nothing was ever committed.
    pub(super) fn read<T>(
        &self,
        broker: &BrokerState,
        group: &str,
        look: impl FnOnce(&Groups) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.existing_logs(broker)? {
            [] => Ok(None),
            logs => home(logs, group)?.read(look),
        }
    }

    /// The logs that were used already, or none.
    pub(super) fn logs(&self) -> &[OffsetLog] {
        self.logs.get().map_or(&[], Vec::as_slice)
    }

    /// The logs, or none if the topic does not exist yet.
    pub(super) fn existing_logs(&self, broker: &BrokerState) -> Result<&[OffsetLog]> {
        if let Some(logs) = self.logs.get() {
            return Ok(logs);
        }
        match broker.topic(CONSUMER_OFFSETS) {
            Ok(topic) => Ok(self.logs_of(&topic)),
            Err(Error::UnknownTopic { .. }) => Ok(&[]),
            Err(error) => Err(error),
        }
    }

    fn logs_or_create(&self, broker: &BrokerState) -> Result<&[OffsetLog]> {
        if let Some(logs) = self.logs.get() {
            return Ok(logs);
        }
        let mut waiting = self.waiting_records.lock();
        let topic = broker.internal_topic(
            CONSUMER_OFFSETS,
            &topic_config(broker.offsets_topic_partitions())?,
        )?;
        let logs = self.logs_of(&topic);
        self.write_waiting(logs, &mut waiting)?;
        Ok(logs)
    }

    pub(super) fn logs_of(&self, topic: &TopicState) -> &[OffsetLog] {
        self.logs.get_or_init(|| {
            topic
                .partitions
                .load()
                .iter()
                .map(Arc::clone)
                .map(|log| OffsetLog::new(log, Arc::clone(&self.expiry)))
                .collect()
        })
    }
}

/// Kafka's settings for the topic, except that one commit may cover tens of thousands of partitions.
fn topic_config(partitions: u32) -> Result<TopicConfig> {
    TopicConfig::default()
        .partitions(partitions)
        // Small beside Kafka's 100 MiB: the last one is read as it is whenever a broker opens.
        .segment_bytes(16 << 20)
        .set("cleanup.policy", "compact")?
        .set("max.message.bytes", "16777216")
}

/// Where a group lives.
pub(super) fn home<'a>(logs: &'a [OffsetLog], group: &str) -> Result<&'a OffsetLog> {
    let count = u32::try_from(logs.len()).unwrap_or(u32::MAX);
    let partition = partition_for(group, count);
    let index = usize::try_from(partition).unwrap_or(usize::MAX);
    logs.get(index).ok_or_else(|| Error::UnknownPartition {
        topic: CONSUMER_OFFSETS.to_owned(),
        partition,
        count,
    })
}

fn check(committed: &OffsetAndMetadata) -> Result<()> {
    let reason = if committed.metadata.len() > LONGEST_METADATA {
        "metadata longer than offset.metadata.max.bytes=4096"
    } else if i64::try_from(committed.offset).is_err() {
        "committed offset above 9223372036854775807"
    } else {
        return Ok(());
    };
    Err(Error::InvalidRecord {
        topic: CONSUMER_OFFSETS.to_owned(),
        reason,
    })
}

/// Changes that commit these offsets; of two for one partition the last counts.
fn changes_of(group: &str, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Vec<Change> {
    let latest: BTreeMap<_, _> = offsets
        .iter()
        .map(|(partition, committed)| (partition, committed))
        .collect();
    let changes = latest
        .into_iter()
        .map(|(partition, committed)| Change::offset(group, partition, Some(committed.clone())));
    changes.collect()
}

/// What is to become of a committed offset.
enum Fate {
    Kept,
    Gone,
    Moved(OffsetAndMetadata),
}

/// Changes for all committed offsets that do not stay as they are.
fn changes_where(
    groups: &Groups,
    choose: impl Fn(&TopicPartition, &OffsetAndMetadata) -> Fate,
) -> Vec<Change> {
    let all = groups.iter().flat_map(|(name, group)| {
        let offsets = group.offsets.iter();
        offsets.map(move |(partition, committed)| (name, partition, committed))
    });
    let changes = all.filter_map(|(group, partition, committed)| {
        let committed = match choose(partition, committed) {
            Fate::Kept => return None,
            Fate::Gone => None,
            Fate::Moved(committed) => Some(committed),
        };
        Some(Change::offset(group, partition, committed))
    });
    changes.collect()
}

/// What becomes of a committed offset after a crash.
fn clamp(broker: &BrokerState, id: &TopicPartition, committed: &OffsetAndMetadata) -> Fate {
    match find_partition(broker, id) {
        Ok(partition) => {
            let offset = partition.high_watermark();
            // Where a damaged log ends is not known: who reads there is told of the damage.
            if committed.offset <= offset || partition.log().damage().is_some() {
                return Fate::Kept;
            }
            Fate::Moved(OffsetAndMetadata {
                offset,
                ..committed.clone()
            })
        }
        Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => Fate::Gone,
        Err(_) => Fate::Kept,
    }
}

fn describe(groups: &Groups, change: &Change) -> Option<ClampedOffset> {
    let Changed::Offset(partition, committed) = &change.what else {
        return None;
    };
    let former = groups.get(&change.group)?.offsets.get(partition)?;
    Some(ClampedOffset {
        group: change.group.clone(),
        partition: partition.clone(),
        from: former.offset,
        to: committed.as_ref().map(|committed| committed.offset),
    })
}
