//! One run of a workload on a recording disk: does things to a broker and keeps the ledger.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use streamlog::sim::{CrashKind, CrashPlan, SimDisk};
use streamlog::{
    Broker, Consumer, Delivery, Durability, Error, GroupDescription, ManualClock, Offset, Position,
    Producer, Record, TopicConfig, TopicPartition,
};

use super::check::{DIR, ledger_from, look};
use super::ledger::{Batch, Expected, Ledger, NEVER, PartitionLedger, Set, TopicLedger};
use super::workloads::Workload;

/// Where the clock of a workload starts.
const START: i64 = 1_700_000_000_000;

/// When a commit began, was in force, and was as safe as the durability says.
#[derive(Clone, Copy)]
struct Moments {
    began: usize,
    acked: usize,
    synced: usize,
}

pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    /// What acknowledges commits.
    pub(crate) durability: Durability,
    pub(crate) ledger: Ledger,
    /// Topics with `message.timestamp.type=LogAppendTime`.
    pub(crate) broker_stamps: BTreeSet<String>,
    broker: Option<Broker>,
    waypoints: bool,
    /// Sent, and not known to be acknowledged.
    deliveries: Vec<(String, u32, Offset, Delivery)>,
    records: u64,
}

impl Run {
    pub(crate) fn new(disk: SimDisk, workload: &Workload) -> Self {
        if workload.prepared {
            disk.write(Path::new(DIR).join("README"), "not a file of the log")
                .expect("a directory");
        }
        let mut run = Self {
            disk,
            clock: ManualClock::new(START),
            durability: workload.durability,
            waypoints: workload.waypoints,
            ledger: Ledger::default(),
            broker_stamps: BTreeSet::new(),
            broker: None,
            deliveries: Vec::new(),
            records: 0,
        };
        run.open();
        run
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("the broker is open")
    }

    /// Does something; returns when it began, what it gave, and when it was done.
    fn timed<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> (usize, T, usize) {
        let began = self.disk.operation_count();
        let result = action(self);
        let done = self.disk.operation_count();
        self.note_durable(done);
        (began, result, done)
    }

    pub(crate) fn open(&mut self) {
        let mut builder = Broker::builder(DIR)
            .storage(self.disk.clone())
            .clock(self.clock.clone());
        if self.waypoints {
            builder = builder.waypoint_interval(1);
        }
        let opened = builder
            .background(false)
            .offsets_topic_partitions(3)
            .seed(7)
            .durability(self.durability)
            .open();
        self.broker = Some(opened.expect("a workload's broker opens"));
        self.void_what_is_not_there();
    }

    /// Appends whose outcome was unknown: now it is known.
    fn void_what_is_not_there(&mut self) {
        let now = self.disk.operation_count();
        let Some(broker) = &self.broker else { return };
        for topic in self
            .ledger
            .topics
            .iter_mut()
            .filter(|topic| topic.deletion_began == NEVER)
        {
            let handle = broker.topic(&topic.name).expect("the topic is there");
            for (partition, handle) in topic.partitions.iter_mut().zip(handle.partitions()) {
                let end = handle.high_watermark();
                for batch in partition
                    .batches
                    .iter_mut()
                    .filter(|batch| batch.void == NEVER && batch.end() > end)
                {
                    assert_eq!(
                        batch.acked, NEVER,
                        "an acknowledged batch is lost while the workload runs"
                    );
                    batch.void = now;
                }
            }
        }
    }

    /// Everything below the durable end is promised to survive power loss.
    fn note_durable(&mut self, now: usize) {
        let Some(broker) = &self.broker else { return };
        for topic in self
            .ledger
            .topics
            .iter_mut()
            .filter(|topic| topic.deletion_began == NEVER)
        {
            let Ok(handle) = broker.topic(&topic.name) else {
                continue;
            };
            for (partition, handle) in topic.partitions.iter_mut().zip(handle.partitions()) {
                let end = handle.durable_end();
                for batch in partition
                    .batches
                    .iter_mut()
                    .filter(|batch| batch.void == NEVER && batch.end() <= end)
                {
                    batch.synced = batch.synced.min(now);
                }
            }
        }
    }

