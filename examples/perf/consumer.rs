//! `kafka-consumer-perf-test`.

use std::io::{Write, stdout};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use streamlog::{Broker, Position, Topic};

use crate::Place;
use crate::support::{Outcome, note};
use crate::time::{MEBIBYTE, date, per_second};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many records to read.
    #[arg(long, alias = "num-records")]
    messages: u64,
    /// The group to read for. Default: one that read nothing before.
    #[arg(long)]
    group: Option<String>,
    /// About how many bytes one poll returns.
    #[arg(long, default_value_t = 1 << 20)]
    fetch_size: usize,
    /// Most records that one poll returns (`max.poll.records`).
    #[arg(long, default_value_t = 500)]
    max_poll_records: usize,
    /// Without a committed offset, start at the end.
    #[arg(long)]
    from_latest: bool,
    /// End when no record came for this long, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    timeout: u64,
    /// A line of progress at each interval, and none for the whole.
    #[arg(long)]
    show_detailed_stats: bool,
    /// Milliseconds between those lines.
    #[arg(long, default_value_t = 5_000)]
    reporting_interval: u64,
    /// Do not print what the columns are.
    #[arg(long)]
    hide_header: bool,
}

/// Reads the records; how many those were.
pub(crate) fn run(
    broker: &Broker,
    topic: &Topic,
    options: &Options,
) -> Result<u64, Box<dyn std::error::Error>> {
    let reset = if options.from_latest {
        Position::Latest
    } else {
        Position::Earliest
    };
    let group = options.group.clone().unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        format!("perf-consumer-{}", now.as_nanos() % 100_000)
    });
    let mut consumer = broker
        .consumer()
        .group(group)
        .auto_offset_reset(reset)
        .fetch_max_bytes(options.fetch_size)
        .max_poll_records(options.max_poll_records)
        .build()?;
    if !options.hide_header {
        print_header(options.show_detailed_stats)?;
    }

    let mut progress = Progress::new(options);
    consumer.subscribe([topic.name()])?;
    progress.joined();
    let timeout = Duration::from_millis(options.timeout);
    while progress.total.records < options.messages {
        let records = consumer.poll(timeout)?;
        if records.is_empty() {
            note(&format!(
                "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) exceeded.",
                options.timeout
            ));
            break;
        }
        for record in &records {
            let size = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            progress.total.bytes += size(record.key()) + size(record.value());
        }
        progress.total.records += u64::try_from(records.len())?;
        progress.print_if_due()?;
    }
    let read = progress.total.records;
    progress.print_total()?;
    consumer.close()?;
    Ok(read)
}

#[derive(Clone, Copy, Default)]
struct Amount {
    records: u64,
    bytes: usize,
}

struct Progress {
    detailed: bool,
    started: SystemTime,
    start: Instant,
    /// What it took to get the partitions: Kafka's rebalance time.
    joining: Duration,
    total: Amount,
    interval: Duration,
    interval_start: Instant,
    reported: Amount,
}

impl Progress {
    fn new(options: &Options) -> Self {
        let start = Instant::now();
        Self {
            detailed: options.show_detailed_stats,
            started: SystemTime::now(),
            start,
            joining: Duration::ZERO,
            total: Amount::default(),
            interval: Duration::from_millis(options.reporting_interval),
            interval_start: start,
            reported: Amount::default(),
        }
    }

    fn joined(&mut self) {
        self.joining = self.start.elapsed();
    }

    fn print_if_due(&mut self) -> Outcome {
        if !self.detailed || self.interval_start.elapsed() < self.interval {
            return Ok(());
        }
        let elapsed = self.interval_start.elapsed();
        let recent = Amount {
            records: self.total.records - self.reported.records,
            bytes: self.total.bytes - self.reported.bytes,
        };
        let joining = if self.reported.records == 0 {
            self.joining
        } else {
            Duration::ZERO
        };
        let columns = columns(self.total, recent, elapsed, joining);
        writeln!(stdout(), "{}, 0, {columns}", date(SystemTime::now()))?;
        self.reported = self.total;
        self.interval_start = Instant::now();
        Ok(())
    }

    fn print_total(&self) -> Outcome {
        if !self.detailed {
            let columns = columns(self.total, self.total, self.start.elapsed(), self.joining);
            let (start, end) = (date(self.started), date(SystemTime::now()));
            writeln!(stdout(), "{start}, {end}, {columns}")?;
        }
        Ok(())
    }
}

fn print_header(detailed: bool) -> Outcome {
    let first = if detailed {
        "time, threadId"
    } else {
        "start.time, end.time"
    };
    writeln!(
        stdout(),
        "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"
    )?;
    Ok(())
}

/// What both kinds of lines share: amounts of the whole run, rates of `recent` in `elapsed`.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
fn columns(total: Amount, recent: Amount, elapsed: Duration, joining: Duration) -> String {
    let megabytes = recent.bytes as f64 / MEBIBYTE;
    let records = recent.records as f64;
    let fetching = elapsed.saturating_sub(joining);
    format!(
        "{:.4}, {:.4}, {}, {:.4}, {}, {}, {:.4}, {:.4}",
        total.bytes as f64 / MEBIBYTE,
        per_second(megabytes, elapsed),
        total.records,
        per_second(records, elapsed),
        joining.as_millis(),
        fetching.as_millis(),
        per_second(megabytes, fetching),
        per_second(records, fetching),
    )
}
