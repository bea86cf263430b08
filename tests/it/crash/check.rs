//! Opens a disk that a crash left, and compares what is there with what was promised.

use std::collections::BTreeMap;
use std::path::Path;

use streamlog::sim::{CrashKind, DiskImage, SimDisk};
use streamlog::{
    Broker, Durability, GroupState, ManualClock, Offset, Partition, Position, Record, TopicConfig,
    TopicPartition,
};

use super::ledger::{
    Batch, CommitKey, Expected, Ledger, NEVER, PartitionLedger, Set, TopicLedger, possible,
};

/// The data directory of every workload.
pub(crate) const DIR: &str = "data";
/// Later than anything a workload does.
const LATER: i64 = 2_000_000_000_000;

/// What was found on a disk.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Found {
    /// By name.
    pub(crate) topics: BTreeMap<String, FoundTopic>,
    pub(crate) commits: BTreeMap<CommitKey, Option<Offset>>,
    /// The generation of each group that is listed.
    pub(crate) groups: BTreeMap<String, i32>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FoundTopic {
    pub(crate) id: String,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<FoundPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundPartition {
    pub(crate) start: Offset,
    pub(crate) records: Vec<Expected>,
}

impl FoundPartition {
    pub(crate) fn end(&self) -> Offset {
        self.start + self.records.len() as u64
    }
}

type Outcome<T = ()> = Result<T, String>;

/// Turns an error of the library into a violation.
fn expect<T>(what: &str, result: streamlog::Result<T>) -> Outcome<T> {
    result.map_err(|error| format!("{what} failed: {error}"))
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(message()) }
}

/// Opens as a user would whose program starts again.
pub(crate) fn open(disk: &SimDisk, durability: Durability) -> Outcome<Broker> {
    let clock = ManualClock::new(LATER);
    let builder = Broker::builder(DIR)
        .storage(disk.clone())
        .clock(clock)
        .background(false)
        .offsets_topic_partitions(3)
        .seed(1);
    expect("open", builder.durability(durability).open())
}

/// Reads everything.
pub(crate) fn look(broker: &Broker, ledger: &Ledger) -> Outcome<Found> {
    let mut found = Found::default();
    for topic in broker.topics() {
        let mut partitions = Vec::new();
        for partition in topic.partitions() {
            partitions.push(
                look_at(&partition).map_err(|message| format!("{}: {message}", partition.id()))?,
            );
        }
        let config = (*topic.config()).clone();
        found.topics.insert(
            topic.name().to_owned(),
            FoundTopic {
                id: topic.id(),
                config,
                partitions,
            },
        );
    }
    for key @ (group, id, partition) in ledger.commits.keys() {
        let name = found
            .topics
            .iter()
            .find(|(_, topic)| topic.id == *id)
            .map(|(name, _)| name.clone());
        let Some(name) = name else { continue };
        let consumer = expect(
            "build a consumer",
            broker.consumer().group(group.as_str()).build(),
        )?;
        let committed = consumer.committed(&TopicPartition::new(name, *partition));
        found.commits.insert(
            key.clone(),
            expect("look up a committed offset", committed)?,
        );
    }
    for listed in expect("list the groups", broker.groups())? {
        let group = broker.group(&*listed.name).describe();
        let group = expect("describe a group", group)?;
        // Members end with their process.
        ensure(group.state == GroupState::Empty, || format!("{group:?}"))?;
        found.groups.insert(listed.name, group.generation);
    }
    Ok(found)
}

