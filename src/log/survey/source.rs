//! Where the bytes of a segment come from.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{AppendFile, Disk, DiskFile, OpenMode, read_full_at};
use crate::error::{Error, Result};

/// The bytes of a segment. They are read, not mapped: who looks at everything once is to leave no trace
/// in what readers hold.
pub(in crate::log) trait Source {
    /// How many there are; none of them changes.
    fn len(&self) -> u64;

    /// Puts up to `len` bytes from `position` on in place of what `into` holds: fewer at the end, and not
    /// fewer than to the end of a batch that starts at `position`.
    fn read(&self, position: u64, len: usize, into: &mut Vec<u8>) -> Result<()>;
}

/// A file that nobody writes to.
#[derive(Debug)]
pub(in crate::log) struct FileSource<'a> {
    path: &'a Path,
    file: Arc<dyn DiskFile>,
    len: u64,
}

impl<'a> FileSource<'a> {
    pub(in crate::log) fn open(disk: &dyn Disk, path: &'a Path) -> Result<Self> {
        let file = disk
            .open(path, OpenMode::Read)
            .map_err(|error| Error::io("open", path, error))?;
        let len = file
            .len()
            .map_err(|error| Error::io("look at", path, error))?;
        Ok(Self { path, file, len })
    }
}

impl Source for FileSource<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, position: u64, len: usize, into: &mut Vec<u8>) -> Result<()> {
        into.resize(len, 0);
        let count = read_full_at(&*self.file, into, position)
            .map_err(|error| Error::io("read", self.path, error))?;
        into.truncate(count);
        Ok(())
    }
}

/// What is published of a segment in use; its last batches may be staged.
#[derive(Debug)]
pub(in crate::log) struct PublishedSource<'a> {
    file: &'a AppendFile,
    published: u64,
}

impl<'a> PublishedSource<'a> {
    pub(in crate::log) fn new(file: &'a AppendFile, published: u64) -> Self {
        Self { file, published }
    }
}

impl Source for PublishedSource<'_> {
    fn len(&self) -> u64 {
        self.published
    }

    fn read(&self, position: u64, len: usize, into: &mut Vec<u8>) -> Result<()> {
        let end = self.published.min(position.saturating_add(len as u64));
        // Once in the file, bytes stay there: where the stage begins only rises.
        let in_file = self.file.border().map_or(end, |border| border.min(end));
        if position < in_file {
            into.resize(usize::try_from(in_file - position).unwrap_or(0), 0);
            let count = self.file.read(into, position)?;
            into.truncate(count);
        } else {
            into.clear();
            into.extend_from_slice(&self.file.slice(position..end)?);
        }
        Ok(())
    }
}
