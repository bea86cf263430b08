//! `kafka-producer-perf-test`.

use std::collections::VecDeque;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use streamlog::{Broker, Delivery, Durability, Producer, Record, Topic};

use crate::Place;
use crate::events;
use crate::histogram::Histogram;
use crate::support::{self, Outcome, name_and_value};
use crate::time::{MEBIBYTE, millis, per_second};

/// So many records at most wait for their acknowledgement.
const MOST_PENDING: usize = 100_000;
/// While there is nothing to send, acknowledgements are looked for this often.
const LOOK: Duration = Duration::from_micros(50);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many records to send.
    #[arg(long)]
    num_records: u64,
    /// The size of a value, in bytes: JSON events from a fixed seed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..), conflicts_with = "payload_file")]
    record_size: u32,
    /// Take the values from this file, in turn.
    #[arg(long)]
    payload_file: Option<PathBuf>,
    /// What stands between two values of the file.
    #[arg(long, default_value = "\\n", requires = "payload_file")]
    payload_delimiter: String,
    /// Records a second; -1 is as many as possible.
    #[arg(long, default_value_t = -1.0, allow_negative_numbers = true)]
    throughput: f64,
    /// batch.size, linger.ms, compression.type, enable.idempotence, as Kafka has them, and
    /// durability: written or synced. Properties of the network are ignored.
    #[arg(long, num_args = 1.., value_parser = name_and_value)]
    producer_props: Vec<(String, String)>,
    /// Milliseconds between progress lines.
    #[arg(long, default_value_t = 5_000)]
    reporting_interval: u64,
    /// Print at the end what the partitions hold.
    #[arg(long)]
    print_metrics: bool,
}

/// Sends the records; how many those were.
pub(crate) fn run(
    broker: &Broker,
    topic: &Topic,
    options: &Options,
) -> Result<u64, Box<dyn std::error::Error>> {
    let values = values(options)?;
    let producer = producer(broker, &options.producer_props)?;
    let mut sender = Sender {
        pending: VecDeque::with_capacity(MOST_PENDING),
        statistics: Statistics::new(Duration::from_millis(options.reporting_interval)),
    };
    let start = Instant::now();
    for (number, value) in (0..options.num_records).zip(values.iter().cycle()) {
        if options.throughput > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 records")]
            let due = Duration::from_secs_f64(number as f64 / options.throughput);
            sender.wait_until(start + due)?;
        }
        sender.send(&producer, topic.name(), value)?;
    }
    producer.flush()?;
    while sender.settle_first()? {}
    sender.statistics.print_total()?;
    if options.print_metrics {
        print_metrics(topic)?;
    }
    Ok(options.num_records)
}

struct Sender {
    /// With the time they were sent, and their sizes.
    pending: VecDeque<(Delivery, Instant, usize)>,
    statistics: Statistics,
}

impl Sender {
    fn send(&mut self, producer: &Producer, topic: &str, value: &[u8]) -> Outcome {
        let sent = Instant::now();
        let delivery = producer.send(Record::to(topic).value(value))?;
        self.pending.push_back((delivery, sent, value.len()));
        if self.pending.len() >= MOST_PENDING {
            self.settle_first()?;
        }
        self.settle_done()?;
        self.statistics.print_if_due(sent)
    }

    fn wait_until(&mut self, due: Instant) -> Outcome {
        loop {
            self.settle_done()?;
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            std::thread::sleep(wait.min(LOOK));
        }
    }

    /// Notes what was acknowledged meanwhile.
    fn settle_done(&mut self) -> Outcome {
        let mut now = None;
        while self
            .pending
            .front()
            .is_some_and(|(first, ..)| first.is_done())
        {
            // The records of a batch are acknowledged together: one look at the clock for all.
            let now = *now.get_or_insert_with(Instant::now);
            self.settle_first_at(Some(now))?;
        }
        Ok(())
    }

    /// Waits for the oldest record; false if there is none.
    fn settle_first(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        self.settle_first_at(None)
    }

    /// The same; `now` is the time if it need not be looked up once more.
    fn settle_first_at(
        &mut self,
        now: Option<Instant>,
    ) -> Result<bool, Box<dyn std::error::Error>> {
        let Some((delivery, sent, bytes)) = self.pending.pop_front() else {
            return Ok(false);
        };
        delivery.wait()?;
        let now = now.unwrap_or_else(Instant::now);
        self.statistics
            .add(now.saturating_duration_since(sent), bytes);
        Ok(true)
    }
}

