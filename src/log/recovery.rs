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

use super::Log;
use super::durable_ends::DurableEnds;
use super::epochs::Epochs;
use super::group_commit::GroupCommit;
use super::index::{IndexBuilder, SegmentIndex};
use super::names::FileKind;
use super::producer_state::ProducerState;
use super::segment::Segment;
use super::tail::{self, Floor, WalkPlan, Walked};
use super::writer::{EPOCH_FILE, Writer};
use crate::config::TopicConfig;
use crate::disk::{AppendFile, Disk, OpenMode, read_file, replace_file};
use crate::error::{Error, Result};
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::durable_end::Slot;
use crate::format::metadata::{PartitionMetadata, TopicId};
use crate::format::producer_snapshot;
use crate::format::seal::{self, FrameDigest, Seal};
use crate::record::{Offset, Timestamp, TopicPartition};

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
    files: Vec<(Offset, FileKind, u64)>,
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

/// The last segment, ready to grow.
struct LastSegment {
    segment: Arc<Segment>,
    position: u64,
    next_offset: Offset,
    index: IndexBuilder,
    digest: FrameDigest,
    batches: u64,
    first_timestamp: Option<Timestamp>,
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

    /// A lost or bad epoch file is made again from the batches, which is why it must not be guessed.
    fn load_epochs(&mut self) -> Result<()> {
        let path = self.request.dir.join(EPOCH_FILE);
        let stored = read_small(self.disk, &path)?;
        let decoded = stored
            .as_deref()
            .and_then(|bytes| EpochCheckpoint::decode(bytes).ok());
        if let Some(entries) = decoded {
            self.epochs = Epochs::new(entries);
            return Ok(());
        }
        let has_batches = self
            .files
            .iter()
            .any(|(_, kind, len)| *kind == FileKind::Log && *len > 0);
        if !has_batches && stored.is_none() {
            return Ok(());
        }
        for base in self.bases.clone() {
            let (file, len) = self.open_log_file(base)?;
            let mut found = Vec::new();
            let floor = Floor::default();
            tail::walk(
                &file,
                self.plan(base, len, floor),
                &mut Epochs::default(),
                |header| {
                    found.push((header.leader_epoch, header.base_offset));
                },
            )?;
            found.into_iter().for_each(|(epoch, offset)| {
                self.epochs.assign(epoch, offset);
            });
        }
        replace_file(
            self.disk,
            &path,
            &EpochCheckpoint::encode(self.epochs.entries()),
        )?;
        self.report.rebuilt.push(path);
        Ok(())
    }

