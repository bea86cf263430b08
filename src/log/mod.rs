//! The log of one partition: segments in order; append, sync, read, look up.
//!
//! ```text
//!   append ─▶ Writer ─▶ active Segment          (one at a time, under the writer's mutex)
//!   fetch  ◀─ segment list ◀─ mapped bytes      (no lock: a published end and an immutable list)
//!   sync   ─▶ file, then the durable end        (one at a time, shared by all who wait)
//! ```
//!
//! Four ends, in order: start ≤ durable end ≤ log end, and the readable end somewhere between the
//! last two (equal to the durable end on a topic with `durability=synced`). All only rise.
//!
//! Elsewhere: who waits and who is woken ([`partition`](crate::partition)), which topics there are
//! ([`broker`](crate::broker)), what bytes mean ([`format`](crate::format)).

pub(crate) mod compaction;
mod cut;
mod cut_files;
mod damage;
mod description;
pub(crate) mod durable_ends;
mod epochs;
mod failure;
mod fetch;
mod group_commit;
mod index;
mod lookup;
mod name_guard;
pub(crate) mod names;
pub(crate) mod open_segments;
mod producer_state;
pub(crate) mod recovery;
mod removal;
pub(crate) mod retention;
mod roll;
pub(crate) mod salvage;
mod scan;
mod segment;
pub(crate) mod space;
mod staging;
mod survey;
mod tail;
pub(crate) mod verify;
pub(crate) mod waypoint;
mod writer;
pub(crate) mod zero_ahead;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use self::compaction::Compaction;
pub(crate) use self::cut::{HeldLog, LogCut};
pub(crate) use self::cut_files::LinkedCut;
pub(crate) use self::durable_ends::Next;
use self::durable_ends::{DurableEnd, DurablePoint};
use self::epochs::Epochs;
use self::failure::{Failure, Readable};
pub(crate) use self::fetch::{Cursor, FetchedBatch, Peeked};
pub(crate) use self::group_commit::GroupCommit;
use self::open_segments::OpenSegments;
use self::removal::Removal;
use self::segment::Segment;
use self::space::{DiskSpace, Purpose};
use self::waypoint::Waypoints;
pub(crate) use self::writer::AppendContext;
use self::writer::Writer;
use crate::config::Durability;
use crate::disk::{AppendFile, Disk, OpenMode};
use crate::error::{Error, Result};
use crate::record::{Offset, Timestamp, TopicPartition};

/// What an append answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of the batch's first record; record `i` has `base_offset + i`.
    pub(crate) base_offset: Offset,
    /// One past the offset of the batch's last record.
    pub(crate) end_offset: Offset,
    /// The time of the append, if the topic stamps records with it; else the records keep theirs.
    pub(crate) log_append_time: Option<Timestamp>,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Log {
    id: TopicPartition,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    open: Arc<OpenSegments>,
    space: Arc<DiskSpace>,
    /// What appends count as.
    purpose: Purpose,
    /// In order of their base offsets, the active one last. Replaced as a whole by the writer; readers
    /// hold the list they loaded.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// First offset that is readable. Written under the writer's mutex.
    start: AtomicU64,
    /// What readers may see ends here. Written after the bytes were published (Release).
    readable_end: AtomicU64,
    /// Next offset to be written. Written under the writer's mutex; for looking at without it.
    end: AtomicU64,
    /// Rises with each swap of segments for compacted ones.
    swaps: AtomicU64,
    /// Others wrote the log, and may have left gaps in its offsets.
    adopted: bool,
    /// For readers; the writer's own copy is in `writer`.
    epochs: ArcSwap<Epochs>,
    commit: GroupCommit,
    durable_slot: Arc<DurableEnd>,
    waypoints: Waypoints,
    compaction: Compaction,
    /// Held while files of segments are renamed and removed. Lock order: before the writer's.
    removal: Mutex<Removal>,
    /// Set once, when a write or sync failed: nothing is written any more.
    failure: OnceLock<Failure>,
    /// The active segment is nearly full.
    roll_near: AtomicBool,
    /// Damage that makes further appends unsafe, found when opening or reading.
    damage: OnceLock<Error>,
    /// The log is known to have reached this offset before it was opened.
    former_end: Offset,
    /// Lock order: after the coordinator's, the guard of names and the registry's. Several at once are held
    /// by a checkpoint alone ([`cut`]). Held during no I/O that readers need.
    writer: Mutex<Writer>,
}

