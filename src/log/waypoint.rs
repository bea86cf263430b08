//! Waypoints: every few MiB it is written down what a walk of the active segment would have found so
//! far, so that opening after a kill walks what came later only ([`format`](crate::format::waypoint)
//! has the file).
//!
//! ```text
//!   sync ─▶ durable end ─▶ new index entries, then the waypoint        (never in an append; unsynced)
//! ```
//! The index files grow along, as Kafka's do; how many of their entries count, and the digest of these,
//! is in the waypoint. So nothing here has to be whole after a crash: what does not agree is not used,
//! and the segment is walked from its start.
//!
//! Lock order: the writer's before the one here. Whoever writes index files holds the latter.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::durable_ends::DurablePoint;
use super::names::FileKind;
use super::segment::Segment;
use super::writer::{Writer, first_frame};
use crate::disk::{Disk, OpenMode, TEMPORARY, with_suffix, write_all_at};
use crate::error::{Error, Result};
use crate::format::index_entry::{OffsetIndexEntry, TimeIndexEntry};
use crate::format::topic_id::TopicId;
use crate::format::waypoint::{self, IndexPrefix, KnownProducer, Waypoint};
use crate::record::Offset;

/// The default distance of waypoints, in bytes. Walking the headers of 16 MiB of one-record batches
/// takes 2 ms, and writing a waypoint a tenth of that: at 500 MB/s, 30 a second.
pub(crate) const WAYPOINT_INTERVAL: u64 = 16 << 20;

/// The waypoints of one log.
#[derive(Debug)]
pub(super) struct Waypoints {
    topic_id: TopicId,
    partition: u32,
    interval: u64,
    /// From this position of the active segment on, the next one is due.
    due_at: AtomicU64,
    files: Mutex<Files>,
}

/// What is in the index files of the active segment.
#[derive(Debug)]
pub(super) struct Files {
    /// Base offset of the active segment; `None` once the log is closed.
    base: Option<Offset>,
    /// Its waypoint is there, or something by that name.
    has_waypoint: bool,
    offsets: Stored,
    times: Stored,
}

/// The first entries of an index file.
#[derive(Debug, Default)]
struct Stored {
    count: usize,
    digest: crc32fast::Hasher,
}

/// A waypoint in the making: what there was to know before the sync that makes it true.
#[derive(Debug)]
pub(super) struct Draft {
    point: DurablePoint,
    batches: u64,
    largest: Option<TimeIndexEntry>,
    producers: Vec<KnownProducer>,
    /// Index entries so far, from these counts on.
    counts: (usize, usize),
    offsets: Vec<OffsetIndexEntry>,
    times: Vec<TimeIndexEntry>,
}

impl Waypoints {
    /// For a log whose last segment starts at `base`, with a waypoint or without.
    pub(super) fn new(
        topic_id: TopicId,
        partition: u32,
        interval: u64,
        base: Offset,
        has_waypoint: bool,
    ) -> Self {
        Self {
            topic_id,
            partition,
            interval,
            due_at: AtomicU64::new(interval),
            files: Mutex::new(Files {
                has_waypoint,
                ..Files::none(Some(base))
            }),
        }
    }

    /// Goes on behind a waypoint that was found.
    pub(super) fn resume(&self, found: &Waypoint) {
        self.due_at_or_after(found.position.into());
        let mut files = self.files.lock();
        files.offsets = Stored::of(found.offset_index);
        files.times = Stored::of(found.time_index);
    }

    fn due_at_or_after(&self, position: u64) {
        let due_at = position.saturating_add(self.interval);
        self.due_at.store(due_at, Ordering::Relaxed);
    }

    /// What a waypoint at the writer's position will need, if one is due. The writer's lock is held:
    /// it copies a few KiB, once every few MiB.
    pub(super) fn draft(&self, writer: &Writer) -> Option<Draft> {
        if writer.position < self.due_at.load(Ordering::Relaxed) {
            return None;
        }
        // Somebody writes one at this moment: that is good enough.
        let files = self.files.try_lock()?;
        let counts = (files.offsets.count, files.times.count);
        drop(files);
        let (offsets, times) = writer.active.update_index(|index| {
            let offsets = index.offsets.get(counts.0..).map(<[_]>::to_vec);
            (offsets, index.times.get(counts.1..).map(<[_]>::to_vec))
        });
        Some(Draft {
            point: writer.point(),
            batches: writer.batches,
            largest: writer.index.final_time_entry(),
            producers: writer.producers.to_waypoint(),
            counts,
            offsets: offsets?,
            times: times?,
        })
    }

