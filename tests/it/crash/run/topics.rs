//! Topics that come, change and go.

use streamlog::TopicConfig;

use super::Run;
use crate::crash::ledger::{NEVER, PartitionLedger, Set, TopicLedger};

impl Run {
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

    pub(super) fn note_config(&mut self, name: &str, began: usize, done: usize) {
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
}
