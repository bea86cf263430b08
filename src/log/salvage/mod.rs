//! Makes a log anew out of what is good of a damaged one.
//!
//! Every batch that is good stays, with its offset; what is lost becomes a gap, which the seal of the new
//! segment says. The old files are only read. The new ones are in a directory of their own, complete and
//! durable when this returns; putting it in place is for the caller.
//!
//! The new log has a segment for each old one that something is left of, and an empty one at its end. So
//! whatever is lost at the end is a gap of a finished segment, and offsets are not used again.
//!
//! Elsewhere: what is good ([`survey`](super::survey)), writing it ([`rebuild`]), which partitions, and the
//! commit point (`broker::salvage`).

mod rebuild;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::rebuild::Rebuild;
use super::epochs::Epochs;
use super::index::SegmentIndex;
use super::names::FileKind;
use super::producer_state::ProducerState;
use super::survey::{Facts, FileSource, Found, FoundBatch, Source, Survey, check_batch};
use super::writer::EPOCH_FILE;
use crate::disk::{Disk, read_file};
use crate::error::{Error, Result};
use crate::format::batch::{
    BatchHeader, HEADER_LEN, UNPROTECTED_LEN, batch_size, set_base_offset, set_leader_epoch,
};
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::metadata::TopicId;
use crate::format::producer_snapshot;
use crate::format::seal::{self, FrameDigest, SEAL_LEN, Seal};
use crate::record::{Offset, Timestamp};

/// Side files are small; snapshots are the largest.
const LARGEST_SIDE_FILE: usize = 64 << 20;

/// What salvaging a partition takes.
#[derive(Debug)]
pub(crate) struct SalvageRequest<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The damaged log.
    pub(crate) dir: PathBuf,
    pub(crate) topic_id: TopicId,
    /// The log's start, as it was written down.
    pub(crate) start: Offset,
    /// The log is known to have reached this offset.
    pub(crate) known_end: Offset,
    /// Others wrote the log, and may have left gaps.
    pub(crate) adopted: bool,
    /// Segments of which no seal tells may have gaps.
    pub(crate) compacted: bool,
    pub(crate) index_interval: u32,
    /// Wall clock.
    pub(crate) now: Timestamp,
}

/// Records that are lost, or bytes that held none that could be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The file that they were in.
    pub file: PathBuf,
    /// Which bytes of it; empty if the bytes themselves are missing.
    pub bytes: Range<u64>,
    /// Offsets that are gone. Empty if none is known to be: then there were only stray bytes.
    pub offsets: Range<Offset>,
    /// What is wrong.
    pub reason: String,
}

/// What is left of a log, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) lost: Vec<Lost>,
    /// Where it goes on.
    pub(crate) end: Offset,
}

/// Looks what is good of a log, and writes that to `into`, if there is one. `progress` is told how many
/// more bytes were read, now and then.
pub(crate) fn salvage(
    request: &SalvageRequest<'_>,
    into: Option<&Path>,
    progress: &mut dyn FnMut(u64),
) -> Result<Salvaged> {
    let old = OldLog::list(request)?;
    let rebuild = into.map(|dir| Rebuild::new(request, dir, old.first_base()));
    let mut salvage = Salvage {
        request,
        rebuild: rebuild.transpose()?,
        producers: old.producers()?,
        batches_of: Epochs::default(),
        unknown_epoch: false,
        salvaged: Salvaged::default(),
        expected: if request.adopted {
            old.first_base()
        } else {
            request.start
        },
    };
    for (at, &base) in old.bases.iter().enumerate() {
        let next = old.bases.get(at + 1).copied();
        salvage.segment(&old, base, next, progress)?;
    }
    salvage.finish(&old)
}

/// What there is of the damaged log, beside its batches.
struct OldLog<'a> {
    request: &'a SalvageRequest<'a>,
    /// Of the segments that are not below the start.
    bases: Vec<Offset>,
    snapshots: Vec<Offset>,
    /// Empty if they cannot be read.
    epochs: Epochs,
}

impl<'a> OldLog<'a> {
    fn list(request: &'a SalvageRequest<'a>) -> Result<Self> {
        let entries = match request.disk.list(&request.dir) {
            Err(error) if is_no_directory(error.kind()) => Vec::new(),
            entries => entries.map_err(|error| Error::io("list", &request.dir, error))?,
        };
        let files = entries.iter().filter(|entry| !entry.is_dir);
        let files: Vec<_> = files
            .filter_map(|entry| FileKind::parse(&entry.name))
            .collect();
        let of_kind = |wanted| {
            let files = files.iter().filter(move |(_, kind)| *kind == wanted);
            files.map(|(base, _)| *base).collect::<Vec<_>>()
        };
        let mut bases = of_kind(FileKind::Log);
        let behind = bases.partition_point(|base| *base <= request.start);
        bases.drain(..behind.saturating_sub(1));
        let path = request.dir.join(EPOCH_FILE);
        let stored = side_file(request.disk, &path)?;
        let epochs = stored.and_then(|bytes| EpochCheckpoint::decode(&bytes).ok());
        Ok(Self {
            request,
            bases,
            snapshots: of_kind(FileKind::ProducerSnapshot),
            epochs: epochs.map(Epochs::new).unwrap_or_default(),
        })
    }