    pub(crate) fn create(&mut self, name: &str, config: &TopicConfig) {
        let (began, topic, done) =
            self.timed(|run| run.broker().create_topic(name, config.clone()));
        let topic = topic.expect("the topic is made");
        let partitions = (0..topic.partition_count()).map(|_| PartitionLedger {
            acked: done,
            ..PartitionLedger::new(began)
        });
        let value = (*topic.config()).clone();
        self.ledger.topics.push(TopicLedger {
            name: name.to_owned(),
            id: Some(topic.id()),
            began,
            acked: done,
            deletion_began: NEVER,
            deletion_acked: NEVER,
            partitions: partitions.collect(),
            configs: vec![Set {
                began,
                acked: done,
                synced: done,
                value,
            }],
        });
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.learn_boundaries();
        let (began, result, done) = self.timed(|run| run.broker().delete_topic(name));
        result.expect("the topic is deleted");
        let topic = self.ledger.topic(name);
        (topic.deletion_began, topic.deletion_acked) = (began, done);
    }

    pub(crate) fn alter(&mut self, name: &str, config: TopicConfig) {
        let (began, result, done) = self.timed(|run| run.broker().alter_topic(name, config));
        result.expect("the topic is altered");
        self.note_config(name, began, done);
    }

    pub(crate) fn add_partitions(&mut self, name: &str, count: u32) {
        let (began, result, done) = self.timed(|run| run.broker().add_partitions(name, count));
        result.expect("partitions are added");
        let new = PartitionLedger {
            acked: done,
            ..PartitionLedger::new(began)
        };
        self.ledger
            .topic(name)
            .partitions
            .resize(count as usize, new);
        self.note_config(name, began, done);
    }

    fn note_config(&mut self, name: &str, began: usize, done: usize) {
        let value = (*self
            .broker()
            .topic(name)
            .expect("the topic is there")
            .config())
        .clone();
        self.ledger.topic(name).configs.push(Set {
            began,
            acked: done,
            synced: done,
            value,
        });
    }

    fn partition(&self, topic: &str, partition: u32) -> streamlog::Partition {
        let topic = self.broker().topic(topic).expect("the topic is there");
        topic.partition(partition).expect("the partition is there")
    }

    /// A record unlike all others, with a value of about this many bytes.
    fn record(&mut self, size: usize) -> Expected {
        self.records += 1;
        let number = self.records;
        let mut value = format!("value-{number}-").into_bytes();
        // Not all alike, so that misplaced sectors show, and not too random, so that codecs have work.
        value.extend(
            (0..size).map(|index| u8::try_from((index as u64 * number / 7) % 251).unwrap_or(0)),
        );
        let key = (!number.is_multiple_of(3)).then(|| format!("key-{}", number % 5).into_bytes());
        let headers = if number.is_multiple_of(4) {
            vec![("number".to_owned(), Some(vec![1, 2]))]
        } else {
            Vec::new()
        };
        let timestamp = START + i64::try_from(number).unwrap_or(0);
        Expected {
            key,
            value: Some(value),
            timestamp,
            headers,
        }
    }

    /// Appends a batch of `count` records; true if that succeeded.
    pub(crate) fn append(
        &mut self,
        topic: &str,
        partition: u32,
        count: usize,
        size: usize,
    ) -> bool {
        let mut records: Vec<_> = (0..count).map(|_| self.record(size)).collect();
        let base = self.ledger.partition(topic, partition).end();
        let handle = self.partition(topic, partition);
        let (began, result, done) = {
            let batch: Vec<_> = records
                .iter()
                .map(|record| as_record(record, topic, partition))
                .collect();
            self.timed(|_| handle.append(&batch))
        };
        self.stamp(topic, &mut records);
        let mut batch = Batch {
            base,
            records,
            began,
            acked: NEVER,
            synced: NEVER,
            void: NEVER,
            whole: true,
        };
        let appended = result.is_ok();
        match result {
            Ok(offset) => {
                assert_eq!(offset, base, "offsets follow each other");
                batch.acked = done;
                if handle.durable_end() >= batch.end() {
                    batch.synced = done;
                }
            }
            Err(error) if error.is_indefinite() => {}
            Err(_) => batch.void = done,
        }
        self.ledger.partition(topic, partition).batches.push(batch);
        appended
    }

    /// Appends to a topic whose acknowledgements are to survive power loss.
    pub(crate) fn append_synced(&mut self, topic: &str, partition: u32, count: usize, size: usize) {
        assert!(
            self.append(topic, partition, count, size),
            "the append succeeds"
        );
        let last = self
            .ledger
            .partition(topic, partition)
            .batches
            .last_mut()
            .expect("a batch");
        last.synced = last.acked;
    }

    /// On a topic with `LogAppendTime`, the records carry the time of the append.
    fn stamp(&mut self, topic: &str, records: &mut [Expected]) {
        if self.broker_stamps.contains(topic) {
            let now = streamlog::Clock::wall(&self.clock);
            for record in records {
                record.timestamp = now;
            }
        }
    }

