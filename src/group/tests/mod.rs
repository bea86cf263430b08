//! Groups as they are stored: against restarts, crashes, damage, and records that Kafka wrote.

mod crashes;
mod deleting;
mod expiring;
mod handle;
mod replay;
mod resetting;
mod states;
mod storage;

use std::sync::Arc;

use super::offsets::{CONSUMER_OFFSETS, DataSync, OffsetAndMetadata};
use crate::broker::BrokerState;
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, ProducerStamp};
use crate::format::offsets_record::{OffsetKey, OffsetValue, partition_for};
use crate::partition::PartitionState;
use crate::record::Headers;
use crate::sim::SimDisk;
use crate::{Broker, Durability, Record, TopicConfig, TopicPartition};

fn open(disk: &SimDisk) -> Broker {
    Broker::builder("data")
        .storage(disk.clone())
        .background(false)
        .open()
        .unwrap()
}

/// A broker with a topic `t` of two partitions, five records in the first.
fn broker_on(disk: &SimDisk) -> Broker {
    let broker = open(disk);
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    broker
        .topic("t")
        .unwrap()
        .partition(0)
        .unwrap()
        .append(&[(); 5].map(|()| Record::value_only("v")))
        .unwrap();
    broker
}

fn state(broker: &Broker) -> Arc<BrokerState> {
    broker.consumer().build().unwrap().broker().clone()
}

fn id(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn commit(broker: &BrokerState, group: &str, number: u32, committed: OffsetAndMetadata) {
    broker
        .offsets()
        .commit(
            broker,
            group,
            &[(id(number), committed)],
            DataSync::First,
            |write| write(),
        )
        .unwrap()
        .wait()
        .unwrap();
}

fn fetch(broker: &BrokerState, group: &str, number: u32) -> Option<u64> {
    let committed = broker.offsets().fetch(broker, group, &id(number)).unwrap();
    committed.map(|committed| committed.offset)
}

/// The groups of which something is stored.
fn names(broker: &BrokerState) -> Vec<String> {
    let stored = broker.offsets().groups(broker).unwrap().into_iter();
    stored.map(|stored| stored.name).collect()
}

/// The log that a group lives in.
fn home(broker: &BrokerState, group: &str) -> Arc<PartitionState> {
    let topic = broker
        .internal_topic(CONSUMER_OFFSETS, &TopicConfig::default().partitions(50))
        .unwrap();
    let number = usize::try_from(partition_for(group, 50)).unwrap();
    topic.partitions.load()[number].clone()
}

fn key(group: &str, topic: &str) -> Vec<u8> {
    OffsetKey {
        group: group.to_owned(),
        topic: topic.to_owned(),
        partition: 0,
    }
    .encode()
    .unwrap()
}

fn value(offset: u64) -> Vec<u8> {
    let metadata = String::new();
    OffsetValue {
        offset,
        leader_epoch: -1,
        metadata,
        commit_timestamp: 0,
    }
    .encode()
    .unwrap()
}

/// Appends records as Kafka would have.
fn write(log: &Arc<PartitionState>, records: &[(Vec<u8>, Option<Vec<u8>>)]) {
    let mut batch = BatchBuilder::new(1024, Compression::None);
    for (key, value) in records {
        batch.push(0, Some(key), value.as_deref(), &Headers::default());
    }
    log.append(
        batch.finish(ProducerStamp::NONE, false).unwrap(),
        Durability::Written,
    )
    .unwrap();
}

/// Damages the last byte of the log that a group lives in. The broker must be closed.
fn damage_home(disk: &SimDisk, group: &str) {
    let number = partition_for(group, 50);
    let path = format!("data/{CONSUMER_OFFSETS}-{number}/00000000000000000000.log");
    let mut bytes = disk.read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    disk.write(&path, bytes).unwrap();
}
