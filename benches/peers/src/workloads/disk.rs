//! What a record takes on disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Job, fill};
use crate::measure::Metrics;
use crate::peer::{Ack, AppendBatch, Log, Outcome, Place};

pub fn run<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    let log = P::open(&Place::new(&job.dir, Ack::Fast))?;
    let count = fill(job, job.budget.records(job.value_bytes) / 4, 4, &mut log.writer()?)?;
    log.close()?;
    let bytes = occupied(&job.dir)?;
    Ok(Metrics::from([("bytes".to_owned(), bytes as f64 / count as f64)]))
}

/// Blocks of files, not their lengths: holes do not count, what was allocated ahead does.
fn occupied(dir: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            directory if directory.is_dir() => occupied(&entry.path())?,
            file => file.blocks() * 512,
        };
    }
    Ok(bytes)
}
