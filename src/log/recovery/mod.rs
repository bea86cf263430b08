//! Opens a partition's log, after an orderly close or after a crash.
//!
//! After a clean close nothing is scanned: the durable end says where the log ends. Otherwise the last
//! segment is walked, from its waypoint if it has one: up to the durable end by its frames, behind it
//! with every checksum, and a torn tail is cut. So that depends on what was written last, not on the
//! size of the log. Sealed segments were synced before their successor existed; what is wrong with them is damage, which is
//! kept, reported, and met again by whoever reads there. Opening again finds the same.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::disk::handles::NamedFile;
use crate::disk::{AppendFile, Disk, DiskFile, OpenMode, remove_if_present};
use crate::error::{Error, Result};
use crate::format::durable_end::Slot;
use crate::format::waypoint::Waypoint;
use crate::log::Log;
use crate::log::compaction::Compaction;
use crate::log::durable_ends::{DurableEnd, DurablePoint, Next};
use crate::log::epochs::Epochs;
use crate::log::group_commit::GroupCommit;
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::removal::rename_files;
use crate::log::roll::Jitter;
use crate::log::segment::Segment;
use crate::log::staging::Staged;
use crate::log::tail::{self, Floor, WalkPlan, Walked};
use crate::log::waypoint::Waypoints;
use crate::log::writer::Writer;
use crate::log::zero_ahead::ZeroAhead;
use crate::record::Offset;

use self::files::{LogFile, SegmentFile, list_files, read_small};
use self::last::LastSegment;
pub(crate) use self::request::OpenRequest;
pub use self::request::PartitionRecovery;

mod files;
mod last;
mod offline;
mod request;
mod resume;
mod sealed;
mod staged;
mod state;

/// Opens a log, making its directory if it is new.
pub(crate) fn open(request: &OpenRequest<'_>) -> Result<(Log, PartitionRecovery)> {
    let partition = request.id.partition();
    let durable_slot = Arc::new(request.ends.claim(request.topic_id, partition)?);
    match Recovery::run(request, &durable_slot) {
        // The others work: who uses this one is told.
        Err(error) if request.is_known && is_of_partition(&error) => {
            Ok(offline::open(request, durable_slot, error))
        }
        other => other,
    }
}

/// Leaves out segments that lie wholly below the start: they were deleted, and a crash or a failure may have
/// kept any of them. Their files go now, unless others may have had a reason to keep them; what cannot be
/// removed is only in the way.
fn drop_below(request: &OpenRequest<'_>, files: &[SegmentFile], bases: &mut Vec<Offset>) {
    let behind = bases.partition_point(|base| *base <= request.start);
    bases.drain(..behind.saturating_sub(1));
    let Some(&first) = bases.first() else {
        return;
    };
    let is_below = |&(base, kind)| base < first && kind != FileKind::Stage;
    // Where the first segment is missing, what is left of it stays.
    if request.adopted || first > request.start || !files.iter().any(is_below) {
        return;
    }
    let disk = &**request.disk;
    // The name of the segment that stays may be new: it must not be lost together with the others.
    if disk.sync_dir(&request.dir).is_err() {
        return;
    }
    for path in rename_files(disk, &request.dir, 0..first).unwrap_or_default() {
        let _ = remove_if_present(disk, &path);
    }
}

/// True for what is wrong with one partition's files; a full disk, say, is everybody's trouble.
fn is_of_partition(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. } | Error::MissingSegment { .. } | Error::Io { .. }
    )
}

struct Recovery<'a> {
    request: &'a OpenRequest<'a>,
    disk: &'a dyn Disk,
    /// Files of segments, by base offset and kind.
    files: Vec<SegmentFile>,
    /// Base offsets of the segments that are there.
    bases: Vec<Offset>,
    /// Their files, as they were found.
    logs: Vec<LogFile>,
    /// The last one's, which is going to grow.
    last_log: Option<Arc<dyn DiskFile>>,
    durable_slot: &'a Arc<DurableEnd>,
    /// What was noted of the log last.
    slot: Option<Slot>,
    /// The last segment's, after a crash.
    waypoint: Option<Waypoint>,
    /// The walk started there.
    resumed: bool,
    /// The log is known to have reached this offset, all of it on the device.
    former_end: Offset,
    epochs: Epochs,
    producers: ProducerState,
    /// Producer state is known up to here.
    producers_until: Offset,
    /// Makes appends be refused.
    fatal_damage: Option<Error>,
    report: PartitionRecovery,
    names_unsynced: bool,
    /// Parts of a stage, to be removed when what they hold is on the device.
    stage_parts: Vec<PathBuf>,
}

