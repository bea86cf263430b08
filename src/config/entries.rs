//! The table of topic configs: name, field, and what values it takes. Setting by name, printing,
//! listing and validating all go through it, so that they cannot disagree.

use super::value::{
    Choice, Consumed, FLAG, Fraction, INT_MAX, Kind, LONG_MAX, Policy, Range, RangeOr,
};
use super::{Durability, TopicConfig};
use crate::error::{Error, Result};
use crate::format::{Compression, TimestampType};

/// One config.
pub(super) struct Entry {
    /// Kafka's name.
    pub(super) key: &'static str,
    pub(super) print: fn(&TopicConfig) -> String,
    /// The error says what is allowed.
    parse: fn(&mut TopicConfig, &str) -> Result<(), String>,
}

macro_rules! entry {
    ($key:literal, $field:ident, $kind:expr) => {
        Entry {
            key: $key,
            print: |config| $kind.print(&config.$field),
            parse: |config, text| {
                config.$field = $kind.parse(text)?;
                Ok(())
            },
        }
    };
}

// A segment holds at least the framing of a batch. Kafka 4.0 asks for 1 MiB; less serves tests.
const SEGMENT_BYTES: Range = Range {
    min: 14,
    max: INT_MAX,
};
// Two entries of the time index: one for the append, one for the roll.
const SEGMENT_INDEX_BYTES: Range = Range {
    min: 24,
    max: INT_MAX,
};
const FROM_ZERO_INT: Range = Range {
    min: 0,
    max: INT_MAX,
};
const FROM_ZERO: Range = Range {
    min: 0,
    max: LONG_MAX,
};
const FROM_ONE: Range = Range {
    min: 1,
    max: LONG_MAX,
};
/// -1 is "no limit".
const OR_MINUS_ONE: RangeOr = RangeOr {
    min: 0,
    max: LONG_MAX,
    none: -1,
};
/// The largest number is "never".
const OR_NEVER: RangeOr = RangeOr {
    min: 0,
    max: LONG_MAX,
    none: LONG_MAX,
};
const FROM_ONE_OR_NEVER: RangeOr = RangeOr {
    min: 1,
    max: LONG_MAX,
    none: LONG_MAX,
};

const COMPRESSION: Choice<Compression> = Choice(&[
    ("producer", Compression::Producer),
    ("uncompressed", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
]);
const TIMESTAMP_TYPE: Choice<TimestampType> = Choice(&[
    ("CreateTime", TimestampType::CreateTime),
    ("LogAppendTime", TimestampType::LogAppendTime),
]);
const DURABILITY: Choice<Durability> = Choice(&[
    ("written", Durability::Written),
    ("synced", Durability::Synced),
]);

/// Gzip's levels, where -1 is the codec's own choice and 0 is not one of Kafka's.
struct GzipLevel;

impl Kind<i32> for GzipLevel {
    fn parse(&self, text: &str) -> Result<i32, String> {
        let level = Kind::<i32>::parse(&Range { min: -1, max: 9 }, text)
            .ok()
            .filter(|level| *level != 0);
        level.ok_or_else(|| "a whole number from 1 to 9, or -1 for the codec's default".to_owned())
    }

    fn print(&self, level: &i32) -> String {
        level.to_string()
    }
}

/// All configs, sorted by name.
pub(super) const ENTRIES: &[Entry] = &[
    entry!("cleanup.policy", cleanup_policy, Policy),
    entry!("compression.gzip.level", compression_gzip_level, GzipLevel),
    entry!(
        "compression.lz4.level",
        compression_lz4_level,
        Range { min: 1, max: 17 }
    ),
    entry!("compression.type", compression, COMPRESSION),
    entry!(
        "compression.zstd.level",
        compression_zstd_level,
        Range {
            min: -131_072,
            max: 22
        }
    ),
    entry!("delete.retention.ms", delete_retention_ms, FROM_ZERO),
    entry!("durability", durability, DURABILITY),
    entry!("file.delete.delay.ms", file_delete_delay_ms, FROM_ZERO),
    entry!("flush.messages", flush_messages, FROM_ONE_OR_NEVER),
    entry!("flush.ms", flush_ms, OR_NEVER),
    entry!("index.interval.bytes", index_interval_bytes, FROM_ZERO_INT),
    entry!(
        "max.compaction.lag.ms",
        max_compaction_lag_ms,
        FROM_ONE_OR_NEVER
    ),
    entry!("max.message.bytes", max_message_bytes, FROM_ZERO_INT),
    entry!(
        "message.timestamp.after.max.ms",
        message_timestamp_after_max_ms,
        OR_NEVER
    ),
    entry!(
        "message.timestamp.before.max.ms",
        message_timestamp_before_max_ms,
        OR_NEVER
    ),
    entry!("message.timestamp.type", timestamp_type, TIMESTAMP_TYPE),
    entry!(
        "min.cleanable.dirty.ratio",
        min_cleanable_dirty_ratio,
        Fraction
    ),
    entry!("min.compaction.lag.ms", min_compaction_lag_ms, FROM_ZERO),
    entry!("preallocate", preallocate, FLAG),
    entry!("retention.bytes", retention_bytes, OR_MINUS_ONE),
    entry!("retention.consumed", retention_consumed, Consumed),
    entry!("retention.ms", retention_ms, OR_MINUS_ONE),
    entry!("segment.bytes", segment_bytes, SEGMENT_BYTES),
    entry!(
        "segment.index.bytes",
        segment_index_bytes,
        SEGMENT_INDEX_BYTES
    ),
    entry!("segment.jitter.ms", segment_jitter_ms, FROM_ZERO),
    entry!("segment.ms", segment_ms, FROM_ONE),
];

/// Topic configs of Kafka that have nothing to act upon in one process.
pub(super) const REFUSED: &[&str] = &[
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "message.downconversion.enable",
    "message.format.version",
    "min.insync.replicas",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "unclean.leader.election.enable",
];

/// Those that are lists of words.
const LISTS: &[&str] = &["cleanup.policy", "retention.consumed"];

pub(super) fn is_list(key: &str) -> bool {
    LISTS.contains(&key)
}

pub(super) fn find(key: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.key == key)
}

