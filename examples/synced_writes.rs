//! `Durability::Synced`: an acknowledged record survives power loss, and those who wait at the same
//! time share one sync of the device. So more threads cost hardly more syncs.
//!
//! ```text
//! cargo run --release --example synced_writes -- --threads 8
//! ```

mod support;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use streamlog::{Broker, Durability, Producer, Record, TopicConfig};
use support::{DataDir, Outcome, check, rate};

const TOPIC: &str = "payments";

/// Writes records that wait for the device, from one thread and from many.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    threads: u64,
    /// How many records each thread writes.
    #[arg(long, default_value_t = 100)]
    num_records: u64,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let topic = support::topic_or_create(&broker, TOPIC, TopicConfig::default())?;
    let partition = topic.partition(0)?;
    let before = partition.high_watermark();
    let producer = broker.producer().durability(Durability::Synced).build()?;

    let mut out = stdout();
    for threads in [1, options.threads] {
        let started = Instant::now();
        write(&producer, threads, options.num_records)?;
        let speed = rate(threads * options.num_records, started.elapsed());
        writeln!(
            out,
            "{threads} thread(s): {speed} acknowledged records, all on the device"
        )?;
    }

    let written = partition.high_watermark() - before;
    let expected = (1 + options.threads) * options.num_records;
    check(written == expected, || {
        format!("{written} records written, not {expected}")
    })?;
    let durable = partition.durable_end() - before;
    check(durable == expected, || {
        format!("only {durable} of {expected} are on the device")
    })?;
    broker.close()?;
    Ok(())
}

/// Each thread waits for each of its records.
fn write(producer: &Producer, threads: u64, count: u64) -> streamlog::Result<()> {
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    for number in 0..count {
                        let value = format!("payment {number} of thread {thread}");
                        producer.send(Record::to(TOPIC).value(&value))?.wait()?;
                    }
                    Ok(())
                })
            })
            .collect();
        let results = writers.into_iter().map(|writer| match writer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.fold(Ok(()), Result::and)
    })
}
