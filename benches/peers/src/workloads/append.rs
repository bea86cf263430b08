//! Appends one by one: the rate, and what single calls take.

use super::{Job, deadline, per_second};
use crate::measure::{Latencies, Metrics, nanoseconds, ticks};
use crate::peer::{Ack, AppendOne, Log, Outcome, Place};

pub fn run<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    measure::<P>(job, Ack::Fast)
}

/// How many appends are not measured, at first.
const WARM_UP: usize = 100;

pub fn measure<P: Log>(job: &Job, ack: Ack) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    let log = P::open(&Place::new(&job.dir, ack))?;
    let mut metrics = Metrics::new();
    {
        let mut events = job.events();
        let mut writer = log.writer()?;
        for _ in 0..WARM_UP {
            writer.append(events.next(0))?;
        }

        // Two thirds for the rate, one third for latencies.
        let limit = job.budget.records(job.value_bytes);
        let (from, until) = (ticks(), deadline(job, 1));
        let mut count = 0;
        while count < limit * 2 / 3 && ticks() < until {
            // Looking at the clock that often costs less than a nanosecond a record.
            for _ in 0..if ack == Ack::Fast { 32 } else { 1 } {
                writer.append(events.next(0))?;
                count += 1;
            }
        }
        metrics.insert("rate".to_owned(), per_second(count, from, ticks()));

        let until = deadline(job, 1);
        let mut latencies = Latencies::with_capacity(1 << 16);
        for _ in 0..limit / 3 {
            let event = events.next(0);
            let before = ticks();
            writer.append(event)?;
            let after = ticks();
            latencies.push(nanoseconds(before, after));
            if after > until {
                break;
            }
        }
        latencies.report(&mut metrics);
    }
    log.close()?;
    Ok(metrics)
}
