//! Which old segments go: Kafka's rules, decided over plain values.
//!
//! The rules come one after the other: what lies below the log's start, then what is too much, then what is
//! too old. Each walks from the oldest segment that is left and stops at the first that does not qualify,
//! so that a log is only ever shortened at its front. Beyond Kafka, consumption can hold records back
//! (`retention.consumed`): no rule removes a segment that reaches above `removable_end`.
//!
//! The active segment is never removed. If it qualifies as well, with all before it, it is to be rolled
//! first, and then decided again. If appends are quicker than that, the segments before it go.
//!
//! Elsewhere: when to look and what to do about it ([`cleaner`](crate::broker)), removing files
//! ([`removal`](super::removal)).

use super::Log;
use crate::config::{CleanupPolicy, TopicConfig};
use crate::record::{Offset, Timestamp};

/// What retention knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) base: Offset,
    /// Where the next segment starts, or the log ends.
    pub(crate) end: Offset,
    /// Length of its `.log` file.
    pub(crate) bytes: u64,
    /// Largest timestamp of its records; the time at which it was finished if they have none.
    pub(crate) newest: Timestamp,
}

impl SegmentFacts {
    fn is_empty(&self) -> bool {
        self.end == self.base
    }
}

/// What bounds a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) config: &'a TopicConfig,
    /// The log's start.
    pub(crate) start: Offset,
    /// Records from here on stay: readers may not see them yet, or groups have not consumed them.
    pub(crate) removable_end: Offset,
    /// Wall clock.
    pub(crate) now: Timestamp,
}

/// What is to become of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It starts here from now on. At the present start, there is nothing to do but to remove what lies
    /// below.
    StartAt(Offset),
    /// All of it can go once it goes on in a new segment: roll the active one, which ends at `end`, and decide
    /// again. If more was appended meanwhile, the log starts at the active segment, `otherwise`.
    RollAt { end: Offset, otherwise: Offset },
}

/// Decides over the segments of a log, the active one last.
pub(crate) fn decide(segments: &[SegmentFacts], limits: Limits<'_>) -> Verdict {
    let below = segments
        .iter()
        .skip(1)
        .take_while(|next| next.base <= limits.start)
        .count();
    let mut left = segments.get(below..).unwrap_or_default();
    if limits.config.cleanup_policy != CleanupPolicy::Compact {
        left = drop_surplus(left, limits);
        left = drop_old(left, limits);
    }
    match (left.first(), segments.last()) {
        (Some(first), _) => Verdict::StartAt(first.base.max(limits.start)),
        (None, Some(active)) => Verdict::RollAt {
            end: active.end,
            otherwise: active.base.max(limits.start),
        },
        (None, None) => Verdict::StartAt(limits.start),
    }
}

/// Leaves at least `retention.bytes`.
fn drop_surplus<'a>(segments: &'a [SegmentFacts], limits: Limits<'_>) -> &'a [SegmentFacts] {
    let Some(limit) = limits.config.retention_bytes else {
        return segments;
    };
    let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut surplus = total.checked_sub(limit);
    drop_while(segments, limits, |segment| {
        surplus = surplus.and_then(|surplus| surplus.checked_sub(segment.bytes));
        surplus.is_some()
    })
}

/// Leaves what is at most `retention.ms` old.
fn drop_old<'a>(segments: &'a [SegmentFacts], limits: Limits<'_>) -> &'a [SegmentFacts] {
    let Some(limit) = limits.config.retention_ms else {
        return segments;
    };
    drop_while(segments, limits, |segment| {
        let age = i128::from(limits.now) - i128::from(segment.newest);
        u128::try_from(age).is_ok_and(|age| age > limit.as_millis())
    })
}

/// Drops segments from the front while they qualify and may go. An empty one is the active one, and stays.
fn drop_while<'a>(
    segments: &'a [SegmentFacts],
    limits: Limits<'_>,
    mut qualifies: impl FnMut(&SegmentFacts) -> bool,
) -> &'a [SegmentFacts] {
    let goes = |segment: &&SegmentFacts| {
        !segment.is_empty() && segment.end <= limits.removable_end && qualifies(segment)
    };
    let count = segments.iter().take_while(goes).count();
    segments.get(count..).unwrap_or_default()
}

impl Log {
    /// What retention has to know, without a look at any file. `now` stands for the time of segments of which
    /// none is known.
    pub(crate) fn segment_facts(&self, now: Timestamp) -> Vec<SegmentFacts> {
        let (segments, active) = {
            let writer = self.writer.lock();
            let active = SegmentFacts {
                base: writer.active.base(),
                end: writer.next_offset,
                bytes: writer.position,
                newest: known_or(writer.index.largest_timestamp(), now),
            };
            (self.segments(), active)
        };
        let sealed = segments.iter().zip(segments.iter().skip(1));
        let mut facts: Vec<_> = sealed
            .map(|(segment, next)| SegmentFacts {
                base: segment.base(),
                end: next.base(),
                bytes: segment.file().published(),
                newest: segment.seal().map_or(now, |seal| {
                    known_or(seal.max_timestamp, known_or(seal.sealed_at, now))
                }),
            })
            .collect();
        // None at all of a partition that could not be opened.
        facts.extend((!segments.is_empty()).then_some(active));
        facts
    }
}

fn known_or(timestamp: Timestamp, now: Timestamp) -> Timestamp {
    if timestamp < 0 { now } else { timestamp }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
