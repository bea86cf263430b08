//! A broker, and what was written to it: shared by everybody who writes, reads and changes things.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, BrokerBuilder, CleanupPolicy, Clock, Compression, Error, ManualClock, Offset,
    Partition, Producer, Record, TopicConfig,
};

use super::follower::{WithHistory, said};
use super::history::{History, Written, compacts, deletes};
use super::{Check, require};
use crate::random::Random;

pub const TOPIC: &str = "table";
pub const START: i64 = 1_700_000_000_000;

/// What differs from case to case, and stays the same in it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub partitions: u32,
    pub dedupe_bytes: usize,
    pub open_files: usize,
    pub config: TopicConfig,
}

impl Settings {
    pub fn random(random: &mut Random) -> Self {
        let partitions = u32::try_from(random.between(1, 3)).expect("small");
        Self {
            partitions,
            // Of so few keys, a pass ends inside of a segment.
            dedupe_bytes: 24 * random.pick(&[2, 5, 20, 1000]),
            open_files: *random.pick(&[3, 500]),
            config: config(random).partitions(partitions),
        }
    }
}

/// A configuration with which much happens soon.
pub fn config(random: &mut Random) -> TopicConfig {
    use CleanupPolicy::{Compact, CompactAndDelete, Delete};
    let millis =
        |choices: &[u64], random: &mut Random| Duration::from_millis(*random.pick(choices));
    let min_lag = millis(&[0, 0, 0, 50, 5_000], random);
    let max_lag = random.one_in(3).then_some(Duration::from_secs(10));
    TopicConfig::default()
        .cleanup_policy(*random.pick(&[Compact, Compact, Compact, CompactAndDelete, Delete]))
        .segment_bytes(*random.pick(&[1_000, 1_000, 2_000, 5_000]))
        .index_interval_bytes(*random.pick(&[60, 300, 4_096]))
        .retention_ms(
            random
                .one_in(2)
                .then_some(millis(&[1_000, 100_000], random)),
        )
        .retention_bytes(random.one_in(4).then_some(3_000))
        .delete_retention_ms(millis(&[0, 100, 10_000, 86_400_000], random))
        .min_compaction_lag_ms(min_lag)
        .max_compaction_lag_ms(max_lag)
        .min_cleanable_dirty_ratio(*random.pick(&[0.0, 0.1, 0.5]))
}

/// One record to be.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Without one where that is allowed.
    pub key: Option<u64>,
    /// Length of its value, if it has one.
    pub value: Option<usize>,
    /// How much older than the clock says it is, in milliseconds.
    pub age: i64,
}

impl Entry {
    pub fn random(random: &mut Random) -> Self {
        let keys = *random.pick(&[2, 8, 40]);
        Self {
            key: (!random.one_in(12)).then(|| random.below(keys)),
            value: (!random.one_in(4)).then(|| random.index(40)),
            age: *random.pick(&[0, 0, 7, 60]),
        }
    }
}

/// A partition, and what was written to it.
pub struct Book {
    pub partition: Partition,
    clock: ManualClock,
    /// Held by who writes until the record is noted, and by who compares.
    history: Mutex<History>,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nobody failed with it")
    }
}

impl WithHistory for Book {
    fn history<T>(&self, look: impl FnOnce(&History, i64) -> T) -> T {
        let mut history = self.lock();
        history.start = history.start.max(self.partition.log_start_offset());
        look(&history, self.clock.wall())
    }
}

/// See the module's description.
pub struct World {
    pub broker: Broker,
    pub clock: ManualClock,
    pub books: Vec<Book>,
    /// Held by who writes and who alters, so that everything is noted with the configuration in force.
    config: Mutex<TopicConfig>,
}