/// Of the whole run, and since the last progress line.
struct Statistics {
    start: Instant,
    total: Histogram,
    total_bytes: usize,
    interval: Duration,
    interval_start: Instant,
    recent: Histogram,
    recent_bytes: usize,
}

impl Statistics {
    fn new(interval: Duration) -> Self {
        let start = Instant::now();
        Self {
            start,
            total: Histogram::new(),
            total_bytes: 0,
            interval,
            interval_start: start,
            recent: Histogram::new(),
            recent_bytes: 0,
        }
    }

    fn add(&mut self, latency: Duration, bytes: usize) {
        self.total.add(latency);
        self.recent.add(latency);
        self.total_bytes += bytes;
        self.recent_bytes += bytes;
    }

    fn print_if_due(&mut self, now: Instant) -> Outcome {
        let elapsed = now.saturating_duration_since(self.interval_start);
        if elapsed >= self.interval {
            let line = line(&self.recent, self.recent_bytes, elapsed);
            writeln!(stdout(), "{line}.")?;
            self.recent.clear();
            self.recent_bytes = 0;
            self.interval_start = now;
        }
        Ok(())
    }

    fn print_total(&self) -> Outcome {
        let all = &self.total;
        let line = line(all, self.total_bytes, self.start.elapsed());
        let share = |per_mille| millis(all.per_mille(per_mille));
        writeln!(
            stdout(),
            "{line}, {:.3} ms 50th, {:.3} ms 95th, {:.3} ms 99th, {:.3} ms 99.9th.",
            share(500),
            share(950),
            share(990),
            share(999),
        )?;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn line(latencies: &Histogram, bytes: usize, elapsed: Duration) -> String {
    let records = latencies.count();
    format!(
        "{records} records sent, {:.1} records/sec ({:.2} MB/sec), {:.3} ms avg latency, {:.3} ms max latency",
        per_second(records as f64, elapsed),
        per_second(bytes as f64 / MEBIBYTE, elapsed),
        millis(latencies.mean()),
        millis(latencies.max()),
    )
}

fn values(options: &Options) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error>> {
    let Some(path) = &options.payload_file else {
        let bytes = usize::try_from(options.record_size)?;
        return Ok(events::events(bytes));
    };
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let delimiter = options
        .payload_delimiter
        .replace("\\n", "\n")
        .replace("\\t", "\t");
    let values = text
        .split(delimiter.as_str())
        .filter(|value| !value.is_empty());
    let values: Vec<_> = values.map(|value| value.as_bytes().to_vec()).collect();
    if values.is_empty() {
        return Err(format!("{} holds no values", path.display()).into());
    }
    Ok(values)
}

fn producer(
    broker: &Broker,
    properties: &[(String, String)],
) -> Result<Producer, Box<dyn std::error::Error>> {
    let mut builder = broker.producer();
    for (name, value) in properties {
        let number = || -> Result<u64, String> {
            value
                .parse()
                .map_err(|_| format!("property {name} is a number, and not `{value}`"))
        };
        builder = match name.as_str() {
            "batch.size" => builder.batch_size(usize::try_from(number()?)?),
            "linger.ms" => builder.linger(Duration::from_millis(number()?)),
            "compression.type" => builder.compression(value.parse()?),
            "enable.idempotence" => builder.enable_idempotence(support::flag(name, value)?),
            "durability" => builder.durability(match value.as_str() {
                "written" => Durability::Written,
                "synced" => Durability::Synced,
                _ => return Err("property durability is written or synced".into()),
            }),
            "acks"
            | "bootstrap.servers"
            | "buffer.memory"
            | "client.id"
            | "key.serializer"
            | "value.serializer"
            | "max.in.flight.requests.per.connection" => {
                support::note(&format!("property {name} means nothing here"));
                builder
            }
            _ => return Err(format!("unknown property {name}").into()),
        };
    }
    Ok(builder.build()?)
}

fn print_metrics(topic: &Topic) -> Outcome {
    for partition in topic.partitions() {
        writeln!(
            stdout(),
            "{}: log start offset {}, end offset {}, durable end {}, {} bytes",
            partition.id(),
            partition.log_start_offset(),
            partition.high_watermark(),
            partition.durable_end(),
            partition.size_bytes(),
        )?;
    }
    Ok(())
}
