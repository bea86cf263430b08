//! Consumer groups: makes some for Kafka to judge, lists those of a directory, goes on with those that Kafka left.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Duration;

use streamlog::{Broker, Consumer, Offset, OffsetReset, Position, TopicPartition};

use crate::{Result, lines};

/// Kafka's protocol types.
const CONSUMER: &str = "consumer";
const SIMPLE: &str = "";

/// Says what Kafka is to find.
struct Made {
    broker: Broker,
    groups: BufWriter<File>,
    offsets: BufWriter<File>,
}

/// Groups that were joined and left, committed to, moved, deleted and cut short; and one whose member is still there
/// when the broker ends. Closes the broker.
pub fn generate(broker: Broker, groups: File, offsets: File) -> Result {
    let mut made = Made {
        broker,
        groups: BufWriter::new(groups),
        offsets: BufWriter::new(offsets),
    };
    made.explicit("streamlog-group-a")?;
    made.explicit("streamlog-group-ü")?;
    made.polled()?;
    made.shared()?;
    made.administered()?;
    made.only_joined()?;
    made.live()?;
    Ok(())
}

impl Made {
    fn note(&mut self, group: &str, protocol_type: &str) -> Result {
        let description = self.broker.group(group).describe()?;
        let line = lines::empty_group(group, protocol_type, description.generation);
        writeln!(self.groups, "{line}")?;
        Ok(())
    }

    fn note_offset(&mut self, group: &str, topic: &str, partition: u32, offset: Offset) -> Result {
        let mut line = lines::committed(group, topic, partition, offset);
        line["metadata"] = "".into();
        writeln!(self.offsets, "{line}")?;
        Ok(())
    }

    fn join(&self, group: &str, topic: &str) -> Result<Consumer> {
        join(&self.broker, group, topic)
    }

    /// Explicit offsets, overwritten twice: the last commit counts. The member is dropped.
    fn explicit(&mut self, group: &str) -> Result {
        let mut consumer = self.join(group, "generated")?;
        while consumer.assignment().len() < 3 {
            consumer.poll(Duration::from_millis(10))?;
        }
        for round in 1..=3 {
            for partition in 0..3 {
                let offset = u64::from(round * 100 + partition);
                let place = TopicPartition::new("generated", partition);
                consumer.commit_offsets(&[(place, offset)])?;
                if round == 3 {
                    self.note_offset(group, "generated", partition, offset)?;
                }
            }
        }
        drop(consumer);
        self.note(group, CONSUMER)
    }

    /// The position that polling reaches. The member leaves.
    fn polled(&mut self) -> Result {
        let group = "streamlog-group-polled";
        let mut consumer = self.join(group, "generated-batches")?;
        let partition = self.broker.topic("generated-batches")?.partition(0)?;
        let end = partition.high_watermark();
        let mut next = 0;
        while next < end {
            for record in &consumer.poll(Duration::from_millis(100))? {
                next = record.offset() + 1;
            }
        }
        consumer.commit()?;
        consumer.close()?;
        self.note_offset(group, "generated-batches", 0, end)?;
        self.note(group, CONSUMER)
    }

    /// Two members that come and go: several generations, and each commits for what it owns.
    fn shared(&mut self) -> Result {
        let group = "streamlog-group-shared";
        let mut first = self.join(group, "generated")?;
        first.poll(Duration::ZERO)?;
        let mut second = self.join(group, "generated")?;
        while second.assignment().is_empty() {
            first.poll(Duration::ZERO)?;
            second.poll(Duration::ZERO)?;
        }
        for consumer in [&mut first, &mut second] {
            for partition in consumer.assignment() {
                let offset = 50 + u64::from(partition.partition());
                self.note_offset(group, "generated", partition.partition(), offset)?;
                consumer
                    .commit_offsets_async(&[(partition, offset)])?
                    .wait()?;
            }
        }
        first.close()?;
        second.poll(Duration::ZERO)?;
        second.unsubscribe()?;
        self.note(group, CONSUMER)
    }

