//! A consistent copy of a whole data directory, made while the broker is in use.
//!
//! ```text
//!   prepare ─▶ cut: manifest and all writers held at once ─▶ second names ─▶ copies ─▶ rename
//!                  └────────── names of files are kept ──────────────────────┘
//! ```
//! The cut is one point for all partitions, so the copy holds no effect without its cause: no commit of
//! offsets without the records before it, no record that was sent after another was acknowledged without
//! that one. Everything is built in a directory beside, durably; the rename is the commit point. Nothing
//! of the broker changes, whether it works or not.
//!
//! Elsewhere: one log's cut and files ([`log`](crate::log)), Kafka's checkpoint files
//! ([`checkpoints`](super::checkpoints)).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::BrokerState;
use super::checkpoints::{
    CLEAN_MARKER, CLEANER_OFFSETS, HIGH_WATERMARKS, LOG_STARTS, META_PROPERTIES, RECOVERY_POINTS,
    encode_offsets,
};
use super::manifest_file::MANIFEST;
use super::open::confirm_root;
use super::topics::remove_tree;
use crate::disk::{Copier, Counts, DirEntry, Disk, sync_parent, with_suffix};
use crate::error::{Error, Result};
use crate::format::manifest::Manifest;
use crate::format::metadata::encode_clean_shutdown;
use crate::format::topic_id::TopicId;
use crate::group::offsets::CONSUMER_OFFSETS;
use crate::log::durable_ends::{self, DurableEnds};
use crate::log::names::{parse_partition_dir, partition_dir};
use crate::log::{HeldLog, LinkedCut, LogCut, Next};
use crate::partition::PartitionState;

/// What [`Broker::checkpoint`](crate::Broker::checkpoint) made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The new data directory.
    pub directory: PathBuf,
    /// How many partitions it has, those with committed offsets included.
    pub partitions: usize,
    /// How many files.
    pub files: u64,
    /// Bytes of files that it shares with the broker's directory.
    pub linked_bytes: u64,
    /// Bytes that were copied or written.
    pub copied_bytes: u64,
}

/// What ends the name of a checkpoint that is being made.
const PARTIAL: &str = ".partial";

/// The files of a checkpoint, besides those of partitions. There is no lock file among them, as in a
/// directory that was ever opened.
const FILES: [&str; 8] = [
    MANIFEST,
    META_PROPERTIES,
    durable_ends::FILE_NAME,
    RECOVERY_POINTS,
    LOG_STARTS,
    CLEANER_OFFSETS,
    HIGH_WATERMARKS,
    CLEAN_MARKER,
];

/// All logs at one moment, and which topics there were.
struct Cut {
    manifest: Manifest,
    logs: Vec<(TopicId, LogCut)>,
}

type LinkedLogs = Vec<(TopicId, LinkedCut)>;

impl BrokerState {
    pub(super) fn checkpoint(&self, dir: &Path) -> Result<Checkpoint> {
        self.check_open()?;
        // Without a slash at its end, for its name is extended.
        let dir: PathBuf = dir.components().collect();
        check_place(&dir, &self.root)?;
        let _one_at_a_time = self.checkpointing.lock();
        let disk = &*self.disk;
        check_absent(disk, &dir)?;
        let partial = with_suffix(&dir, PARTIAL);
        clear(disk, &partial)?;
        let mut copier = Copier::new(disk);
        let built = self.build(&mut copier, &partial);
        let made = built.and_then(|partitions| {
            put_in_place(disk, &partial, &dir)?;
            Ok(partitions)
        });
        let partitions = made.inspect_err(|_| {
            // Best effort: the next checkpoint of this name begins with the same.
            let _ = clear(disk, &partial);
        })?;
        let Counts {
            files,
            linked_bytes,
            copied_bytes,
        } = copier.counts();
        Ok(Checkpoint {
            directory: dir,
            partitions,
            files,
            linked_bytes,
            copied_bytes,
        })
    }

    /// Makes everything below `root`, durably; returns how many partitions there are.
    fn build(&self, copier: &mut Copier<'_>, root: &Path) -> Result<usize> {
        copier.make_dir(root)?;
        for partition in self.partitions() {
            prepare(&partition)?;
        }
        let (manifest, logs) = self.cut_and_link(copier, root)?;
        self.write_logs(copier, &logs, root)?;
        self.write_files(copier, &manifest, &logs, root)?;
        copier.sync_names(root)?;
        Ok(logs.len())
    }

