//! The broker: opens a directory, keeps the topics, shuts down.
//!
//! ```text
//!   open:   lock ─▶ manifest ─▶ clean marker ─▶ partitions (recovery) ─▶ serve     (open.rs)
//!   live:   registry (topics), housekeeping (linger, syncs), cleaner (retention), offsets (groups)
//!   close:  flush producers ─▶ sync and close logs ─▶ checkpoints ─▶ clean marker ─▶ unlock
//! ```

mod admin;
mod adopt;
mod builder;
mod checkpoint;
mod checkpoints;
mod cleaner;
mod handle;
mod housekeeping;
mod leftovers;
mod manifest_file;
mod open;
mod registry;
mod report;
mod salvage;
mod steady_wall;
mod topics;
mod verify;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

pub use builder::BrokerBuilder;
pub use checkpoint::Checkpoint;
pub use handle::Broker;
pub(crate) use housekeeping::{Housekeeping, Lingering, Upkeep};
pub use report::{ClampedCommit, PartitionRecovery, RecoveryReport};
pub use salvage::{Lost, SalvageOptions, SalvageReport, SalvagedPartition, salvage};
pub use verify::{Finding, Severity, VerifyProgress, VerifyReport};

use self::cleaner::Cleaner;
use self::registry::Registry;
use crate::clock::Clock;
use crate::config::Durability;
use crate::disk::{DirLock, Disk};
use crate::error::{Error, Result};
use crate::group::offsets::{CONSUMER_OFFSETS, OffsetStore};
use crate::group::state::TopicFacts;
use crate::log::durable_ends::DurableEnds;
use crate::log::open_segments::OpenSegments;
use crate::log::space::DiskSpace;
use crate::notify::Waiters;
use crate::partition::PartitionState;
use crate::topic::TopicState;

/// What all handles of one broker share. Handles hold an `Arc` of it; the last one closes it.
#[derive(Debug)]
pub(crate) struct BrokerState {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    registry: Arc<Registry>,
    ends: Arc<DurableEnds>,
    segments: Arc<OpenSegments>,
    space: Arc<DiskSpace>,
    housekeeping: Arc<Housekeeping>,
    cleaner: Arc<Cleaner>,
    /// There are threads that do what falls due.
    background: bool,
    offsets: Arc<OffsetStore>,
    /// Names of topics that are being deleted: they are free when all that was committed for them is
    /// forgotten.
    deleting: Mutex<BTreeSet<String>>,
    /// Held while a checkpoint is made.
    checkpointing: Mutex<()>,
    /// Durability of group offsets.
    durability: Durability,
    offsets_topic_partitions: u32,
    waypoint_interval: u64,
    topic_waiters: Waiters,
    report: RecoveryReport,
    closed: AtomicBool,
    /// Held until the broker is closed.
    lock: Mutex<Option<Box<dyn DirLock>>>,
}

impl BrokerState {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What acknowledgements promise where nobody says otherwise: for the offsets of groups.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// How many partitions `__consumer_offsets` is to have.
    pub(crate) fn offsets_topic_partitions(&self) -> u32 {
        self.offsets_topic_partitions
    }

