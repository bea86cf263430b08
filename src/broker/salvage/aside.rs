//! The names that a partition's directory has on its way: how a salvage puts the new one in place, and what
//! is left of one that was interrupted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::list;
use crate::broker::registry;
use crate::broker::topics::remove_tree;
use crate::disk::{DirEntry, Disk};
use crate::error::{Error, Result};
use crate::format::manifest::Manifest;
use crate::format::topic_id::TopicId;
use crate::log::names::{SALVAGE, aside_name, partition_dir, unique_of};

/// Names beside a partition's directory, for one salvage of it.
pub(super) struct Aside<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    dir: &'a Path,
    unique: String,
    /// The directory is there.
    exists: bool,
}

impl<'a> Aside<'a> {
    /// Takes a number that no other has, and removes what an interrupted salvage left.
    pub(super) fn new(
        disk: &'a dyn Disk,
        root: &'a Path,
        dir: &'a Path,
        topic: TopicId,
        partition: u32,
    ) -> Result<Self> {
        let entries = list(disk, root)?;
        let prefix = unique_prefix(topic, partition);
        let mut next = 0;
        for entry in &entries {
            for why in ["stray", "delete", SALVAGE] {
                let Some(number) = number_of(&entry.name, why, &prefix) else {
                    continue;
                };
                next = next.max(number.saturating_add(1));
                if why != "stray" {
                    remove_tree(disk, &root.join(&entry.name))?;
                }
            }
        }
        Ok(Self {
            disk,
            root,
            dir,
            unique: format!("{prefix}{next:08x}"),
            exists: entries.iter().any(|entry| dir.ends_with(&entry.name)),
        })
    }

    pub(super) fn path(&self, why: &str) -> PathBuf {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        self.root.join(aside_name(&name, &self.unique, why))
    }

    /// The commit point is where the new directory is called complete; from there on every crash ends
    /// with it in place. Returns where the old one is.
    pub(super) fn put_in_place(&self, draft: &Path) -> Result<Option<PathBuf>> {
        let (complete, stray) = (self.path(SALVAGE), self.path("stray"));
        rename(self.disk, self.root, draft, &complete)?;
        if self.exists {
            rename(self.disk, self.root, self.dir, &stray)?;
        }
        rename(self.disk, self.root, &complete, self.dir)?;
        Ok(self.exists.then_some(stray))
    }
}

/// Durably.
fn rename(disk: &dyn Disk, root: &Path, from: &Path, to: &Path) -> Result<()> {
    disk.rename(from, to)
        .map_err(|error| Error::io("rename", from, error))?;
    disk.sync_dir(root)
        .map_err(|error| Error::io("sync directory", root, error))
}

/// The first 24 of the 32 digits in the names of what is put aside for a partition: they tell it from
/// others, also where its name is too long to be whole. The last 8 count.
fn unique_prefix(topic: TopicId, partition: u32) -> String {
    let id = u128::from_be_bytes(topic.0);
    let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or(0);
    let high = u64::try_from(id >> 64).unwrap_or(0);
    format!("{:016x}{partition:08x}", registry::mix(high) ^ low)
}

/// Which salvage of the partition with this prefix a name is of.
fn number_of(name: &str, why: &str, prefix: &str) -> Option<u32> {
    let number = unique_of(name, why)?.strip_prefix(prefix)?;
    u32::from_str_radix(number, 16).ok()
}

/// Puts in place what a salvage had made when it was interrupted after it had put the damaged partition
/// aside. Where the partition is there, the salvage was not that far, and is begun again by the next.
pub(in crate::broker) fn finish_salvages(
    disk: &dyn Disk,
    root: &Path,
    entries: &[DirEntry],
    manifest: &Manifest,
) -> Result<()> {
    let complete = entries
        .iter()
        .filter_map(|entry| Some((unique_of(&entry.name, SALVAGE)?.get(..24)?, entry)));
    let complete: BTreeMap<_, _> = complete.collect();
    if complete.is_empty() {
        return Ok(());
    }
    for topic in &manifest.topics {
        for partition in 0..topic.partitions {
            let prefix = unique_prefix(topic.id, partition);
            let Some(entry) = complete.get(prefix.as_str()) else {
                continue;
            };
            let dir = partition_dir(root, &topic.name, partition);
            if !entries.iter().any(|entry| dir.ends_with(&entry.name)) {
                rename(disk, root, &root.join(&entry.name), &dir)?;
            }
        }
    }
    Ok(())
}
