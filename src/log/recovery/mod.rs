//! Opens a partition's log, after an orderly close or after a crash.
//!
//! After a clean close nothing is scanned: the durable end says where the log ends. Otherwise the last
//! segment is walked, its bytes above the durable end are checked, and a torn tail is cut. Sealed
//! segments were synced before their successor existed; what is wrong with them is damage, which is
//! kept, reported, and met again by whoever reads there. Opening again finds the same.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::config::TopicConfig;
use crate::disk::{AppendFile, Disk, OpenMode, read_file, write_all_at};
use crate::error::{Error, Result};
use crate::format::durable_end::Slot;
use crate::format::metadata::{PartitionMetadata, TopicId};
use crate::log::Log;
use crate::log::durable_ends::DurableEnds;
use crate::log::epochs::Epochs;
use crate::log::group_commit::GroupCommit;
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::segment::Segment;
use crate::log::tail::{Floor, WalkPlan};
use crate::log::writer::Writer;
use crate::record::{Offset, Timestamp, TopicPartition};

use self::last::LastSegment;

mod last;
mod sealed;
mod state;

/// What opening one partition's log takes.
#[derive(Debug)]
pub(crate) struct OpenRequest<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) id: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) config: &'a TopicConfig,
    pub(crate) ends: &'a Arc<DurableEnds>,
    /// The broker was closed in order the last time.
    pub(crate) clean: bool,
    /// Offsets may have gaps.
    pub(crate) gaps: bool,
    /// The log start offset that was written down; 0 if none.
    pub(crate) start: Offset,
    /// The recovery point that was written down: everything below is durable.
    pub(crate) recovery_point: Offset,
    /// Wall clock.
    pub(crate) now: Timestamp,
}

/// What opening one partition's log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionRecovery {
    /// Bytes whose checksums were verified.
    pub checked_bytes: u64,
    /// Bytes of a torn tail that were cut off: they were never acknowledged as durable.
    pub truncated_bytes: u64,
    /// Where the cut-off bytes were kept, because they held whole batches. Look at them with the
    /// `dump_log` example before deleting the file.
    pub set_aside: Option<PathBuf>,
    /// Files that were missing or wrong and were made again from the log.
    pub rebuilt: Vec<PathBuf>,
    /// Damage, one line each. Nothing of it was deleted.
    pub damage: Vec<String>,
}

impl PartitionRecovery {
    /// True if there was nothing to cut, to rebuild or to report.
    pub fn is_clean(&self) -> bool {
        self.truncated_bytes == 0
            && self.set_aside.is_none()
            && self.rebuilt.is_empty()
            && self.damage.is_empty()
    }
}

/// Opens a log, making its directory if it is new.
pub(crate) fn open(request: &OpenRequest<'_>) -> Result<(Log, PartitionRecovery)> {
    let mut recovery = Recovery::new(request)?;
    let sealed = recovery.open_sealed_segments()?;
    let last = recovery.open_last_segment()?;
    let log = recovery.into_log(sealed, last)?;
    Ok(log)
}

struct Recovery<'a> {
    request: &'a OpenRequest<'a>,
    disk: &'a dyn Disk,
    /// Files of segments, by base offset and kind, with their lengths.
    files: Vec<SegmentFile>,
    /// Base offsets of the segments that are there.
    bases: Vec<Offset>,
    slot: Option<Slot>,
    epochs: Epochs,
    producers: ProducerState,
    /// Producer state is known up to here.
    producers_until: Offset,
    /// Makes appends be refused.
    fatal_damage: Option<Error>,
    report: PartitionRecovery,
    names_unsynced: bool,
}

impl<'a> Recovery<'a> {
    fn new(request: &'a OpenRequest<'a>) -> Result<Self> {
        let disk = &**request.disk;
        let (files, names_unsynced) = list_files(disk, request)?;
        let bases: Vec<_> = files
            .iter()
            .filter(|(_, kind, _)| *kind == FileKind::Log)
            .map(|(base, ..)| *base)
            .collect();
        let slot = request.ends.find(request.topic_id, request.id.partition());
        let mut recovery = Self {
            request,
            disk,
            files,
            bases,
            slot,
            epochs: Epochs::default(),
            producers: ProducerState::default(),
            producers_until: 0,
            fatal_damage: None,
            report: PartitionRecovery::default(),
            names_unsynced,
        };
        recovery.load_epochs()?;
        recovery.load_producers()?;
        Ok(recovery)
    }

