//! Salvage: what is good of damaged partitions is kept, in a partition that works.
//!
//! ```text
//!   open, verify ─▶ close, keep the lock ─▶ for each damaged partition:
//!     write anew into <t>-<p>.<id>-delete ─▶ rename: -salvage ─▶ old one: -stray ─▶ new one: <t>-<p>
//! ```
//! A crash before the first rename leaves a directory that the next open removes. Between the last two the
//! partition is missing, and the next open (also that of a salvage) finishes the last one: what is called
//! `-salvage` is complete and on the device. The damaged directory is never removed.
//!
//! The partition's slot in `durable-ends` stays as it is. It says how far the log once came, and the new
//! log reaches as far: its last segment is an empty one, of which the slot says nothing.
//!
//! Elsewhere: what is good ([`log::salvage`](crate::log::salvage)).

mod aside;
mod report;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::aside::Aside;
pub(super) use self::aside::finish_salvages;
pub use self::report::{Lost, SalvageReport, SalvagedPartition};
use super::adopt::{adopt, recognise};
use super::manifest_file::{self, MANIFEST};
use super::open::lock;
use super::report::RecoveryReport;
use super::verify::{Severity, VerifyProgress};
use super::{BrokerBuilder, BrokerState, checkpoints};
use crate::clock::{Clock, SystemClock};
use crate::config::TopicConfig;
use crate::disk::real::RealDisk;
use crate::disk::sim::SimDisk;
use crate::disk::{DirEntry, Disk, read_file, replace_file, with_suffix};
use crate::error::{Error, Result};
use crate::format::topic_id::TopicId;
use crate::log::durable_ends::DurableEnds;
use crate::log::names::partition_dir;
use crate::log::salvage::{self, SalvageRequest, Salvaged};
use crate::record::{Offset, TopicPartition};

/// What [`salvage`] is to do. The default: make all partitions that are found damaged anew.
///
/// ```no_run
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::SalvageOptions;
///
/// let options = SalvageOptions::default().partition("orders", 3).dry_run(true);
/// println!("{}", streamlog::salvage("data", options)?);
/// # Ok(())
/// # }
/// ```
#[must_use = "give it to `salvage`"]
pub struct SalvageOptions<'a> {
    partitions: Vec<TopicPartition>,
    dry_run: bool,
    progress: Box<dyn FnMut(&VerifyProgress) + 'a>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for SalvageOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SalvageOptions")
            .field("partitions", &self.partitions)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