    /// Sends a record; it is acknowledged when [`Self::settle`] finds it so.
    pub(crate) fn send(&mut self, producer: &Producer, topic: &str, partition: u32, size: usize) {
        let record = self.record(size);
        let base = self.ledger.partition(topic, partition).end();
        let (began, delivery, _) = {
            let borrowed = as_record(&record, topic, partition);
            self.timed(|_| producer.send(borrowed))
        };
        let delivery = delivery.expect("the record is sent");
        let batch = Batch {
            base,
            records: vec![record],
            began,
            acked: NEVER,
            synced: NEVER,
            void: NEVER,
            whole: false,
        };
        self.ledger.partition(topic, partition).batches.push(batch);
        self.deliveries
            .push((topic.to_owned(), partition, base, delivery));
    }

    /// Flushes the producer; all that was sent is acknowledged.
    pub(crate) fn flush_producer(&mut self, producer: &Producer, synced: bool) {
        let (_, result, _) = self.timed(|_| producer.flush());
        result.expect("the producer is flushed");
        self.settle(synced);
        assert!(
            self.deliveries.is_empty(),
            "a flush leaves nothing unacknowledged"
        );
    }

    /// Looks which records are acknowledged by now.
    pub(crate) fn settle(&mut self, synced: bool) {
        let now = self.disk.operation_count();
        for (topic, partition, offset, delivery) in std::mem::take(&mut self.deliveries) {
            if !delivery.is_done() {
                self.deliveries.push((topic, partition, offset, delivery));
                continue;
            }
            let metadata = delivery.wait().expect("the record is delivered");
            assert_eq!(
                metadata.offset(),
                offset,
                "offsets follow the order of sends"
            );
            let batches = &mut self.ledger.partition(&topic, partition).batches;
            let batch = batches
                .iter_mut()
                .find(|batch| batch.base == offset && batch.void == NEVER);
            let batch = batch.expect("the record is in the ledger");
            batch.acked = now;
            if synced {
                batch.synced = batch.synced.min(now);
            }
        }
        self.note_durable(now);
    }

    pub(crate) fn flush(&mut self, topic: &str, partition: u32) {
        let handle = self.partition(topic, partition);
        let (_, result, done) = self.timed(|_| handle.flush());
        result.expect("the partition is flushed");
        for batch in self
            .ledger
            .partition(topic, partition)
            .batches
            .iter_mut()
            .filter(|batch| batch.acked <= done)
        {
            batch.synced = batch.synced.min(done);
        }
    }

    pub(crate) fn delete_records(&mut self, topic: &str, partition: u32, offset: Offset) {
        let handle = self.partition(topic, partition);
        let (began, result, done) = self.timed(|_| handle.delete_records(offset));
        result.expect("records are deleted");
        let set = Set {
            began,
            acked: done,
            synced: done,
            value: offset,
        };
        self.ledger.partition(topic, partition).starts.push(set);
    }

