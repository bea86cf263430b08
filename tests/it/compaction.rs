//! Compaction as applications meet it: it comes by itself, and frees space without losing the latest record
//! of a key.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, BrokerBuilder, CleanupPolicy, Compression, ConfigOp, Error, ManualClock, Partition,
    Position, Record, Result, TopicConfig, TopicPartition,
};
use tempfile::TempDir;

fn builder(dir: &TempDir) -> BrokerBuilder {
    Broker::builder(dir.path()).background(false)
}

fn compacted() -> TopicConfig {
    TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(4 << 10)
}

fn append(partition: &Partition, key: &str, value: &str) -> Result<u64> {
    partition.append(&[Record::to("t").key(key).value(value)])
}

/// The latest value of each key.
fn table(partition: &Partition) -> BTreeMap<String, String> {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut table = BTreeMap::new();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    while let Some(record) = reader.next().unwrap() {
        table.insert(text(record.key()), text(record.value()));
    }
    table
}

#[test]
fn the_background_thread_compacts_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    let partition = topic.partition(0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut number = 0;
    // As long as records come, segments are finished, and the thread is told.
    while partition
        .reader(Position::Earliest)
        .unwrap()
        .next()
        .unwrap()
        .is_none_or(|it| it.offset() == 0)
    {
        assert!(Instant::now() < deadline, "nothing was compacted");
        append(
            &partition,
            &format!("k{}", number % 10),
            &format!("v{number}"),
        )
        .unwrap();
        number += 1;
        thread::yield_now();
    }
    let expected =
        (number.max(10) - 10..number).map(|it| (format!("k{}", it % 10), format!("v{it}")));
    assert_eq!(table(&partition), expected.collect());
}

#[test]
fn committed_offsets_are_compacted_and_stay_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let broker = builder(&dir).offsets_topic_partitions(1).open().unwrap();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    topic
        .partition(0)
        .unwrap()
        .append(&[(); 100].map(|()| Record::value_only("v")))
        .unwrap();
    let id = TopicPartition::new("t", 0);
    let other = broker.group("other");
    other.reset_offsets("t", Position::Offset(7)).unwrap();
    let internal = broker.topic("__consumer_offsets").unwrap();
    let config = internal
        .config()
        .as_ref()
        .clone()
        .segment_bytes(2 << 10)
        .max_message_bytes(1 << 10);
    broker.alter_topic("__consumer_offsets", config).unwrap();
    let mut consumer = broker.consumer().group("g").build().unwrap();
    consumer.assign(std::slice::from_ref(&id)).unwrap();
    for round in 0..1000 {
        consumer
            .commit_offsets(&[(id.clone(), round % 100)])
            .unwrap();
    }
    let log = internal.partition(0).unwrap();
    let before = log.size_bytes();
    broker.run_housekeeping().unwrap();
    assert!(
        log.size_bytes() < before / 10,
        "{before} and {}",
        log.size_bytes()
    );
    drop(consumer);
    drop((log, internal, topic, other));
    broker.close().unwrap();
    let broker = builder(&dir).open().unwrap();
    assert!(
        broker.recovery_report().is_clean(),
        "{:?}",
        broker.recovery_report()
    );
    for (group, offset) in [("g", 99), ("other", 7)] {
        let consumer = broker.consumer().group(group).build().unwrap();
        assert_eq!(consumer.committed(&id).unwrap(), Some(offset), "{group}");
    }
}

#[test]
fn a_full_budget_is_freed_by_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 64 << 10;
    let broker = builder(&dir).max_disk_bytes(Some(budget)).open().unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    let partition = topic.partition(0).unwrap();
    let (mut refused, mut expected) = (0, BTreeMap::new());
    for number in 0..3000 {
        let (key, value) = (
            format!("k{}", number % 7),
            format!("value {number} {}", "x".repeat(100)),
        );
        if let Err(error) = append(&partition, &key, &value) {
            assert!(matches!(error, Error::DiskBudget { .. }), "{error}");
            refused += 1;
            broker.run_housekeeping().unwrap();
            append(&partition, &key, &value).unwrap();
        }
        expected.insert(key, value);
        assert!(broker.disk_bytes().unwrap() <= budget);
    }
    assert!(refused > 3, "{refused} refused");
    assert_eq!(table(&partition), expected);
}

