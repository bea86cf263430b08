//! What streamlog set out to reach, as checks of the rows.

use crate::peers::OURS;
use crate::results::{Sample, digits, format, rows};
use crate::workloads::{Unit, Workload};

/// One figure of the design's table.
pub struct Target {
    pub what: &'static str,
    pub wanted: String,
    pub measured: String,
    pub met: Option<bool>,
}

const SEND: &str = "streamlog, send";

pub fn all(samples: &[Sample]) -> Vec<Target> {
    use Workload::{
        Append, Batch, Disk, Durable1, Durable16, DurablePipelined, OpenClean, OpenKill, Replay, TailParked,
        TailSpinning,
    };
    let figures = Figures(samples);
    let synced = &["raft-engine", "okaywal"];
    vec![
        figures.times("append one by one, 100 B", Append, 100, OURS, &["yaque"], 3.0),
        figures.times("append one by one, 100 B", Append, 100, OURS, &["commitlog"], 4.0),
        figures.times("append one by one, 1 KiB", Append, 1024, OURS, &["yaque"], 1.4),
        figures.at_most("append one by one, 100 B, p50", Append, 100, "p50", 100.0),
        figures.at_most("append one by one, 100 B, p99", Append, 100, "p99", 500.0),
        figures.times("`Producer::send`, keyed, 100 B", Batch, 100, SEND, &["yaque"], 1.0),
        figures.times("`Producer::send`, keyed, 100 B", Batch, 100, SEND, &["commitlog"], 1.35),
        figures.times("`Producer::send`, keyed, 1 KiB", Batch, 1024, SEND, &["commitlog"], 1.1),
        figures.times("durable, 1 thread, 100 B", Durable1, 100, OURS, synced, 1.0),
        figures.times("durable, 16 threads, 100 B", Durable16, 100, OURS, synced, 1.5),
        figures.times(
            "durable, 16 threads, 100 B (stretch)",
            Durable16,
            100,
            OURS,
            synced,
            2.5,
        ),
        figures.at_least("durable, pipelined, 100 B", DurablePipelined, 100, SEND, 1e6),
        figures.times(
            "replay through `Consumer`, 100 B",
            Replay,
            100,
            OURS,
            &["commitlog"],
            1.3,
        ),
        figures.times(
            "replay through `Consumer`, 1 KiB",
            Replay,
            1024,
            OURS,
            &["commitlog"],
            1.4,
        ),
        figures.times(
            "replay through `Consumer`, 1 KiB",
            Replay,
            1024,
            OURS,
            &["LMDB (heed)"],
            1.1,
        ),
        figures.at_most("tail, spinning, 100 B, p50", TailSpinning, 100, "p50", 500.0),
        figures.at_most("tail, spinning, 100 B, p99", TailSpinning, 100, "p99", 10_000.0),
        figures.within("tail, parked, 100 B, p50", TailParked, "p50", "in-memory channel", 1.2),
        figures.within("tail, parked, 100 B, p99", TailParked, "p99", "in-memory channel", 1.2),
        figures.at_most("open 2 GiB, clean, 100 B", OpenClean, 100, "ms", 5.0),
        figures.at_most("open 2 GiB after a kill, 100 B", OpenKill, 100, "ms", 20.0),
        figures.nothing_lost("records lost by the kill, 100 B"),
        figures.at_most("disk bytes per record, 100 B", Disk, 100, "bytes", 111.0),
    ]
}

struct Figures<'a>(&'a [Sample]);

impl Figures<'_> {
    fn of(&self, workload: Workload, size: usize, peer: &str, metric: &str) -> Option<f64> {
        rows(self.0, workload, size)
            .iter()
            .find(|row| row.peer == peer)?
            .value(metric)
    }

    /// At least so many times the rate of the best of `peers`.
    fn times(
        &self,
        what: &'static str,
        workload: Workload,
        size: usize,
        ours: &str,
        peers: &[&str],
        times: f64,
    ) -> Target {
        let best = peers
            .iter()
            .filter_map(|peer| Some((self.of(workload, size, peer, "rate")?, *peer)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let ours = self.of(workload, size, ours, "rate");
        let ratio = ours.zip(best).map(|(ours, (best, _))| ours / best);
        let unit = Unit::RecordsPerSecond;
        let measured = match (ours, best, ratio) {
            (Some(ours), Some((best, peer)), Some(ratio)) => {
                format!(
                    "{} x ({} to {}'s {})",
                    digits(ratio),
                    format(unit, ours),
                    peer,
                    format(unit, best)
                )
            }
            _ => String::new(),
        };
        Target {
            what,
            wanted: format!(">= {times} x {}", peers.join(", ")),
            measured,
            met: ratio.map(|r| r >= times),
        }
    }

    fn at_least(&self, what: &'static str, workload: Workload, size: usize, ours: &str, wanted: f64) -> Target {
        let unit = workload.shown().unit;
        let value = self.of(workload, size, ours, workload.shown().metric);
        Target {
            what,
            wanted: format!(">= {}", format(unit, wanted)),
            measured: value.map_or_else(String::new, |value| format(unit, value)),
            met: value.map(|value| value >= wanted),
        }
    }

    fn at_most(&self, what: &'static str, workload: Workload, size: usize, metric: &str, wanted: f64) -> Target {
        let unit = if metric.starts_with('p') {
            Unit::Nanoseconds
        } else {
            workload.shown().unit
        };
        let value = self.of(workload, size, OURS, metric);
        Target {
            what,
            wanted: format!("<= {}", format(unit, wanted)),
            measured: value.map_or_else(String::new, |value| format(unit, value)),
            met: value.map(|value| value <= wanted),
        }
    }

    fn within(&self, what: &'static str, workload: Workload, metric: &str, peer: &str, times: f64) -> Target {
        let (ours, theirs) = (
            self.of(workload, 100, OURS, metric),
            self.of(workload, 100, peer, metric),
        );
        let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
        let unit = Unit::Nanoseconds;
        let measured = match (ours, theirs, ratio) {
            (Some(ours), Some(theirs), Some(ratio)) => {
                format!(
                    "{} x ({} to {})",
                    digits(ratio),
                    format(unit, ours),
                    format(unit, theirs)
                )
            }
            _ => String::new(),
        };
        Target {
            what,
            wanted: format!("<= {times} x {peer}"),
            measured,
            met: ratio.map(|ratio| ratio <= times),
        }
    }

    /// In no round: a median would hide it.
    fn nothing_lost(&self, what: &'static str) -> Target {
        let ours = self
            .0
            .iter()
            .filter(|sample| sample.workload == Workload::OpenKill && sample.peer == OURS);
        let lost = ours
            .filter_map(|sample| sample.metrics.get("lost").copied())
            .reduce(f64::max);
        Target {
            what,
            wanted: "0 in every round".to_owned(),
            measured: lost.map_or_else(String::new, |lost| format!("{lost:.0}")),
            met: lost.map(|lost| lost == 0.0),
        }
    }
}
