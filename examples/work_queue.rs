//! A work queue that survives a crash: jobs go to any of some workers, a job that fails is tried again
//! later, and after too many attempts it goes to a topic of its own (a dead-letter queue).
//!
//! ```text
//! cargo run --release --example work_queue -- --workers 4 --num-jobs 2000
//! ```
//!
//! A partition has one worker at a time, so there are more partitions than workers. A worker commits
//! after each batch: a job whose worker dies is done again by another one. With `--data-dir`, jobs that
//! a killed run left behind are done by the next one.

mod support;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use streamlog::{Broker, ConsumerRecord, Position, Producer, Record, Result, TopicConfig};
use support::{DataDir, Outcome, check};

const JOBS: &str = "jobs";
const DEAD: &str = "jobs-dead";
const GROUP: &str = "workers";
const ATTEMPTS: &str = "attempts";
const MOST_ATTEMPTS: u64 = 3;

/// Has workers do jobs, some of which fail.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    workers: u32,
    #[arg(long, default_value_t = 2_000)]
    num_jobs: u64,
}

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let config = TopicConfig::default().partitions(options.workers * 4);
    support::topic_or_create(&broker, JOBS, config)?;
    support::topic_or_create(&broker, DEAD, TopicConfig::default())?;
    let left_over = support::unread(&broker, GROUP, JOBS)?;
    let producer = broker.producer().build()?;
    for job in 0..options.num_jobs {
        producer.send(Record::to(JOBS).value(&job.to_string()))?;
    }
    producer.flush()?;

    let tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers)
            .map(|_| scope.spawn(|| work(&broker, &producer, &tally)))
            .collect();
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Outcome::Ok(())
    })?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (done, dead) = (count(&tally.done), count(&tally.dead));
    writeln!(
        stdout(),
        "{done} jobs done, {dead} given up, {} attempts failed",
        count(&tally.failed)
    )?;
    check(done + dead >= left_over + options.num_jobs, || {
        "some jobs were never finished".to_owned()
    })?;
    let behind = support::unread(&broker, GROUP, JOBS)?;
    check(behind == 0, || format!("{behind} jobs are left"))?;
    broker.close()?;
    Ok(())
}

fn work(broker: &Broker, producer: &Producer, tally: &Tally) -> Result<()> {
    let mut consumer = broker
        .consumer()
        .group(GROUP)
        .auto_offset_reset(Position::Earliest)
        .auto_commit(None)
        // Few at a time: what a dying worker has in hand is done again.
        .max_poll_records(20)
        .build()?;
    consumer.subscribe([JOBS])?;
    // A job that will be tried again is written before it is committed, so this is never 0 too early.
    while support::unread(broker, GROUP, JOBS)? > 0 {
        let records = consumer.poll(Duration::from_millis(20))?;
        for record in &records {
            handle(&record, producer, tally)?;
        }
        // What follows from the jobs is written before the jobs count as done.
        producer.flush()?;
        consumer.commit()?;
    }
    consumer.close()
}

fn handle(record: &ConsumerRecord<'_>, producer: &Producer, tally: &Tally) -> Result<()> {
    let job = record.value().unwrap_or_default();
    let attempts = attempts(record) + 1;
    let counter = if perform(job, attempts) {
        &tally.done
    } else {
        tally.failed.fetch_add(1, Ordering::Relaxed);
        let is_last = attempts == MOST_ATTEMPTS;
        let to = if is_last { DEAD } else { JOBS };
        let again = attempts.to_string();
        producer.send(Record::to(to).value(job).header(ATTEMPTS, &again))?;
        if !is_last {
            return Ok(());
        }
        &tally.dead
    };
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn attempts(record: &ConsumerRecord<'_>) -> u64 {
    let mut headers = record.headers();
    let found = headers.find(|header| header.key() == ATTEMPTS);
    let text = found.and_then(|header| header.value());
    text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
        .unwrap_or(0)
}

/// A job of which one in ten fails at first, and one in a hundred always.
fn perform(job: &[u8], attempts: u64) -> bool {
    match job {
        [.., b'7', b'7'] => false,
        [.., b'7'] => attempts > 1,
        _ => true,
    }
}
