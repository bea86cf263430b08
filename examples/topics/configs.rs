//! What `kafka-configs` does, for topics.

use std::io::Write;

use clap::{Args, ValueEnum};
use streamlog::{Broker, ConfigEntry, ConfigOp, Topic};

use crate::Options;
use crate::support::Outcome;

/// Options that are those of `kafka-configs` alone.
#[derive(Args, Clone, Default)]
pub(crate) struct ConfigOptions {
    /// Look after configurations, as kafka-configs does: with --describe or --alter.
    #[arg(long, value_enum, conflicts_with_all = ["topic", "create", "list", "delete", "partitions", "topics_with_overrides", "if_exists"])]
    entity_type: Option<EntityType>,
    /// Which topic. With --describe the default is all of them.
    #[arg(long, requires = "entity_type")]
    entity_name: Option<String>,
    /// With --describe: also what is the default.
    #[arg(long, requires = "entity_type", conflicts_with = "alter")]
    all: bool,
    /// Set configs: name=value, or several between commas; a value with commas in brackets:
    /// retention.ms=1000,cleanup.policy=[compact,delete].
    #[arg(
        long = "add-config",
        requires = "entity_name",
        conflicts_with = "describe"
    )]
    add: Option<String>,
}

/// What has configurations.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum EntityType {
    Topics,
}

impl ConfigOptions {
    pub(crate) fn is_given(&self) -> bool {
        self.entity_type.is_some()
    }

    /// Of this one, with what is to be set.
    pub(crate) fn of_topic(name: &str, add: Option<&str>) -> Self {
        Self {
            entity_name: Some(name.to_owned()),
            add: add.map(str::to_owned),
            entity_type: Some(EntityType::Topics),
            all: false,
        }
    }
}

pub(crate) fn act(broker: &Broker, options: &Options, out: &mut impl Write) -> Outcome {
    let entity = &options.entity;
    let topics = match &entity.entity_name {
        Some(name) => vec![broker.topic(name)?],
        None => broker.all_topics(),
    };
    for topic in &topics {
        if options.describe {
            describe(topic, entity.all, out)?;
        } else {
            alter(broker, topic, options, out)?;
        }
    }
    Ok(())
}

fn describe(topic: &Topic, all: bool, out: &mut impl Write) -> Outcome {
    let which = if all { "All" } else { "Dynamic" };
    writeln!(out, "{which} configs for topic {} are:", topic.name())?;
    let entries = topic.config().describe();
    for entry in entries.iter().filter(|entry| all || !entry.is_default()) {
        let ConfigEntry { name, value, .. } = entry;
        let synonyms = synonyms(entry);
        writeln!(
            out,
            "  {name}={value} sensitive=false synonyms={{{synonyms}}}"
        )?;
    }
    Ok(())
}

/// Where the value could come from, the one in force first.
fn synonyms(entry: &ConfigEntry) -> String {
    let ConfigEntry {
        name,
        value,
        default,
        ..
    } = entry;
    let default = format!("DEFAULT_CONFIG:{name}={default}");
    if entry.is_default() {
        default
    } else {
        format!("DYNAMIC_TOPIC_CONFIG:{name}={value}, {default}")
    }
}

fn alter(broker: &Broker, topic: &Topic, options: &Options, out: &mut impl Write) -> Outcome {
    let mut ops: Vec<_> = match &options.entity.add {
        Some(list) => {
            let pairs = pairs(list)?.into_iter();
            pairs
                .map(|(key, value)| ConfigOp::set(key, value))
                .collect()
        }
        None => Vec::new(),
    };
    ops.extend(options.delete_configs.iter().map(ConfigOp::delete));
    if ops.is_empty() {
        return Err("nothing to alter: give --add-config or --delete-config".into());
    }
    broker.alter_topic_config(topic.name(), &ops)?;
    writeln!(out, "Completed updating config for topic {}.", topic.name())?;
    Ok(())
}

/// Reads `a=b,c=[d,e]`.
fn pairs(list: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut pairs = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| format!("`{rest}` is not name=value"))?;
        let (value, behind) = match behind.strip_prefix('[') {
            Some(listed) => listed
                .split_once(']')
                .ok_or_else(|| format!("`{key}` has no closing bracket"))?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        pairs.push((key.trim(), value));
        rest = match behind.strip_prefix(',') {
            Some(next) => next,
            None if behind.is_empty() => behind,
            None => return Err(format!("`{behind}` follows the value of `{key}`")),
        };
    }
    Ok(pairs)
}
