//! A log file, line by line, into a topic: killed at any time and started again, it goes on where it
//! was, and neither loses nor repeats a line.
//!
//! ```text
//! cargo run --release --example pipeline -- --data-dir /tmp/lines --input /var/log/syslog
//! ```
//!
//! Why it is exact, without a transaction:
//! * What is written tells how far it goes: each record has its line's place in the file in its
//!   headers. There is no second file that could say something else.
//! * The partition follows from the line alone (a hash of its key), and after a crash each partition
//!   holds a *prefix* of what was appended to it. So all lines of a partition up to the place in its
//!   last record are there, and none behind it.
//! * A start reads again from the smallest of these places, and leaves out, partition by partition,
//!   what is there.
//!
//! Lines are appended with `Partition::append`, one atomic batch at a time, and the first failure
//! ends the program. A `Producer` would go on with the next batch, which would leave a gap.
//!
//! Elsewhere: finding and reading lines (`source`), writing them (`ingest`), looking at the result
//! (`verify`).

mod ingest;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod verify;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use streamlog::{Broker, TopicConfig};
use support::{DataDir, Outcome};

/// Copies a log file into a topic, exactly once, and shows it.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The file to read. Default: a log of this machine; if there is none, one is made up.
    #[arg(long)]
    input: Option<PathBuf>,
    #[arg(long, default_value = "log-lines")]
    topic: String,
    /// Do not print lines.
    #[arg(long)]
    no_show: bool,
    /// How many lines to append to a partition at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    batch_lines: u32,
    /// Milliseconds to sleep after each append, to have time to kill it.
    #[arg(long, default_value_t = 0)]
    slow: u64,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let mut out = stdout();
    let input = source::Input::find(options.input.as_deref())?;
    writeln!(out, "reading {}", input.describe())?;

    let broker = open(dir.path())?;
    if !broker.recovery_report().clean_shutdown {
        writeln!(out, "the last run was killed; its records were recovered")?;
    }
    // Lines are to stay, whatever their age: they say how far we are.
    let config = TopicConfig::default().partitions(3).retention_ms(None);
    let topic = support::topic_or_create(&broker, &options.topic, config)?;

    let pace = ingest::Pace {
        batch_lines: usize::try_from(options.batch_lines)?,
        sleep: Duration::from_millis(options.slow),
    };
    let ingested = ingest::ingest(&broker, &topic, &input, pace, &mut out)?;
    writeln!(out, "{ingested}")?;

    if !options.no_show {
        verify::show(&broker, &topic, &mut out)?;
    }
    let counts = verify::verify(&topic, &input)?;
    for (partition, count) in topic.partitions().iter().zip(&counts) {
        writeln!(out, "  {}: {count} lines", partition.id())?;
    }
    let total: u64 = counts.iter().sum();
    writeln!(
        out,
        "verified: each of the {total} lines of the file is in the topic exactly once, in order"
    )?;
    broker.close()?;
    Ok(())
}

/// Opens the directory. A process that was just killed may take a moment to be gone, and its lock
/// with it: who starts us again at once need not wait for that.
fn open(dir: &Path) -> streamlog::Result<Broker> {
    let patience = Instant::now() + Duration::from_secs(3);
    loop {
        match Broker::open(dir) {
            Err(streamlog::Error::Locked { .. }) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}
