//! The first program: a producer writes records, a consumer reads them and commits how far it came,
//! and after a restart both are still there.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

mod support;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use streamlog::{Broker, Partition, Position, Record, Topic, TopicConfig, TopicPartition};
use support::{DataDir, Outcome, check, rate};

const TOPIC: &str = "user-clicks";
const GROUP: &str = "dashboard";

/// Writes records, reads them back, reopens the directory and looks again.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// How many records to write.
    #[arg(long, default_value_t = 1_001, value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let mut out = stdout();

    // Opens or creates the data directory, takes its lock, recovers what a crash left behind.
    let broker = Broker::open(dir.path())?;
    let topic = support::topic_or_create(&broker, TOPIC, TopicConfig::default().partitions(3))?;
    let before = record_count(&topic);

    let started = Instant::now();
    produce(&broker, options.num_records, &mut out)?;
    let count = options.num_records;
    let speed = rate(count, started.elapsed());
    let place = dir.path().display();
    writeln!(out, "wrote {count} records to {place} ({speed})")?;

    // A group that left off somewhere goes on there; a new one starts at the beginning.
    let started = Instant::now();
    let consumed = consume(&broker)?;
    let speed = rate(consumed, started.elapsed());
    writeln!(
        out,
        "read {consumed} records, and committed after each poll ({speed}; the first commit made the offsets topic)"
    )?;
    check(consumed >= count, || {
        format!("the consumer saw {consumed} of {count} records")
    })?;

    // Everything is on disk when `close` returns.
    broker.close()?;

    let broker = Broker::open(dir.path())?;
    let topic = broker.topic(TOPIC)?;
    let (found, committed) = (record_count(&topic), committed(&broker, &topic)?);
    writeln!(
        out,
        "reopened: {found} records, group `{GROUP}` has processed {committed} of them"
    )?;
    for partition in topic.partitions() {
        let (id, end, bytes) = (
            partition.id(),
            partition.high_watermark(),
            partition.size_bytes(),
        );
        writeln!(out, "  {id}: {end} records, {bytes} bytes")?;
    }
    check(found == before + count, || {
        format!("{found} records after the restart, not {}", before + count)
    })?;
    check(committed == found, || {
        format!("the group committed {committed} of {found}")
    })?;
    broker.close()?;
    Ok(())
}

fn produce(broker: &Broker, count: u64, out: &mut impl Write) -> Outcome {
    let producer = broker.producer().build()?;
    // `send` borrows: key and value are copied once, into the batch that will be written.
    let delivery = producer.send(Record::to(TOPIC).key("alice").value("/home"))?;
    let metadata = delivery.wait()?;
    let (topic, partition, offset) = (metadata.topic(), metadata.partition(), metadata.offset());
    writeln!(out, "the first record is at {topic}-{partition}@{offset}")?;

    let users = ["alice", "bob", "carol", "dave"];
    for (number, user) in (1..count).zip(users.iter().cycle()) {
        let value = format!("/page/{number}");
        // The delivery may be dropped: `flush` tells whether all went well.
        producer.send(
            Record::to(TOPIC)
                .key(user)
                .value(&value)
                .header("source", "web"),
        )?;
    }
    producer.flush()?;
    Ok(())
}

/// Reads to the end of the topic; how many records there were.
fn consume(broker: &Broker) -> streamlog::Result<u64> {
    let mut consumer = broker
        .consumer()
        .group(GROUP)
        .auto_offset_reset(Position::Earliest)
        .build()?;
    consumer.subscribe([TOPIC])?;
    let mut count = 0;
    loop {
        let records = consumer.poll(Duration::from_millis(100))?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            // Zero-copy: slices of the mapped log.
            debug_assert!(record.key().is_some() && record.value().is_some());
            count += 1;
        }
        consumer.commit()?;
    }
    consumer.close()?;
    Ok(count)
}

fn record_count(topic: &Topic) -> u64 {
    let partitions = topic.partitions();
    partitions.iter().map(Partition::high_watermark).sum()
}

fn committed(broker: &Broker, topic: &Topic) -> streamlog::Result<u64> {
    let consumer = broker.consumer().group(GROUP).build()?;
    let partitions = 0..topic.partition_count();
    partitions
        .map(|number| {
            let committed = consumer.committed(&TopicPartition::new(TOPIC, number))?;
            Ok(committed.unwrap_or(0))
        })
        .sum()
}
