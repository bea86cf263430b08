//! A disk in memory, for tests that must know what a crash or a failing disk does.
//!
//! A broker runs on a [`SimDisk`] as on a real one. The disk keeps apart what was written from what
//! was synced, so that a test can ask what a crash leaves, at any moment, and open that:
//!
//! ```text
//!   run on SimDisk::recording() ─▶ op log ─▶ crash_states(at, plan) ─▶ open each, look for what was promised
//! ```
//!
//! * Crashes: [`SimDisk::crash_states`] makes disks as a killed process or a power loss may leave
//!   them: writes lost, kept, torn at sector boundaries; new names undone; lengths without data.
//! * Failures: [`SimDisk::fail`] makes the operation of your choice fail, once or for good;
//!   [`SimDisk::set_capacity`] makes the disk full, [`SimDisk::set_read_only`] read-only.
//! * Looking: [`SimDisk::image`], [`SimDisk::read`], [`SimDisk::count`]; and [`SimDisk::write`] and
//!   [`SimDisk::remove`] to plant damage.
//!
//! # What a power loss may do here
//!
//! The rules are harsher than those of most file systems: what works here works there.
//! Bytes that a successful sync of their file covers are safe. Each later write or cut may be lost
//! or kept by itself, a write also by 512-byte sectors, whatever the order. Where new bytes are lost,
//! the file is shorter, or holds zeros or noise in their place; where the disk had bytes before, it
//! has those (a sector is written as a whole, or not at all). A name that was made, replaced or removed
//! is back as before unless its directory was synced after that; a synced file without a durable name
//! is gone.
//!
//! # Example
//!
//! An order that was acknowledged survives the process, and power loss once it was flushed:
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! use streamlog::sim::{CrashKind, CrashPlan, SimDisk};
//! use streamlog::{Broker, Record, TopicConfig};
//!
//! let disk = SimDisk::recording();
//! let broker = Broker::builder("data").storage(disk.clone()).background(false).open()?;
//! let orders = broker.create_topic("orders", TopicConfig::default())?.partition(0)?;
//! orders.append(&[Record::value_only("an order")])?;
//! let acknowledged = disk.operation_count();
//! orders.flush()?;
//! let flushed = disk.operation_count();
//!
//! let mut lost = 0;
//! for at in acknowledged..=flushed {
//!     for state in disk.crash_states(at, CrashPlan::new(1)) {
//!         // Here the application starts again, on what the crash left.
//!         let broker = Broker::builder("data").storage(state.disk).background(false).open()?;
//!         let orders = broker.topic("orders")?.partition(0)?;
//!         let is_safe = state.kind == CrashKind::ProcessCrash || at == flushed;
//!         assert!(orders.high_watermark() == 1 || !is_safe, "{}", state.description);
//!         lost += u64::from(orders.high_watermark() == 0);
//!     }
//! }
//! assert!(lost > 0, "what was not flushed may be lost");
//! # Ok(())
//! # }
//! ```

mod choices;
mod crash;
mod fault;
mod file;
#[cfg(test)]
mod hook;
mod host;
mod image;
mod op_log;
mod operations;
mod replay;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub use crash::{CrashKind, CrashPlan, CrashState, CrashStates};
pub use fault::{Fault, Operation};
pub use image::DiskImage;

use fault::Faults;
use op_log::{Labels, Op, OpLog};
use replay::Replay;
use snapshot::Snapshot;
use tree::{NameChange, Tree};

/// A disk in memory. Clones are the same disk. See the [module's description](self).
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: Mutex<Tree>,
    log: Option<Mutex<OpLog>>,
    /// Syncs claim success and do nothing.
    lies: bool,
    /// True while `faults` has any: the one thing to look at when there are none.
    has_faults: AtomicBool,
    faults: Mutex<Faults>,
    #[cfg(test)]
    hooks: hook::Hooks,
    read_only: AtomicBool,
    /// In bytes; `u64::MAX` for no limit.
    capacity: AtomicU64,
    counts: [AtomicU64; Operation::ALL.len()],
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk that records nothing: the fastest, but it knows no crash states.
    pub fn new() -> Self {
        Self::with(&Snapshot::empty(), None, false)
    }

    /// An empty disk that records every change, for [`crash_states`](Self::crash_states).
    ///
    /// Records take memory: for tests of some thousand operations, not for a soak.
    pub fn recording() -> Self {
        Self::with(
            &Snapshot::empty(),
            Some(OpLog::new(Arc::new(Snapshot::empty()))),
            false,
        )
    }

    /// A recording disk that lies: its syncs claim success and make nothing durable. A crash test
    /// that passes on this one proves nothing.
    pub fn without_syncs() -> Self {
        Self::with(
            &Snapshot::empty(),
            Some(OpLog::new(Arc::new(Snapshot::empty()))),
            true,
        )
    }

    /// A disk on which programs find `seen`.
    fn with(seen: &Snapshot, log: Option<OpLog>, lies: bool) -> Self {
        let inner = Inner {
            tree: Mutex::new(Tree::of(seen)),
            log: log.map(Mutex::new),
            lies,
            has_faults: AtomicBool::new(false),
            faults: Mutex::default(),
            #[cfg(test)]
            hooks: hook::Hooks::default(),
            read_only: AtomicBool::new(false),
            capacity: AtomicU64::new(u64::MAX),
            counts: Default::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Another disk with the same content, all of it durable, which records. Nothing is open or
    /// locked there, and nothing fails.
    ///
    /// What a recording disk held at one moment, even while others write to it: as a process that was killed
    /// then leaves it. On another disk that needs quiet: each file is copied at its own moment.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let seen = self.inner.change().tree.snapshot();
        Self::with(
            &seen,
            Some(OpLog::new(Arc::new(seen.clone()))),
            self.inner.lies,
        )
    }
}

