//! Is a data directory intact, and what can be saved if it is not?
//!
//! ```text
//! cargo run --release --example doctor -- verify /tmp/data
//! cargo run --release --example doctor -- salvage /tmp/data --dry-run
//! cargo run --release --example doctor -- salvage /tmp/data --partition orders-3 --yes
//! ```
//!
//! `verify` reads everything again. `salvage` makes damaged partitions anew out of what is good, and keeps
//! the damaged files. Both need a directory that no broker has open, and opening it recovers from a crash, as
//! always. With `--json` one JSON document goes to standard output, for scripts.
//!
//! Exit codes: 0 no damage, nothing lost; 1 damage was found, or records are lost; 2 wrong usage, or it
//! failed. Without arguments it damages a small log, and salvages it.

mod support;

use std::error::Error;
use std::fs;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use streamlog::{
    Broker, Finding, Lost, Record, RecoveryReport, SalvageOptions, SalvageReport, TopicConfig,
    VerifyProgress, VerifyReport, salvage,
};
use support::{DataDir, Outcome, check, note};

/// Verifies data directories, and salvages damaged ones.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Read everything again, and report what is not as it should be.
    Verify(VerifyArgs),
    /// Make damaged partitions anew out of what is good in them.
    Salvage(SalvageArgs),
}

