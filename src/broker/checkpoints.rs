//! Kafka's checkpoint files and the clean marker, in the data directory.
//!
//! They are written for Kafka's sake and as a second source: our own bounds are in `durable-ends`
//! and the manifest. What cannot be read counts as not there.
//!
//! Elsewhere: copies of the whole directory ([`checkpoint`](super::checkpoint)).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::BrokerState;
use crate::disk::{Disk, read_file, remove_if_present, replace_file, sync_parent};
use crate::error::{Error, Result};
use crate::format::checkpoint::OffsetCheckpoint;
use crate::format::metadata::{MetaProperties, encode_clean_shutdown};
use crate::partition::PartitionState;
use crate::record::Offset;

/// Everything below these offsets is on the device.
pub(super) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Records below these offsets were deleted.
pub(super) const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub(super) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Up to where compacted logs are clean. For Kafka alone: our seals say so.
pub(super) const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
/// There only after an orderly close.
pub(super) const CLEAN_MARKER: &str = ".kafka_cleanshutdown";
/// Which cluster and node the directory belongs to.
pub(super) const META_PROPERTIES: &str = "meta.properties";

/// A checkpoint is a line for each partition; nothing real is larger than this.
const LARGEST: usize = 64 << 20;

/// Offsets by topic and partition.
#[derive(Debug, Default)]
pub(super) struct Checkpoint(HashMap<(String, u32), Offset>);

impl Checkpoint {
    pub(super) fn get(&self, topic: &str, partition: u32) -> Offset {
        self.0
            .get(&(topic.to_owned(), partition))
            .copied()
            .unwrap_or(0)
    }

    /// What Kafka knew of a log that it wrote, and that is not compacted here: it does not begin anew there.
    fn clean_until(&self, partition: &PartitionState) -> Option<Offset> {
        let id = partition.id();
        let known = self.0.get(&(id.topic().to_owned(), id.partition()))?;
        let end = partition.high_watermark();
        partition.log().is_adopted().then(|| end.min(*known))
    }

    fn mentions(&self, topic: &str) -> bool {
        self.0.keys().any(|(known, _)| known == topic)
    }

    fn load(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let bytes = match read_file(disk, path, LARGEST) {
            Err(Error::Corrupt { .. }) => None,
            other => other?,
        };
        let entries = bytes
            .and_then(|bytes| OffsetCheckpoint::decode(&bytes).ok())
            .unwrap_or_default();
        Ok(Self(
            entries
                .into_iter()
                .map(|(topic, partition, offset)| ((topic, partition), offset))
                .collect(),
        ))
    }
}

pub(super) fn load_recovery_points(disk: &dyn Disk, root: &Path) -> Result<Checkpoint> {
    Checkpoint::load(disk, &root.join(RECOVERY_POINTS))
}

pub(super) fn load_log_starts(disk: &dyn Disk, root: &Path) -> Result<Checkpoint> {
    Checkpoint::load(disk, &root.join(LOG_STARTS))
}

/// Removes the clean marker, durably, before anything else is written; true if it was there.
pub(super) fn take_clean_marker(disk: &dyn Disk, root: &Path) -> Result<bool> {
    let marker = root.join(CLEAN_MARKER);
    let was_there = remove_if_present(disk, &marker)?;
    if was_there {
        sync_parent(disk, &marker)?;
    }
    Ok(was_there)
}

/// Checks that the directory is of a version that we know; makes the file if it is missing.
pub(super) fn check_meta_properties(
    disk: &dyn Disk,
    root: &Path,
    new: &MetaProperties,
) -> Result<()> {
    let path = root.join(META_PROPERTIES);
    match read_file(disk, &path, LARGEST)? {
        Some(bytes) => match MetaProperties::decode(&bytes) {
            Ok(_) => Ok(()),
            Err(invalid) => Err(Error::UnsupportedFormat {
                file: path,
                reason: invalid.reason.to_owned(),
            }),
        },
        None => replace_file(disk, &path, &new.encode()),
    }
}

/// A file of offsets, by topic and partition.
pub(super) fn encode_offsets(entries: &[(&str, u32, Offset)]) -> Vec<u8> {
    OffsetCheckpoint::encode(entries)
}