impl World {
    /// `slack`: see [`History`].
    pub fn new(builder: BrokerBuilder, settings: &Settings, slack: i64) -> Result<Self, String> {
        let clock = ManualClock::new(START);
        let broker = said(opening(builder, &clock, settings).open())?;
        said(broker.create_topic(TOPIC, settings.config.clone()))?;
        let histories = (0..settings.partitions)
            .map(|_| History::new(slack))
            .collect();
        Self::of(broker, clock, settings.config.clone(), histories)
    }

    fn of(
        broker: Broker,
        clock: ManualClock,
        config: TopicConfig,
        histories: Vec<History>,
    ) -> Result<Self, String> {
        let partitions = said(broker.topic(TOPIC))?.partitions();
        let books = partitions
            .into_iter()
            .zip(histories)
            .map(|(partition, history)| Book {
                partition,
                clock: clock.clone(),
                history: Mutex::new(history),
            });
        let world = Self {
            books: books.collect(),
            broker,
            clock,
            config: Mutex::new(config),
        };
        for book in &world.books {
            let (start, end) = (
                book.partition.log_start_offset(),
                book.partition.high_watermark(),
            );
            let history = book.lock();
            require!(
                start >= history.start && end == history.end(),
                "it is {start}..{end}, should be {}..{}",
                history.start,
                history.end()
            );
        }
        Ok(world)
    }

    /// Closes the broker, or leaves it as a kill does, and opens it again.
    pub fn reopen(
        self,
        disk: &mut SimDisk,
        kill: bool,
        settings: &Settings,
    ) -> Result<Self, String> {
        let Self {
            broker,
            clock,
            books,
            config,
        } = self;
        let after_kill = disk.duplicate();
        let histories = books
            .into_iter()
            .map(|book| book.history.into_inner().unwrap())
            .collect();
        if kill {
            drop(broker);
            *disk = after_kill;
        } else {
            said(broker.close())?;
        }
        let builder = Broker::builder("data")
            .storage(disk.clone())
            .background(false);
        let broker = said(opening(builder, &clock, settings).open())?;
        let report = broker.recovery_report();
        require!(
            report.is_clean() && report.clean_shutdown != kill,
            "{report:?}"
        );
        Self::of(broker, clock, config.into_inner().unwrap(), histories)
    }

    fn config(&self) -> MutexGuard<'_, TopicConfig> {
        self.config.lock().expect("nobody failed with it")
    }

    pub fn book(&self, number: u64) -> &Book {
        &self.books[usize::try_from(number).expect("small") % self.books.len()]
    }

    pub fn append(&self, partition: u64, entries: &[Entry]) -> Check {
        let config = self.config();
        let book = self.book(partition);
        let mut history = book.lock();
        let (first, now) = (history.end(), self.clock.wall());
        let written: Vec<_> = entries
            .iter()
            .zip(first..)
            .map(|(entry, offset)| entry.written(offset, &config, now))
            .collect();
        let records: Vec<_> = written.iter().map(record).collect();
        let appended = said(book.partition.append(&records))?;
        require!(appended == first, "appended at {appended}, not at {first}");
        for written in written {
            history.push(written, &config, now);
        }
        Ok(())
    }

    /// Sends to all partitions, and waits until all is acknowledged.
    pub fn send(&self, producer: &Producer, entries: &[Entry]) -> Check {
        let config = self.config();
        let mut histories: Vec<_> = self.books.iter().map(Book::lock).collect();
        let now = self.clock.wall();
        let mut sent = Vec::new();
        for entry in entries {
            let partition = usize::try_from(entry.key.unwrap_or(7)).unwrap() % histories.len();
            let history = &mut histories[partition];
            let (offset, number) = (history.end(), u32::try_from(partition).expect("few"));
            let written = entry.written(offset, &config, now);
            let delivery = said(producer.send(record(&written).partition(number)))?;
            history.push(written, &config, now);
            sent.push((delivery, offset));
        }
        said(producer.flush())?;
        for (delivery, offset) in sent {
            let at = said(delivery.wait())?.offset();
            require!(at == offset, "sent to {at}, not to {offset}");
        }
        Ok(())
    }

    pub fn producer(&self, codec: Compression, batch_size: usize) -> Result<Producer, String> {
        let builder = self
            .broker
            .producer()
            .compression(codec)
            .batch_size(batch_size);
        said(builder.build())
    }

    pub fn alter(&self, altered: &TopicConfig) -> Check {
        let mut config = self.config();
        let mut histories: Vec<_> = self.books.iter().map(Book::lock).collect();
        // From when it is noted: it is in force at some time before the call returns.
        let now = self.clock.wall();
        for history in &mut histories {
            history.alter(altered, now);
        }
        let partitions = u32::try_from(self.books.len()).expect("few");
        *config = altered.clone().partitions(partitions);
        said(self.broker.alter_topic(TOPIC, config.clone()))
    }

    pub fn delete_records(&self, partition: u64, per_mille: u64) -> Check {
        let config = self.config();
        let book = self.book(partition);
        let (start, end) = (
            book.partition.log_start_offset(),
            book.partition.high_watermark(),
        );
        let offset = start + (end - start) * per_mille / 1000;
        match book.partition.delete_records(offset) {
            Ok(()) if deletes(&config) => Ok(()),
            Err(Error::PolicyViolation { .. }) if !deletes(&config) => Ok(()),
            other => Err(format!("delete_records({offset}): {other:?}")),
        }
    }

    /// Housekeeping, while nobody else does anything: what it removes has to be what retention says.
    pub fn keep_house(&self) -> Check {
        let before: Vec<_> = self
            .books
            .iter()
            .map(|it| it.partition.log_start_offset())
            .collect();
        said(self.broker.run_housekeeping())?;
        let config = self.config().clone();
        for (book, before) in self.books.iter().zip(before) {
            book.check_removed(before, &config)?;
        }
        Ok(())
    }
}

