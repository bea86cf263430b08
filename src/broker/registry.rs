//! Which topics there are: the manifest on disk, and the handles in memory.
//!
//! Replacing `topics.manifest` is the one commit point of creating, altering and deleting topics: a
//! crash leaves the old or the new state. Files of partitions are made after it and removed after it.
//!
//! Elsewhere: how the file is replaced ([`manifest_file`](super::manifest_file)).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::manifest_file::{Effect, ManifestFile};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, ManifestTopic};
use crate::format::topic_id::TopicId;
use crate::group::offsets::CONSUMER_OFFSETS;
use crate::partition::PartitionState;
use crate::record::Offset;
use crate::topic::TopicState;

/// Producer ids start here, where no Kafka controller gets to: a cluster that takes over a directory
/// hands out ids from 0, and would take the first batches of a producer with an id of ours for repeats.
pub(super) const FIRST_PRODUCER_ID: i64 = 1 << 62;

/// Producer ids are reserved on disk in blocks of this many, Kafka's block size.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// All topics by name.
pub(super) type Topics = BTreeMap<Arc<str>, Arc<TopicState>>;

/// See the module's description.
#[derive(Debug)]
pub(super) struct Registry {
    file: ManifestFile,
    /// What is on disk. Changed by one thread at a time; held across the write.
    manifest: Mutex<Reserved>,
    topics: ArcSwap<Topics>,
    /// Rises after every change of `topics`.
    version: AtomicU64,
    /// Makes topic ids differ from other brokers'.
    seed: u64,
}

impl Registry {
    /// Makes all records durable, before committed offsets that may lie behind them.
    pub(super) fn sync_records(&self) -> Result<()> {
        let topics = self.topics();
        let records = topics
            .iter()
            .filter(|(name, _)| &***name != CONSUMER_OFFSETS);
        for (_, topic) in records {
            for partition in topic.partitions.load().iter() {
                partition.wait_durable(partition.log().end_offset())?;
            }
        }
        Ok(())
    }

    /// Moves a partition's log start forward, durably, before any reader is refused what is below.
    pub(super) fn raise_start(&self, partition: &PartitionState, offset: Offset) -> Result<()> {
        if offset <= partition.log_start_offset() {
            return Ok(());
        }
        // After a power loss the log must not end before its start, and so offer offsets again that were
        // deleted.
        partition.wait_durable(offset)?;
        if !self.store_starts(&[(partition, offset)])?.contains(&true) {
            return Err(Error::UnknownTopic {
                topic: partition.id().topic().to_owned(),
            });
        }
        partition.log().raise_start(offset);
        // The records are gone, whether or not their files are: those go with the next.
        let _ = partition.log().remove_below_start();
        Ok(())
    }
}

#[derive(Debug)]
struct Reserved {
    manifest: Manifest,
    /// The next id of the block that is reserved.
    next_id: i64,
}

