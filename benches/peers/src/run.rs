//! Rounds: in each, every peer runs every workload once, each in a process of its own. The processes print one result line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::measure::Metrics;
use crate::peer::Outcome;
use crate::peers::{self, Entry};
use crate::results::{Results, Sample};
use crate::workloads::open::Phase;
use crate::workloads::{Job, Workload};
use crate::{Measure, Options};

const RESULT: &str = "RESULT ";

/// Opening stops after three rounds when a peer has taken that long for them.
const PATIENCE: Duration = Duration::from_secs(60);

/// A measurement that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Runs everything that is asked for. A peer that fails is a sample with an error.
///
/// Samples are kept in `file` after each round: an interrupted run is not lost.
pub fn all(options: &Options, file: &Path, results: &mut Results) -> Outcome {
    let entries = peers::all();
    let cases = cases(&entries, options);
    if cases.is_empty() {
        return Err("nothing matches --only".into());
    }
    let started = Instant::now();
    let total = usize::try_from(options.rounds())? * cases.len();
    let mut done = 0;
    let mut progress = |case: &Case, round: u32, sample: &Sample| {
        done += 1;
        eprintln!(
            "{:>5.0} s  {done:>4}/{total}  round {round}  {:<17} {:>4} B  {:<30} {}",
            started.elapsed().as_secs_f64(),
            case.entry.workload.shown().id,
            case.size,
            case.entry.peer,
            sample.summary(),
        );
    };

    let (opening, others): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case.entry.workload.is_open());
    for round in 1..=options.rounds() {
        // Each workload starts with another peer in each round, so that nobody is always behind the same one.
        for group in others.chunk_by(|a, b| a.group() == b.group()) {
            let (last, first) = group.split_at((round as usize * 3) % group.len());
            for case in first.iter().chain(last) {
                let dir = tempfile::tempdir_in(&options.dir)?;
                let sample = case.sample(round, measure(case, options, dir.path(), Phase::None));
                progress(case, round, &sample);
                results.samples.push(sample);
            }
        }
        results.save(file)?;
    }
    // 2 GiB of each peer do not fit the page cache: these run one peer after the other, over one directory each.
    for group in opening.chunk_by(|a, b| (a.entry.peer, a.size) == (b.entry.peer, b.size)) {
        open(group, options, &mut |case, round, sample| {
            progress(case, round, &sample);
            results.samples.push(sample);
        })?;
    }
    Ok(())
}

struct Case<'a> {
    entry: &'a Entry,
    size: usize,
}

impl Case<'_> {
    fn group(&self) -> (Workload, usize) {
        (self.entry.workload, self.size)
    }

    fn sample(&self, round: u32, outcome: Outcome<Metrics>) -> Sample {
        let (metrics, error) = match outcome {
            Ok(metrics) => (metrics, None),
            Err(error) => (Metrics::new(), Some(error.to_string())),
        };
        Sample {
            workload: self.entry.workload,
            size: self.size,
            peer: self.entry.peer.to_owned(),
            round,
            survives: self.entry.survives.text().to_owned(),
            remark: self.entry.remark.to_owned(),
            metrics,
            error,
        }
    }
}

fn cases<'a>(entries: &'a [Entry], options: &Options) -> Vec<Case<'a>> {
    let mut cases: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry.sizes.iter().map(move |size| Case { entry, size: *size }))
        .filter(|case| options.wants(case.entry.workload.shown().id, case.entry.peer))
        .collect();
    // Stable: peers stay in the order of the registry. The two workloads that open stay together.
    cases.sort_by_key(|case| {
        let opens = case.entry.workload.is_open();
        let peer = opens.then_some(case.entry.peer);
        (
            opens,
            if opens {
                Workload::OpenClean
            } else {
                case.entry.workload
            },
            peer,
            case.size,
        )
    });
    cases
}

