//! What each record says: it follows from who wrote it, and as which.

use streamlog::{ConsumerRecord, Record, Timestamp};

use crate::random::Random;

/// The first timestamp; each record's is its number later.
const FIRST_TIMESTAMP: Timestamp = 1_700_000_000_000;

/// Which record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Another one in each round.
    pub writer: u64,
    /// Counts the writer's records in this partition.
    pub number: u64,
    /// How many more records the same atomic batch has after this one.
    pub left: u64,
}

/// The record of this name.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub header: Option<String>,
    pub timestamp: Timestamp,
}

impl Content {
    pub fn of(name: Name) -> Self {
        let mut random = Random::new(name.writer << 32 ^ name.number);
        let mut value = Vec::new();
        for number in [name.writer, name.number, name.left] {
            value.extend_from_slice(&number.to_le_bytes());
        }
        let length = if random.one_in(40) { 3_000 } else { 200 };
        let length = random.index(length);
        value.extend(random.bytes(length));
        Self {
            key: (!random.one_in(4)).then(|| format!("key-{}", random.below(50))),
            value,
            header: random.one_in(3).then(|| format!("trace-{}", name.number)),
            timestamp: FIRST_TIMESTAMP + i64::try_from(name.number).unwrap(),
        }
    }

    pub fn record<'a>(&'a self, topic: &'a str, partition: u32) -> Record<'a> {
        let mut record = Record::to(topic)
            .partition(partition)
            .value(&self.value)
            .timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(header) = &self.header {
            record = record.header("trace", header);
        }
        record
    }
}

/// The name of a record that was read, if it is a record that some writer makes.
pub fn recognise(record: &ConsumerRecord<'_>, check_timestamp: bool) -> Option<Name> {
    let value = record.value()?;
    let number = |index: usize| {
        let bytes = value.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let name = Name {
        writer: number(0)?,
        number: number(1)?,
        left: number(2)?,
    };
    let expected = Content::of(name);
    let headers: Vec<_> = record.headers().collect();
    let header = headers
        .first()
        .and_then(|header| Some(String::from_utf8_lossy(header.value()?).into_owned()));
    let found = Content {
        key: record
            .key()
            .map(|key| String::from_utf8_lossy(key).into_owned()),
        value: value.to_vec(),
        header,
        timestamp: if check_timestamp {
            record.timestamp()
        } else {
            expected.timestamp
        },
    };
    (found == expected && headers.len() <= 1).then_some(name)
}
