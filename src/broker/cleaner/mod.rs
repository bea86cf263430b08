//! The thread that gives space back: it looks at all partitions every few minutes, compacts the dirty ones,
//! and removes what retention says.
//!
//! ```text
//!   facts ─▶ decide (log::retention) ─▶ all new starts in one manifest ─▶ raised ─▶ files removed
//! ```
//! It is a thread of its own because a pass may take long, and what lingers may not wait for it. It starts
//! when there is a topic of which something may have to go. It looks earlier than it would by itself when
//! something rings: a segment was finished of a log with `retention.bytes`, a configuration was changed, an
//! append did not fit the disk budget, or consumers committed where retention waits for them. A broker in
//! which nothing happens has one short look every few minutes.
//!
//! What fails concerns its partition: the others go on, the failure is kept to be asked for, and the next
//! pass tries again. A damaged log is left as it is.
//!
//! Elsewhere: the rules ([`retention`](crate::log::retention)), which time it is
//! ([`steady_wall`](super::steady_wall)), removing ([`Log::remove_below_start`](crate::log::Log)).

mod compaction;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub(super) use self::compaction::CompactionLimits;
use super::BrokerState;
use super::registry::Registry;
use super::steady_wall::SteadyWall;
use crate::bell::Bell;
use crate::clock::Clock;
use crate::config::{CleanupPolicy, RetentionConsumed, TopicConfig};
use crate::error::{Error, Result};
use crate::group::offsets::{CONSUMER_OFFSETS, OffsetStore};
use crate::log::retention::{Limits, Verdict, decide};
use crate::partition::PartitionState;
use crate::record::{Offset, Timestamp, TopicPartition};
use crate::topic::TopicState;

/// The first look comes this early, as in Kafka: a program that never runs for long has its old records
/// removed, too.
const FIRST_CHECK: Duration = Duration::from_secs(30);

/// Commits have retention look again within this time.
const AFTER_COMMIT: Duration = Duration::from_secs(5);

/// The pause after a pass, whoever rings: looking takes a twentieth of a core at most.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const REST_PER_WORK: u32 = 20;

