//! Compares what a crash left with what was promised.

use std::collections::{BTreeMap, BTreeSet};

use streamlog::Offset;
use streamlog::sim::CrashKind;

use super::ledger::{
    Batch, CommitKey, Expected, Ledger, PartitionLedger, Set, TopicLedger, possible,
};
use super::look::{Found, FoundPartition, FoundTopic, Outcome, ensure};

/// What must be there: everything promised before operation `at`, for this kind of crash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) at: usize,
    pub(crate) kind: CrashKind,
}

impl Promise<'_> {
    /// Whether what was acknowledged and synced at these moments must be there.
    fn due(&self, acked: usize, synced: usize) -> usize {
        match self.kind {
            CrashKind::ProcessCrash => acked.min(synced),
            _ => synced,
        }
    }

    /// Compares what was found.
    pub(crate) fn check(&self, found: &Found) -> Outcome {
        for topic in &self.ledger.topics {
            let must = topic.acked <= self.at && topic.deletion_began > self.at;
            let is_there = found
                .topics
                .get(&topic.name)
                .is_some_and(|found| topic.may_have(&found.id));
            ensure(!must || is_there, || {
                format!("topic {} is lost", topic.name)
            })?;
        }
        for (name, found_topic) in &found.topics {
            let id = &found_topic.id;
            let mut candidates = self.ledger.topics.iter().filter(|topic| {
                topic.name == *name && topic.began <= self.at && topic.deletion_acked > self.at
            });
            let known = candidates.find(|topic| topic.may_have(id));
            let topic = known
                .ok_or_else(|| format!("topic {name} (id {id}) was never made, or is back"))?;
            self.check_topic(topic, found_topic)?;
        }
        for (key, committed) in &found.commits {
            self.check_commit(key, *committed, found)?;
        }
        let known = self.ledger.generations.keys();
        for group in known.chain(found.groups.keys()) {
            self.check_group(group, found.groups.get(group).copied())?;
        }
        Ok(())
    }

    fn check_group(&self, group: &str, found: Option<i32>) -> Outcome {
        let mut committed = self.ledger.commits.keys();
        let generations = self.ledger.generations.get(group);
        ensure(
            generations.is_some() || committed.any(|(name, ..)| name == group),
            || format!("group {group} is invented"),
        )?;
        let generations = generations.map_or(&[][..], Vec::as_slice);
        let allowed = possible(generations, self.at, |set| self.due(set.acked, set.synced));
        // Nothing is stored of a simple group.
        let found = found.filter(|generation| *generation > 0);
        ensure(allowed.contains(&found), || {
            format!("group {group} is in generation {found:?}, not in one of {allowed:?}")
        })
    }

    fn check_topic(&self, topic: &TopicLedger, found: &FoundTopic) -> Outcome {
        let configs = possible(&topic.configs, self.at, |set| set.acked);
        ensure(configs.contains(&Some(found.config.clone())), || {
            format!(
                "topic {} has config {:?}, none of {configs:?}",
                topic.name, found.config
            )
        })?;
        let found = &found.partitions;
        let least = topic
            .partitions
            .iter()
            .filter(|partition| partition.acked <= self.at)
            .count();
        let most = topic
            .partitions
            .iter()
            .filter(|partition| partition.began <= self.at)
            .count();
        ensure((least..=most).contains(&found.len()), || {
            format!(
                "topic {} has {} partitions, not {least}..={most}",
                topic.name,
                found.len()
            )
        })?;
        for (number, (partition, found)) in topic.partitions.iter().zip(found).enumerate() {
            self.check_partition(partition, found)
                .map_err(|message| format!("{}-{number}: {message}", topic.name))?;
        }
        Ok(())
    }

    fn check_partition(&self, ledger: &PartitionLedger, found: &FoundPartition) -> Outcome {
        let starts: Vec<_> = possible(&ledger.starts, self.at, |set| set.acked)
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        let is_later = starts.first().is_some_and(|first| *first <= found.start);
        ensure(
            starts.contains(&found.start) || (ledger.may_start_later && is_later),
            || format!("log start {} is none of {starts:?}", found.start),
        )?;
        let begun: Vec<&Batch> = ledger
            .batches
            .iter()
            .filter(|batch| batch.began <= self.at && batch.void > self.at)
            .collect();
        let required = begun
            .iter()
            .filter(|batch| self.due(batch.acked, batch.synced) <= self.at)
            .map(|batch| batch.end());
        let required = required.max().unwrap_or(0);
        ensure(found.end >= required, || {
            format!("ends at {}, but {required} was promised", found.end)
        })?;
        let written: BTreeMap<Offset, &Expected> = begun
            .iter()
            .flat_map(|batch| (batch.base..).zip(&batch.records))
            .collect();
        for (offset, record) in &found.records {
            let expected = written.get(offset);
            ensure(expected == Some(&record), || {
                format!("offset {offset} holds {record:?}, not {expected:?}")
            })?;
        }
        self.check_gone(ledger, found)?;
        let below = written.range(..found.end);
        check_latest(below.map(|(offset, record)| (*offset, *record)), found)?;
        let boundary = found.start == found.end
            || ledger.boundaries.contains(&found.end)
            || begun
                .iter()
                .any(|batch| batch.whole && batch.end() == found.end);
        ensure(boundary, || {
            format!("ends at {}, inside of a batch", found.end)
        })
    }

    /// What passes of compaction took stays away, and they took nothing else.
    fn check_gone(&self, ledger: &PartitionLedger, found: &FoundPartition) -> Outcome {
        let gone = found.gone();
        let begun = ledger.passes.iter().filter(|pass| pass.began <= self.at);
        let may: BTreeSet<Offset> = begun.flat_map(|pass| &pass.value).copied().collect();
        ensure(gone.is_subset(&may), || {
            format!("lacks {gone:?}, though compaction took {may:?} at most")
        })?;
        let done = ledger.passes.iter().filter(|pass| pass.acked <= self.at);
        let must = done.flat_map(|pass| &pass.value);
        let back: Vec<_> = must
            .filter(|offset| found.records.contains_key(offset))
            .collect();
        ensure(back.is_empty(), || {
            format!("{back:?} are back, which compaction took")
        })
    }

    fn check_commit(&self, key: &CommitKey, committed: Option<Offset>, found: &Found) -> Outcome {
        let (group, id, partition) = key;
        let Some((name, topic)) = found.topics.iter().find(|(_, topic)| topic.id == *id) else {
            return Ok(());
        };
        let end = topic
            .partitions
            .get(*partition as usize)
            .map_or(0, |partition| partition.end);
        let sets = &self.ledger.commits[key];
        // Data comes before the offsets of those who read it.
        let read = sets
            .iter()
            .filter(|set| self.due(set.acked, set.synced) <= self.at)
            .map(|set| set.value)
            .max();
        ensure(end >= read.unwrap_or(0), || {
            format!("{name}-{partition} ends at {end}, but group {group} committed {read:?}")
        })?;
        let mut allowed = possible(sets, self.at, |set: &Set<Offset>| {
            self.due(set.acked, set.synced)
        });
        if self.kind != CrashKind::ProcessCrash {
            // What the crash took of the log, nobody has read.
            for offset in allowed.iter_mut().flatten() {
                *offset = (*offset).min(end);
            }
        }
        ensure(allowed.contains(&committed), || {
            format!(
                "group {group} is at {committed:?} in {name}-{partition} (end {end}), not at one of {allowed:?}"
            )
        })
    }
}

/// Of each key the latest record is there, unless it deletes the key; then it may be gone together with all
/// before it.
pub(crate) fn check_latest<'a>(
    written: impl Iterator<Item = (Offset, &'a Expected)>,
    found: &FoundPartition,
) -> Outcome {
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for (offset, record) in written.filter(|(offset, _)| *offset >= found.start) {
        let key = record.key.clone().ok_or(offset);
        keys.entry(key).or_default().push((offset, record));
    }
    for (key, history) in keys {
        let Some((last, record)) = history.last() else {
            continue;
        };
        if found.records.contains_key(last) {
            continue;
        }
        ensure(record.value.is_none() && key.is_ok(), || {
            format!("the latest record of {key:?} is lost, at {last}")
        })?;
        let older = history
            .iter()
            .find(|(offset, _)| found.records.contains_key(offset));
        ensure(older.is_none(), || {
            format!("{key:?} was deleted at {last}, and is back: {older:?}")
        })?;
    }
    Ok(())
}
