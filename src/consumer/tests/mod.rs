//! What consumers promise, on brokers in memory.

mod committing;
mod damage;
mod groups;
mod moving_start;
mod polling;
mod starting;
mod views;
mod waiting;

use std::time::Duration;

use crate::consumer::{Consumer, ConsumerBuilder, Records};
use crate::{Broker, Offset, Partition, Position, Record, TopicConfig, TopicPartition};

/// Long enough for anything that is going to happen.
const LONG: Duration = Duration::from_secs(60);

fn broker_with(topic: &str, partitions: u32) -> Broker {
    let broker = Broker::in_memory();
    broker
        .create_topic(topic, TopicConfig::default().partitions(partitions))
        .unwrap();
    broker
}

fn partition(broker: &Broker, topic: &str, number: u32) -> Partition {
    broker.topic(topic).unwrap().partition(number).unwrap()
}

/// Appends one batch with a record for each number.
fn append(broker: &Broker, topic: &str, number: u32, values: impl IntoIterator<Item = u64>) {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    let records: Vec<_> = values.iter().map(Record::value_only).collect();
    partition(broker, topic, number).append(&records).unwrap();
}

fn earliest(broker: &Broker) -> ConsumerBuilder {
    broker.consumer().auto_offset_reset(Position::Earliest)
}

fn subscribed(builder: ConsumerBuilder, topic: &str) -> Consumer {
    let mut consumer = builder.build().unwrap();
    consumer.subscribe([topic]).unwrap();
    consumer
}

fn id(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(topic, number)
}

/// Polls once, without waiting.
fn look(consumer: &mut Consumer) -> Records {
    consumer.poll(Duration::ZERO).unwrap()
}

fn value_of(value: Option<&[u8]>) -> u64 {
    std::str::from_utf8(value.unwrap())
        .unwrap()
        .parse()
        .unwrap()
}

fn values(records: &Records) -> Vec<u64> {
    records
        .iter()
        .map(|record| value_of(record.value()))
        .collect()
}

fn offsets(records: &Records) -> Vec<Offset> {
    records.iter().map(|record| record.offset()).collect()
}