    /// Groups without a member, simple ones, in administrators' hands.
    fn administered(&mut self) -> Result {
        let group = "streamlog-group-reset";
        let handle = self.broker.group(group);
        handle.reset_offsets("generated", Position::Earliest)?;
        for reset in handle.reset_offsets("generated", OffsetReset::ShiftBy(7))? {
            self.note_offset(group, "generated", reset.partition.partition(), reset.to)?;
        }
        self.note(group, SIMPLE)?;

        // Two that were joined before.
        for group in ["streamlog-group-trimmed", "streamlog-group-deleted"] {
            let mut consumer = self.join(group, "generated")?;
            consumer.poll(Duration::ZERO)?;
            consumer.commit()?;
            drop(consumer);
            self.broker
                .group(group)
                .reset_offsets("generated-batches", Position::Latest)?;
        }
        self.broker.group("streamlog-group-deleted").delete()?;

        let group = "streamlog-group-trimmed";
        self.broker.group(group).delete_offsets("generated")?;
        let partition = self.broker.topic("generated-batches")?.partition(0)?;
        self.note_offset(group, "generated-batches", 0, partition.high_watermark())?;
        self.note(group, CONSUMER)
    }

    /// Nothing is stored of it but its own record.
    fn only_joined(&mut self) -> Result {
        let group = "streamlog-group-joined";
        self.join(group, "generated")?.close()?;
        self.note(group, CONSUMER)
    }

    /// Its member ends with the broker.
    fn live(mut self) -> Result {
        let group = "streamlog-group-live";
        let mut consumer = self.join(group, "generated-batches")?;
        consumer.poll(Duration::ZERO)?;
        consumer.commit_offsets(&[(TopicPartition::new("generated-batches", 0), 3)])?;
        self.note_offset(group, "generated-batches", 0, 3)?;
        self.note(group, CONSUMER)?;
        self.groups.flush()?;
        self.offsets.flush()?;
        self.broker.close()?;
        drop(consumer);
        Ok(())
    }
}

/// A member of the group that reads from the beginning.
pub fn join(broker: &Broker, group: &str, topic: &str) -> Result<Consumer> {
    let mut consumer = broker
        .consumer()
        .group(group)
        .auto_commit(None)
        .auto_offset_reset(Position::Earliest)
        .build()?;
    consumer.subscribe([topic])?;
    Ok(consumer)
}

/// All groups, and all that they committed.
pub fn list(dir: &str, groups: &str, offsets: &str) -> Result {
    let broker = Broker::open(dir)?;
    let mut groups = BufWriter::new(File::create(groups)?);
    let mut offsets = BufWriter::new(File::create(offsets)?);
    for listed in broker.groups()? {
        let name = &listed.name;
        let group = broker.group(&**name).describe()?;
        if (group.state, &group.protocol_type) != (listed.state, &listed.protocol_type) {
            return Err(format!("listed as {listed:?}, described as {group:?}").into());
        }
        let mut line = lines::empty_group(name, &group.protocol_type, group.generation);
        line["state"] = group.state.to_string().into();
        line["members"] = group.members.len().into();
        writeln!(groups, "{line}")?;
        for stored in &group.offsets {
            let Some(offset) = stored.committed else {
                continue;
            };
            let (topic, partition) = (stored.partition.topic(), stored.partition.partition());
            let mut line = lines::committed(name, topic, partition, offset);
            line["metadata"] = stored.metadata.as_str().into();
            writeln!(offsets, "{line}")?;
        }
    }
    groups.flush()?;
    offsets.flush()?;
    broker.close()?;
    Ok(())
}

/// Joins groups that exist, which must go on where they are; commits one more in each partition.
pub fn go_on(dir: &str, groups: &[&str]) -> Result {
    let broker = Broker::open(dir)?;
    for group in groups {
        let before = broker.group(*group).export()?;
        let topics: Vec<_> = before
            .iter()
            .map(|(partition, _)| partition.topic())
            .collect();
        let mut consumer = broker.consumer().group(*group).auto_commit(None).build()?;
        consumer.subscribe(topics)?;
        let mut after = Vec::new();
        for (partition, committed) in &before {
            let position = consumer.position(partition)?;
            if position != *committed {
                return Err(format!(
                    "{group} starts at {position} in {partition}, not {committed}"
                )
                .into());
            }
            after.push((partition.clone(), committed + 1));
        }
        consumer.commit_offsets(&after)?;
        consumer.close()?;
        for (partition, offset) in &after {
            let (topic, partition) = (partition.topic(), partition.partition());
            let mut line = lines::committed(group, topic, partition, *offset);
            line["metadata"] = "".into();
            println!("{line}");
        }
    }
    broker.close()?;
    Ok(())
}
