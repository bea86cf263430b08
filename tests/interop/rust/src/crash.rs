//! A compaction that is cut short, after each change of names that it makes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use streamlog::sim::{CrashPlan, SimDisk};
use streamlog::{Broker, CleanupPolicy, ManualClock, Record, TopicConfig};

use crate::Result;
use crate::generate::FIRST_TIMESTAMP;
use crate::lines::Line;

const RECORDS: usize = 1_200;
const PARTITION: &str = "data/t-0";

/// Makes the partition directories `<topic>-<number>`, one for each stage, and says what was written.
pub fn crash(dir: &str, topic: &str, records: &str) -> Result {
    let disk = SimDisk::recording();
    let broker = Broker::builder("data")
        .storage(disk.clone())
        .clock(ManualClock::new(FIRST_TIMESTAMP))
        .background(false)
        .open()?;
    let config = TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(32 << 10);
    let partition = broker.create_topic("t", config.clone())?.partition(0)?;
    let lines: Vec<Line> = (0..RECORDS).map(line).collect();
    for batch in lines.chunks(10) {
        let records: Vec<_> = batch
            .iter()
            .map(|line| {
                let key = line.key.as_deref().unwrap_or_default();
                let record = Record::to("t").key(key).timestamp(line.timestamp);
                match &line.value {
                    Some(value) => record.value(value),
                    None => record,
                }
            })
            .collect();
        partition.append(&records)?;
    }
    partition.flush()?;
    // Three segments become one, two times.
    broker.alter_topic("t", config.segment_bytes(100 << 10))?;
    let begin = disk.mark("pass begins");
    broker.run_housekeeping()?;
    let end = disk.mark("pass has ended");
    let stages = write_stages(&disk, begin..=end, Path::new(dir), topic)?;
    if stages < 8 {
        return Err(format!("a pass has {stages} stages only").into());
    }
    let mut out = BufWriter::new(File::create(records)?);
    for stage in 0..stages {
        for (offset, line) in (0..).zip(&lines) {
            let mut json = line.json(topic, stage, offset);
            json["codec"] = json!("none");
            writeln!(out, "{json}")?;
        }
    }
    out.flush()?;
    broker.close()?;
    Ok(())
}

/// One for each set of names that are there at some time; returns how many.
fn write_stages(
    disk: &SimDisk,
    moments: std::ops::RangeInclusive<usize>,
    dir: &Path,
    topic: &str,
) -> Result<u32> {
    let mut seen = BTreeSet::new();
    let mut stages = 0;
    // The last moment of each: whatever is written by then.
    for moment in moments.rev() {
        let state = disk.crash_states(moment, CrashPlan::new(0)).next();
        let state = state.ok_or("a crash leaves nothing")?;
        let files = state.disk.files().into_iter().map(|(path, _)| path);
        let names: Vec<_> = files.filter(|path| path.starts_with(PARTITION)).collect();
        // What is removed last matters to nobody.
        let is_removed = |path: &&PathBuf| path.extension().is_some_and(|it| it == "deleted");
        let kept: Vec<_> = names.iter().filter(|it| !is_removed(it)).cloned().collect();
        if !seen.insert(kept) {
            continue;
        }
        let to = dir.join(format!("{topic}-{stages}"));
        fs::create_dir_all(&to)?;
        for path in names {
            let name = path.file_name().unwrap_or_default();
            fs::write(to.join(name), state.disk.read(&path).unwrap_or_default())?;
        }
        stages += 1;
    }
    Ok(stages)
}

/// Few keys are written in each part of the log, and the first of them never again: some stays everywhere.
fn line(i: usize) -> Line {
    let key = match i % 20 {
        0 => format!("once-{i}"),
        _ => format!("key-{}", i.wrapping_mul(7_919) % 100),
    };
    Line {
        key: Some(key.into_bytes()),
        value: (i % 50 != 49).then(|| format!("value {i} {}", "x".repeat(150)).into_bytes()),
        headers: Vec::new(),
        timestamp: FIRST_TIMESTAMP,
    }
}
