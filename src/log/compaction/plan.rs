//! What there is to compact: which segments, how urgently, and which of them become one.
//!
//! Pure: facts in, plans out. The rules are Kafka's (`LogCleanerManager`, `Cleaner.groupSegmentsBySize`).

use std::ops::Range;

use crate::config::TopicConfig;
use crate::record::{Offset, Timestamp};

/// What is known of a finished segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentFacts {
    pub(super) base: Offset,
    pub(super) end_offset: Offset,
    pub(super) bytes: u64,
    /// Of its newest record, or when it was finished if none has a timestamp.
    pub(super) newest: Timestamp,
    /// Compacted up to here.
    pub(super) clean_until: Offset,
}

impl SegmentFacts {
    fn is_dirty(&self) -> bool {
        self.clean_until < self.end_offset
    }

    /// Bytes of its indexes, at most: an offset and a time entry each interval.
    fn index_bytes(&self, interval: u32) -> u64 {
        20 * (self.bytes / u64::from(interval.max(1)) + 1)
    }
}

/// The part of a log that can be compacted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cleanable {
    /// So many segments, from the first on.
    pub(super) segments: usize,
    /// The first of them that is dirty.
    pub(super) first_dirty: usize,
    /// Everything before was compacted.
    pub(super) first_dirty_offset: Offset,
    pub(super) dirty_bytes: u64,
    /// Dirty bytes out of all.
    pub(super) dirty_ratio: f64,
}

/// What can be compacted of these finished segments; `None` if nothing is dirty, or may be yet. `start`
/// is the log start, and records from `stable_end` on are to be left alone.
pub(super) fn cleanable(
    segments: &[SegmentFacts],
    start: Offset,
    stable_end: Offset,
    config: &TopicConfig,
    now: Timestamp,
) -> Option<Cleanable> {
    let first_dirty = segments.iter().position(SegmentFacts::is_dirty)?;
    let lag = millis(config.min_compaction_lag_ms);
    let may_go = |segment: &SegmentFacts| {
        segment.end_offset <= stable_end && (lag == 0 || segment.newest <= now.saturating_sub(lag))
    };
    let dirty = segments.get(first_dirty..)?;
    let count = dirty.iter().take_while(|segment| may_go(segment)).count();
    let (dirty, first) = (dirty.get(..count)?, dirty.first().filter(|_| count > 0)?);
    let dirty_bytes: u64 = dirty.iter().map(|segment| segment.bytes).sum();
    let clean = segments.get(..first_dirty).unwrap_or_default();
    let clean_bytes: u64 = clean.iter().map(|segment| segment.bytes).sum();
    Some(Cleanable {
        segments: first_dirty + count,
        first_dirty,
        first_dirty_offset: first.clean_until.max(first.base).max(start),
        dirty_bytes,
        dirty_ratio: ratio(dirty_bytes, clean_bytes + dirty_bytes),
    })
}

/// Part of all; 0 of nothing.
pub(super) fn ratio(part: u64, all: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with a ratio that people set"
    )]
    if all == 0 {
        0.0
    } else {
        part as f64 / all as f64
    }
}

/// True if it is time to compact that: enough is dirty, or a record has waited for
/// `max.compaction.lag.ms`. `oldest` is the first timestamp of what is dirty.
pub(super) fn is_due(
    cleanable: &Cleanable,
    oldest: Option<Timestamp>,
    config: &TopicConfig,
    now: Timestamp,
) -> bool {
    cleanable.dirty_ratio > config.min_cleanable_dirty_ratio || is_overdue(oldest, config, now)
}

/// True if a record that was written at `oldest` has waited for `max.compaction.lag.ms`.
pub(super) fn is_overdue(oldest: Option<Timestamp>, config: &TopicConfig, now: Timestamp) -> bool {
    let (Some(limit), Some(oldest)) = (config.max_compaction_lag_ms, oldest) else {
        return false;
    };
    oldest >= 0 && oldest < now.saturating_sub(millis(limit))
}

/// Which consecutive segments become one: as many as stay within the limits of a segment.
pub(super) fn groups(segments: &[SegmentFacts], config: &TopicConfig) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut first = 0;
    while let Some(head) = segments.get(first) {
        let (mut bytes, mut index_bytes) = (0, 0);
        let fitting = segments[first..].iter().take_while(|segment| {
            bytes += segment.bytes;
            index_bytes += segment.index_bytes(config.index_interval_bytes);
            bytes <= u64::from(config.segment_bytes)
                && index_bytes <= u64::from(config.segment_index_bytes)
                && segment.end_offset - head.base <= u64::from(i32::MAX.unsigned_abs())
        });
        // One that is beyond the limits by itself stays one.
        let end = first + fitting.count().max(1);
        groups.push(first..end);
        first = end;
    }
    groups
}

/// As the clock counts.
pub(super) fn millis(duration: std::time::Duration) -> Timestamp {
    Timestamp::try_from(duration.as_millis()).unwrap_or(Timestamp::MAX)
}