impl Log {
    pub(crate) fn id(&self) -> &TopicPartition {
        &self.id
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    pub(crate) fn start_offset(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    /// What readers may see ends here. After a failed sync that is what is on the device: of the rest
    /// nobody knows whether it will ever be.
    pub(crate) fn readable_end(&self) -> Offset {
        let end = self.readable_end.load(Ordering::Acquire);
        match self.failure.get() {
            Some(failure) if failure.readable == Readable::Durable => end.min(self.durable_end()),
            _ => end,
        }
    }

    pub(crate) fn end_offset(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn durable_end(&self) -> Offset {
        self.commit.durable_end()
    }

    /// True if there is something that a sync would make durable.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.end_offset() > self.durable_end()
    }

    pub(crate) fn commit(&self) -> &GroupCommit {
        &self.commit
    }

    /// Bytes in the segments' files, up to what readers may see.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments
            .load()
            .iter()
            .map(|segment| segment.file().published())
            .sum()
    }

    /// Where records of `epoch` end, for telling a position from a suffix that was lost.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Offset {
        self.epochs.load().end_of(epoch, self.end_offset())
    }

    /// Appends one batch, as the builder left it: checks it, sets its offsets and epoch in place,
    /// writes it. Readers may see it when this returns, unless they see only durable records.
    ///
    /// On an error nothing was appended, unless the error is indefinite.
    pub(crate) fn append(&self, batch: &mut [u8], context: AppendContext<'_>) -> Result<Appended> {
        let mut writer = self.writer.lock();
        let appended = writer.append(self, batch, context)?;
        self.end.store(writer.next_offset, Ordering::Release);
        if context.config.durability < Durability::Synced {
            writer.active.file().publish_next(writer.position);
            self.readable_end
                .store(writer.next_offset, Ordering::Release);
        }
        if writer.is_roll_near(context.config) {
            self.roll_near.store(true, Ordering::Relaxed);
        }
        Ok(appended)
    }

    /// Others wrote the log.
    pub(crate) fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Makes everything appended so far durable; returns up to which offset that is. Run through
    /// [`GroupCommit::wait`], so that one sync serves all. `next` says what will come after it.
    pub(crate) fn sync(&self, next: Next) -> Result<Offset> {
        self.check_failure()?;
        let (segment, flushed, point, names_unsynced, files, waypoint) = {
            let mut writer = self.writer.lock();
            if writer.closed {
                return Err(Error::Closed("partition"));
            }
            // If there is no space for what is staged, what is in the file can be synced all the same.
            let flushed = writer.flush_stage(self);
            let is_flushed = flushed.is_ok();
            (
                Arc::clone(&writer.active),
                flushed,
                writer.flushed,
                writer.names_unsynced,
                std::mem::take(&mut writer.unsynced_files),
                self.waypoints.draft(&writer).filter(|_| is_flushed),
            )
        };
        self.sync_files(&files);
        if point.end_offset <= self.durable_end() {
            return flushed.map(|()| self.durable_end());
        }
        self.sync_file(segment.file())?;
        if names_unsynced {
            self.writer.lock().sync_names(self)?;
        }
        segment.file().publish(point.position);
        self.note_durable(point, next);
        if !files.is_empty() {
            // Once a roll. A bound that stays behind is still a bound: recovery looks at more than it
            // would have to.
            let _ = self.durable_slot.sync();
        }
        if let Some(draft) = waypoint {
            self.waypoints
                .write(&draft, &segment, &self.dir, self.disk());
        }
        if self.open.files().is_over() {
            self.writer.lock().let_go_if_idle(self);
        }
        flushed.map(|()| point.end_offset)
    }

    /// Syncs what was written beside the log. It is made again if a crash takes it, so a failure is none.
    fn sync_files(&self, files: &[PathBuf]) {
        for path in files {
            let _ = self
                .disk
                .open(path, OpenMode::Read)
                .and_then(|file| file.sync());
        }
    }

    /// True if [`Self::roll_early`] would roll.
    #[inline]
    pub(crate) fn is_roll_near(&self) -> bool {
        self.roll_near.load(Ordering::Relaxed)
    }

