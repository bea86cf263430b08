//! Writes topics with every codec and every shape of record, and says what a reader must find.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use streamlog::{Broker, Compression, Delivery, Record, Timestamp, TimestampType, TopicConfig};

use crate::lines::Line;
use crate::{Result, groups};

pub const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];
const RECORDS: usize = 100_000;
pub const FIRST_TIMESTAMP: Timestamp = 1_700_000_000_000;

/// A record under way: where it went is known when its delivery is done.
pub struct Sent {
    pub line: Line,
    pub delivery: Delivery,
    pub codec: &'static str,
}

pub fn generate(dir: &str, records: &str, offsets: &str, groups: &str) -> Result {
    let broker = Broker::open(dir)?;
    let mut out = BufWriter::new(File::create(records)?);
    let mut shapes = Shapes::new();
    first_producer(&broker, &mut out)?;
    all_codecs(&broker, &mut shapes, &mut out)?;
    atomic_batches(&broker, &mut shapes, &mut out)?;
    append_time(&broker, &mut shapes, &mut out)?;
    out.flush()?;
    groups::generate(broker, File::create(groups)?, File::create(offsets)?)
}

/// One record at the end of every partition of a directory that may be Kafka's.
pub fn append(dir: &str, topics: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    let producer = broker.producer().compression(Compression::Zstd).build()?;
    let line = Line {
        key: Some(b"appended".to_vec()), // compacted topics insist on one
        value: Some(b"appended by streamlog".to_vec()),
        headers: Vec::new(),
        timestamp: FIRST_TIMESTAMP,
    };
    let mut sent = Vec::new();
    for topic in topics {
        for partition in 0..broker.topic(topic)?.partition_count() {
            let delivery = producer.send(record(topic, &line).partition(partition))?;
            sent.push(Sent {
                line: line.clone(),
                delivery,
                codec: "zstd",
            });
        }
    }
    producer.flush()?;
    write_sent(sent, &mut std::io::stdout().lock())?;
    broker.close()?;
    Ok(())
}

/// One record of the directory's first producer, sent just now (a broker forgets producers a day after their last
/// record). The first producers of a new Kafka cluster must not be taken for it: with an equal id, epoch and sequence
/// their first record would be dropped as a duplicate.
fn first_producer(broker: &Broker, out: &mut impl std::io::Write) -> Result {
    broker.create_topic("generated-first", TopicConfig::default())?;
    let line = Line {
        value: Some(b"first".to_vec()),
        ..Line::default()
    };
    let delivery = broker
        .producer()
        .build()?
        .send(Record::to("generated-first").value("first"))?;
    let sent = Sent {
        line,
        delivery,
        codec: "none",
    };
    write_sent(vec![sent], out)
}

fn all_codecs(broker: &Broker, shapes: &mut Shapes, out: &mut impl std::io::Write) -> Result {
    let config = TopicConfig::default()
        .partitions(3)
        .segment_bytes(1 << 20)
        .retention_ms(None);
    broker.create_topic("generated", config)?;
    let mut producers = Vec::new();
    for (name, codec) in CODECS {
        producers.push((
            name,
            broker
                .producer()
                .compression(codec)
                .linger(Duration::from_millis(20))
                .build()?,
        ));
    }
    let mut sent = Vec::with_capacity(RECORDS);
    for i in 0..RECORDS {
        // In runs of 500, so that the producers' batches alternate in the log.
        let (codec, producer) = &producers[i / 500 % producers.len()];
        let line = shapes.next(i);
        let delivery = producer.send(record("generated", &line))?;
        sent.push(Sent {
            line,
            delivery,
            codec,
        });
    }
    for (_, producer) in &producers {
        producer.flush()?;
    }
    // Last words of each: a roll forgets producers whose records are older than a day, as these are, and the
    // snapshots of the last segments shall have them all.
    for (number, (codec, producer)) in producers.iter().enumerate() {
        for partition in 0..3 {
            let line = shapes.next(RECORDS + number);
            let delivery = producer.send(record("generated", &line).partition(partition))?;
            sent.push(Sent {
                line,
                delivery,
                codec,
            });
        }
        producer.flush()?;
    }
    write_sent(sent, out)
}

/// Appends without a producer: batches of one and of several records, without a producer id.
fn atomic_batches(broker: &Broker, shapes: &mut Shapes, out: &mut impl std::io::Write) -> Result {
    broker.create_topic(
        "generated-batches",
        TopicConfig::default().partitions(1).retention_ms(None),
    )?;
    let partition = broker.topic("generated-batches")?.partition(0)?;
    for i in 0..300 {
        let lines: Vec<Line> = (0..1 + i % 7).map(|j| shapes.next(i * 7 + j)).collect();
        let batch: Vec<Record<'_>> = lines
            .iter()
            .map(|line| record("generated-batches", line))
            .collect();
        let first = partition.append(&batch)?;
        for (offset, line) in (first..).zip(&lines) {
            write_line(line.json("generated-batches", 0, offset), "none", out)?;
        }
    }
    Ok(())
}

