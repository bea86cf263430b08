//! Keyed records, what cleaning takes of them, and checkpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use streamlog::{Broker, CleanupPolicy, Clock};

use super::Run;
use crate::crash::ledger::{
    CheckpointLedger, Expected, Ledger, NEVER, PartitionLedger, Set, TopicLedger,
};
use crate::crash::look::{FoundPartition, look, look_at};

/// What a call of housekeeping did, and when.
#[derive(Clone, Copy)]
pub(super) struct Cleaned {
    pub(super) began: usize,
    pub(super) done: usize,
    pub(super) succeeded: bool,
}

impl Run {
    /// Appends records with these keys, each with a new value; without `is_value` they delete their keys.
    pub(crate) fn put(&mut self, topic: &str, partition: u32, keys: &[(&str, bool)]) -> bool {
        let now = self.clock.wall();
        let records = keys.iter().map(|(key, is_value)| {
            let record = self.record(60);
            Expected {
                key: Some(key.as_bytes().to_vec()),
                value: record.value.filter(|_| *is_value),
                timestamp: now,
                headers: Vec::new(),
            }
        });
        let records = records.collect();
        self.append_records(topic, partition, records)
    }

    /// Lets time pass; then segments are compacted, and those that are too old go.
    pub(crate) fn clean(&mut self, time: Duration) {
        self.wait(time);
    }

    /// Looks what cleaning did.
    pub(super) fn learn_cleaned(&mut self, cleaned: Cleaned) {
        let Some(broker) = &self.broker else { return };
        let topics = self.ledger.topics.iter_mut();
        for topic in topics.filter(|topic| topic.deletion_began == NEVER) {
            let _ = learn_topic(broker, topic, cleaned);
        }
    }

    pub(crate) fn checkpoint(&mut self, dir: &str) {
        let found = look(self.broker(), &Ledger::default()).expect("a look");
        let (began, result, done) = self.timed(|run| run.broker().checkpoint(dir).map(drop));
        let succeeded = self.succeeds(result, "a checkpoint is made");
        self.ledger.checkpoints.push(CheckpointLedger {
            dir: dir.to_owned(),
            began,
            acked: if succeeded { done } else { NEVER },
            found,
        });
    }
}

/// Fails if the topic or a record cannot be read, as on a disk that fails.
fn learn_topic(broker: &Broker, topic: &mut TopicLedger, cleaned: Cleaned) -> Result<(), String> {
    let handle = broker.topic(&topic.name).map_err(|it| it.to_string())?;
    let policy = handle.config().values().cleanup_policy();
    for (ledger, handle) in topic.partitions.iter_mut().zip(handle.partitions()) {
        if !cleaned.succeeded {
            ledger.may_start_later |= policy != CleanupPolicy::Compact;
        }
        if policy == CleanupPolicy::CompactAndDelete || !cleaned.succeeded {
            note_possible(ledger, policy, cleaned.began);
        }
        if policy == CleanupPolicy::Delete {
            note_start(ledger, handle.log_start_offset(), cleaned);
        } else {
            let found = look_at(&handle)?;
            note_start(ledger, found.start, cleaned);
            note_gone(ledger, &found, cleaned);
        }
    }
    Ok(())
}

fn note_start(ledger: &mut PartitionLedger, start: u64, cleaned: Cleaned) {
    let known = ledger.starts.iter().map(|set| set.value).max().unwrap_or(0);
    if start > known {
        ledger.starts.push(Set {
            began: cleaned.began,
            acked: cleaned.done,
            synced: cleaned.done,
            value: start,
        });
    }
}

fn note_gone(ledger: &mut PartitionLedger, found: &FoundPartition, cleaned: Cleaned) {
    let gone = found.gone();
    let known = ledger.passes.last().map(|pass| &pass.value);
    if known.is_none_or(|known| *known != gone) {
        let done = if cleaned.succeeded {
            cleaned.done
        } else {
            NEVER
        };
        ledger.passes.push(Set {
            began: cleaned.began,
            acked: done,
            synced: done,
            value: gone,
        });
    }
}

/// What compaction took may be gone with what was too old when one could look; and a call that failed may
/// have done anything that a whole one does.
fn note_possible(ledger: &mut PartitionLedger, policy: CleanupPolicy, began: usize) {
    if policy == CleanupPolicy::Delete {
        return;
    }
    let mut later = BTreeSet::new();
    let mut gone = BTreeSet::new();
    let batches = ledger.batches.iter().filter(|batch| batch.void == NEVER);
    let records = batches.flat_map(|batch| (batch.base..).zip(&batch.records));
    for (offset, record) in records.collect::<Vec<_>>().into_iter().rev() {
        if !later.insert(&record.key) || record.value.is_none() {
            gone.insert(offset);
        }
    }
    ledger.passes.push(Set {
        began,
        acked: NEVER,
        synced: NEVER,
        value: gone,
    });
}
