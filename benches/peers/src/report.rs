//! Tables in markdown, and the plots beside them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::measure::PERCENTILES;
use crate::peer::Outcome;
use crate::peers::{BOUNDS, OURS, PACKAGES, SIZES};
use crate::plot;
use crate::results::{Foreign, Results, Row, Sample, digits, format, rows};
use crate::targets;
use crate::workloads::{Shown, Unit, Workload};

/// Peers that are not in the run, and why.
const MISSING: &[&str] = &[];

/// Writes `results.md` and a plot a workload into `output`; takes rows of `jvm.json` in, if there is one.
pub fn write(output: &Path, results: &Results) -> Outcome {
    let jvm = output.join("jvm.json");
    let foreign: Option<Foreign> = match fs::read(&jvm) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", jvm.display()))?),
        Err(_) => None,
    };
    let mut samples = results.samples.clone();
    samples.extend(foreign.iter().flat_map(|foreign| foreign.samples.iter().cloned()));

    let mut text = String::new();
    head(&mut text, results, foreign.as_ref(), &samples)?;
    design_targets(&mut text, &samples)?;
    for workload in Workload::ALL {
        section(&mut text, output, &samples, workload)?;
    }
    Ok(fs::write(output.join("results.md"), text)?)
}

fn head(text: &mut String, results: &Results, foreign: Option<&Foreign>, samples: &[Sample]) -> Outcome {
    let machine = &results.machine;
    writeln!(text, "# streamlog and its peers, measured\n")?;
    writeln!(
        text,
        "Made by `cargo run --release --manifest-path benches/peers/Cargo.toml`; do not edit."
    )?;
    writeln!(
        text,
        "[`README.md`](../README.md) says what each peer's adapter does, and with which settings.\n"
    )?;
    if results.quick {
        writeln!(text, "**A smoke test: measurements this short say nothing.**\n")?;
    }
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| date | {} |", results.date)?;
    let (cores, memory) = (machine.cores, machine.memory_gib);
    writeln!(
        text,
        "| machine | {}, {cores} cores, {memory} GiB of memory |",
        machine.processor
    )?;
    writeln!(text, "| system | {}, {} |", machine.kernel, machine.file_system)?;
    writeln!(text, "| compiler | {} |", machine.compiler)?;
    writeln!(
        text,
        "| run | {} rounds, seed {}, {} s |",
        results.rounds, results.seed, results.seconds
    )?;
    writeln!(text, "| versions | {} |", versions(results, samples))?;
    for note in foreign.iter().flat_map(|foreign| &foreign.notes) {
        writeln!(text, "| JVM peers | {note} |")?;
    }
    writeln!(
        text,
        "
Method: each measurement is a process of its own in a fresh directory on that file system. In a round each peer runs each
workload once, one after the other, each round starting with another peer. Figures are medians over rounds; the spread is
the least and the most. Values are JSON events from the seed; peers with keys in their records (streamlog, kafko, Kafka) get
keys of 11 bytes on average, stores that order by key get partition and position as key. A single look at the clock is part
of each latency. *streamlog is* says how many times better streamlog's (best) row is than that row.

What an acknowledgement survives: *process kill* means that the kernel has the record, *power loss* that a sync covers it."
    )?;
    for missing in MISSING {
        writeln!(text, "Not measured: {missing}")?;
    }
    Ok(())
}

