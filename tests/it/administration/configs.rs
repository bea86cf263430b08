//! Configurations: every key is kept, is bounded, and takes effect.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, CleanupPolicy, Compression, ConfigOp, ConfigSource, Error, Record, TopicConfig,
};

use crate::support::{self, START, log_file};

/// For each config a value that is not its default.
const CHANGED: [(&str, &str); 26] = [
    ("cleanup.policy", "compact,delete"),
    ("compression.gzip.level", "1"),
    ("compression.lz4.level", "17"),
    ("compression.type", "gzip"),
    ("compression.zstd.level", "-131072"),
    ("delete.retention.ms", "0"),
    ("durability", "synced"),
    ("file.delete.delay.ms", "9223372036854775807"),
    ("flush.messages", "1"),
    ("flush.ms", "9223372036854775807"),
    ("index.interval.bytes", "0"),
    ("max.compaction.lag.ms", "1000"),
    ("max.message.bytes", "2147483647"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.before.max.ms", "0"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.cleanable.dirty.ratio", "0.125"),
    ("min.compaction.lag.ms", "1000"),
    ("preallocate", "true"),
    ("retention.bytes", "0"),
    ("retention.consumed", "billing,audit log"),
    ("retention.ms", "-1"),
    ("segment.bytes", "2147483647"),
    ("segment.index.bytes", "24"),
    ("segment.jitter.ms", "9223372036854775807"),
    ("segment.ms", "1"),
];

/// For each config that is bounded: values at the bounds, and values right beyond.
const BOUNDS: [(&str, &[&str], &[&str]); 26] = [
    (
        "cleanup.policy",
        &["delete", "compact", "delete,compact"],
        &["", ",", "Compact", "compact,"],
    ),
    (
        "compression.gzip.level",
        &["-1", "1", "9"],
        &["-2", "0", "10"],
    ),
    ("compression.lz4.level", &["1", "17"], &["0", "18", "-1"]),
    (
        "compression.type",
        &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"],
        &["none", "GZIP", ""],
    ),
    (
        "compression.zstd.level",
        &["-131072", "0", "22"],
        &["-131073", "23"],
    ),
    ("delete.retention.ms", &["0", MAX], &["-1", OVER]),
    (
        "durability",
        &["written", "synced"],
        &["Written", "all", ""],
    ),
    ("file.delete.delay.ms", &["0", MAX], &["-1", OVER]),
    ("flush.messages", &["1", MAX], &["0", "-1", OVER]),
    ("flush.ms", &["0", MAX], &["-1", OVER]),
    (
        "index.interval.bytes",
        &["0", "2147483647"],
        &["-1", "2147483648"],
    ),
    ("max.compaction.lag.ms", &["1", MAX], &["0", "-1", OVER]),
    (
        "max.message.bytes",
        &["0", "2147483647"],
        &["-1", "2147483648"],
    ),
    ("message.timestamp.after.max.ms", &["0", MAX], &["-1", OVER]),
    (
        "message.timestamp.before.max.ms",
        &["0", MAX],
        &["-1", OVER],
    ),
    (
        "message.timestamp.type",
        &["CreateTime", "LogAppendTime"],
        &["createTime", ""],
    ),
    (
        "min.cleanable.dirty.ratio",
        &["0", "1", "0.5"],
        &["-0.1", "1.1", "NaN", ""],
    ),
    ("min.compaction.lag.ms", &["0", MAX], &["-1", OVER]),
    ("preallocate", &["true", "false"], &["TRUE", "1", ""]),
    ("retention.bytes", &["-1", "0", MAX], &["-2", OVER]),
    (
        "retention.consumed",
        &["", "*", "a", "a,b"],
        &["a,,b", "*,a", ","],
    ),
    ("retention.ms", &["-1", "0", MAX], &["-2", OVER]),
    (
        "segment.bytes",
        &["14", "2147483647"],
        &["13", "2147483648", "1e6", "1 MiB"],
    ),
    (
        "segment.index.bytes",
        &["24", "2147483647"],
        &["23", "2147483648"],
    ),
    ("segment.jitter.ms", &["0", MAX], &["-1", OVER]),
    ("segment.ms", &["1", MAX], &["0", "-1", OVER]),
];
const MAX: &str = "9223372036854775807";
const OVER: &str = "9223372036854775808";

