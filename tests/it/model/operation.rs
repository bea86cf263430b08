//! What a case does. Numbers mean whatever there is of that kind, modulo how many there are, so that
//! operations stay valid when others are left out.

use std::fmt;
use std::time::Duration;

use streamlog::{Compression, Record};

use crate::random::Random;

/// See the module's description.
#[derive(Debug, Clone)]
pub enum Operation {
    CreateTopic {
        topic: u64,
        config: Config,
    },
    DeleteTopic {
        topic: u64,
    },
    AddPartitions {
        topic: u64,
        more: u32,
    },
    Append {
        topic: u64,
        partition: u64,
        records: Vec<Sent>,
    },
    NewProducer {
        producer: u64,
        config: ProducerConfig,
    },
    Send {
        producer: u64,
        topic: u64,
        partition: Option<u64>,
        record: Sent,
    },
    /// Waits for the newest delivery.
    WaitDelivery {
        producer: u64,
    },
    FlushProducer {
        producer: u64,
    },
    FlushPartition {
        topic: u64,
        partition: u64,
    },
    DeleteRecords {
        topic: u64,
        partition: u64,
        per_mille: u64,
    },
    /// Moves the clock, and does what falls due.
    Advance {
        millis: u64,
    },
    Reopen(Ending),
    NewReader {
        topic: u64,
        partition: u64,
        from: From,
    },
    SeekReader {
        reader: u64,
        from: From,
    },
    /// Reads this many records.
    ReadOn {
        reader: u64,
        count: u64,
    },
    FindTimestamp {
        topic: u64,
        partition: u64,
        back: u64,
    },
    NewConsumer {
        max_poll_records: usize,
    },
    Poll,
    SeekConsumer {
        partition: u64,
        from: From,
    },
    Pause {
        partition: u64,
    },
    Resume {
        partition: u64,
    },
    Commit,
    CommitOffset {
        topic: u64,
        partition: u64,
        per_mille: u64,
    },
    CloseConsumer,
    ReadEverything,
}

/// How a broker ends before it is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Close,
    /// All handles are dropped.
    Drop,
    /// The process is killed: the disk stays as it is.
    Kill,
}

/// Where to read.
#[derive(Debug, Clone, Copy)]
pub enum From {
    Earliest,
    Latest,
    /// In thousandths of the log; beyond 1000 it is beyond the end.
    Offset(u64),
    /// So many milliseconds before now.
    Timestamp(u64),
}

/// What a topic is like.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub partitions: u32,
    pub segment_bytes: u64,
    pub append_time: bool,
    pub synced: bool,
    pub compression: Compression,
}

/// What a producer is like.
#[derive(Debug, Clone, Copy)]
pub struct ProducerConfig {
    pub linger_millis: u64,
    pub batch_size: usize,
    pub compression: Compression,
    pub synced: bool,
    pub idempotence: bool,
}

/// A record as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sent {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub time: Time,
}

/// A record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// None given: the time of the call.
    Default,
    /// Given, relative to now.
    Relative(i64),
    /// Given as "none".
    None,
    /// Below what is allowed.
    Invalid,
}

