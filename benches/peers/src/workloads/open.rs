//! Opening what is there. The parent runs the phases in turn, each in a new process, over one directory: fill, then in
//! each round open (clean), grow (and be killed), open (after the kill).

use std::io::Write;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::{BATCH, Job};
use crate::measure::Metrics;
use crate::peer::{Ack, AppendBatch, Log, Outcome, Place, Reopen};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    #[default]
    None,
    Fill,
    OpenClean,
    Grow,
    OpenKill,
}

/// Bytes of values that are written before the kill, and not synced.
pub fn unsynced(open_bytes: u64) -> u64 {
    open_bytes / 32
}

pub fn run<P: Reopen>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    let mut place = Place::new(&job.dir, Ack::Fast);
    // What is not synced stays so until the kill, as far as the peer lets its callers decide.
    place.background_sync = false;
    match job.phase {
        Phase::None => Err("this workload needs a phase".into()),
        Phase::Fill => {
            let log = P::open(&place)?;
            append(job, &log, job.open_bytes - unsynced(job.open_bytes))?;
            log.sync()?;
            counted(log)
        }
        Phase::OpenClean => timed(|| P::open(&place)),
        Phase::Grow => {
            let log = P::open(&place)?;
            log.sync()?;
            append(job, &log, unsynced(job.open_bytes))?;
            let metrics = Metrics::from([("records".to_owned(), records(&log)?)]);
            crate::run::print_result(&metrics)?;
            std::io::stdout().flush()?;
            // The parent kills this process when it has read that.
            std::thread::sleep(Duration::from_secs(600));
            Err("nobody killed this process".into())
        }
        Phase::OpenKill => timed(|| P::open_after_kill(&place)),
    }
}

fn append<P: Log>(job: &Job, log: &P, bytes: u64) -> Outcome
where
    for<'a> P::Writer<'a>: AppendBatch,
{
    let events = job.events();
    let batches = events.batches(BATCH);
    let mut writer = log.writer()?;
    let times = bytes / (job.value_bytes * BATCH) as u64;
    for batch in batches.iter().cycle().take(usize::try_from(times)?) {
        writer.append_batch(batch)?;
    }
    writer.finish()
}

fn timed<P: Reopen>(open: impl FnOnce() -> Outcome<P>) -> Outcome<Metrics> {
    let start = Instant::now();
    let log = open()?;
    let took = start.elapsed();
    let mut metrics = counted(log)?;
    metrics.insert("ms".to_owned(), took.as_secs_f64() * 1e3);
    Ok(metrics)
}

fn counted<P: Reopen>(log: P) -> Outcome<Metrics> {
    let metrics = Metrics::from([("records".to_owned(), records(&log)?)]);
    log.close()?;
    Ok(metrics)
}

/// NaN where the peer cannot be asked would not be JSON: -1.
fn records<P: Reopen>(log: &P) -> Outcome<f64> {
    Ok(log.records()?.map_or(-1.0, |count| count as f64))
}