    /// Writes a waypoint that has become true: `segment` was synced since it was drafted. Failures
    /// only cost the next open time.
    pub(super) fn write(&self, draft: &Draft, segment: &Segment, dir: &Path, disk: &dyn Disk) {
        let mut files = self.files.lock();
        let is_current = files.base == Some(draft.point.segment_base)
            && draft.counts == (files.offsets.count, files.times.count);
        if is_current {
            // One that failed is tried again some MiB later, not at the next sync.
            self.due_at_or_after(draft.point.position);
            files.has_waypoint = true;
            let _ = self.try_write(&mut files, draft, segment, dir, disk);
        }
    }

    fn try_write(
        &self,
        files: &mut Files,
        draft: &Draft,
        segment: &Segment,
        dir: &Path,
        disk: &dyn Disk,
    ) -> Result<()> {
        let base = draft.point.segment_base;
        let path = |kind: FileKind| kind.path(dir, base);
        let offsets = draft.offsets.iter().flat_map(|entry| entry.encode());
        let times = draft.times.iter().flat_map(|entry| entry.encode());
        let offset_index = (files.offsets).extend::<{ OffsetIndexEntry::LEN }>(
            disk,
            &path(FileKind::OffsetIndex),
            &offsets.collect::<Vec<_>>(),
        )?;
        let time_index = (files.times).extend::<{ TimeIndexEntry::LEN }>(
            disk,
            &path(FileKind::TimeIndex),
            &times.collect::<Vec<_>>(),
        )?;
        let waypoint = Waypoint {
            topic_id: self.topic_id,
            partition: self.partition,
            segment_base: base,
            position: u32::try_from(draft.point.position).unwrap_or(0),
            end_offset: draft.point.end_offset,
            digest: draft.point.digest,
            batches: draft.batches,
            first_frame: first_frame(segment.file())?,
            offset_index,
            time_index,
            largest: draft.largest,
            producers: draft.producers.clone(),
        };
        let bytes = waypoint::encode(&waypoint);
        put_in_place(disk, &path(FileKind::Waypoint), &bytes)
    }

    /// Keeps index files from being written here, while somebody else writes them anew. What is known
    /// of them is forgotten.
    pub(super) fn hold(&self) -> MutexGuard<'_, Files> {
        let mut files = self.files.lock();
        *files = Files {
            has_waypoint: files.has_waypoint,
            ..Files::none(files.base)
        };
        files
    }

    /// Goes on with a new segment, and removes what is of no use any more.
    pub(super) fn begin_segment(&self, base: Offset, dir: &Path, disk: &dyn Disk) {
        let mut files = self.files.lock();
        if let Some(former) = files.base {
            // One that stays behind is removed by the next open.
            let path = FileKind::Waypoint.path(dir, former);
            let _ = files.has_waypoint.then(|| disk.remove_file(&path));
            *files = Files::none(Some(base));
        }
        self.due_at_or_after(0);
    }

    /// Nothing is written here any more: the directory may soon be another's.
    pub(super) fn stop(&self) {
        *self.files.lock() = Files::none(None);
    }
}

impl Files {
    fn none(base: Option<Offset>) -> Self {
        Self {
            base,
            has_waypoint: false,
            offsets: Stored::default(),
            times: Stored::default(),
        }
    }
}

impl Stored {
    fn of(prefix: IndexPrefix) -> Self {
        Self {
            count: usize::try_from(prefix.entries).unwrap_or(usize::MAX),
            digest: crc32fast::Hasher::new_with_initial(prefix.digest),
        }
    }

    /// Adds entries of `LEN` bytes to the file. Not synced; what an earlier process left behind the
    /// entries that count is overwritten bit by bit.
    fn extend<const LEN: usize>(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        entries: &[u8],
    ) -> Result<IndexPrefix> {
        let file = disk
            .open(path, OpenMode::Create)
            .map_err(|error| Error::io("open", path, error))?;
        if !entries.is_empty() {
            write_all_at(&*file, entries, (self.count * LEN) as u64)
                .map_err(|error| Error::io("write", path, error))?;
        }
        self.count += entries.len() / LEN;
        self.digest.update(entries);
        Ok(IndexPrefix {
            entries: u32::try_from(self.count).unwrap_or(u32::MAX),
            digest: self.digest.clone().finalize(),
        })
    }
}

/// Replaces a file, at once for other processes and some time later on the device: a power loss may
/// leave anything, which its checksum tells.
fn put_in_place(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary: PathBuf = with_suffix(path, TEMPORARY);
    let file = disk
        .open(&temporary, OpenMode::Truncate)
        .map_err(|error| Error::io("create", &temporary, error))?;
    write_all_at(&*file, bytes, 0).map_err(|error| Error::io("write", &temporary, error))?;
    disk.rename(&temporary, path)
        .map_err(|error| Error::io("rename to", path, error))
}
