//! What is in the files of a data directory: batches, records, index entries, as text in the manner
//! of `kafka-dump-log`, or as JSON, one object a line. Reads what Kafka wrote, too.
//!
//! ```text
//! cargo run --example dump_log -- --print-data-log --files /tmp/data/clicks-0/00000000000000000000.log
//! ```
//!
//! Damaged files are dumped as far as they make sense; the exit code is 1 then. Without arguments it
//! writes a small log, and dumps its files.

mod support;

use std::error::Error;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use streamlog::inspect::{self, Batch, Entry, Marker, SegmentReader};
use streamlog::{Broker, Compression, ConsumerRecord, Record, TimestampType, TopicConfig};
use support::{DataDir, Outcome, check};

/// Dumps .log, .index, .timeindex, .txnindex and .snapshot files.
#[derive(Parser)]
struct Options {
    /// The files, separated by commas. Default: those of a small log that is written for it.
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    files: Vec<PathBuf>,
    /// Print records, and not only batches.
    #[arg(long)]
    deep_iteration: bool,
    /// Print records with their keys and values.
    #[arg(long)]
    print_data_log: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    support::exit(run(Options::parse()))
}

fn run(mut options: Options) -> Outcome {
    let demonstrates = options.files.is_empty();
    let dir = DataDir::new(None)?;
    if demonstrates {
        options.files = write_small_log(dir.path())?;
        options.print_data_log = true;
    }
    let mut dump = Dump {
        options: &options,
        out: BufWriter::new(stdout().lock()),
        batches: 0,
        records: 0,
        damaged: 0,
    };
    for path in &options.files {
        dump.file(path)?;
    }
    dump.out.flush()?;
    let (batches, records, damaged) = (dump.batches, dump.records, dump.damaged);
    if damaged > 0 {
        return Err(format!("{damaged} damaged place(s)").into());
    }
    check(!demonstrates || (batches, records) == (3, 6), || {
        format!("{batches} batches and {records} records, not 3 and 6")
    })
}

/// Three batches; the files they are in.
fn write_small_log(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let broker = Broker::open(dir)?;
    broker.create_topic("clicks", TopicConfig::default())?;
    for compression in [Compression::None, Compression::Lz4] {
        let producer = broker.producer().compression(compression).build()?;
        let home = "/home".repeat(20);
        for user in ["alice", "bob"] {
            let record = Record::to("clicks").key(user).value(&home);
            producer.send(record.header("source", "web"))?;
        }
        producer.flush()?;
    }
    let partition = broker.topic("clicks")?.partition(0)?;
    partition.append(&[
        Record::value_only("no key"),
        Record::default().key("a tombstone"),
    ])?;
    broker.close()?;
    let first = |suffix| dir.join(format!("clicks-0/00000000000000000000.{suffix}"));
    Ok(vec![first("log"), first("index"), first("timeindex")])
}

/// Names and values, in the order they are printed in.
type Fields = Vec<(&'static str, Value)>;

struct Dump<'a, Out: Write> {
    options: &'a Options,
    out: Out,
    batches: u64,
    records: u64,
    damaged: u64,
}

