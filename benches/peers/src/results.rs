//! Samples, kept in a file, and the rows that they make.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::Metrics;
use crate::peer::Outcome;
use crate::workloads::{Unit, Workload};

/// One peer in one workload in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub workload: Workload,
    pub size: usize,
    pub peer: String,
    pub round: u32,
    pub survives: String,
    pub remark: String,
    pub metrics: Metrics,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Sample {
    pub fn summary(&self) -> String {
        if let Some(error) = &self.error {
            return format!("FAILED: {error}");
        }
        let shown = self.workload.shown();
        self.metrics
            .get(shown.metric)
            .map_or_else(String::new, |value| format(shown.unit, *value))
    }
}

/// Everything of a run: enough to make the tables and plots again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    /// Of the peers' packages, from Cargo.lock.
    pub versions: BTreeMap<String, String>,
    pub date: String,
    pub rounds: u32,
    pub seed: u64,
    pub quick: bool,
    pub seconds: u64,
    pub samples: Vec<Sample>,
}

impl Results {
    pub fn load(path: &Path) -> Outcome<Self> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub fn save(&self, path: &Path) -> Outcome {
        // One sample a line: a new run then makes a readable difference.
        let mut head = serde_json::to_value(self)?;
        head["samples"] = serde_json::Value::Array(Vec::new());
        let head = serde_json::to_string_pretty(&head)?;
        let samples = self
            .samples
            .iter()
            .map(serde_json::to_string)
            .collect::<Result<Vec<_>, _>>()?;
        let text = head.replace(
            "\"samples\": []",
            &format!("\"samples\": [\n{}\n]", samples.join(",\n")),
        );
        Ok(fs::write(path, text + "\n")?)
    }
}

/// Rows of another run, by scripts.
#[derive(Debug, Deserialize)]
pub struct Foreign {
    /// What ran, with versions and settings.
    pub notes: Vec<String>,
    pub samples: Vec<Sample>,
}

/// A peer's figures in one table.
#[derive(Clone, Debug)]
pub struct Row {
    pub peer: String,
    pub survives: String,
    pub remark: String,
    /// Medians over rounds.
    pub medians: Metrics,
    /// Of the workload's own figure.
    pub least: f64,
    pub most: f64,
    pub rounds: usize,
    pub errors: Vec<String>,
}

impl Row {
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.medians.get(metric).copied()
    }
}

/// The rows of a table, best first; peers that failed come last.
pub fn rows(samples: &[Sample], workload: Workload, size: usize) -> Vec<Row> {
    let mut by_peer: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples
        .iter()
        .filter(|sample| sample.workload == workload && sample.size == size)
    {
        by_peer.entry(&sample.peer).or_default().push(sample);
    }
    let shown = workload.shown();
    let mut rows: Vec<_> = by_peer
        .into_values()
        .map(|samples| row(&samples, shown.metric))
        .collect();
    rows.sort_by(|a, b| {
        let key = |row: &Row| match row.value(shown.metric) {
            Some(value) if shown.unit.more_is_better() => -value,
            Some(value) => value,
            None => f64::INFINITY,
        };
        key(a).total_cmp(&key(b))
    });
    rows
}

fn row(samples: &[&Sample], metric: &str) -> Row {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        for (name, value) in &sample.metrics {
            values.entry(name.clone()).or_default().push(*value);
        }
    }
    let own = values.get(metric).cloned().unwrap_or_default();
    let mut errors: Vec<_> = samples.iter().filter_map(|sample| sample.error.clone()).collect();
    errors.dedup();
    Row {
        peer: samples[0].peer.clone(),
        survives: samples[0].survives.clone(),
        remark: samples[0].remark.clone(),
        medians: values
            .into_iter()
            .map(|(name, values)| (name, median(values)))
            .collect(),
        least: own.iter().copied().fold(f64::INFINITY, f64::min),
        most: own.iter().copied().fold(0.0, f64::max),
        rounds: own.len(),
        errors,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// A figure with its unit.
pub fn format(unit: Unit, value: f64) -> String {
    match unit {
        Unit::RecordsPerSecond if value >= 999_500.0 => format!("{} M/s", digits(value / 1e6)),
        Unit::RecordsPerSecond if value >= 999.5 => format!("{} k/s", digits(value / 1e3)),
        Unit::RecordsPerSecond => format!("{} /s", digits(value)),
        Unit::Nanoseconds if value >= 999_500.0 => format!("{} ms", digits(value / 1e6)),
        Unit::Nanoseconds if value >= 999.5 => format!("{} µs", digits(value / 1e3)),
        Unit::Nanoseconds => format!("{value:.0} ns"),
        Unit::Milliseconds if value >= 9_999.5 => format!("{} s", digits(value / 1e3)),
        Unit::Milliseconds => format!("{} ms", digits(value)),
        Unit::Bytes => format!("{value:.1} B"),
    }
}

/// Three significant digits.
pub fn digits(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
