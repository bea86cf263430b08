//! Compares streamlog with other embedded logs and stores, all on one machine in one run. README.md says how.

mod events;
mod machine;
mod measure;
mod peer;
mod peers;
mod plot;
mod report;
mod results;
mod run;
mod targets;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use measure::Budget;
use peer::Outcome;
use results::Results;
use workloads::open::Phase;

/// Runs all workloads with all peers, in rounds, and writes tables and plots.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often each measurement is repeated; what is shown is the median. Default: 5, or 2 with --quick.
    #[arg(long)]
    rounds: Option<u32>,
    /// A smoke test: short measurements, results under target/ instead of results/.
    #[arg(long)]
    quick: bool,
    /// Only what matches WORKLOAD or WORKLOAD/PEER: the start of a workload's id, a part of a peer's name. Repeatable.
    /// Results go under target/, unless --output is given.
    #[arg(long, value_name = "WORKLOAD/PEER")]
    only: Vec<String>,
    /// What values and keys are made from.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where data goes. Must be on a real disk. Default: this package's target directory.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/data"))]
    dir: PathBuf,
    /// Where results go.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Seconds to idle before each measurement: a virtual machine then gives free memory back, and pages are cold.
    #[arg(long, default_value = "0", value_parser = seconds)]
    idle: Duration,
    /// Makes tables and plots again from results.json and jvm.json, without running anything.
    #[arg(long)]
    render: bool,
    /// Lists the workloads and their peers.
    #[arg(long)]
    list: bool,
}

#[derive(Subcommand)]
enum Command {
    /// One measurement, in a process of its own. Used by the run itself.
    #[command(hide = true)]
    Measure(Measure),
}

#[derive(clap::Args)]
struct Measure {
    #[arg(long)]
    workload: String,
    #[arg(long)]
    peer: String,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    phase: Phase,
    #[arg(long)]
    quick: bool,
    #[arg(long)]
    data: PathBuf,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Measure {
    fn budget(&self) -> Budget {
        if self.quick {
            Budget {
                time: Duration::from_millis(30),
                bytes: 32 << 20,
            }
        } else {
            Budget {
                time: Duration::from_millis(300),
                bytes: 512 << 20,
            }
        }
    }
}

impl Options {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }).max(1)
    }

    fn wants(&self, workload: &str, peer: &str) -> bool {
        self.only.is_empty()
            || self.only.iter().any(|filter| {
                let (wanted, of) = filter.split_once('/').unwrap_or((filter, ""));
                workload.starts_with(wanted) && peer.to_lowercase().contains(&of.to_lowercase())
            })
    }

    /// Only a full run replaces the results that are kept.
    fn output(&self) -> PathBuf {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        match &self.output {
            Some(output) => output.clone(),
            None if self.quick || !self.only.is_empty() => package.join("target/results"),
            None => package.join("results"),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.command {
        Some(Command::Measure(measure)) => run::one(measure),
        None if options.list => {
            list();
            Ok(())
        }
        None => compare(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Outcome {
    let output = options.output();
    fs::create_dir_all(&output)?;
    let file = output.join("results.json");
    if !options.render {
        fs::create_dir_all(&options.dir)?;
        let started = Instant::now();
        let mut results = Results {
            machine: machine::Machine::look(&options.dir),
            versions: machine::versions(),
            date: machine::today(),
            rounds: options.rounds(),
            seed: options.seed,
            quick: options.quick,
            seconds: 0,
            samples: Vec::new(),
        };
        run::all(options, &file, &mut results)?;
        results.seconds = started.elapsed().as_secs();
        results.save(&file)?;
    }
    report::write(&output, &Results::load(&file)?)?;
    eprintln!("see {}", output.join("results.md").display());
    Ok(())
}

fn list() {
    for entry in peers::all() {
        println!("{}/{}", entry.workload.shown().id, entry.peer);
    }
}
