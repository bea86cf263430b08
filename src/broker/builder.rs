//! How to open a broker.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::cleaner::CompactionLimits;
use super::{Broker, BrokerState, open};
use crate::clock::{Clock, SystemClock};
use crate::config::{Durability, TopicConfig};
use crate::disk::Disk;
use crate::disk::real::RealDisk;
use crate::disk::sim::SimDisk;
use crate::error::{Error, Result};
use crate::log::waypoint::WAYPOINT_INTERVAL;

/// Kafka's default `offsets.retention.minutes`: seven days.
const DEFAULT_OFFSETS_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Kafka's default `log.retention.check.interval.ms`: five minutes.
const DEFAULT_RETENTION_CHECK: Duration = Duration::from_secs(5 * 60);

/// Choices for opening a broker; see [`Broker::builder`].
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// use std::time::Duration;
/// use streamlog::{Broker, ManualClock};
///
/// // A test that owns time: nothing happens until it says so.
/// let clock = ManualClock::new(0);
/// let broker = Broker::builder(dir.path()).clock(clock.clone()).background(false).open()?;
/// clock.advance(Duration::from_secs(3600));
/// broker.run_housekeeping()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `open`"]
pub struct BrokerBuilder {
    pub(super) root: PathBuf,
    pub(super) create_dir: bool,
    pub(super) background: bool,
    pub(super) durability: Durability,
    pub(super) offsets_topic_partitions: u32,
    pub(super) offsets_retention: Option<Duration>,
    pub(super) retention_check_interval: Duration,
    pub(super) cleaner_dedupe_buffer_bytes: usize,
    pub(super) cleaner_max_bytes_per_second: Option<u64>,
    pub(super) max_disk_bytes: Option<u64>,
    pub(super) waypoint_interval: u64,
    pub(super) max_mapped_segments: usize,
    pub(super) max_open_files: usize,
    pub(super) seed: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) disk: Arc<dyn Disk>,
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl BrokerBuilder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            create_dir: true,
            background: true,
            durability: Durability::Written,
            offsets_topic_partitions: 50,
            offsets_retention: Some(DEFAULT_OFFSETS_RETENTION),
            retention_check_interval: DEFAULT_RETENTION_CHECK,
            cleaner_dedupe_buffer_bytes: 128 << 20,
            cleaner_max_bytes_per_second: None,
            max_disk_bytes: None,
            waypoint_interval: WAYPOINT_INTERVAL,
            max_mapped_segments: 16_384,
            max_open_files: 512,
            // The standard library seeds its hash maps from the system's randomness.
            seed: RandomState::new().build_hasher().finish(),
            clock: Arc::new(SystemClock::default()),
            disk: Arc::new(RealDisk),
        }
    }

    /// For who looks after a directory that is there: nothing happens by itself.
    pub(super) fn over(root: &Path, disk: &Arc<dyn Disk>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            create_dir: false,
            background: false,
            disk: Arc::clone(disk),
            clock: Arc::clone(clock),
            ..Self::new(root)
        }
    }

    /// Whether to make the directory if it does not exist; otherwise that is `NoDirectory`.
    /// Default: yes.
    pub fn create_dir(mut self, create: bool) -> Self {
        self.create_dir = create;
        self
    }

    /// Where time comes from. Default: the machine's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where files are: a disk in memory, which can crash and fail on command, instead of the
    /// operating system's.
    pub fn storage(mut self, disk: SimDisk) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// Whether threads do what falls due (batches that linger, syncs after `flush.ms`, retention). Without
    /// them, call [`Broker::run_housekeeping`]; everything is deterministic then. Default: yes.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// What the acknowledgement of a group's commit survives. Topics and producers have settings of
    /// their own. Default: [`Durability::Written`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many partitions `__consumer_offsets` gets when it is made, at the first commit in the
    /// directory; it keeps them. Kafka's `offsets.topic.num.partitions`, and its default: 50. A
    /// directory that a Kafka cluster will take over needs the cluster's number; else a small one saves
    /// files.
    pub fn offsets_topic_partitions(mut self, count: u32) -> Self {
        self.offsets_topic_partitions = count;
        self
    }

    /// How long the committed offsets of a group are kept that nobody uses any more (Kafka's
    /// `offsets.retention.minutes`); `None`: for ever. Default: 7 days.
    ///
    /// It counts from when the group's last member left, or, for a group that only ever commits without
    /// subscribing, from each commit. While a group has members, only offsets of topics that it does not
    /// subscribe to any more expire. A group whose process died with it counts from when it is
    /// found again. Expired offsets are looked for at most every 10 minutes
    /// (`offsets.retention.check.interval.ms`), by the background thread, among groups that this process
    /// uses or that share a partition with them.
    ///
    /// A longer time costs a little memory and disk for each abandoned group. A program that may rest for
    /// longer than this, and then wants to go on where it was, needs a longer one.
    pub fn offsets_retention(mut self, retention: Option<Duration>) -> Self {
        self.offsets_retention = retention;
        self
    }

    /// How often topics are looked at for records that
    /// [retention](crate::TopicConfig::retention_ms) is to remove, at least. Kafka's
    /// `log.retention.check.interval.ms`, and its default: 5 minutes. It is real time, whatever
    /// [`clock`](Self::clock) says; how old records are is told by the clock. The first look comes after half a
    /// minute, and an extra one when a segment was finished of a topic with a limit by size, or a
    /// configuration was changed. Without a [background](Self::background) thread,
    /// [`Broker::run_housekeeping`] looks.
    pub fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.retention_check_interval = interval;
        self
    }

    /// Memory that compaction may use for remembering where each key was written last, in bytes. Kafka's
    /// `log.cleaner.dedupe.buffer.size`, and its default: 128 MiB, which is 5 million keys. It is taken while a
    /// log is compacted, and not more than the log needs. A log with more keys is compacted in several
    /// passes, each of which copies all that is clean.
    pub fn cleaner_dedupe_buffer_bytes(mut self, bytes: usize) -> Self {
        self.cleaner_dedupe_buffer_bytes = bytes;
        self
    }

    /// How many bytes compaction may read a second, in all partitions together; `None`, the default, is
    /// as fast as the device. Kafka's `log.cleaner.io.max.bytes.per.second`.
    pub fn cleaner_max_bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.cleaner_max_bytes_per_second = bytes;
        self
    }

    /// How many bytes the files of all segments may take together; `None`, the default, is no limit.
    ///
    /// An append that would take more fails with [`DiskBudget`](Error::DiskBudget): nothing has changed, a
    /// retry succeeds once there is room, and retention looks at once whether it can make some. **Records
    /// may use fifteen sixteenths of the budget.** The rest is kept for committed offsets, without which
    /// nothing would ever count as consumed, and for compaction, which writes before it removes.
    ///
    /// Counted are the `.log` files up to the last record, and of finished segments `.index`, `.timeindex`,
    /// `.seal` and `.snapshot`. Not counted, and bounded, are what is written ahead or staged (up to
    /// 512 KiB for a partition in use), indexes and waypoints of segments that are growing, and the broker's own few
    /// files. Neither are segments that were removed while a reader holds them: their space returns when it
    /// lets go. A directory that takes more than the budget opens; it refuses appends until it takes
    /// less.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, Error, Record, TopicConfig};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let broker = Broker::builder(dir.path()).max_disk_bytes(Some(16 << 10)).open()?;
    /// let log = broker.create_topic("t", TopicConfig::default())?.partition(0)?;
    /// let value = vec![0; 4 << 10];
    /// let refused = (0..4).find_map(|_| log.append(&[Record::value_only(&value)]).err());
    /// assert!(matches!(refused, Some(Error::DiskBudget { limit: 16_384, .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_disk_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_disk_bytes = bytes;
        self
    }

    /// How far apart, in bytes, the waypoints of a partition are: places from which its last segment may
    /// be walked when it is opened after a kill or a power loss. The walk begins at the last one, so
    /// this bounds how much is looked at that was on the device already; what was not is checked in
    /// any case. A shorter distance makes that open faster, and writes more often. Kafka has no such
    /// setting: it recovers whole segments. Default: 16 MiB.
    pub fn waypoint_interval(mut self, bytes: u64) -> Self {
        self.waypoint_interval = bytes.max(1);
        self
    }

    /// How many segments are mapped into memory at most, of all partitions together. A segment is mapped
    /// when it is read; beyond this, those that were not read for the longest time are unmapped, and
    /// mapped again when they are read again, which takes some microseconds. Records that a program holds
    /// keep their segment mapped, and partitions that are written to have up to four maps of 64 KiB besides:
    /// those are not counted. Default: 16,384, a quarter of what Linux lets a process have
    /// (`vm.max_map_count`).
    pub fn max_mapped_segments(mut self, count: usize) -> Self {
        self.max_mapped_segments = count.max(1);
        self
    }

    /// How many partitions keep a file open between two writes. Finished segments, and partitions that
    /// were not written to since they were synced by the housekeeping thread, hold no descriptor; beyond this
    /// number, others give theirs up right after each sync, and open the file again for the next
    /// append. A partition with records that are not synced yet always keeps its file, since closing it
    /// could lose the news that they cannot be written: those come on top. Default: 512, half of the usual
    /// limit of a process (`ulimit -n`).
    pub fn max_open_files(mut self, count: usize) -> Self {
        self.max_open_files = count;
        self
    }

    /// Where randomness (the ids of topics) comes from, for tests that must repeat. Default: the
    /// system's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// `Err(InvalidConfig)` names what cannot be.
    pub(super) fn check(&self) -> Result<()> {
        TopicConfig::default()
            .partitions(self.offsets_topic_partitions)
            .validate()?;
        self.check_offsets_retention()?;
        self.check_retention_interval()
    }

    pub(super) fn compaction_limits(&self) -> CompactionLimits {
        CompactionLimits::new(
            self.cleaner_dedupe_buffer_bytes,
            self.cleaner_max_bytes_per_second,
        )
    }

    fn check_offsets_retention(&self) -> Result<()> {
        let shortest = Duration::from_millis(1);
        match self.offsets_retention {
            Some(retention) if retention < shortest => Err(Error::InvalidConfig {
                key: "offsets.retention.minutes".to_owned(),
                value: "0".to_owned(),
                reason: "must be more than zero; `None` keeps offsets for ever".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn check_retention_interval(&self) -> Result<()> {
        let shortest = Duration::from_millis(1);
        if self.retention_check_interval < shortest {
            return Err(Error::InvalidConfig {
                key: "log.retention.check.interval.ms".to_owned(),
                value: "0".to_owned(),
                reason: "must be at least 1".to_owned(),
            });
        }
        Ok(())
    }

    /// Opens the broker; see [`Broker::open`].
    pub fn open(self) -> Result<Broker> {
        self.open_state().map(Broker::from_state)
    }

    pub(super) fn open_state(&self) -> Result<Arc<BrokerState>> {
        open::open(self)
    }
}