    /// Where the new log begins, be there a record or not.
    fn first_base(&self) -> Offset {
        let first = self.bases.first().copied();
        if self.request.adopted {
            first.unwrap_or(self.request.start)
        } else {
            first.unwrap_or(Offset::MAX).min(self.request.start)
        }
    }

    fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        kind.path(&self.request.dir, base)
    }

    fn seal(&self, base: Offset) -> Result<Option<Seal>> {
        let path = self.path(base, FileKind::Seal);
        let bytes = match read_file(self.request.disk, &path, SEAL_LEN) {
            Err(Error::Corrupt { .. }) => None,
            bytes => bytes?,
        };
        let seal = bytes.and_then(|bytes| seal::decode(&bytes).ok());
        Ok(seal.filter(|seal| seal.base_offset == base))
    }

    fn index(&self, base: Offset, len: u64) -> Result<SegmentIndex> {
        let (offsets, times) = (
            self.path(base, FileKind::OffsetIndex),
            self.path(base, FileKind::TimeIndex),
        );
        let stored = SegmentIndex::load(self.request.disk, &offsets, &times, len)?;
        Ok(stored.unwrap_or_default())
    }

    /// From the newest good snapshot, and the offset up to which that goes.
    fn producers(&self) -> Result<(ProducerState, Offset)> {
        for &offset in self.snapshots.iter().rev() {
            let path = self.path(offset, FileKind::ProducerSnapshot);
            let bytes = side_file(self.request.disk, &path)?.unwrap_or_default();
            if let Ok(entries) = producer_snapshot::decode(&bytes) {
                return Ok((ProducerState::from_snapshot(&entries), offset));
            }
        }
        Ok((ProducerState::default(), 0))
    }
}

fn is_no_directory(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `None` for one that is not there, or cannot be what it should.
fn side_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    match read_file(disk, path, LARGEST_SIDE_FILE) {
        Err(Error::Corrupt { .. }) => Ok(None),
        other => other,
    }
}

/// A salvage under way.
struct Salvage<'a> {
    request: &'a SalvageRequest<'a>,
    rebuild: Option<Rebuild<'a>>,
    producers: (ProducerState, Offset),
    /// What the batches say of epochs.
    batches_of: Epochs,
    /// A batch is of an epoch that was not written down.
    unknown_epoch: bool,
    salvaged: Salvaged,
    /// Where offsets should go on.
    expected: Offset,
}