impl Registry {
    /// `topics` are those that the manifest has, open.
    pub(super) fn new(
        root: &Path,
        disk: Arc<dyn Disk>,
        manifest: Manifest,
        seed: u64,
        topics: Topics,
    ) -> Arc<Self> {
        let next_id = manifest.next_producer_id;
        Arc::new(Self {
            file: ManifestFile::new(root, disk),
            manifest: Mutex::new(Reserved { manifest, next_id }),
            topics: ArcSwap::from_pointee(topics),
            version: AtomicU64::new(1),
            seed,
        })
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn topics(&self) -> Arc<Topics> {
        self.topics.load_full()
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<TopicState>> {
        let topics = self.topics.load();
        topics
            .get(name)
            .cloned()
            .ok_or_else(|| Error::UnknownTopic {
                topic: name.to_owned(),
            })
    }

    /// Changes the manifest, durably, and then the topics in memory. `change` edits the manifest;
    /// `apply` is told the new one and edits the map, and if it fails the manifest goes back.
    pub(super) fn update<T>(
        &self,
        effect: Effect,
        change: impl FnOnce(&mut Manifest, TopicId) -> Result<()>,
        apply: impl FnOnce(&Manifest, &mut Topics) -> Result<T>,
    ) -> Result<T> {
        let mut reserved = self.manifest.lock();
        let mut manifest = reserved.manifest.clone();
        let topic_id = self.topic_id(&reserved);
        change(&mut manifest, topic_id)?;
        manifest.next_producer_id = manifest.next_producer_id.max(reserved.next_id + 1);
        self.file.store(&manifest, effect)?;
        let mut topics = Topics::clone(&self.topics.load());
        match apply(&manifest, &mut topics) {
            Ok(result) => {
                *reserved = Reserved {
                    next_id: reserved.next_id + 1,
                    manifest,
                };
                self.topics.store(Arc::new(topics));
                self.version.fetch_add(1, Ordering::AcqRel);
                Ok(result)
            }
            Err(error) => {
                // The id was seen on disk, and is not used again.
                reserved.next_id += 1;
                self.file.store(&reserved.manifest, Effect::MakesRoom)?;
                Err(error)
            }
        }
    }

    /// Nothing is left of deleted topics. From here on nothing of their names is removed: it may come from
    /// elsewhere.
    pub(super) fn forget_deleted(&self, gone: &[TopicId]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut reserved = self.manifest.lock();
        let deleted = &mut reserved.manifest.deleted;
        deleted.retain(|topic| !gone.contains(&topic.id));
        self.file.store(&reserved.manifest, Effect::MakesRoom)
    }

    /// Does something while no topic changes: with the manifest as it is on disk, and the topics.
    pub(super) fn while_unchanged<T>(
        &self,
        work: impl FnOnce(&Manifest, &Topics) -> Result<T>,
    ) -> Result<T> {
        let reserved = self.manifest.lock();
        self.file.check_failure()?;
        work(&reserved.manifest, &self.topics.load())
    }

    /// A producer id that nobody had before in this directory.
    pub(super) fn next_producer_id(&self) -> Result<i64> {
        let mut reserved = self.manifest.lock();
        if reserved.next_id >= reserved.manifest.next_producer_id {
            let mut manifest = reserved.manifest.clone();
            manifest.next_producer_id = reserved.next_id + PRODUCER_ID_BLOCK;
            self.file.store(&manifest, Effect::TakesRoom)?;
            reserved.manifest = manifest;
        }
        reserved.next_id += 1;
        Ok(reserved.next_id - 1)
    }

    /// Unique in this directory by the number, and among directories by the seed.
    fn topic_id(&self, reserved: &Reserved) -> TopicId {
        let number = u64::try_from(reserved.next_id).unwrap_or(0);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mix(self.seed ^ mix(number)).to_be_bytes());
        // A permutation: different numbers stay different.
        bytes[8..].copy_from_slice(&mix(number).to_be_bytes());
        TopicId::from_random(bytes)
    }

    /// Moves the log starts of many partitions forward, with one write of the manifest. What fails for one
    /// does not concern the others. Nothing is done for those that are there already, or gone.
    pub(super) fn raise_starts(&self, starts: &[(Arc<PartitionState>, Offset)]) -> Vec<Result<()>> {
        let mut outcomes = Vec::with_capacity(starts.len());
        let mut higher = Vec::new();
        for (index, (partition, start)) in starts.iter().enumerate() {
            let is_higher = *start > partition.log_start_offset();
            // As in `raise_start`.
            let durable = if is_higher {
                partition.wait_durable(*start)
            } else {
                Ok(())
            };
            if is_higher && durable.is_ok() {
                higher.push((index, (&**partition, *start)));
            }
            outcomes.push(durable);
        }
        if higher.is_empty() {
            return outcomes;
        }
        let (indexes, higher): (Vec<_>, Vec<_>) = higher.into_iter().unzip();
        let stored = self.store_starts(&higher);
        for (at, (index, (partition, start))) in indexes.into_iter().zip(higher).enumerate() {
            match &stored {
                Ok(stored) if stored.get(at) == Some(&true) => {
                    partition.log().raise_start(start);
                }
                Ok(_) => {}
                Err(error) => outcomes[index] = Err(error.clone()),
            }
        }
        outcomes
    }

    /// Writes down where logs start from now on; says of which it did. It does not of partitions that are
    /// gone: their name may be another's. A start never goes back: of two calls at once the higher stands.
    fn store_starts(&self, starts: &[(&PartitionState, Offset)]) -> Result<Vec<bool>> {
        let mut stored = Vec::with_capacity(starts.len());
        let change = |manifest: &mut Manifest, _| {
            for (partition, start) in starts {
                let is_present = self.is_present(partition);
                if is_present {
                    let known = &mut find(manifest, partition.id().topic())?.log_starts;
                    raise(known, partition.id().partition(), *start);
                }
                stored.push(is_present);
            }
            Ok(())
        };
        self.update(Effect::MakesRoom, change, |_, _| Ok(()))?;
        Ok(stored)
    }

    /// True if the partition is one of a topic that exists. Topics change only while the manifest is locked.
    fn is_present(&self, partition: &PartitionState) -> bool {
        let topics = self.topics.load();
        let number = usize::try_from(partition.id().partition()).unwrap_or(usize::MAX);
        topics.get(partition.id().topic()).is_some_and(|topic| {
            let present = topic.partitions.load();
            let present = present.get(number);
            present.is_some_and(|present| std::ptr::eq(&raw const **present, partition))
        })
    }

    /// The manifest on disk may be another than the one in use.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.file.check_failure().is_err()
    }
}

fn raise(starts: &mut Vec<(u32, Offset)>, partition: u32, start: Offset) {
    match starts.iter_mut().find(|(known, _)| *known == partition) {
        Some((_, known)) => *known = start.max(*known),
        None => starts.push((partition, start)),
    }
}

/// The manifest's entry of a topic.
pub(super) fn find<'a>(manifest: &'a mut Manifest, name: &str) -> Result<&'a mut ManifestTopic> {
    let found = manifest.topics.iter_mut().find(|topic| topic.name == name);
    found.ok_or_else(|| Error::UnknownTopic {
        topic: name.to_owned(),
    })
}

/// The finaliser of `SplitMix64`: every bit of the input changes every bit of the output.
pub(super) fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