    /// After a sync that came by itself: rolls a segment that is nearly full, so that no append has to.
    pub(crate) fn roll_early(&self, context: AppendContext<'_>) -> Result<()> {
        let mut writer = self.writer.lock();
        self.roll_near.store(false, Ordering::Relaxed);
        if writer.closed || self.check_writable().is_err() || !writer.is_roll_near(context.config) {
            return Ok(());
        }
        writer.roll(self, context, self.purpose)
    }

    /// After a sync that came by itself: gives back what a log at rest does not need.
    pub(crate) fn rest(&self) {
        let files = {
            let mut writer = self.writer.lock();
            if writer.closed {
                return;
            }
            writer.rest(self);
            if writer.let_go_if_idle(self) {
                std::mem::take(&mut writer.unsynced_files)
            } else {
                Vec::new()
            }
        };
        self.sync_files(&files);
    }

    /// Makes what was written to a segment durable. If that fails, the log stops.
    fn sync_file(&self, file: &AppendFile) -> Result<()> {
        let synced = self.durable_slot.begin_sync().and_then(|note| {
            file.sync()?;
            note.succeeded();
            Ok(())
        });
        synced.map_err(|error| self.fail(&error))
    }

    /// Everything up to `point` is on the device, and published in its file.
    fn note_durable(&self, point: DurablePoint, next: Next) {
        // Before anybody is told: what was acknowledged as durable is known to be, after a kill, too.
        // Not being able to write the bound down costs recovery time, not data.
        let _ = self.durable_slot.advance(point, next);
        self.readable_end
            .fetch_max(point.end_offset, Ordering::AcqRel);
        self.commit.advance(point.end_offset);
    }

    fn durable_slot(&self) -> &DurableEnd {
        &self.durable_slot
    }

    fn sync_names(&self) -> Result<()> {
        let parent = self.dir.parent().unwrap_or(Path::new("."));
        for dir in [self.dir.as_path(), parent] {
            self.disk
                .sync_dir(dir)
                .map_err(|error| Error::io("sync directory", dir, error))?;
        }
        Ok(())
    }

    fn add_segment(&self, segment: Arc<Segment>) {
        let mut segments = Vec::clone(&self.segments.load());
        segments.push(segment);
        self.segments.store(Arc::new(segments));
    }

    fn show_epochs(&self, epochs: &Epochs) {
        self.epochs.store(Arc::new(epochs.clone()));
    }

    fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }

    /// Moves the start forward; returns whether it moved. The caller has written the new start down.
    pub(crate) fn raise_start(&self, start: Offset) -> bool {
        self.start.fetch_max(start, Ordering::AcqRel) < start
    }

    /// Syncs, and leaves the files as a clean open wants them. Nothing is written afterwards.
    pub(crate) fn close(&self) -> Result<()> {
        // What fails goes with the next open.
        let _ = self.remove_below_start();
        let _removal = self.removal.lock();
        let sync = || self.sync(Next::Appends);
        let synced = self.commit.wait(self.end_offset(), sync);
        let mut writer = self.writer.lock();
        if writer.closed {
            return Ok(());
        }
        let closed = synced.and_then(|()| {
            self.check_failure()?;
            if self.damage().is_some() {
                // Without a clean end, the next open looks again and says the same.
                return Ok(());
            }
            // What an append brought that came between.
            writer.flush_stage(self)?;
            let was_longer = writer.cut_ahead(self)?;
            if was_longer || writer.next_offset > self.durable_end() {
                self.sync_file(writer.active.file())?;
            }
            writer.close(self)
        });
        writer.closed = true;
        self.waypoints.stop();
        self.retire_files();
        self.durable_slot.retire();
        closed
    }

    /// The largest id among the producers that wrote to this log; -1 if there is none.
    pub(crate) fn largest_producer_id(&self) -> i64 {
        let entries = self.writer.lock().producers.to_snapshot();
        entries
            .iter()
            .map(|entry| entry.producer_id)
            .max()
            .unwrap_or(-1)
    }

    /// Gives back what the log holds outside of its directory.
    pub(crate) fn release(&self) -> Result<()> {
        let _removal = self.removal.lock();
        // An append or a removal that began earlier is over with this, and none comes later: the directory
        // may soon be that of another topic of the same name.
        self.writer.lock().closed = true;
        self.waypoints.stop();
        self.retire_files();
        self.durable_slot.release()
    }

    /// Opens nothing by name any more.
    fn retire_files(&self) {
        for segment in self.segments.load().iter() {
            segment.file().retire();
        }
    }
}
