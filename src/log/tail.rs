//! The end of a log after an unclean stop: what of it is whole, and what has to go.
//!
//! Bytes below the *floor* are known to be on the device, so anything bad there is damage: it is kept
//! and reported. Bytes above may be torn: the log is cut at the first bad one, since nobody was
//! promised more. What is cut off is set aside if it holds whole batches.

use std::path::PathBuf;

use super::epochs::Epochs;
use super::index::{IndexBuilder, IndexedBatch, SegmentIndex};
use super::scan::{BadBatch, Check, Scanner, holds_valid_batch};
use crate::disk::{AppendFile, Disk, OpenMode, write_all_at};
use crate::error::{Error, Result};
use crate::format::Invalid;
use crate::format::batch::{BatchHeader, UNPROTECTED_LEN};
use crate::format::seal::FrameDigest;
use crate::record::{Offset, Timestamp};

/// What is known to be on the device, in one segment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// Below this byte, everything.
    pub(super) position: u64,
    /// Below this offset, everything, wherever that is.
    pub(super) offset: Offset,
    /// The offset of the batch at `position`, if that is known.
    pub(super) offset_at_position: Option<Offset>,
}

/// What a walk over a whole segment finds.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) index: SegmentIndex,
    pub(super) builder: IndexBuilder,
    pub(super) digest: FrameDigest,
    /// End of the good part.
    pub(super) position: u64,
    pub(super) next_offset: Offset,
    pub(super) batches: u64,
    pub(super) first_timestamp: Option<Timestamp>,
    /// The first bad batch below the floor: damage.
    pub(super) damage: Option<BadBatch>,
    /// The first bad batch above it: a torn tail, from `position` on.
    pub(super) torn: Option<BadBatch>,
    /// Bytes whose CRC was computed.
    pub(super) checked_bytes: u64,
}

/// How to walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkPlan {
    pub(super) base: Offset,
    pub(super) len: u64,
    pub(super) index_interval: u32,
    pub(super) gaps: bool,
    pub(super) floor: Floor,
}

/// Walks a segment from its first byte: frames only below the floor, everything above. `see` gets
/// every good batch; `epochs` learns the epochs of those above the floor.
pub(super) fn walk(
    file: &AppendFile,
    plan: WalkPlan,
    epochs: &mut Epochs,
    mut see: impl FnMut(&BatchHeader),
) -> Result<Walked> {
    let mut walked = Walked {
        index: SegmentIndex::default(),
        builder: IndexBuilder::new(plan.index_interval),
        digest: FrameDigest::new(),
        position: 0,
        next_offset: plan.base,
        batches: 0,
        first_timestamp: None,
        damage: None,
        torn: None,
        checked_bytes: 0,
    };
    let mut scanner = Scanner::new(file, 0, plan.len);
    loop {
        let bad = match step(&mut scanner, &mut walked, plan, epochs, &mut see)? {
            Step::Good => continue,
            Step::End => break,
            Step::Bad(bad) => bad,
        };
        let position = walked.position;
        if position >= plan.floor.position && walked.next_offset >= plan.floor.offset {
            walked.torn = Some(bad);
            break;
        }
        // Damage below the floor: keep it, and go on where the durable part is known to end.
        walked.damage.get_or_insert(bad);
        let resume = plan.floor.position.min(plan.len);
        let Some(offset) = plan.floor.offset_at_position.filter(|_| position < resume) else {
            break;
        };
        walked.position = resume;
        walked.next_offset = offset;
        scanner = Scanner::new(file, resume, plan.len);
    }
    Ok(walked)
}

/// What looking at the next batch comes to.
enum Step {
    Good,
    Bad(BadBatch),
    End,
}

fn step(
    scanner: &mut Scanner<'_>,
    walked: &mut Walked,
    plan: WalkPlan,
    epochs: &mut Epochs,
    see: &mut impl FnMut(&BatchHeader),
) -> Result<Step> {
    let position = walked.position;
    let bad = |reason| {
        let invalid = Invalid { at: 0, reason };
        Ok(Step::Bad(BadBatch { position, invalid }))
    };
    let check = if position < plan.floor.position {
        Check::Frames
    } else {
        Check::Crc
    };
    let (header, bytes) = match scanner.next(check)? {
        None if position < plan.floor.position => return bad("file is shorter than it was"),
        None => return Ok(Step::End),
        Some(Err(bad)) => return Ok(Step::Bad(bad)),
        Some(Ok(found)) => found,
    };
    if let Some(reason) = out_of_sequence(&header, walked, epochs, plan, check) {
        return bad(reason);
    }
    walked.note(&header, &bytes[..UNPROTECTED_LEN], plan.base);
    if check == Check::Crc {
        walked.checked_bytes += u64::from(header.size);
        epochs.assign(header.leader_epoch, header.base_offset);
    }
    see(&header);
    Ok(Step::Good)
}

