//! Reads a data directory, ours or a copy of a Kafka broker's, and prints what is in it.

use std::io::{BufWriter, Write as _};
use std::time::Duration;

use streamlog::{Broker, Position, TopicPartition};

use crate::Result;
use crate::lines::{self, Line};

/// Copies what a borrowed record shows; readers and consumers lend different types with the same accessors.
macro_rules! line {
    ($record:expr) => {
        Line {
            key: $record.key().map(<[u8]>::to_vec),
            value: $record.value().map(<[u8]>::to_vec),
            headers: $record
                .headers()
                .map(|header| (header.key().to_owned(), header.value().map(<[u8]>::to_vec)))
                .collect(),
            timestamp: $record.timestamp(),
        }
    };
}

pub fn read(dir: &str, topics: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for name in topics {
        let topic = broker.topic(name)?;
        for partition in 0..topic.partition_count() {
            let mut reader = topic.partition(partition)?.reader(Position::Earliest)?;
            while let Some(record) = reader.next()? {
                writeln!(
                    out,
                    "{}",
                    line!(record).json(name, partition, record.offset())
                )?;
            }
        }
    }
    out.flush()?;
    broker.close()?;
    Ok(())
}

pub fn consume(dir: &str, topics: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    let mut consumer = broker
        .consumer()
        .group("interop-reader")
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        .build()?;
    consumer.subscribe(topics.iter().copied())?;
    let mut ends = Vec::new();
    for name in topics {
        let topic = broker.topic(name)?;
        for partition in 0..topic.partition_count() {
            let end = topic.partition(partition)?.last_stable_offset();
            ends.push((TopicPartition::new(*name, partition), end));
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    loop {
        let records = consumer.poll(Duration::from_millis(100))?;
        for record in &records {
            writeln!(
                out,
                "{}",
                line!(record).json(record.topic(), record.partition(), record.offset())
            )?;
        }
        // The end may hold nothing but markers and aborted records, so positions decide, not a count.
        let mut behind = false;
        for (partition, end) in &ends {
            behind |= consumer.position(partition)? < *end;
        }
        if !behind {
            break;
        }
    }
    out.flush()?;
    drop(consumer);
    broker.close()?;
    Ok(())
}

pub fn committed(dir: &str, topic: &str, groups: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    let partitions = broker.topic(topic)?.partition_count();
    for group in groups {
        let mut consumer = broker.consumer().group(*group).auto_commit(None).build()?;
        consumer.subscribe([topic])?;
        for partition in 0..partitions {
            if let Some(offset) = consumer.committed(&TopicPartition::new(topic, partition))? {
                println!("{}", lines::committed(group, topic, partition, offset));
            }
        }
    }
    broker.close()?;
    Ok(())
}
