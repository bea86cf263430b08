//! The files of a cut: makes a directory that holds what the log was then, as an orderly close leaves it.
//!
//! Finished files are shared by a second name, for nobody writes to them any more. What still grows is
//! copied up to the cut, and its index, producers and epochs are written as of the cut. So the two
//! directories have nothing in common that either of them changes.
//!
//! It comes in two steps: the first gives everything a second name, the active segment's file too, and
//! needs the names that the log uses; the second does the rest, however long copying takes, and does not.

use std::path::PathBuf;

use super::cut::LogCut;
use super::durable_ends::DurablePoint;
use super::names::{FileKind, METADATA_FILE};
use super::writer::EPOCH_FILE;
use crate::disk::{Copier, with_suffix};
use crate::error::{Error, Result};
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::metadata::PartitionMetadata;
use crate::format::producer_snapshot;
use crate::format::topic_id::TopicId;
use crate::record::Offset;

/// What ends the second name of the active segment's file, until it is copied.
const GROWING: &str = ".growing";

/// A cut of which the first step is done.
#[derive(Debug)]
pub(crate) struct LinkedCut {
    cut: LogCut,
    dir: PathBuf,
    /// The second name of the file that grows, if it is still to be copied.
    growing: Option<PathBuf>,
}

/// What a file of the log is for a copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Never written to again.
    Finished,
    /// The active segment's batches.
    Growing,
    /// Small, and may be written to again.
    Beside,
    /// The copy needs it not, or gets its own.
    None,
}

impl LogCut {
    fn role(&self, base: Offset, kind: FileKind) -> Role {
        use FileKind as Kind;
        let active = self.end.segment_base;
        match kind {
            Kind::Stage | Kind::Waypoint => Role::None,
            _ if self.finished.binary_search(&base).is_ok() => Role::Finished,
            _ if base != active => Role::None,
            Kind::Log => Role::Growing,
            Kind::TransactionIndex => Role::Beside,
            // What is as of the cut is written anew.
            Kind::ProducerSnapshot if base < self.end.end_offset => Role::Beside,
            _ => Role::None,
        }
    }

    /// The first step: second names in `dir`, which is made. Meanwhile nobody may change the names of the
    /// log's files.
    pub(crate) fn link(self, copier: &mut Copier<'_>, dir: PathBuf) -> Result<LinkedCut> {
        copier.make_dir(&dir)?;
        let mut growing = None;
        let mut batches = 0;
        for name in copier.names(&self.dir)? {
            let Some((base, kind)) = FileKind::parse(&name) else {
                continue;
            };
            let (from, to) = (self.dir.join(&name), dir.join(&name));
            match self.role(base, kind) {
                Role::None => continue,
                Role::Finished => copier.link_or_copy(&from, &to)?,
                Role::Beside => copier.copy(&from, &to, None)?,
                Role::Growing => {
                    let second = with_suffix(&to, GROWING);
                    if copier.link(&from, &second)? {
                        growing = Some(second);
                    } else {
                        copier.copy(&from, &to, Some(self.end.position))?;
                    }
                }
            }
            batches += usize::from(kind == FileKind::Log);
        }
        if batches != self.finished.len() + 1 {
            return Err(Error::missing(&self.dir, "a segment's file is not there"));
        }
        Ok(LinkedCut {
            cut: self,
            dir,
            growing,
        })
    }
}

impl LinkedCut {
    pub(crate) fn cut(&self) -> &LogCut {
        &self.cut
    }

    /// The second step. Everything is on the device when this returns, but for the name of the
    /// directory. Returns the end that is to be noted for the log.
    pub(crate) fn finish(
        &self,
        copier: &mut Copier<'_>,
        topic_id: TopicId,
    ) -> Result<DurablePoint> {
        let (cut, dir) = (&self.cut, &self.dir);
        let active = |kind: FileKind| kind.path(dir, cut.end.segment_base);
        if let Some(growing) = &self.growing {
            copier.copy(growing, &active(FileKind::Log), Some(cut.end.position))?;
            copier.unlink(growing)?;
        }
        let (offsets, times) = cut.index.encode();
        copier.write(&active(FileKind::OffsetIndex), &offsets)?;
        copier.write(&active(FileKind::TimeIndex), &times)?;
        if cut.end.end_offset > 0 {
            let path = FileKind::ProducerSnapshot.path(dir, cut.end.end_offset);
            copier.write(&path, &producer_snapshot::encode(&cut.producers))?;
        }
        if !cut.epochs.is_empty() {
            let bytes = EpochCheckpoint::encode(&cut.epochs);
            copier.write(&dir.join(EPOCH_FILE), &bytes)?;
        }
        let metadata = PartitionMetadata { topic_id }.encode();
        copier.write(&dir.join(METADATA_FILE), &metadata)?;
        copier.sync_names(dir)?;
        Ok(DurablePoint {
            clean: Some(cut.index.digest()),
            ..cut.end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(finished: &[Offset], active: Offset, end_offset: Offset) -> LogCut {
        LogCut::of_segments(finished, active, end_offset)
    }

    #[test]
    fn only_files_that_are_never_written_again_are_shared() {
        let cut = cut(&[0, 10], 20, 25);
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::Seal] {
            assert_eq!(cut.role(10, kind), Role::Finished);
            assert_ne!(cut.role(20, kind), Role::Finished);
            assert_eq!(cut.role(30, kind), Role::None, "of a later segment");
        }
        assert_eq!(cut.role(20, FileKind::Log), Role::Growing);
        assert_eq!(cut.role(0, FileKind::Stage), Role::None, "numbered from 0");
        assert_eq!(cut.role(10, FileKind::Waypoint), Role::None);
    }

    #[test]
    fn the_snapshot_as_of_the_cut_is_never_an_older_one() {
        // A close would write to it in place.
        let empty = cut(&[0], 20, 20);
        assert_eq!(empty.role(20, FileKind::ProducerSnapshot), Role::None);
        let grown = cut(&[0], 20, 21);
        assert_eq!(grown.role(20, FileKind::ProducerSnapshot), Role::Beside);
    }
}