/// Why a batch cannot be the next one, if it cannot.
fn out_of_sequence(
    header: &BatchHeader,
    walked: &Walked,
    epochs: &Epochs,
    plan: WalkPlan,
    check: Check,
) -> Option<&'static str> {
    let expected = walked.next_offset;
    if header.base_offset < expected || (header.base_offset > expected && !plan.gaps) {
        return Some("base offset does not follow the batch before");
    }
    let known = epochs
        .latest()
        .filter(|_| check == Check::Crc && !plan.gaps);
    known
        .is_some_and(|latest| header.leader_epoch < latest)
        .then_some("leader epoch goes back")
}

impl Walked {
    fn note(&mut self, header: &BatchHeader, first_bytes: &[u8], base: Offset) {
        let indexed = IndexedBatch {
            relative_last_offset: u32::try_from(header.last_offset() - base).unwrap_or(u32::MAX),
            position: u32::try_from(self.position).unwrap_or(u32::MAX),
            size: header.size,
            max_timestamp: header.max_timestamp,
        };
        if let Some(entry) = self.builder.add(indexed) {
            self.index.push(entry);
        }
        self.digest.update(first_bytes);
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.position += u64::from(header.size);
        self.next_offset = header.next_offset();
        self.batches += 1;
    }
}

/// At most this much of a cut-off tail is searched for whole batches. Tails are what was not synced
/// yet, a second's worth; a longer one is set aside unseen.
const SEARCHED: usize = 64 << 20;

/// Cuts a torn tail off. If it holds whole batches, its bytes are kept beside the segment first.
pub(super) fn cut(
    disk: &dyn Disk,
    file: &AppendFile,
    walked: &Walked,
    len: u64,
) -> Result<Option<PathBuf>> {
    let torn_len = len - walked.position;
    let searched = usize::try_from(torn_len)
        .unwrap_or(usize::MAX)
        .min(SEARCHED);
    let mut bytes = vec![0; searched];
    let count = file.read(&mut bytes, walked.position)?;
    bytes.truncate(count);
    let suspect = torn_len > SEARCHED as u64 || holds_valid_batch(&bytes, walked.next_offset);
    let aside = if suspect {
        Some(set_aside(disk, file, walked.position, len)?)
    } else {
        None
    };
    file.truncate(walked.position)?;
    Ok(aside)
}

/// Copies the bytes from `position` on into `<segment>.torn-<position>`, durably.
fn set_aside(disk: &dyn Disk, file: &AppendFile, position: u64, len: u64) -> Result<PathBuf> {
    let path = crate::disk::with_suffix(file.path(), &format!(".torn-{position}"));
    let copy = disk
        .open(&path, OpenMode::Truncate)
        .map_err(|error| Error::io("create", &path, error))?;
    let mut at = position;
    copy_chunks(file, position, len, |bytes| {
        write_all_at(&*copy, bytes, at - position)
            .map_err(|error| Error::io("write", &path, error))?;
        at += bytes.len() as u64;
        Ok(())
    })?;
    copy.sync()
        .map_err(|error| Error::io("sync", &path, error))?;
    crate::disk::sync_parent(disk, &path)?;
    Ok(path)
}

/// Writes the bytes from `position` on again, in place. A sync that failed before may have left them
/// in the kernel's cache marked as clean, and then no later sync would write them.
pub(super) fn rewrite(file: &AppendFile, position: u64, end: u64) -> Result<()> {
    let mut at = position;
    copy_chunks(file, position, end, |bytes| {
        file.write(bytes, at)?;
        at += bytes.len() as u64;
        Ok(())
    })
}

fn copy_chunks(
    file: &AppendFile,
    from: u64,
    end: u64,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut position = from;
    while position < end {
        let wanted = usize::try_from(end - position)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = file.read(&mut buffer[..wanted], position)?;
        if count == 0 {
            break;
        }
        take(&buffer[..count])?;
        position += count as u64;
    }
    Ok(())
}
