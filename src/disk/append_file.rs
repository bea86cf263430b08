//! A file that only grows and is read in place while it does: what a segment's `.log` is.
//!
//! ```text
//!   0 ........ published .............. written
//!   shown to readers     being written
//! ```
//! Readers take slices below `published` without a lock; the writer writes at or above it, and may
//! cut the file there again. So bytes that were shown never change, which is what
//! [`map`](super::map) asks for.
//!
//! Small writes may gather in a [`Stage`](super::Stage) first: then readers find the bytes from where
//! that starts in it, and only those before in the file. A slice never crosses that border.
#![allow(
    unsafe_code,
    reason = "slices of a map are sound because of the published end kept here"
)]

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::map::Map;
use super::{DiskFile, Staging, read_full_at, write_all_at};
use crate::error::{Error, Result};

/// Maps reach this far beyond the published end at least, and double: a growing file is mapped
/// again a few dozen times in its life, not once an append.
const SMALLEST_MAP: usize = 64 << 10;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// End of what readers may see. Written by the appender alone, after the bytes are in the file
    /// (Release); readers load it first (Acquire).
    published: AtomicU64,
    map: ArcSwapOption<Map>,
    /// Where the last published bytes are, while they are not to be looked for in the file. Set by the
    /// appender, before it publishes them; taken back once they are in the file.
    staging: ArcSwapOption<Staging>,
}

impl AppendFile {
    /// Wraps an open file of which nothing is published yet.
    pub(crate) fn new(path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        Self {
            path,
            file,
            published: AtomicU64::new(0),
            map: ArcSwapOption::empty(),
            staging: ArcSwapOption::empty(),
        }
    }

