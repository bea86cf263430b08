//! Opens a disk that a crash left, and reads what is there.

use std::collections::{BTreeMap, BTreeSet};

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, Durability, GroupState, ManualClock, Offset, Partition, Position, TopicConfig,
    TopicPartition,
};

use super::ledger::{CommitKey, Expected, Ledger};

/// The data directory of every workload.
pub(crate) const DIR: &str = "data";
/// Later than anything a workload does.
pub(crate) const LATER: i64 = 2_000_000_000_000;

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
    pub(crate) end: Offset,
    pub(crate) records: BTreeMap<Offset, Expected>,
}

impl FoundPartition {
    /// The offsets from the start to the end that have no record.
    pub(crate) fn gone(&self) -> BTreeSet<Offset> {
        let offsets = self.start..self.end;
        offsets
            .filter(|offset| !self.records.contains_key(offset))
            .collect()
    }
}

pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Turns an error of the library into a violation.
pub(crate) fn expect<T>(what: &str, result: streamlog::Result<T>) -> Outcome<T> {
    result.map_err(|error| format!("{what} failed: {error}"))
}

pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(message()) }
}

/// Opens as a user would whose program starts again.
pub(crate) fn open(disk: &SimDisk, durability: Durability) -> Outcome<Broker> {
    open_at(DIR, disk, durability, &ManualClock::new(LATER))
}

pub(crate) fn open_at(
    dir: &str,
    disk: &SimDisk,
    durability: Durability,
    clock: &ManualClock,
) -> Outcome<Broker> {
    let builder = Broker::builder(dir)
        .storage(disk.clone())
        .clock(clock.clone())
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

pub(crate) fn look_at(partition: &Partition) -> Outcome<FoundPartition> {
    let mut found = FoundPartition {
        start: partition.log_start_offset(),
        end: partition.high_watermark(),
        records: BTreeMap::new(),
    };
    let mut next = found.start;
    let mut reader = expect("make a reader", partition.reader(Position::Earliest))?;
    while let Some(record) = expect("read", reader.next())? {
        let (offset, end) = (record.offset(), found.end);
        ensure((next..end).contains(&offset), || {
            format!("offset {offset}, which is not in {next}..{end}")
        })?;
        next = offset + 1;
        let headers = record
            .headers()
            .map(|header| (header.key().to_owned(), header.value().map(<[u8]>::to_vec)));
        let record = Expected {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            timestamp: record.timestamp(),
            headers: headers.collect(),
        };
        found.records.insert(offset, record);
    }
    Ok(found)
}
