//! How many system calls things make, counted on the disk in memory: it sees each operation that
//! would be one.

use std::time::Duration;

use streamlog::sim::{Operation, SimDisk};
use streamlog::{Broker, Durability, Position, Record, Result, TopicConfig};

use super::TOPIC;

/// How often each thing is done while calls are counted.
const TIMES: u32 = 1_000;

/// Prints a table of what an append, a batch, a send and a poll cost.
pub fn print() -> Result<()> {
    println!("system calls, each counted over {TIMES} times:");
    let written = TopicConfig::default();
    let synced = TopicConfig::default().durability(Durability::Synced);
    let one = [Record::value_only("value")];
    let batch = vec![Record::value_only("value"); 100];
    count_append("append of one record, written", &written, &one)?;
    count_append("append of a batch of 100, written", &written, &batch)?;
    count_append("append of one record, synced, alone", &synced, &one)?;
    count_sends()?;
    count_polls()
}

fn count_append(what: &str, config: &TopicConfig, records: &[Record<'_>]) -> Result<()> {
    let (disk, broker) = open(config)?;
    let partition = broker.topic(TOPIC)?.partition(0)?;
    // The first append of a log makes names durable, and the like.
    partition.append(records)?;
    let before = counts(&disk);
    for _ in 0..TIMES {
        partition.append(records)?;
    }
    report(what, &disk, &before);
    Ok(())
}

fn count_sends() -> Result<()> {
    let (disk, broker) = open(&TopicConfig::default())?;
    let producer = broker.producer().linger(Duration::from_secs(60)).build()?;
    let value = [b'x'; 100];
    producer.send(Record::to(TOPIC).value(&value))?.wait()?;
    let before = counts(&disk);
    for _ in 0..TIMES {
        producer.send(Record::to(TOPIC).key("key").value(&value))?;
    }
    producer.flush()?;
    report("send of 100 B, batches of 64 KiB", &disk, &before);
    Ok(())
}

fn count_polls() -> Result<()> {
    let (disk, broker) = open(&TopicConfig::default())?;
    let partition = broker.topic(TOPIC)?.partition(0)?;
    for _ in 0..=TIMES {
        partition.append(&[Record::value_only("value")])?;
    }
    let mut consumer = broker
        .consumer()
        .auto_offset_reset(Position::Earliest)
        .max_poll_records(1)
        .build()?;
    consumer.subscribe([TOPIC])?;
    consumer.poll(Duration::ZERO)?;
    let before = counts(&disk);
    for _ in 0..TIMES {
        assert_eq!(consumer.poll(Duration::ZERO)?.len(), 1);
    }
    report("poll that finds records", &disk, &before);
    Ok(())
}

fn open(config: &TopicConfig) -> Result<(SimDisk, Broker)> {
    let disk = SimDisk::new();
    let builder = Broker::builder("data").storage(disk.clone());
    let broker = builder.background(false).open()?;
    broker.create_topic(TOPIC, config.clone())?;
    Ok((disk, broker))
}

fn counts(disk: &SimDisk) -> Vec<u64> {
    Operation::ALL
        .iter()
        .map(|operation| disk.count(*operation))
        .collect()
}

fn report(what: &str, disk: &SimDisk, before: &[u64]) {
    let after = counts(disk);
    let made: Vec<_> = Operation::ALL
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (before, after))| after > before)
        .map(|(operation, (before, after))| {
            let each = (after - before) as f64 / f64::from(TIMES);
            format!("{operation:?} {each}").to_lowercase()
        })
        .collect();
    let made = if made.is_empty() {
        "none".to_owned()
    } else {
        made.join(", ")
    };
    println!("  {what:40} {made}");
}