const CODECS: [Compression; 6] = [
    Compression::None,
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

impl Operation {
    pub fn create_topic(random: &mut Random) -> Self {
        Self::CreateTopic {
            topic: random.below(3),
            config: Config {
                partitions: u32::try_from(random.between(1, 3)).unwrap(),
                segment_bytes: *random.pick(&[400, 1_500, 6_000, 1 << 20]),
                append_time: random.one_in(4),
                synced: random.one_in(5),
                compression: if random.one_in(4) {
                    *random.pick(&CODECS)
                } else {
                    Compression::Producer
                },
            },
        }
    }

    pub fn random(random: &mut Random, with_groups: bool) -> Self {
        let kind = random.below(if with_groups { 100 } else { 70 });
        let (topic, partition) = (random.below(3), random.below(4));
        let producer = random.below(2);
        match kind {
            0..2 => Self::create_topic(random),
            2 => Self::DeleteTopic { topic },
            3 => Self::AddPartitions { topic, more: 1 },
            4..20 => {
                let count = if random.one_in(3) { 20 } else { 3 };
                let records = (0..random.between(1, count)).map(|_| Sent::random(random));
                Self::Append {
                    topic,
                    partition,
                    records: records.collect(),
                }
            }
            20..23 => Self::NewProducer {
                producer,
                config: ProducerConfig::random(random),
            },
            23..40 => Self::Send {
                producer,
                topic,
                partition: random.one_in(3).then_some(partition),
                record: Sent::random(random),
            },
            40..43 => Self::WaitDelivery { producer },
            43..45 => Self::FlushProducer { producer },
            45..47 => Self::FlushPartition { topic, partition },
            47..49 => Self::DeleteRecords {
                topic,
                partition,
                per_mille: random.between(0, 1_100),
            },
            49..53 => Self::Advance {
                millis: *random.pick(&[1, 4, 30, 600, 2_000]),
            },
            53..56 => Self::Reopen(*random.pick(&[
                Ending::Close,
                Ending::Drop,
                Ending::Kill,
                Ending::Kill,
            ])),
            56..59 => Self::NewReader {
                topic,
                partition,
                from: From::random(random),
            },
            59..61 => Self::SeekReader {
                reader: random.below(3),
                from: From::random(random),
            },
            61..66 => Self::ReadOn {
                reader: random.below(3),
                count: random.between(1, 30),
            },
            66..69 => Self::FindTimestamp {
                topic,
                partition,
                back: random.below(6_000),
            },
            69 => Self::ReadEverything,
            70..74 => Self::NewConsumer {
                max_poll_records: *random.pick(&[1, 5, 1_000_000]),
            },
            74..84 => Self::Poll,
            84..87 => Self::SeekConsumer {
                partition,
                from: From::random(random),
            },
            87..89 => Self::Pause { partition },
            89..91 => Self::Resume { partition },
            91..96 => Self::Commit,
            96..99 => Self::CommitOffset {
                topic,
                partition,
                per_mille: random.between(0, 1_100),
            },
            _ => Self::CloseConsumer,
        }
    }
}

impl From {
    fn random(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Earliest,
            1 => Self::Latest,
            2..6 => Self::Offset(random.between(0, 1_100)),
            _ => Self::Timestamp(random.below(6_000)),
        }
    }
}

impl ProducerConfig {
    pub fn random(random: &mut Random) -> Self {
        Self {
            linger_millis: *random.pick(&[0, 5, 5, 1_000]),
            batch_size: *random.pick(&[0, 300, 2_000, 64 << 10]),
            compression: *random.pick(&CODECS),
            synced: random.one_in(5),
            idempotence: !random.one_in(4),
        }
    }
}

impl Sent {
    fn random(random: &mut Random) -> Self {
        let longest = if random.one_in(30) { 2_000 } else { 60 };
        let bytes = |random: &mut Random, longest: usize| {
            let length = random.index(longest);
            (!random.one_in(6)).then(|| random.bytes(length))
        };
        let headers = if random.one_in(3) { random.below(6) } else { 0 };
        Self {
            key: bytes(random, 12),
            value: bytes(random, longest),
            headers: (0..headers)
                .map(|_| {
                    let key = *random.pick(&["", "a", "trace", "größe"]);
                    (key.to_owned(), bytes(random, 10))
                })
                .collect(),
            time: match random.below(40) {
                0 => Time::None,
                1 => Time::Invalid,
                2..20 => Time::Relative(i64::try_from(random.below(8_000)).unwrap() - 5_000),
                _ => Time::Default,
            },
        }
    }

    /// The record as its sender would write it. `timestamp` is what [`Self::time`] means now.
    pub fn record<'a>(&'a self, topic: &'a str, timestamp: Option<i64>) -> Record<'a> {
        let mut record = Record::to(topic);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        match timestamp {
            Some(timestamp) => record.timestamp(timestamp),
            None => record,
        }
    }
}

/// Bytes as a string, since a list of numbers is long and says less.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| {
            let bytes = bytes.as_ref();
            bytes.map_or("null".to_owned(), |bytes| {
                format!("\"{}\"", bytes.escape_ascii())
            })
        };
        write!(f, "{} -> {}", text(&self.key), text(&self.value))?;
        for (key, value) in &self.headers {
            write!(f, ", {key:?}: {}", text(value))?;
        }
        write!(f, ", {:?}", self.time)
    }
}

impl Config {
    pub fn topic_config(self) -> streamlog::TopicConfig {
        let config = streamlog::TopicConfig::default()
            .partitions(self.partitions)
            .segment_bytes(self.segment_bytes)
            .index_interval_bytes(200)
            .flush_ms(Some(Duration::from_millis(500)))
            .compression(self.compression);
        let config = if self.append_time {
            config.timestamp_type(streamlog::TimestampType::LogAppendTime)
        } else {
            config
        };
        if self.synced {
            config.durability(streamlog::Durability::Synced)
        } else {
            config
        }
    }
}
