//! A broker, and the plain model of what it holds.
//!
//! The model learns where records are from their deliveries, and checks that these leave no hole, go
//! in the order of the sends, and reach the partition's end. Everything else it knows beforehand.

use std::collections::BTreeMap;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{
    Broker, Clock, ConsumerRecord, Delivery, Durability, Error, ManualClock, Offset, Partition,
    Position, Producer, RecordMetadata, Topic, TopicPartition,
};

use super::consumers::ConsumerUnderTest;
use super::operation::{Config, Ending, From, Operation, ProducerConfig, Sent, Time};
use super::readers::ReaderUnderTest;

/// What is wrong, if anything is.
pub type Check = Result<(), String>;

/// Fails the case unless this holds.
macro_rules! require {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use require;

pub const GROUP: &str = "group";
const START: i64 = 1_700_000_000_000;

/// A record as it has to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    sent: Sent,
    pub timestamp: i64,
}

impl Kept {
    pub fn is(&self, record: &ConsumerRecord<'_>) -> bool {
        let mut headers = self.sent.headers.iter();
        let same_headers = record.headers().all(|header| {
            headers.next().is_some_and(|(key, value)| {
                (key.as_str(), value.as_deref()) == (header.key(), header.value())
            })
        });
        same_headers
            && headers.next().is_none()
            && self.timestamp == record.timestamp()
            && self.sent.key.as_deref() == record.key()
            && self.sent.value.as_deref() == record.value()
    }
}

/// What a partition holds.
#[derive(Debug, Default)]
pub struct ModelPartition {
    pub start: Offset,
    /// By offset; those below the start too.
    pub records: Vec<Kept>,
}

impl ModelPartition {
    pub fn end(&self) -> Offset {
        self.records.len() as Offset
    }

    pub fn get(&self, offset: Offset) -> Option<&Kept> {
        self.records.get(usize::try_from(offset).ok()?)
    }

    pub fn is_readable(&self, offset: Offset) -> bool {
        (self.start..=self.end()).contains(&offset)
    }

    /// The first offset at or after the start whose record is as late as this.
    pub fn at_or_after(&self, timestamp: i64) -> Option<Offset> {
        (self.start..self.end()).find(|offset| {
            self.get(*offset)
                .is_some_and(|kept| kept.timestamp >= timestamp)
        })
    }

    pub fn offset(&self, per_mille: u64) -> Offset {
        self.end() * per_mille / 1_000 + u64::from(per_mille > 1_050)
    }

    /// The offset that a position means, and how to ask for it.
    pub fn position(&self, from: From, now: i64) -> (Position, Offset) {
        match from {
            From::Earliest => (Position::Earliest, self.start),
            From::Latest => (Position::Latest, self.end()),
            From::Offset(per_mille) => {
                let offset = self.offset(per_mille);
                (Position::Offset(offset), offset)
            }
            From::Timestamp(back) => {
                let timestamp = now - i64::try_from(back).unwrap();
                let offset = self.at_or_after(timestamp).unwrap_or(self.end());
                (Position::Timestamp(timestamp), offset)
            }
        }
    }
}

/// A topic as the model knows it.
#[derive(Debug)]
pub struct ModelTopic {
    /// Another one each time a topic is made.
    pub generation: u64,
    config: Config,
    pub partitions: Vec<ModelPartition>,
}

/// A record that is on its way.
struct Pending {
    topic: String,
    generation: u64,
    sent: Sent,
    timestamp: i64,
    delivery: Delivery,
}

struct ProducerUnderTest {
    producer: Producer,
    synced: bool,
    pending: Vec<Pending>,
    /// A batch could not be appended, since its topic was deleted: a flush may say so.
    failed: bool,
}

/// See the module's description.
pub struct World {
    pub clock: ManualClock,
    disk: SimDisk,
    broker: Option<Broker>,
    pub topics: BTreeMap<String, ModelTopic>,
    pub committed: BTreeMap<TopicPartition, Offset>,
    producers: [Option<ProducerUnderTest>; 2],
    pub readers: Vec<ReaderUnderTest>,
    pub consumer: Option<ConsumerUnderTest>,
    generations: u64,
}

impl World {
    pub fn new() -> Self {
        let (clock, disk) = (ManualClock::new(START), SimDisk::new());
        Self {
            broker: Some(open(&clock, &disk).unwrap()),
            clock,
            disk,
            topics: BTreeMap::new(),
            committed: BTreeMap::new(),
            producers: [None, None],
            readers: Vec::new(),
            consumer: None,
            generations: 0,
        }
    }