    /// `Err(Closed)` after the broker was closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(Error::Closed("broker"))
        } else {
            Ok(())
        }
    }

    /// `Err(UnknownTopic)` if there is none.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<TopicState>> {
        self.registry.topic(name)
    }

    /// All topics, internal ones (`__…`) included.
    pub(crate) fn topics(&self) -> Vec<Arc<TopicState>> {
        self.registry.topics().values().cloned().collect()
    }

    /// Rises with every change of the set of topics or partitions: one atomic load tells a consumer
    /// or producer that what it cached still holds.
    pub(crate) fn topics_version(&self) -> u64 {
        self.registry.version()
    }

    /// Woken after [`Self::topics_version`] rose, and when the broker closes: who sleeps in a poll
    /// registers here too.
    pub(crate) fn topic_waiters(&self) -> &Waiters {
        &self.topic_waiters
    }

    /// What groups have to know of a topic; `None` if there is no such topic.
    pub(crate) fn topic_facts(&self, topic: &str) -> Option<TopicFacts> {
        let topic = self.topic(topic).ok()?;
        Some(TopicFacts {
            partitions: u32::try_from(topic.partitions.load().len()).ok()?,
            serial: topic.serial,
        })
    }

    /// Registers work for the housekeeping thread.
    pub(crate) fn register_lingering(&self, lingering: Weak<dyn Lingering>) {
        self.housekeeping.register_lingering(lingering);
    }

    /// Takes a producer out again; nobody but its handles holds it afterwards.
    pub(crate) fn unregister_lingering(&self, lingering: &Weak<dyn Lingering>) {
        self.housekeeping.unregister_lingering(lingering);
    }

    /// Tells the housekeeping thread that something falls due at `deadline` (monotonic time of the
    /// clock). Cheap: called whenever a producer opens a batch while it had none open.
    pub(crate) fn due_at(&self, deadline: Duration) {
        self.housekeeping.due_at(deadline);
    }

    /// A producer id that no producer of this directory had before.
    pub(crate) fn next_producer_id(&self) -> Result<i64> {
        self.registry.next_producer_id()
    }

    /// Committed offsets of all groups.
    pub(crate) fn offsets(&self) -> &OffsetStore {
        &self.offsets
    }

    /// All partitions, those with committed offsets last: data is closed and synced before them.
    fn partitions(&self) -> Vec<Arc<PartitionState>> {
        let mut topics = self.topics();
        topics.sort_by_key(|topic| &*topic.name == CONSUMER_OFFSETS);
        topics
            .iter()
            .flat_map(|topic| topic.partitions.load().iter().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Makes all records durable, before committed offsets that may lie behind them.
    pub(crate) fn sync_records(&self) -> Result<()> {
        self.registry.sync_records()
    }

    /// Closes once; later calls find nothing to do.
    fn close(&self) -> Result<()> {
        let Some(outcome) = self.close_files() else {
            return Ok(());
        };
        // Even after a failure: the next open recovers, and nothing is written here any more.
        *self.lock.lock() = None;
        self.topic_waiters.wake_all();
        outcome
    }

    /// Closes, and gives the lock to the caller: nobody opens the directory before that one is done.
    fn close_and_keep_lock(&self) -> Result<Option<Box<dyn DirLock>>> {
        let lock = self.lock.lock().take();
        self.close_files().unwrap_or(Ok(())).map(|()| lock)
    }

    /// `None` if somebody else has closed them, or is about to.
    fn close_files(&self) -> Option<Result<()>> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let appended = self.housekeeping.run(self.clock.monotonic(), true);
        if self.closed.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.housekeeping.stop();
        self.cleaner.stop();
        // The files may be another broker's soon.
        let _names = self.segments.names().change();
        let closed = self.close_logs();
        let outcome = appended
            .and(closed)
            .and_then(|()| self.write_clean_marker_unless_orphans());
        Some(outcome)
    }

    /// Not if there are offsets of topics that are gone, or may be by the next open: without the marker it
    /// looks for them, and forgets them.
    fn write_clean_marker_unless_orphans(&self) -> Result<()> {
        if self.offsets.has_orphans() || self.registry.is_in_doubt() {
            return Ok(());
        }
        self.write_clean_marker()
    }

    fn close_logs(&self) -> Result<()> {
        let mut outcome = Ok(());
        for partition in self.partitions() {
            partition.shut();
            let closed = partition.log().close();
            outcome = outcome.and(closed);
        }
        outcome
    }
}

impl Drop for BrokerState {
    fn drop(&mut self) {
        // Nobody is left to tell; what was acknowledged is safe, and the next open recovers the rest.
        let _ = self.close();
    }
}