    /// Everything that needs the names of the broker's files.
    fn cut_and_link(&self, copier: &mut Copier<'_>, root: &Path) -> Result<(Manifest, LinkedLogs)> {
        let names = self.segments.names().keep();
        let linked = self
            .cut()
            .and_then(|cut| Ok((cut.manifest, self.link(copier, cut.logs, root)?)));
        drop(names);
        // What was to be removed meanwhile; what fails goes with the next removal.
        for partition in self.partitions() {
            let _ = partition.log().remove_below_start();
        }
        linked
    }

    /// The moment of the checkpoint. Appends wait meanwhile.
    fn cut(&self) -> Result<Cut> {
        self.registry.while_unchanged(|manifest, topics| {
            let mut partitions = Vec::new();
            let mut all: Vec<_> = manifest.topics.iter().collect();
            all.sort_by_key(|stored| (stored.name == CONSUMER_OFFSETS, &stored.name));
            for stored in all {
                if let Some(topic) = topics.get(stored.name.as_str()) {
                    let opened = topic.partitions.load();
                    partitions.extend(opened.iter().map(|it| (stored.id, Arc::clone(it))));
                }
            }
            // All of them before the first is looked at: that makes it one moment.
            let mut held: Vec<_> = partitions
                .iter()
                .map(|(id, partition)| (*id, partition.log().hold()))
                .collect();
            let cut = |(id, log): &mut (TopicId, HeldLog<'_>)| Ok((*id, log.cut()?));
            let logs = held.iter_mut().map(cut).collect::<Result<_>>()?;
            Ok(Cut {
                manifest: Manifest {
                    // Nothing of them is copied.
                    deleted: Vec::new(),
                    ..manifest.clone()
                },
                logs,
            })
        })
    }

    fn link(
        &self,
        copier: &mut Copier<'_>,
        logs: Vec<(TopicId, LogCut)>,
        root: &Path,
    ) -> Result<LinkedLogs> {
        let mut linked = Vec::with_capacity(logs.len());
        for (topic_id, log) in logs {
            let (topic, number) = (log.id().topic(), log.id().partition());
            if log.is_unsettled() {
                self.topic(topic)?
                    .partition(number)?
                    .log()
                    .sync_new_names()?;
            }
            let dir = partition_dir(root, topic, number);
            linked.push((topic_id, log.link(copier, dir)?));
        }
        Ok(linked)
    }

    /// Does the rest for each partition, and notes where its log ends.
    fn write_logs(
        &self,
        copier: &mut Copier<'_>,
        logs: &[(TopicId, LinkedCut)],
        root: &Path,
    ) -> Result<()> {
        let ends = Arc::new(DurableEnds::open(&*self.disk, root)?);
        for (topic_id, log) in logs {
            let end = log.finish(copier, *topic_id)?;
            let slot = ends.claim(*topic_id, log.cut().id().partition())?;
            slot.advance(end, Next::Appends)?;
        }
        copier.adopt(&root.join(durable_ends::FILE_NAME))
    }

    /// Writes what is not a partition's, as an orderly close would.
    fn write_files(
        &self,
        copier: &mut Copier<'_>,
        manifest: &Manifest,
        logs: &[(TopicId, LinkedCut)],
        root: &Path,
    ) -> Result<()> {
        let offsets = |offset: fn(&LogCut) -> u64| {
            let logs = logs.iter().map(|(_, log)| log.cut());
            let logs = logs.map(|log| (log.id().topic(), log.id().partition(), offset(log)));
            logs.collect::<Vec<_>>()
        };
        let ends = encode_offsets(&offsets(LogCut::end_offset));
        let mut starts = offsets(LogCut::start);
        starts.retain(|(.., start)| *start > 0);
        let mut dirty = offsets(LogCut::first_dirty);
        dirty.retain(|(topic, ..)| self.is_compacted(topic));
        if !dirty.is_empty() {
            copier.write(&root.join(CLEANER_OFFSETS), &encode_offsets(&dirty))?;
        }
        copier.write(&root.join(MANIFEST), &manifest.encode())?;
        let identity = self.root.join(META_PROPERTIES);
        copier.copy(&identity, &root.join(META_PROPERTIES), None)?;
        copier.write(&root.join(RECOVERY_POINTS), &ends)?;
        copier.write(&root.join(LOG_STARTS), &encode_offsets(&starts))?;
        copier.write(&root.join(HIGH_WATERMARKS), &ends)?;
        copier.write(&root.join(CLEAN_MARKER), encode_clean_shutdown())
    }
}

/// What was deleted since it was listed is no trouble.
fn prepare(partition: &PartitionState) -> Result<()> {
    match partition.log().prepare_cut() {
        Err(_) if partition.check_open().is_err() => Ok(()),
        prepared => prepared,
    }
}

/// The commit point, made durable with the names of the directories above.
fn put_in_place(disk: &dyn Disk, partial: &Path, dir: &Path) -> Result<()> {
    disk.rename(partial, dir)
        .map_err(|error| Error::io("rename to", dir, error))?;
    confirm_root(disk, dir).inspect_err(|_| {
        // Nobody knows whether it would stay, so it does not. It goes as a whole, by one name.
        let _ = disk.rename(dir, partial);
    })
}

fn check_place(dir: &Path, root: &Path) -> Result<()> {
    let refuse = |reason| {
        Err(Error::InvalidDirectory {
            directory: dir.to_path_buf(),
            reason,
        })
    };
    if dir.file_name().is_none() {
        return refuse("it has no name of its own");
    }
    if plain(dir).starts_with(plain(root)) {
        return refuse("it would lie in the data directory; choose one beside it");
    }
    Ok(())
}

/// The path from the root of the file system, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut plain = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

fn check_absent(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if entries(disk, dir)?.is_none() {
        return Ok(());
    }
    Err(Error::DirectoryExists {
        directory: dir.to_path_buf(),
    })
}

/// What a directory holds; `None` if there is nothing of this name.
fn entries(disk: &dyn Disk, dir: &Path) -> Result<Option<Vec<DirEntry>>> {
    match disk.list(dir) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("list", dir, error)),
    }
}

