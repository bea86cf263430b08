//! A compacted topic, and what it has to say about its keys.

use std::collections::BTreeMap;

use streamlog::{Broker, CleanupPolicy, Offset, Partition, Position, Record, Result, TopicConfig};

use crate::support::{partition, small_segments};

/// A key, and what it means from there on; `None` if it is deleted.
type Entry = (String, Option<String>);

/// See the module's description.
#[derive(Debug, Clone)]
pub struct Table {
    topic: &'static str,
    /// By offset. The last ones may or may not be there.
    written: Vec<Entry>,
    pub acked: Offset,
    /// Of what is acknowledged, this is on the device.
    pub durable: Offset,
    pub stopped: bool,
}

/// A topic that is compacted as soon as a segment is finished.
pub fn compacted() -> TopicConfig {
    small_segments()
        .segment_bytes(700)
        .cleanup_policy(CleanupPolicy::Compact)
        .min_cleanable_dirty_ratio(0.01)
}

impl Table {
    pub fn new(topic: &'static str) -> Self {
        Self {
            topic,
            written: Vec::new(),
            acked: 0,
            durable: 0,
            stopped: false,
        }
    }

    /// What a topic holds that nothing was taken from.
    pub fn of(topic: &'static str, broker: &Broker) -> Self {
        let mut table = Self::new(topic);
        let records = records(&partition(broker, topic, 0));
        assert!(records.keys().copied().eq(0..records.len() as u64));
        table.acked = records.len() as u64;
        table.written = records.into_values().collect();
        table
    }

    pub fn log(&self, broker: &Broker) -> Partition {
        partition(broker, self.topic, 0)
    }

    /// Appends one batch: new values of these keys, or nothing for those that are to be deleted.
    pub fn put(&mut self, broker: &Broker, keys: &[(&str, bool)]) -> Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.written
            .truncate(usize::try_from(self.acked).expect("small"));
        let entries = keys
            .iter()
            .zip(self.acked..)
            .map(|((key, has_value), offset)| {
                let value = has_value.then(|| format!("{key} since {offset}"));
                ((*key).to_owned(), value)
            });
        let entries: Vec<_> = entries.collect();
        let records = entries.iter().map(|(key, value)| {
            let record = Record::to(self.topic)
                .key(key)
                .header("is", "an entry of a table");
            match value {
                Some(value) => record.value(value),
                None => record,
            }
        });
        let records: Vec<_> = records.collect();
        let result = self.log(broker).append(&records);
        drop(records);
        match &result {
            Ok(offset) => {
                assert_eq!(*offset, self.acked);
                self.acked += keys.len() as u64;
                self.written.extend(entries);
            }
            Err(error) if error.is_indefinite() => {
                self.stopped = true;
                self.written.extend(entries);
            }
            Err(_) => {}
        }
        result.map(drop)
    }

    /// What was indefinite is known after an open.
    pub fn go_on_at(&mut self, end: Offset) {
        self.written.truncate(usize::try_from(end).expect("small"));
        (self.acked, self.stopped) = (end, false);
    }

    /// Reads everything while the broker is in use; with `reads_fail`, does not.
    pub fn look(&mut self, broker: &Broker, reads_fail: bool) {
        let log = self.log(broker);
        self.durable = log.durable_end().min(self.acked);
        let known = log.describe().expect("it is open");
        self.stopped |= known.write_failure.is_some();
        if !reads_fail && !self.stopped {
            assert_eq!(log.high_watermark(), self.acked);
            self.assert_good(&log);
        }
    }

    /// In a broker that was opened on a sound disk.
    pub fn check(&self, broker: &Broker, least: Offset) -> Partition {
        let log = self.log(broker);
        let end = log.high_watermark();
        assert!(
            least <= end && end <= self.written.len() as u64,
            "{end} of {self:?}"
        );
        self.assert_good(&log);
        log
    }

    /// Each key's last record is there, unless it deletes the key; then nothing older is there without it.
    fn assert_good(&self, log: &Partition) {
        let found = records(log);
        for (offset, entry) in &found {
            let index = usize::try_from(*offset).expect("small");
            assert_eq!(Some(entry), self.written.get(index), "at {offset}");
        }
        let end = usize::try_from(log.high_watermark()).expect("small");
        let last: BTreeMap<_, _> = (0..)
            .zip(&self.written[..end])
            .map(|(at, (key, value))| (key, (at, value)))
            .collect();
        for (key, (last, value)) in last {
            if found.contains_key(&last) {
                continue;
            }
            assert!(value.is_none(), "the value of {key} at {last} is gone");
            let older = found.iter().find(|(_, (other, _))| other == key);
            assert!(older.is_none(), "{key} is back: {older:?}");
        }
    }

    /// Nothing more is to be done: finished segments hold each key once.
    pub fn assert_compacted(&self, broker: &Broker) {
        let log = self.log(broker);
        let known = log.describe().expect("it is open");
        assert_eq!(known.dirty_ratio, Some(0.0), "{known:?}");
    }
}

/// What a reader finds, by offset.
fn records(log: &Partition) -> BTreeMap<Offset, Entry> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let mut found = BTreeMap::new();
    let mut reader = log.reader(Position::Earliest).expect("a reader");
    while let Some(record) = reader.next().expect("a record") {
        let key = text(record.key().expect("a key"));
        let former = found.insert(record.offset(), (key, record.value().map(text)));
        assert!(former.is_none());
    }
    found
}
