//! The end of a log after an unclean stop: what of it is whole, and what has to go.
//!
//! Bytes below the *floor* are known to be on the device, so anything bad there is damage: it is kept
//! and reported. Bytes above may be torn: the log is cut at the first bad one, since nobody was
//! promised more. What is cut off is set aside if it holds whole batches.

use std::path::PathBuf;

use super::damage::Damage;
use super::epochs::Epochs;
use super::index::{IndexBuilder, IndexedBatch, SegmentIndex};
use super::scan::{BadBatch, Check, Scanner, holds_valid_batch};
use super::segment::Place;
use super::zero_ahead;
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

impl Floor {
    fn place(&self) -> Option<Place> {
        self.offset_at_position.map(|offset| Place {
            position: self.position,
            offset: Some(offset),
        })
    }

    /// Where the offsets below the floor end, if that is known.
    fn end(&self) -> Offset {
        match self.offset_at_position {
            Some(offset) => offset,
            None if self.offset < Offset::MAX => self.offset,
            None => 0,
        }
    }
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
    /// What is bad below the floor, with the offsets that are lost.
    pub(super) damage: Vec<Error>,
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
    /// The epochs given are what was written down: batches have to agree.
    pub(super) epochs_known: bool,
}

/// Walks a segment, on from what was found so far: frames only below the floor, everything above. `see` gets
/// every good batch; `epochs` learns the epochs of those that are checked. `step_over` finds the first
/// damage at or behind a good place, below the floor, and where batches are good again.
pub(super) fn walk(
    file: &AppendFile,
    plan: WalkPlan,
    mut walked: Walked,
    epochs: &mut Epochs,
    mut see: impl FnMut(&BatchHeader),
    step_over: impl Fn(Place) -> Result<Option<Damage>>,
) -> Result<Walked> {
    let mut scanner = Scanner::new(file, walked.position, plan.len);
    let mut good = walked.place();
    loop {
        let bad = match step(&mut scanner, &mut walked, plan, epochs, &mut see)? {
            Step::Good => {
                let Some(floor) = plan.floor.place().filter(|floor| {
                    good.position < floor.position && walked.position >= floor.position
                }) else {
                    continue;
                };
                // What is known of the floor is right: frames that lead elsewhere are damaged.
                if (walked.position, Some(walked.next_offset)) != (floor.position, floor.offset) {
                    walked
                        .damage
                        .extend(step_over(good)?.map(|damage| damage.error));
                    walked.go_to(floor);
                    scanner = Scanner::new(file, floor.position, plan.len);
                }
                good = floor;
                continue;
            }
            Step::End => break,
            Step::Bad(bad) => bad,
            Step::WrongEpoch(header, frame) => {
                let reason = "leader epoch is not the one that was written down";
                let invalid = Invalid { at: 0, reason };
                let position = walked.position;
                if walked.is_above(&plan.floor) {
                    walked.torn = Some(BadBatch { position, invalid });
                    break;
                }
                let error = Error::corrupt(file.path(), position, reason);
                let lost = header.base_offset..header.next_offset();
                walked.damage.push(error.with_offsets(lost));
                walked.note(&header, &frame, plan.base);
                see(&header);
                good = walked.place();
                continue;
            }
        };
        if walked.is_above(&plan.floor) {
            walked.torn = Some(bad);
            break;
        }
        // Damage below the floor: keep it, and go on where batches are good again, or where the
        // durable part is known to end.
        let damage = step_over(good)?;
        let (error, next) = if let Some(damage) = damage {
            (damage.error, damage.next.map(|next| next.place()))
        } else {
            let position = bad.position + bad.invalid.at as u64;
            let lost = walked.next_offset..plan.floor.end().max(walked.next_offset);
            let error = Error::corrupt(file.path(), position, bad.invalid.reason);
            (error.with_offsets(lost), None)
        };
        walked.damage.push(error);
        let next = next.or(plan.floor.place());
        let ahead = good.position + 1..=plan.len;
        let Some(next) = next.filter(|next| ahead.contains(&next.position)) else {
            break;
        };
        walked.go_to(next);
        scanner = Scanner::new(file, next.position, plan.len);
        good = next;
    }
    Ok(walked)
}

/// What looking at the next batch comes to.
enum Step {
    Good,
    Bad(BadBatch),
    /// A batch whose epoch is not the one that was written down, with its first bytes.
    WrongEpoch(BatchHeader, [u8; UNPROTECTED_LEN]),
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
    let expected = walked.next_offset;
    if header.base_offset < expected || (header.base_offset > expected && !plan.gaps) {
        return bad("base offset does not follow the batch before");
    }
    let mut frame = [0; UNPROTECTED_LEN];
    frame.copy_from_slice(&bytes[..UNPROTECTED_LEN]);
    if check == Check::Crc && !plan.gaps && !epoch_agrees(&header, epochs, plan) {
        return Ok(Step::WrongEpoch(header, frame));
    }
    walked.note(&header, &frame, plan.base);
    if check == Check::Crc {
        walked.checked_bytes += u64::from(header.size);
        if !plan.epochs_known {
            epochs.assign(header.leader_epoch, header.base_offset);
        }
    }
    see(&header);
    Ok(Step::Good)
}