fn append_time(broker: &Broker, shapes: &mut Shapes, out: &mut impl std::io::Write) -> Result {
    let config = TopicConfig::default()
        .partitions(1)
        .timestamp_type(TimestampType::LogAppendTime);
    broker.create_topic("generated-append-time", config)?;
    let producer = broker
        .producer()
        .compression(Compression::Lz4)
        .linger(Duration::from_millis(5))
        .build()?;
    let mut sent = Vec::new();
    for i in 0..1_000 {
        let line = shapes.next(i);
        let delivery = producer.send(record("generated-append-time", &line))?;
        sent.push(Sent {
            line,
            delivery,
            codec: "lz4",
        });
        if i % 100 == 99 {
            producer.flush()?;
        }
    }
    producer.flush()?;
    write_sent(sent, out)
}

pub fn record<'a>(topic: &'a str, line: &'a Line) -> Record<'a> {
    let mut record = Record::to(topic).timestamp(line.timestamp);
    if let Some(key) = &line.key {
        record = record.key(key);
    }
    if let Some(value) = &line.value {
        record = record.value(value);
    }
    for (key, value) in &line.headers {
        record = match value {
            Some(value) => record.header(key, value),
            None => record.null_header(key),
        };
    }
    record
}

pub fn write_sent(sent: Vec<Sent>, out: &mut impl std::io::Write) -> Result {
    for Sent {
        mut line,
        delivery,
        codec,
    } in sent
    {
        let metadata = delivery.wait()?;
        // With LogAppendTime, or if the record had none, the log decides.
        line.timestamp = metadata.timestamp();
        write_line(
            line.json(metadata.topic(), metadata.partition(), metadata.offset()),
            codec,
            out,
        )?;
    }
    Ok(())
}

fn write_line(mut json: Value, codec: &str, out: &mut impl std::io::Write) -> Result {
    json["codec"] = json!(codec);
    json["aborted"] = json!(false);
    writeln!(out, "{json}")?;
    Ok(())
}

/// Records of every shape: null, empty, binary, text, large; headers of every kind; timestamps that also step back.
struct Shapes {
    /// Xorshift: enough to vary, the same on every run.
    random: u64,
}

impl Shapes {
    fn new() -> Self {
        Self {
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    fn next(&mut self, i: usize) -> Line {
        let key = match i % 11 {
            0 => None,
            1 => Some(Vec::new()),
            2 => {
                let length = 1 + self.below(40);
                Some(self.bytes(length))
            }
            _ => Some(format!("key-{}", self.below(1_000)).into_bytes()),
        };
        let value = match i % 13 {
            _ if i % 5_000 == 4_999 => Some(self.bytes(200_000)), // larger than a batch: one of its own
            0 => None,
            1 => Some(Vec::new()),
            2 => {
                let length = 1 + self.below(500);
                Some(self.bytes(length))
            }
            3 => Some(format!("grün – 緑 – 🟢 {i}").into_bytes()),
            4 => Some(b"line one\nline two\r\n\0".to_vec()),
            _ => Some(format!("value {i} {}", "lorem ipsum ".repeat(self.below(12))).into_bytes()),
        };
        let step_back = if i % 17 == 5 { 86_400_000 } else { 0 };
        let jump = if i % 101 == 7 { 3_600_000 } else { 0 };
        let timestamp = FIRST_TIMESTAMP + i as Timestamp * 10 - step_back + jump;
        Line {
            key,
            value,
            headers: self.headers(i),
            timestamp,
        }
    }

    fn headers(&mut self, i: usize) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = Vec::new();
        if i % 5 == 0 {
            headers.push(("source".to_owned(), Some(b"web".to_vec())));
        }
        if i % 7 == 0 {
            headers.push(("null-value".to_owned(), None));
            headers.push(("empty-value".to_owned(), Some(Vec::new())));
        }
        if i % 10 == 0 {
            headers.push(("source".to_owned(), Some(self.bytes(8)))); // the same key once more, and not text
            headers.push(("größe-大きさ".to_owned(), Some(b"ja".to_vec())));
        }
        if i % 35 == 0 {
            headers.push((String::new(), Some(b"empty key".to_vec())));
        }
        headers
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next_random() >> 33) as usize % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| (self.next_random() >> 56) as u8)
            .collect()
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
