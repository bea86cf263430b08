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

/// Which consecutive segments become one: as many as stay within the limits of a segment, and within so
/// many bytes, for which there is room while they are written.
pub(super) fn groups(
    segments: &[SegmentFacts],
    config: &TopicConfig,
    room: u64,
) -> Vec<Range<usize>> {
    let most = room.min(config.segment_bytes.into());
    let mut groups = Vec::new();
    let mut first = 0;
    while let Some(head) = segments.get(first) {
        let (mut bytes, mut index_bytes) = (0, 0);
        let fitting = segments[first..].iter().take_while(|segment| {
            bytes += segment.bytes;
            index_bytes += segment.index_bytes(config.index_interval_bytes);
            bytes <= most
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Timestamp = 1_000_000;

    /// Segments of ten offsets and these sizes, written at 1000, 2000, …; the first `clean` are clean.
    fn segments(sizes: &[u64], clean: usize) -> Vec<SegmentFacts> {
        let numbered = sizes.iter().zip(0..);
        numbered
            .map(|(&bytes, number)| SegmentFacts {
                base: number * 10,
                end_offset: number * 10 + 10,
                bytes,
                newest: Timestamp::try_from(number).unwrap() * 1000 + 1000,
                clean_until: if number < clean as u64 {
                    number * 10 + 10
                } else {
                    0
                },
            })
            .collect()
    }

    fn ratio_of(
        segments: &[SegmentFacts],
        config: &TopicConfig,
        now: Timestamp,
    ) -> Option<(usize, f64)> {
        let found = cleanable(segments, 0, Offset::MAX, config, now)?;
        Some((found.segments, found.dirty_ratio))
    }

    #[test]
    fn dirty_bytes_count_out_of_all_that_may_be_compacted() {
        let config = TopicConfig::default();
        assert_eq!(ratio_of(&[], &config, LATER), None);
        assert_eq!(ratio_of(&segments(&[100, 100], 2), &config, LATER), None);
        assert_eq!(
            ratio_of(&segments(&[300, 100], 1), &config, LATER),
            Some((2, 0.25))
        );
        assert_eq!(
            ratio_of(&segments(&[300, 100], 0), &config, LATER),
            Some((2, 1.0))
        );
    }

    #[test]
    fn what_is_younger_than_the_lag_and_all_behind_it_is_left_alone() {
        let config = TopicConfig::default().min_compaction_lag_ms(Duration::from_secs(10));
        let segments = segments(&[100, 100, 100], 1);
        assert_eq!(ratio_of(&segments, &config, 11_999), None);
        assert_eq!(ratio_of(&segments, &config, 12_000), Some((2, 0.5)));
        assert_eq!(ratio_of(&segments, &config, 13_000).unwrap().0, 3);
    }

    #[test]
    fn nothing_from_the_first_open_transaction_on_is_touched() {
        let config = TopicConfig::default();
        let segments = segments(&[100, 100, 100], 0);
        let until = |stable_end| {
            let found = cleanable(&segments, 0, stable_end, &config, LATER);
            found.map(|found| found.segments)
        };
        assert_eq!(until(9), None);
        assert_eq!(until(10), Some(1));
        assert_eq!(until(29), Some(2));
    }

    #[test]
    fn a_pass_goes_on_where_the_last_one_ended_inside_a_segment() {
        let mut segments = segments(&[100, 100], 1);
        segments[1].clean_until = 14;
        let found = cleanable(&segments, 0, Offset::MAX, &TopicConfig::default(), LATER).unwrap();
        assert_eq!((found.first_dirty, found.first_dirty_offset), (1, 14));
        let found = cleanable(&segments, 17, Offset::MAX, &TopicConfig::default(), LATER).unwrap();
        assert_eq!(found.first_dirty_offset, 17, "the log starts behind it");
    }

    #[test]
    fn it_is_time_when_enough_is_dirty_or_a_record_waited_too_long() {
        let config = TopicConfig::default().max_compaction_lag_ms(Some(Duration::from_secs(1)));
        let segments = segments(&[300, 100], 1);
        let found = cleanable(&segments, 0, Offset::MAX, &config, LATER).unwrap();
        assert!(!is_due(&found, Some(LATER - 1000), &config, LATER));
        assert!(is_due(&found, Some(LATER - 1001), &config, LATER));
        assert!(
            !is_due(&found, Some(-1), &config, LATER),
            "nobody knows how old it is"
        );
        let eager = config.min_cleanable_dirty_ratio(0.2);
        assert!(is_due(&found, None, &eager, LATER));
        let never = eager.min_cleanable_dirty_ratio(0.25);
        assert!(!is_due(&found, None, &never, LATER), "more than the ratio");
    }

    #[test]
    fn segments_become_one_as_far_as_the_limits_allow() {
        let config = TopicConfig::default().segment_bytes(250);
        let groups_of = |sizes: &[u64]| groups(&segments(sizes, 0), &config, u64::MAX);
        assert_eq!(groups_of(&[]), []);
        assert_eq!(groups_of(&[100, 100, 100]), [0..2, 2..3]);
        assert_eq!(groups_of(&[100, 150, 1, 300, 0]), [0..2, 2..3, 3..4, 4..5]);
        let little_room = groups(&segments(&[100, 100, 300], 0), &config, 199);
        assert_eq!(little_room, [0..1, 1..2, 2..3]);
        let mut far = segments(&[1, 1], 0);
        far[1].end_offset = 1 << 31;
        assert_eq!(
            groups(&far, &config, u64::MAX),
            [0..1, 1..2],
            "offsets are relative, in 31 bits"
        );
        let small = config.segment_index_bytes(24);
        assert_eq!(
            groups(&segments(&[1, 1], 0), &small, u64::MAX),
            [0..1, 1..2]
        );
    }
}
