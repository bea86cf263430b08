//! What the random cases found, each as a test of its own.

use streamlog::sim::SimDisk;
use streamlog::{Broker, Record, TopicConfig};

fn open(disk: &SimDisk) -> Broker {
    let builder = Broker::builder("data").storage(disk.clone());
    builder
        .background(false)
        .offsets_topic_partitions(3)
        .open()
        .unwrap()
}

#[test]
fn a_topic_made_again_does_not_inherit_the_old_ones_start() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    let old = broker.create_topic("t", TopicConfig::default()).unwrap();
    let old = old.partition(0).unwrap();
    old.append(&[Record::value_only("a"), Record::value_only("b")])
        .unwrap();
    old.delete_records(1).unwrap();
    drop(old);
    broker.close().unwrap();

    let broker = open(&disk);
    broker.delete_topic("t").unwrap();
    let new = broker.create_topic("t", TopicConfig::default()).unwrap();
    let new = new.partition(0).unwrap();
    new.append(&[Record::value_only("c"), Record::value_only("d")])
        .unwrap();

    let after_kill = open(&disk.duplicate());
    let partition = after_kill.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(partition.log_start_offset(), 0);
    assert_eq!(partition.high_watermark(), 2);
}

#[test]
fn records_without_timestamps_leave_a_clean_report() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let record = Record::value_only("a").timestamp(-1);
    topic.partition(0).unwrap().append(&[record]).unwrap();
    drop(topic);
    broker.close().unwrap();

    let report = open(&disk).recovery_report().clone();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn opening_again_after_a_kill_changes_no_byte() {
    let disk = SimDisk::new();
    let broker = open(&disk);
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let partition = topic.partition(0).unwrap();
    partition.append(&[Record::value_only("a")]).unwrap();

    // Each is killed as soon as it is open.
    let first = disk.duplicate();
    let _opened = open(&first);
    let second = first.duplicate();
    let _opened_again = open(&second);
    assert_eq!(first.image().difference(&second.image()), None);
}
