//! Reading a log: without lock, copy or system call, from the mapped segments.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use super::names::FileKind;
use super::segment::{Place, Segment};
use crate::disk::MappedBytes;
use crate::error::{Error, Result};
use crate::format::batch::{BatchHeader, BatchView};
use crate::record::{Offset, Timestamp};

/// A batch as it lies in the log: framed, in sequence, its CRC checked. Records are not decoded.
#[derive(Debug, Clone)]
pub(crate) struct FetchedBatch {
    pub(crate) header: BatchHeader,
    /// The whole batch, header included.
    pub(crate) bytes: MappedBytes,
}

/// Where a reader stands: the next offset it wants, and where that lies.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) next_offset: Offset,
    place: Option<CursorPlace>,
}

/// The batch that starts at `offset` is, or will be, at `position` of `segment`.
#[derive(Debug, Clone)]
struct CursorPlace {
    segment: Arc<Segment>,
    position: u64,
    offset: Offset,
    window: Option<Window>,
}

/// Where a fetch goes on.
enum Located {
    Batch(CursorPlace),
    /// Nothing is left of the readable offsets; this is where they end.
    NothingBelow(Offset),
}

/// What the last fetch showed beside its batch: the next ones are found in it without a look at the
/// segment, up to where the window ends: at the end of what was published then, or at the border of
/// the stage. Bytes that were shown stay as they are, so it is never wrong, only short.
#[derive(Debug, Clone)]
struct Window {
    bytes: MappedBytes,
    /// Where in the segment they start.
    position: u64,
    /// Batches below `epoch_end` are of this leader epoch.
    epoch: i32,
    epoch_end: Offset,
}

/// A batch that [`Log::peek`] found.
#[derive(Debug)]
pub(crate) struct Peeked<'a> {
    pub(crate) header: BatchHeader,
    /// Bytes of the log around the batch, which starts at `at` of them.
    pub(crate) shown: &'a MappedBytes,
    pub(crate) at: usize,
    /// The whole batch, header included.
    pub(crate) batch: &'a [u8],
}

impl Cursor {
    /// A cursor that stands at `next_offset`. No I/O; a bad offset shows at the first fetch.
    pub(crate) fn at(next_offset: Offset) -> Self {
        Self {
            next_offset,
            place: None,
        }
    }

    /// Moves to the end of the batch that [`Log::peek`] found.
    #[inline]
    pub(crate) fn pass(&mut self, header: &BatchHeader) {
        if let Some(place) = &mut self.place {
            place.position += u64::from(header.size);
            place.offset = header.next_offset();
            self.next_offset = place.offset;
            let window = place.window.as_ref();
            if window.is_some_and(|window| window.find(place.position).is_none()) {
                // Used up: a cursor that stands still holds no map, nor keeps a stage from being
                // used again.
                place.window = None;
            }
        }
    }
}

impl Window {
    /// Where in the bytes this position of the segment is; `None` if they end before.
    #[inline]
    fn find(&self, position: u64) -> Option<usize> {
        let at = usize::try_from(position.checked_sub(self.position)?).ok()?;
        (at < self.bytes.len()).then_some(at)
    }
}

impl Log {
    /// The next batch that holds the cursor's offset or a later one, if it is readable. It moves the
    /// cursor to the end of that batch. `None` at the readable end, to which the cursor moves if all that
    /// was in between is gone.
    ///
    /// # Errors
    /// `OffsetOutOfRange` below the start and beyond the end, `Corrupt` and `MissingSegment` where the
    /// log is damaged, `StorageFailed` at the end of a log that stopped. The cursor stays.
    pub(crate) fn fetch(&self, cursor: &mut Cursor) -> Result<Option<FetchedBatch>> {
        let readable_end = self.readable_end();
        if cursor.next_offset >= readable_end {
            return self.at_the_end(cursor.next_offset);
        }
        let start = self.start_offset();
        if cursor.next_offset < start {
            return Err(self.out_of_range(cursor.next_offset));
        }
        let swaps = self.swaps();
        let fetched = self.fetch_readable(cursor, readable_end);
        if fetched.is_err() && cursor.next_offset < self.start_offset() {
            // It was deleted meanwhile, with its segment perhaps.
            return Err(self.out_of_range(cursor.next_offset));
        }
        if fetched.is_err() && self.swaps() != swaps {
            // A compacted segment may have taken the place of the one that was looked at.
            return self.fetch(cursor);
        }
        if let Err(error @ Error::Corrupt { .. }) = &fetched {
            self.note_damage(cursor.next_offset, error);
        }
        fetched
    }

    /// True if [`Self::fetch`] would say that there is nothing at `offset` yet, and no more than that.
    #[inline]
    pub(crate) fn is_idle_at(&self, offset: Offset) -> bool {
        self.readable_end.load(Ordering::Acquire) == offset
            && self.failure.get().is_none()
            && self.damage.get().is_none()
    }