    pub fn broker(&self) -> &Broker {
        self.broker
            .as_ref()
            .expect("it is only gone while it is opened again")
    }

    /// Does one thing to the broker and to the model, and compares.
    pub fn perform(&mut self, operation: &Operation) -> Check {
        match operation {
            Operation::CreateTopic { topic, config } => self.create_topic(*topic, *config)?,
            Operation::DeleteTopic { topic } => self.delete_topic(*topic)?,
            Operation::AddPartitions { topic, more } => self.add_partitions(*topic, *more)?,
            Operation::Append {
                topic,
                partition,
                records,
            } => {
                self.append(*topic, *partition, records)?;
            }
            Operation::NewProducer { producer, config } => self.new_producer(*producer, *config)?,
            Operation::Send {
                producer,
                topic,
                partition,
                record,
            } => {
                self.send(*producer, *topic, *partition, record)?;
            }
            Operation::WaitDelivery { producer } => self.wait_delivery(*producer)?,
            Operation::FlushProducer { producer } => self.flush(*producer)?,
            Operation::FlushPartition { topic, partition } => {
                if let Some(id) = self.partition(*topic, *partition) {
                    let handle = self.handle(&id);
                    said(handle.flush())?;
                    require!(
                        handle.durable_end() == self.of(&id).end(),
                        "{id}: {} is durable after a flush",
                        handle.durable_end()
                    );
                }
            }
            Operation::DeleteRecords {
                topic,
                partition,
                per_mille,
            } => {
                self.delete_records(*topic, *partition, *per_mille)?;
            }
            Operation::Advance { millis } => {
                self.clock.advance(Duration::from_millis(*millis));
                said(self.broker().run_housekeeping())?;
            }
            Operation::Reopen(ending) => self.reopen(*ending)?,
            Operation::NewReader {
                topic,
                partition,
                from,
            } => {
                self.new_reader(*topic, *partition, *from)?;
            }
            Operation::SeekReader { reader, from } => self.seek_reader(*reader, *from)?,
            Operation::ReadOn { reader, count } => self.read_on(*reader, *count)?,
            Operation::FindTimestamp {
                topic,
                partition,
                back,
            } => {
                self.find_timestamp(*topic, *partition, *back)?;
            }
            Operation::NewConsumer { max_poll_records } => self.new_consumer(*max_poll_records)?,
            Operation::Poll => self.poll()?,
            Operation::SeekConsumer { partition, from } => self.seek_consumer(*partition, *from)?,
            Operation::Pause { partition } => self.pause(*partition, true)?,
            Operation::Resume { partition } => self.pause(*partition, false)?,
            Operation::Commit => self.commit()?,
            Operation::CommitOffset {
                topic,
                partition,
                per_mille,
            } => {
                self.commit_offset(*topic, *partition, *per_mille)?;
            }
            Operation::CloseConsumer => self.close_consumer()?,
            Operation::ReadEverything => self.read_everything()?,
        }
        self.settle(Vec::new())?;
        self.compare_ends()
    }

    /// The end of every case: what is acknowledged is read, and survives a last kill.
    pub fn finish(mut self) -> Check {
        self.reopen(Ending::Kill)?;
        self.read_everything()?;
        self.reopen(Ending::Close)?;
        self.read_everything()
    }

    // Topics.

    fn create_topic(&mut self, topic: u64, config: Config) -> Check {
        let name = name(topic);
        let created = self.broker().create_topic(&name, config.topic_config());
        if self.topics.contains_key(&name) {
            require!(
                matches!(created, Err(Error::TopicExists { .. })),
                "creating {name} again: {created:?}"
            );
            return Ok(());
        }
        said(created)?;
        self.generations += 1;
        let partitions = (0..config.partitions).map(|_| ModelPartition::default());
        let topic = ModelTopic {
            generation: self.generations,
            config,
            partitions: partitions.collect(),
        };
        self.topics.insert(name, topic);
        self.follow_topics()
    }

    fn delete_topic(&mut self, topic: u64) -> Check {
        let name = name(topic);
        let deleted = self.broker().delete_topic(&name);
        if self.topics.remove(&name).is_none() {
            require!(
                matches!(deleted, Err(Error::UnknownTopic { .. })),
                "deleting {name}, which is not there: {deleted:?}"
            );
            return Ok(());
        }
        said(deleted)?;
        self.committed
            .retain(|partition, _| partition.topic() != name);
        self.follow_topics()
    }