fn look_at(partition: &Partition) -> Outcome<FoundPartition> {
    let start = partition.log_start_offset();
    let mut reader = expect("make a reader", partition.reader(Position::Earliest))?;
    let mut records = Vec::new();
    while let Some(record) = expect("read", reader.next())? {
        let offset = start + records.len() as u64;
        ensure(record.offset() == offset, || {
            format!("offset {} where {offset} should be", record.offset())
        })?;
        records.push(Expected {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            timestamp: record.timestamp(),
            headers: record
                .headers()
                .map(|header| (header.key().to_owned(), header.value().map(<[u8]>::to_vec)))
                .collect(),
        });
    }
    let found = FoundPartition { start, records };
    let end = partition.high_watermark();
    ensure(end == found.end(), || {
        format!("high watermark {end}, but records end at {}", found.end())
    })?;
    Ok(found)
}

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
                .is_some_and(|found| topic.id.as_ref() == Some(&found.id));
            ensure(!must || is_there, || {
                format!("topic {} is lost", topic.name)
            })?;
        }
        for (name, found_topic) in &found.topics {
            let id = &found_topic.id;
            let mut candidates = self.ledger.topics.iter().filter(|topic| {
                topic.name == *name && topic.began <= self.at && topic.deletion_acked > self.at
            });
            let known = candidates.find(|topic| topic.id.as_ref() == Some(id));
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
        ensure(starts.contains(&found.start), || {
            format!("log start {} is none of {starts:?}", found.start)
        })?;
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
        ensure(found.end() >= required, || {
            format!("ends at {}, but {required} was promised", found.end())
        })?;
        let written: Vec<&Expected> = begun.iter().flat_map(|batch| &batch.records).collect();
        let base = begun.first().map_or(0, |batch| batch.base);
        for (offset, record) in (found.start..).zip(&found.records) {
            let expected = offset
                .checked_sub(base)
                .and_then(|index| written.get(usize::try_from(index).ok()?));
            ensure(expected == Some(&record), || {
                format!("offset {offset} holds {record:?}, not {expected:?}")
            })?;
        }
        let boundary = found.records.is_empty()
            || ledger.boundaries.contains(&found.end())
            || begun
                .iter()
                .any(|batch| batch.whole && batch.end() == found.end());
        ensure(boundary, || {
            format!("ends at {}, inside of a batch", found.end())
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
            .map_or(0, FoundPartition::end);
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

/// Opens a disk as a crash left it and checks everything that must hold after it.
pub(crate) fn check_state(
    promise: Promise<'_>,
    disk: &SimDisk,
    durability: Durability,
) -> Outcome<Found> {
    let broker = open(disk, durability)?;
    let report = broker.recovery_report();
    ensure(!report.has_damage(), || {
        format!("a crash is taken for damage: {report:?}")
    })?;
    let found = look(&broker, promise.ledger)?;
    promise.check(&found)?;
    let after = append_everywhere(&broker, &found)?;
    expect("close", broker.close())?;
    let image = lasting(disk);

    let broker = open(disk, durability)?;
    let report = broker.recovery_report();
    ensure(report.clean_shutdown && report.is_clean(), || {
        format!("not clean after a close: {report:?}")
    })?;
    let again = look(&broker, promise.ledger)?;
    ensure(again == after, || {
        format!("{again:?} after a reopen, {after:?} before")
    })?;
    expect("close again", broker.close())?;
    match image.difference(&lasting(disk)) {
        None => Ok(found),
        Some(difference) => Err(format!("reopening changed something: {difference}")),
    }
}

/// What must not change from a close to the next one. In `durable-ends` each write has a number.
fn lasting(disk: &SimDisk) -> DiskImage {
    disk.image().without(Path::new(DIR).join("durable-ends"))
}

/// Appends a record to every partition; returns what must be found from now on.
fn append_everywhere(broker: &Broker, found: &Found) -> Outcome<Found> {
    let mut after = found.clone();
    for (name, found_topic) in &mut after.topics {
        let partitions = &mut found_topic.partitions;
        let topic = expect("find a topic", broker.topic(name))?;
        for (number, partition) in (0..).zip(partitions) {
            let handle = expect("find a partition", topic.partition(number))?;
            let offset = expect(
                "append after the crash",
                handle.append(&[Record::value_only("after").timestamp(LATER)]),
            )?;
            let end = partition.end();
            ensure(offset == end, || {
                format!("{name}-{number}: appended at {offset}, not at {end}")
            })?;
            partition.records.push(Expected {
                key: None,
                value: Some(b"after".to_vec()),
                timestamp: LATER,
                headers: Vec::new(),
            });
        }
    }
    Ok(after)
}

/// What the next part of a workload starts from, after a crash and a recovery.
pub(crate) fn ledger_from(found: &Found, before: &Ledger) -> Ledger {
    let mut ledger = Ledger::default();
    for old in &before.topics {
        let Some(FoundTopic { partitions, .. }) = found
            .topics
            .get(&old.name)
            .filter(|topic| old.id.as_ref() == Some(&topic.id))
        else {
            continue;
        };
        let mut topic = old.clone();
        (
            topic.began,
            topic.acked,
            topic.deletion_began,
            topic.deletion_acked,
        ) = (0, 0, NEVER, NEVER);
        topic.configs = topic
            .configs
            .last()
            .map(|config| Set::always(config.value.clone()))
            .into_iter()
            .collect();
        topic.partitions.truncate(partitions.len());
        for (partition, found) in topic.partitions.iter_mut().zip(partitions) {
            partition
                .batches
                .retain(|batch| batch.void == NEVER && batch.end() <= found.end());
            for batch in &mut partition.batches {
                (batch.began, batch.acked, batch.synced) = (0, 0, 0);
            }
            partition.boundaries.retain(|offset| *offset <= found.end());
            partition.starts = vec![Set::always(found.start)];
            (partition.began, partition.acked) = (0, 0);
        }
        ledger.topics.push(topic);
    }
    for (key, committed) in &found.commits {
        let sets = committed.map(Set::always).into_iter().collect();
        ledger.commits.insert(key.clone(), sets);
    }
    let stored = found.groups.iter().filter(|(_, stored)| **stored > 0);
    for (group, generation) in stored {
        let sets = vec![Set::always(*generation)];
        ledger.generations.insert(group.clone(), sets);
    }
    ledger
}