    fn fetch_readable(
        &self,
        cursor: &mut Cursor,
        readable_end: Offset,
    ) -> Result<Option<FetchedBatch>> {
        let located = match cursor.place.take() {
            Some(place) if place.offset == cursor.next_offset => self.next_place(place)?,
            _ => self.locate(cursor.next_offset)?,
        };
        let mut place = match located {
            Located::Batch(place) => place,
            Located::NothingBelow(offset) => {
                cursor.next_offset = offset;
                return self.at_the_end(offset);
            }
        };
        let (header, mut bytes) = place
            .segment
            .read_batch_and_rest(place.position, Some(place.offset))
            .map_err(|error| self.damage_at(&place, error))?;
        if header.base_offset >= readable_end {
            // The gap reached up to the readable end: what comes behind it is not for readers yet.
            cursor.next_offset = readable_end;
            return self.at_the_end(readable_end);
        }
        self.check_epoch(&place, &header)?;
        place.window = self.window(&place, &header, &bytes);
        bytes.truncate(header.size as usize);
        place.position += u64::from(header.size);
        place.offset = header.next_offset();
        cursor.next_offset = place.offset;
        cursor.place = Some(place);
        Ok(Some(FetchedBatch { header, bytes }))
    }

    /// What lies behind a batch that was just read; `None` if nothing does.
    fn window(
        &self,
        place: &CursorPlace,
        header: &BatchHeader,
        bytes: &MappedBytes,
    ) -> Option<Window> {
        let batch_len = header.size as usize;
        let mut len = bytes.len();
        if let Some(seal) = place.segment.seal() {
            // Nothing behind the end that the seal says belongs to the log.
            let below_seal = seal.end_position.saturating_sub(place.position);
            len = len.min(usize::try_from(below_seal).unwrap_or(usize::MAX));
        }
        if len <= batch_len {
            return None;
        }
        // The end first: an epoch that begins after this begins at or behind it.
        let readable_end = self.readable_end();
        let epochs = self.epochs.load();
        let epoch_end = epochs.next_start(header.base_offset);
        let mut bytes = bytes.clone();
        bytes.truncate(len);
        Some(Window {
            bytes,
            position: place.position,
            epoch: epochs.epoch_at(header.base_offset)?,
            epoch_end: epoch_end.unwrap_or(readable_end),
        })
    }

