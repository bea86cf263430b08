//! `kafka-e2e-latency`: from `send` on one thread until `poll` returns on another.

use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use clap::Args;
use streamlog::{Broker, Consumer, Durability, Position, Record, Topic, TopicPartition};

use crate::Place;
use crate::events;
use crate::histogram::Histogram;
use crate::support::{Outcome, check};
use crate::time::millis;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many records to send.
    #[arg(long)]
    num_records: u64,
    /// The size of a value, in bytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    record_size: u32,
    /// Records a second, sent whether or not the last one was read; -1: one after the other, each
    /// once the last was read.
    #[arg(long, default_value_t = -1.0, allow_negative_numbers = true)]
    throughput: f64,
    /// all: a record counts as sent when it is on the device; 1: when it survives the process.
    #[arg(long, default_value = "1", value_parser = ["1", "all"])]
    producer_acks: String,
    /// Let the consumer look again and again instead of sleeping (`busy_poll`).
    #[arg(long)]
    spin: bool,
}

pub(crate) fn run(broker: &Broker, topic: &Topic, options: &Options) -> Outcome {
    let durability = match options.producer_acks.as_str() {
        "all" => Durability::Synced,
        _ => Durability::Written,
    };
    let producer = broker
        .producer()
        .linger(Duration::ZERO)
        .durability(durability)
        .build()?;
    let values = events::events(usize::try_from(options.record_size)?);
    let (told, read) = std::sync::mpsc::channel();
    let (sent, times) = std::sync::mpsc::channel();
    let consumer = at_the_end(broker, topic, options.spin)?;
    let count = options.num_records;
    let latencies = std::thread::scope(|scope| -> Result<_, Box<dyn std::error::Error>> {
        let reader = scope.spawn(move || receive(consumer, count, &times, &told));
        let start = Instant::now();
        for (number, value) in (0..count).zip(values.iter().cycle()) {
            if options.throughput > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52 records")]
                let due = Duration::from_secs_f64(number as f64 / options.throughput);
                wait_until(start + due);
            }
            // The time goes first: the record must not overtake it.
            let _ = sent.send(Instant::now());
            producer
                .send(Record::to(topic.name()).partition(0).value(value))?
                .wait()?;
            if options.throughput <= 0.0 && read.recv().is_err() {
                break;
            }
        }
        match reader.join() {
            Ok(latencies) => Ok(latencies?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    check(latencies.count() == count, || {
        format!("{} of {count} records were read", latencies.count())
    })?;
    print(&latencies)
}

/// Spins: sleeping is not exact enough for thousands a second.
fn wait_until(due: Instant) {
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

fn at_the_end(broker: &Broker, topic: &Topic, spin: bool) -> streamlog::Result<Consumer> {
    let busy = if spin { Duration::MAX } else { Duration::ZERO };
    let mut consumer = broker.consumer().busy_poll(busy).build()?;
    let partition = TopicPartition::new(topic.name(), 0);
    consumer.assign(std::slice::from_ref(&partition))?;
    consumer.seek(&partition, Position::Latest)?;
    Ok(consumer)
}

fn receive(
    mut consumer: Consumer,
    count: u64,
    times: &std::sync::mpsc::Receiver<Instant>,
    told: &std::sync::mpsc::Sender<()>,
) -> streamlog::Result<Histogram> {
    let mut latencies = Histogram::new();
    while latencies.count() < count {
        let records = consumer.poll(Duration::from_secs(10))?;
        let now = Instant::now();
        if records.is_empty() {
            break;
        }
        for _ in &records {
            if let Ok(sent) = times.recv() {
                latencies.add(now.saturating_duration_since(sent));
            }
            let _ = told.send(());
        }
    }
    Ok(latencies)
}

fn print(latencies: &Histogram) -> Outcome {
    let mut out = stdout();
    writeln!(out, "Avg latency: {:.4} ms", millis(latencies.mean()))?;
    let share = |per_mille| millis(latencies.per_mille(per_mille));
    writeln!(
        out,
        "Percentiles: 50th = {:.3}, 99th = {:.3}, 99.9th = {:.3}, max = {:.3}",
        share(500),
        share(990),
        share(999),
        millis(latencies.max()),
    )?;
    Ok(())
}