/// Files of the data directory that are there and do not parse, with what is wrong.
pub(super) fn malformed(disk: &dyn Disk, root: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let checkpoint = |bytes: &[u8]| OffsetCheckpoint::decode(bytes).map(drop);
    let properties = |bytes: &[u8]| MetaProperties::decode(bytes).map(drop);
    let mut found = Vec::new();
    for name in [
        RECOVERY_POINTS,
        LOG_STARTS,
        CLEANER_OFFSETS,
        HIGH_WATERMARKS,
        META_PROPERTIES,
    ] {
        let path = root.join(name);
        let bytes = match read_file(disk, &path, LARGEST) {
            Err(Error::Corrupt { .. }) => Some(Vec::new()),
            other => other?,
        };
        let parsed = bytes.map_or(Ok(()), |bytes| match name {
            META_PROPERTIES => properties(&bytes),
            _ => checkpoint(&bytes),
        });
        if let Err(invalid) = parsed {
            found.push((path, invalid.reason));
        }
    }
    Ok(found)
}

impl BrokerState {
    /// Writes all checkpoints, from what the logs say now.
    pub(super) fn write_checkpoints(&self) -> Result<()> {
        self.ends.sync()?;
        self.write_checkpoint(RECOVERY_POINTS, |partition| Some(partition.durable_end()))?;
        self.write_checkpoint(LOG_STARTS, |partition| {
            Some(partition.log_start_offset()).filter(|start| *start > 0)
        })?;
        let known = Checkpoint::load(&*self.disk, &self.root.join(CLEANER_OFFSETS))?;
        let is_compacted = self.partitions().iter().any(|it| clean_until(it).is_some());
        if is_compacted || !known.0.is_empty() {
            self.write_checkpoint(CLEANER_OFFSETS, |partition| {
                clean_until(partition).or_else(|| known.clean_until(partition))
            })?;
        }
        self.write_checkpoint(HIGH_WATERMARKS, |partition| {
            Some(partition.high_watermark())
        })
    }

    pub(super) fn is_compacted(&self, topic: &str) -> bool {
        let topic = self.topic(topic);
        topic.is_ok_and(|topic| topic.config.load().cleanup_policy.has_compact())
    }

    /// For before a topic is deleted: another one of its name, made later, must not inherit what was
    /// true of this one. Without these lines the topic would be as safe: they are a second source.
    pub(super) fn forget_checkpoints(&self, topic: &str) -> Result<()> {
        let stays = |partition: &PartitionState| partition.id().topic() != topic;
        if load_recovery_points(&*self.disk, &self.root)?.mentions(topic) {
            self.rewrite_or_remove(RECOVERY_POINTS, |partition| {
                stays(partition).then(|| partition.durable_end())
            })?;
        }
        let cleaner_offsets = self.root.join(CLEANER_OFFSETS);
        if Checkpoint::load(&*self.disk, &cleaner_offsets)?.mentions(topic) {
            self.rewrite_or_remove(CLEANER_OFFSETS, |partition| {
                clean_until(partition).filter(|_| stays(partition))
            })?;
        }
        if load_log_starts(&*self.disk, &self.root)?.mentions(topic) {
            self.rewrite_or_remove(LOG_STARTS, |partition| {
                let start = partition.log_start_offset();
                (stays(partition) && start > 0).then_some(start)
            })?;
        }
        Ok(())
    }

    /// On a full disk the whole file goes, so that a topic can be deleted to make room; the next close writes it
    /// again. It stays where it may say of Kafka's topics what nothing else does.
    fn rewrite_or_remove(
        &self,
        name: &str,
        offset: impl Fn(&PartitionState) -> Option<Offset>,
    ) -> Result<()> {
        let is_adopted = self.partitions().iter().any(|it| it.log().is_adopted());
        match self.write_checkpoint(name, offset) {
            Err(Error::DiskFull { .. }) if !is_adopted => {
                let path = self.root.join(name);
                remove_if_present(&*self.disk, &path)?;
                sync_parent(&*self.disk, &path)
            }
            outcome => outcome,
        }
    }

    fn write_checkpoint(
        &self,
        name: &str,
        offset: impl Fn(&PartitionState) -> Option<Offset>,
    ) -> Result<()> {
        let partitions = self.partitions();
        let entries: Vec<_> = partitions
            .iter()
            .filter_map(|partition| {
                Some((
                    partition.id().topic(),
                    partition.id().partition(),
                    offset(partition)?,
                ))
            })
            .collect();
        replace_file(
            &*self.disk,
            &self.root.join(name),
            &encode_offsets(&entries),
        )
    }

    /// The last step of an orderly close.
    pub(super) fn write_clean_marker(&self) -> Result<()> {
        self.write_checkpoints()?;
        replace_file(
            &*self.disk,
            &self.root.join(CLEAN_MARKER),
            encode_clean_shutdown(),
        )
    }
}

/// Of a compacted topic's partition.
fn clean_until(partition: &PartitionState) -> Option<Offset> {
    let is_compacted = partition.config().cleanup_policy.has_compact();
    is_compacted.then(|| partition.log().first_dirty_offset())
}
