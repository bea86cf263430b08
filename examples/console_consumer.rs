//! A topic to stdout, with the options of `kafka-console-consumer`.
//!
//! ```text
//! cargo run --example console_consumer -- --data-dir /tmp/data --topic clicks --from-beginning \
//!     --property print.key=true --property print.offset=true --timeout-ms 1000
//! ```
//!
//! Like Kafka's it goes on waiting for more records; `--timeout-ms` or `--max-messages` end it. (One
//! process at a time can have a directory open, so records that come later come from this process.)
//! Without arguments it makes a topic with a few records, prints them, and ends.

mod support;

use std::error::Error;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use streamlog::{Broker, Consumer, ConsumerRecord, Position, Record, TopicConfig, TopicPartition};
use support::{DataDir, Outcome, check, flag, name_and_value};

/// Prints the records of a topic.
#[derive(Parser)]
struct Options {
    /// The directory of the broker. Default: a temporary one, with a few records.
    #[arg(long, requires = "topic")]
    data_dir: Option<PathBuf>,
    #[arg(long, requires = "data_dir")]
    topic: Option<String>,
    /// Start at the first record where the group has committed nothing; else at the end.
    #[arg(long)]
    from_beginning: bool,
    /// Go on where this group left off, and commit for it. Default: no group.
    #[arg(long, conflicts_with = "partition")]
    group: Option<String>,
    /// End after this many records.
    #[arg(long)]
    max_messages: Option<u64>,
    /// End when no record came for this long, in milliseconds.
    #[arg(long)]
    timeout_ms: Option<u64>,
    /// Read this partition alone.
    #[arg(long)]
    partition: Option<u32>,
    /// Where to start in the partition: earliest, latest, an offset, or -n for the last n offsets.
    #[arg(long, requires = "partition", allow_hyphen_values = true)]
    offset: Option<String>,
    /// `print.timestamp`, `print.partition`, `print.offset`, `print.headers`, `print.key`, `print.value`
    /// (true or false); `key.separator`, `line.separator`, `headers.separator`, `null.literal`.
    #[arg(long = "property", value_parser = name_and_value)]
    properties: Vec<(String, String)>,
}

fn main() -> ExitCode {
    support::exit(run(Options::parse()))
}

fn run(mut options: Options) -> Outcome {
    let demonstrates = options.data_dir.is_none();
    let dir = DataDir::new(options.data_dir.as_deref())?;
    // Nothing is made for who wants to read: a mistyped directory is an error.
    let broker = Broker::builder(dir.path())
        .create_dir(demonstrates)
        .open()?;
    if demonstrates {
        demonstrate(&broker, &mut options)?;
    }
    let format = Format::new(&options.properties)?;
    let topic = options.topic.as_deref().ok_or("--topic is needed")?;
    let mut consumer = consumer(&broker, topic, &options)?;
    let printed = print_records(&mut consumer, &options, &format)?;
    support::note(&format!("Processed a total of {printed} messages"));
    check(
        !demonstrates || Some(printed) == options.max_messages,
        || "not all demo records were read".to_owned(),
    )?;
    drop(consumer);
    broker.close()?;
    Ok(())
}

/// A topic with a few records, and options that show them.
fn demonstrate(broker: &Broker, options: &mut Options) -> Outcome {
    broker.create_topic("clicks", TopicConfig::default().partitions(2))?;
    let producer = broker.producer().build()?;
    for (user, page) in [
        ("alice", "/home"),
        ("bob", "/about"),
        ("alice", "/cart"),
        ("carol", "/"),
    ] {
        producer.send(
            Record::to("clicks")
                .key(user)
                .value(page)
                .header("source", "web"),
        )?;
    }
    producer.flush()?;
    options.topic = Some("clicks".to_owned());
    options.from_beginning = true;
    options.max_messages = Some(4);
    options.timeout_ms = Some(5_000);
    if options.properties.is_empty() {
        let parts = ["partition", "offset", "headers", "key"];
        options.properties = parts
            .map(|part| (format!("print.{part}"), "true".to_owned()))
            .into();
    }
    Ok(())
}

fn consumer(broker: &Broker, topic: &str, options: &Options) -> Result<Consumer, Box<dyn Error>> {
    let start = if options.from_beginning {
        Position::Earliest
    } else {
        Position::Latest
    };
    // Committed is what was printed, so we do it ourselves.
    let mut builder = broker.consumer().auto_offset_reset(start).auto_commit(None);
    if let Some(group) = &options.group {
        builder = builder.group(group);
    }
    let mut consumer = builder.build()?;
    let Some(number) = options.partition else {
        consumer.subscribe([topic])?;
        return Ok(consumer);
    };
    let id = TopicPartition::new(topic, number);
    consumer.assign(std::slice::from_ref(&id))?;
    if let Some(offset) = &options.offset {
        let end = broker.topic(topic)?.partition(number)?.high_watermark();
        consumer.seek(&id, position(offset, end)?)?;
    }
    Ok(consumer)
}

