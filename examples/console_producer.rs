//! Lines from stdin into a topic, with the options of `kafka-console-producer`.
//!
//! ```text
//! cargo run --example console_producer -- --data-dir /tmp/data --topic clicks \
//!     --property parse.key=true --property key.separator=: < clicks.txt
//! ```
//!
//! Without arguments and with nothing on stdin it writes a few records of its own, and reads them
//! back.

mod support;

use std::error::Error;
use std::io::{BufRead, IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use streamlog::{
    Broker, Compression, Durability, Partition, Position, Producer, Record, Topic, TopicConfig,
};
use support::{DataDir, Outcome, check, flag, name_and_value};

/// Writes lines from stdin to a topic.
#[derive(Parser)]
struct Options {
    /// Where the broker keeps its files. Default: a temporary directory.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The topic, which is made, with one partition, if there is none.
    #[arg(long, default_value = "console")]
    topic: String,
    /// Wait for each record before the next one.
    #[arg(long)]
    sync: bool,
    /// Acknowledge only what is on the device.
    #[arg(long)]
    synced: bool,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Compression,
    /// Largest batch, in bytes.
    #[arg(long, default_value_t = 64 << 10)]
    batch_size: usize,
    /// Milliseconds that a batch may wait for more records (`linger.ms`).
    #[arg(long, default_value_t = 5)]
    timeout: u64,
    /// parse.key=true, key.separator=… (default: a tab), null.marker=…, ignore.error=true.
    #[arg(long = "property", value_parser = name_and_value)]
    properties: Vec<(String, String)>,
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Outcome {
    let format = Format::new(&options.properties)?;
    let dir = DataDir::new(options.data_dir.as_deref())?;
    let broker = Broker::open(dir.path())?;
    let topic = support::topic_or_create(&broker, &options.topic, TopicConfig::default())?;
    let before = end(&topic);
    let sender = Sender {
        producer: producer(&broker, options)?,
        topic: options.topic.clone(),
        format,
        sync: options.sync,
    };
    let demonstrates = dir.is_temporary() && stdin().is_terminal();
    let mut sent = if demonstrates {
        0
    } else {
        sender.send_stdin()?
    };
    if sent == 0 && dir.is_temporary() {
        sent = sender.send_demo()?;
    }
    sender.producer.flush()?;

    let written = end(&topic) - before;
    check(written == sent, || {
        format!("{sent} records sent, {written} written")
    })?;
    let mut out = stdout();
    writeln!(
        out,
        "{sent} records written to {} in {}",
        options.topic,
        dir.path().display()
    )?;
    if dir.is_temporary() {
        writeln!(out, "the directory goes away now; they were:")?;
        print(&topic, &mut out)?;
    }
    broker.close()?;
    Ok(())
}

fn producer(broker: &Broker, options: &Options) -> streamlog::Result<Producer> {
    let durability = if options.synced {
        Durability::Synced
    } else {
        Durability::Written
    };
    broker
        .producer()
        .durability(durability)
        .compression(options.compression_codec)
        .batch_size(options.batch_size)
        .linger(Duration::from_millis(options.timeout))
        .build()
}

struct Sender {
    producer: Producer,
    topic: String,
    format: Format,
    sync: bool,
}

impl Sender {
    /// How many lines there were.
    fn send_stdin(&self) -> Result<u64, Box<dyn Error>> {
        let mut input = stdin().lock();
        let (mut line, mut sent, mut number) = (Vec::new(), 0, 0_u64);
        loop {
            if input.is_terminal() {
                write!(stdout(), ">")?;
                stdout().flush()?;
            }
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(sent);
            }
            number += 1;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            self.send(text)
                .map_err(|error| format!("line {number}: {error}"))?;
            sent += 1;
        }
    }

    fn send_demo(&self) -> Result<u64, Box<dyn Error>> {
        let separator = String::from_utf8_lossy(&self.format.separator).into_owned();
        let lines = ["/home", "/about", "/home"];
        for (user, page) in ["alice", "bob", "alice"].iter().zip(lines) {
            self.send(format!("{user}{separator}{page}").as_bytes())?;
        }
        Ok(lines.len() as u64)
    }

    fn send(&self, line: &[u8]) -> Outcome {
        let (key, value) = self.format.split(line)?;
        let mut record = Record::to(&self.topic);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.value(value);
        }
        let delivery = self.producer.send(record)?;
        if self.sync {
            delivery.wait()?;
        }
        Ok(())
    }
}

/// How a line becomes a record: Kafka's `LineMessageReader`.
struct Format {
    parse_key: bool,
    separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

impl Format {
    fn new(properties: &[(String, String)]) -> Result<Self, Box<dyn Error>> {
        let mut format = Self {
            parse_key: false,
            separator: b"\t".to_vec(),
            null_marker: None,
            ignore_error: false,
        };
        for (name, value) in properties {
            match name.as_str() {
                "parse.key" => format.parse_key = flag(name, value)?,
                "key.separator" if value.is_empty() => {
                    return Err("property key.separator is empty".into());
                }
                "key.separator" => format.separator = value.clone().into_bytes(),
                "null.marker" => format.null_marker = Some(value.clone().into_bytes()),
                "ignore.error" => format.ignore_error = flag(name, value)?,
                _ => return Err(format!("unknown property {name}").into()),
            }
        }
        Ok(format)
    }

    /// Key and value of a line.
    #[expect(
        clippy::type_complexity,
        reason = "a key and a value, either of which may be null"
    )]
    fn split<'a>(&self, line: &'a [u8]) -> Result<(Option<&'a [u8]>, Option<&'a [u8]>), String> {
        if !self.parse_key {
            return Ok((None, self.unless_null(line)));
        }
        let length = self.separator.len();
        let at = line
            .windows(length)
            .position(|window| window == self.separator);
        match at {
            Some(at) => Ok((
                self.unless_null(&line[..at]),
                self.unless_null(&line[at + length..]),
            )),
            None if self.ignore_error => Ok((None, self.unless_null(line))),
            None => Err("no key separator; set it with --property key.separator=…, \
                         or --property ignore.error=true"
                .to_owned()),
        }
    }

    fn unless_null<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (self.null_marker.as_deref() != Some(text)).then_some(text)
    }
}

/// How many records the topic has got.
fn end(topic: &Topic) -> u64 {
    let partitions = topic.partitions();
    partitions.iter().map(Partition::high_watermark).sum()
}

fn print(topic: &Topic, out: &mut impl Write) -> Outcome {
    for partition in topic.partitions() {
        let mut reader = partition.reader(Position::Earliest)?;
        while let Some(record) = reader.next()? {
            let text = |bytes: Option<&[u8]>| {
                bytes.map_or("null".into(), |bytes| {
                    String::from_utf8_lossy(bytes).into_owned()
                })
            };
            let (key, value) = (text(record.key()), text(record.value()));
            writeln!(
                out,
                "  {}@{}\t{key}\t{value}",
                partition.id(),
                record.offset()
            )?;
        }
    }
    Ok(())
}