    /// Lets time pass, and does what falls due.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        let (_, result, done) = self.timed(|run| run.broker().run_housekeeping());
        result.expect("housekeeping works");
        if time >= Duration::from_secs(1) {
            // `flush.ms` is over for everything, committed offsets included.
            self.all_is_durable(done);
        }
    }

    /// Commits offsets for a group: that of the next record to read.
    pub(crate) fn commit(&mut self, group: &str, topic: &str, offsets: &[(u32, Offset)]) {
        let id = self.broker().topic(topic).expect("the topic is there").id();
        let builder = self.broker().consumer().group(group).auto_commit(None);
        let mut consumer = builder
            .auto_offset_reset(Position::Earliest)
            .build()
            .expect("a consumer");
        let commit: Vec<_> = offsets
            .iter()
            .map(|(number, at)| (TopicPartition::new(topic, *number), *at))
            .collect();
        let (began, result, done) = self.timed(|_| consumer.commit_offsets(&commit));
        result.expect("offsets are committed");
        let moments = Moments {
            began,
            acked: done,
            synced: done,
        };
        self.note_commit(group, &id, offsets, moments);
    }

    fn note_commit(&mut self, group: &str, id: &str, offsets: &[(u32, Offset)], moments: Moments) {
        let Moments {
            began,
            acked,
            synced,
        } = moments;
        let is_synced = self.durability == Durability::Synced;
        let synced = if is_synced { synced } else { NEVER };
        for (number, value) in offsets {
            let key = (group.to_owned(), id.to_owned(), *number);
            let sets = self.ledger.commits.entry(key).or_default();
            sets.push(Set {
                began,
                acked,
                synced,
                value: *value,
            });
        }
        // What was noted of the group before comes before this in the same log.
        let stored = self.ledger.generations.entry(group.to_owned()).or_default();
        for set in stored.iter_mut().filter(|set| set.began <= began) {
            set.acked = set.acked.min(acked);
            set.synced = set.synced.min(synced);
        }
    }

    /// A new member of a group, which gets up to two records at a time.
    pub(crate) fn join(&mut self, group: &str, topic: &str) -> Consumer {
        let builder = self.broker().consumer().group(group).auto_commit(None);
        let mut member = builder
            .auto_offset_reset(Position::Earliest)
            .max_poll_records(2)
            .build()
            .expect("a consumer");
        let (began, result, done) = self.timed(|_| member.subscribe([topic]));
        result.expect("it joins");
        let described = self.describe(group);
        if described.members.len() == 1 {
            self.note_generation(group, described.generation, began, done);
        }
        member
    }

    pub(crate) fn leave(&mut self, member: Consumer) {
        let group = member.group().expect("a member").to_owned();
        let before = self.describe(&group);
        let (began, result, done) = self.timed(|_| member.close());
        result.expect("it leaves");
        if before.members.len() == 1 {
            // A group that nobody is in owns nothing any more, which is another generation.
            self.note_generation(&group, before.generation + 1, began, done);
        }
    }

    fn describe(&self, group: &str) -> GroupDescription {
        let described = self.broker().group(group).describe();
        described.expect("the group is there")
    }

    fn note_generation(&mut self, group: &str, generation: i32, began: usize, done: usize) {
        // Before there is a log, it waits for the first commit.
        let has_log = self.broker().topic("__consumer_offsets").is_ok();
        let sets = self.ledger.generations.entry(group.to_owned());
        sets.or_default().push(Set {
            began,
            acked: if has_log { done } else { NEVER },
            synced: NEVER,
            value: generation,
        });
    }

    /// A member polls, and commits how far it has come.
    pub(crate) fn work(&mut self, member: &mut Consumer, topic: &str) {
        self.work_and(member, topic, |run, member| {
            let (began, result, done) = run.timed(|_| member.commit());
            result.expect("offsets are committed");
            Moments {
                began,
                acked: done,
                synced: done,
            }
        });
    }

    /// The same, with a commit that is waited for later.
    pub(crate) fn work_async(&mut self, member: &mut Consumer, topic: &str) {
        self.work_and(member, topic, |run, member| {
            let (began, receipt, acked) = run.timed(|_| member.commit_async());
            let receipt = receipt.expect("offsets are committed");
            let (_, result, synced) = run.timed(|_| receipt.wait());
            result.expect("the commit is acknowledged");
            Moments {
                began,
                acked,
                synced,
            }
        });
    }

    fn work_and(
        &mut self,
        member: &mut Consumer,
        topic: &str,
        commit: impl FnOnce(&mut Self, &mut Consumer) -> Moments,
    ) {
        let (_, records, _) = self.timed(|_| member.poll(Duration::ZERO));
        records.expect("a poll");
        let offsets: Vec<_> = member
            .assignment()
            .into_iter()
            .map(|id| (id.partition(), member.position(&id).expect("a position")))
            .collect();
        let moments = commit(self, member);
        let id = self.broker().topic(topic).expect("the topic is there").id();
        let group = member.group().expect("a member").to_owned();
        self.note_commit(&group, &id, &offsets, moments);
    }

    /// Makes the topic for committed offsets, with one partition instead of 50: fewer files, more
    /// crashes in the same time.
    pub(crate) fn create_offsets_topic(&mut self) {
        let config = TopicConfig::default().partitions(1);
        let made = self.broker().create_topic("__consumer_offsets", config);
        made.expect("the topic is made");
    }

    fn all_is_durable(&mut self, now: usize) {
        for partition in self
            .ledger
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            for batch in partition
                .batches
                .iter_mut()
                .filter(|batch| batch.acked <= now)
            {
                batch.synced = batch.synced.min(now);
            }
        }
        for set in self
            .ledger
            .commits
            .values_mut()
            .flatten()
            .filter(|set| set.acked <= now)
        {
            set.synced = set.synced.min(now);
        }
        for set in self
            .ledger
            .generations
            .values_mut()
            .flatten()
            .filter(|set| set.acked <= now)
        {
            set.synced = set.synced.min(now);
        }
    }

    pub(crate) fn close(&mut self) {
        self.learn_boundaries();
        let broker = self.broker.take().expect("the broker is open");
        broker.close().expect("the broker closes");
        self.all_is_durable(self.disk.operation_count());
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.open();
    }

    /// The process dies; another one starts on what it wrote.
    pub(crate) fn kill(&mut self) {
        self.deliveries.clear();
        let now = self.disk.operation_count();
        let state = self
            .disk
            .crash_states(now, CrashPlan::new(0))
            .next()
            .expect("a state");
        assert_eq!(state.kind, CrashKind::ProcessCrash);
        self.learn_boundaries();
        self.disk = state.disk;
        self.broker = None;
        self.open();
    }

    /// The process had died when it had just made the data directory, before anything was promised.
    pub(crate) fn begin_again_after_making_the_directory(&mut self) {
        let makes = |number: &usize| {
            let what = self.disk.describe_operation(*number);
            what.is_some_and(|what| what.starts_with("make directory"))
        };
        let made = (0..self.disk.operation_count()).find(makes);
        let at = made.expect("the directory is made") + 1;
        let mut states = self.disk.crash_states(at, CrashPlan::new(0));
        self.disk = states.next().expect("a state").disk;
        self.ledger = Ledger::default();
        self.broker = None;
        self.open();
    }

    /// The power fails; one of the possible outcomes (which one: `choice`) is what the next process
    /// finds. The past is forgotten: what was found is what there is.
    pub(crate) fn power_cut(&mut self, choice: usize) {
        self.deliveries.clear();
        let now = self.disk.operation_count();
        let plan = CrashPlan::new(choice as u64);
        let mut states: Vec<_> = self
            .disk
            .crash_states(now, plan)
            .filter(|state| state.kind == CrashKind::PowerLoss)
            .collect();
        self.disk = states.swap_remove(choice % states.len()).disk;
        self.broker = None;
        let builder = Broker::builder(DIR)
            .storage(self.disk.clone())
            .clock(self.clock.clone());
        let broker = builder
            .background(false)
            .offsets_topic_partitions(3)
            .seed(8)
            .durability(self.durability)
            .open()
            .expect("open");
        let found = look(&broker, &self.ledger).expect("what is left can be read");
        self.ledger = ledger_from(&found, &self.ledger);
        self.broker = Some(broker);
    }

    /// Looks up where batches begin, which a producer decides by itself.
    pub(crate) fn learn_boundaries(&mut self) {
        let Some(broker) = &self.broker else { return };
        for topic in self
            .ledger
            .topics
            .iter_mut()
            .filter(|topic| topic.deletion_began == NEVER)
        {
            let handle = broker.topic(&topic.name).expect("the topic is there");
            for (partition, handle) in topic.partitions.iter_mut().zip(handle.partitions()) {
                partition.boundaries.insert(handle.high_watermark());
                let mut reader = handle.reader(Position::Earliest).expect("a reader");
                // A partition that stopped after a failed sync is readable as far as it is durable.
                while let Ok(Some(batch)) = reader.next_batch() {
                    partition
                        .boundaries
                        .extend(batch.iter().next().map(|record| record.offset()));
                }
            }
        }
    }

    /// Lets time pass, and does nothing.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    /// The partition refuses appends, since nobody knows what is on disk.
    pub(crate) fn expect_stopped(&self, topic: &str, partition: u32) {
        let refused = self
            .partition(topic, partition)
            .append(&[Record::value_only("refused")]);
        assert!(
            matches!(refused, Err(Error::StorageFailed { .. })),
            "{refused:?}"
        );
    }

    /// A topic that was made again has nothing of the one before.
    pub(crate) fn expect_no_commit(&mut self, group: &str, topic: &str, partition: u32) {
        let consumer = self
            .broker()
            .consumer()
            .group(group)
            .build()
            .expect("a consumer");
        let committed = consumer
            .committed(&TopicPartition::new(topic, partition))
            .expect("a look-up");
        assert_eq!(committed, None, "inherited from a topic that was deleted");
        let id = self.broker().topic(topic).expect("the topic is there").id();
        self.ledger
            .commits
            .insert((group.to_owned(), id, partition), Vec::new());
    }
}

fn as_record<'a>(record: &'a Expected, topic: &'a str, partition: u32) -> Record<'a> {
    let mut built = Record::to(topic)
        .partition(partition)
        .timestamp(record.timestamp);
    if let Some(key) = &record.key {
        built = built.key(key);
    }
    if let Some(value) = &record.value {
        built = built.value(value);
    }
    for (key, value) in &record.headers {
        built = match value {
            Some(value) => built.header(key, value),
            None => built.null_header(key),
        };
    }
    built
}
