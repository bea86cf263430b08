//! Appends in batches of 100.

use super::{BATCH, Job, fill, per_second};
use crate::measure::{Metrics, ticks};
use crate::peer::{Ack, AppendBatch, Log, Outcome, Place};

pub fn run<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    let log = P::open(&Place::new(&job.dir, Ack::Fast))?;
    let rate = {
        let mut writer = log.writer()?;
        fill(job, BATCH as u64, 1, &mut writer)?;
        let from = ticks();
        let count = fill(job, job.budget.records(job.value_bytes), 1, &mut writer)?;
        per_second(count, from, ticks())
    };
    log.close()?;
    Ok(Metrics::from([("rate".to_owned(), rate)]))
}
