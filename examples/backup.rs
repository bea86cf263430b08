//! `Broker::checkpoint`: a consistent copy of a data directory, made while it is written to.
//!
//! ```text
//! cargo run --release --example backup -- --data-dir /tmp/lines --to /tmp/backups/today
//! ```
//!
//! A data directory that another process has open cannot be opened here: a checkpoint is made by the process
//! that has it.

mod support;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Parser;
use streamlog::{Broker, Partition, Record, TopicConfig};
use support::{DataDir, Outcome, check};

const TOPIC: &str = "orders";

/// Produces into a topic, copies the directory meanwhile, and compares the copy.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The new directory. Default: a temporary one.
    #[arg(long)]
    to: Option<PathBuf>,
    /// How many records are there before the copy is made.
    #[arg(long, default_value_t = 20_000)]
    num_records: u64,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let temporary = DataDir::new(None)?;
    let to = options.to.clone();
    let to = to.unwrap_or_else(|| temporary.path().join("backup"));
    let broker = Broker::open(dir.path())?;
    let config = TopicConfig::default().segment_bytes(256 << 10);
    let orders = support::topic_or_create(&broker, TOPIC, config)?.partition(0)?;
    for number in 0..options.num_records {
        append(&orders, number)?;
    }

    let before = orders.high_watermark();
    backup_while_in_use(&broker, &orders, &to)?;
    let after = orders.high_watermark();

    let copy = Broker::open(&to)?;
    check(copy.recovery_report().clean_shutdown, || {
        "the copy is not as after an orderly close".to_owned()
    })?;
    let copied = copy.topic(TOPIC)?.partition(0)?.high_watermark();
    check((before..=after).contains(&copied), || {
        format!("the copy has {copied} records, and not {before} to {after}")
    })?;
    writeln!(
        stdout(),
        "the copy opens cleanly, with {copied} of now {after} records"
    )?;
    copy.close()?;
    broker.close()?;
    Ok(())
}

fn append(orders: &Partition, number: u64) -> streamlog::Result<()> {
    let value = format!("order {number}");
    orders.append(&[Record::value_only(&value)]).map(drop)
}

/// Another thread appends all the time.
fn backup_while_in_use(broker: &Broker, orders: &Partition, to: &Path) -> Outcome {
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let (made, appended) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> streamlog::Result<()> {
            while !done.load(Ordering::Relaxed) {
                append(orders, orders.high_watermark())?;
            }
            Ok(())
        });
        let made = broker.checkpoint(to);
        done.store(true, Ordering::Relaxed);
        let appended = match writer.join() {
            Ok(appended) => appended,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        (made, appended)
    });
    appended?;
    let made = made?;
    writeln!(
        stdout(),
        "{}: {} files in {:?}; {} KiB shared, {} KiB copied",
        made.directory.display(),
        made.files,
        started.elapsed(),
        made.linked_bytes >> 10,
        made.copied_bytes >> 10
    )?;
    Ok(())
}