impl Salvage<'_> {
    /// The segment at `base`, whose offsets end at `next` at the latest.
    fn segment(
        &mut self,
        old: &OldLog<'_>,
        base: Offset,
        next: Option<Offset>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let path = old.path(base, FileKind::Log);
        if base > self.expected {
            let missing = old.path(self.expected, FileKind::Log);
            self.lost(&missing, 0..0, self.expected..base, "the file is not there");
        }
        let seal = old.seal(base)?;
        let sealed_end = seal.map(|seal| seal.end_offset);
        let end = match (sealed_end, next) {
            (Some(sealed), Some(next)) if sealed <= next => Some(sealed),
            (sealed, next) => next.or(sealed),
        };
        // The last segment is never compacted.
        let may_have_gaps = self.request.compacted && next.is_some();
        let gaps = seal.map_or(may_have_gaps, |seal| seal.gaps) || self.request.adopted;
        let source = FileSource::open(self.request.disk, &path)?;
        if is_foreign(&source, base, seal, &old.epochs)? {
            let lost = base..end.unwrap_or(base);
            let reason = "it is another log's file, by its seal";
            self.lost(&path, 0..source.len(), lost, reason);
            progress(source.len());
            self.expected = end.unwrap_or(base);
            return Ok(());
        }
        let index = old.index(base, source.len())?;
        let none = Epochs::default();
        let facts = Facts {
            base,
            end,
            gaps,
            unproven: gaps && !self.request.adopted && !frames_agree(&source, seal)?,
            entries: &index.offsets,
            epochs: if self.request.adopted {
                &none
            } else {
                &old.epochs
            },
            is_last: next.is_none(),
        };
        if let Some(rebuild) = &mut self.rebuild {
            rebuild.expect_segment(base, gaps, seal);
        }
        let mut told = 0;
        let found_end = Survey::new(&source, facts).run(|found| {
            let position = match found {
                Found::Batch(batch) => self.batch(old, &batch)?,
                Found::Lost(loss) => {
                    let end = loss.bytes.end;
                    self.lost(&path, loss.bytes, loss.offsets, loss.reason);
                    end
                }
            };
            progress(position - told);
            told = position;
            Ok(())
        })?;
        progress(source.len().saturating_sub(told));
        self.expected = found_end;
        Ok(())
    }

    /// Returns where the batch ends.
    fn batch(&mut self, old: &OldLog<'_>, batch: &FoundBatch<'_>) -> Result<u64> {
        let mut header = batch.header;
        self.salvaged.batches += 1;
        self.salvaged.records += u64::from(header.records_count);
        if let Some(right) = batch.right_epoch {
            header.leader_epoch = right;
        }
        self.unknown_epoch |= old.epochs.epoch_at(header.base_offset).is_none();
        let latest = self.batches_of.latest();
        if latest.is_none_or(|latest| header.leader_epoch > latest) {
            self.batches_of
                .assign(header.leader_epoch, header.base_offset);
        }
        if header.base_offset >= self.producers.1 {
            self.producers.0.record(&header);
        }
        if let Some(rebuild) = &mut self.rebuild {
            match batch.right_epoch {
                None => rebuild.batch(&header, batch.bytes)?,
                Some(right) => {
                    let mut bytes = batch.bytes.to_vec();
                    set_leader_epoch(&mut bytes, right);
                    rebuild.batch(&header, &bytes)?;
                }
            }
        }
        Ok(batch.position + u64::from(header.size))
    }

    fn lost(&mut self, file: &Path, bytes: Range<u64>, offsets: Range<Offset>, reason: &str) {
        self.salvaged.lost.push(Lost {
            file: file.to_path_buf(),
            bytes,
            offsets,
            reason: reason.to_owned(),
        });
    }

    fn finish(mut self, old: &OldLog<'_>) -> Result<Salvaged> {
        let end = self.expected.max(self.request.known_end);
        if end > self.expected {
            let last = old.bases.last().copied().unwrap_or(self.request.start);
            let path = old.path(last, FileKind::Log);
            let reason = "the log is known to have reached farther";
            self.lost(&path, 0..0, self.expected..end, reason);
        }
        self.salvaged.end = end;
        let epochs = self.epochs(&old.epochs);
        if let Some(rebuild) = self.rebuild {
            rebuild.finish(end, &epochs, &self.producers.0)?;
        }
        Ok(self.salvaged)
    }

    /// What was written down if the batches agree with it, else what they say; and later epochs in any
    /// case, so that no number is used again.
    fn epochs(&self, stored: &Epochs) -> Epochs {
        if !self.unknown_epoch {
            return stored.clone();
        }
        let mut epochs = self.batches_of.clone();
        for entry in stored.entries() {
            if epochs.latest().is_none_or(|latest| entry.epoch > latest) {
                epochs.assign(entry.epoch, entry.start_offset);
            }
        }
        epochs
    }
}

/// True if the frames of all batches together are those that were sealed.
fn frames_agree(source: &FileSource<'_>, seal: Option<Seal>) -> Result<bool> {
    let Some(seal) = seal.filter(|seal| seal.end_position == source.len()) else {
        return Ok(false);
    };
    let (mut position, mut digest, mut frame) = (0, FrameDigest::new(), Vec::new());
    while position < source.len() {
        source.read(position, UNPROTECTED_LEN, &mut frame)?;
        let Ok(size) = batch_size(&frame) else {
            return Ok(false);
        };
        digest.update(&frame);
        position += size as u64;
    }
    Ok(position == source.len() && digest.value() == seal.frame_digest)
}

/// True if the first batch is good, and not the one that the seal saw: another log's file lies here.
fn is_foreign(
    source: &FileSource<'_>,
    base: Offset,
    seal: Option<Seal>,
    epochs: &Epochs,
) -> Result<bool> {
    let Some(seal) = seal else {
        return Ok(false);
    };
    let mut bytes = Vec::new();
    source.read(0, HEADER_LEN, &mut bytes)?;
    let Ok(header) = BatchHeader::parse(&bytes) else {
        return Ok(false);
    };
    let size = u64::from(header.size).min(source.len());
    source.read(0, usize::try_from(size).unwrap_or(usize::MAX), &mut bytes)?;
    if check_batch(&bytes).is_err() {
        return Ok(false);
    }
    // Its offset or its epoch, which the CRC leaves out, may have been damaged.
    let epochs = [Some(header.leader_epoch), epochs.epoch_at(base)];
    for offset in [header.base_offset, base] {
        for epoch in epochs.into_iter().flatten() {
            set_base_offset(&mut bytes, offset);
            set_leader_epoch(&mut bytes, epoch);
            let mut digest = FrameDigest::new();
            digest.update(&bytes);
            if digest.value() == seal.first_frame {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