fn names() -> Vec<&'static str> {
    let described = TopicConfig::default().describe();
    described.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn every_config_is_there_after_a_kill_and_after_a_close() {
    assert_eq!(CHANGED.map(|(key, _)| key).to_vec(), names());
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    for (key, value) in CHANGED {
        let topic = key.replace('.', "-");
        broker.create_topic(&topic, TopicConfig::default()).unwrap();
        let set = [ConfigOp::set(key, value)];
        broker.alter_topic_config(&topic, &set).unwrap();
    }
    let holds = |broker: &Broker| {
        for (key, value) in CHANGED {
            let topic = broker.topic(&key.replace('.', "-")).unwrap();
            for entry in topic.config().describe() {
                let (expected, source) = if entry.name == key {
                    (value, ConfigSource::Topic)
                } else {
                    (&*entry.default, ConfigSource::Default)
                };
                let found = (&*entry.value, entry.source);
                assert_eq!(found, (expected, source), "{key}: {}", entry.name);
            }
        }
    };
    holds(&broker);
    let killed = support::open(&disk.duplicate()).unwrap();
    holds(&killed);
    broker.close().unwrap();
    holds(&support::open(&disk).unwrap());
}

#[test]
fn a_config_that_was_reset_stays_reset() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let all = CHANGED
        .iter()
        .fold(TopicConfig::default(), |config, (key, value)| {
            config.set(key, value).unwrap()
        });
    broker.create_topic("t", all).unwrap();
    let ops: Vec<_> = names().into_iter().map(ConfigOp::delete).collect();
    broker.alter_topic_config("t", &ops).unwrap();
    for broker in [&broker, &support::open(&disk.duplicate()).unwrap()] {
        let config = broker.topic("t").unwrap().config();
        assert_eq!(*config, TopicConfig::default());
    }
}

#[test]
fn every_config_takes_the_values_at_its_bounds_and_none_beyond() {
    assert_eq!(BOUNDS.map(|(key, _, _)| key).to_vec(), names());
    let broker = Broker::in_memory();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    for (key, allowed, refused) in BOUNDS {
        for value in allowed {
            let set = [ConfigOp::set(key, *value)];
            broker.alter_topic_config("t", &set).unwrap();
        }
        let before = topic.config().get(key);
        for value in refused {
            let set = [ConfigOp::set(key, *value)];
            match broker.alter_topic_config("t", &set) {
                Err(Error::InvalidConfig {
                    key: found,
                    value: shown,
                    reason,
                }) => {
                    assert_eq!((&*found, &*shown), (key, *value));
                    assert!(reason.starts_with("it must be "), "{key}: {reason}");
                }
                other => panic!("{key}={value}: {other:?}"),
            }
            assert_eq!(topic.config().get(key), before, "{key}={value}");
        }
        let delete = [ConfigOp::delete(key)];
        broker.alter_topic_config("t", &delete).unwrap();
    }
}

#[test]
fn steps_are_taken_together_or_not_at_all() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let topic = broker
        .create_topic(
            "t",
            TopicConfig::default().partitions(3).segment_bytes(1000),
        )
        .unwrap();
    let refused = broker.alter_topic_config(
        "t",
        &[
            ConfigOp::set("segment.ms", "5"),
            ConfigOp::delete("segment.bytes"),
            ConfigOp::append("retention.ms", "5"),
        ],
    );
    assert!(matches!(refused, Err(Error::InvalidConfig { key, .. }) if key == "retention.ms"));
    let expected = TopicConfig::default().partitions(3).segment_bytes(1000);
    assert_eq!(*topic.config(), expected);

    let steps = [
        ConfigOp::append("cleanup.policy", "compact"),
        ConfigOp::subtract("cleanup.policy", "delete"),
        ConfigOp::append("retention.consumed", "billing"),
        ConfigOp::append("retention.consumed", "audit,billing"),
        ConfigOp::set("segment.ms", "5"),
    ];
    broker.alter_topic_config("t", &steps).unwrap();
    let config = topic.config();
    assert_eq!(config.values().cleanup_policy(), CleanupPolicy::Compact);
    assert_eq!(config.values().segment_bytes(), 1000);
    assert_eq!(config.get("retention.consumed").unwrap(), "billing,audit");
    assert_eq!(
        (topic.partition_count(), config.values().partitions()),
        (3, 3)
    );
    let steps = [ConfigOp::subtract("retention.consumed", "audit, billing")];
    broker.alter_topic_config("t", &steps).unwrap();
    assert_eq!(topic.config().get("retention.consumed").unwrap(), "");
    let unknown = broker.alter_topic_config("none", &steps);
    assert!(matches!(unknown, Err(Error::UnknownTopic { .. })));
}

#[test]
fn what_contradicts_itself_is_judged_after_the_last_step() {
    let broker = Broker::in_memory();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let lags = |min: &str, max: &str| {
        let set = |key, value| ConfigOp::set(key, value);
        broker.alter_topic_config(
            "t",
            &[
                set("min.compaction.lag.ms", min),
                set("max.compaction.lag.ms", max),
            ],
        )
    };
    lags("10", "10").unwrap();
    // The first step alone would not do.
    lags("20", "30").unwrap();
    let refused = lags("31", "30");
    assert!(
        matches!(&refused, Err(Error::InvalidConfig { key, value, .. })
            if key == "min.compaction.lag.ms" && value == "31"),
        "{refused:?}"
    );
}

