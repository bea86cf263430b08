//! A consumer group: members in threads share the partitions of a topic. One of them dies in the middle
//! of its work; the others take its partitions over at its last commit, and every record is counted.
//! Those that it had processed since then are processed once more.
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use streamlog::{
    Broker, Consumer, Error, GroupState, Position, RebalanceListener, Record, Result, TopicConfig,
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
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
}

/// What the members have in common.
struct Work<'a> {
    broker: &'a Broker,
    /// How often each record was processed: at least once is what a group promises.
    counts: Mutex<BTreeMap<(u32, u64), u32>>,
    /// The member that is the first to have processed so many records dies.
    dies_after: u64,
    has_died: AtomicBool,
    /// No more records will come.
    is_all_sent: AtomicBool,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let config = TopicConfig::default().partitions(options.partitions);
    support::topic_or_create(&broker, TOPIC, config)?;
    let left_over = support::unread(&broker, GROUP, TOPIC)?;

    let work = Work {
        broker: &broker,
        counts: Mutex::default(),
        // About a third of what comes to each.
        dies_after: (options.num_records / options.members / 3).max(1),
        has_died: AtomicBool::new(false),
        is_all_sent: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let members: Vec<_> = (0..options.members)
            .map(|number| {
                let name = format!("thread-{number}");
                let member = || process(&work);
                thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, member)
            })
            .collect();
        // Also if this fails: the members must come to an end.
        let produced = wait_for_members(&work, options.members)
            .and_then(|()| Ok(produce(&broker, options.num_records)?));
        work.is_all_sent.store(true, Ordering::Release);
        for member in members {
            match member?.join() {
                Ok(worked) => worked?,
                Err(_) => writeln!(stdout(), "a member died; its partitions have new owners")?,
            }
        }
        produced
    })?;

    let expected = left_over + options.num_records;
    let counts = work.counts.into_inner().unwrap_or_default();
    let repeated = counts.values().filter(|count| **count > 1).count();
    writeln!(
        stdout(),
        "{} of {expected} records processed, {repeated} of them more than once",
        counts.len()
    )?;
    check(counts.len() as u64 == expected, || {
        "some records were never processed".to_owned()
    })?;
    check(work.has_died.into_inner(), || "no member died".to_owned())?;
    let behind = broker.group(GROUP).describe()?.total_lag();
    check(behind == 0, || {
        format!("the group is {behind} records behind")
    })?;
    broker.close()?;
    Ok(())
}

/// Waits until each member has its share, so that there is something to take over; or until one has died
/// already, of what an earlier run left behind.
fn wait_for_members(work: &Work<'_>, count: u64) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !work.has_died.load(Ordering::Relaxed) {
        match work.broker.group(GROUP).describe() {
            Ok(group)
                if group.state == GroupState::Stable && group.members.len() as u64 == count =>
            {
                return Ok(());
            }
            Ok(_) | Err(Error::UnknownGroup { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        check(Instant::now() < deadline, || {
            "the members do not settle".to_owned()
        })?;
        thread::sleep(Duration::from_millis(1));
    }
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
fn process(work: &Work<'_>) -> Result<()> {
    let mut consumer = work
        .broker
        .consumer()
        .group(GROUP)
        .client_id("worker")
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        .build()?;
    consumer.on_rebalance(Announce);
    consumer.subscribe([TOPIC])?;
    let mut done = 0;
    // In this order: what is sent before the flag is seen.
    while !work.is_all_sent.load(Ordering::Acquire)
        || support::unread(work.broker, GROUP, TOPIC)? > 0
    {
        let records = consumer.poll(Duration::from_millis(50))?;
        if let Ok(mut counts) = work.counts.lock() {
            for record in &records {
                *counts
                    .entry((record.partition(), record.offset()))
                    .or_default() += 1;
            }
        }
        done += records.len() as u64;
        if done >= work.dies_after && !work.has_died.swap(true, Ordering::Relaxed) {
            // These records are processed and not committed: somebody will process them again.
            std::panic::resume_unwind(Box::new("killed"));
        }
        consumer.commit()?;
    }
    consumer.close()
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
