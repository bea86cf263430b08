//! What a log tells of itself without reading it: from seals, the writer's state, and one header.

use super::Log;
use super::segment::Segment;
use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::record::{Offset, Timestamp};

/// Sizes and times of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogDescription {
    pub(crate) size_bytes: u64,
    pub(crate) segments: usize,
    /// Of the first record of the first segment; `None` if nobody knows.
    pub(crate) earliest_timestamp: Option<Timestamp>,
    /// The largest in any segment; `None` if there is none.
    pub(crate) latest_timestamp: Option<Timestamp>,
}

impl Log {
    pub(crate) fn describe(&self) -> LogDescription {
        let segments = self.segments();
        let is_empty = self.start_offset() >= self.readable_end();
        let known = |timestamp: Timestamp| Some(timestamp).filter(|it| *it >= 0 && !is_empty);
        let first = segments.first().filter(|_| !is_empty);
        let sealed = segments.iter().filter_map(|segment| segment.seal());
        let finished = sealed.map(|seal| seal.max_timestamp).max().unwrap_or(-1);
        LogDescription {
            size_bytes: self.size_bytes(),
            segments: segments.len(),
            earliest_timestamp: first.and_then(|it| it.first_timestamp()).and_then(known),
            latest_timestamp: known(finished.max(self.active_largest_timestamp())),
        }
    }

    /// Why nothing is written any more, if that is so.
    pub(crate) fn write_failure(&self) -> Option<Error> {
        self.check_failure().err()
    }

    /// The largest timestamp of batches that lie above the start and below the readable end as a whole;
    /// `None` if there is none. Markers of transactions may count.
    ///
    /// A segment that is cut by one of the two is walked over, header by header; the others are not read.
    pub(crate) fn largest_timestamp(&self) -> Result<Option<Timestamp>> {
        let (start, end) = (self.start_offset(), self.readable_end());
        let known = |segment: &Segment| match segment.seal() {
            _ if segment.base() < start => None,
            Some(seal) => (seal.end_offset <= end).then_some(seal.max_timestamp),
            None => (self.end_offset() == end).then(|| self.active_largest_timestamp()),
        };
        self.largest_timestamp_of(start, end, known)
    }

    /// The same without markers of transactions: all segments are walked over.
    pub(crate) fn largest_data_timestamp(&self) -> Result<Option<Timestamp>> {
        self.largest_timestamp_of(self.start_offset(), self.readable_end(), |_| None)
    }

    fn largest_timestamp_of(
        &self,
        start: Offset,
        end: Offset,
        known: impl Fn(&Segment) -> Option<Timestamp>,
    ) -> Result<Option<Timestamp>> {
        let mut largest = -1;
        for segment in self.segments().iter() {
            if segment.seal().is_some_and(|seal| seal.end_offset <= start) {
                // All of it is gone; its file may be, too.
                continue;
            }
            largest = largest.max(match known(segment) {
                Some(timestamp) => timestamp,
                None => segment.largest_timestamp_within(start, end)?,
            });
        }
        Ok(Some(largest).filter(|timestamp| *timestamp >= 0))
    }

    fn active_largest_timestamp(&self) -> Timestamp {
        self.writer.lock().index.largest_timestamp()
    }
}

impl Segment {
    /// Read from the file and not by its map: thousands of partitions may be asked in a row.
    fn first_timestamp(&self) -> Option<Timestamp> {
        let mut header = [0; HEADER_LEN];
        if self.file().published() < header.len() as u64 {
            return None;
        }
        let read = self.file().read(&mut header, 0).ok()?;
        let header = BatchHeader::parse(header.get(..read)?).ok()?;
        let is_stamped = header.attributes.timestamp_type() == TimestampType::LogAppendTime
            || header.attributes.has_delete_horizon();
        Some(if is_stamped {
            header.max_timestamp
        } else {
            header.base_timestamp
        })
    }

    fn largest_timestamp_within(&self, start: Offset, end: Offset) -> Result<Timestamp> {
        let mut largest = -1;
        let mut place = self.first_place();
        while let Some(header) = self.header_at(place.position)? {
            self.check_sequence(place.position, &header, place.offset)?;
            let is_data = !header.attributes.is_control();
            if is_data && header.base_offset >= start && header.next_offset() <= end {
                largest = largest.max(header.max_timestamp);
            }
            place = place.behind(&header);
        }
        Ok(largest)
    }
}