fn versions(results: &Results, samples: &[Sample]) -> String {
    let mut peers: Vec<_> = samples
        .iter()
        .map(|sample| sample.peer.split(',').next().unwrap_or_default())
        .collect();
    peers.sort_unstable();
    peers.dedup();
    let version = |peer: &str| {
        let package = PACKAGES
            .iter()
            .find(|(name, _)| *name == peer)
            .map_or(peer, |(_, package)| package);
        let version = results.versions.get(package)?;
        Some(format!("{package} {version}"))
    };
    peers.into_iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

fn design_targets(text: &mut String, samples: &[Sample]) -> Outcome {
    writeln!(
        text,
        "\n## Design targets\n\n| what | target | measured | met |\n|---|---|---|---|"
    )?;
    for target in targets::all(samples) {
        let met = match target.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        writeln!(
            text,
            "| {} | {} | {} | {met} |",
            target.what, target.wanted, target.measured
        )?;
    }
    Ok(())
}

fn section(text: &mut String, output: &Path, samples: &[Sample], workload: Workload) -> Outcome {
    let shown = workload.shown();
    let tables: Vec<_> = SIZES
        .iter()
        .map(|size| (*size, rows(samples, workload, *size)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    if tables.is_empty() {
        return Ok(());
    }
    let plot = format!("{}.svg", shown.id);
    fs::write(output.join(&plot), plot::draw(&shown, &tables))?;
    writeln!(
        text,
        "\n## {}\n\n{}\n\n![{}]({plot})",
        shown.title, shown.text, shown.title
    )?;
    for (size, rows) in &tables {
        table(text, &shown, *size, rows)?;
    }
    Ok(())
}

pub fn size_name(size: usize) -> &'static str {
    if size == 1024 { "1 KiB" } else { "100 B" }
}

fn table(text: &mut String, shown: &Shown, size: usize, rows: &[Row]) -> Outcome {
    let has = |metric: &str| rows.iter().any(|row| row.value(metric).is_some());
    let latencies: Vec<_> = PERCENTILES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| has(name))
        .collect();
    let own = (shown.unit != Unit::Nanoseconds).then_some(shown.metric);
    let lost = has("lost");

    let mut header = vec![size_name(size)];
    header.extend(own.map(|_| heading(shown.unit)));
    header.extend(&latencies);
    header.extend(lost.then_some("records lost"));
    header.extend(["spread", "streamlog is", "an acknowledgement survives", "remarks"]);
    writeln!(text, "\n| {} |", header.join(" | "))?;
    writeln!(text, "|---{}|", "|---".repeat(header.len() - 1))?;

    let best = rows
        .iter()
        .find(|row| is_ours(&row.peer))
        .and_then(|row| row.value(shown.metric));
    for row in rows {
        let mut cells = vec![if is_ours(&row.peer) {
            format!("**{}**", row.peer)
        } else {
            row.peer.clone()
        }];
        let cell = |metric, unit| row.value(metric).map_or_else(String::new, |value| format(unit, value));
        cells.extend(own.map(|metric| cell(metric, shown.unit)));
        cells.extend(latencies.iter().map(|name| cell(name, Unit::Nanoseconds)));
        if lost {
            cells.push(
                row.value("lost")
                    .map_or_else(|| "not known".to_owned(), |lost| format!("{lost:.0}")),
            );
        }
        cells.push(spread(shown.unit, row));
        cells.push(ratio(shown, row, best));
        cells.push(row.survives.clone());
        cells.push(remarks(row));
        writeln!(text, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn heading(unit: Unit) -> &'static str {
    match unit {
        Unit::RecordsPerSecond => "records",
        Unit::Milliseconds | Unit::Nanoseconds => "time",
        Unit::Bytes => "bytes per record",
    }
}

pub fn is_ours(peer: &str) -> bool {
    peer.split(',').next() == Some(OURS)
}

pub fn is_bound(peer: &str) -> bool {
    BOUNDS.contains(&peer)
}

fn spread(unit: Unit, row: &Row) -> String {
    if row.rounds < 2 {
        return String::new();
    }
    format!("{} – {}", format(unit, row.least), format(unit, row.most))
}

fn ratio(shown: &Shown, row: &Row, best: Option<f64>) -> String {
    let (Some(best), Some(value)) = (best, row.value(shown.metric)) else {
        return String::new();
    };
    if is_ours(&row.peer) && (best - value).abs() <= f64::EPSILON {
        return String::new();
    }
    let ratio = if shown.unit.more_is_better() {
        best / value
    } else {
        value / best
    };
    format!("{} x", digits(ratio))
}

fn remarks(row: &Row) -> String {
    let mut parts = Vec::new();
    if !row.remark.is_empty() {
        parts.push(row.remark.clone());
    }
    if is_bound(&row.peer) {
        parts.push("a lower bound, not a peer".to_owned());
    }
    for error in &row.errors {
        parts.push(format!("FAILED: {}", error.replace('|', "/").replace('\n', " ")));
    }
    parts.join("; ")
}