/// Epochs lie outside the CRC: what protects them is the file that says where each starts.
fn epoch_agrees(header: &BatchHeader, epochs: &Epochs, plan: WalkPlan) -> bool {
    if plan.epochs_known {
        // The start of an epoch is written down before its first batch.
        epochs.epoch_at(header.base_offset) == Some(header.leader_epoch)
    } else {
        epochs
            .latest()
            .is_none_or(|latest| header.leader_epoch >= latest)
    }
}

impl Walked {
    /// Nothing yet, at the start of a segment.
    pub(super) fn nothing(plan: WalkPlan) -> Self {
        Self {
            index: SegmentIndex::default(),
            builder: IndexBuilder::new(plan.index_interval),
            digest: FrameDigest::new(),
            position: 0,
            next_offset: plan.base,
            batches: 0,
            first_timestamp: None,
            damage: Vec::new(),
            torn: None,
            checked_bytes: 0,
        }
    }

    fn go_to(&mut self, place: Place) {
        self.position = place.position;
        self.next_offset = place.offset.unwrap_or(self.next_offset);
    }

    /// Nothing is promised of what comes next.
    fn is_above(&self, floor: &Floor) -> bool {
        self.position >= floor.position && self.next_offset >= floor.offset
    }

    fn place(&self) -> Place {
        Place {
            position: self.position,
            offset: Some(self.next_offset),
        }
    }

    /// The index with its final time entry, as the files of a finished segment hold it.
    pub(super) fn complete_index(&self) -> SegmentIndex {
        let mut index = self.index.clone();
        if let Some(entry) = self.builder.final_time_entry() {
            index.push_time(entry);
        }
        index
    }

    fn note(&mut self, header: &BatchHeader, first_bytes: &[u8], base: Offset) {
        let indexed = IndexedBatch::new(base, self.position, header);
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

/// No segment is longer: a file that is was not written by a log.
pub(super) const LONGEST_SEGMENT: u64 = (1 << 31) - 1;

/// What a file has behind its last good batch, if that is not its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    position: u64,
    /// Zeros from here on.
    data_end: u64,
    len: u64,
}

impl Tail {
    /// Of a file of this length. If nothing in it is torn, nothing has to be looked at.
    pub(super) fn behind(file: &AppendFile, walked: &Walked, len: u64) -> Result<Self> {
        let position = walked.position;
        let data_end = match walked.torn {
            Some(_) => end_of_data(file, position, len)?,
            None => len,
        };
        Ok(Self {
            position,
            data_end,
            len,
        })
    }

    /// Nothing but zeros that the log wrote ahead.
    pub(super) fn is_ahead(&self) -> bool {
        self.data_end == self.position && self.ends_with_zeros_ahead()
    }

    fn ends_with_zeros_ahead(&self) -> bool {
        self.data_end < self.len && zero_ahead::is_ahead(self.data_end, self.len)
    }

    /// Bytes that were written, and are no batches.
    pub(super) fn torn_len(&self) -> u64 {
        let is_ahead = self.ends_with_zeros_ahead();
        let end = if is_ahead { self.data_end } else { self.len };
        end - self.position
    }
}

/// Cuts a torn tail off. If it holds whole batches, its bytes are kept beside the segment first.
pub(super) fn cut(
    disk: &dyn Disk,
    file: &AppendFile,
    walked: &Walked,
    tail: Tail,
) -> Result<Option<PathBuf>> {
    // Zeros hold nothing.
    let end = tail.data_end;
    let torn_len = end - walked.position;
    let searched = usize::try_from(torn_len)
        .unwrap_or(usize::MAX)
        .min(SEARCHED);
    let mut bytes = vec![0; searched];
    let count = file.read(&mut bytes, walked.position)?;
    bytes.truncate(count);
    let suspect = torn_len > SEARCHED as u64 || holds_valid_batch(&bytes, walked.next_offset);
    let aside = if suspect {
        Some(set_aside(disk, file, walked.position, end)?)
    } else {
        None
    };
    file.truncate(walked.position)?;
    Ok(aside)
}

/// Where the zeros begin that a file ends with.
fn end_of_data(file: &AppendFile, position: u64, len: u64) -> Result<u64> {
    let (mut end, mut at) = (position, position);
    copy_chunks(file, position, len, |bytes| {
        // As a whole first: that is fast, and most of a long tail is zeros.
        if bytes.iter().fold(0, |all, byte| all | byte) != 0 {
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            end = at + last as u64 + 1;
        }
        at += bytes.len() as u64;
        Ok(())
    })?;
    Ok(end)
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
