//! Appends across rolls of segments.

use super::{Job, deadline};
use crate::measure::{Latencies, Metrics, nanoseconds, ticks};
use crate::peer::{Ack, AppendOne, Log, Outcome, Place};

const SMALL: u64 = 16 << 20;
const LARGE: u64 = 1 << 30;

pub fn small<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    run::<P>(job, SMALL)
}

pub fn large<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    run::<P>(job, LARGE)
}

fn run<P: Log>(job: &Job, segment_bytes: u64) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    let mut place = Place::new(&job.dir, Ack::Fast);
    place.segment_bytes = Some(segment_bytes);
    let log = P::open(&place)?;
    let mut latencies = Latencies::with_capacity(1 << 20);
    {
        let mut events = job.events();
        let mut writer = log.writer()?;
        let until = deadline(job, 4);
        let (mut before, mut count) = (ticks(), 0);
        while count < job.budget.records(job.value_bytes) && before < until {
            let event = events.next(0);
            before = ticks();
            writer.append(event)?;
            latencies.push(nanoseconds(before, ticks()));
            count += 1;
        }
    }
    log.close()?;
    let mut metrics = Metrics::new();
    latencies.report(&mut metrics);
    Ok(metrics)
}
