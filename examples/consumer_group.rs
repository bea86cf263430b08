//! A consumer group: members in threads share the partitions of a topic. One of them dies in the middle
//! of its work; the others take its partitions over at its last commit, and every record is counted.
//!
//! ```text
//! cargo run --release --example consumer_group -- --members 3 --partitions 6
//! ```

mod support;

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use clap::Parser;
use streamlog::{
    Broker, Consumer, Partition, Position, RebalanceListener, Record, Result, TopicConfig,
    TopicPartition,
};
use support::{DataDir, Outcome, check};

const TOPIC: &str = "orders";
const GROUP: &str = "fulfilment";

/// Shares work among the members of a group, and lets one of them die.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=100))]
    members: u64,
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    partitions: u32,
    /// How many records there are to process.
    #[arg(long, default_value_t = 100_000)]
    num_records: u64,
}

/// How often each record was processed: at least once is what a group promises.
type Counts = Mutex<BTreeMap<(u32, u64), u32>>;

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let config = TopicConfig::default().partitions(options.partitions);
    let topic = support::topic_or_create(&broker, TOPIC, config)?;
    produce(&broker, options.num_records)?;

    let counts = Counts::default();
    thread::scope(|scope| {
        let members: Vec<_> = (0..options.members)
            .map(|number| {
                let (broker, counts) = (&broker, &counts);
                let name = format!("worker-{number}");
                // The first one dies when it has done about a third of its share.
                let dies_after = (number == 0).then_some(options.num_records / options.members / 3);
                let work = move || work(broker, counts, dies_after);
                thread::Builder::new().name(name).spawn_scoped(scope, work)
            })
            .collect();
        for member in members {
            match member?.join() {
                Ok(worked) => worked?,
                Err(_) => writeln!(stdout(), "a member died; its partitions have new owners")?,
            }
        }
        Outcome::Ok(())
    })?;

    let counts = counts.into_inner().unwrap_or_default();
    let partitions = topic.partitions();
    let stored: u64 = partitions.iter().map(Partition::high_watermark).sum();
    let repeated = counts.values().filter(|count| **count > 1).count();
    writeln!(
        stdout(),
        "{} of {stored} records processed, {repeated} of them more than once",
        counts.len()
    )?;
    check(counts.len() as u64 == stored, || {
        "some records were never processed".to_owned()
    })?;
    let behind = broker.group(GROUP).describe()?.total_lag();
    check(behind == 0, || {
        format!("the group is {behind} records behind")
    })?;
    broker.close()?;
    Ok(())
}

fn produce(broker: &Broker, count: u64) -> Result<()> {
    let producer = broker.producer().build()?;
    for order in 0..count {
        let (key, value) = (
            format!("customer-{}", order % 997),
            format!("order {order}"),
        );
        producer.send(Record::to(TOPIC).key(&key).value(&value))?;
    }
    producer.flush()
}

/// What a member does until there is nothing left to do; or until it dies, without a word to anybody.
fn work(broker: &Broker, counts: &Counts, dies_after: Option<u64>) -> Result<()> {
    let mut consumer = broker
        .consumer()
        .group(GROUP)
        .client_id("worker")
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        .build()?;
    consumer.on_rebalance(Announce);
    consumer.subscribe([TOPIC])?;
    let mut done = 0;
    while !is_all_done(broker)? {
        let records = consumer.poll(Duration::from_millis(50))?;
        if let Ok(mut counts) = counts.lock() {
            for record in &records {
                *counts
                    .entry((record.partition(), record.offset()))
                    .or_default() += 1;
            }
        }
        done += records.len() as u64;
        if dies_after.is_some_and(|limit| done >= limit) {
            // These records are processed and not committed: somebody will process them again.
            std::panic::resume_unwind(Box::new("killed"));
        }
        consumer.commit()?;
    }
    consumer.close()
}

fn is_all_done(broker: &Broker) -> Result<bool> {
    let group = broker.group(GROUP).describe()?;
    let topic = broker.topic(TOPIC)?;
    let mut partitions = topic.partitions().into_iter();
    Ok(partitions.all(|partition| {
        let mut offsets = group.offsets.iter();
        let committed = offsets.find(|offset| offset.partition == *partition.id());
        committed.and_then(|offset| offset.committed).unwrap_or(0) == partition.high_watermark()
    }))
}

/// Says which partitions a member gets and gives up.
struct Announce;

impl RebalanceListener for Announce {
    fn assigned(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        say(consumer, "gets", partitions);
        Ok(())
    }

    fn revoked(&mut self, consumer: &mut Consumer, partitions: &[TopicPartition]) -> Result<()> {
        say(consumer, "gives up", partitions);
        consumer.commit()
    }
}

fn say(consumer: &Consumer, what: &str, partitions: &[TopicPartition]) {
    let numbers: Vec<_> = partitions
        .iter()
        .map(|id| id.partition().to_string())
        .collect();
    let name = consumer.member_id().unwrap_or_default().to_owned();
    support::note(&format!("{name} {what} {}", numbers.join(" ")));
}