/// What went wrong in the last pass.
type Failures = BTreeMap<TopicPartition, Error>;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Cleaner {
    registry: Arc<Registry>,
    offsets: Arc<OffsetStore>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    compaction: CompactionLimits,
    bell: Arc<Bell>,
    /// Held during a pass: there is one at a time.
    wall: Mutex<SteadyWall>,
    failures: Mutex<Failures>,
    /// Some topic's retention waits for groups.
    waits_for_groups: AtomicBool,
    /// A group committed since the last pass.
    committed: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Cleaner {
    pub(super) fn new(
        registry: Arc<Registry>,
        offsets: Arc<OffsetStore>,
        clock: Arc<dyn Clock>,
        interval: Duration,
        compaction: CompactionLimits,
        bell: Arc<Bell>,
    ) -> Self {
        let wall = Mutex::new(SteadyWall::new(&*clock));
        Self {
            registry,
            offsets,
            clock,
            interval,
            compaction,
            bell,
            wall,
            failures: Mutex::default(),
            waits_for_groups: AtomicBool::new(false),
            committed: AtomicBool::new(false),
            thread: Mutex::default(),
        }
    }

    /// Takes note of a topic's configuration; with `background`, starts the thread if something may have to
    /// go now. It knows nothing of the broker, and so does not keep it open.
    pub(super) fn look_after(
        self: &Arc<Self>,
        config: &TopicConfig,
        background: bool,
    ) -> io::Result<()> {
        if config.retention_consumed != RetentionConsumed::Off {
            self.waits_for_groups.store(true, Ordering::Relaxed);
        }
        let mut thread = self.thread.lock();
        if background && thread.is_none() && may_be_cleaned(config) && !self.bell.is_stopped() {
            let cleaner = Arc::clone(self);
            let started = thread::Builder::new()
                .name("streamlog-cleaner".into())
                .spawn(move || cleaner.keep_cleaning())?;
            *thread = Some(started);
        }
        Ok(())
    }

    /// Has the thread look soon.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// A group committed offsets. Costs next to nothing unless retention waits for groups.
    pub(super) fn note_commit(&self) {
        if self.waits_for_groups.load(Ordering::Relaxed)
            && !self.committed.swap(true, Ordering::AcqRel)
        {
            self.bell.ring_within(AFTER_COMMIT);
        }
    }

    /// What could not be cleaned by the last pass.
    pub(super) fn failures(&self) -> Vec<(TopicPartition, Error)> {
        let failures = self.failures.lock();
        failures
            .iter()
            .map(|(id, error)| (id.clone(), error.clone()))
            .collect()
    }

    /// Ends the thread and waits for it.
    pub(super) fn stop(&self) {
        self.bell.stop();
        let handle = self.thread.lock().take();
        if let Some(handle) = handle
            // Waking a task may have dropped the last handle of the broker in this very thread.
            && handle.thread().id() != thread::current().id()
        {
            // It does not panic; if it did, there is nothing left that it could do.
            let _ = handle.join();
        }
    }

    fn keep_cleaning(&self) {
        let mut wait = self.interval.min(FIRST_CHECK);
        loop {
            self.bell.sleep(wait);
            if self.bell.is_stopped() {
                return;
            }
            // Failures are kept; there is nobody to tell here.
            let (_, looked) = self.pass();
            self.bell
                .rest(SHORTEST_REST.max(looked.saturating_mul(REST_PER_WORK)));
            wait = self.interval;
        }
    }

    /// One pass over all partitions. Returns the first failure.
    pub(super) fn clean(&self) -> Result<()> {
        self.pass().0
    }

    /// The same; says how long it took besides compaction, which comes only when there is enough to do.
    fn pass(&self) -> (Result<()>, Duration) {
        let mut wall = self.wall.lock();
        let now = wall.now(&*self.clock);
        // What happens from here on calls for another pass.
        self.bell.clear();
        self.committed.store(false, Ordering::Release);
        let mut failures = Failures::new();
        self.compact(now, &mut failures);
        let began = Instant::now();
        self.retain(now, &mut failures);
        let looked = began.elapsed();
        let first = failures.values().next().cloned();
        *self.failures.lock() = failures;
        (first.map_or(Ok(()), Err), looked)
    }

    /// Removes what retention says, of all topics.
    fn retain(&self, now: Timestamp, failures: &mut Failures) {
        let topics = self.registry.topics();
        let offsets = topics.get(CONSUMER_OFFSETS);
        let mut starts = Vec::new();
        for topic in topics.values() {
            for (partition, start) in self.new_starts(topic, offsets, now) {
                match start {
                    Ok(start) => starts.push((partition, start)),
                    Err(error) => note(failures, &partition, error),
                }
            }
        }
        let raised = self.registry.raise_starts(&starts);
        for ((partition, _), raised) in starts.iter().zip(raised) {
            let removed = raised.and_then(|()| partition.log().remove_below_start());
            if let Err(error) = removed {
                note(failures, partition, error);
            }
        }
    }

    /// Where the partitions of a topic are to start from now on.
    fn new_starts(
        &self,
        topic: &TopicState,
        offsets: Option<&Arc<TopicState>>,
        now: Timestamp,
    ) -> Vec<(Arc<PartitionState>, Result<Offset>)> {
        let config = topic.config.load_full();
        let partitions = topic.partitions.load_full();
        let who = &config.retention_consumed;
        let consumed = self
            .offsets
            .consumed(offsets, &topic.name, partitions.len(), who);
        let starts = partitions.iter().enumerate().map(|(number, partition)| {
            let start = match &consumed {
                Ok(ends) => ends.get(number).copied().map_or(Ok(0), Ok),
                Err(error) => Err(error.clone()),
            };
            let start = start.and_then(|end| self.new_start(partition, &config, end, now));
            (Arc::clone(partition), start)
        });
        starts.collect()
    }

    /// Where a partition is to start from now on. If all of it is to go, it goes on in a new segment.
    fn new_start(
        &self,
        partition: &PartitionState,
        config: &TopicConfig,
        consumed_end: Offset,
        now: Timestamp,
    ) -> Result<Offset> {
        let log = partition.log();
        let start = log.start_offset();
        if self.bell.is_stopped() || log.damage().is_some() {
            return Ok(start);
        }
        let verdict = || {
            let limits = Limits {
                config,
                start,
                removable_end: consumed_end.min(partition.high_watermark()),
                now,
            };
            decide(&log.segment_facts(now), limits)
        };
        let (end, sealed_end) = match verdict() {
            Verdict::StartAt(start) => return Ok(start),
            Verdict::RollAt { end, otherwise } => (end, otherwise),
        };
        match partition.begin_segment_at(end) {
            // If something was appended meanwhile, the next pass sees how old that is.
            Ok(()) => match verdict() {
                Verdict::StartAt(start) => Ok(start),
                Verdict::RollAt { otherwise, .. } => Ok(otherwise),
            },
            // What goes makes room for a new segment, and the next pass tries again.
            Err(Error::DiskFull { .. } | Error::DiskBudget { .. }) if sealed_end > start => {
                Ok(sealed_end)
            }
            Err(error) => Err(error),
        }
    }
}

impl BrokerState {
    /// A group committed offsets.
    pub(crate) fn note_commit(&self) {
        self.cleaner.note_commit();
    }

    /// Has records removed by this configuration from now on.
    pub(super) fn look_after(&self, config: &TopicConfig) -> Result<()> {
        let started = self.cleaner.look_after(config, self.background);
        started.map_err(|error| Error::io("start the cleaner thread of", &self.root, error))
    }

    /// Moves a partition's log start forward, durably, before any reader is refused what is below.
    pub(crate) fn delete_records(&self, partition: &PartitionState, offset: Offset) -> Result<()> {
        self.check_open()?;
        partition.check_open()?;
        if partition.config().cleanup_policy == CleanupPolicy::Compact {
            return Err(Error::PolicyViolation {
                topic: partition.id().topic().to_owned(),
                reason: "its cleanup.policy is compact, and records are deleted only by delete",
            });
        }
        let (start, end) = (partition.log_start_offset(), partition.high_watermark());
        if offset > end {
            return Err(Error::OffsetOutOfRange {
                partition: partition.id().clone(),
                offset,
                start,
                end,
            });
        }
        self.registry.raise_start(partition, offset)
    }
}

/// Takes note of a failure, unless its partition is gone.
fn note(failures: &mut Failures, partition: &PartitionState, error: Error) {
    if partition.check_open().is_ok() {
        failures.insert(partition.id().clone(), error);
    }
}

/// True if there is anything that could ever have to go.
fn may_be_cleaned(config: &TopicConfig) -> bool {
    config.cleanup_policy != CleanupPolicy::Delete
        || config.retention_ms.is_some()
        || config.retention_bytes.is_some()
}
