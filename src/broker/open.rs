//! Opening a data directory, step by step: lock, versions, manifest, clean marker, partitions.
//!
//! Nothing is written before the lock is held and the versions are known. A directory without a
//! manifest is new, or was written by Kafka: then its partition directories say what topics there are.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::adopt::{adopt, recognise};
use super::checkpoints::{self, Checkpoint};
use super::cleaner::Cleaner;
use super::leftovers::{self, Cleared};
use super::manifest_file::{self, MANIFEST};
use super::registry::{self, FIRST_PRODUCER_ID, Registry, Topics};
use super::report::RecoveryReport;
use super::salvage::finish_salvages;
use super::{BrokerBuilder, BrokerState, Housekeeping};
use crate::bell::Bell;
use crate::clock::Clock;
use crate::config::{TopicConfig, is_internal};
use crate::disk::{DirEntry, DirLock, Disk, replace_file, sync_parent};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, ManifestTopic};
use crate::format::metadata::MetaProperties;
use crate::format::topic_id::TopicId;
use crate::group::offsets::OffsetStore;
use crate::log::durable_ends::DurableEnds;
use crate::log::names::{parse_partition_dir, partition_dir};
use crate::log::open_segments::OpenSegments;
use crate::log::recovery::{self, OpenRequest, PartitionRecovery};
use crate::log::space::{DiskSpace, Purpose};
use crate::notify::Waiters;
use crate::partition::PartitionState;
use crate::record::TopicPartition;
use crate::topic::TopicState;

/// The lock's file: Kafka's name for it.
const LOCK_FILE: &str = ".lock";

/// See the module's description.
pub(super) fn open(builder: &BrokerBuilder) -> Result<Arc<BrokerState>> {
    let BrokerBuilder {
        root, disk, clock, ..
    } = builder;
    builder.check()?;
    let lock = lock(&**disk, root, builder.create_dir)?;
    let stored = manifest_file::load(&**disk, root)?;
    if stored.is_none() {
        confirm_root(&**disk, root)?;
    }
    checkpoints::check_meta_properties(&**disk, root, &new_identity(builder.seed))?;
    let clean = checkpoints::take_clean_marker(&**disk, root)?;
    if !clean && stored.is_some() {
        // It may be that of a process which was killed right after it was put in place: what is removed because
        // of it must not be gone before it is on the device.
        sync_parent(&**disk, &root.join(MANIFEST))?;
    }

    let entries = disk
        .list(root)
        .map_err(|error| Error::io("list", root, error))?;
    let mut report = RecoveryReport::default();
    let is_new = stored.is_none() && !entries.iter().any(is_partition);
    report.clean_shutdown = clean || is_new;
    let ends = Arc::new(DurableEnds::open(&**disk, root)?);
    let log_starts = checkpoints::load_log_starts(&**disk, root)?;
    let manifest = stored.unwrap_or_else(|| {
        let mut manifest = adopt(&**disk, root, &entries, builder.seed, &mut report);
        recognise(&mut manifest, &ends, &log_starts);
        manifest
    });
    let Cleared { stray, gone } = leftovers::clear(&**disk, root, &entries, &manifest);
    report.stray = stray;
    finish_salvages(&**disk, root, &entries, &manifest)?;

    let bell = Arc::new(Bell::default());
    let opening = Opening {
        disk,
        clock,
        root,
        housekeeping: Arc::new(Housekeeping::new(Arc::clone(&ends))),
        ends,
        segments: Arc::new(OpenSegments::new(
            builder.max_mapped_segments,
            builder.max_open_files,
        )),
        space: Arc::new(DiskSpace::new(builder.max_disk_bytes, Arc::clone(&bell))),
        is_known: true,
        clean: clean || is_new,
        recovery_points: checkpoints::load_recovery_points(&**disk, root)?,
        log_starts,
        threads: threads(builder.background),
        sync_later: builder.background,
        waypoint_interval: builder.waypoint_interval,
    };
    let topics = opening.topics(&manifest, &mut report)?;
    opening.ends.free_unclaimed();
    let manifest = raise_producer_ids(manifest, &topics);
    if !report.adopted_topics.is_empty() || is_new {
        replace_file(&**disk, &root.join(MANIFEST), &manifest.encode())?;
    }
    let registry = Registry::new(root, Arc::clone(disk), manifest, builder.seed, topics);
    // If that fails, the next open tries again.
    let _ = registry.forget_deleted(&gone);
    let offsets = OffsetStore::new(builder.offsets_retention, clock, &opening.housekeeping);
    let cleaner = Arc::new(Cleaner::new(
        Arc::clone(&registry),
        Arc::clone(&offsets),
        Arc::clone(clock),
        builder.retention_check_interval,
        builder.compaction_limits(),
        bell,
    ));
    let mut state = BrokerState {
        root: root.clone(),
        disk: Arc::clone(disk),
        clock: Arc::clone(clock),
        registry,
        ends: opening.ends,
        segments: opening.segments,
        space: opening.space,
        housekeeping: opening.housekeeping,
        cleaner,
        background: builder.background,
        offsets,
        durability: builder.durability,
        offsets_topic_partitions: builder.offsets_topic_partitions,
        waypoint_interval: builder.waypoint_interval,
        deleting: Mutex::default(),
        checkpointing: Mutex::default(),
        topic_waiters: Waiters::default(),
        report: RecoveryReport::default(),
        closed: AtomicBool::new(false),
        lock: Mutex::new(Some(lock)),
    };
    if !clean {
        let (clamped, damaged) = state.offsets.recover(&state);
        report.clamped_offsets = clamped.into_iter().map(Into::into).collect();
        report.damaged_offsets = damaged;
    }
    state.report = report;
    let state = Arc::new(state);
    start_threads(&state)?;
    Ok(state)
}

