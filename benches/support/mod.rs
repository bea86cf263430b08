//! What the benchmarks share: directories on the disk under test, values, and system call counts.

pub mod calls;
pub mod events;

use std::path::Path;
use std::{fs, io};

use streamlog::{Broker, Partition, Record, TopicConfig};
use tempfile::TempDir;

/// Sizes of values, with their names in benchmark ids.
pub const SIZES: [(&str, usize); 2] = [("100B", 100), ("1KiB", 1024)];

/// Topics are made anew when they have grown to this, so that a run fits on the disk.
const FULL: u64 = 256 << 20;

/// A directory on the disk that builds go to: a temporary one is in memory on many machines.
pub fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

/// A broker of its own, with one topic that is emptied between samples.
pub struct Bench {
    pub broker: Broker,
    config: TopicConfig,
    _directory: TempDir,
}

pub const TOPIC: &str = "events";

impl Bench {
    pub fn new(config: TopicConfig) -> Self {
        let directory = directory();
        let broker = Broker::open(directory.path()).expect("a new directory opens");
        broker
            .create_topic(TOPIC, config.clone())
            .expect("it is new");
        let bench = Self {
            broker,
            config,
            _directory: directory,
        };
        bench.warm_up();
        bench
    }

    /// The first append to a partition makes the names of its files durable: it is not typical.
    fn warm_up(&self) {
        let topic = self.broker.topic(TOPIC).expect("it is there");
        for partition in topic.partitions() {
            let appended = partition.append(&[Record::value_only("first")]);
            appended.expect("the disk has room");
        }
    }

    pub fn partition(&self, number: u32) -> Partition {
        let topic = self.broker.topic(TOPIC).expect("it is there");
        topic.partition(number).expect("it is there")
    }

    /// Makes the topic anew if it is large. Not to be timed.
    pub fn make_room(&self) {
        let topic = self.broker.topic(TOPIC).expect("it is there");
        let bytes: u64 = topic.partitions().iter().map(Partition::size_bytes).sum();
        if bytes > FULL {
            self.broker.delete_topic(TOPIC).expect("it is there");
            let made = self.broker.create_topic(TOPIC, self.config.clone());
            made.expect("it is gone");
            self.warm_up();
        }
    }
}

/// Copies a data directory: what a kill at this moment would leave.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