    fn add_partitions(&mut self, topic: u64, more: u32) -> Check {
        let name = name(topic);
        let Some(known) = self.topics.get_mut(&name) else {
            return Ok(());
        };
        let count = u32::try_from(known.partitions.len()).unwrap() + more;
        if count > 5 {
            return Ok(());
        }
        known
            .partitions
            .extend((0..more).map(|_| ModelPartition::default()));
        said(self.broker().add_partitions(&name, count))?;
        self.follow_topics()
    }

    /// The partition that two numbers mean, if the topic is there.
    pub fn partition(&self, topic: u64, partition: u64) -> Option<TopicPartition> {
        let name = name(topic);
        let known = self.topics.get(&name)?;
        let number = partition % known.partitions.len() as u64;
        Some(TopicPartition::new(name, u32::try_from(number).unwrap()))
    }

    /// A partition that is there.
    pub fn of(&self, id: &TopicPartition) -> &ModelPartition {
        self.find(id).expect("asked for one that is there")
    }

    pub fn find(&self, id: &TopicPartition) -> Option<&ModelPartition> {
        let known = self.topics.get(id.topic())?;
        known.partitions.get(usize::try_from(id.partition()).ok()?)
    }

    pub fn generation(&self, id: &TopicPartition) -> Option<u64> {
        self.topics.get(id.topic()).map(|topic| topic.generation)
    }

    pub fn handle(&self, id: &TopicPartition) -> Partition {
        let topic: Topic = self.broker().topic(id.topic()).unwrap();
        topic.partition(id.partition()).unwrap()
    }

    pub fn now(&self) -> i64 {
        self.clock.wall()
    }

    // Writing.

    fn timestamp(&self, time: Time) -> Option<i64> {
        match time {
            Time::Default => None,
            Time::Relative(millis) => Some(self.now() + millis),
            Time::None => Some(-1),
            Time::Invalid => Some(-2),
        }
    }

    fn keep(&self, topic: &str, sent: &Sent) -> Kept {
        let append_time = self.topics[topic].config.append_time;
        let own = self.timestamp(sent.time).filter(|_| !append_time);
        Kept {
            sent: sent.clone(),
            timestamp: own.unwrap_or(self.now()),
        }
    }

    fn append(&mut self, topic: u64, partition: u64, records: &[Sent]) -> Check {
        let Some(id) = self.partition(topic, partition) else {
            return Ok(());
        };
        let sent: Vec<_> = records
            .iter()
            .map(|sent| sent.record(id.topic(), self.timestamp(sent.time)))
            .collect();
        let appended = self.handle(&id).append(&sent);
        let invalid = records.iter().any(|sent| sent.time == Time::Invalid);
        let offset = match appended {
            Ok(offset) if !invalid => offset,
            Err(Error::InvalidTimestamp { .. }) if invalid => return Ok(()),
            Err(Error::RecordTooLarge { size, limit, .. }) if size > limit => return Ok(()),
            other => return Err(format!("append to {id}: {other:?}")),
        };
        let placed = records
            .iter()
            .zip(offset..)
            .map(|(sent, offset)| (id.clone(), offset, self.keep(id.topic(), sent)));
        let placed = placed.collect();
        self.settle(placed)
    }

    fn new_producer(&mut self, producer: u64, config: ProducerConfig) -> Check {
        let durability = if config.synced {
            Durability::Synced
        } else {
            Durability::Written
        };
        let built = self
            .broker()
            .producer()
            .linger(Duration::from_millis(config.linger_millis))
            .batch_size(config.batch_size)
            .compression(config.compression)
            .enable_idempotence(config.idempotence)
            .durability(durability)
            .build();
        let new = ProducerUnderTest {
            producer: said(built)?,
            synced: config.synced,
            pending: Vec::new(),
            failed: false,
        };
        // The former one flushes as it goes.
        let former = self.producers[slot(producer)].replace(new);
        if let Some(former) = former {
            drop(former.producer);
            let mut placed = Vec::new();
            for pending in former.pending {
                placed.extend(self.settled(pending)?);
            }
            self.settle(placed)?;
        }
        Ok(())
    }

