//! Tests of the topic configuration.

use super::*;

fn reason(result: Result<TopicConfig>) -> String {
    match result {
        Err(Error::InvalidConfig { reason, .. }) => reason,
        other => panic!("expected InvalidConfig, got {other:?}"),
    }
}

#[test]
fn defaults_are_kafkas_but_for_three() {
    let defaults = TopicConfig::default();
    let expected = [
        ("cleanup.policy", "delete"),
        ("compression.gzip.level", "-1"),
        ("compression.lz4.level", "9"),
        ("compression.type", "producer"),
        ("compression.zstd.level", "3"),
        ("delete.retention.ms", "86400000"),
        ("durability", "written"), // ours
        ("file.delete.delay.ms", "60000"),
        ("flush.messages", "9223372036854775807"),
        ("flush.ms", "1000"), // Kafka: never
        ("index.interval.bytes", "4096"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.compaction.lag.ms", "0"),
        ("preallocate", "false"),
        ("retention.bytes", "-1"),
        ("retention.consumed", ""), // ours
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.index.bytes", "10485760"),
        ("segment.jitter.ms", "0"),
        ("segment.ms", "604800000"),
    ];
    assert_eq!(
        defaults.entries(),
        expected.map(|(key, value)| (key, value.to_owned()))
    );
    assert_eq!(defaults.partitions, 1);
    assert!(defaults.validate().is_ok());
    assert_eq!(defaults.changed_entries(), []);
}

/// For each config a value that is not its default, and the typed setter that sets it.
#[allow(clippy::too_many_lines, reason = "a table")]
fn changed() -> Vec<(&'static str, &'static str, TopicConfig)> {
    let config = TopicConfig::default;
    let minute = Duration::from_secs(60);
    vec![
        (
            "cleanup.policy",
            "compact,delete",
            config().cleanup_policy(CleanupPolicy::CompactAndDelete),
        ),
        (
            "compression.gzip.level",
            "6",
            config().compression_gzip_level(6),
        ),
        (
            "compression.lz4.level",
            "17",
            config().compression_lz4_level(17),
        ),
        (
            "compression.type",
            "uncompressed",
            config().compression(Compression::None),
        ),
        (
            "compression.zstd.level",
            "-5",
            config().compression_zstd_level(-5),
        ),
        (
            "delete.retention.ms",
            "60000",
            config().delete_retention_ms(minute),
        ),
        (
            "durability",
            "synced",
            config().durability(Durability::Synced),
        ),
        (
            "file.delete.delay.ms",
            "0",
            config().file_delete_delay_ms(Duration::ZERO),
        ),
        ("flush.messages", "1", config().flush_messages(Some(1))),
        ("flush.ms", "9223372036854775807", config().flush_ms(None)),
        (
            "index.interval.bytes",
            "0",
            config().index_interval_bytes(0),
        ),
        (
            "max.compaction.lag.ms",
            "60000",
            config().max_compaction_lag_ms(Some(minute)),
        ),
        (
            "max.message.bytes",
            "2147483647",
            config().max_message_bytes(2_147_483_647),
        ),
        (
            "message.timestamp.after.max.ms",
            "60000",
            config().message_timestamp_after_max_ms(Some(minute)),
        ),
        (
            "message.timestamp.before.max.ms",
            "60000",
            config().message_timestamp_before_max_ms(Some(minute)),
        ),
        (
            "message.timestamp.type",
            "LogAppendTime",
            config().timestamp_type(TimestampType::LogAppendTime),
        ),
        (
            "min.cleanable.dirty.ratio",
            "0.01",
            config().min_cleanable_dirty_ratio(0.01),
        ),
        (
            "min.compaction.lag.ms",
            "60000",
            config().min_compaction_lag_ms(minute),
        ),
        ("preallocate", "true", config().preallocate(true)),
        (
            "retention.bytes",
            "9223372036854775807",
            config().retention_bytes(Some(i64::MAX.unsigned_abs())),
        ),
        (
            "retention.consumed",
            "*",
            config().retention_consumed(RetentionConsumed::EveryGroup),
        ),
        ("retention.ms", "-1", config().retention_ms(None)),
        ("segment.bytes", "14", config().segment_bytes(14)),
        (
            "segment.index.bytes",
            "24",
            config().segment_index_bytes(24),
        ),
        (
            "segment.jitter.ms",
            "60000",
            config().segment_jitter_ms(minute),
        ),
        (
            "segment.ms",
            "1",
            config().segment_ms(Duration::from_millis(1)),
        ),
    ]
}

#[test]
fn every_config_is_set_alike_by_name_and_by_type_and_is_read_back() {
    let changed = changed();
    assert_eq!(changed.len(), TopicConfig::default().entries().len());
    for (key, value, typed) in changed {
        let named = TopicConfig::default().set(key, value).unwrap();
        assert_eq!(named, typed, "{key}");
        assert_eq!(named.get(key).as_deref(), Some(value), "{key}");
        assert_eq!(named.changed_entries(), [(key, value.to_owned())]);
        assert!(named.validate().is_ok(), "{key}");
    }
}

#[test]
fn what_is_stored_makes_the_same_config_again() {
    let mut config = TopicConfig::default();
    for (key, value, _) in changed() {
        config = config.set(key, value).unwrap();
    }
    let mut again = TopicConfig::default();
    for (key, value) in config.changed_entries() {
        again = again.set(key, &value).unwrap();
    }
    assert_eq!(again, config);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (key, value) in [
        ("cleanup.policy", "compress"),
        ("compression.gzip.level", "0"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "0"),
        ("compression.type", "none"),
        ("compression.zstd.level", "23"),
        ("delete.retention.ms", "-1"),
        ("durability", "Synced"),
        ("flush.messages", "0"),
        ("flush.ms", "-1"),
        ("index.interval.bytes", "2147483648"),
        ("max.compaction.lag.ms", "0"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "createtime"),
        ("min.cleanable.dirty.ratio", "NaN"),
        ("preallocate", "yes"),
        ("retention.bytes", "-2"),
        ("retention.consumed", "a,,b"),
        ("retention.ms", "9223372036854775808"),
        ("segment.bytes", "13"),
        ("segment.bytes", "2147483648"),
        ("segment.index.bytes", "23"),
        ("segment.ms", "0"),
        ("segment.ms", ""),
    ] {
        let reason = reason(TopicConfig::default().set(key, value));
        assert!(reason.starts_with("it must be "), "{key}={value}: {reason}");
    }
}

#[test]
fn what_typed_setters_set_is_validated_too() {
    for (key, config) in [
        ("partitions", TopicConfig::default().partitions(0)),
        (
            "partitions",
            TopicConfig::default().partitions(MAX_PARTITIONS + 1),
        ),
        ("segment.bytes", TopicConfig::default().segment_bytes(13)),
        (
            "segment.bytes",
            TopicConfig::default().segment_bytes(u64::MAX),
        ),
        (
            "max.message.bytes",
            TopicConfig::default().max_message_bytes(usize::MAX),
        ),
        (
            "retention.bytes",
            TopicConfig::default().retention_bytes(Some(u64::MAX)),
        ),
        (
            "retention.consumed",
            TopicConfig::default()
                .retention_consumed(RetentionConsumed::Groups(vec!["a,b".to_owned()])),
        ),
        (
            "flush.messages",
            TopicConfig::default().flush_messages(Some(0)),
        ),
        (
            "min.cleanable.dirty.ratio",
            TopicConfig::default().min_cleanable_dirty_ratio(f64::NAN),
        ),
        (
            "segment.ms",
            TopicConfig::default().segment_ms(Duration::from_micros(999)),
        ),
    ] {
        match config.validate() {
            Err(Error::InvalidConfig { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{key}: expected InvalidConfig, got {other:?}"),
        }
    }
}

#[test]
fn the_least_lag_is_not_above_the_largest() {
    let lag = Duration::from_millis;
    let config = TopicConfig::default().max_compaction_lag_ms(Some(lag(10)));
    assert!(
        config
            .clone()
            .min_compaction_lag_ms(lag(10))
            .validate()
            .is_ok()
    );
    assert!(config.min_compaction_lag_ms(lag(11)).validate().is_err());
}

#[test]
fn times_of_any_length_can_be_written_down() {
    let config = TopicConfig::default()
        .segment_ms(Duration::MAX)
        .retention_ms(Some(Duration::MAX));
    assert!(config.validate().is_ok());
    assert_eq!(
        config.get("segment.ms").as_deref(),
        Some("9223372036854775807")
    );
    assert_eq!(
        TopicConfig::default()
            .segment_ms(Duration::from_micros(1_999))
            .get("segment.ms")
            .unwrap(),
        "1"
    );
}

#[test]
fn blanks_around_a_value_do_not_count() {
    let config = TopicConfig::default()
        .set("segment.bytes", " 1024 ")
        .unwrap();
    assert_eq!(config.segment_bytes, 1024);
}

#[test]
fn an_unknown_name_gets_a_hint() {
    let set = |key| reason(TopicConfig::default().set(key, "1"));
    assert_eq!(
        set("retention_ms"),
        "no topic config has this name; did you mean retention.ms?"
    );
    assert_eq!(set("colour"), "no topic config has this name");
    assert!(set("min.insync.replicas").contains("one process"));
    assert!(set("partitions").contains("TopicConfig::partitions"));
    assert_eq!(TopicConfig::default().get("colour"), None);
}

#[test]
fn the_table_in_the_documents_has_every_config_and_its_default() {
    let table = include_str!("../../docs/configuration.md");
    let rows: Vec<_> = table.lines().filter(|it| it.starts_with("| `")).collect();
    let described = TopicConfig::default().describe();
    assert_eq!(rows.len(), described.len());
    for (row, entry) in rows.iter().zip(&described) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let default = match &*entry.default {
            "" => "(empty)".to_owned(),
            value => format!("`{value}`"),
        };
        assert_eq!(
            (cells[1], cells[3]),
            (&*format!("`{}`", entry.name), &*default)
        );
        let differs = cells[2] != cells[3];
        assert!(!differs || !cells[4].is_empty(), "{row}: no reason");
    }
    for name in entries::REFUSED {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
}
