//! What must be in a directory after a kill, and whether it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use streamlog::{Broker, Offset, Partition, Position, TopicPartition};

use super::child::{GROUP, STAMPED, TOPICS};
use super::content::{Name, recognise};

/// What a child said, over all rounds in one directory.
#[derive(Debug, Default)]
pub struct Expected {
    topics: BTreeSet<String>,
    /// Acknowledged records: where, and by writer and number which.
    records: BTreeMap<(TopicPartition, Offset), (u64, u64)>,
    commits: BTreeMap<TopicPartition, Commit>,
}

/// What may be committed for a partition: what was acknowledged, or what was asked for after that.
#[derive(Debug, Default)]
struct Commit {
    acknowledged: Option<Offset>,
    intended: Option<Offset>,
}

impl Expected {
    /// Takes a line of the child's report.
    pub fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let partition = || TopicPartition::new(words[1], words[2].parse().unwrap());
        match words[0] {
            "@topic" => drop(self.topics.insert(words[1].to_owned())),
            "@record" => {
                for index in 0..number(6) {
                    let place = (partition(), number(3) + index);
                    let name = (number(4), number(5) + index);
                    let former = self.records.insert(place, name);
                    assert_eq!(former, None, "an offset is given once: {line}");
                }
            }
            "@intent" => self.commits.entry(partition()).or_default().intended = Some(number(3)),
            "@commit" => {
                self.commits.entry(partition()).or_default().acknowledged = Some(number(3));
            }
            // What the test harness prints.
            _ => {}
        }
    }

    /// Opens a directory, and holds what is there to what was said.
    pub fn check(&mut self, dir: &Path, round: u64) {
        let broker = Broker::open(dir).unwrap();
        assert!(broker.recovery_report().is_clean());
        let mut found = BTreeMap::new();
        for (name, partitions) in TOPICS {
            let Ok(topic) = broker.topic(name) else {
                assert!(!self.topics.contains(name), "round {round}: {name} is gone");
                continue;
            };
            assert_eq!(topic.partition_count(), partitions);
            for partition in topic.partitions() {
                read_all(&partition, round, &mut found);
            }
        }
        for (place, name) in &self.records {
            let (partition, offset) = place;
            assert_eq!(
                found.get(place),
                Some(name),
                "round {round}: lost from {partition}@{offset}"
            );
        }
        self.check_commits(&broker, round);
        broker.close().unwrap();
        let reopened = Broker::open(dir).unwrap();
        assert!(reopened.recovery_report().clean_shutdown);
        assert!(reopened.recovery_report().is_clean());
    }

    fn check_commits(&mut self, broker: &Broker, round: u64) {
        let consumer = broker.consumer().group(GROUP).build().unwrap();
        for (partition, commit) in &mut self.commits {
            let committed = consumer.committed(partition).unwrap();
            assert!(
                committed == commit.acknowledged || committed == commit.intended,
                "round {round}: {partition} has {committed:?} committed, not {commit:?}"
            );
            // What was not acknowledged is decided now.
            commit.acknowledged = committed;
            commit.intended = committed;
        }
    }
}

/// Reads a partition from its beginning, and checks what needs no acknowledgements: that each
/// writer's records are there as it wrote them, up to some whole batch.
fn read_all(
    partition: &Partition,
    round: u64,
    found: &mut BTreeMap<(TopicPartition, Offset), (u64, u64)>,
) {
    let stamped = partition.id().topic() == STAMPED;
    let mut last: BTreeMap<u64, Name> = BTreeMap::new();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut next_offset = 0;
    while let Some(record) = reader.next().unwrap() {
        let place = format!("round {round}: {}@{}", partition.id(), record.offset());
        assert_eq!(record.offset(), next_offset, "{place}: a hole");
        next_offset += 1;
        let name = recognise(&record, !stamped).unwrap_or_else(|| panic!("{place}: invented"));
        let expected = last.insert(name.writer, name);
        let (number, left) = match expected {
            None => (0, None),
            Some(former) => (former.number + 1, former.left.checked_sub(1)),
        };
        assert_eq!(
            name.number, number,
            "{place}: order of {expected:?}, {name:?}"
        );
        assert!(
            left.is_none_or(|left| left == name.left),
            "{place}: a torn batch: {expected:?}, {name:?}"
        );
        found.insert(
            (partition.id().clone(), record.offset()),
            (name.writer, name.number),
        );
    }
    assert_eq!(next_offset, partition.high_watermark());
    for name in last.values() {
        assert_eq!(name.left, 0, "round {round}: a torn batch ends {name:?}");
    }
}

/// The files of a directory and their bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    pub fn of(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(dir, Path::new(""), &mut files);
        Self(files)
    }

    pub fn write_to(&self, dir: &Path) {
        for (path, bytes) in &self.0 {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Names the first file that differs.
    pub fn difference(&self, later: &Self) -> Option<String> {
        let mut paths = self.0.keys().chain(later.0.keys());
        let path = paths.find(|path| self.0.get(*path) != later.0.get(*path))?;
        let length = |files: &Self| files.0.get(path).map(Vec::len);
        Some(format!(
            "{}: {:?} bytes before, {:?} now",
            path.display(),
            length(self),
            length(later)
        ))
    }
}

fn collect(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}