impl Book {
    fn check_removed(&self, before: Offset, config: &TopicConfig) -> Check {
        let after = self.partition.log_start_offset();
        if after == before {
            return Ok(());
        }
        let number = |key| config.get(key).and_then(|text| text.parse::<i64>().ok());
        let age = number("retention.ms").filter(|it| *it >= 0);
        let bytes = number("retention.bytes").filter(|it| *it >= 0);
        let left = i64::try_from(self.partition.size_bytes()).expect("small");
        let is_surplus = bytes.is_some_and(|limit| left >= limit);
        let is_old = self.history(|history, now| {
            let newest = history.newest(before..after, now).unwrap_or(i64::MIN);
            age.is_some_and(|age| newest.saturating_add(age) < now)
        });
        require!(
            after > before
                && deletes(config)
                && (is_surplus || is_old || (age.is_some() && bytes.is_some())),
            "the start went from {before} to {after} under {:?}",
            config.entries()
        );
        Ok(())
    }
}

impl Entry {
    fn written(self, offset: Offset, config: &TopicConfig, now: i64) -> Written {
        let key = self.key.or(compacts(config).then_some(0));
        Written {
            key: key.map(|key| format!("k{key}")),
            value: self
                .value
                .map(|len| format!("{offset}:{}", "x".repeat(len))),
            timestamp: now - self.age,
        }
    }
}

fn record(written: &Written) -> Record<'_> {
    let record = Record::to(TOPIC).timestamp(written.timestamp);
    let record = match &written.key {
        Some(key) => record.key(key),
        None => record,
    };
    match &written.value {
        Some(value) => record.value(value),
        None => record,
    }
}

/// How the broker is opened, every time.
fn opening(builder: BrokerBuilder, clock: &ManualClock, settings: &Settings) -> BrokerBuilder {
    builder
        .clock(clock.clone())
        .offsets_topic_partitions(1)
        .cleaner_dedupe_buffer_bytes(settings.dedupe_bytes)
        .max_open_files(settings.open_files)
        .max_mapped_segments(settings.open_files)
        .seed(7)
}