impl<'a> Recovery<'a> {
    fn run(
        request: &'a OpenRequest<'a>,
        durable_slot: &'a Arc<DurableEnd>,
    ) -> Result<(Log, PartitionRecovery)> {
        let mut recovery = Self::new(request, durable_slot)?;
        let sealed = recovery.open_sealed_segments()?;
        recovery.take_over_stage()?;
        let before = sealed.last().and_then(|segment| segment.seal());
        let last = recovery.open_last_segment(before.map(|seal| seal.end_offset))?;
        recovery.into_log(sealed, last)
    }

    fn new(request: &'a OpenRequest<'a>, durable_slot: &'a Arc<DurableEnd>) -> Result<Self> {
        let disk = &**request.disk;
        let slot = request.ends.find(request.topic_id, request.id.partition());
        let former_end = slot.map_or(request.recovery_point, |slot| slot.end_offset);
        let mut report = PartitionRecovery::default();
        let (files, names_unsynced) = list_files(disk, request, former_end, &mut report)?;
        let mut bases: Vec<_> = files
            .iter()
            .filter(|(_, kind)| *kind == FileKind::Log)
            .map(|(base, _)| *base)
            .collect();
        drop_below(request, &files, &mut bases);
        let mut recovery = Self {
            request,
            disk,
            files,
            bases,
            logs: Vec::new(),
            last_log: None,
            durable_slot,
            slot,
            waypoint: None,
            resumed: false,
            epochs: Epochs::default(),
            producers: ProducerState::default(),
            producers_until: 0,
            fatal_damage: None,
            former_end,
            report,
            names_unsynced,
            stage_parts: Vec::new(),
        };
        recovery.look_at_logs()?;
        recovery.load_waypoint();
        recovery.list_stage();
        recovery.load_epochs()?;
        recovery.load_producers();
        Ok(recovery)
    }

    /// This log was closed in order the last time.
    fn is_clean(&self) -> bool {
        self.request.clean && self.slot.is_none_or(|slot| slot.is_clean())
    }

    /// Opens each segment's file once, for what is asked of all of them.
    fn look_at_logs(&mut self) -> Result<()> {
        for &base in &self.bases {
            let path = self.path(base, FileKind::Log);
            let is_last = self.bases.last() == Some(&base);
            let mode = if is_last {
                OpenMode::Write
            } else {
                OpenMode::Read
            };
            let file = self
                .disk
                .open(&path, mode)
                .map_err(|error| Error::io("open", &path, error))?;
            self.logs.push(LogFile::look_at(base, &path, &*file)?);
            if is_last {
                self.last_log = Some(Arc::new(self.held(path, file)));
            }
        }
        Ok(())
    }

    fn held(&self, path: PathBuf, file: Arc<dyn DiskFile>) -> NamedFile {
        let disk = Arc::clone(self.request.disk);
        NamedFile::held(disk, path, file, self.request.open.files())
    }

    fn shared(&self, segment: Segment) -> Arc<Segment> {
        let segment = segment.of_adopted(self.request.adopted);
        segment.shared(self.request.open)
    }

    fn has(&self, base: Offset, kind: FileKind) -> bool {
        // In order of their names, and so of their bases.
        let first = self.files.partition_point(|(other, _)| *other < base);
        let mut of_base = self.files[first..].iter().take_while(|it| it.0 == base);
        of_base.any(|it| it.1 == kind)
    }

    fn log(&self, base: Offset) -> Option<&LogFile> {
        let found = self.logs.binary_search_by_key(&base, |log| log.base);
        found.ok().map(|at| &self.logs[at])
    }

    fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        kind.path(&self.request.dir, base)
    }

    fn open_log_file(&self, base: Offset) -> Result<AppendFile> {
        let path = self.path(base, FileKind::Log);
        if let Some(file) = &self.last_log
            && self.bases.last() == Some(&base)
        {
            return Ok(AppendFile::new(path, Arc::clone(file)));
        }
        let file = self
            .disk
            .open(&path, OpenMode::Write)
            .map_err(|error| Error::io("open", &path, error))?;
        let file = self.held(path.clone(), file);
        Ok(AppendFile::new(path, Arc::new(file)))
    }

    /// The file of a finished segment, not opened before somebody reads it.
    fn finished_log_file(&self, base: Offset) -> (AppendFile, u64) {
        let path = self.path(base, FileKind::Log);
        let len = self.log(base).map_or(0, |log| log.len);
        let file = NamedFile::by_name(Arc::clone(self.request.disk), path.clone());
        (AppendFile::new(path, Arc::new(file)), len)
    }

    /// Walks a segment whose offsets end at `end`, on from what is known, and learns of its producers
    /// and epochs.
    fn walk(
        &mut self,
        segment: &Segment,
        plan: WalkPlan,
        known: Walked,
        end: Offset,
    ) -> Result<Walked> {
        let disk = self.disk;
        let (producers, until) = (&mut self.producers, self.producers_until);
        let walked = tail::walk(
            segment.file(),
            plan,
            known,
            &mut self.epochs,
            |header| {
                if header.base_offset >= until {
                    producers.record(header);
                }
            },
            |place| segment.examine(disk, place, end),
        )?;
        self.report.checked_bytes += walked.checked_bytes;
        Ok(walked)
    }

    fn plan(&self, base: Offset, len: u64, floor: Floor) -> WalkPlan {
        WalkPlan {
            base,
            len,
            index_interval: self.request.config.index_interval_bytes,
            gaps: self.request.adopted,
            floor,
            epochs_known: true,
        }
    }

    /// A bound is noted only when the names of the files are durable, too.
    fn names_are_known(&self, base: Offset) -> bool {
        self.slot
            .is_some_and(|slot| slot.segment_base == base && slot.position > 0)
    }

    fn damaged(&mut self, error: &Error) {
        self.report.damage.push(error.to_string());
    }

    fn into_log(
        self,
        mut segments: Vec<Arc<Segment>>,
        last: LastSegment,
    ) -> Result<(Log, PartitionRecovery)> {
        let request = self.request;
        let end = last.next_offset;
        // An epoch whose batches are gone stays in the file, so that its number is not used again.
        let is_clean = self.is_clean();
        let leader_epoch = match self.epochs.latest() {
            Some(latest) if is_clean => latest.max(0),
            Some(latest) => latest.saturating_add(1).max(0),
            None => 0,
        };
        segments.push(Arc::clone(&last.segment));
        let index_full = last
            .segment
            .update_index(|index| index.is_full(request.config.segment_index_bytes));
        let first = segments.first().map_or(0, |segment| segment.base());
        let start = if self.report.damage.is_empty() {
            request.start.max(first)
        } else {
            request.start
        };
        let base = last.segment.base();
        let names_unsynced = self.names_unsynced || !(is_clean || self.names_are_known(base));
        let waypoints = Waypoints::new(
            request.topic_id,
            request.id.partition(),
            request.waypoint_interval,
            base,
            self.has(base, FileKind::Waypoint),
        );
        if let Some(waypoint) = self.waypoint.as_ref().filter(|_| self.resumed) {
            waypoints.resume(waypoint);
        }
        let mut writer = Writer {
            flushed: DurablePoint::start_of(base),
            staged: Staged::new(request.topic_id, self.stage_parts),
            active: last.segment,
            position: last.position,
            next_offset: end,
            index: last.index,
            index_full,
            digest: last.digest,
            batches: last.batches,
            first_timestamp: last.first_timestamp,
            active_since: request.now,
            jitter: Jitter::of(request.topic_id, request.id.partition()),
            leader_epoch,
            epochs: self.epochs.clone(),
            producers: self.producers,
            // What an earlier process created may have never become durable.
            names_unsynced,
            changed: !is_clean || self.names_unsynced || !self.report.rebuilt.is_empty(),
            unsynced_files: Vec::new(),
            uncut: false,
            ahead: ZeroAhead::up_to(last.zeros_up_to),
            asleep: false,
            closed: false,
        };
        writer.flushed = writer.point();
        let log = Log {
            id: request.id.clone(),
            dir: request.dir.clone(),
            disk: Arc::clone(request.disk),
            open: Arc::clone(request.open),
            space: Arc::clone(request.space),
            purpose: request.purpose,
            segments: ArcSwap::from_pointee(segments),
            start: AtomicU64::new(start.min(end)),
            readable_end: AtomicU64::new(end),
            end: AtomicU64::new(end),
            swaps: AtomicU64::new(0),
            compaction: Compaction::default(),
            removal: Mutex::default(),
            adopted: request.adopted,
            epochs: ArcSwap::from_pointee(self.epochs),
            commit: GroupCommit::default(),
            durable_slot: Arc::clone(self.durable_slot),
            waypoints,
            failure: OnceLock::new(),
            roll_near: AtomicBool::new(false),
            damage: self.fatal_damage.map(OnceLock::from).unwrap_or_default(),
            former_end: self.former_end,
            writer: Mutex::new(writer),
        };
        log.count_found()?;
        if log.damage().is_none() {
            let mut writer = log.writer.lock();
            if writer.names_unsynced && writer.next_offset > log.start_offset() {
                // A bound is for files whose names are durable, too.
                log.sync_names()?;
                writer.names_unsynced = false;
            }
            log.note_durable(last.durable.unwrap_or(writer.point()), Next::Appends);
            writer.let_go_if_idle(&log);
            drop(writer);
        } else {
            log.commit.advance(end);
        }
        Ok((log, self.report))
    }
}
