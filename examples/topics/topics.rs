//! What `kafka-topics` does.

use std::io::Write;

use streamlog::{Broker, ConfigEntry, ConfigOp, PartitionDescription, Topic, TopicConfig};

use crate::Options;
use crate::support::Outcome;

pub(crate) fn act(broker: &Broker, options: &Options, out: &mut impl Write) -> Outcome {
    let Some(name) = options.topic.as_deref() else {
        return look(&all(broker, options), options, out);
    };
    if options.create {
        return create(broker, name, options, out);
    }
    match broker.topic(name) {
        Err(streamlog::Error::UnknownTopic { .. }) if options.if_exists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(topic) if options.describe => look(&[topic], options, out),
        Ok(topic) if options.alter => alter(broker, &topic, options, out),
        Ok(_) => {
            broker.delete_topic(name)?;
            Ok(writeln!(out, "Deleted topic {name}.")?)
        }
    }
}

fn all(broker: &Broker, options: &Options) -> Vec<Topic> {
    if options.exclude_internal {
        broker.topics()
    } else {
        broker.all_topics()
    }
}

fn look(topics: &[Topic], options: &Options, out: &mut impl Write) -> Outcome {
    for topic in topics {
        if options.list {
            writeln!(out, "{}", topic.name())?;
        } else {
            describe(topic, options.topics_with_overrides, out)?;
        }
    }
    Ok(())
}

fn create(broker: &Broker, name: &str, options: &Options, out: &mut impl Write) -> Outcome {
    let config = TopicConfig::default().partitions(options.partitions.unwrap_or(1));
    let mut configs = options.configs.iter();
    let config = configs.try_fold(config, |config, (key, value)| config.set(key, value))?;
    match broker.create_topic(name, config) {
        Err(streamlog::Error::TopicExists { .. }) if options.if_not_exists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(writeln!(out, "Created topic {name}.")?),
    }
}

fn alter(broker: &Broker, topic: &Topic, options: &Options, out: &mut impl Write) -> Outcome {
    let set = options.configs.iter();
    let set = set.map(|(key, value)| ConfigOp::set(key, value));
    let deleted = options.delete_configs.iter().map(ConfigOp::delete);
    let ops: Vec<_> = set.chain(deleted).collect();
    if options.partitions.is_none() && ops.is_empty() {
        return Err("nothing to alter: give --partitions, --config or --delete-config".into());
    }
    if !ops.is_empty() {
        broker.alter_topic_config(topic.name(), &ops)?;
    }
    if let Some(count) = options.partitions {
        broker.add_partitions(topic.name(), count)?;
    }
    writeln!(out, "Altered topic {}.", topic.name())?;
    Ok(())
}

/// One line for the topic, one for each partition, as `kafka-topics --describe` lays them out.
fn describe(topic: &Topic, only_overrides: bool, out: &mut impl Write) -> Outcome {
    let described = topic.describe()?;
    let changed = described.configs.iter().filter(|entry| !entry.is_default());
    let changed: Vec<_> = changed.map(name_and_value).collect();
    if only_overrides && changed.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Topic: {}\tTopicId: {}\tPartitionCount: {}\tConfigs: {}",
        described.name,
        described.id,
        described.partitions.len(),
        changed.join(",")
    )?;
    if only_overrides {
        return Ok(());
    }
    for partition in &described.partitions {
        describe_partition(&described.name, partition, out)?;
    }
    Ok(())
}

fn name_and_value(entry: &ConfigEntry) -> String {
    format!("{}={}", entry.name, entry.value)
}

fn describe_partition(
    topic: &str,
    partition: &PartitionDescription,
    out: &mut impl Write,
) -> Outcome {
    write!(
        out,
        "\tTopic: {topic}\tPartition: {}\tLogStartOffset: {}\tHighWatermark: {}\tDurableEnd: {}\tSize: {}\tSegments: {}",
        partition.partition,
        partition.log_start_offset,
        partition.high_watermark,
        partition.durable_end,
        partition.size_bytes,
        partition.segments,
    )?;
    if let Some(ratio) = partition.dirty_ratio {
        write!(out, "\tDirty: {ratio:.2}")?;
    }
    let wrong = [
        ("Damage", &partition.damage),
        ("WriteFailure", &partition.write_failure),
        ("CompactionFailure", &partition.compaction_failure),
    ];
    for (what, error) in wrong {
        if let Some(error) = error {
            write!(out, "\t{what}: {error}")?;
        }
    }
    writeln!(out)?;
    Ok(())
}
