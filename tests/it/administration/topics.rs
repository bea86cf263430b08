//! Topics: checked without being made, listed, and made again without a memory.

use streamlog::sim::SimDisk;
use streamlog::{CleanupPolicy, Error, Position, Record, TopicConfig};

use crate::support;

#[test]
fn a_topic_that_is_validated_is_not_made() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("a.b", TopicConfig::default()).unwrap();
    let before = disk.image();
    let default = TopicConfig::default();
    broker.validate_topic("t", &default).unwrap();
    let check = |name: &str, config: &TopicConfig| broker.validate_topic(name, config).unwrap_err();
    assert!(matches!(check("a.b", &default), Error::TopicExists { .. }));
    assert!(matches!(
        check("a_b", &default),
        Error::TopicExists { topic } if topic == "a.b"
    ));
    assert!(matches!(
        check("no/slash", &default),
        Error::InvalidTopicName { .. }
    ));
    let bad = default.clone().partitions(0);
    assert!(matches!(check("t", &bad), Error::InvalidConfig { .. }));
    assert_eq!(disk.image(), before, "nothing was written");
    assert_eq!(broker.topics().len(), 1);
    broker.create_topic("t", default).unwrap();
}

#[test]
fn internal_topics_are_listed_to_those_who_ask() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    broker
        .group("g")
        .reset_offsets("t", Position::Latest)
        .unwrap();
    let names = |topics: Vec<streamlog::Topic>| {
        topics
            .iter()
            .map(|topic| (topic.name().to_owned(), topic.is_internal()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(broker.topics()), [("t".to_owned(), false)]);
    assert_eq!(
        names(broker.all_topics()),
        [
            ("__consumer_offsets".to_owned(), true),
            ("t".to_owned(), false)
        ]
    );
}

#[test]
fn a_topic_made_again_inherits_nothing() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default()
        .partitions(2)
        .segment_bytes(200)
        .cleanup_policy(CleanupPolicy::CompactAndDelete);
    let old = broker.create_topic("t", config).unwrap();
    for _ in 0..10 {
        let record = Record::value_only("v").key("k").timestamp(5);
        old.partition(0).unwrap().append(&[record]).unwrap();
    }
    old.partition(0).unwrap().delete_records(3).unwrap();
    let group = broker.group("g");
    group.reset_offsets("t", Position::Latest).unwrap();
    let old_id = old.id();
    broker.delete_topic("t").unwrap();
    assert!(matches!(old.describe(), Err(Error::Closed(_))));

    let new = broker.create_topic("t", TopicConfig::default()).unwrap();
    let is_new = |topic: &streamlog::Topic, group: &streamlog::ConsumerGroup| {
        let described = topic.describe().unwrap();
        assert_ne!(described.id, old_id);
        assert!(
            described
                .configs
                .iter()
                .all(streamlog::ConfigEntry::is_default)
        );
        let [partition] = &described.partitions[..] else {
            panic!("{described:?}");
        };
        assert_eq!(
            (partition.log_start_offset, partition.high_watermark),
            (0, 0)
        );
        assert_eq!((partition.segments, partition.size_bytes), (1, 0));
        assert_eq!(partition.latest_timestamp, None);
        assert_eq!(partition.dirty_ratio, None);
        assert_eq!(group.export().unwrap(), []);
    };
    is_new(&new, &group);
    let killed = support::open(&disk.duplicate()).unwrap();
    is_new(&killed.topic("t").unwrap(), &killed.group("g"));
    broker.close().unwrap();
    let reopened = support::open(&disk).unwrap();
    is_new(&reopened.topic("t").unwrap(), &reopened.group("g"));
}

#[test]
fn altering_a_topic_takes_no_partition_away() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().partitions(3);
    let topic = broker.create_topic("t", config).unwrap();
    let record = Record::value_only("v");
    topic.partition(2).unwrap().append(&[record]).unwrap();
    let fewer = TopicConfig::default().partitions(1);
    broker.alter_topic("t", fewer).unwrap();
    drop(topic);
    broker.close().unwrap();
    let broker = support::open(&disk).unwrap();
    let topic = broker.topic("t").unwrap();
    assert_eq!(topic.partition_count(), 3);
    assert_eq!(topic.partition(2).unwrap().high_watermark(), 1);
}

#[test]
fn new_partitions_inherit_nothing_of_directories_that_are_in_their_way() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let config = TopicConfig::default().partitions(2);
    let topic = broker.create_topic("t", config).unwrap();
    for partition in topic.partitions() {
        let record = Record::value_only("former");
        partition.append(&[record]).unwrap();
        partition.flush().unwrap();
    }
    let before = disk.image();
    broker.delete_topic("t").unwrap();
    // As if they could not be removed.
    for (path, _) in before.files() {
        if path.starts_with("data/t-0") || path.starts_with("data/t-1") {
            disk.write(&path, before.read(&path).unwrap()).unwrap();
        }
    }
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    broker.add_partitions("t", 2).unwrap();
    for partition in topic.partitions() {
        assert_eq!(partition.high_watermark(), 0, "{}", partition.id());
    }
    let directories = disk.image().directories();
    let aside = directories.iter().filter(|directory| {
        let name = directory.to_string_lossy();
        name.ends_with("-stray")
    });
    assert_eq!(aside.count(), 2, "{directories:?}");
}
