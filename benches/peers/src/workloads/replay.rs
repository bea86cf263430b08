//! Reads everything from the start.

use std::hint::black_box;

use super::{Job, fill, per_second};
use crate::measure::{Metrics, ticks};
use crate::peer::{Ack, AppendBatch, Outcome, Place, Replay};

const CACHE_LINE: usize = 64;

pub fn run<P: Replay>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    let log = P::open(&Place::new(&job.dir, Ack::Fast))?;
    let written = fill(
        job,
        (job.budget.records(job.value_bytes) / 2).min(P::AT_MOST),
        4,
        &mut log.writer()?,
    )?;
    let mut bytes = 0;
    let mut lines = 0_u64;
    let from = ticks();
    let read = log.replay(|value| {
        bytes += value.len() as u64;
        lines += value
            .iter()
            .step_by(CACHE_LINE)
            .map(|byte| u64::from(*byte))
            .sum::<u64>();
    })?;
    let to = ticks();
    black_box(lines);
    if (read, bytes) != (written, written * job.value_bytes as u64) {
        return Err(format!("read {read} records of {bytes} bytes, not {written}").into());
    }
    log.close()?;
    Ok(Metrics::from([("rate".to_owned(), per_second(read, from, to))]))
}
