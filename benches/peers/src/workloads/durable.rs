//! Appends that come back when they survive a power loss: alone, by 16 threads, pipelined, into 64 partitions.

use std::sync::Barrier;
use std::thread;

use super::{Job, append, deadline, per_second};
use crate::measure::{Latencies, Metrics, nanoseconds, ticks};
use crate::peer::{Ack, AppendOne, AppendPipelined, Log, Outcome, Place};

const THREADS: u32 = 16;
const PARTITIONS: u32 = 64;

pub fn alone<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    append::measure::<P>(job, Ack::Durable)
}

pub fn together<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    by_threads::<P>(job, 1)
}

pub fn many<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    by_threads::<P>(job, PARTITIONS)
}

fn by_threads<P: Log>(job: &Job, partitions: u32) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendOne,
{
    let mut place = Place::new(&job.dir, Ack::Durable);
    place.partitions = partitions;
    let log = P::open(&place)?;
    let start = Barrier::new(THREADS as usize);
    let work = |thread: u32| -> Outcome<(u64, u64, Latencies)> {
        let mut events = job.events();
        // Each thread has partitions of its own, unless all share one.
        let mine: Vec<_> = (thread..partitions).step_by(THREADS as usize).collect();
        let mine = if partitions == 1 { vec![0] } else { mine };
        let mut prepare = || -> Outcome<P::Writer<'_>> {
            let mut writer = log.writer()?;
            // The first append to a partition may make its files.
            mine.iter()
                .try_for_each(|partition| writer.append(events.next(*partition)))?;
            Ok(writer)
        };
        let writer = prepare();
        start.wait();
        let mut writer = writer?;
        let (from, until) = (ticks(), deadline(job, 2));
        let mut latencies = Latencies::default();
        for partition in mine.iter().cycle() {
            let event = events.next(*partition);
            let before = ticks();
            writer.append(event)?;
            let after = ticks();
            latencies.push(nanoseconds(before, after));
            if after > until {
                break;
            }
        }
        Ok((from, ticks(), latencies))
    };
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().map_err(|_| "a thread panicked")?;
        threads.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    })?;

    let mut metrics = Metrics::new();
    let mut all = Latencies::default();
    let (mut first, mut last) = (u64::MAX, 0);
    for (from, to, latencies) in done {
        (first, last) = (first.min(from), last.max(to));
        all.extend(latencies);
    }
    metrics.insert("rate".to_owned(), per_second(all.len() as u64, first, last));
    all.report(&mut metrics);
    log.close()?;
    Ok(metrics)
}

pub fn pipelined<P: Log>(job: &Job) -> Outcome<Metrics>
where
    for<'a> P::Writer<'a>: AppendPipelined,
{
    let log = P::open(&Place::new(&job.dir, Ack::Durable))?;
    let rate = {
        let mut writer = log.writer()?;
        let mut events = job.events();
        writer.send(events.next(0))?;
        writer.settle()?;
        let (from, until) = (ticks(), deadline(job, 2));
        let mut count = 0;
        while count < job.budget.records(job.value_bytes) && ticks() < until {
            for _ in 0..100 {
                writer.send(events.next(0))?;
            }
            count += 100;
        }
        writer.settle()?;
        per_second(count, from, ticks())
    };
    log.close()?;
    Ok(Metrics::from([("rate".to_owned(), rate)]))
}
