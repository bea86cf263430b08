//! `--delete` and `--delete-offsets`.

use std::io::Write;

use streamlog::{Broker, ConsumerGroup, Error, TopicPartition};

use crate::Scope;
use crate::partitions_of;
use crate::support::Outcome;
use crate::table::Table;

/// Deletes as many of the groups as can be.
pub(crate) fn groups(broker: &Broker, groups: &[String], out: &mut impl Write) -> Outcome {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        match broker.group(group.as_str()).delete() {
            Ok(()) => deleted.push(format!("'{group}'")),
            Err(error) => failed.push(format!(
                "\n* Group '{group}' could not be deleted due to: {error}"
            )),
        }
    }
    let names = deleted.join(", ");
    if failed.is_empty() {
        writeln!(
            out,
            "Deletion of requested consumer groups ({names}) was successful."
        )?;
        return Ok(());
    }
    if !deleted.is_empty() {
        writeln!(
            out,
            "These consumer groups were deleted successfully: {names}"
        )?;
    }
    Err(format!(
        "deletion of some consumer groups failed:{}",
        failed.concat()
    )
    .into())
}

/// Deletes what one group committed for topics, each of which must exist, or have been committed for.
pub(crate) fn offsets(
    broker: &Broker,
    groups: &[String],
    topics: &[Scope],
    out: &mut impl Write,
) -> Outcome {
    let [name] = groups else {
        return Err("--delete-offsets takes one --group".into());
    };
    if let Some(scope) = topics.iter().find(|scope| scope.partitions.is_some()) {
        let topic = &scope.topic;
        return Err(format!("offsets are deleted for whole topics: give --topic {topic}").into());
    }
    let group = broker.group(name.as_str());
    group.describe()?;
    let committed = group.export()?;
    let mut partitions = Vec::new();
    for scope in topics {
        partitions.extend(partitions_to_forget(broker, &scope.topic, &committed)?);
    }
    delete_offsets(&group, topics, &committed)?;
    writeln!(
        out,
        "Request succeeded for deleting offsets from group {name}."
    )?;
    let mut table = Table::new(&[("TOPIC", 15), ("PARTITION", 10), ("STATUS", 15)]);
    partitions.sort();
    partitions.dedup();
    for partition in partitions {
        table.row([
            partition.topic().to_owned(),
            partition.partition().to_string(),
            "Successful".to_owned(),
        ]);
    }
    table.print_apart(out)
}

/// The partitions of a topic; of one that is gone, those that the group committed for.
fn partitions_to_forget(
    broker: &Broker,
    topic: &str,
    committed: &[(TopicPartition, u64)],
) -> streamlog::Result<Vec<TopicPartition>> {
    let unknown = match partitions_of(broker, topic) {
        Err(error @ Error::UnknownTopic { .. }) => error,
        found => return found,
    };
    let committed = committed.iter().map(|(partition, _)| partition);
    let of_topic: Vec<_> = committed
        .filter(|partition| partition.topic() == topic)
        .cloned()
        .collect();
    if of_topic.is_empty() {
        Err(unknown)
    } else {
        Ok(of_topic)
    }
}

fn delete_offsets(
    group: &ConsumerGroup,
    topics: &[Scope],
    committed: &[(TopicPartition, u64)],
) -> streamlog::Result<()> {
    let mut names: Vec<_> = topics.iter().map(|scope| scope.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    // A group that has nothing left is gone: it is not asked about topics that it never committed for.
    names.retain(|topic| {
        committed
            .iter()
            .any(|(partition, _)| partition.topic() == *topic)
    });
    names
        .into_iter()
        .try_for_each(|topic| group.delete_offsets(topic))
}
