//! A cut: what a log is at one moment, as plain values, while it goes on growing.
//!
//! Whoever holds the writers of several logs at once cuts all of them at the same moment. A cut changes
//! nothing of the log, and takes no longer than copying the index of the active segment. What it speaks
//! of stays as it is: bytes below the end of a log are never written again.
//!
//! Elsewhere: the files of a cut ([`cut_files`](super::cut_files)), all logs of a broker
//! (`broker::checkpoint`).

use std::path::PathBuf;

use parking_lot::MutexGuard;

use super::Log;
use super::durable_ends::DurablePoint;
use super::index::SegmentIndex;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::format::checkpoint::EpochEntry;
use crate::format::producer_snapshot::ProducerEntry;
use crate::record::{Offset, TopicPartition};

/// A log to which nothing is appended while this lives.
#[derive(Debug)]
pub(crate) struct HeldLog<'a> {
    log: &'a Log,
    writer: MutexGuard<'a, Writer>,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct LogCut {
    pub(super) id: TopicPartition,
    pub(super) dir: PathBuf,
    /// First readable offset.
    pub(super) start: Offset,
    /// Everything before was compacted.
    pub(super) first_dirty: Offset,
    /// Base offsets of the finished segments, in order.
    pub(super) finished: Vec<Offset>,
    /// Where the active segment, and with it the log, ends.
    pub(super) end: DurablePoint,
    /// The active segment's, as a close would store it.
    pub(super) index: SegmentIndex,
    pub(super) producers: Vec<ProducerEntry>,
    pub(super) epochs: Vec<EpochEntry>,
    names_unsynced: bool,
}

impl Log {
    /// Leaves little to do for a cut that comes soon: what is staged goes to the file, and the names of new
    /// files to the device.
    pub(crate) fn prepare_cut(&self) -> Result<()> {
        self.settle_again()?;
        let mut writer = self.writer.lock();
        check(self, &writer)?;
        writer.flush_stage(self)?;
        drop(writer);
        self.sync_new_names()
    }

    /// Makes the names of new files durable.
    pub(crate) fn sync_new_names(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        check(self, &writer)?;
        if writer.names_unsynced {
            writer.sync_names(self)?;
        }
        Ok(())
    }

    /// True while somebody writes, or has all appends wait.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.writer.is_locked()
    }

    /// Has all appends wait.
    pub(crate) fn hold(&self) -> HeldLog<'_> {
        HeldLog {
            log: self,
            writer: self.writer.lock(),
        }
    }
}

impl HeldLog<'_> {
    /// What the log is now. Its file holds all of it.
    ///
    /// # Errors
    /// If the log is closed or stopped, or refuses appends because of damage; if there is no space for what
    /// was staged.
    pub(crate) fn cut(&mut self) -> Result<LogCut> {
        let (log, writer) = (self.log, &mut *self.writer);
        check(log, writer)?;
        log.check_settled()?;
        writer.flush_stage(log)?;
        let segments = log.segments();
        let finished = segments.iter().map(|segment| segment.base());
        Ok(LogCut {
            id: log.id().clone(),
            dir: log.dir().to_path_buf(),
            start: log.start_offset(),
            first_dirty: log.first_dirty_offset(),
            finished: finished
                .filter(|base| *base < writer.active.base())
                .collect(),
            end: writer.point(),
            index: writer.complete_index(),
            producers: writer.producers.to_snapshot(),
            epochs: writer.epochs.entries().to_vec(),
            names_unsynced: writer.names_unsynced,
        })
    }
}

fn check(log: &Log, writer: &Writer) -> Result<()> {
    if writer.closed {
        return Err(Error::Closed("partition"));
    }
    log.check_writable()
}

impl LogCut {
    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    pub(crate) fn first_dirty(&self) -> Offset {
        self.first_dirty
    }

    pub(crate) fn end_offset(&self) -> Offset {
        self.end.end_offset
    }

    /// True if a power loss could still take the active segment's file. Then the one before it would grow
    /// again, and whoever has a link to it would see that: [`Log::prepare_cut`] comes before links.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.names_unsynced
    }
}

#[cfg(test)]
impl LogCut {
    /// Of a log that consists of these segments, and of nothing else.
    pub(super) fn of_segments(finished: &[Offset], active: Offset, end_offset: Offset) -> Self {
        Self {
            id: TopicPartition::new("t", 0),
            dir: PathBuf::from("t-0"),
            start: 0,
            first_dirty: 0,
            finished: finished.to_vec(),
            end: DurablePoint {
                end_offset,
                ..DurablePoint::start_of(active)
            },
            index: SegmentIndex::default(),
            producers: Vec::new(),
            epochs: Vec::new(),
            names_unsynced: false,
        }
    }
}
