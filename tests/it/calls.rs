//! What things cost in system calls, counted on the disk that sees each of them.

use std::time::Duration;

use streamlog::sim::{Operation, SimDisk};
use streamlog::{Broker, Durability, ManualClock, Position, Record, TopicConfig};

/// Does something 100 times, and says how many calls that made, by kind.
fn calls(disk: &SimDisk, mut action: impl FnMut()) -> Vec<(Operation, u64)> {
    let counts = || Operation::ALL.map(|operation| (operation, disk.count(operation)));
    let before = counts();
    for _ in 0..100 {
        action();
    }
    let made = before.iter().zip(counts());
    made.map(|((operation, before), (_, after))| (*operation, after - before))
        .filter(|(_, made)| *made > 0)
        .collect()
}

fn open(config: TopicConfig) -> (SimDisk, Broker) {
    open_at(config, &ManualClock::new(0))
}

fn open_at(config: TopicConfig, clock: &ManualClock) -> (SimDisk, Broker) {
    let disk = SimDisk::new();
    let builder = Broker::builder("data")
        .storage(disk.clone())
        .clock(clock.clone());
    let broker = builder.background(false).open().unwrap();
    let topic = broker.create_topic("t", config).unwrap();
    // The first append of a log also makes the names of its files durable.
    let partition = topic.partition(0).unwrap();
    partition.append(&[Record::value_only("first")]).unwrap();
    (disk, broker)
}

#[test]
fn an_append_makes_one_write_at_most() {
    let (disk, broker) = open(TopicConfig::default());
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let large = vec![0; 20_000];
    let made = calls(&disk, || {
        assert!(partition.append(&[Record::value_only(&large)]).is_ok());
    });
    assert_eq!(made, [(Operation::Write, 100)]);
    // Small ones gather, once the partition is in use: the first of them make the place.
    let small = [Record::value_only("v")];
    calls(&disk, || assert!(partition.append(&small).is_ok()));
    let made = calls(&disk, || assert!(partition.append(&small).is_ok()));
    assert_eq!(made, []);
    let batch = vec![Record::value_only("v"); 100];
    let made = calls(&disk, || assert!(partition.append(&batch).is_ok()));
    let [(Operation::Write, writes)] = made[..] else {
        panic!("{made:?}");
    };
    assert!(writes <= 3, "100 batches of 1.2 kB in {writes} writes");
}

#[test]
fn a_partition_at_rest_keeps_no_stage() {
    let clock = ManualClock::new(0);
    let (disk, broker) = open_at(TopicConfig::default(), &clock);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let small = [Record::value_only("v")];
    calls(&disk, || assert!(partition.append(&small).is_ok()));
    let stages = || {
        let files = disk.files().into_iter();
        let is_stage = |(path, _): &(std::path::PathBuf, u64)| {
            path.extension()
                .is_some_and(|extension| extension == "stage")
        };
        files.filter(is_stage).count()
    };
    assert_eq!(stages(), 1);
    // The first sync ends what was, and the second finds next to nothing.
    for _ in 0..2 {
        partition.append(&small).unwrap();
        clock.advance(Duration::from_secs(2));
        broker.run_housekeeping().unwrap();
    }
    assert_eq!(stages(), 0);
    assert_eq!(partition.durable_end(), 103);
}

#[test]
fn a_synced_append_makes_one_write_one_sync_and_notes_the_durable_end() {
    let (disk, broker) = open(TopicConfig::default().durability(Durability::Synced));
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let record = [Record::value_only("v")];
    // One of the first also makes the file longer, for those that follow.
    let made = calls(&disk, || assert!(partition.append(&record).is_ok()));
    assert_eq!(made, [(Operation::Write, 201), (Operation::Sync, 100)]);
    let made = calls(&disk, || assert!(partition.append(&record).is_ok()));
    assert_eq!(made, [(Operation::Write, 200), (Operation::Sync, 100)]);
}

#[test]
fn a_batch_of_sends_makes_one_write() {
    let (disk, broker) = open(TopicConfig::default());
    let producer = broker.producer().linger(Duration::from_secs(60)).build();
    let producer = producer.unwrap();
    let send = || drop(producer.send(Record::to("t").key("k").value("v")).unwrap());
    let made = calls(&disk, send);
    // Only that producer ids were taken is written down, once in a while.
    assert!(made.iter().all(|(_, count)| *count <= 1), "{made:?}");
    let before = disk.count(Operation::Write);
    producer.flush().unwrap();
    assert_eq!(disk.count(Operation::Write), before + 1);
}

#[test]
fn reading_makes_no_call() {
    let (disk, broker) = open(TopicConfig::default());
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    for _ in 0..300 {
        partition.append(&[Record::value_only("v")]).unwrap();
    }
    let mut reader = partition.reader(Position::Earliest).unwrap();
    let consumer = broker.consumer().auto_offset_reset(Position::Earliest);
    let mut consumer = consumer.max_poll_records(1).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    // The first read of a segment maps it.
    assert!(reader.next().unwrap().is_some());
    let made = calls(&disk, || {
        assert!(reader.next().unwrap().is_some());
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    });
    assert_eq!(made, []);
}
