//! What a topic demands of each record, so that one bad record does not fail a whole batch.
//!
//! Pure. The rules are Kafka's; there the broker checks them when a batch arrives, here whoever makes a
//! batch does before the record enters it.

use std::time::Duration;

use crate::config::TopicConfig;
use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::format::batch::HEADER_LEN;
use crate::record::{Record, Timestamp};

/// A topic's rules, taken from its configuration when a batch is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Upper bound of a batch (`max.message.bytes`), in bytes.
    pub(crate) max_batch_bytes: usize,
    /// Compaction goes by key (`cleanup.policy`).
    needs_key: bool,
    /// How far behind and ahead of the clock a timestamp may be
    /// (`message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`), in milliseconds.
    max_behind: i64,
    max_ahead: i64,
    /// When the rules were taken: a bound of the time now, without asking the clock.
    taken_at: Timestamp,
}

impl Rules {
    pub(crate) fn of(config: &TopicConfig, now: Timestamp) -> Self {
        let millis = |limit: Option<Duration>| match limit {
            // Where the log stamps records itself, theirs do not matter.
            Some(limit) if config.timestamp_type == TimestampType::CreateTime => {
                i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)
            }
            _ => i64::MAX,
        };
        let segment_bytes = usize::try_from(config.segment_bytes).unwrap_or(usize::MAX);
        Self {
            // A batch does not span segments.
            max_batch_bytes: config.max_message_bytes.min(segment_bytes),
            needs_key: config.cleanup_policy.has_compact(),
            max_behind: millis(config.message_timestamp_before_max_ms),
            max_ahead: millis(config.message_timestamp_after_max_ms),
            taken_at: now,
        }
    }

    /// The record's own timestamp; or else `now`, which may lag a little behind the clock that
    /// `taken_at` was read from, and is not used where that is later.
    #[inline]
    pub(crate) fn timestamp(&self, record: &Record<'_>, now: Timestamp) -> Timestamp {
        record.timestamp.unwrap_or(now.max(self.taken_at))
    }

    /// Refuses a record that the topic must not have. `now` is asked only if it decides.
    #[inline]
    pub(crate) fn check(
        &self,
        topic: &str,
        record: &Record<'_>,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<()> {
        if self.needs_key && record.key.is_none() {
            let reason = "a compacted topic needs a key in every record";
            return Err(Error::InvalidRecord {
                topic: topic.to_owned(),
                reason,
            });
        }
        match record.timestamp {
            Some(timestamp) if timestamp >= 0 => self.check_timestamp(topic, timestamp, now),
            _ => Ok(()),
        }
    }

    fn check_timestamp(
        &self,
        topic: &str,
        timestamp: Timestamp,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<()> {
        let refused = |reason| {
            Err(Error::InvalidTimestamp {
                topic: topic.to_owned(),
                timestamp,
                reason,
            })
        };
        if timestamp < self.taken_at.saturating_sub(self.max_behind) {
            return refused("it is more than message.timestamp.before.max.ms in the past");
        }
        // Time has gone on since: what is too far ahead of then may not be of now.
        if timestamp > self.taken_at.saturating_add(self.max_ahead)
            && timestamp > now().saturating_add(self.max_ahead)
        {
            return refused("it is more than message.timestamp.after.max.ms in the future");
        }
        Ok(())
    }

    /// Refuses a record that no batch could hold: `size` is what it takes in an empty one.
    pub(crate) fn check_size(&self, topic: &str, size: usize) -> Result<()> {
        let (size, limit) = (HEADER_LEN.saturating_add(size), self.max_batch_bytes);
        if size <= limit {
            return Ok(());
        }
        Err(Error::RecordTooLarge {
            topic: topic.to_owned(),
            size,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Broker;
    use crate::config::CleanupPolicy;

    const NOW: Timestamp = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn check_at(config: &TopicConfig, record: &Record<'_>, now: Timestamp) -> Result<()> {
        Rules::of(config, NOW).check("t", record, || now)
    }

    #[test]
    fn keyless_records_are_refused_on_compacted_topics_only() {
        let compacted = TopicConfig::default().cleanup_policy(CleanupPolicy::CompactAndDelete);
        let refused = check_at(&compacted, &Record::to("t"), NOW);
        assert!(matches!(refused, Err(Error::InvalidRecord { .. })));
        assert!(check_at(&compacted, &Record::to("t").key(""), NOW).is_ok());
        assert!(check_at(&TopicConfig::default(), &Record::to("t"), NOW).is_ok());
    }

    #[test]
    fn timestamps_far_from_the_clock_are_refused() {
        let config = TopicConfig {
            message_timestamp_before_max_ms: Some(Duration::from_secs(60)),
            ..TopicConfig::default()
        };
        let check = |timestamp| check_at(&config, &Record::to("t").timestamp(timestamp), NOW);
        assert!(check(NOW - 60_000).is_ok());
        assert!(matches!(
            check(NOW - 60_001),
            Err(Error::InvalidTimestamp { .. })
        ));
        assert!(check(NOW + HOUR).is_ok());
        assert!(matches!(
            check(NOW + HOUR + 1),
            Err(Error::InvalidTimestamp { .. })
        ));
        assert!(check(-1).is_ok(), "none was given");
    }

    #[test]
    fn a_batch_that_lingers_does_not_turn_the_clock_back() {
        let record = Record::to("t").timestamp(NOW + HOUR + 5);
        assert!(check_at(&TopicConfig::default(), &record, NOW + 5).is_ok());
        assert!(check_at(&TopicConfig::default(), &record, NOW + 4).is_err());
    }

    #[test]
    fn timestamps_do_not_matter_where_the_log_stamps_records() {
        let config = TopicConfig::default().timestamp_type(TimestampType::LogAppendTime);
        assert!(check_at(&config, &Record::to("t").timestamp(i64::MAX), NOW).is_ok());
    }

    #[test]
    fn the_limit_counts_the_whole_batch_and_the_segment_that_holds_it() {
        let config = TopicConfig {
            max_message_bytes: 100,
            segment_bytes: 80,
            ..TopicConfig::default()
        };
        let rules = Rules::of(&config, NOW);
        assert!(rules.check_size("t", 80 - HEADER_LEN).is_ok());
        let refused = rules.check_size("t", 81 - HEADER_LEN);
        assert!(matches!(
            refused,
            Err(Error::RecordTooLarge {
                size: 81,
                limit: 80,
                ..
            })
        ));
    }

    #[test]
    fn whoever_makes_a_batch_keeps_to_the_rules() {
        let broker = Broker::in_memory();
        let compacted = TopicConfig::default().cleanup_policy(CleanupPolicy::Compact);
        let topic = broker.create_topic("t", compacted).unwrap();
        let partition = topic.partition(0).unwrap();
        let refused = partition.append(&[Record::to("t").key("k"), Record::value_only("v")]);
        assert!(matches!(refused, Err(Error::InvalidRecord { .. })));
        let early = Record::to("t").key("k").timestamp(Timestamp::MAX);
        let refused = partition.append(&[early]);
        assert!(matches!(refused, Err(Error::InvalidTimestamp { .. })));
        assert_eq!(partition.append(&[Record::to("t").key("k")]).unwrap(), 0);
    }
}
