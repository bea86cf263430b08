//! The only code that touches files.
//!
//! Everything above asks a [`Disk`]: [`real`] is the operating system's, [`sim`](crate::sim) lives
//! in memory, keeps apart what was written from what was synced, and fails on command. That is how
//! the crash proofs see every write. Nothing here knows what a record is.
//!
//! Rules that the layers above rely on:
//! * A write is not on disk before the file's [`DiskFile::sync`] returned, and a new, renamed or
//!   removed name is not before [`Disk::sync_dir`] of its directory returned.
//! * A file is replaced by [`replace_file`], never overwritten; log files only grow ([`AppendFile`]).
//! * What is stored through a map is as good as written: it survives the process ([`Stage`]).

mod append_file;
mod copy;
pub(crate) mod handles;
pub(crate) mod map;
pub(crate) mod real;
pub mod sim;
mod stage;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use append_file::{AppendFile, MappedBytes};
pub(crate) use copy::{Copier, Counts};
pub(crate) use map::Map;
pub(crate) use stage::{STAGE_LEN, Stage, Staging};

use crate::error::{Error, Result};

/// A file system, as far as a log needs one. Paths are used as given.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Makes a directory and its missing parents. It is fine if it exists.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// What a directory holds, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file or directory, replacing a file of the new name atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be new. Whoever writes through one changes what the other
    /// shows: this is for files that are not written to any more.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; the bytes go when the last name, map and handle do.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock that dies with the process; `None` if someone else holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>>;
}

/// Holds a lock while it lives.
pub(crate) trait DirLock: Debug + Send + Sync {}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads into `buffer` from `position`; may be short, 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at `position`, growing the file; may be short.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes all written bytes, and the length, durable.
    fn sync(&self) -> io::Result<()>;
    /// Maps the first `capacity` bytes for reading. The map may reach beyond the end of the file;
    /// only bytes that were written may be looked at ([`AppendFile`] sees to that).
    fn map(&self, capacity: usize) -> io::Result<Map>;
    /// Maps the first `len` bytes, all of which have been written, for storing into. What is stored is
    /// as good as written: it survives this process, and not the machine.
    fn map_for_storing(&self, len: usize) -> io::Result<Map>;
    /// Gives up the descriptor, if the file can do without: it is only read for some time.
    fn let_go(&self) {}
    /// Takes a descriptor again: it is going to be written to.
    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
    /// A file without a descriptor gets none any more: its name may soon be another's.
    fn retire(&self) {}
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file for reading and writing, made if missing; an existing one keeps its bytes.
    Create,
    /// A file for reading and writing, emptied if it exists.
    Truncate,
}

/// One name in a directory. How long a file is, is not known of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirEntry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
}

/// Reads until `buffer` is full or the file ends; returns how much was read.
pub(crate) fn read_full_at(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`: a short or interrupted write goes on where it stopped.
pub(crate) fn write_all_at(file: &dyn DiskFile, bytes: &[u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], position + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole small file; `None` if there is none. Refuses one longer than `limit` bytes before
/// allocating for it.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    let at = |source| Error::io("read", path, source);
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let len = usize::try_from(file.len().map_err(at)?).unwrap_or(usize::MAX);
    if len > limit {
        return Err(Error::corrupt(
            path,
            0,
            format!("{len} bytes long, expected at most {limit}"),
        ));
    }
    let mut bytes = vec![0; len];
    let count = read_full_at(&*file, &mut bytes, 0).map_err(at)?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// Replaces a file as a whole, durably and atomically: after a crash it is the old or the new one.
/// A failure leaves the old one in place and removes the temporary.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    put_in_place(disk, path, bytes)?;
    sync_parent(disk, path)
}

/// What ends the name of a file that is to replace another.
pub(crate) const TEMPORARY: &str = ".tmp";

/// The first part of [`replace_file`]: after it the new file is there, but its name is not durable.
pub(crate) fn put_in_place(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = with_suffix(path, TEMPORARY);
    let written = write_new_file(disk, &temporary, bytes).and_then(|()| {
        disk.rename(&temporary, path)
            .map_err(|error| Error::io("rename to", path, error))
    });
    if let Err(error) = written {
        // Best effort: a leftover is overwritten by the next attempt.
        let _ = disk.remove_file(&temporary);
        return Err(error);
    }
    Ok(())
}

fn write_new_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = write_anew(disk, path, bytes)?;
    file.sync().map_err(|error| Error::io("sync", path, error))
}

/// Gives a file this content, not durably. For what is made again if a crash leaves another. One that could
/// not be written is not left half written.
pub(crate) fn write_anew(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<Arc<dyn DiskFile>> {
    let file = disk
        .open(path, OpenMode::Truncate)
        .map_err(|error| Error::io("create", path, error))?;
    match write_all_at(&*file, bytes, 0) {
        Ok(()) => Ok(file),
        Err(error) => {
            // Best effort: what is left is made again by who needs it.
            let _ = disk.remove_file(path);
            Err(Error::io("write", path, error))
        }
    }
}

/// Makes the name of `path` durable.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    disk.sync_dir(dir)
        .map_err(|error| Error::io("sync directory", dir, error))
}

/// Removes a file, durably or not; it is fine if there is none.
pub(crate) fn remove_if_present(disk: &dyn Disk, path: &Path) -> Result<bool> {
    match disk.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path, error)),
    }
}

/// `path` with `suffix` after its whole name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
