//! Directories without a manifest: their partitions say what topics there are. Kafka wrote them, or we did and
//! the manifest was lost. Nobody knows how those topics were configured, so nothing of them goes by itself.

use std::collections::BTreeMap;
use std::path::Path;

use super::checkpoints::Checkpoint;
use super::open::id_bytes;
use super::report::RecoveryReport;
use crate::config::{MAX_PARTITIONS, is_internal};
use crate::disk::{DirEntry, Disk, read_file};
use crate::format::manifest::{Manifest, ManifestTopic};
use crate::format::metadata::PartitionMetadata;
use crate::format::topic_id::TopicId;
use crate::log::durable_ends::DurableEnds;
use crate::log::names::{METADATA_FILE, parse_partition_dir, partition_dir};

/// Makes a manifest from the partition directories that are there.
pub(super) fn adopt(
    disk: &dyn Disk,
    root: &Path,
    entries: &[DirEntry],
    seed: u64,
    report: &mut RecoveryReport,
) -> Manifest {
    let mut found: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        if let Some((topic, partition)) = parse_partition_dir(&entry.name)
            && crate::config::validate_topic_name(topic).is_ok()
            // All partitions up to the highest are made.
            && partition < MAX_PARTITIONS
        {
            found.entry(topic).or_default().push(partition);
        }
    }
    let mut manifest = Manifest::default();
    for (number, (name, partitions)) in found.into_iter().enumerate() {
        let stored = partitions
            .iter()
            .find_map(|partition| topic_id(disk, &partition_dir(root, name, *partition)));
        let fresh = || TopicId::from_random(id_bytes(seed, 16 + number as u64));
        report.adopted_topics.push(name.to_owned());
        manifest.topics.push(ManifestTopic {
            name: name.to_owned(),
            id: stored.unwrap_or_else(fresh),
            partitions: partitions
                .iter()
                .max()
                .map_or(1, |last| last.saturating_add(1)),
            adopted: true,
            config: adopted_config(name),
            log_starts: Vec::new(),
        });
    }
    manifest
}

/// Nobody knows how a topic was configured that was found: nothing of it goes by itself. Kafka's internal
/// topics are compacted.
fn adopted_config(name: &str) -> Vec<(String, String)> {
    let policy = is_internal(name).then_some(("cleanup.policy", "compact"));
    let kept = ("retention.ms", "-1");
    let config = policy.into_iter().chain([kept]);
    config
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Tells our own topics, whose manifest was lost, from Kafka's: `durable-ends` knows them. Their
/// offsets have no gaps, and where they start is what the checkpoint says.
pub(super) fn recognise(manifest: &mut Manifest, ends: &DurableEnds, log_starts: &Checkpoint) {
    for topic in &mut manifest.topics {
        topic.adopted = !(0..topic.partitions).any(|number| ends.find(topic.id, number).is_some());
        topic.log_starts = (0..topic.partitions)
            .map(|number| (number, log_starts.get(&topic.name, number)))
            .filter(|(_, start)| *start > 0)
            .collect();
    }
}

/// The topic id that a partition's directory carries.
fn topic_id(disk: &dyn Disk, dir: &Path) -> Option<TopicId> {
    let bytes = read_file(disk, &dir.join(METADATA_FILE), 4096).ok()??;
    PartitionMetadata::decode(&bytes)
        .ok()
        .map(|metadata| metadata.topic_id)
}