fn start_threads(state: &BrokerState) -> Result<()> {
    if state.background {
        let started = state.housekeeping.start(Arc::clone(&state.clock));
        started
            .map_err(|error| Error::io("start the housekeeping thread of", &state.root, error))?;
    }
    for topic in state.topics() {
        state.look_after(&topic.config.load())?;
    }
    Ok(())
}

/// How many partitions are recovered at once.
fn threads(background: bool) -> usize {
    if background {
        std::thread::available_parallelism().map_or(1, NonZero::get)
    } else {
        1
    }
}

/// Of a new directory.
fn new_identity(seed: u64) -> MetaProperties {
    let new_id = |number| TopicId::from_random(id_bytes(seed, number));
    MetaProperties {
        cluster_id: Some(new_id(1).to_string()),
        node_id: Some(1),
        directory_id: Some(new_id(2)),
    }
}

/// Makes the names of the data directory and of its parents durable: a power loss that took one would
/// take everything that is synced below. It is done when there is no manifest yet, whoever made them:
/// that may have been a process that was killed right after.
pub(super) fn confirm_root(disk: &dyn Disk, root: &Path) -> Result<()> {
    for dir in root.ancestors().filter(|dir| dir.parent().is_some()) {
        match sync_parent(disk, dir) {
            // A directory that we may not look into is not one that we made something in.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

pub(super) fn lock(disk: &dyn Disk, root: &Path, create: bool) -> Result<Box<dyn DirLock>> {
    match disk.list(root) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            disk.create_dir_all(root)
                .map_err(|error| Error::io("create directory", root, error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoDirectory {
                directory: root.to_path_buf(),
            });
        }
        Err(error) => return Err(Error::io("list", root, error)),
    }
    let path = root.join(LOCK_FILE);
    let lock = disk
        .try_lock(&path)
        .map_err(|error| Error::io("lock", &path, error))?;
    lock.ok_or_else(|| Error::Locked {
        directory: root.to_path_buf(),
    })
}

fn is_partition(entry: &DirEntry) -> bool {
    entry.is_dir && parse_partition_dir(&entry.name).is_some()
}

pub(super) fn id_bytes(seed: u64, number: u64) -> [u8; 16] {
    let (high, low) = (
        registry::mix(seed ^ number),
        registry::mix(registry::mix(seed).wrapping_add(number)),
    );
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// Ids handed out from now on are above any that is in a log.
fn raise_producer_ids(mut manifest: Manifest, topics: &Topics) -> Manifest {
    let partitions = topics
        .values()
        .flat_map(|topic| topic.partitions.load().iter().cloned().collect::<Vec<_>>());
    let largest = partitions
        .map(|partition| partition.log().largest_producer_id())
        .max()
        .unwrap_or(-1);
    manifest.next_producer_id = manifest
        .next_producer_id
        .max(FIRST_PRODUCER_ID)
        .max(largest.saturating_add(1));
    manifest
}

/// A topic's configuration, as the manifest has it.
pub(super) fn configuration(stored: &ManifestTopic) -> Result<TopicConfig> {
    let config = TopicConfig::default().partitions(stored.partitions);
    let mut entries = stored.config.iter();
    entries.try_fold(config, |config, (key, value)| config.set(key, value))
}

/// A topic without its partitions.
pub(super) fn new_topic(stored: &ManifestTopic, serial: u64) -> Result<TopicState> {
    Ok(TopicState {
        name: stored.name.as_str().into(),
        id: stored.id,
        adopted: stored.adopted,
        serial,
        config: Arc::new(ArcSwap::from_pointee(configuration(stored)?)),
        partitions: ArcSwap::default(),
    })
}

/// What opening partitions takes.
pub(super) struct Opening<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) root: &'a Path,
    pub(super) ends: Arc<DurableEnds>,
    pub(super) segments: Arc<OpenSegments>,
    pub(super) space: Arc<DiskSpace>,
    pub(super) housekeeping: Arc<Housekeeping>,
    /// Partitions were there before; otherwise they are made.
    pub(super) is_known: bool,
    pub(super) clean: bool,
    pub(super) recovery_points: Checkpoint,
    pub(super) log_starts: Checkpoint,
    /// How many partitions to recover at once.
    pub(super) threads: usize,
    /// There will be a thread that syncs what recovery left unsynced.
    pub(super) sync_later: bool,
    pub(super) waypoint_interval: u64,
}

impl Opening<'_> {
    fn topics(&self, manifest: &Manifest, report: &mut RecoveryReport) -> Result<Topics> {
        let mut topics = Topics::new();
        for stored in &manifest.topics {
            let topic = new_topic(stored, 0)?;
            topics.insert(Arc::clone(&topic.name), Arc::new(topic));
        }
        let jobs: Vec<_> = manifest
            .topics
            .iter()
            .flat_map(|stored| (0..stored.partitions).map(move |partition| (stored, partition)))
            .collect();
        let opened = self.open_all(&jobs, &topics)?;
        let mut partitions: HashMap<&str, Vec<_>> = HashMap::new();
        for ((stored, partition), (state, recovery)) in jobs.into_iter().zip(opened) {
            if !recovery.is_clean() {
                report.partitions.push((
                    TopicPartition::new(stored.name.as_str(), partition),
                    recovery,
                ));
            }
            partitions.entry(&stored.name).or_default().push(state);
        }
        for (name, partitions) in partitions {
            if let Some(topic) = topics.get(name) {
                topic.partitions.store(Arc::new(partitions));
            }
        }
        Ok(topics)
    }

    /// Opens partitions, several at a time; the results are in order.
    fn open_all(
        &self,
        jobs: &[(&ManifestTopic, u32)],
        topics: &Topics,
    ) -> Result<Vec<(Arc<PartitionState>, PartitionRecovery)>> {
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<_>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            while let Some((index, (stored, partition))) =
                Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|index| Some((index, jobs.get(index)?)))
            {
                let opened = match topics.get(stored.name.as_str()) {
                    Some(topic) => self.partition(topic, stored, *partition),
                    None => Err(Error::UnknownTopic {
                        topic: stored.name.clone(),
                    }),
                };
                *results[index].lock() = Some(opened);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        results.into_iter().filter_map(Mutex::into_inner).collect()
    }

    /// Opens one partition, making its files if they are not there.
    pub(super) fn partition(
        &self,
        topic: &TopicState,
        stored: &ManifestTopic,
        partition: u32,
    ) -> Result<(Arc<PartitionState>, PartitionRecovery)> {
        let promised = stored
            .log_starts
            .iter()
            .find(|(number, _)| *number == partition)
            .map_or(0, |(_, start)| *start);
        // The manifest has a checksum, and what Kafka wrote has not: it counts only for its own topics.
        let start = if stored.adopted {
            promised.max(self.log_starts.get(&stored.name, partition))
        } else {
            promised
        };
        let config = topic.config.load();
        let (log, recovery) = recovery::open(&OpenRequest {
            disk: self.disk,
            dir: partition_dir(self.root, &stored.name, partition),
            id: TopicPartition::new(Arc::clone(&topic.name), partition),
            topic_id: stored.id,
            config: &config,
            ends: &self.ends,
            open: &self.segments,
            space: &self.space,
            purpose: if is_internal(&stored.name) {
                Purpose::Internal
            } else {
                Purpose::Records
            },
            is_known: self.is_known,
            clean: self.clean,
            adopted: stored.adopted,
            start,
            recovery_point: self.recovery_points.get(&stored.name, partition),
            now: self.clock.wall(),
            sync_later: self.sync_later,
            waypoint_interval: self.waypoint_interval,
        })?;
        let state = PartitionState::new(
            log,
            Arc::clone(&topic.config),
            Arc::clone(self.clock),
            Arc::clone(&self.housekeeping),
        );
        let state = Arc::new(state);
        if state.log().is_unsynced() {
            state.sync_soon();
        }
        Ok((state, recovery))
    }
}
