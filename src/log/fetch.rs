//! Reading a log: without lock, copy or system call, from the mapped segments.

use std::sync::Arc;

use super::Log;
use super::segment::Segment;
use crate::disk::MappedBytes;
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
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
    place: Option<Place>,
}

/// The batch that starts at `offset` is, or will be, at `position` of `segment`.
#[derive(Debug, Clone)]
struct Place {
    segment: Arc<Segment>,
    position: u64,
    offset: Offset,
}

impl Cursor {
    /// A cursor that stands at `next_offset`. No I/O; a bad offset shows at the first fetch.
    pub(crate) fn at(next_offset: Offset) -> Self {
        Self {
            next_offset,
            place: None,
        }
    }
}

impl Log {
    /// The next batch that holds the cursor's offset or a later one, if it is readable. It moves the
    /// cursor to the end of that batch. `None` at the readable end.
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
        let fetched = self.fetch_readable(cursor);
        if let Err(error @ Error::Corrupt { .. }) = &fetched {
            self.note_damage(cursor.next_offset, error);
        }
        fetched.map(Some)
    }

    fn fetch_readable(&self, cursor: &mut Cursor) -> Result<FetchedBatch> {
        let mut place = match cursor.place.take() {
            Some(place) if place.offset == cursor.next_offset => self.next_place(place)?,
            _ => self.locate(cursor.next_offset)?,
        };
        let (header, bytes) =
            place
                .segment
                .read_batch(place.position, Some(place.offset), self.gaps)?;
        self.check_epoch(&place, &header)?;
        place.position += u64::from(header.size);
        place.offset = header.next_offset();
        cursor.next_offset = place.offset;
        cursor.place = Some(place);
        Ok(FetchedBatch { header, bytes })
    }

    fn at_the_end(&self, offset: Offset) -> Result<Option<FetchedBatch>> {
        self.check_failure()?;
        if offset <= self.end_offset() {
            return Ok(None);
        }
        // Beyond the end of a log that lost its end, the loss is what to report.
        Err(self
            .damage()
            .cloned()
            .unwrap_or_else(|| self.out_of_range(offset)))
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
    fn check_epoch(&self, place: &Place, header: &BatchHeader) -> Result<()> {
        match self.epochs.load().epoch_at(header.base_offset) {
            Some(epoch) if epoch != header.leader_epoch && !self.gaps => {
                let reason = format!(
                    "batch of leader epoch {}, expected {epoch}",
                    header.leader_epoch
                );
                Err(Error::corrupt(place.segment.path(), place.position, reason))
            }
            _ => Ok(()),
        }
    }

    /// Steps over the end of a sealed segment.
    fn next_place(&self, place: Place) -> Result<Place> {
        // A segment is sealed before its successor is readable; what the seal says is final.
        match place.segment.seal() {
            Some(seal) if place.position >= seal.end_position => self.locate(place.offset),
            _ => Ok(place),
        }
    }

    /// Finds the batch that holds a readable offset, or the first one behind it.
    fn locate(&self, offset: Offset) -> Result<Place> {
        let segments = self.segments.load();
        let behind = segments.partition_point(|segment| segment.base() <= offset);
        let candidates = segments.get(behind.saturating_sub(1)..).unwrap_or_default();
        for segment in candidates {
            if segment.base() > offset && !self.gaps {
                break;
            }
            if let Some(found) = segment.locate(self.disk(), offset, self.gaps)? {
                let (segment, position) = (Arc::clone(segment), found.position);
                return Ok(Place {
                    segment,
                    position,
                    offset: found.header.base_offset,
                });
            }
        }
        Err(self.missing(offset, &segments))
    }

    fn missing(&self, offset: Offset, segments: &[Arc<Segment>]) -> Error {
        let before = segments
            .iter()
            .rev()
            .find(|segment| segment.base() <= offset);
        let base = before
            .and_then(|segment| segment.seal())
            .map_or(self.start_offset(), |seal| seal.end_offset);
        Error::MissingSegment {
            file: super::names::FileKind::Log.path(&self.dir, base),
            reason: format!("offset {offset} was in it, and it is not there"),
        }
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
        for segment in self.segments.load().iter() {
            if segment.seal().is_some_and(|seal| {
                seal.max_timestamp < timestamp || seal.end_offset <= self.start_offset()
            }) {
                continue;
            }
            if let Some(found) = segment.locate_timestamp(self.disk(), timestamp, self.gaps)? {
                let readable = found.header.base_offset < self.readable_end();
                return Ok(readable.then_some(found.header.base_offset.max(self.start_offset())));
            }
        }
        Ok(None)
    }
}