    /// The same file, with nothing published. What was shown so far must not be written again.
    pub(crate) fn unpublished(self) -> Self {
        Self {
            published: AtomicU64::new(0),
            ..self
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the file, published or not.
    pub(crate) fn len(&self) -> Result<u64> {
        self.file
            .len()
            .map_err(|error| self.error("look at", error))
    }

    /// End of what readers may see.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Has readers look in a stage for the bytes from its start on; or for all in the file again.
    pub(super) fn show_stage(&self, staging: Option<Arc<Staging>>) {
        self.staging.store(staging);
    }

    /// Position up to which readers look in the file.
    fn shown_from_file(&self, published: u64) -> u64 {
        self.staging
            .load()
            .as_ref()
            .map_or(published, |staging| published.min(staging.start()))
    }

    /// The place where slices end because the bytes behind it are in a stage: a batch starts there.
    pub(crate) fn border(&self) -> Option<u64> {
        self.staging.load().as_ref().map(|staging| staging.start())
    }

    /// Writes bytes that readers see in the stage so far.
    pub(super) fn write_staged(&self, bytes: &[u8], position: u64) -> Result<()> {
        assert!(
            position >= self.shown_from_file(self.published()),
            "bytes that are shown from the file are never written again"
        );
        write_all_at(&*self.file, bytes, position).map_err(|error| self.error("write", error))
    }

    /// Writes at `position`, which is at or above the published end.
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> Result<()> {
        assert!(
            position >= self.published(),
            "published bytes are never written again"
        );
        write_all_at(&*self.file, bytes, position).map_err(|error| self.error("write", error))
    }

    /// Shows readers the bytes below `end`, which have been written.
    pub(crate) fn publish(&self, end: u64) {
        // A sync that began before a roll may end after it: the later end stands.
        self.published.fetch_max(end, Ordering::Release);
    }

    /// The same for the appender, whose `end` is the highest of all.
    #[inline]
    pub(crate) fn publish_next(&self, end: u64) {
        debug_assert!(end >= self.published(), "the published end only rises");
        self.published.store(end, Ordering::Release);
    }

    /// Cuts the file at `len`, which is at or above the published end.
    pub(crate) fn truncate(&self, len: u64) -> Result<()> {
        assert!(len >= self.published(), "published bytes are never cut");
        self.file
            .set_len(len)
            .map_err(|error| self.error("truncate", error))
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|error| self.error("sync", error))
    }

    /// Gives up the descriptor until the next [`Self::wake`]. Call it when all is synced: closing a file
    /// with unsynced bytes can lose the news that they were not written.
    pub(crate) fn let_go(&self) {
        self.file.let_go();
    }

    /// Opens a file again that was let go and is going to be written to.
    pub(crate) fn wake(&self) -> Result<()> {
        self.file.wake().map_err(|error| self.error("open", error))
    }

    /// Forgets the map; what was borrowed stays as it is.
    pub(crate) fn unmap(&self) {
        self.map.store(None);
    }

    /// The file's name may soon be another's: nothing is opened by it any more.
    pub(crate) fn retire(&self) {
        self.file.retire();
    }

    /// Reads published or unpublished bytes by a system call; returns how many there were.
    pub(crate) fn read(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        read_full_at(&*self.file, buffer, position).map_err(|error| self.error("read", error))
    }

    /// Borrows published bytes in place: from `position` on, up to `end` at most. Fewer if the
    /// [border](Self::border) lies between.
    ///
    /// # Panics
    /// If the range is not below the published end.
    pub(crate) fn slice(&self, range: Range<u64>) -> Result<MappedBytes> {
        // First: whatever the stage is afterwards, it or the file has all that was published by now.
        let published = self.published();
        assert!(
            range.start <= range.end && range.end <= published,
            "only published bytes are shown"
        );
        let len = |end: u64| usize::try_from(end - range.start).unwrap_or(usize::MAX);
        let staging = self.staging.load();
        let (in_file, end) = match &*staging {
            Some(staging) if staging.start() <= range.start => {
                let (map, start) = staging.at(range.start);
                return Ok(MappedBytes {
                    map: Arc::clone(map),
                    start,
                    end: start + len(range.end),
                });
            }
            Some(staging) => (
                published.min(staging.start()),
                range.end.min(staging.start()),
            ),
            None => (published, range.end),
        };
        let map = self.map_reaching(in_file)?;
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        Ok(MappedBytes {
            map,
            start,
            end: start + len(end),
        })
    }

    fn map_reaching(&self, end: u64) -> Result<Arc<Map>> {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        if let Some(map) = self.map.load_full()
            && map.capacity() >= end
        {
            return Ok(map);
        }
        // Two readers may map at once; the later map wins, and both are good.
        let capacity = end
            .max(SMALLEST_MAP)
            .checked_next_power_of_two()
            .unwrap_or(end);
        let map = Arc::new(
            self.file
                .map(capacity)
                .map_err(|error| self.error("map", error))?,
        );
        self.map.store(Some(Arc::clone(&map)));
        Ok(map)
    }

    fn error(&self, action: &'static str, source: io::Error) -> Error {
        Error::io(action, &self.path, source)
    }
}

/// Bytes of a mapped file. They stay valid and unchanged while this lives, whatever happens to the
/// file: it is unlinked, never shortened, while someone looks.
#[derive(Clone)]
pub(crate) struct MappedBytes {
    map: Arc<Map>,
    start: usize,
    end: usize,
}

impl MappedBytes {
    /// Keeps the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Takes in the `len` bytes that lie right behind these, which are those from `at` on of `shown`;
    /// false, and nothing has changed, if they do not, or are not of the same map.
    #[inline]
    pub(crate) fn extend(&mut self, shown: &Self, at: usize, len: usize) -> bool {
        let (Some(start), Some(end)) = (shown.start.checked_add(at), self.end.checked_add(len))
        else {
            return false;
        };
        let follows = start == self.end && end <= shown.end && Arc::ptr_eq(&self.map, &shown.map);
        if follows {
            self.end = end;
        }
        follows
    }
}

impl Deref for MappedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `AppendFile::slice` is the only maker, for a range below the published end: those
        // bytes are written. Of a file, `AppendFile` never writes or cuts them again; a stage's map is
        // not stored into again while this holds it. Other brokers are kept out by the directory
        // lock; a later one in this process that recovers the file writes the very same bytes again,
        // or none.
        unsafe { self.map.bytes(self.start..self.end) }
    }
}

impl fmt::Debug for MappedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedBytes({}..{})", self.start, self.end)
    }
}
