//! Compacts and removes records, in our own logs and in Kafka's, by a clock that is moved by hand.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use streamlog::{
    Broker, CleanupPolicy, Compression, ManualClock, Timestamp, TimestampType, TopicConfig,
    TopicPartition,
};

use crate::generate::{CODECS, FIRST_TIMESTAMP, Sent, record, write_sent};
use crate::lines::{self, Line};
use crate::{Result, groups};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Tombstones stay so long in topics whose tombstones are to go.
const SHORT: Duration = Duration::from_secs(30);

/// Memory for 1,000 keys.
const LITTLE_MEMORY: usize = 24 * 1_112;

/// Topics of every kind that compaction and retention leave behind, beside those that are there.
pub fn compact(dir: &str, records: &str, offsets: &str, groups: &str) -> Result {
    // So far back that it never gets ahead of the machine's clock.
    let clock = ManualClock::new(now() - 600_000);
    let mut history = History {
        broker: Some(open(dir, &clock, None)?),
        clock: clock.clone(),
        out: BufWriter::new(File::create(records)?),
    };
    history.codecs()?;
    history.append_time()?;
    history.producers()?;
    history.tombstones("compacted-dropped", 2)?;
    history.tombstones("compacted-due", 1)?;
    history.offsets(append_to(offsets)?, append_to(groups)?)?;
    history.removed()?;
    history.reopen(|| open(dir, &clock, Some(LITTLE_MEMORY)))?;
    history.ends_inside()?;
    history.close()?;
    check_ends_inside(Path::new(dir))
}

/// Compacts topics of a directory that was Kafka's: now, and a day later once more. Says what it appended between.
pub fn recompact(dir: &str, topics: &[&str]) -> Result {
    let clock = ManualClock::new(now());
    let broker = open(dir, &clock, None)?;
    let mut out = std::io::stdout().lock();
    for topic in topics {
        let config = broker.topic(topic)?.config();
        let config = config.as_ref().clone();
        let config = config
            .cleanup_policy(CleanupPolicy::Compact)
            .max_compaction_lag_ms(Some(Duration::from_millis(1)));
        broker.alter_topic(topic, config)?;
    }
    clock.advance(MINUTE);
    housekeep(&broker)?;
    for topic in topics {
        let producer = broker.producer().build()?;
        let mut sent = Vec::new();
        for partition in 0..broker.topic(topic)?.partition_count() {
            let line = Line {
                key: Some(b"between".to_vec()),
                value: Some(b"between two passes".to_vec()),
                timestamp: FIRST_TIMESTAMP,
                ..Line::default()
            };
            let delivery = producer.send(record(topic, &line).partition(partition))?;
            sent.push(Sent {
                line,
                delivery,
                codec: "none",
            });
        }
        producer.flush()?;
        write_sent(sent, &mut out)?;
    }
    clock.advance(25 * HOUR);
    housekeep(&broker)?;
    broker.close()?;
    Ok(())
}

/// Where the partitions begin.
pub fn starts(dir: &str, topics: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    for topic in topics {
        for partition in broker.topic(topic)?.partitions() {
            let start = partition.log_start_offset();
            println!("{}", lines::start(topic, partition.id().partition(), start));
        }
    }
    broker.close()?;
    Ok(())
}

/// A broker that does nothing by itself.
fn open(dir: &str, clock: &ManualClock, memory: Option<usize>) -> Result<Broker> {
    let builder = Broker::builder(dir).clock(clock.clone()).background(false);
    Ok(match memory {
        Some(bytes) => builder.cleaner_dedupe_buffer_bytes(bytes).open()?,
        None => builder.open()?,
    })
}

fn housekeep(broker: &Broker) -> Result {
    broker.run_housekeeping()?;
    match broker.cleaning_failures().pop() {
        Some((partition, error)) => Err(format!("{partition} was not cleaned: {error}").into()),
        None => Ok(()),
    }
}

struct History {
    /// `None` only while it is opened again.
    broker: Option<Broker>,
    clock: ManualClock,
    out: BufWriter<File>,
}

impl History {
    fn broker(&self) -> Result<&Broker> {
        self.broker.as_ref().ok_or_else(|| "closed".into())
    }