fn open(group: &[&Case], options: &Options, report: &mut dyn FnMut(&Case, u32, Sample)) -> Outcome {
    let dir = tempfile::tempdir_in(&options.dir)?;
    let case = group[0];
    let run = |phase| measure(case, options, dir.path(), phase);
    let mut expected = match run(Phase::Fill) {
        Ok(metrics) => metrics.get("records").copied(),
        Err(error) => {
            for case in group {
                report(case, 1, case.sample(1, Err(format!("filling: {error}").into())));
            }
            return Ok(());
        }
    };
    let started = Instant::now();
    for round in 1..=options.rounds() {
        if round > 3 && started.elapsed() > PATIENCE {
            break;
        }
        let mut sample_of = |workload, outcome: Outcome<Metrics>| {
            for case in group.iter().filter(|case| case.entry.workload == workload) {
                report(
                    case,
                    round,
                    case.sample(round, outcome.as_ref().cloned().map_err(|e| e.to_string().into())),
                );
            }
        };
        sample_of(
            Workload::OpenClean,
            run(Phase::OpenClean).map(|found| lost(expected, found)),
        );
        if !group.iter().any(|case| case.entry.workload == Workload::OpenKill) {
            continue;
        }
        expected = match run(Phase::Grow) {
            Ok(metrics) => metrics.get("records").copied(),
            Err(error) => {
                sample_of(Workload::OpenKill, Err(format!("growing: {error}").into()));
                continue;
            }
        };
        let found = run(Phase::OpenKill);
        let records = found.as_ref().ok().and_then(|found| found.get("records").copied());
        sample_of(Workload::OpenKill, found.map(|found| lost(expected, found)));
        expected = records.or(expected);
    }
    Ok(())
}

/// Says how many records are missing, where both counts are known.
fn lost(expected: Option<f64>, mut found: Metrics) -> Metrics {
    if let (Some(expected), Some(records)) = (expected, found.get("records").copied())
        && expected >= 0.0
        && records >= 0.0
    {
        found.insert("lost".to_owned(), expected - records);
    }
    found
}

/// Runs one measurement in a new process.
fn measure(case: &Case, options: &Options, dir: &Path, phase: Phase) -> Outcome<Metrics> {
    if !options.idle.is_zero() {
        std::thread::sleep(options.idle);
    }
    // What others have written must not be synced along.
    // SAFETY: it takes nothing and touches no memory of ours.
    unsafe { libc::sync() };
    let data = dir.join("data");
    fs::create_dir_all(&data)?;
    let errors = dir.join("stderr");
    let phase_name = phase.to_possible_value().ok_or("no name")?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("measure")
        .args(["--workload", case.entry.workload.shown().id, "--peer", case.entry.peer])
        .args(["--size", &case.size.to_string(), "--seed", &options.seed.to_string()])
        .args(["--phase", phase_name.get_name()])
        .args(options.quick.then_some("--quick"))
        .arg("--data")
        .arg(&data)
        .env("WALRUS_DATA_DIR", &data)
        .env("WALRUS_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .spawn()?;
    let metrics = read_result(&mut child);
    if phase == Phase::Grow {
        child.kill()?;
    }
    let status = child.wait()?;
    match metrics {
        Some(metrics) if status.success() || phase == Phase::Grow => Ok(metrics),
        _ => Err(last_words(&errors, status)?.into()),
    }
}

fn read_result(child: &mut Child) -> Option<Metrics> {
    let lines = BufReader::new(child.stdout.take()?).lines();
    let result = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(RESULT).map(str::to_owned));
    serde_json::from_str(&result?).ok()
}

fn last_words(errors: &Path, status: std::process::ExitStatus) -> Outcome<String> {
    let mut file = File::open(errors)?;
    let length = file.metadata()?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(2_000)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    // A panic's message is its second line.
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let line = panic.and_then(|at| lines.get(at + 1)).or(lines.last());
    Ok(line.map_or_else(|| status.to_string(), |line| format!("{} ({status})", line.trim())))
}

/// In the process that measures: runs, and prints the result line.
pub fn one(measure: &Measure) -> Outcome {
    std::thread::spawn(|| {
        std::thread::sleep(TIMEOUT);
        eprintln!("it took more than {} s", TIMEOUT.as_secs());
        std::process::exit(3);
    });
    let entries = peers::all();
    let entry = entries
        .iter()
        .find(|entry| entry.peer == measure.peer && entry.workload.shown().id == measure.workload)
        .ok_or("no such workload of that peer")?;
    let job = Job {
        dir: PathBuf::from(&measure.data),
        value_bytes: measure.size,
        seed: measure.seed,
        budget: measure.budget(),
        open_bytes: if measure.quick { 64 << 20 } else { 2 << 30 },
        phase: measure.phase,
    };
    print_result(&(entry.run)(&job)?)
}

pub fn print_result(metrics: &Metrics) -> Outcome {
    println!("{RESULT}{}", serde_json::to_string(metrics)?);
    Ok(())
}
