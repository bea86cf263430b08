//! Which logs are compacted, and in which order: the dirtiest first.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::{Cleaner, Failures, note};
use crate::error::Result;
use crate::log::compaction::{CompactionRequest, Pace};
use crate::partition::PartitionState;
use crate::record::Timestamp;

/// How compaction may go about it; Kafka's `log.cleaner.*`.
#[derive(Debug)]
pub(in crate::broker) struct CompactionLimits {
    /// Memory for the offsets of keys, in bytes.
    memory: usize,
    bytes_per_second: Option<u64>,
    hash_key: (u64, u64),
}

impl CompactionLimits {
    pub(in crate::broker) fn new(memory: usize, bytes_per_second: Option<u64>) -> Self {
        let random = RandomState::new();
        Self {
            memory,
            bytes_per_second,
            hash_key: (random.hash_one(0), random.hash_one(1)),
        }
    }
}

impl Cleaner {
    /// Compacts every log that is dirty enough.
    pub(super) fn compact(&self, now: Timestamp, failures: &mut Failures) {
        self.settle(failures);
        let pace = Pace::new(self.compaction.bytes_per_second);
        for partition in self.due_for_compaction(now, failures) {
            if self.bell.is_stopped() {
                return;
            }
            if let Err(error) = self.compact_one(&partition, now, &pace)
                && !self.bell.is_stopped()
            {
                note(failures, &partition, error);
            }
        }
    }

    /// Finishes what earlier passes could not.
    fn settle(&self, failures: &mut Failures) {
        for topic in self.registry.topics().values() {
            for partition in topic.partitions.load().iter() {
                if let Err(error) = partition.log().finish_swaps() {
                    note(failures, partition, error);
                }
            }
        }
    }

    fn due_for_compaction(
        &self,
        now: Timestamp,
        failures: &mut Failures,
    ) -> Vec<Arc<PartitionState>> {
        let mut due = Vec::new();
        for topic in self.registry.topics().values() {
            let config = topic.config.load_full();
            if !config.cleanup_policy.has_compact() {
                continue;
            }
            for partition in topic.partitions.load().iter() {
                let log = partition.log();
                if let Some(error) = log.compaction_failure() {
                    note(failures, partition, error);
                    continue;
                }
                if log.is_active_overdue(&config, now)
                    && let Err(error) = partition.begin_segment()
                {
                    note(failures, partition, error);
                }
                let dirtiness = log.dirtiness(&config, now);
                if dirtiness.is_due {
                    due.push((dirtiness.ratio, Arc::clone(partition)));
                }
            }
        }
        due.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        due.into_iter().map(|(_, partition)| partition).collect()
    }

    fn compact_one(&self, partition: &PartitionState, now: Timestamp, pace: &Pace) -> Result<()> {
        let log = partition.log();
        // What is appended meanwhile is for the next time: appends may be as fast as passes are.
        let end = log.end_offset();
        // A pass ends where the memory does; each goes further than the one before, by the configuration that is
        // in force by then.
        while log.first_dirty_offset() < end {
            let config = partition.config();
            let request = CompactionRequest {
                config: &config,
                now,
                memory: self.compaction.memory,
                hash_key: self.compaction.hash_key,
                bell: &self.bell,
                pace,
            };
            let goes_on = config.cleanup_policy.has_compact();
            if !goes_on || log.compact(&request)?.is_none() {
                break;
            }
        }
        Ok(())
    }
}
