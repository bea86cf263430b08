//! One run of a workload on a recording disk: does things to a broker and keeps the ledger.

mod cleaning;
mod groups;
mod records;
mod restarts;
mod topics;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Delivery, Durability, ManualClock, Offset, Position, Result};

use self::cleaning::Cleaned;
use super::ledger::{Ledger, NEVER};
use super::look::DIR;
use super::workloads::Workload;

/// Where the clock of a workload starts.
const START: i64 = 1_700_000_000_000;

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
            ledger: Ledger {
                cleans: workload.cleans,
                ..Ledger::default()
            },
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

    fn partition(&self, topic: &str, partition: u32) -> streamlog::Partition {
        let topic = self.broker().topic(topic).expect("the topic is there");
        topic.partition(partition).expect("the partition is there")
    }

    /// Lets time pass, and does what falls due.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.clock.advance(time);
        let (began, result, done) = self.timed(|run| run.broker().run_housekeeping());
        let succeeded = self.succeeds(result, "housekeeping works");
        self.learn_cleaned(Cleaned {
            began,
            done,
            succeeded,
        });
        if succeeded && time >= Duration::from_secs(1) {
            // `flush.ms` is over for everything, committed offsets included.
            self.all_is_durable(done);
        }
    }

    /// A call fails only on a disk that does.
    fn succeeds<T>(&self, result: Result<T>, what: &str) -> bool {
        match result {
            Ok(_) => true,
            Err(error) => {
                assert!(self.disk.faults_struck() > 0, "{what}: {error}");
                false
            }
        }
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&mut self, topic: &str, partition: u32) -> Offset {
        self.ledger.partition(topic, partition).end()
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
}
