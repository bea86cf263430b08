//! Creating, altering and deleting topics.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BrokerState;
use super::checkpoints::Checkpoint;
use super::leftovers::{self, topic_of, unique};
use super::manifest_file::Effect;
use super::open::{Opening, configuration, new_topic};
use super::registry::{Topics, find};
use crate::config::{ConfigOp, TopicConfig, topic_names_collide, validate_topic_name};
use crate::disk::{DirEntry, Disk};
use crate::error::{Error, Result};
use crate::format::manifest::{DeletedTopic, Manifest, ManifestTopic};
use crate::log::names::{aside_name, partition_dir};
use crate::topic::TopicState;

impl BrokerState {
    pub(super) fn create_topic(&self, name: &str, config: &TopicConfig) -> Result<Arc<TopicState>> {
        validate_topic_name(name)?;
        config.validate()?;
        self.offsets.forget_orphans(self)?;
        let change = |manifest: &mut Manifest, id| {
            self.check_free(name, &manifest.topics)?;
            manifest.topics.push(ManifestTopic {
                name: name.to_owned(),
                id,
                partitions: config.partitions,
                adopted: false,
                config: stored_config(config),
                log_starts: Vec::new(),
            });
            Ok(())
        };
        let topic = self
            .registry
            .update(Effect::TakesRoom, change, |manifest, topics| {
                let stored = manifest
                    .topics
                    .last()
                    .ok_or(Error::IllegalState("the new topic is not in the manifest"))?;
                // The version that the registry has when this is done.
                let topic = new_topic(stored, self.registry.version() + 1)?;
                self.clear_leftovers(&topic, 0..stored.partitions, &manifest.deleted)?;
                self.open_partitions(&topic, stored)?;
                let topic = Arc::new(topic);
                topics.insert(Arc::clone(&topic.name), Arc::clone(&topic));
                Ok(topic)
            })?;
        self.topic_waiters.wake_all();
        // The topic is there. Without a thread now, the next topic or open starts it.
        let _ = self.look_after(&topic.config.load());
        Ok(topic)
    }

    /// What making this topic would refuse, without making it.
    pub(super) fn validate_topic(&self, name: &str, config: &TopicConfig) -> Result<()> {
        validate_topic_name(name)?;
        config.validate()?;
        self.registry
            .while_unchanged(|manifest, _| self.check_free(name, &manifest.topics))
    }