/// Removes what an attempt left that did not come to its end, and nothing else.
fn clear(disk: &dyn Disk, partial: &Path) -> Result<()> {
    let Some(entries) = entries(disk, partial)? else {
        return Ok(());
    };
    if !entries.iter().all(is_of_checkpoint) {
        return Err(Error::DirectoryExists {
            directory: partial.to_path_buf(),
        });
    }
    // It may have had its final name for a moment, and after a power loss have that again: whole, or not at
    // all.
    sync_parent(disk, partial)?;
    remove_all(disk, partial)
}

fn is_of_checkpoint(entry: &DirEntry) -> bool {
    if entry.is_dir {
        parse_partition_dir(&entry.name).is_some()
    } else {
        FILES.contains(&entry.name.as_str())
    }
}

/// Removes a data directory.
fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for entry in entries(disk, dir)?.unwrap_or_default() {
        if entry.is_dir {
            remove_tree(disk, &dir.join(&entry.name))?;
        }
    }
    remove_tree(disk, dir)
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod meanwhile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_a_name_and_lies_outside_of_the_data() {
        let good = |dir: &str, root: &str| check_place(Path::new(dir), Path::new(root)).is_ok();
        assert!(good("backup/1", "data") && good("data-1", "data") && good("/b", "/a"));
        for (dir, root) in [
            ("data/backup", "data"),
            ("data", "./data"),
            ("a/../data/b", "data"),
            ("/data/x", "/data"),
            ("..", "data"),
            ("/", "data"),
            ("x", "."),
        ] {
            assert!(!good(dir, root), "{dir} for {root}");
        }
    }

    #[test]
    fn only_what_looks_like_a_checkpoint_is_removed() {
        let entry = |name: &str, is_dir| DirEntry {
            name: name.to_owned(),
            is_dir,
        };
        assert!(is_of_checkpoint(&entry("orders-0", true)));
        assert!(is_of_checkpoint(&entry(MANIFEST, false)));
        for (name, is_dir) in [(".lock", false), ("notes.txt", false), ("photos", true)] {
            assert!(!is_of_checkpoint(&entry(name, is_dir)), "{name}");
        }
    }
}
