//! Failures on command: which operation fails, when, and how.

use std::io;
use std::path::Path;

/// The operations of a disk, for counting them and for making them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Opening or creating a file.
    Open,
    /// Asking for a file's length.
    Length,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLength,
    /// Making a file's content durable.
    Sync,
    /// Mapping a file into memory.
    Map,
    /// Making a directory with its parents.
    CreateDir,
    /// Listing a directory.
    List,
    /// Renaming a file or directory.
    Rename,
    /// Giving a file a second name.
    Link,
    /// Removing a file or directory.
    Remove,
    /// Making a directory's names durable.
    SyncDir,
    /// Locking.
    Lock,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Open,
        Self::Length,
        Self::Read,
        Self::Write,
        Self::SetLength,
        Self::Sync,
        Self::Map,
        Self::CreateDir,
        Self::List,
        Self::Rename,
        Self::Link,
        Self::Remove,
        Self::SyncDir,
        Self::Lock,
    ];
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error(io::ErrorKind),
    OsError(i32),
    Short(usize),
    LostSync,
}

/// A failure to come: see [`SimDisk::fail`](super::SimDisk::fail).
///
/// ```
/// use std::io;
/// use streamlog::sim::{Fault, Operation, SimDisk};
///
/// let disk = SimDisk::new();
/// // The third write to a log file fails, and every one after it.
/// disk.fail(Fault::error(Operation::Write, io::ErrorKind::StorageFull).on_path(".log").after(2).sticky());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a fault does something once it is given to `SimDisk::fail`"]
pub struct Fault {
    /// `None` for all of them.
    operation: Option<Operation>,
    path: Option<String>,
    skip: u64,
    sticky: bool,
    kind: Kind,
}

impl Fault {
    fn new(operation: Option<Operation>, kind: Kind) -> Self {
        Self {
            operation,
            path: None,
            skip: 0,
            sticky: false,
            kind,
        }
    }

    /// The operation returns an error, and does nothing.
    ///
    /// [`io::ErrorKind::Interrupted`] is returned once for each call, even by a
    /// [sticky](Self::sticky) fault: the same call succeeds when repeated.
    pub fn error(operation: Operation, error: io::ErrorKind) -> Self {
        Self::new(Some(operation), Kind::Error(error))
    }

    /// The operation returns an error with this number of the operating system, and does nothing.
    pub fn os_error(operation: Operation, errno: i32) -> Self {
        Self::new(Some(operation), Kind::OsError(errno))
    }

    /// Whatever comes next returns an error, and does nothing.
    pub fn any(error: io::ErrorKind) -> Self {
        Self::new(None, Kind::Error(error))
    }

    /// A write writes at most this many bytes, and says so.
    pub fn short_write(bytes: usize) -> Self {
        Self::new(Some(Operation::Write), Kind::Short(bytes))
    }

    /// A read reads at most this many bytes, and says so.
    pub fn short_read(bytes: usize) -> Self {
        Self::new(Some(Operation::Read), Kind::Short(bytes))
    }

    /// A sync fails the way Linux fails it: what was not on disk before is still readable from the
    /// cache but will never get to the disk, not even by a later sync that succeeds, unless it is
    /// written again.
    ///
    /// Only a [recording](super::SimDisk::recording) disk knows what is not on disk; on another one
    /// it is an error and no more.
    pub fn lost_sync() -> Self {
        Self::new(Some(Operation::Sync), Kind::LostSync)
    }

    /// Limits the fault to paths that contain `part`. A file goes by the path it was opened with.
    pub fn on_path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Lets this many matching operations pass first. Default: 0.
    pub fn after(mut self, operations: u64) -> Self {
        self.skip = operations;
        self
    }

    /// Strikes again and again, until [`SimDisk::clear_faults`](super::SimDisk::clear_faults).
    /// Default: once.
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }
}

/// What becomes of an operation that is allowed to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    None,
    Short(usize),
    LostSync,
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Armed>,
    pub(super) struck: u64,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// The last match was interrupted: the repeated call passes.
    passes_next: bool,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.armed.push(Armed {
            fault,
            passes_next: false,
        });
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// Finds the fault that strikes this operation, if any does.
    pub(super) fn strike(&mut self, operation: Operation, path: &Path) -> io::Result<Strike> {
        // Every fault counts every match, also where an earlier one strikes.
        let mut struck = None;
        self.armed.retain_mut(|armed| {
            let strikes = armed.matches(operation, path) && armed.is_due();
            if strikes && struck.is_none() {
                struck = Some(armed.fault.kind);
            }
            !strikes || armed.fault.sticky
        });
        self.struck += u64::from(struck.is_some());
        match struck {
            None => Ok(Strike::None),
            Some(Kind::Short(bytes)) => Ok(Strike::Short(bytes)),
            Some(Kind::LostSync) => Ok(Strike::LostSync),
            Some(Kind::Error(kind)) => Err(kind.into()),
            Some(Kind::OsError(errno)) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Armed {
    fn matches(&self, operation: Operation, path: &Path) -> bool {
        self.fault
            .operation
            .is_none_or(|wanted| wanted == operation)
            && self
                .fault
                .path
                .as_ref()
                .is_none_or(|part| path.to_string_lossy().contains(part))
    }

    fn is_due(&mut self) -> bool {
        if self.fault.skip > 0 {
            self.fault.skip -= 1;
            return false;
        }
        if std::mem::take(&mut self.passes_next) {
            return false;
        }
        self.passes_next = self.fault.kind == Kind::Error(io::ErrorKind::Interrupted);
        true
    }
}
