//! Descriptions: they say what is there, and read none of it.

use streamlog::sim::SimDisk;
use streamlog::{
    CleanupPolicy, ConfigSource, Durability, OffsetAndTimestamp, Partition, Record, TimestampType,
    TopicConfig,
};

use crate::support::{self, START, log_file};

fn append(partition: &Partition, timestamps: &[i64]) {
    let records: Vec<_> = timestamps
        .iter()
        .map(|time| Record::value_only("v").key("k").timestamp(*time))
        .collect();
    partition.append(&records).unwrap();
}

fn place(found: Option<OffsetAndTimestamp>) -> Option<(u64, i64)> {
    found.map(|found| (found.offset, found.timestamp))
}

#[test]
fn a_topic_is_described_before_and_after_it_is_opened_again() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().partitions(3).segment_bytes(200);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(1).unwrap();
    for time in [50, 90, 70, 60] {
        append(&partition, &[time, time + 1]);
    }
    let holds = |topic: &streamlog::Topic| {
        let described = topic.describe().unwrap();
        assert_eq!(described.name, "t");
        assert_eq!(described.id, topic.id());
        assert!(!described.is_internal && !described.is_adopted);
        let changed = described.configs.iter().filter(|it| !it.is_default());
        let changed: Vec<_> = changed.map(|it| (it.name, &*it.value, it.source)).collect();
        assert_eq!(changed, [("segment.bytes", "200", ConfigSource::Topic)]);

        let [empty, full, _] = &described.partitions[..] else {
            panic!("{described:?}");
        };
        assert_eq!((empty.partition, empty.segments), (0, 1));
        assert_eq!(
            (empty.earliest_timestamp, empty.latest_timestamp),
            (None, None)
        );
        assert_eq!((full.partition, full.high_watermark), (1, 8));
        assert_eq!(full.last_stable_offset, 8);
        assert!(full.segments > 1, "{full:?}");
        let files: u64 = disk
            .files()
            .iter()
            .filter(|(path, _)| {
                path.starts_with("data/t-1") && path.extension().is_some_and(|it| it == "log")
            })
            .map(|(_, size)| *size)
            .sum();
        assert_eq!(full.size_bytes, files);
        assert_eq!(
            (full.earliest_timestamp, full.latest_timestamp),
            (Some(50), Some(91))
        );
        assert!(full.damage.is_none() && full.write_failure.is_none());
        assert!(full.compaction_failure.is_none() && full.dirty_ratio.is_none());
        let partition = topic.partition(1).unwrap();
        let latest = partition.offset_of_max_timestamp().unwrap();
        assert_eq!(place(latest), Some((3, 91)));
        let found = partition.first_at_or_after(60).unwrap();
        assert_eq!(place(found), Some((2, 90)));
        assert_eq!(place(partition.first_at_or_after(92).unwrap()), None);
    };
    partition.flush().unwrap();
    holds(&topic);
    holds(
        &support::open(&disk.duplicate())
            .unwrap()
            .topic("t")
            .unwrap(),
    );
    broker.close().unwrap();
    holds(&support::open(&disk).unwrap().topic("t").unwrap());
}

#[test]
fn the_first_of_the_latest_records_is_found_wherever_the_log_starts() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let partition = topic.partition(0).unwrap();
    append(&partition, &[9, 1, 7, 7]);
    append(&partition, &[3, 6, 6]);
    append(&partition, &[-1]);
    let timestamps = [9, 1, 7, 7, 3, 6, 6, -1];
    for start in 0..=8 {
        partition.delete_records(start).unwrap();
        let left = timestamps
            .iter()
            .enumerate()
            .skip(start.try_into().unwrap());
        let expected = left
            .filter(|(_, time)| **time >= 0)
            .max_by_key(|(offset, time)| (**time, std::cmp::Reverse(*offset)))
            .map(|(offset, time)| (offset as u64, *time));
        let found = partition.offset_of_max_timestamp().unwrap();
        assert_eq!(place(found), expected, "from {start}");
    }
    let described = partition.describe().unwrap();
    assert_eq!(
        (described.earliest_timestamp, described.latest_timestamp),
        (None, None)
    );
}

#[test]
fn what_is_not_durable_yet_is_not_the_latest_where_readers_do_not_see_it() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().durability(Durability::Synced);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    append(&partition, &[5, 4]);
    let producer = broker.producer().build().unwrap();
    let sent = producer
        .send(Record::to("t").value("v").timestamp(6))
        .unwrap();
    let latest = || place(partition.offset_of_max_timestamp().unwrap());
    assert_eq!(latest(), Some((0, 5)));
    sent.wait().unwrap();
    assert_eq!(latest(), Some((2, 6)));
}

#[test]
fn times_that_the_log_stamped_are_told() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().timestamp_type(TimestampType::LogAppendTime);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    append(&partition, &[1, 2]);
    let described = partition.describe().unwrap();
    assert_eq!(described.earliest_timestamp, Some(START));
    assert_eq!(described.latest_timestamp, Some(START));
    let latest = partition.offset_of_max_timestamp().unwrap();
    assert_eq!(place(latest), Some((0, START)));
}

#[test]
fn how_dirty_a_compacted_partition_is_is_told() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default()
        .segment_bytes(200)
        .cleanup_policy(CleanupPolicy::Compact);
    let topic = broker.create_topic("t", config).unwrap();
    let partition = topic.partition(0).unwrap();
    let described = partition.describe().unwrap();
    assert_eq!(described.dirty_ratio, Some(0.0));
    assert_eq!(described.first_dirty_offset, Some(0));
    for time in 0..10 {
        append(&partition, &[START + time]);
    }
    let described = partition.describe().unwrap();
    assert_eq!(described.dirty_ratio, Some(1.0));
    assert_eq!(described.first_dirty_offset, Some(0));
}

#[test]
fn damage_is_part_of_the_description() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().segment_bytes(200);
    let topic = broker.create_topic("t", config).unwrap();
    for time in 0..10 {
        append(&topic.partition(0).unwrap(), &[time]);
    }
    broker.close().unwrap();
    let bases: Vec<_> = disk
        .files()
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|it| it == "log"))
        .map(|(path, _)| path.clone())
        .collect();
    disk.remove(bases.last().unwrap());
    let broker = support::open(&disk).unwrap();
    let described = broker.topic("t").unwrap().describe().unwrap();
    assert!(described.partitions[0].damage.is_some(), "{described:?}");
    assert!(disk.read(log_file("t-0", 0)).is_some());
}
