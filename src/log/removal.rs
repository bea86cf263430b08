//! Giving space back: segments that lie wholly below the log's start are removed, from the front.
//!
//! ```text
//!   new start on the device ─▶ raised ─▶ names synced ─▶ off the list ─▶ renamed ─▶ unlinked
//!                                                        (writer's lock)
//! ```
//! The new start is on the device before (whoever raises it sees to that), and so is the name of the first
//! segment that stays. So a crash may leave any of the files: the next open knows that they are below the
//! start, shows nothing of them, and removes them.
//!
//! Appends wait only while the list is exchanged. Files are renamed to Kafka's `.deleted` and unlinked
//! without the writer's lock, but under one of their own, which closing the log and deleting its topic
//! take too: the directory is this log's for as long as its files are being removed. A roll that comes
//! meanwhile makes files with higher bases.
//!
//! Who holds records of a segment keeps its bytes. A reader that stands in it is below the start, and is
//! told so.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Log;
use super::names::{FileKind, deleted_name, former_name};
use super::segment::Segment;
use crate::disk::{Disk, remove_if_present};
use crate::error::{Error, Result};
use crate::record::Offset;

/// What removals left to do. Its lock is held by whoever takes files of segments away; in the lock order
/// before the writer's.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Segments below this base are off the list, and some of their files may still be there.
    unfinished: Option<Range<Offset>>,
    /// Bytes that are free when they are gone.
    owed: u64,
}

impl Log {
    /// Removes the segments that lie wholly below the start; the active one stays. What fails is tried
    /// again by the next removal, or by an open after a crash, and nothing of it is shown meanwhile. While a
    /// checkpoint needs the files, they stay; it calls this when it does not any more.
    pub(crate) fn remove_below_start(&self) -> Result<()> {
        let mut removal = self.removal.lock();
        if self.writer.lock().closed {
            // The directory may be another topic's: what is unfinished stays so.
            return Ok(());
        }
        let Some(_names) = self.open.names().try_change() else {
            return Ok(());
        };
        if let Some(first) = self.first_kept()? {
            for segment in self.take_below(first) {
                // What an earlier removal left goes, too, but nothing that others may have left.
                let oldest = if self.adopted { segment.base() } else { 0 };
                let unfinished = removal.unfinished.get_or_insert(oldest..first);
                unfinished.end = first;
                removal.owed += segment.counted_bytes();
                segment.file().let_go();
                segment.file().retire();
            }
        }
        if let Some(bases) = removal.unfinished.clone() {
            for path in rename_files(self.disk(), self.dir(), bases)? {
                remove_if_present(self.disk(), &path)?;
            }
            removal.unfinished = None;
            self.space.give_back(std::mem::take(&mut removal.owed));
        }
        Ok(())
    }

    /// The base of the first segment that stays, with its name on the device; `None` if all of them do.
    fn first_kept(&self) -> Result<Option<Offset>> {
        let writer = self.writer.lock();
        let segments = self.segments();
        let start = self.start_offset();
        let behind = segments.partition_point(|segment| segment.base() <= start);
        let first = behind.checked_sub(1).filter(|below| *below > 0);
        let Some(first) = first.and_then(|first| segments.get(first)) else {
            return Ok(None);
        };
        let names_unsynced = writer.names_unsynced;
        drop(writer);
        if names_unsynced {
            // The segment that stays may be new: its name must not be lost together with the others.
            self.sync_names().map_err(|error| self.fail(&error))?;
        }
        Ok(Some(first.base()))
    }

    /// Takes the segments below `first` off the list.
    fn take_below(&self, first: Offset) -> Vec<Arc<Segment>> {
        let _writer = self.writer.lock();
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.base() < first);
        let (below, kept) = segments.split_at(behind);
        self.segments.store(Arc::new(kept.to_vec()));
        below.to_vec()
    }
}

/// Renames what belongs to segments with these base offsets, so that it belongs to none; returns the paths
/// to remove, with those that an earlier call left.
pub(super) fn rename_files(
    disk: &dyn Disk,
    dir: &Path,
    bases: Range<Offset>,
) -> Result<Vec<PathBuf>> {
    let entries = disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    let is_below = |name: &str| {
        FileKind::parse(name)
            // Stages are numbered otherwise.
            .is_some_and(|(base, kind)| kind != FileKind::Stage && bases.contains(&base))
    };
    let mut renamed = Vec::new();
    for entry in &entries {
        let from = dir.join(&entry.name);
        if former_name(&entry.name).is_some_and(is_below) {
            renamed.push(from);
        } else if is_below(&entry.name) {
            let to = dir.join(deleted_name(&entry.name));
            match disk.rename(&from, &to) {
                Ok(()) => renamed.push(to),
                // The longer name may need a page of the directory. Below the start, a file is as good as
                // gone under its own.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => renamed.push(from),
                Err(error) => return Err(Error::io("rename", &from, error)),
            }
        }
    }
    Ok(renamed)
}
