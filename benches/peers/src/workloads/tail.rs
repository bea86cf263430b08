//! From the append of a record to its sight in another thread, at a steady rate.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;

use super::Job;
use crate::measure::{Latencies, Metrics, nanoseconds, ticks, ticks_in};
use crate::peer::{Ack, Follow, Outcome, Place, Tail, Wait};

const RATE: u64 = 100_000;

/// What a record's time stamp takes at the start of its value.
const STAMP: usize = 8;

pub fn spinning<P: Tail>(job: &Job) -> Outcome<Metrics> {
    run::<P>(job, Wait::Spinning)
}

pub fn parked<P: Tail>(job: &Job) -> Outcome<Metrics> {
    run::<P>(job, Wait::Parked)
}

fn run<P: Tail>(job: &Job, wait: Wait) -> Outcome<Metrics> {
    let log = P::open(&Place::new(&job.dir, Ack::Fast))?;
    let records = (RATE as f64 * job.budget.time.as_secs_f64() * 2.0) as usize;
    let start = Barrier::new(2);
    let latencies = thread::scope(|scope| {
        let reader = scope.spawn(|| follow(&log, wait, records, &start));
        start.wait();
        produce(&log, job, records)?;
        reader.join().map_err(|_| "the reader panicked")?
    })?;
    let mut metrics = Metrics::new();
    latencies.report(&mut metrics);
    log.close()?;
    Ok(metrics)
}

fn produce<P: Tail>(log: &P, job: &Job, records: usize) -> Outcome {
    let mut events = job.events();
    let mut value = vec![0; job.value_bytes];
    let gap = ticks_in(1e9 / RATE as f64);
    let start = ticks();
    for number in 0..records as u64 {
        let mut event = events.next(0);
        value.copy_from_slice(event.value);
        while ticks() < start + number * gap {
            spin_loop();
        }
        value[..STAMP].copy_from_slice(&ticks().to_le_bytes());
        event.value = &value;
        log.append_shared(event)?;
    }
    Ok(())
}

fn follow<P: Tail>(log: &P, wait: Wait, records: usize, start: &Barrier) -> Outcome<Latencies> {
    let tailer = log.tailer(wait);
    start.wait();
    let mut tailer = tailer?;
    // The first twentieth warms things up.
    let skip = records / 20;
    let mut latencies = Latencies::with_capacity(records);
    let mut seen = 0;
    while seen < records {
        seen += tailer.next(|value| {
            let now = ticks();
            let stamp = value[..STAMP].try_into().map(u64::from_le_bytes);
            latencies.push(stamp.map_or(u32::MAX, |stamp| nanoseconds(stamp, now)));
        })?;
        if wait == Wait::Spinning {
            spin_loop();
        }
    }
    latencies.skip(skip);
    Ok(latencies)
}