#[test]
fn old_records_of_a_compacted_topic_go_if_it_deletes_too() {
    let clock = ManualClock::new(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let broker = builder(&dir).clock(clock.clone()).open().unwrap();
    let both = compacted()
        .cleanup_policy(CleanupPolicy::CompactAndDelete)
        .retention_ms(Some(Duration::from_secs(3600)));
    let topic = broker.create_topic("t", both).unwrap();
    let partition = topic.partition(0).unwrap();
    for number in 0..200 {
        append(&partition, &format!("k{}", number % 20), "v").unwrap();
    }
    broker.run_housekeeping().unwrap();
    assert_eq!(table(&partition).len(), 20);
    assert!(partition.log_start_offset() == 0);
    clock.advance(Duration::from_secs(3601));
    broker.run_housekeeping().unwrap();
    assert_eq!(partition.log_start_offset(), 200);
    assert_eq!(table(&partition).len(), 0);
}

#[test]
fn an_idle_log_is_compacted_once_a_record_has_waited_too_long() {
    let clock = ManualClock::new(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let broker = builder(&dir).clock(clock.clone()).open().unwrap();
    let config = compacted().max_compaction_lag_ms(Some(Duration::from_secs(60)));
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    append(&partition, "k", "old").unwrap();
    append(&partition, "k", "new").unwrap();
    broker.run_housekeeping().unwrap();
    let first = |partition: &Partition| {
        let mut reader = partition.reader(Position::Earliest).unwrap();
        reader.next().unwrap().map(|record| record.offset())
    };
    assert_eq!(first(&partition), Some(0), "it is the active segment's");
    clock.advance(Duration::from_secs(61));
    broker.run_housekeeping().unwrap();
    assert_eq!(first(&partition), Some(1));
}

#[test]
fn kafka_is_told_up_to_where_a_log_is_clean() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cleaner-offset-checkpoint");
    let broker = builder(&dir).open().unwrap();
    broker
        .create_topic("other", TopicConfig::default())
        .unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    let partition = topic.partition(0).unwrap();
    let mut number = 0_u64;
    while partition.size_bytes() < 12 << 10 {
        append(&partition, &format!("k{}", number % 10), "value").unwrap();
        number += 1;
    }
    broker.run_housekeeping().unwrap();
    let copy = dir.path().with_extension("copy");
    broker.checkpoint(&copy).unwrap();
    drop((partition, topic));
    broker.close().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let clean: u64 = text
        .strip_prefix("0\n1\nt 0 ")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(clean > number / 2 && clean < number, "{clean} of {number}");
    let copied = std::fs::read_to_string(copy.join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(copied, text);
    std::fs::remove_dir_all(copy).unwrap();
    let broker = builder(&dir).open().unwrap();
    broker.delete_topic("t").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n0\n");
}

#[test]
fn a_topic_made_again_is_compacted_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = || std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint"));
    let fill = |partition: &Partition, value: &str| {
        let mut number = 0_u64;
        while partition.describe().unwrap().segments < 4 {
            append(partition, &format!("k{}", number % 10), value).unwrap();
            number += 1;
        }
    };
    let broker = builder(&dir).open().unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    fill(&topic.partition(0).unwrap(), "first");
    broker.run_housekeeping().unwrap();
    drop(topic);
    broker.close().unwrap();
    assert!(checkpoint().unwrap().starts_with("0\n1\nt 0 "));

    let broker = builder(&dir).open().unwrap();
    broker.delete_topic("t").unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    let partition = topic.partition(0).unwrap();
    fill(&partition, "second");
    let described = partition.describe().unwrap();
    assert_eq!(described.first_dirty_offset, Some(0));
    assert_eq!(described.dirty_ratio, Some(1.0));
    let before = table(&partition);
    broker.run_housekeeping().unwrap();
    let first_dirty = partition.describe().unwrap().first_dirty_offset.unwrap();
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let mut left = 0;
    while let Some(record) = reader.next().unwrap() {
        left += u64::from(record.offset() < first_dirty);
    }
    assert!(left <= 10, "{left} records of ten keys");
    assert_eq!(table(&partition), before);
    drop((reader, partition, topic));
    broker.close().unwrap();
    assert_eq!(checkpoint().unwrap(), format!("0\n1\nt 0 {first_dirty}\n"));
}

#[test]
fn what_stays_of_a_batch_is_compressed_at_the_level_in_force() {
    // Words in an order that takes effort to compress.
    let words = ["alpha ", "bravo ", "charlie ", "delta ", "echo "];
    let mixed = (0..4_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33);
    let text: String = mixed
        .map(|mixed| words[usize::try_from(mixed).unwrap() % words.len()])
        .collect();
    for (codec, key, fast, small) in [
        (Compression::Gzip, "compression.gzip.level", "1", "9"),
        (Compression::Zstd, "compression.zstd.level", "-100", "19"),
    ] {
        let size_at = |level: &str| {
            let broker = Broker::builder("data").storage(SimDisk::new());
            let broker = broker.background(false).open().unwrap();
            let config = compacted().segment_bytes(100_000).compression(codec);
            let config = config.set(key, fast).unwrap();
            let topic = broker.create_topic("t", config).unwrap();
            let partition = topic.partition(0).unwrap();
            let record = |key| Record::to("t").key(key).value(&text);
            match partition.append(&[record("goes"), record("stays")]) {
                Err(Error::UnsupportedCompression { .. }) => return None,
                appended => appended.unwrap(),
            };
            while partition.describe().unwrap().segments < 2 {
                append(&partition, "goes", &text).unwrap();
            }
            broker
                .alter_topic_config("t", &[ConfigOp::set(key, level)])
                .unwrap();
            broker.run_housekeeping().unwrap();
            assert_eq!(table(&partition).len(), 2);
            Some(partition.size_bytes())
        };
        if let (Some(before), Some(after)) = (size_at(fast), size_at(small)) {
            assert!(after < before, "{codec}: {after} bytes, {before} before");
        }
    }
}

#[test]
fn a_kafka_log_that_is_not_compacted_here_stays_as_clean_as_kafka_left_it() {
    let dir = tempfile::tempdir().unwrap();
    let write = |checkpoint: &str| {
        std::fs::write(dir.path().join("cleaner-offset-checkpoint"), checkpoint).unwrap();
    };
    let broker = builder(&dir).open().unwrap();
    let topic = broker.create_topic("t", compacted()).unwrap();
    for key in ["a", "b", "c"] {
        append(&topic.partition(0).unwrap(), key, "value").unwrap();
    }
    drop(topic);
    broker.close().unwrap();
    // As Kafka leaves it: nothing of ours, but its own checkpoint.
    for name in ["topics.manifest", "durable-ends"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    write("0\n2\ngone 0 7\nt 0 2\n");
    for (stored, left) in [("t 0 2", "t 0 2"), ("t 0 9", "t 0 3")] {
        write(&format!("0\n2\ngone 0 7\n{stored}\n"));
        builder(&dir).open().unwrap().close().unwrap();
        let text = std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap();
        assert_eq!(text, format!("0\n1\n{left}\n"), "of {stored}");
    }
}
