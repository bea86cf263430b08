//! Changing a configuration step by step, and telling what in it was changed: by name, as tools do.

use super::{TopicConfig, entries};
use crate::error::{Error, Result};

/// One step of changing a topic's configuration; see
/// [`Broker::alter_topic_config`](crate::Broker::alter_topic_config).
///
/// Names and values are those of [`TopicConfig::set`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigOp {
    /// Gives a config a value.
    Set {
        /// Its name.
        key: String,
        /// The new value.
        value: String,
    },
    /// Gives a config its default again.
    Delete {
        /// Its name.
        key: String,
    },
    /// Adds what is missing to a config that is a list.
    Append {
        /// Its name.
        key: String,
        /// What is to be added, itself a list.
        value: String,
    },
    /// Takes out of a config that is a list.
    Subtract {
        /// Its name.
        key: String,
        /// What is to be taken out, itself a list; what is not there does not matter.
        value: String,
    },
}

/// [`ConfigOp`]s in few words.
impl ConfigOp {
    /// `Set`.
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::Set { key, value }
    }

    /// `Delete`.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// `Append`.
    pub fn append(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::Append { key, value }
    }

    /// `Subtract`.
    pub fn subtract(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::Subtract { key, value }
    }
}

/// Where the value of a config comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// It is the default. A config that was set to its default is one that was not set.
    Default,
    /// It was set for the topic.
    Topic,
}

/// One config of a topic, as [`TopicConfig::describe`] tells it. Values are in the form that
/// [`TopicConfig::set`] takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// Kafka's name.
    pub name: &'static str,
    /// What is in force.
    pub value: String,
    /// What it is where nobody sets it.
    pub default: String,
    /// Whether that is so here.
    pub source: ConfigSource,
    /// It is a list: [`ConfigOp::Append`] and [`ConfigOp::Subtract`] work on it.
    pub is_list: bool,
}

impl ConfigEntry {
    /// True if the value is the default.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}

/// Step by step.
impl TopicConfig {
    /// All configs with value, default and source, sorted by name. The number of partitions is not
    /// among them.
    ///
    /// ```
    /// use streamlog::{ConfigSource, TopicConfig};
    ///
    /// let config = TopicConfig::default().segment_bytes(1 << 20);
    /// let set: Vec<_> = config.describe().into_iter().filter(|it| !it.is_default()).collect();
    /// assert_eq!((set.len(), set[0].name, &*set[0].value), (1, "segment.bytes", "1048576"));
    /// assert_eq!(set[0].default, "1073741824");
    /// assert_eq!(set[0].source, ConfigSource::Topic);
    /// ```
    pub fn describe(&self) -> Vec<ConfigEntry> {
        let defaults = Self::default().entries();
        let both = self.entries().into_iter().zip(defaults);
        both.map(|((name, value), (_, default))| ConfigEntry {
            name,
            source: if value == default {
                ConfigSource::Default
            } else {
                ConfigSource::Topic
            },
            value,
            default,
            is_list: entries::is_list(name),
        })
        .collect()
    }

    /// Gives one config its default again.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) if there is no such config.
    pub fn reset(self, key: &str) -> Result<Self> {
        // What is unknown has no default; setting it says why it is refused.
        let default = Self::default().get(key).unwrap_or_default();
        self.set(key, &default)
    }