    /// `Err(TopicExists)` if a topic has the name, or one too like it, or had it and is not quite gone.
    fn check_free(&self, name: &str, topics: &[ManifestTopic]) -> Result<()> {
        let deleting = self.deleting.lock();
        let mut names = topics.iter().map(|topic| &topic.name).chain(&*deleting);
        match names.find(|known| topic_names_collide(known, name)) {
            Some(known) => Err(Error::TopicExists {
                topic: known.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Makes an internal topic if it is missing; returns it.
    pub(crate) fn internal_topic(
        &self,
        name: &str,
        config: &TopicConfig,
    ) -> Result<Arc<TopicState>> {
        match self.topic(name) {
            Err(Error::UnknownTopic { .. }) => match self.create_topic(name, config) {
                Err(Error::TopicExists { .. }) => self.topic(name),
                other => other,
            },
            other => other,
        }
    }

    pub(super) fn alter_topic(&self, name: &str, config: &TopicConfig) -> Result<()> {
        config.validate()?;
        let change = |manifest: &mut Manifest, _| {
            let stored = find(manifest, name)?;
            stored.partitions = stored.partitions.max(config.partitions);
            stored.config = stored_config(config);
            Ok(())
        };
        self.change_topic(name, change)?;
        self.was_altered(config);
        Ok(())
    }

    /// Retention goes by the new configuration at once.
    fn was_altered(&self, config: &TopicConfig) {
        let _ = self.look_after(config);
        self.cleaner.ring();
    }

    /// Takes all steps or none, from the configuration that is in force when they are written down.
    pub(super) fn alter_topic_config(&self, name: &str, ops: &[ConfigOp]) -> Result<()> {
        let change = |manifest: &mut Manifest, _| {
            let stored = find(manifest, name)?;
            let mut config = configuration(stored)?;
            for op in ops {
                config = config.apply(op)?;
            }
            config.validate()?;
            stored.config = stored_config(&config);
            Ok(())
        };
        self.change_topic(name, change)?;
        if let Ok(topic) = self.topic(name) {
            self.was_altered(&topic.config.load());
        }
        Ok(())
    }

    pub(super) fn add_partitions(&self, name: &str, count: u32) -> Result<()> {
        let change = |manifest: &mut Manifest, _| {
            let stored = find(manifest, name)?;
            if count <= stored.partitions {
                return Err(Error::InvalidConfig {
                    key: "partitions".to_owned(),
                    value: count.to_string(),
                    reason: format!(
                        "topic `{name}` has {} already; the count can only grow",
                        stored.partitions
                    ),
                });
            }
            TopicConfig::default().partitions(count).validate()?;
            stored.partitions = count;
            Ok(())
        };
        self.change_topic(name, change)
    }

    fn change_topic(
        &self,
        name: &str,
        change: impl FnOnce(&mut Manifest, crate::format::topic_id::TopicId) -> Result<()>,
    ) -> Result<()> {
        self.registry
            .update(Effect::TakesRoom, change, |manifest, topics| {
                self.apply_change(name, manifest, topics)
            })?;
        self.topic_waiters.wake_all();
        Ok(())
    }

    fn apply_change(&self, name: &str, manifest: &Manifest, topics: &mut Topics) -> Result<()> {
        let unknown = || Error::UnknownTopic {
            topic: name.to_owned(),
        };
        let stored = manifest
            .topics
            .iter()
            .find(|topic| topic.name == name)
            .ok_or_else(unknown)?;
        let topic = topics.get(name).ok_or_else(unknown)?;
        let have = u32::try_from(topic.partitions.load().len()).unwrap_or(u32::MAX);
        if have < stored.partitions {
            self.clear_leftovers(topic, have..stored.partitions, &manifest.deleted)?;
            self.open_partitions(topic, stored)?;
        }
        let altered = new_topic(stored, topic.serial)?;
        topic.config.store(altered.config.load_full());
        Ok(())
    }

    /// Opens the partitions that a topic does not have yet.
    fn open_partitions(&self, topic: &TopicState, stored: &ManifestTopic) -> Result<()> {
        let opening = self.opening();
        let mut partitions = Vec::clone(&topic.partitions.load());
        let have = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        for partition in have..stored.partitions {
            match opening.partition(topic, stored, partition) {
                Ok((opened, _)) => partitions.push(opened),
                Err(error) => {
                    // New directories, without records: nothing of a topic that was not made stays.
                    for partition in have..=partition {
                        let dir = partition_dir(&self.root, &topic.name, partition);
                        let _ = remove_tree(&*self.disk, &dir);
                    }
                    return Err(error);
                }
            }
        }
        topic.partitions.store(Arc::new(partitions));
        Ok(())
    }

    /// Takes away what an earlier topic of the name left, for its records must not come back: what is known to
    /// be a deleted topic's is removed, the rest is moved aside.
    fn clear_leftovers(
        &self,
        topic: &TopicState,
        partitions: Range<u32>,
        deleted: &[DeletedTopic],
    ) -> Result<()> {
        let entries = self
            .disk
            .list(&self.root)
            .map_err(|error| Error::io("list", &self.root, error))?;
        for partition in partitions {
            let dir = partition_dir(&self.root, &topic.name, partition);
            let mut directories = entries.iter().filter(|entry| entry.is_dir);
            if !directories.any(|entry| dir.ends_with(&entry.name)) {
                continue;
            }
            if let Some(former) = topic_of(&*self.disk, &dir, deleted, false) {
                let retired = self.retire(&dir, &unique(former.id), "delete")?;
                // What cannot be removed is known by its name to the next open.
                let _ = remove_tree(&*self.disk, &retired);
            } else {
                self.retire(&dir, &free_unique(&dir, topic, &entries), "stray")?;
            }
        }
        Ok(())
    }

    fn retire(&self, dir: &Path, unique: &str, why: &str) -> Result<PathBuf> {
        leftovers::retire(&*self.disk, &self.root, dir, unique, why)
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        self.topic(name)?;
        if !self.deleting.lock().insert(name.to_owned()) {
            return Err(Error::UnknownTopic {
                topic: name.to_owned(),
            });
        }
        let deleted = self.delete_existing(name);
        self.deleting.lock().remove(name);
        deleted
    }

    fn delete_existing(&self, name: &str) -> Result<()> {
        // No checkpoint meanwhile: it would have offsets of a topic that it has not.
        let _names = self.segments.names().change();
        self.forget_checkpoints(name)?;
        let change = |manifest: &mut Manifest, _| {
            let topic = find(manifest, name)?;
            let topic = DeletedTopic {
                name: name.to_owned(),
                id: topic.id,
                partitions: topic.partitions,
            };
            manifest.topics.retain(|topic| topic.name != name);
            manifest.deleted.push(topic);
            Ok(())
        };
        let removed = self
            .registry
            .update(Effect::MakesRoom, change, |_, topics| {
                Ok(topics.remove(name))
            })?;
        self.topic_waiters.wake_all();
        let Some(topic) = removed else { return Ok(()) };
        for partition in topic.partitions.load().iter() {
            partition.shut();
        }
        // From here on the topic is gone for good; what fails below leaves only garbage behind.
        let forgotten = self.offsets.forget_topic(self, name);
        let mut outcome = forgotten;
        let mut are_gone = true;
        for partition in topic.partitions.load().iter() {
            let released = partition.log().release();
            let removed = self
                .retire(partition.log().dir(), &unique(topic.id), "delete")
                .and_then(|retired| remove_tree(&*self.disk, &retired))
                .map(|()| self.space.give_back(partition.log().counted_bytes()));
            are_gone &= removed.is_ok();
            outcome = outcome.and(released).and(removed);
        }
        if are_gone {
            outcome = outcome.and(self.registry.forget_deleted(&[topic.id]));
        }
        outcome
    }

    /// What opening more partitions of a running broker takes: they are new, so nothing is recovered.
    fn opening(&self) -> Opening<'_> {
        Opening {
            disk: &self.disk,
            clock: &self.clock,
            root: &self.root,
            ends: Arc::clone(&self.ends),
            segments: Arc::clone(&self.segments),
            space: Arc::clone(&self.space),
            housekeeping: Arc::clone(&self.housekeeping),
            is_known: false,
            clean: true,
            recovery_points: Checkpoint::default(),
            log_starts: Checkpoint::default(),
            threads: 1,
            sync_later: false,
            waypoint_interval: self.waypoint_interval,
        }
    }
}

/// Makes the name free under which a directory is moved aside: an earlier attempt at the same partition may
/// have left one, too.
fn free_unique(dir: &Path, topic: &TopicState, entries: &[DirEntry]) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut number = u128::from_be_bytes(topic.id.0);
    loop {
        let unique = format!("{number:032x}");
        let aside = aside_name(&name, &unique, "stray");
        if entries.iter().all(|entry| entry.name != aside) {
            return unique;
        }
        number = number.wrapping_add(1);
    }
}

/// What the manifest keeps of a configuration: what differs from the defaults.
fn stored_config(config: &TopicConfig) -> Vec<(String, String)> {
    config
        .changed_entries()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Removes a directory of files.
pub(super) fn remove_tree(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let entries = disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?;
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let path = dir.join(&entry.name);
        disk.remove_file(&path)
            .map_err(|error| Error::io("remove", &path, error))?;
    }
    disk.remove_dir(dir)
        .map_err(|error| Error::io("remove directory", dir, error))
}
