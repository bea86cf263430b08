//! What an earlier process left in a data directory, and nobody needs. Removed, if it is known to be ours; a
//! partition's directory that no topic has is reported, and otherwise left alone.

use std::path::{Path, PathBuf};

use super::checkpoints::{
    CLEAN_MARKER, CLEANER_OFFSETS, HIGH_WATERMARKS, LOG_STARTS, META_PROPERTIES, RECOVERY_POINTS,
};
use super::manifest_file::MANIFEST;
use super::topics::remove_tree;
use crate::disk::{DirEntry, Disk, TEMPORARY, read_file};
use crate::error::{Error, Result};
use crate::format::manifest::{DeletedTopic, Manifest};
use crate::format::metadata::PartitionMetadata;
use crate::format::topic_id::TopicId;
use crate::log::names::{METADATA_FILE, aside_name, is_deleted_partition_dir, parse_partition_dir};

/// A partition's metadata are two lines.
const LARGEST_METADATA: usize = 4096;

/// What came of it.
pub(super) struct Cleared {
    /// Directories of partitions that no topic has, and what could not be removed.
    pub(super) stray: Vec<PathBuf>,
    /// Deleted topics of which nothing is left.
    pub(super) gone: Vec<TopicId>,
}

/// Removes what it can.
pub(super) fn clear(
    disk: &dyn Disk,
    root: &Path,
    entries: &[DirEntry],
    manifest: &Manifest,
) -> Cleared {
    remove_unfinished(disk, root, entries);
    let deleted = manifest.deleted.iter();
    let mut cleared = Cleared {
        stray: Vec::new(),
        gone: deleted.map(|topic| topic.id).collect(),
    };
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let dir = root.join(&entry.name);
        let belongs = belongs(&entry.name, manifest);
        if is_deleted_partition_dir(&entry.name) {
            if remove_tree(disk, &dir).is_err() {
                cleared.stray.push(dir);
            }
        } else if let Some(topic) = topic_of(disk, &dir, &manifest.deleted, belongs) {
            let retired = retire(disk, root, &dir, &unique(topic.id), "delete");
            if retired.and_then(|it| remove_tree(disk, &it)).is_err() {
                cleared.gone.retain(|gone| *gone != topic.id);
                cleared.stray.push(dir);
            }
        } else if !belongs {
            cleared.stray.push(dir);
        }
    }
    cleared
}

/// Removes what was to replace a file of the directory when a crash came. What cannot be removed is
/// overwritten by the next replacement.
fn remove_unfinished(disk: &dyn Disk, root: &Path, entries: &[DirEntry]) {
    const REPLACED: [&str; 7] = [
        MANIFEST,
        META_PROPERTIES,
        CLEAN_MARKER,
        RECOVERY_POINTS,
        LOG_STARTS,
        HIGH_WATERMARKS,
        CLEANER_OFFSETS,
    ];
    let is_unfinished = |entry: &&DirEntry| {
        let replaced = entry.name.strip_suffix(TEMPORARY);
        replaced.is_some_and(|name| REPLACED.contains(&name))
    };
    for entry in entries.iter().filter(is_unfinished) {
        let _ = disk.remove_file(&root.join(&entry.name));
    }
}

/// The deleted topic that a directory is of: by its name, and the id that it carries. A power loss may have
/// taken the id, if nothing in the directory was ever durable: then the name will do, if no topic has it now.
pub(super) fn topic_of<'a>(
    disk: &dyn Disk,
    dir: &Path,
    topics: &'a [DeletedTopic],
    is_named_now: bool,
) -> Option<&'a DeletedTopic> {
    let (name, partition) = parse_partition_dir(dir.file_name()?.to_str()?)?;
    let is_named = |topic: &&DeletedTopic| topic.name == name && partition < topic.partitions;
    let mut topics = topics.iter().filter(is_named).peekable();
    topics.peek()?;
    let bytes = read_file(disk, &dir.join(METADATA_FILE), LARGEST_METADATA).ok()?;
    let metadata = bytes.and_then(|bytes| PartitionMetadata::decode(&bytes).ok());
    topics.find(|topic| match metadata {
        Some(metadata) => metadata.topic_id == topic.id,
        None => !is_named_now,
    })
}

/// Renames a partition's directory as Kafka does, durably, so that it is no partition's any more. Before its
/// files go, if they do: what says whose it was goes with them.
pub(super) fn retire(
    disk: &dyn Disk,
    root: &Path,
    dir: &Path,
    unique: &str,
    why: &str,
) -> Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let retired = root.join(aside_name(&name, unique, why));
    disk.rename(dir, &retired)
        .map_err(|error| Error::io("rename", dir, error))?;
    disk.sync_dir(root)
        .map_err(|error| Error::io("sync directory", root, error))?;
    Ok(retired)
}

/// What tells a directory that is moved aside from others of its name.
pub(super) fn unique(id: TopicId) -> String {
    format!("{:032x}", u128::from_be_bytes(id.0))
}

/// False for directories of partitions that no topic has.
fn belongs(name: &str, manifest: &Manifest) -> bool {
    parse_partition_dir(name).is_none_or(|(name, partition)| {
        let mut topics = manifest.topics.iter();
        topics.any(|topic| topic.name == name && partition < topic.partitions)
    })
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;
