//! Fills a new directory with files, durably, and counts them.
//!
//! A file that is finished is shared by a second name where that is possible, which takes neither time nor
//! space; else it is copied, in pieces. Each file is on the device when its call returns, its name when
//! [`Copier::sync_names`] does.

use std::io;
use std::path::Path;

use super::{Disk, DiskFile, OpenMode, read_full_at, write_all_at, write_anew};
use crate::error::{Error, Result};

/// So much is copied at a time: the calls do not count any more.
const PIECE: usize = 1 << 20;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Copier<'a> {
    disk: &'a dyn Disk,
    counts: Counts,
}

/// What a [`Copier`] made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    /// Bytes of files that have another name as well.
    pub(crate) linked_bytes: u64,
    /// Bytes of files that were copied or written.
    pub(crate) copied_bytes: u64,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(disk: &'a dyn Disk) -> Self {
        Self {
            disk,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Makes a directory and its missing parents.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<()> {
        let made = self.disk.create_dir_all(dir);
        made.map_err(|error| Error::io("create directory", dir, error))
    }

    /// The names of the files in a directory.
    pub(crate) fn names(&self, dir: &Path) -> Result<Vec<String>> {
        let entries = self.disk.list(dir);
        let entries = entries.map_err(|error| Error::io("list", dir, error))?;
        let files = entries.into_iter().filter(|entry| !entry.is_dir);
        Ok(files.map(|entry| entry.name).collect())
    }

    /// Gives a file a second name, and nothing more; false if it cannot have one there.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<bool> {
        match self.disk.link(from, to) {
            Ok(()) => Ok(true),
            Err(error) if is_no_place_for_links(&error) => Ok(false),
            Err(error) => Err(Error::io("link", from, error)),
        }
    }

    /// Shares a finished file, or copies it.
    pub(crate) fn link_or_copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        if !self.link(from, to)? {
            return self.copy(from, to, None);
        }
        // It may not be on the device yet.
        let file = self.open(to)?;
        let len = sync(&*file, to)?;
        self.counts.files += 1;
        self.counts.linked_bytes += len;
        Ok(())
    }

    /// Copies a file, or its first `len` bytes, which have to be there.
    pub(crate) fn copy(&mut self, from: &Path, to: &Path, len: Option<u64>) -> Result<()> {
        let source = self.open(from)?;
        let len = match len {
            Some(len) => len,
            None => source
                .len()
                .map_err(|error| Error::io("look at", from, error))?,
        };
        let copy = self
            .disk
            .open(to, OpenMode::Truncate)
            .map_err(|error| Error::io("create", to, error))?;
        copy_pieces(&*source, &*copy, len).map_err(|(action, error)| {
            let path = if action == "write" { to } else { from };
            Error::io(action, path, error)
        })?;
        self.take_in(&*copy, to)
    }

    /// Makes a file of these bytes.
    pub(crate) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let file = write_anew(self.disk, path, bytes)?;
        self.take_in(&*file, path)
    }

    /// Takes in a file that somebody else wrote.
    pub(crate) fn adopt(&mut self, path: &Path) -> Result<()> {
        let file = self.open(path)?;
        self.take_in(&*file, path)
    }

    fn take_in(&mut self, file: &dyn DiskFile, path: &Path) -> Result<()> {
        self.counts.copied_bytes += sync(file, path)?;
        self.counts.files += 1;
        Ok(())
    }

    /// Takes a name back.
    pub(crate) fn unlink(&self, path: &Path) -> Result<()> {
        let removed = self.disk.remove_file(path);
        removed.map_err(|error| Error::io("remove", path, error))
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_names(&self, dir: &Path) -> Result<()> {
        let synced = self.disk.sync_dir(dir);
        synced.map_err(|error| Error::io("sync directory", dir, error))
    }

    fn open(&self, path: &Path) -> Result<std::sync::Arc<dyn DiskFile>> {
        let file = self.disk.open(path, OpenMode::Read);
        file.map_err(|error| Error::io("open", path, error))
    }
}

/// Returns how long the file is.
fn sync(file: &dyn DiskFile, path: &Path) -> Result<u64> {
    file.sync()
        .map_err(|error| Error::io("sync", path, error))?;
    file.len()
        .map_err(|error| Error::io("look at", path, error))
}

fn copy_pieces(
    from: &dyn DiskFile,
    to: &dyn DiskFile,
    len: u64,
) -> Result<(), (&'static str, io::Error)> {
    let piece = usize::try_from(len).unwrap_or(PIECE).min(PIECE);
    let mut buffer = vec![0; piece];
    let mut position = 0;
    while position < len {
        let wanted = usize::try_from(len - position).unwrap_or(piece).min(piece);
        let bytes = &mut buffer[..wanted];
        let count = read_full_at(from, bytes, position).map_err(|error| ("read", error))?;
        if count < wanted {
            return Err(("read", io::ErrorKind::UnexpectedEof.into()));
        }
        write_all_at(to, bytes, position).map_err(|error| ("write", error))?;
        position += wanted as u64;
    }
    Ok(())
}

/// The other place is on another file system, or links are not to be had there, or no more of them, or not
/// by us.
fn is_no_place_for_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::{CrashPlan, Fault, Operation, SimDisk};

    fn disk() -> SimDisk {
        let disk = SimDisk::recording();
        disk.write("a/f", vec![7; PIECE + 5]).unwrap();
        disk.create_dir_all(Path::new("b")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk
    }

    #[test]
    fn what_cannot_be_linked_is_copied() {
        for kind in [
            io::ErrorKind::CrossesDevices,
            io::ErrorKind::TooManyLinks,
            io::ErrorKind::Unsupported,
            io::ErrorKind::PermissionDenied,
        ] {
            let disk = disk();
            disk.fail(Fault::error(Operation::Link, kind));
            let mut copier = Copier::new(&disk);
            let (from, to) = (Path::new("a/f"), Path::new("b/f"));
            copier.link_or_copy(from, to).unwrap();
            assert_eq!(disk.read(from), disk.read(to));
            let counts = copier.counts();
            assert_eq!((counts.files, counts.linked_bytes), (1, 0));
            assert_eq!(counts.copied_bytes, PIECE as u64 + 5);
        }
    }

    #[test]
    fn what_is_there_is_durable_when_names_are_synced() {
        let disk = disk();
        disk.write("a/g", "x").unwrap();
        disk.open(Path::new("a/g"), OpenMode::Write)
            .unwrap()
            .write_at(b"unsynced", 0)
            .unwrap();
        let mut copier = Copier::new(&disk);
        let at = |name: &str| Path::new("b").join(name);
        copier
            .link_or_copy(Path::new("a/g"), &at("linked"))
            .unwrap();
        copier
            .copy(Path::new("a/f"), &at("outcome"), Some(3))
            .unwrap();
        copier.write(&at("written"), b"w").unwrap();
        copier.sync_names(Path::new("b")).unwrap();
        for state in disk.crash_states(usize::MAX, CrashPlan::new(1)) {
            assert_eq!(state.disk.read(at("linked")).unwrap(), b"unsynced");
            assert_eq!(state.disk.read(at("outcome")).unwrap(), [7; 3]);
            assert_eq!(state.disk.read(at("written")).unwrap(), b"w");
        }
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let disk = disk();
        let mut copier = Copier::new(&disk);
        let len = Some(PIECE as u64 + 6);
        let outcome = copier.copy(Path::new("a/f"), Path::new("b/f"), len);
        assert!(matches!(outcome, Err(Error::Io { action: "read", .. })));
    }
}