    fn reopen(&mut self, open: impl FnOnce() -> Result<Broker>) -> Result {
        if let Some(broker) = self.broker.take() {
            broker.close()?;
        }
        self.broker = Some(open()?);
        Ok(())
    }

    fn close(mut self) -> Result {
        self.out.flush()?;
        if let Some(broker) = self.broker.take() {
            broker.close()?;
        }
        Ok(())
    }

    /// A producer's records, in batches of 50, all of one partition.
    fn write(
        &mut self,
        topic: &str,
        partition: u32,
        (codec, compression): (&'static str, Compression),
        records: impl IntoIterator<Item = Line>,
    ) -> Result {
        let producer = self
            .broker()?
            .producer()
            .compression(compression)
            .linger(HOUR)
            .build()?;
        let mut sent = Vec::new();
        for (number, line) in records.into_iter().enumerate() {
            let delivery = producer.send(record(topic, &line).partition(partition))?;
            sent.push(Sent {
                line,
                delivery,
                codec,
            });
            if number % 50 == 49 {
                producer.flush()?;
            }
        }
        producer.flush()?;
        write_sent(sent, &mut self.out)
    }

    /// All codecs; several segments become one. The horizons of tombstones are far away.
    fn codecs(&mut self) -> Result {
        let topic = "compacted-codecs";
        let config = compacted().partitions(5).delete_retention_ms(24 * HOUR);
        self.broker()?.create_topic(topic, config.clone())?;
        for (partition, codec) in (0..).zip(CODECS) {
            self.write(topic, partition, codec, table(3_000, 200))?;
        }
        self.broker()?
            .alter_topic(topic, config.segment_bytes(128 << 10))?;
        housekeep(self.broker()?)
    }

    fn append_time(&mut self) -> Result {
        let topic = "compacted-append-time";
        let config = compacted().timestamp_type(TimestampType::LogAppendTime);
        self.broker()?.create_topic(topic, config)?;
        for round in 0..3 {
            self.write(topic, 0, CODECS[round], table(1_000, 100))?;
            self.clock.advance(SHORT);
        }
        housekeep(self.broker()?)
    }

    /// Nothing is left of the last batches of most producers; they are known all the same.
    fn producers(&mut self) -> Result {
        let topic = "compacted-producers";
        self.broker()?.create_topic(topic, compacted())?;
        // Producers of old records would be forgotten.
        let now = now();
        let recent = |records| {
            table(records, 30).map(move |line| Line {
                timestamp: now,
                ..line
            })
        };
        for round in 0..20 {
            self.write(topic, 0, CODECS[round % 5], recent(70))?;
        }
        self.write(topic, 0, CODECS[0], recent(700))?;
        housekeep(self.broker()?)
    }

    /// Tombstones whose horizon has come after `passes`; a second pass drops those of the first.
    fn tombstones(&mut self, topic: &str, passes: usize) -> Result {
        let config = compacted().delete_retention_ms(SHORT);
        self.broker()?.create_topic(topic, config)?;
        for pass in 0..passes {
            let lines = table(2_000, 150).map(|mut line| {
                line.key.get_or_insert_default().push(b'a' + pass as u8);
                line
            });
            self.write(topic, 0, CODECS[3], lines)?;
            // Their tombstones are in finished segments, whose horizon is set.
            self.write(topic, 0, CODECS[0], fillers(600))?;
            housekeep(self.broker()?)?;
            self.clock.advance(MINUTE);
        }
        Ok(())
    }

    /// Committed offsets, compacted as well.
    fn offsets(&mut self, mut offsets: File, mut groups: File) -> Result {
        let broker = self.broker()?;
        let internal = broker.topic("__consumer_offsets")?;
        let config = internal.config().as_ref().clone();
        let small = config.segment_bytes(4 << 10).max_message_bytes(2 << 10);
        let before = size(&internal);
        broker.alter_topic("__consumer_offsets", small)?;
        for group in ["streamlog-group-compacted", "streamlog-group-compacted-too"] {
            let mut consumer = groups::join(broker, group, "compacted-codecs")?;
            consumer.poll(Duration::ZERO)?;
            for round in 0..400 {
                let place = TopicPartition::new("compacted-codecs", round % 5);
                consumer.commit_offsets(&[(place, u64::from(round))])?;
            }
            drop(consumer);
            for partition in 0..5 {
                let offset = u64::from(395 + partition);
                let mut line = lines::committed(group, "compacted-codecs", partition, offset);
                line["metadata"] = "".into();
                writeln!(offsets, "{line}")?;
            }
            let generation = broker.group(group).describe()?.generation;
            writeln!(
                groups,
                "{}",
                lines::empty_group(group, "consumer", generation)
            )?;
        }
        let written = size(&internal);
        housekeep(broker)?;
        let left = size(&internal);
        // 800 commits, and their index, and room for the active segments.
        if left - before > (written - before) / 3 {
            return Err(format!(
                "committed offsets take {left} bytes of {written} after compaction"
            )
            .into());
        }
        Ok(())
    }

    /// By retention and by hand. The log begins at a segment, and inside one.
    fn removed(&mut self) -> Result {
        let topic = "removed";
        let config = TopicConfig::default()
            .partitions(2)
            .retention_ms(None)
            .segment_bytes(32 << 10)
            .retention_bytes(Some(64 << 10));
        self.broker()?.create_topic(topic, config)?;
        for partition in 0..2 {
            self.write(
                topic,
                partition,
                CODECS[partition as usize],
                table(3_000, 500),
            )?;
        }
        let second = self.broker()?.topic(topic)?.partition(1)?;
        housekeep(self.broker()?)?;
        second.delete_records(second.log_start_offset() + 77)?;
        Ok(())
    }

    /// A pass ends where the memory does, which is inside a segment.
    fn ends_inside(&mut self) -> Result {
        let topic = "compacted-inside";
        self.broker()?.create_topic(topic, compacted())?;
        self.write(topic, 0, CODECS[4], table(9_000, 3_000))?;
        housekeep(self.broker()?)
    }
}

fn compacted() -> TopicConfig {
    TopicConfig::default()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(32 << 10)
        .retention_ms(None)
}

/// Updates of so many keys, in an order that looks random; every ninth record deletes its key.
fn table(records: usize, keys: usize) -> impl Iterator<Item = Line> {
    (0..records).map(move |i| {
        let key = i.wrapping_mul(7_919) % keys;
        let value = format!("value {i} {}", "lorem ipsum ".repeat(i % 12));
        Line {
            key: Some(format!("key-{key}").into_bytes()),
            value: (i % 9 != 8).then(|| value.into_bytes()),
            headers: match i % 5 {
                0 => vec![("source".to_owned(), Some(b"web".to_vec()))],
                1 => vec![("null-value".to_owned(), None)],
                _ => Vec::new(),
            },
            timestamp: FIRST_TIMESTAMP + i as Timestamp * 10,
        }
    })
}

/// Records of one key, to fill segments.
fn fillers(records: usize) -> impl Iterator<Item = Line> {
    table(records, 1).map(|line| Line {
        key: Some(b"filler".to_vec()),
        value: Some(vec![b'.'; 200]),
        ..line
    })
}

fn size(topic: &streamlog::Topic) -> u64 {
    let partitions = topic.partitions();
    partitions.iter().map(|it| it.size_bytes()).sum()
}

fn append_to(path: &str) -> Result<File> {
    Ok(OpenOptions::new().append(true).open(path)?)
}

pub fn now() -> Timestamp {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::try_from(elapsed.as_millis()).unwrap_or(0)
}

/// Otherwise the case would not be what it says.
fn check_ends_inside(dir: &Path) -> Result {
    let checkpoint = std::fs::read_to_string(dir.join("cleaner-offset-checkpoint"))?;
    let clean = checkpoint
        .lines()
        .find_map(|line| line.strip_prefix("compacted-inside 0 "))
        .ok_or("nothing is said of compacted-inside")?;
    let segment = format!("compacted-inside-0/{:020}.log", clean.parse::<u64>()?);
    if clean == "0" || dir.join(segment).exists() {
        return Err(format!("the pass ended at {clean}, between segments").into());
    }
    Ok(())
}