fn position(text: &str, end: u64) -> Result<Position, String> {
    match text {
        "earliest" => return Ok(Position::Earliest),
        "latest" => return Ok(Position::Latest),
        _ => {}
    }
    let offset = match text.strip_prefix('-') {
        Some(back) => back.parse().map(|back| end.saturating_sub(back)),
        None => text.parse(),
    };
    offset
        .map(Position::Offset)
        .map_err(|_| format!("--offset is earliest, latest or a number, and not `{text}`"))
}

fn print_records(
    consumer: &mut Consumer,
    options: &Options,
    format: &Format,
) -> Result<u64, Box<dyn Error>> {
    let mut out = BufWriter::new(stdout().lock());
    let timeout = options.timeout_ms.map(Duration::from_millis);
    let limit = options.max_messages.unwrap_or(u64::MAX);
    let mut printed = 0;
    while printed < limit {
        let records = consumer.poll(timeout.unwrap_or(Duration::from_secs(3600)))?;
        if records.is_empty() && timeout.is_some() {
            break;
        }
        let room = usize::try_from(limit - printed).unwrap_or(usize::MAX);
        let mut next = Vec::new();
        for record in records.iter().take(room) {
            format.print(&record, &mut out)?;
            printed += 1;
            note_next(&mut next, &record);
        }
        out.flush()?;
        if options.group.is_some() {
            consumer.commit_offsets(&next)?;
        }
    }
    Ok(printed)
}

/// Keeps for each partition the offset to go on from. Records of a partition stand together.
fn note_next(next: &mut Vec<(TopicPartition, u64)>, record: &ConsumerRecord<'_>) {
    let offset = record.offset() + 1;
    match next.last_mut() {
        Some((partition, next)) if partition == record.topic_partition() => *next = offset,
        _ => next.push((record.topic_partition().clone(), offset)),
    }
}

/// How a record is printed: Kafka's `DefaultMessageFormatter`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each property of that name"
)]
struct Format {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
}

impl Format {
    fn new(properties: &[(String, String)]) -> Result<Self, String> {
        let mut format = Self {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_owned(),
            line_separator: "\n".to_owned(),
            headers_separator: ",".to_owned(),
            null_literal: "null".to_owned(),
        };
        for (name, value) in properties {
            match name.as_str() {
                "print.timestamp" => format.timestamp = flag(name, value)?,
                "print.partition" => format.partition = flag(name, value)?,
                "print.offset" => format.offset = flag(name, value)?,
                "print.headers" => format.headers = flag(name, value)?,
                "print.key" => format.key = flag(name, value)?,
                "print.value" => format.value = flag(name, value)?,
                "key.separator" => format.key_separator.clone_from(value),
                "line.separator" => format.line_separator.clone_from(value),
                "headers.separator" => format.headers_separator.clone_from(value),
                "null.literal" => format.null_literal.clone_from(value),
                _ => return Err(format!("unknown property {name}")),
            }
        }
        Ok(format)
    }

    fn print(&self, record: &ConsumerRecord<'_>, out: &mut impl Write) -> std::io::Result<()> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let (kind, time) = (record.timestamp_type(), record.timestamp());
            let known = format!("{kind}:{time}");
            fields.push(if time < 0 {
                "NO_TIMESTAMP".into()
            } else {
                known.into()
            });
        }
        if self.partition {
            fields.push(format!("Partition:{}", record.partition()).into());
        }
        if self.offset {
            fields.push(format!("Offset:{}", record.offset()).into());
        }
        if self.headers {
            fields.push(self.headers_of(record));
        }
        if self.key {
            fields.push(self.bytes(record.key()).to_vec());
        }
        if self.value {
            fields.push(self.bytes(record.value()).to_vec());
        }
        out.write_all(&fields.join(self.key_separator.as_bytes()))?;
        out.write_all(self.line_separator.as_bytes())
    }

    fn headers_of(&self, record: &ConsumerRecord<'_>) -> Vec<u8> {
        let headers = record
            .headers()
            .map(|header| [header.key().as_bytes(), b":", self.bytes(header.value())].concat());
        let headers: Vec<_> = headers.collect();
        if headers.is_empty() {
            return b"NO_HEADERS".to_vec();
        }
        headers.join(self.headers_separator.as_bytes())
    }

    fn bytes<'a>(&'a self, bytes: Option<&'a [u8]>) -> &'a [u8] {
        bytes.unwrap_or(self.null_literal.as_bytes())
    }
}