    fn len_of(&self, base: Offset, kind: FileKind) -> Option<u64> {
        self.files
            .iter()
            .find(|(b, k, _)| (*b, *k) == (base, kind))
            .map(|(.., len)| *len)
    }

    fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        kind.path(&self.request.dir, base)
    }

    fn open_log_file(&self, base: Offset) -> Result<(AppendFile, u64)> {
        let path = self.path(base, FileKind::Log);
        let file = self
            .disk
            .open(&path, OpenMode::Write)
            .map_err(|error| Error::io("open", &path, error))?;
        let file = AppendFile::new(path, file);
        let len = file.len()?;
        Ok((file, len))
    }

    fn plan(&self, base: Offset, len: u64, floor: Floor) -> WalkPlan {
        WalkPlan {
            base,
            len,
            index_interval: self.request.config.index_interval_bytes,
            gaps: self.request.gaps,
            floor,
        }
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
        let leader_epoch = match self.epochs.latest() {
            Some(latest) if request.clean => latest.max(0),
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
        let writer = Writer {
            active: last.segment,
            position: last.position,
            next_offset: end,
            index: last.index,
            index_full,
            digest: last.digest,
            batches: last.batches,
            first_timestamp: last.first_timestamp,
            active_since: request.now,
            leader_epoch,
            epochs: self.epochs.clone(),
            producers: self.producers,
            // What an earlier process created may have never become durable.
            names_unsynced: self.names_unsynced || !request.clean,
            changed: !request.clean || self.names_unsynced || !self.report.rebuilt.is_empty(),
        };
        let log = Log {
            id: request.id.clone(),
            dir: request.dir.clone(),
            disk: Arc::clone(request.disk),
            segments: ArcSwap::from_pointee(segments),
            start: AtomicU64::new(start.min(end)),
            readable_end: AtomicU64::new(end),
            end: AtomicU64::new(end),
            gaps: request.gaps,
            epochs: ArcSwap::from_pointee(self.epochs),
            commit: GroupCommit::default(),
            durable_slot: request
                .ends
                .claim(request.topic_id, request.id.partition())?,
            failure: OnceLock::new(),
            damage: self.fatal_damage.map(OnceLock::from).unwrap_or_default(),
            writer: Mutex::new(writer),
        };
        if log.damage().is_none() {
            let point = log.writer.lock().point(false);
            log.note_durable(point);
        } else {
            log.commit.advance(end);
        }
        Ok((log, self.report))
    }
}

/// Base offset, kind and length of a file.
type SegmentFile = (Offset, FileKind, u64);

/// The files of a partition's directory; it is made if it is missing, with Kafka's metadata file.
fn list_files(disk: &dyn Disk, request: &OpenRequest<'_>) -> Result<(Vec<SegmentFile>, bool)> {
    let dir = &request.dir;
    disk.create_dir_all(dir)
        .map_err(|error| Error::io("create directory", dir, error))?;
    let entries = disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    let metadata = dir.join("partition.metadata");
    let known = entries
        .iter()
        .any(|entry| entry.name == "partition.metadata" && entry.len > 0);
    if !known {
        let bytes = PartitionMetadata {
            topic_id: request.topic_id,
        }
        .encode();
        let file = disk
            .open(&metadata, OpenMode::Truncate)
            .map_err(|error| Error::io("create", &metadata, error))?;
        write_all_at(&*file, &bytes, 0).map_err(|error| Error::io("write", &metadata, error))?;
    }
    let files = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| {
            FileKind::parse(&entry.name).map(|(base, kind)| (base, kind, entry.len))
        })
        .collect();
    Ok((files, !known))
}

/// Reads a file that cannot be large; one that is counts as bad, which is empty here.
fn read_small(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    /// Producer snapshots are the largest: 46 bytes a producer.
    const LARGEST: usize = 64 << 20;
    match read_file(disk, path, LARGEST) {
        Err(Error::Corrupt { .. }) => Ok(Some(Vec::new())),
        other => other,
    }
}