    /// The next batch, if it follows the last one in what that fetch showed, is readable and good.
    /// `None` otherwise, whatever the reason: [`Self::fetch`] then finds the batch or tells the
    /// reason. The cursor stays; [`Cursor::pass`] moves it.
    ///
    /// It checks all that `fetch` checks, in a fraction of the time: what tells in logs whose batches
    /// are small.
    #[inline]
    pub(crate) fn peek<'a>(&self, cursor: &'a Cursor) -> Option<Peeked<'a>> {
        let offset = cursor.next_offset;
        let place = cursor
            .place
            .as_ref()
            .filter(|place| place.offset == offset)?;
        let window = place.window.as_ref()?;
        if offset >= self.readable_end().min(window.epoch_end) || offset < self.start_offset() {
            return None;
        }
        let at = window.find(place.position)?;
        let view = BatchView::parse(window.bytes.get(at..)?).ok()?;
        let header = *view.header();
        // A batch that begins later may be fine, if there are gaps: `fetch` knows.
        if header.base_offset != offset || header.leader_epoch != window.epoch {
            return None;
        }
        view.check_crc().ok()?;
        Some(Peeked {
            header,
            shown: &window.bytes,
            at,
            batch: view.bytes(),
        })
    }

    /// Says which offsets a bad batch takes with it.
    fn damage_at(&self, place: &CursorPlace, error: Error) -> Error {
        if !matches!(error, Error::Corrupt { .. }) {
            return error;
        }
        let at = Place {
            position: place.position,
            offset: Some(place.offset),
        };
        let end = self.end_of(&place.segment);
        let found = place.segment.damage_at(self.disk(), at, error, end);
        found.map_or_else(|error| error, |damage| damage.error)
    }

    /// Where the offsets of a segment end.
    fn end_of(&self, segment: &Segment) -> Offset {
        segment
            .seal()
            .map_or_else(|| self.readable_end(), |seal| seal.end_offset)
    }

    fn at_the_end(&self, offset: Offset) -> Result<Option<FetchedBatch>> {
        self.check_failure()?;
        // At the end of a log that lost its end, the loss is what to report.
        if let Some(damage) = self.lost_end() {
            return Err(damage.clone());
        }
        if offset <= self.end_offset() {
            return Ok(None);
        }
        Err(self.out_of_range(offset))
    }

    fn out_of_range(&self, offset: Offset) -> Error {
        Error::OffsetOutOfRange {
            partition: self.id.clone(),
            offset,
            start: self.start_offset(),
            end: self.readable_end(),
        }
    }

    /// The epoch of a batch lies outside its CRC: it has to be the one that was written down.
    fn check_epoch(&self, place: &CursorPlace, header: &BatchHeader) -> Result<()> {
        match self.epochs.load().epoch_at(header.base_offset) {
            Some(epoch) if epoch != header.leader_epoch && !self.adopted => {
                let reason = format!(
                    "batch of leader epoch {}, expected {epoch}",
                    header.leader_epoch
                );
                Err(Error::corrupt(place.segment.path(), place.position, reason)
                    .with_offsets(header.base_offset..header.next_offset()))
            }
            _ => Ok(()),
        }
    }

    /// Steps over the end of a sealed segment.
    fn next_place(&self, place: CursorPlace) -> Result<Located> {
        // A segment is sealed before its successor is readable; what the seal says is final.
        match place.segment.seal() {
            Some(seal) if place.position >= seal.end_position => self.locate(place.offset),
            Some(_) if place.segment.is_replaced() => self.locate(place.offset),
            _ => Ok(Located::Batch(place)),
        }
    }

    /// Finds the batch that holds a readable offset, or the first one behind it.
    fn locate(&self, offset: Offset) -> Result<Located> {
        let segments = self.segments.load();
        let behind = segments.partition_point(|segment| segment.base() <= offset);
        let candidates = segments.get(behind.saturating_sub(1)..).unwrap_or_default();
        // What was at the offsets below is known to be gone, by the seals of segments with gaps.
        let mut gone_below = offset;
        for segment in candidates {
            if segment.base() > gone_below && !self.adopted {
                break;
            }
            let found = segment.locate(self.disk(), offset, self.end_of(segment))?;
            if let Some(found) = found {
                return Ok(Located::Batch(CursorPlace {
                    segment: Arc::clone(segment),
                    position: found.position,
                    offset: found.header.base_offset,
                    window: None,
                }));
            }
            if let Some(seal) = segment.seal().filter(|seal| seal.gaps) {
                // That nothing is there any more is for the frames to say, even if there are none.
                segment.check_frames()?;
                gone_below = gone_below.max(seal.end_offset);
            }
        }
        if gone_below > offset && gone_below >= self.readable_end() {
            return Ok(Located::NothingBelow(gone_below));
        }
        Err(self.missing(offset, &segments))
    }

    pub(super) fn missing(&self, offset: Offset, segments: &[Arc<Segment>]) -> Error {
        let next = segments.iter().find(|segment| segment.base() > offset);
        let until = next.map_or(self.end_offset(), |segment| segment.base());
        let before = segments
            .iter()
            .rev()
            .find(|segment| segment.base() <= offset);
        // A segment that held the offset lost its end; otherwise the one that held it is gone.
        let (first, file) = match before.map(|segment| (segment, segment.seal())) {
            Some((segment, Some(seal))) if offset < seal.end_offset => {
                (offset, segment.path().to_path_buf())
            }
            Some((_, Some(seal))) => {
                let base = seal.end_offset;
                (base, FileKind::Log.path(&self.dir, base))
            }
            _ => {
                let base = self.start_offset();
                (base, FileKind::Log.path(&self.dir, base))
            }
        };
        Error::missing(&file, "the records were in it, and are not there")
            .with_offsets(first..until)
    }

    /// Damage in the active segment: nothing may be appended behind it.
    fn note_damage(&self, offset: Offset, error: &Error) {
        let in_active = self
            .segments
            .load()
            .last()
            .is_some_and(|active| active.base() <= offset);
        if in_active {
            let _ = self.damage.set(error.clone());
        }
    }

    /// Offset of the first batch that may hold a record of `timestamp` or later; `None` if there is
    /// none below the readable end.
    pub(crate) fn locate_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.look(|| self.look_for_timestamp(timestamp))
    }

    /// Looks for something in several segments, again if that failed and one of them may have been removed or
    /// replaced meanwhile.
    pub(crate) fn look<T>(&self, look: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            let (start, swaps) = (self.start_offset(), self.swaps());
            match look() {
                Err(_) if self.start_offset() > start || self.swaps() != swaps => {}
                found => return found,
            }
        }
    }

    fn look_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        let segments = self.segments.load();
        let mut expected = self.start_offset();
        for segment in segments.iter() {
            // A record of a segment that is not there may have been the answer.
            if segment.base() > expected && !self.adopted {
                return Err(self.missing(expected, &segments));
            }
            let seal = segment.seal();
            expected = seal.map_or(expected, |seal| seal.end_offset.max(expected));
            if seal.is_some_and(|seal| {
                seal.max_timestamp < timestamp || seal.end_offset <= self.start_offset()
            }) {
                continue;
            }
            let found = segment.locate_timestamp(self.disk(), timestamp, self.end_of(segment))?;
            if found.is_none() {
                segment.check_frames()?;
            }
            if let Some(found) = found {
                let readable = found.header.base_offset < self.readable_end();
                return Ok(readable.then_some(found.header.base_offset.max(self.start_offset())));
            }
            if let Some(seal) = seal.filter(|seal| !seal.gaps) {
                // The seal says that there was such a record: the file lost its end.
                let there = segment.end_of_walk(segment.first_place());
                let end = there.and_then(|place| place.offset);
                let first = end.unwrap_or(segment.base());
                return Err(self.missing(first.min(seal.end_offset.saturating_sub(1)), &segments));
            }
        }
        match self.lost_end() {
            Some(damage) => Err(damage.clone()),
            None => Ok(None),
        }
    }
}
