//! Feeds mutated bytes to everything that reads bytes.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/Cargo.toml -- --seconds 2              every target, 2 s each
//! cargo run --release --manifest-path fuzz/Cargo.toml -- --target batch --seed 7  one target, other choices
//! cargo run --release --manifest-path fuzz/Cargo.toml -- --target batch --input FILE     one input, once
//! cargo run --release --manifest-path fuzz/Cargo.toml -- --write-corpus           makes the corpus anew
//! ```
//! A target takes any bytes, and panics if a promise breaks. Inputs are the files in `corpus/TARGET`,
//! mutated; a seed repeats its sequence of inputs. A panic, an input that takes longer than a second,
//! and memory beyond a limit are failures: the input is written to `crashes/`, and the exit code is 1.
//!
//! It needs no nightly compiler and no instrumentation; what it lacks is guidance by coverage, so a
//! good corpus matters.

mod allocation;
mod corpus;
mod directory;
#[allow(dead_code, reason = "the operations target uses a part of it")]
mod model;
mod mutate;
mod operations;
mod targets;

#[allow(dead_code, reason = "shared with `tests/it`")]
#[path = "../../tests/it/random.rs"]
mod random;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mutate::Mutator;
use random::Random;
use targets::{TARGETS, Target};

/// No input may take longer. Generous, for a machine that is busy.
const LONGEST: Duration = Duration::from_secs(1);

struct Options {
    seconds: f64,
    target: Option<String>,
    seed: u64,
    input: Option<PathBuf>,
    write_corpus: bool,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}; see the head of fuzz/src/main.rs");
            return ExitCode::from(2);
        }
    };
    if options.write_corpus {
        corpus::write(&folder("corpus"));
        return ExitCode::SUCCESS;
    }
    let chosen = |target: &&Target| {
        options
            .target
            .as_deref()
            .is_none_or(|name| name == target.name)
    };
    let targets: Vec<_> = TARGETS.iter().filter(chosen).collect();
    if targets.is_empty() {
        eprintln!("no such target");
        return ExitCode::from(2);
    }
    let failed = targets
        .into_iter()
        .filter(|target| match &options.input {
            Some(path) => !survives(target, &fs::read(path).expect("the input is a file")),
            None => !fuzz(target, &options),
        })
        .count();
    ExitCode::from(u8::from(failed > 0))
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seconds: 2.0,
            target: None,
            seed: 1,
            input: None,
            write_corpus: false,
        };
        while let Some(word) = words.next() {
            if word == "--write-corpus" {
                options.write_corpus = true;
                continue;
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let wrong = |error| format!("{word} {value}: {error}");
            match word.as_str() {
                "--seconds" => options.seconds = value.parse().map_err(|_| wrong("no number"))?,
                "--seed" => options.seed = value.parse().map_err(|_| wrong("no whole number"))?,
                "--target" => options.target = Some(value),
                "--input" => options.input = Some(value.into()),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }
}

/// A folder beside this package's manifest, wherever it is run from.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a target until its time is up; false after a failure.
fn fuzz(target: &Target, options: &Options) -> bool {
    let corpus = corpus::read(&folder("corpus").join(target.name));
    let mut mutator = Mutator::new(Random::new(options.seed), &corpus, target.longest);
    let start = Instant::now();
    let time = Duration::from_secs_f64(options.seconds);
    let mut runs = 0_u64;
    // The corpus itself comes first.
    for input in &corpus {
        runs += 1;
        if !survives(target, input) {
            return false;
        }
    }
    let mut input = Vec::new();
    while start.elapsed() < time {
        for _ in 0..target.runs_a_look {
            mutator.next(&mut input);
            runs += 1;
            if !survives(target, &input) {
                return false;
            }
        }
    }
    let rate = runs as f64 / start.elapsed().as_secs_f64();
    println!(
        "{:24} {runs:>10} runs {rate:>12.0}/s   {} in the corpus",
        target.name,
        corpus.len()
    );
    true
}

/// Runs one input; after a failure, says so and keeps it.
fn survives(target: &Target, input: &[u8]) -> bool {
    allocation::watch(target.name, input);
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let taken = start.elapsed();
    allocation::rest();
    if outcome.is_ok() && taken < LONGEST {
        return true;
    }
    let what = if outcome.is_err() {
        "panicked"
    } else {
        "took too long"
    };
    let path = keep(target.name, input);
    eprintln!(
        "{}: an input {what} ({taken:?}); it is in {}\n\
         run it again: cargo run --release --manifest-path fuzz/Cargo.toml -- --target {} --input {}",
        target.name,
        path.display(),
        target.name,
        path.display()
    );
    false
}

/// Writes a failing input to `crashes/`.
fn keep(target: &str, input: &[u8]) -> PathBuf {
    let folder = folder("crashes");
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = folder.join(format!("{target}-{hash:016x}"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    if let Err(error) = written {
        eprintln!("cannot keep the input: {error}");
    }
    path
}
