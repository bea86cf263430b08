//! Producers on a whole broker, whose disk and clock the tests own. Nothing happens by itself:
//! housekeeping runs when a test says so.

mod batching;
mod delivery;
mod failures;
mod routing;

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::clock::{Clock, ManualClock};
use crate::config::TopicConfig;
use crate::error::Result;
use crate::format::batch::BatchHeader;
use crate::partition::{Cursor, PartitionState};
use crate::producer::{Producer, ProducerBuilder};
use crate::record::{Position, Record};
use crate::sim::SimDisk;

/// A broker with one topic, `t`.
struct Fixture {
    disk: SimDisk,
    clock: ManualClock,
    broker: Broker,
}

const LINGER: Duration = Duration::from_millis(5);
const START: i64 = 1_700_000_000_000;

impl Fixture {
    fn new(partitions: u32) -> Self {
        Self::with(TopicConfig::default().partitions(partitions))
    }

    fn with(config: TopicConfig) -> Self {
        let (disk, clock) = (SimDisk::new(), ManualClock::new(START));
        let builder = Broker::builder("data")
            .storage(disk.clone())
            .clock(clock.clone());
        let broker = builder.background(false).seed(1).open().unwrap();
        broker.create_topic("t", config).unwrap();
        Self {
            disk,
            clock,
            broker,
        }
    }

    fn producer(&self) -> Producer {
        self.build(|builder| builder)
    }

    fn build(&self, configure: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
        configure(self.broker.producer()).build().unwrap()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.broker.run_housekeeping().unwrap();
    }

    fn end(&self, partition: u32) -> u64 {
        self.broker
            .topic("t")
            .unwrap()
            .partition(partition)
            .unwrap()
            .high_watermark()
    }

    fn values(&self, partition: u32) -> Vec<String> {
        let partition = self
            .broker
            .topic("t")
            .unwrap()
            .partition(partition)
            .unwrap();
        let mut reader = partition.reader(Position::Earliest).unwrap();
        let mut values = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
        }
        values
    }
}

fn state(producer: &Producer, partition: usize) -> Arc<PartitionState> {
    let topic = producer.core.shared.broker.topic("t").unwrap();
    let partitions = topic.partitions.load();
    Arc::clone(&partitions[partition])
}

/// The batches of a partition as they lie in the log.
fn batches(producer: &Producer, partition: usize) -> Vec<BatchHeader> {
    let (state, mut cursor) = (state(producer, partition), Cursor::at(0));
    std::iter::from_fn(|| state.fetch(&mut cursor).unwrap().map(|batch| batch.header)).collect()
}

fn counts(batches: &[BatchHeader]) -> Vec<u32> {
    batches.iter().map(|batch| batch.records_count).collect()
}

fn send(producer: &Producer, value: &str) -> Result<crate::producer::Delivery> {
    producer.send(Record::to("t").partition(0).value(value))
}
