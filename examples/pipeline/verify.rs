//! What is in the topic now: shown by a consumer, and compared with the file.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use streamlog::{Broker, Position, Reader, Topic};

use crate::ingest::{partition_of, place_of};
use crate::source::{Input, Place};
use crate::support::{Outcome, check, rate};

/// How many lines to show from either end.
const SHOWN: usize = 3;

/// Consumes the whole topic: prints its first and last few records, and how many there are.
pub(crate) fn show(broker: &Broker, topic: &Topic, out: &mut impl Write) -> Outcome {
    let expected: u64 = topic
        .partitions()
        .iter()
        .map(|partition| partition.high_watermark() - partition.log_start_offset())
        .sum();
    // Without a group: it starts at the beginning each time, and commits nothing.
    let mut consumer = broker
        .consumer()
        .auto_offset_reset(Position::Earliest)
        .build()?;
    consumer.subscribe([topic.name()])?;
    let started = Instant::now();
    let mut last = VecDeque::with_capacity(SHOWN);
    let mut count: u64 = 0;
    while count < expected {
        let records = consumer.poll(Duration::from_secs(5))?;
        check(!records.is_empty(), || {
            format!("{expected} records are readable, and after {count} there are no more")
        })?;
        let len = records.len();
        for (index, record) in records.iter().enumerate() {
            count += 1;
            if count <= SHOWN as u64 {
                writeln!(out, "{}", in_words(&record))?;
            } else if index + SHOWN >= len {
                if last.len() == SHOWN {
                    last.pop_front();
                }
                last.push_back(in_words(&record));
            }
        }
    }
    if count > 2 * SHOWN as u64 {
        writeln!(out, "  …")?;
    }
    for line in last {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "consumed {count} records ({})",
        rate(count, started.elapsed())
    )?;
    Ok(())
}

fn in_words(record: &streamlog::ConsumerRecord<'_>) -> String {
    /// Longer lines are cut, so that a screen has room for them.
    const WIDTH: usize = 100;
    let text = String::from_utf8_lossy(record.value().unwrap_or_default());
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = text.chars().take(WIDTH).map(visible).collect();
    let more = if text.chars().nth(WIDTH).is_some() {
        "…"
    } else {
        ""
    };
    format!(
        "  {}@{}  {shown}{more}",
        record.topic_partition(),
        record.offset()
    )
}

/// Compares the topic with the file, line by line; how many lines each partition has.
pub(crate) fn verify(topic: &Topic, input: &Input) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut readers = topic
        .partitions()
        .iter()
        .map(|partition| partition.reader(Position::Earliest))
        .collect::<Result<Vec<Reader>, _>>()?;
    let mut counts = vec![0; readers.len()];
    let mut lines = input.lines_from(Place::START)?;
    while let Some(line) = lines.next()? {
        let number = usize::try_from(partition_of(topic, line.text))?;
        let reader = readers.get_mut(number).ok_or("no such partition")?;
        let at = reader.position();
        let found = match reader.next()? {
            Some(record) => place_of(&record)? == line.place && record.value() == Some(line.text),
            None => false,
        };
        check(found, || {
            let name = topic.name();
            format!(
                "line {} of the file is not at {name}-{number}@{at}",
                line.place.line
            )
        })?;
        counts[number] += 1;
    }
    for (number, reader) in readers.iter_mut().enumerate() {
        let at = reader.position();
        check(reader.next()?.is_none(), || {
            format!("{}-{number}@{at} is no line of the file", topic.name())
        })?;
    }
    Ok(counts)
}