/// Crashes.
impl SimDisk {
    /// How many operations were recorded: the number of this moment, as a crash point. 0 on a disk
    /// that does not record.
    ///
    /// A disk left by a process crash continues the count of the one it was made from.
    pub fn operation_count(&self) -> usize {
        self.inner
            .log
            .as_ref()
            .map_or(0, |log| log.lock().ops.len())
    }

    /// Notes something in the record, and returns the number of the moment after it.
    pub fn mark(&self, label: &str) -> usize {
        self.inner.change().record(Op::Mark(label.into()));
        self.operation_count()
    }

    /// Says what the recorded operation of this number did, for a test's messages.
    pub fn describe_operation(&self, number: usize) -> Option<String> {
        let log = self.inner.log.as_ref()?.lock();
        let op = log.ops.get(number)?;
        Some(Labels::of(&log.seen_after(number + 1)).describe(op))
    }

    /// The disks that a crash after the first `at` operations may leave, one after the other. For
    /// `at` beyond the last operation: after that.
    ///
    /// The first is what a process crash leaves. If operation `at` is a write, it may also have been
    /// cut short by the process crash.
    ///
    /// # Panics
    /// On a disk that does not record: a test that looks at no state would prove nothing.
    pub fn crash_states(&self, at: usize, plan: CrashPlan) -> CrashStates {
        let log = self.inner.log.as_ref().map(|log| log.lock());
        let Some(log) = log else {
            panic!("only a recording disk knows crash states: use SimDisk::recording()");
        };
        let at = at.min(log.ops.len());
        let ops = log.ops[..log.ops.len().min(at + 1)].to_vec();
        CrashStates::new(
            OpLog {
                start: Arc::clone(&log.start),
                ops,
            },
            at,
            plan,
            self.inner.lies,
        )
    }

    /// What is certain to be on the disk: what a power loss leaves at least. On a disk that does not
    /// record, that is nothing.
    pub fn durable_image(&self) -> DiskImage {
        let log = self.inner.log.as_ref().map(|log| log.lock());
        let certain = log.map_or_else(Snapshot::empty, |log| {
            Replay::of(&log, log.ops.len()).certain
        });
        DiskImage::of(&certain)
    }
}

/// Failures.
impl SimDisk {
    /// Makes an operation fail that is still to come. Faults count the operations independently of
    /// each other; where several strike at once, the one given first decides.
    pub fn fail(&self, fault: Fault) {
        self.inner.faults.lock().add(fault);
        self.inner.has_faults.store(true, Ordering::Release);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.inner.faults.lock().clear();
        self.inner.has_faults.store(false, Ordering::Release);
    }

    /// How often a fault struck so far.
    pub fn faults_struck(&self) -> u64 {
        self.inner.faults.lock().struck
    }

    /// Limits the bytes of all files together; `None`, the default, is no limit. A write that does
    /// not fit is cut short where the disk is full, and the next one fails with
    /// [`io::ErrorKind::StorageFull`]. Removing files makes room.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner
            .capacity
            .store(bytes.unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.inner.tree.lock().used()
    }

    /// Makes every operation that would change the disk fail with
    /// [`io::ErrorKind::ReadOnlyFilesystem`], or lets them work again.
    pub fn set_read_only(&self, read_only: bool) {
        self.inner.read_only.store(read_only, Ordering::Release);
    }
}

/// Looking, and planting damage. None of this counts as an operation, fails, or is limited.
impl SimDisk {
    /// How many operations of a kind were asked for so far: what would have been system calls.
    pub fn count(&self, operation: Operation) -> u64 {
        self.inner.counts[operation as usize].load(Ordering::Relaxed)
    }

    /// Everything on the disk as programs see it now, synced or not.
    pub fn image(&self) -> DiskImage {
        DiskImage::of(&self.inner.tree.lock().snapshot())
    }

    /// All files and their lengths in bytes, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.image().files()
    }

    /// The bytes of a file; `None` if there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let tree = self.inner.tree.lock();
        let file = tree.file(tree.find(path.as_ref()).ok()?).ok()?;
        Some(file.content().to_vec())
    }

    /// Gives a file these bytes, durably. The file and its directories are made if they are missing;
    /// an existing one stays the same file, to those who have it open too.
    ///
    /// # Errors
    /// If the path is a directory, or leads through a file.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let mut change = self.inner.plant();
        change.create_dir_all(path.parent().unwrap_or(Path::new("")), true)?;
        let (dir, name) = change.tree.locate(path)?;
        let file = match change.tree.child(dir, &name) {
            Ok(file) => file,
            Err(_) => change.create_file(dir, name),
        };
        change.confirm_names(path)?;
        let node = Arc::clone(change.tree.file(file)?);
        node.region().set_len(0)?;
        node.region().write(0, bytes)?;
        change.record(Op::SetLen { file, len: 0 });
        change.record(Op::Write {
            file,
            position: 0,
            bytes: bytes.into(),
        });
        Ok(())
    }

    fn plant_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.plant().create_dir_all(dir, true).map(drop)
    }

    /// Removes a file, durably. False if there was none.
    pub fn remove(&self, path: impl AsRef<Path>) -> bool {
        let mut change = self.inner.plant();
        let Ok((dir, name)) = change.tree.locate(path.as_ref()) else {
            return false;
        };
        let Ok(file) = change.tree.child(dir, &name) else {
            return false;
        };
        if change.tree.is_dir(file) {
            return false;
        }
        change.apply(NameChange::Unlink { dir, name });
        change.tree.forget(file);
        true
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("recording", &self.inner.log.is_some())
            .field("operations", &self.operation_count())
            .field("files", &self.image())
            .finish_non_exhaustive()
    }
}