    /// Adds to a config that is a list: `cleanup.policy` or `retention.consumed`. `value` is a list
    /// too; what is there already stays as it is.
    ///
    /// ```
    /// use streamlog::{CleanupPolicy, TopicConfig};
    ///
    /// let config = TopicConfig::default().append("cleanup.policy", "compact")?;
    /// assert_eq!(config.values().cleanup_policy(), CleanupPolicy::CompactAndDelete);
    /// let config = config.subtract("cleanup.policy", "delete")?;
    /// assert_eq!(config.values().cleanup_policy(), CleanupPolicy::Compact);
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) if there is no such config, it is not a list, or the
    /// value is not allowed.
    pub fn append(self, key: &str, value: &str) -> Result<Self> {
        let known = self.list(key, value)?;
        let mut list: Vec<&str> = items(&known).collect();
        for item in items(value) {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        let list = list.join(",");
        self.set(key, &list)
    }

    /// Takes out of a config that is a list. `value` is a list too; what is not there does not matter.
    ///
    /// # Errors
    /// As [`append`](Self::append); also if nothing is left of a list that must not be empty.
    pub fn subtract(self, key: &str, value: &str) -> Result<Self> {
        let known = self.list(key, value)?;
        let gone: Vec<&str> = items(value).collect();
        let left: Vec<&str> = items(&known).filter(|item| !gone.contains(item)).collect();
        let left = left.join(",");
        self.set(key, &left)
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig), as the methods that are named like the step.
    pub fn apply(self, op: &ConfigOp) -> Result<Self> {
        match op {
            ConfigOp::Set { key, value } => self.set(key, value),
            ConfigOp::Delete { key } => self.reset(key),
            ConfigOp::Append { key, value } => self.append(key, value),
            ConfigOp::Subtract { key, value } => self.subtract(key, value),
        }
    }

    /// The value of a list, which `change` is to be added to or taken from.
    fn list(&self, key: &str, change: &str) -> Result<String> {
        match self.get(key) {
            Some(value) if entries::is_list(key) => Ok(value),
            Some(_) => Err(Error::InvalidConfig {
                key: key.to_owned(),
                value: change.to_owned(),
                reason: "it is not a list: set it as a whole".to_owned(),
            }),
            None => Err(entries::unknown(key, change)),
        }
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CleanupPolicy;

    fn policy(config: Result<TopicConfig>) -> CleanupPolicy {
        config.unwrap().values().cleanup_policy()
    }

    fn reason(result: Result<TopicConfig>) -> String {
        match result {
            Err(Error::InvalidConfig { key, reason, .. }) => format!("{key}: {reason}"),
            other => panic!("expected InvalidConfig, got {other:?}"),
        }
    }

    #[test]
    fn every_config_can_be_reset() {
        for entry in TopicConfig::default().describe() {
            let config = TopicConfig::default().reset(entry.name).unwrap();
            assert_eq!(config, TopicConfig::default(), "{}", entry.name);
            assert_eq!((&entry.value, true), (&entry.default, entry.is_default()));
        }
        let config = TopicConfig::default().segment_bytes(14).partitions(3);
        let reset = config.reset("segment.bytes").unwrap();
        assert_eq!(reset, TopicConfig::default().partitions(3));
        let unknown = reason(TopicConfig::default().reset("retention_ms"));
        assert!(unknown.contains("did you mean retention.ms?"), "{unknown}");
    }

    #[test]
    fn lists_grow_and_shrink() {
        let config = TopicConfig::default;
        assert_eq!(
            policy(config().append("cleanup.policy", "compact")),
            CleanupPolicy::CompactAndDelete
        );
        assert_eq!(
            policy(config().append("cleanup.policy", "delete")),
            CleanupPolicy::Delete
        );
        let both = config()
            .append("cleanup.policy", "delete, compact")
            .unwrap();
        assert_eq!(
            policy(both.subtract("cleanup.policy", "delete")),
            CleanupPolicy::Compact
        );
        assert_eq!(
            policy(config().subtract("cleanup.policy", "compact")),
            CleanupPolicy::Delete
        );
    }

    #[test]
    fn what_is_no_list_or_would_be_a_bad_one_is_refused() {
        let config = TopicConfig::default;
        for refused in [
            config().append("segment.bytes", "1"),
            config().subtract("segment.bytes", "1"),
        ] {
            assert_eq!(
                reason(refused),
                "segment.bytes: it is not a list: set it as a whole"
            );
        }
        for refused in [
            config().append("cleanup.policy", "compress"),
            config().subtract("cleanup.policy", "delete"),
        ] {
            assert!(reason(refused).starts_with("cleanup.policy: it must be "));
        }
        assert!(reason(config().append("min.insync.replicas", "1")).contains("one process"));
    }

    #[test]
    fn steps_do_what_their_methods_do() {
        let mut config = TopicConfig::default();
        for op in [
            ConfigOp::set("segment.bytes", "1024"),
            ConfigOp::append("cleanup.policy", "compact"),
            ConfigOp::subtract("cleanup.policy", "delete"),
            ConfigOp::set("segment.ms", "5"),
            ConfigOp::delete("segment.ms"),
        ] {
            config = config.apply(&op).unwrap();
        }
        let expected = TopicConfig::default()
            .segment_bytes(1024)
            .cleanup_policy(CleanupPolicy::Compact);
        assert_eq!(config, expected);
    }
}