/// Sets one config by its name. Blanks around the value do not count, as for Kafka.
pub(super) fn set(config: &mut TopicConfig, key: &str, value: &str) -> Result<()> {
    let entry = find(key).ok_or_else(|| unknown(key, value))?;
    (entry.parse)(config, value.trim()).map_err(|allowed| Error::InvalidConfig {
        key: key.to_owned(),
        value: value.to_owned(),
        reason: format!("it must be {allowed}"),
    })
}

/// Refuses a name that is none.
pub(super) fn unknown(key: &str, value: &str) -> Error {
    Error::InvalidConfig {
        key: key.to_owned(),
        value: value.to_owned(),
        reason: why_unknown(key),
    }
}

/// What was set by typed setters must also be what could be set by name.
pub(super) fn check_all(config: &TopicConfig) -> Result<()> {
    let mut copy = config.clone();
    ENTRIES
        .iter()
        .try_for_each(|entry| set(&mut copy, entry.key, &(entry.print)(config)))
}

fn why_unknown(key: &str) -> String {
    if REFUSED.contains(&key) {
        return "it is about replicas and remote copies, and means nothing in one process"
            .to_owned();
    }
    if matches!(key, "partitions" | "num.partitions") {
        return "the number of partitions is set by `TopicConfig::partitions`".to_owned();
    }
    match closest(key) {
        Some(known) => format!("no topic config has this name; did you mean {known}?"),
        None => "no topic config has this name".to_owned(),
    }
}

/// The known name with the fewest characters to change, if these are few.
fn closest(key: &str) -> Option<&'static str> {
    // Longer ones are no slips of the pen, and would take long to compare.
    let key = if key.len() <= 64 {
        key.to_lowercase().replace('_', ".")
    } else {
        return None;
    };
    let distances = ENTRIES
        .iter()
        .map(|entry| (distance(&key, entry.key), entry.key));
    distances
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, known)| known)
}

/// How many characters must be put in, left out or replaced to make `b` from `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (done, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], done + 1);
        for (column, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_unique() {
        assert!(ENTRIES.windows(2).all(|pair| pair[0].key < pair[1].key));
        assert!(ENTRIES.iter().all(|entry| !REFUSED.contains(&entry.key)));
    }

    #[test]
    fn distances_count_single_changes() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn slips_of_the_pen_find_the_name_that_was_meant() {
        assert_eq!(closest("retention_ms"), Some("retention.ms"));
        assert_eq!(closest("segment.byte"), Some("segment.bytes"));
        assert_eq!(closest("Cleanup.Policy"), Some("cleanup.policy"));
        assert_eq!(closest("colour"), None);
        assert_eq!(closest(&"x".repeat(100_000)), None);
    }
}