#[derive(Args)]
struct VerifyArgs {
    /// The data directory.
    dir: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct SalvageArgs {
    /// The data directory.
    dir: PathBuf,
    /// Only this partition, be it damaged or not: topic-number; may be given several times. Default: those
    /// that are found damaged.
    #[arg(long = "partition", value_parser = partition)]
    partitions: Vec<(String, u32)>,
    /// Only say what would be lost.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a command found: whether all is well.
type Verdict = Result<bool, Box<dyn Error>>;

fn main() -> ExitCode {
    let verdict = match Options::parse().command {
        Some(Command::Verify(args)) => run_verify(&args),
        Some(Command::Salvage(args)) => run_salvage(&args),
        None => return support::exit(demonstrate()),
    };
    match verdict {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run_verify(args: &VerifyArgs) -> Verdict {
    let opened = Broker::builder(&args.dir)
        .create_dir(false)
        .background(false)
        .open();
    let broker = match opened {
        Err(error @ streamlog::Error::Corrupt { .. }) => {
            // Not even the list of topics can be read.
            print(
                args.json,
                &json!({"damaged": true, "error": error.to_string()}),
                &error,
            )?;
            return Ok(false);
        }
        broker => broker?,
    };
    let bar = Bar::new();
    let report = broker.verify_with(|progress| bar.show(progress))?;
    bar.finish();
    let recovery = broker.recovery_report();
    let damaged = report.has_damage() || recovery.has_damage();
    let text = [vec![report.to_string()], recovered(recovery)].concat();
    broker.close()?;
    print(args.json, &verify_json(&report, damaged), &text.join("\n"))?;
    Ok(!damaged)
}

/// What opening the directory found, one line each.
fn recovered(report: &RecoveryReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (partition, recovered) in &report.partitions {
        let damage = recovered.damage.iter();
        lines.extend(damage.map(|damage| format!("when {partition} was opened: {damage}")));
        let cut = recovered.truncated_bytes;
        if cut > 0 {
            lines.push(format!(
                "when {partition} was opened: a torn tail of {cut} bytes was cut"
            ));
        }
    }
    lines
}

fn run_salvage(args: &SalvageArgs) -> Verdict {
    if !args.dry_run && !args.yes {
        let plan = salvage_once(args, true)?;
        if plan.partitions.is_empty() && plan.manifest_aside.is_none() {
            return report_salvage(args, &plan);
        }
        note(&plan.to_string());
        if !stdin().is_terminal() {
            return Err("this changes the directory: add --yes, or --dry-run".into());
        }
        write!(stderr(), "Do that? [y/N] ")?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            return Err("nothing was changed".into());
        }
    }
    report_salvage(args, &salvage_once(args, args.dry_run)?)
}

fn salvage_once(args: &SalvageArgs, dry_run: bool) -> streamlog::Result<SalvageReport> {
    let bar = Bar::new();
    let mut options = SalvageOptions::default()
        .dry_run(dry_run)
        .progress(|progress| bar.show(progress));
    for (topic, number) in &args.partitions {
        options = options.partition(topic.as_str(), *number);
    }
    let report = salvage(&args.dir, options);
    bar.finish();
    report
}

fn report_salvage(args: &SalvageArgs, report: &SalvageReport) -> Verdict {
    print(args.json, &salvage_json(report), report)?;
    Ok(!report.has_losses())
}

fn print(as_json: bool, document: &Value, text: &impl ToString) -> Outcome {
    if as_json {
        writeln!(stdout(), "{document:#}")?;
    } else {
        writeln!(stdout(), "{}", text.to_string())?;
    }
    Ok(())
}

fn verify_json(report: &VerifyReport, damaged: bool) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "severity": finding.severity.to_string(),
            "partition": finding.partition.as_ref().map(ToString::to_string),
            "file": finding.file,
            "position": finding.position,
            "offsets": finding.offsets.as_ref().map(|it| [it.start, it.end]),
            "reason": finding.reason,
        })
    };
    json!({
        "clean": report.is_clean(),
        "damaged": damaged,
        "partitions": report.partitions,
        "segments": report.segments,
        "batches": report.batches,
        "records": report.records,
        "bytes": report.bytes,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn salvage_json(report: &SalvageReport) -> Value {
    let lost = |lost: &Lost| {
        json!({
            "file": lost.file,
            "bytes": [lost.bytes.start, lost.bytes.end],
            "offsets": [lost.offsets.start, lost.offsets.end],
            "reason": lost.reason,
        })
    };
    let partitions = report.partitions.iter().map(|salvaged| {
        json!({
            "partition": salvaged.partition.to_string(),
            "batches": salvaged.batches,
            "records": salvaged.records,
            "end": salvaged.end,
            "kept_aside": salvaged.kept_aside,
            "lost": salvaged.lost.iter().map(lost).collect::<Vec<_>>(),
        })
    });
    json!({
        "dry_run": report.dry_run,
        "manifest_aside": report.manifest_aside,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

/// `topic-number`.
fn partition(text: &str) -> Result<(String, u32), String> {
    text.rsplit_once('-')
        .and_then(|(topic, number)| Some((topic.to_owned(), number.parse().ok()?)))
        .ok_or_else(|| format!("`{text}` is not topic-number"))
}

/// A bar on standard error, if that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}");
        let bar = ProgressBar::new(0);
        Self(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    fn show(&self, progress: &VerifyProgress) {
        self.0.set_length(progress.bytes_total);
        self.0.set_position(progress.bytes_done);
        self.0.set_message(progress.partition.to_string());
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// Three orders; a bit of the second one rots.
fn demonstrate() -> Outcome {
    let dir = DataDir::new(None)?;
    write_and_damage(dir.path())?;
    let broker = Broker::open(dir.path())?;
    let report = broker.verify()?;
    writeln!(stdout(), "verify: {report}")?;
    broker.close()?;
    check(report.has_damage(), || "no damage was found".to_owned())?;

    let salvaged = salvage(dir.path(), SalvageOptions::default())?;
    writeln!(stdout(), "salvage: {salvaged}")?;
    let broker = Broker::open(dir.path())?;
    let report = broker.verify()?;
    writeln!(stdout(), "verify: {report}")?;
    check(report.is_clean() && report.records == 2, || {
        "two orders should be left".to_owned()
    })?;
    Ok(broker.close()?)
}

fn write_and_damage(dir: &Path) -> Outcome {
    let broker = Broker::open(dir)?;
    let orders = broker.create_topic("orders", TopicConfig::default())?;
    for order in ["first", "second", "third"] {
        orders.partition(0)?.append(&[Record::value_only(order)])?;
    }
    broker.close()?;
    let log = dir.join("orders-0/00000000000000000000.log");
    let mut bytes = fs::read(&log)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(log, bytes)?)
}
