//! Giving space back: segments that lie wholly below the log's start are removed, from the front.
//!
//! The new start is on the device before (`delete_records` sees to that), and so is the name of the first
//! segment that stays. So a crash may leave any of the files: the next open knows that they are below the
//! start, shows nothing of them, and removes them. Files are renamed to
//! Kafka's `.deleted` first, under the writer's lock, and then unlinked without it: unlinking a large
//! file takes long, and by then the directory may be another topic's.
//!
//! Who holds records of a segment keeps its bytes. A reader that stands in it is below the start, and is
//! told so.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Log;
use super::names::{FileKind, deleted_name};
use crate::disk::{Disk, remove_if_present};
use crate::error::{Error, Result};
use crate::record::Offset;

impl Log {
    /// Removes the segments that lie wholly below the start; the active one stays. What fails is tried
    /// again by the next removal, or by an open after a crash, and nothing of it is shown meanwhile. While a
    /// checkpoint needs the files, they stay; it calls this when it does not any more.
    pub(crate) fn remove_below_start(&self) -> Result<()> {
        let _removal = self.removal.lock();
        let renamed = {
            let Some(_names) = self.open.names().try_change() else {
                return Ok(());
            };
            let mut writer = self.writer.lock();
            if writer.closed {
                return Ok(());
            }
            let segments = self.segments();
            let start = self.start_offset();
            let behind = segments.partition_point(|segment| segment.base() <= start);
            let (below, kept) = segments.split_at(behind.saturating_sub(1));
            let (Some(oldest), Some(first)) = (below.first(), kept.first()) else {
                return Ok(());
            };
            if writer.names_unsynced {
                // The segment that stays may be new: its name must not be lost together with the others.
                writer.sync_names(self)?;
            }
            // What an earlier removal left goes, too, but nothing that others may have left.
            let oldest = if self.adopted { oldest.base() } else { 0 };
            self.segments.store(Arc::new(kept.to_vec()));
            for segment in below {
                segment.file().let_go();
                segment.file().retire();
            }
            rename_files(self.disk(), self.dir(), oldest..first.base())?
        };
        for path in renamed {
            remove_if_present(self.disk(), &path)?;
        }
        Ok(())
    }
}

/// Renames what belongs to segments with these base offsets, so that it belongs to none; returns the new
/// names.
pub(super) fn rename_files(
    disk: &dyn Disk,
    dir: &Path,
    bases: Range<Offset>,
) -> Result<Vec<PathBuf>> {
    let entries = disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    let of_segments = entries.iter().filter(|entry| {
        FileKind::parse(&entry.name)
            // Stages are numbered otherwise.
            .is_some_and(|(base, kind)| kind != FileKind::Stage && bases.contains(&base))
    });
    of_segments
        .map(|entry| {
            let (from, to) = (dir.join(&entry.name), dir.join(deleted_name(&entry.name)));
            disk.rename(&from, &to)
                .map_err(|error| Error::io("rename", &from, error))?;
            Ok(to)
        })
        .collect()
}