impl<Out: Write> Dump<'_, Out> {
    fn file(&mut self, path: &Path) -> Outcome {
        if !self.options.json {
            writeln!(self.out, "Dumping {}", path.display())?;
        }
        match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("log") => self.log(path),
            Some("index") => {
                let entries = inspect::offset_index(path)?.into_iter();
                self.entries(entries.map(|entry| {
                    vec![
                        ("offset", json!(entry.offset)),
                        ("position", json!(entry.position)),
                    ]
                }))
            }
            Some("timeindex") => {
                let entries = inspect::time_index(path)?.into_iter();
                self.entries(entries.map(|entry| {
                    vec![
                        ("timestamp", json!(entry.timestamp)),
                        ("offset", json!(entry.offset)),
                    ]
                }))
            }
            Some("txnindex") => {
                let entries = inspect::aborted_transactions(path)?.into_iter();
                self.entries(entries.map(|entry| {
                    vec![
                        ("producerId", json!(entry.producer_id)),
                        ("firstOffset", json!(entry.first_offset)),
                        ("lastOffset", json!(entry.last_offset)),
                        ("lastStableOffset", json!(entry.last_stable_offset)),
                    ]
                }))
            }
            Some("snapshot") => {
                let producers = inspect::producer_snapshot(path)?.into_iter();
                self.entries(producers.map(|producer| {
                    vec![
                        ("producerId", json!(producer.producer_id)),
                        ("producerEpoch", json!(producer.producer_epoch)),
                        ("coordinatorEpoch", json!(producer.coordinator_epoch)),
                        (
                            "currentTxnFirstOffset",
                            json!(producer.current_txn_first_offset),
                        ),
                        ("lastTimestamp", json!(producer.timestamp)),
                        ("lastSequence", json!(producer.last_sequence)),
                        ("lastOffset", json!(producer.last_offset)),
                        ("offsetDelta", json!(producer.offset_delta)),
                    ]
                }))
            }
            _ => Err(format!("{}: no kind of file that this dumps", path.display()).into()),
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = Fields>) -> Outcome {
        for entry in entries {
            self.print(&entry)?;
        }
        Ok(())
    }

    fn log(&mut self, path: &Path) -> Outcome {
        for (index, entry) in SegmentReader::open(path)?.enumerate() {
            match entry? {
                Entry::Batch(batch) => {
                    if index == 0 && !self.options.json {
                        writeln!(self.out, "Log starting offset: {}", batch.base_offset())?;
                    }
                    self.batch(&batch)?;
                }
                Entry::Damage(damage) => {
                    self.damaged += 1;
                    let (position, size) = (damage.position, damage.len);
                    self.print(&vec![
                        ("position", json!(position)),
                        ("size", json!(size)),
                        ("isvalid", json!(false)),
                        ("reason", json!(damage.reason)),
                    ])?;
                }
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch) -> Outcome {
        self.batches += 1;
        self.damaged += u64::from(!batch.crc_matches());
        let records = match batch.records() {
            Ok(records) => Some(records),
            // A wrong checksum has said as much.
            Err(_) if !batch.crc_matches() => None,
            Err(error) => return Err(error.into()),
        };
        self.records += records.as_ref().map_or(0, |records| records.len() as u64);
        let shows_records = self.options.deep_iteration || self.options.print_data_log;
        let shown = records.iter().flatten().filter(|_| shows_records);
        let shown: Vec<_> = shown
            .map(|record| self.record_fields(batch, &record))
            .collect();
        let mut fields = batch_fields(batch)?;
        if self.options.json {
            if shows_records {
                let records = shown.into_iter().map(|record| record.into_iter().collect());
                fields.push(("records", Value::Array(records.collect())));
            }
            return self.print(&fields);
        }
        self.print(&fields)?;
        for record in shown {
            write!(self.out, "| ")?;
            self.print(&record)?;
        }
        Ok(())
    }

    fn record_fields(&self, batch: &Batch, record: &ConsumerRecord<'_>) -> Fields {
        let size = |bytes: Option<&[u8]>| bytes.map_or(json!(-1), |bytes| json!(bytes.len()));
        let sequence = match batch.base_sequence() {
            // 0 follows the largest.
            base @ 0.. => {
                let delta = record.offset() - batch.base_offset();
                json!((u64::from(base.unsigned_abs()) + delta) % (1 << 31))
            }
            _ => json!(-1),
        };
        let keys: Vec<_> = record.headers().map(|header| header.key()).collect();
        let mut fields = vec![
            ("offset", json!(record.offset())),
            (timestamp_name(batch), json!(record.timestamp())),
            ("keySize", size(record.key())),
            ("valueSize", size(record.value())),
            ("sequence", sequence),
            ("headerKeys", json!(keys)),
        ];
        if self.options.print_data_log {
            fields.push(("key", bytes(record.key())));
            fields.push(("payload", bytes(record.value())));
            if self.options.json {
                let values = record.headers().map(|header| bytes(header.value()));
                fields.push(("headerValues", values.collect()));
            }
        }
        fields
    }

    /// As JSON, or as `name: value name: value`.
    fn print(&mut self, fields: &Fields) -> Outcome {
        let json = self.options.json;
        let (open, between, close) = if json { ("{", ",", "}") } else { ("", " ", "") };
        write!(self.out, "{open}")?;
        for (index, (name, value)) in fields.iter().enumerate() {
            let before = if index > 0 { between } else { "" };
            if json {
                write!(self.out, "{before}\"{name}\":{value}")?;
            } else {
                write!(self.out, "{before}{name}: {}", text(value))?;
            }
        }
        writeln!(self.out, "{close}")?;
        Ok(())
    }
}

fn batch_fields(batch: &Batch) -> Result<Fields, Box<dyn Error>> {
    let mut fields = vec![
        ("baseOffset", json!(batch.base_offset())),
        ("lastOffset", json!(batch.last_offset())),
        ("count", json!(batch.record_count())),
        ("baseSequence", json!(batch.base_sequence())),
        ("lastSequence", json!(batch.last_sequence())),
        ("producerId", json!(batch.producer_id())),
        ("producerEpoch", json!(batch.producer_epoch())),
        ("partitionLeaderEpoch", json!(batch.leader_epoch())),
        ("isTransactional", json!(batch.is_transactional())),
        ("isControl", json!(batch.is_control())),
        ("deleteHorizonMs", json!(batch.delete_horizon())),
        ("position", json!(batch.position())),
        (timestamp_name(batch), json!(batch.max_timestamp())),
        ("size", json!(batch.size_bytes())),
        ("magic", json!(2)),
        ("compresscodec", json!(codec(batch.compression()))),
        ("crc", json!(batch.crc())),
        ("isvalid", json!(batch.crc_matches())),
    ];
    if batch.is_control() && batch.crc_matches() {
        let (kind, epoch) = match batch.marker()? {
            Some(Marker::Commit { coordinator_epoch }) => ("COMMIT", coordinator_epoch),
            Some(Marker::Abort { coordinator_epoch }) => ("ABORT", coordinator_epoch),
            _ => return Ok(fields),
        };
        fields.push(("endTxnMarker", json!(kind)));
        fields.push(("coordinatorEpoch", json!(epoch)));
    }
    Ok(fields)
}

fn timestamp_name(batch: &Batch) -> &'static str {
    match batch.timestamp_type() {
        TimestampType::LogAppendTime => "LogAppendTime",
        _ => "CreateTime",
    }
}

/// Topics say `uncompressed`, batches `none`.
fn codec(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        codec => codec.to_string(),
    }
}

/// Text if it is text, else hexadecimal digits.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": digits.concat() })
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(text).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}