    fn send(&mut self, index: u64, topic: u64, partition: Option<u64>, sent: &Sent) -> Check {
        let name = name(topic);
        let Some(mut sender) = self.producers[slot(index)].take() else {
            return Ok(());
        };
        let mut record = sent.record(&name, self.timestamp(sent.time));
        if let Some(id) = partition.and_then(|partition| self.partition(topic, partition)) {
            record = record.partition(id.partition());
        }
        let delivery = sender.producer.send(record);
        let outcome = match (delivery, self.topics.get(&name)) {
            (Err(Error::UnknownTopic { .. }), None) => Ok(()),
            (Err(Error::InvalidTimestamp { .. }), _) if sent.time == Time::Invalid => Ok(()),
            (Err(Error::RecordTooLarge { size, limit, .. }), Some(_)) if size > limit => Ok(()),
            (Ok(delivery), Some(known)) if sent.time != Time::Invalid => {
                sender.pending.push(Pending {
                    generation: known.generation,
                    sent: sent.clone(),
                    timestamp: self.keep(&name, sent).timestamp,
                    topic: name.clone(),
                    delivery,
                });
                Ok(())
            }
            (other, known) => Err(format!("send to {name} ({known:?}): {other:?}")),
        };
        let wait = sender.synced
            || self
                .topics
                .get(&name)
                .is_some_and(|known| known.config.synced);
        self.producers[slot(index)] = Some(sender);
        outcome?;
        if wait {
            self.wait_delivery(index)
        } else {
            Ok(())
        }
    }

    fn wait_delivery(&mut self, index: u64) -> Check {
        let Some(sender) = &mut self.producers[slot(index)] else {
            return Ok(());
        };
        let Some(last) = sender.pending.pop() else {
            return Ok(());
        };
        let settled = self.settled(last)?;
        if let Some(sender) = &mut self.producers[slot(index)] {
            sender.failed |= settled.is_none();
        }
        self.settle(settled.into_iter().collect())
    }

    fn flush(&mut self, index: u64) -> Check {
        let Some(sender) = &mut self.producers[slot(index)] else {
            return Ok(());
        };
        let flushed = sender.producer.flush();
        require!(
            flushed.is_ok()
                || sender.failed
                || sender.pending.iter().any(|pending| {
                    self.topics
                        .get(&pending.topic)
                        .map(|topic| topic.generation)
                        != Some(pending.generation)
                }),
            "flush: {flushed:?}"
        );
        sender.failed = false;
        require!(
            sender
                .pending
                .iter()
                .all(|pending| pending.delivery.is_done()),
            "a flush leaves a delivery open"
        );
        Ok(())
    }

    /// Waits for a delivery; says where its record is, unless its topic was deleted.
    fn settled(&self, pending: Pending) -> Result<Option<(TopicPartition, Offset, Kept)>, String> {
        let current = self.topics.get(&pending.topic);
        let gone = current.is_none_or(|topic| topic.generation != pending.generation);
        let metadata: RecordMetadata = match pending.delivery.wait() {
            Ok(metadata) if !gone => metadata,
            // It was appended before, or it cannot be any more.
            Ok(_) | Err(Error::Closed(_) | Error::UnknownTopic { .. }) if gone => return Ok(None),
            other => return Err(format!("a delivery of {}: {other:?}", pending.topic)),
        };
        let append_time = current.is_some_and(|topic| topic.config.append_time);
        let timestamp = if append_time {
            self.now()
        } else {
            pending.timestamp
        };
        require!(
            metadata.timestamp() == timestamp,
            "{metadata:?} has another timestamp than {timestamp}"
        );
        let id = TopicPartition::new(pending.topic, metadata.partition());
        let kept = Kept {
            sent: pending.sent,
            timestamp,
        };
        Ok(Some((id, metadata.offset(), kept)))
    }

    /// Takes the deliveries that are done into the model, with what else was `placed` meanwhile.
    fn settle(&mut self, mut placed: Vec<(TopicPartition, Offset, Kept)>) -> Check {
        for index in 0..self.producers.len() {
            let Some(mut sender) = self.producers[index].take() else {
                continue;
            };
            let mut highest = BTreeMap::new();
            let (done, open): (Vec<_>, Vec<_>) = sender
                .pending
                .into_iter()
                .partition(|pending| pending.delivery.is_done());
            for pending in done {
                match self.settled(pending)? {
                    None => sender.failed = true,
                    Some((id, offset, kept)) => {
                        let former = highest.insert(id.clone(), offset);
                        require!(
                            former < Some(offset),
                            "{id}: {offset} was sent after {former:?}"
                        );
                        placed.push((id, offset, kept));
                    }
                }
            }
            sender.pending = open;
            self.producers[index] = Some(sender);
        }
        placed.sort_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
        for (id, offset, kept) in placed {
            let partition = usize::try_from(id.partition()).unwrap();
            let known = self
                .topics
                .get_mut(id.topic())
                .expect("it was there to be appended to");
            let partition = &mut known.partitions[partition];
            require!(
                offset == partition.end(),
                "{id}: a record got {offset}, the end was {}",
                partition.end()
            );
            partition.records.push(kept);
        }
        Ok(())
    }

