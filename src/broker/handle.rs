//! The broker, as the application holds it; what it shares with its other handles is
//! [`BrokerState`](super::BrokerState).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{BrokerBuilder, BrokerState, Checkpoint, RecoveryReport};
use crate::config::TopicConfig;
use crate::consumer::ConsumerBuilder;
use crate::disk::sim::SimDisk;
use crate::error::{Error, Result};
use crate::group::{ConsumerGroup, GroupListing};
use crate::producer::ProducerBuilder;
use crate::record::TopicPartition;
use crate::topic::{Topic, TopicState};

/// A data directory, opened: topics, and what produces to and consumes from them.
///
/// Cheap to clone, `Send + Sync`; clones are the same broker. One broker at a time can have a
/// directory open. [`close`](Self::close) it to know that everything is on disk; dropping the last
/// handle (producers, consumers, topics and partitions are handles too) does the same, silently.
///
/// ```no_run
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::{Broker, TopicConfig};
///
/// let broker = Broker::open("data")?;
/// broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
/// broker.close()
/// # }
/// ```
#[derive(Clone)]
pub struct Broker {
    pub(super) state: Arc<BrokerState>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("root", &self.state.root)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the data directory, or makes it: takes its lock, and recovers what a crash left behind.
    /// What that found is in [`recovery_report`](Self::recovery_report).
    ///
    /// A directory that Apache Kafka wrote (a copy of a broker's log directory) is adopted: its
    /// topics are there with default configurations, except that none of their records ever goes by
    /// itself (`retention.ms=-1`): set their retention with [`alter_topic`](Self::alter_topic).
    ///
    /// # Errors
    /// `Locked` if another broker has it open; `UnsupportedFormat` if a newer version wrote it;
    /// `ReadOnly` or `Io` if it cannot be written. Damaged partitions are no error here: the others
    /// work, and who reads the damaged place is told.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder(dir).open()
    }

    /// More choices for opening a directory.
    pub fn builder(dir: impl AsRef<Path>) -> BrokerBuilder {
        BrokerBuilder::new(dir.as_ref())
    }

    /// A broker without a directory, gone with its last handle: for tests. It behaves the same.
    ///
    /// # Panics
    /// Never: nothing in memory can fail to open.
    #[must_use]
    pub fn in_memory() -> Self {
        let opened = Self::builder("memory").storage(SimDisk::new()).open();
        opened.unwrap_or_else(|error| unreachable!("a disk in memory opens: {error}"))
    }

    pub(crate) fn from_state(state: Arc<BrokerState>) -> Self {
        Self { state }
    }

    /// Makes a topic. It is there, with all partitions, when this returns, and after any crash.
    ///
    /// **Its records are deleted after 7 days**, unless `config` says otherwise: that is Kafka's default of
    /// [`retention_ms`](TopicConfig::retention_ms). `TopicConfig::default().retention_ms(None)` keeps them
    /// for ever.
    ///
    /// # Errors
    /// `TopicExists`, also if a name differs only in `.` and `_`; `InvalidTopicName`;
    /// `InvalidConfig`.
    #[expect(clippy::needless_pass_by_value, reason = "callers build it in place")]
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        self.state.check_open()?;
        Ok(self.topic_handle(self.state.create_topic(name, &config)?))
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// `UnknownTopic` if there is none.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.state.check_open()?;
        Ok(self.topic_handle(self.state.topic(name)?))
    }

    /// All topics by name, without internal ones (`__consumer_offsets`).
    pub fn topics(&self) -> Vec<Topic> {
        let mut topics = self.all_topics();
        topics.retain(|topic| !topic.is_internal());
        topics
    }

    pub(super) fn topic_handle(&self, state: Arc<TopicState>) -> Topic {
        Topic::new(Arc::clone(&self.state), state)
    }

    /// Replaces a topic's configuration; it is in force when this returns, and after any crash. If
    /// `config` asks for more partitions than there are, they are added; partitions are never
    /// removed. To change some settings and leave the others as they are, use
    /// [`alter_topic_config`](Self::alter_topic_config).
    ///
    /// # Errors
    /// `UnknownTopic`; `InvalidConfig`.
    #[expect(clippy::needless_pass_by_value, reason = "callers build it in place")]
    pub fn alter_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        self.state.check_open()?;
        self.state.alter_topic(name, &config)
    }

    /// Raises a topic's number of partitions to `count`. Keys may map to other partitions from then
    /// on; records stay where they are.
    ///
    /// # Errors
    /// `UnknownTopic`; `InvalidConfig` if there are as many already.
    pub fn add_partitions(&self, name: &str, count: u32) -> Result<()> {
        self.state.check_open()?;
        self.state.add_partitions(name, count)
    }

    /// Deletes a topic with its records and its committed offsets. Records that were polled stay
    /// valid. A topic of the same name made later is another one.
    ///
    /// # Errors
    /// `UnknownTopic`.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.state.check_open()?;
        self.state.delete_topic(name)
    }

    /// Builds a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(&self.state))
    }

    /// Builds a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.state))
    }

    /// The consumer group of this name, which need not exist yet. The name is checked when the handle is
    /// used.
    pub fn group(&self, name: impl Into<Arc<str>>) -> ConsumerGroup {
        ConsumerGroup::new(Arc::clone(&self.state), name.into())
    }

    /// All groups that have a member or committed offsets, by name.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use streamlog::{Broker, Position, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("user-clicks", TopicConfig::default())?;
    /// broker.group("dashboard").reset_offsets("user-clicks", Position::Latest)?;
    /// for group in broker.groups()? {
    ///     println!("{}: {}", group.name, group.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Corrupt` if a part of the offsets topic cannot be read, for then nobody knows which groups it
    /// holds. The others can still be described one by one.
    pub fn groups(&self) -> Result<Vec<GroupListing>> {
        self.state.check_open()?;
        crate::group::description::list(&self.state)
    }

    /// What opening the directory found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.state.report
    }

    /// Does what the background thread would do by now: appends batches that have lingered long
    /// enough, syncs partitions whose `flush.ms` is over, removes members of groups that did not poll in
    /// time, forgets offsets that have expired, removes what retention says, due or not. For brokers built
    /// with [`background(false)`](BrokerBuilder::background).
    ///
    /// # Errors
    /// The first failure; everything else was done.
    pub fn run_housekeeping(&self) -> Result<()> {
        self.state.check_open()?;
        let now = self.state.clock.monotonic();
        let kept = self.state.housekeeping.run(now, false);
        kept.and(self.state.cleaner.clean())
    }

    /// Partitions from which old records could not be removed when retention looked last, and why. It is
    /// tried again at the next look; until then the old records stay readable.
    pub fn cleaning_failures(&self) -> Vec<(TopicPartition, Error)> {
        self.state.cleaner.failures()
    }

    /// How much of [`max_disk_bytes`](BrokerBuilder::max_disk_bytes) is used; `None` if there is no such
    /// limit, for then nothing is counted.
    pub fn disk_bytes(&self) -> Option<u64> {
        self.state.space.used()
    }

    /// Makes a consistent copy of the data directory in a new directory, while producers, consumers and
    /// commits go on. Opening the copy is a clean open: nothing is scanned, cut or made again.
    ///
    /// The copy holds what all partitions held at one moment, with all topics and their ids, configurations,
    /// log starts and committed offsets: if it has a record or a commit, it has everything that was
    /// acknowledged before. That includes what is not durable in the broker's own directory yet. What waits
    /// in a producer's open batches is not in it. It is on the device when this returns.
    ///
    /// Finished segments are shared by hard links, so they take no time and no space until one of the
    /// directories removes them; only what still grows is copied. On another file system, or one without
    /// hard links, everything is copied. Links protect from deletion and from mistakes, and not from a
    /// disk that breaks: for that, copy the checkpoint elsewhere. Do not change files of either directory
    /// by hand.
    ///
    /// Appends wait for a moment, while the ends of all partitions are noted. Segments that are deleted
    /// meanwhile are removed when they have been linked. Missing parents of `dir` are made. Until the copy
    /// is whole it is called `dir` with `.partial` behind; after a crash or a failure, the next checkpoint of the
    /// same name removes what is there.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (data, backup) = (dir.path().join("data"), dir.path().join("backup/2026-01-01"));
    /// use streamlog::{Broker, Record, TopicConfig};
    ///
    /// let broker = Broker::open(data)?;
    /// let clicks = broker.create_topic("user-clicks", TopicConfig::default())?.partition(0)?;
    /// clicks.append(&[Record::value_only("hello")])?;
    /// broker.checkpoint(&backup)?;
    ///
    /// let copy = Broker::open(&backup)?;
    /// assert!(copy.recovery_report().clean_shutdown);
    /// assert_eq!(copy.topic("user-clicks")?.partition(0)?.high_watermark(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `DirectoryExists`; `InvalidDirectory` for one in the data directory; `StorageFailed`, `Corrupt` or
    /// `MissingSegment` if a partition refuses appends, for a copy of it would not be good (damage in finished
    /// segments is copied as it is, and readers of the copy meet it, too); `DiskFull`, `Io`. After an error the
    /// broker is as before, and there is no directory.
    pub fn checkpoint(&self, dir: impl AsRef<Path>) -> Result<Checkpoint> {
        self.state.checkpoint(dir.as_ref())
    }

    /// Closes the broker: appends open batches, makes everything durable, and leaves the clean marker
    /// that lets the next open skip recovery. All other handles get `Closed` from then on; records
    /// that were polled stay valid.
    ///
    /// # Errors
    /// The first failure. The directory is unlocked in any case, and the next open recovers.
    pub fn close(self) -> Result<()> {
        self.state.close()
    }
}