    /// Takes the newest good snapshot; the batches behind it are added as segments are walked.
    fn load_producers(&mut self) -> Result<()> {
        let snapshots: Vec<_> = self
            .files
            .iter()
            .filter(|(_, kind, _)| *kind == FileKind::ProducerSnapshot)
            .map(|(offset, ..)| *offset)
            .collect();
        for &offset in snapshots.iter().rev() {
            let bytes = read_small(self.disk, &self.path(offset, FileKind::ProducerSnapshot))?
                .unwrap_or_default();
            if let Ok(entries) = producer_snapshot::decode(&bytes) {
                self.producers = ProducerState::from_snapshot(&entries);
                self.producers_until = offset;
                return Ok(());
            }
        }
        Ok(())
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

    fn open_sealed_segments(&mut self) -> Result<Vec<Arc<Segment>>> {
        let bases = self.bases.clone();
        if let Some(&first) = bases.first()
            && first > self.request.start.max(self.first_possible())
        {
            let file = self.path(self.request.start, FileKind::Log);
            self.damaged(&Error::MissingSegment {
                file,
                reason: format!("the log now begins at offset {first}"),
            });
        }
        let mut sealed = Vec::new();
        for pair in bases.windows(2) {
            sealed.push(self.open_sealed(pair[0], pair[1])?);
        }
        Ok(sealed)
    }

    /// A log that others may have cut at the front begins where it begins.
    fn first_possible(&self) -> Offset {
        if self.request.gaps {
            self.bases.first().copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Opens a segment that has a successor, which starts at `next_base`.
    fn open_sealed(&mut self, base: Offset, next_base: Offset) -> Result<Arc<Segment>> {
        let (file, len) = self.open_log_file(base)?;
        let seal_path = self.path(base, FileKind::Seal);
        let stored = match self.len_of(base, FileKind::Seal) {
            Some(_) => {
                read_small(self.disk, &seal_path)?.and_then(|bytes| seal::decode(&bytes).ok())
            }
            None => None,
        };
        let seal = stored.filter(|seal| seal.base_offset == base);
        let indexes_there = [FileKind::OffsetIndex, FileKind::TimeIndex]
            .iter()
            .all(|kind| self.len_of(base, *kind).is_some());
        let needs_producers = self.producers_until < next_base;
        let mut seal = match seal {
            Some(seal) if indexes_there && !needs_producers => seal,
            other => self.walk_sealed(base, &file, len, other)?,
        };
        self.check_sealed(&file, len, &mut seal, next_base);
        file.publish(seal.end_position);
        Ok(Arc::new(Segment::sealed(base, file, seal)))
    }

    /// Compares a seal with what is there. A segment that lost its end is missing that part; one that
    /// gained bytes is damaged behind what is known of it.
    fn check_sealed(&mut self, file: &AppendFile, len: u64, seal: &mut Seal, next_base: Offset) {
        if len < seal.end_position {
            let reason = format!("it is {len} bytes long and was {}", seal.end_position);
            self.damaged(&Error::MissingSegment {
                file: file.path().to_path_buf(),
                reason,
            });
            seal.end_position = len;
        } else if len > seal.end_position {
            self.damaged(&Error::corrupt(
                file.path(),
                seal.end_position,
                "there are bytes behind the end of the segment",
            ));
        }
        if seal.end_offset < next_base && !self.request.gaps {
            let file = self.path(seal.end_offset, FileKind::Log);
            let reason = format!("offsets {}..{next_base} were in it", seal.end_offset);
            self.damaged(&Error::MissingSegment { file, reason });
        }
    }

    /// Reads a sealed segment as a whole, to make its seal, indexes or producer state again.
    fn walk_sealed(
        &mut self,
        base: Offset,
        file: &AppendFile,
        len: u64,
        known: Option<Seal>,
    ) -> Result<Seal> {
        // All of it is durable: whatever is wrong is damage.
        let floor = Floor {
            position: 0,
            offset: Offset::MAX,
            offset_at_position: None,
        };
        let (producers, until) = (&mut self.producers, self.producers_until);
        let mut epochs = Epochs::default();
        let plan = WalkPlan {
            base,
            len,
            index_interval: self.request.config.index_interval_bytes,
            gaps: self.request.gaps,
            floor,
        };
        let walked = tail::walk(file, plan, &mut epochs, |header| {
            if header.base_offset >= until {
                producers.record(header);
            }
        })?;
        self.report.checked_bytes += walked.checked_bytes;
        if let Some(bad) = walked.damage {
            let position = bad.position + bad.invalid.at as u64;
            self.damaged(&Error::corrupt(file.path(), position, bad.invalid.reason));
            // What lies behind the damage is served as far as the seal, or the file, goes.
            return Ok(known.unwrap_or(Seal {
                base_offset: base,
                end_position: len,
                end_offset: self
                    .bases
                    .iter()
                    .copied()
                    .find(|next| *next > base)
                    .unwrap_or(walked.next_offset),
                max_timestamp: Timestamp::MAX,
                batches: walked.batches,
                frame_digest: walked.digest.value(),
            }));
        }
        let seal = Seal {
            base_offset: base,
            end_position: walked.position,
            end_offset: walked.next_offset,
            max_timestamp: walked.builder.largest_timestamp(),
            batches: walked.batches,
            frame_digest: walked.digest.value(),
        };
        match known {
            // A segment that lost whole batches at its end looks good by itself.
            Some(known) => self.store_index(base, &walked).map(|()| known),
            None => {
                self.store_index(base, &walked)?;
                let path = self.path(base, FileKind::Seal);
                replace_file(self.disk, &path, &seal::encode(&seal))?;
                self.report.rebuilt.push(path);
                Ok(seal)
            }
        }
    }

    fn store_index(&mut self, base: Offset, walked: &Walked) -> Result<()> {
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let mut index = walked.index.clone();
        walked
            .builder
            .final_time_entry()
            .into_iter()
            .for_each(|entry| index.push_time(entry));
        let len = self.len_of(base, FileKind::Log).unwrap_or(0);
        if SegmentIndex::load(self.disk, &offsets, &times, len)?.as_ref() != Some(&index) {
            index.store(self.disk, &offsets, &times)?;
            self.disk
                .sync_dir(&self.request.dir)
                .map_err(|error| Error::io("sync directory", &self.request.dir, error))?;
            self.report.rebuilt.extend([offsets, times]);
        }
        Ok(())
    }

    fn open_last_segment(&mut self) -> Result<LastSegment> {
        let durable_end = self
            .slot
            .map_or(0, |slot| slot.end_offset)
            .max(self.request.recovery_point);
        let Some(&base) = self.bases.last() else {
            return self.begin_anew(durable_end);
        };
        let last = match (self.request.clean, self.slot) {
            (true, Some(slot)) if slot.is_clean() && slot.segment_base == base => {
                self.open_clean(base, slot)?
            }
            _ => self.open_unclean(base, durable_end)?,
        };
        if let Some(slot) = self.slot.filter(|slot| slot.segment_base > base) {
            self.note_lost_successor(last.next_offset, slot);
        }
        Ok(last)
    }

    /// There is no segment: the log is new, or everything is gone.
    fn begin_anew(&mut self, durable_end: Offset) -> Result<LastSegment> {
        let base = durable_end.max(self.request.start);
        if durable_end > self.request.start {
            let file = self.path(self.request.start, FileKind::Log);
            let error = Error::MissingSegment {
                file,
                reason: format!("the log reached offset {durable_end}"),
            };
            self.damaged(&error);
            self.fatal_damage = Some(error);
        }
        self.new_segment(base)
    }

    fn new_segment(&mut self, base: Offset) -> Result<LastSegment> {
        let path = self.path(base, FileKind::Log);
        let file = self
            .disk
            .open(&path, OpenMode::Create)
            .map_err(|error| Error::io("create", &path, error))?;
        self.names_unsynced = true;
        Ok(LastSegment {
            segment: Arc::new(Segment::active(
                base,
                AppendFile::new(path, file),
                SegmentIndex::default(),
            )),
            position: 0,
            next_offset: base,
            index: IndexBuilder::new(self.request.config.index_interval_bytes),
            digest: FrameDigest::new(),
            batches: 0,
            first_timestamp: None,
        })
    }

    /// The segment that was active is gone. What is left ends before it; an append would hide the gap.
    fn note_lost_successor(&mut self, end: Offset, slot: Slot) {
        let file = self.path(slot.segment_base, FileKind::Log);
        let reason = format!(
            "the log reached offset {} and ends at {end}",
            slot.end_offset
        );
        let error = Error::MissingSegment { file, reason };
        self.damaged(&error);
        self.fatal_damage = Some(error);
    }

    /// After an orderly close the end is known, and nothing is scanned.
    fn open_clean(&mut self, base: Offset, slot: Slot) -> Result<LastSegment> {
        let (file, len) = self.open_log_file(base)?;
        if len != slot.position {
            return self.open_changed(base, file, len, slot);
        }
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let loaded = SegmentIndex::load(self.disk, &offsets, &times, len)?;
        let producers_known = self.producers_until >= slot.end_offset;
        let Some(index) =
            loaded.filter(|index| producers_known && (len == 0 || !index.times.is_empty()))
        else {
            // A missing index or snapshot: frames are enough to make them again.
            let floor = Floor {
                position: len,
                offset: slot.end_offset,
                offset_at_position: Some(slot.end_offset),
            };
            let last = self.walk_last(base, file, len, floor)?;
            if len > 0 {
                self.report.rebuilt.extend([offsets, times]);
            }
            return Ok(last);
        };
        let builder = IndexBuilder::resume(self.request.config.index_interval_bytes, &index, len);
        file.publish(len);
        let segment = Arc::new(Segment::active(base, file, index));
        let first_timestamp = segment.first_timestamp();
        Ok(LastSegment {
            segment,
            position: len,
            next_offset: slot.end_offset,
            index: builder,
            digest: FrameDigest::resume(slot.digest),
            // Counted again only when the segment is walked; the seal's count is for people.
            batches: 0,
            first_timestamp,
        })
    }

    /// The file changed after an orderly close: somebody else did that, so all of it is kept.
    fn open_changed(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        slot: Slot,
    ) -> Result<LastSegment> {
        let error = if len < slot.position {
            let reason = format!("it is {len} bytes long and was {}", slot.position);
            Error::MissingSegment {
                file: file.path().to_path_buf(),
                reason,
            }
        } else {
            Error::corrupt(
                file.path(),
                slot.position,
                "there are bytes behind the end of the log",
            )
        };
        self.damaged(&error);
        self.fatal_damage = Some(error);
        let len = len.min(slot.position);
        let floor = Floor {
            position: len,
            offset: slot.end_offset,
            offset_at_position: None,
        };
        self.walk_last(base, file, len, floor)
    }

    /// After a crash: walk the last segment, cut a torn tail, write what is left again, sync.
    fn open_unclean(&mut self, base: Offset, durable_end: Offset) -> Result<LastSegment> {
        let (file, len) = self.open_log_file(base)?;
        let floor = match self.slot {
            Some(slot) if slot.segment_base == base => Floor {
                position: slot.position,
                offset: durable_end,
                offset_at_position: Some(slot.end_offset),
            },
            _ => Floor {
                position: 0,
                offset: durable_end,
                offset_at_position: None,
            },
        };
        self.walk_last(base, file, len, floor)
    }

    fn walk_last(
        &mut self,
        base: Offset,
        file: AppendFile,
        len: u64,
        floor: Floor,
    ) -> Result<LastSegment> {
        let (producers, until) = (&mut self.producers, self.producers_until);
        let plan = WalkPlan {
            base,
            len,
            index_interval: self.request.config.index_interval_bytes,
            gaps: self.request.gaps,
            floor,
        };
        let walked = tail::walk(&file, plan, &mut self.epochs, |header| {
            if header.base_offset >= until {
                producers.record(header);
            }
        })?;
        self.report.checked_bytes += walked.checked_bytes;
        if let Some(bad) = walked.damage {
            let error = Error::corrupt(
                file.path(),
                bad.position + bad.invalid.at as u64,
                bad.invalid.reason,
            );
            self.damaged(&error);
            self.fatal_damage.get_or_insert(error);
        }
        if walked.torn.is_some() && self.fatal_damage.is_none() {
            self.report.set_aside = tail::cut(self.disk, &file, &walked, len)?;
            self.report.truncated_bytes = len - walked.position;
        }
        if walked.position > floor.position || walked.torn.is_some() {
            tail::rewrite(&file, floor.position.min(walked.position), walked.position)?;
            file.sync()?;
        }
        file.publish(walked.position);
        Ok(LastSegment {
            segment: Arc::new(Segment::active(base, file, walked.index)),
            position: walked.position,
            next_offset: walked.next_offset,
            index: walked.builder,
            digest: walked.digest,
            batches: walked.batches,
            first_timestamp: walked.first_timestamp,
        })
    }

    fn into_log(
        mut self,
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
            changed: !request.clean || !self.report.rebuilt.is_empty(),
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

/// The files of a partition's directory; it is made if it is missing, with Kafka's metadata file.
fn list_files(
    disk: &dyn Disk,
    request: &OpenRequest<'_>,
) -> Result<(Vec<(Offset, FileKind, u64)>, bool)> {
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
        crate::disk::write_all_at(&*file, &bytes, 0)
            .map_err(|error| Error::io("write", &metadata, error))?;
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