impl Default for SalvageOptions<'_> {
    fn default() -> Self {
        Self {
            partitions: Vec::new(),
            dry_run: false,
            progress: Box::new(|_| {}),
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl<'a> SalvageOptions<'a> {
    /// Makes this partition anew, be it damaged or not; may be called for several. Default: all that
    /// are found damaged, and no other. Naming one saves verifying the others.
    pub fn partition(mut self, topic: impl Into<Arc<str>>, partition: u32) -> Self {
        self.partitions.push(TopicPartition::new(topic, partition));
        self
    }

    /// Only says what would be lost. The directory is opened as always, which recovers from a crash, and
    /// is not changed beyond that. Default: false.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Called now and then, while the directory is verified and while partitions are made anew.
    pub fn progress(mut self, progress: impl FnMut(&VerifyProgress) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Where the files are. Default: the real disk; a [`SimDisk`] is for tests.
    pub fn storage(mut self, disk: SimDisk) -> Self {
        self.disk = Arc::new(disk);
        self
    }
}

/// Makes damaged partitions of a data directory anew out of everything that is good in them, and lists
/// what is lost. The directory must not be open.
///
/// Every batch that is good keeps its offsets, so committed offsets stay right; what is lost becomes a
/// gap, which consumers pass over without a word. That is why nothing of this happens by itself: until
/// then they get the error. Appends go on behind the highest offset that is known to have been in use.
/// The damaged directory is kept beside the new one, under a name ending in `-stray` that brokers pass
/// over, so there has to be room for both. A salvage that was interrupted is begun again by the next.
///
/// Bytes that only look like a batch, since somebody keeps batches in records, are not taken for one: behind
/// damage, batches have to lead on to something that is known independently. If they do not, they are
/// listed as lost.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::{Broker, Record, SalvageOptions, TopicConfig};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let broker = Broker::open(dir.path())?;
/// let topic = broker.create_topic("orders", TopicConfig::default())?;
/// for order in ["first", "second", "third"] {
///     topic.partition(0)?.append(&[Record::value_only(order)])?;
/// }
/// broker.close()?;
///
/// // A bit rots in the second batch.
/// let log = dir.path().join("orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&log).unwrap();
/// let middle = bytes.len() / 2;
/// bytes[middle] ^= 1;
/// std::fs::write(&log, bytes).unwrap();
///
/// let report = streamlog::salvage(dir.path(), SalvageOptions::default())?;
/// assert_eq!(report.partitions[0].records, 2);
/// assert_eq!(report.partitions[0].lost[0].offsets, 1..2);
///
/// let broker = Broker::open(dir.path())?;
/// assert!(broker.verify()?.is_clean());
/// assert_eq!(broker.topic("orders")?.partition(0)?.append(&[Record::value_only("fourth")])?, 3);
/// # broker.close()
/// # }
/// ```
///
/// # Errors
/// `Locked` if a broker has the directory open, `NoDirectory`; `UnknownTopic` and `UnknownPartition` for
/// what was named and is not there; what the disk says, and then the partition is as it was.
pub fn salvage(dir: impl AsRef<Path>, mut options: SalvageOptions<'_>) -> Result<SalvageReport> {
    let root = dir.as_ref();
    let mut report = SalvageReport {
        dry_run: options.dry_run,
        ..SalvageReport::default()
    };
    report.manifest_aside = restore_manifest(root, &options)?;
    if report.dry_run && report.manifest_aside.is_some() {
        // Which partitions there are is known only when it is restored.
        return Ok(report);
    }
    let state = BrokerBuilder::over(root, &options.disk, &options.clock).open_state()?;
    let chosen = choose(&state, &mut options)?;
    let patients = patients(&state, &chosen)?;
    let _lock = state.close_and_keep_lock()?;
    drop(state);
    let ends = DurableEnds::open(&*options.disk, root)?;
    let points = checkpoints::load_recovery_points(&*options.disk, root)?;
    for patient in patients {
        let (id, topic_id) = (&patient.id, patient.topic_id);
        let slot = ends.find(topic_id, id.partition());
        let noted = slot.map_or(0, |slot| slot.end_offset);
        let known_end = noted.max(points.get(id.topic(), id.partition()));
        report
            .partitions
            .push(patient.salvage(root, known_end, &mut options)?);
    }
    Ok(report)
}

/// If the manifest is damaged, puts it aside and makes one from the partitions that are there; says where
/// it was put, or would be.
fn restore_manifest(root: &Path, options: &SalvageOptions<'_>) -> Result<Option<PathBuf>> {
    let disk = &*options.disk;
    let _lock = lock(disk, root, false)?;
    match manifest_file::load(disk, root) {
        Err(Error::Corrupt { .. }) => {}
        other => return other.map(|_| None),
    }
    let path = root.join(MANIFEST);
    let bytes = read_file(disk, &path, usize::MAX)?.unwrap_or_default();
    let aside = with_suffix(&path, &format!(".{:08x}-stray", crc32fast::hash(&bytes)));
    if options.dry_run {
        return Ok(Some(aside));
    }
    replace_file(disk, &aside, &bytes)?;
    let entries = list(disk, root)?;
    let seed = crc32fast::hash(&bytes).into();
    let mut manifest = adopt(disk, root, &entries, seed, &mut RecoveryReport::default());
    let ends = DurableEnds::open(disk, root)?;
    recognise(
        &mut manifest,
        &ends,
        &checkpoints::load_log_starts(disk, root)?,
    );
    replace_file(disk, &path, &manifest.encode())?;
    Ok(Some(aside))
}

fn list(disk: &dyn Disk, root: &Path) -> Result<Vec<DirEntry>> {
    disk.list(root)
        .map_err(|error| Error::io("list", root, error))
}

/// The partitions that were asked for, or all that are damaged.
fn choose(
    state: &BrokerState,
    options: &mut SalvageOptions<'_>,
) -> Result<BTreeSet<TopicPartition>> {
    if !options.partitions.is_empty() {
        return Ok(options.partitions.iter().cloned().collect());
    }
    let opened = state.report.partitions.iter();
    let opened = opened.filter(|(_, recovery)| !recovery.damage.is_empty());
    let mut damaged: BTreeSet<_> = opened.map(|(partition, _)| partition.clone()).collect();
    let verified = state.verify(&mut options.progress)?.findings.into_iter();
    let found = verified.filter(|finding| finding.severity == Severity::Damage);
    damaged.extend(found.filter_map(|finding| finding.partition));
    Ok(damaged)
}

/// A partition that is to be salvaged.
struct Patient {
    id: TopicPartition,
    topic_id: TopicId,
    config: Arc<TopicConfig>,
    start: Offset,
    adopted: bool,
    size: u64,
}

fn patients(state: &BrokerState, chosen: &BTreeSet<TopicPartition>) -> Result<Vec<Patient>> {
    let patient = |id: &TopicPartition| {
        let topic = state.topic(id.topic())?;
        let partition = topic.partition(id.partition())?;
        Ok(Patient {
            id: id.clone(),
            topic_id: topic.id,
            config: topic.config.load_full(),
            start: partition.log_start_offset(),
            adopted: partition.log().is_adopted(),
            size: partition.log().size_bytes(),
        })
    };
    chosen.iter().map(patient).collect()
}

impl Patient {
    fn salvage(
        &self,
        root: &Path,
        known_end: Offset,
        options: &mut SalvageOptions<'_>,
    ) -> Result<SalvagedPartition> {
        let dir = partition_dir(root, self.id.topic(), self.id.partition());
        let request = SalvageRequest {
            disk: &*options.disk,
            dir: dir.clone(),
            topic_id: self.topic_id,
            start: self.start,
            known_end,
            adopted: self.adopted,
            compacted: self.config.cleanup_policy.has_compact(),
            index_interval: self.config.index_interval_bytes,
            now: options.clock.wall(),
        };
        let mut told = VerifyProgress {
            partition: self.id.clone(),
            bytes_done: 0,
            bytes_total: self.size,
        };
        let mut progress = |more| {
            told.bytes_done += more;
            told.bytes_total = told.bytes_total.max(told.bytes_done);
            (options.progress)(&told);
        };
        if options.dry_run {
            let salvaged = salvage::salvage(&request, None, &mut progress)?;
            return Ok(self.report(salvaged, None));
        }
        let aside = Aside::new(
            &*options.disk,
            root,
            &dir,
            self.topic_id,
            self.id.partition(),
        )?;
        let draft = aside.path("delete");
        let salvaged = salvage::salvage(&request, Some(&draft), &mut progress)?;
        let kept_aside = aside.put_in_place(&draft)?;
        Ok(self.report(salvaged, kept_aside))
    }

    fn report(&self, salvaged: Salvaged, kept_aside: Option<PathBuf>) -> SalvagedPartition {
        SalvagedPartition {
            partition: self.id.clone(),
            batches: salvaged.batches,
            records: salvaged.records,
            lost: salvaged.lost,
            end: salvaged.end,
            kept_aside,
        }
    }
}