    fn compare_ends(&self) -> Check {
        for (name, known) in &self.topics {
            let topic = said(self.broker().topic(name))?;
            require!(
                topic.partitions().len() == known.partitions.len(),
                "{name} has {} partitions",
                topic.partition_count()
            );
            for (handle, partition) in topic.partitions().iter().zip(&known.partitions) {
                let (start, end) = (handle.log_start_offset(), handle.high_watermark());
                require!(
                    (start, end) == (partition.start, partition.end()),
                    "{} is {start}..{end}, should be {}..{}",
                    handle.id(),
                    partition.start,
                    partition.end()
                );
            }
        }
        Ok(())
    }

    fn delete_records(&mut self, topic: u64, partition: u64, per_mille: u64) -> Check {
        let Some(id) = self.partition(topic, partition) else {
            return Ok(());
        };
        let handle = self.handle(&id);
        let known = self.topics.get_mut(id.topic()).expect("it is there");
        let known = &mut known.partitions[usize::try_from(id.partition()).unwrap()];
        let offset = known.offset(per_mille);
        match handle.delete_records(offset) {
            Ok(()) if offset <= known.end() => known.start = known.start.max(offset),
            Err(Error::OffsetOutOfRange { .. }) if offset > known.end() => {}
            other => return Err(format!("delete_records({offset}) of {id}: {other:?}")),
        }
        Ok(())
    }

    // Ends and beginnings.

    fn reopen(&mut self, ending: Ending) -> Check {
        self.settle(Vec::new())?;
        let after_kill = self.disk.duplicate();
        self.readers.clear();
        self.consumer = None;
        let broker = self.broker.take().expect("it is open");
        let mut pending = Vec::new();
        match ending {
            Ending::Close => {
                said(broker.close())?;
                for sender in self.producers.iter_mut().filter_map(Option::take) {
                    pending.extend(sender.pending);
                }
            }
            Ending::Drop => {
                drop(broker);
                for sender in self.producers.iter_mut().filter_map(Option::take) {
                    drop(sender.producer);
                    pending.extend(sender.pending);
                }
            }
            Ending::Kill => {
                // What was not appended by then is lost, as it should be.
                self.producers = [None, None];
                drop(broker);
                self.disk = after_kill;
            }
        }
        let mut placed = Vec::new();
        for pending in pending {
            placed.extend(self.settled(pending)?);
        }
        self.settle(placed)?;
        self.open_again(ending)
    }

    fn open_again(&mut self, ending: Ending) -> Check {
        let broker = open(&self.clock, &self.disk).map_err(|error| format!("open: {error}"))?;
        let report = broker.recovery_report().clone();
        let mut beyond = 0;
        if ending == Ending::Kill {
            // Commits beyond the end come back to it.
            let topics = &self.topics;
            for (id, offset) in &mut self.committed {
                let index = usize::try_from(id.partition()).unwrap();
                let end = topics[id.topic()].partitions[index].end();
                if *offset > end {
                    *offset = end;
                    beyond += 1;
                }
            }
        }
        require!(
            report.clamped_offsets.len() == beyond
                && report.partitions.is_empty()
                && report.adopted_topics.is_empty()
                && report.damaged_offsets.is_empty()
                && (report.clean_shutdown || ending == Ending::Kill),
            "after {ending:?}: {report:?}"
        );
        let names: Vec<_> = broker
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect();
        require!(
            names.iter().eq(self.topics.keys()),
            "the topics are {names:?}"
        );
        self.broker = Some(broker);
        self.compare_ends()
    }
}

fn open(clock: &ManualClock, disk: &SimDisk) -> streamlog::Result<Broker> {
    Broker::builder("data")
        .clock(clock.clone())
        .storage(disk.clone())
        .background(false)
        .offsets_topic_partitions(3)
        .seed(7)
        .open()
}

pub fn name(topic: u64) -> String {
    format!("topic-{}", topic % 3)
}

fn slot(producer: u64) -> usize {
    usize::from(producer % 2 == 1)
}

/// What a call that must succeed said.
pub fn said<T>(outcome: streamlog::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}