#[test]
fn changes_made_at_the_same_time_do_not_undo_each_other() {
    let broker = Arc::new(Broker::in_memory());
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let change = |key: &'static str| {
        let broker = Arc::clone(&broker);
        thread::spawn(move || {
            for value in 1..=50 {
                let set = [ConfigOp::set(key, value.to_string())];
                broker.alter_topic_config("t", &set).unwrap();
            }
        })
    };
    let threads = ["segment.ms", "retention.ms", "flush.ms"].map(change);
    for thread in threads {
        thread.join().unwrap();
    }
    for key in ["segment.ms", "retention.ms", "flush.ms"] {
        assert_eq!(topic.config().get(key).as_deref(), Some("50"), "{key}");
    }
}

/// Words in an order that takes effort to compress.
fn text() -> Vec<u8> {
    let mut state: u32 = 1;
    let words = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf",
    ];
    let mut text = Vec::new();
    while text.len() < 60_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words[(state >> 24) as usize % words.len()];
        text.extend_from_slice(word.as_bytes());
    }
    text
}

#[test]
fn a_higher_level_makes_smaller_batches_from_the_next_batch_on() {
    let text = text();
    for (codec, key, fast, small) in [
        (Compression::Gzip, "compression.gzip.level", "1", "9"),
        (Compression::Zstd, "compression.zstd.level", "-100", "19"),
    ] {
        let broker = Broker::in_memory();
        let config = TopicConfig::default().compression(codec);
        let topic = broker.create_topic("t", config).unwrap();
        let partition = topic.partition(0).unwrap();
        let first = partition.append(&[Record::value_only(&text)]);
        if matches!(first, Err(Error::UnsupportedCompression { .. })) {
            continue;
        }
        let producer = broker.producer().linger(Duration::ZERO).build().unwrap();
        let mut sizes = Vec::new();
        for level in [fast, small] {
            let set = [ConfigOp::set(key, level)];
            broker.alter_topic_config("t", &set).unwrap();
            let before = partition.size_bytes();
            partition.append(&[Record::value_only(&text)]).unwrap();
            let between = partition.size_bytes();
            producer.send(Record::to("t").value(&text)).unwrap();
            producer.flush().unwrap();
            sizes.push((between - before, partition.size_bytes() - between));
        }
        assert!(sizes[1].0 < sizes[0].0, "{codec}, appended: {sizes:?}");
        assert!(sizes[1].1 < sizes[0].1, "{codec}, sent: {sizes:?}");
        let mut reader = partition.reader(streamlog::Position::Earliest).unwrap();
        for _ in 0..5 {
            let record = reader.next().unwrap().unwrap();
            assert_eq!(record.value(), Some(&text[..]));
        }
    }
}

#[test]
fn partitions_with_a_jitter_begin_segments_at_times_of_their_own() {
    let minute: i64 = 60_000;
    let rolled_at = |disk: &SimDisk| -> Vec<i64> {
        let broker = support::open(disk).unwrap();
        let config = TopicConfig::default()
            .partitions(8)
            .segment_ms(Duration::from_secs(60))
            .segment_jitter_ms(Duration::from_secs(50));
        let topic = broker.create_topic("t", config).unwrap();
        let rolled = topic.partitions().into_iter().map(|partition| {
            let mut time = 0;
            while partition.describe().unwrap().segments < 2 {
                let record = Record::value_only("v").timestamp(START + time);
                partition.append(&[record]).unwrap();
                time += 1000;
            }
            time - 1000
        });
        rolled.collect()
    };
    let disk = SimDisk::new();
    let times = rolled_at(&disk);
    assert!(
        times
            .iter()
            .all(|time| (10_000..=minute + 1000).contains(time)),
        "{times:?}"
    );
    assert!(times.iter().any(|time| *time != times[0]), "{times:?}");
    assert_eq!(rolled_at(&SimDisk::new()), times, "the seed decides");
}

#[test]
fn a_compacted_topic_finishes_segments_within_the_largest_lag() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .max_compaction_lag_ms(Some(Duration::from_millis(100)));
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    for time in [0, 100, 101] {
        let record = Record::value_only("v").key("k").timestamp(START + time);
        partition.append(&[record]).unwrap();
    }
    assert!(disk.read(log_file("t-0", 2)).is_some());
    assert!(disk.read(log_file("t-0", 1)).is_none());
}
