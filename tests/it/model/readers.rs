//! Readers in the model: each record at its offset, once, and typed errors outside.

use std::time::Duration;

use streamlog::{Error, Offset, Position, Reader, TopicPartition};

use super::operation::From;
use super::world::{Check, World, require, said};

/// A reader and where it should be.
pub struct ReaderUnderTest {
    reader: Reader,
    id: TopicPartition,
    generation: u64,
    position: Offset,
}

const MOST_READERS: usize = 3;

impl World {
    pub fn new_reader(&mut self, topic: u64, partition: u64, from: From) -> Check {
        let Some(id) = self.partition(topic, partition) else {
            return Ok(());
        };
        let (position, offset) = self.of(&id).position(from, self.now());
        let reader = said(self.handle(&id).reader(position))?;
        require!(
            reader.position() == offset,
            "{from:?} is {}, not {offset}",
            reader.position()
        );
        let generation = self.generation(&id).expect("it is there");
        let reader = ReaderUnderTest {
            reader,
            id,
            generation,
            position: offset,
        };
        if self.readers.len() == MOST_READERS {
            self.readers.remove(0);
        }
        self.readers.push(reader);
        Ok(())
    }

    pub fn seek_reader(&mut self, reader: u64, from: From) -> Check {
        let Some(index) = self.reader_index(reader) else {
            return Ok(());
        };
        let id = self.readers[index].id.clone();
        if self.generation(&id) != Some(self.readers[index].generation) {
            return Ok(());
        }
        let (position, offset) = self.of(&id).position(from, self.now());
        let reader = &mut self.readers[index];
        said(reader.reader.seek(position))?;
        reader.position = offset;
        require!(
            reader.reader.position() == offset,
            "{from:?} is {}, not {offset}",
            reader.reader.position()
        );
        Ok(())
    }

    fn reader_index(&self, reader: u64) -> Option<usize> {
        let count = self.readers.len() as u64;
        (count > 0).then(|| usize::try_from(reader % count).unwrap())
    }

    pub fn read_on(&mut self, reader: u64, count: u64) -> Check {
        let Some(index) = self.reader_index(reader) else {
            return Ok(());
        };
        let mut reader = self.readers.remove(index);
        let outcome = self.read(&mut reader, count);
        self.readers.insert(index, reader);
        outcome
    }

    fn read(&self, reader: &mut ReaderUnderTest, count: u64) -> Check {
        let gone = self.generation(&reader.id) != Some(reader.generation);
        for _ in 0..count {
            let (id, at) = (&reader.id, reader.position);
            let next = match reader.reader.next() {
                // A batch at hand outlives its topic, and its part of the log.
                Err(Error::Closed(_)) if gone => return Ok(()),
                Err(Error::OffsetOutOfRange { start, end, .. }) if !gone => {
                    let known = self.of(id);
                    require!(
                        !known.is_readable(at) && (start, end) == (known.start, known.end()),
                        "{id}@{at} is out of range {start}..{end}"
                    );
                    return Ok(());
                }
                other => said(other)?,
            };
            if gone {
                reader.position += 1;
                continue;
            }
            let expected = self.of(id).get(at);
            match (next, expected) {
                (None, None) => {
                    require!(
                        self.of(id).is_readable(at),
                        "nothing at {id}@{at}, beyond the end"
                    );
                    let waited = reader.reader.wait(Duration::ZERO);
                    require!(matches!(waited, Ok(false)), "wait at the end: {waited:?}");
                    return Ok(());
                }
                (Some(record), Some(kept)) => {
                    require!(
                        record.offset() == at && kept.is(&record) && record.topic() == id.topic(),
                        "{id}@{at} is {record:?}, should be {kept:?}"
                    );
                }
                (next, expected) => {
                    return Err(format!("{id}@{at} is {next:?}, should be {expected:?}"));
                }
            }
            reader.position += 1;
            require!(
                reader.reader.position() == reader.position,
                "after {id}@{at} comes {}",
                reader.reader.position()
            );
        }
        Ok(())
    }

    /// Reads every partition from its start, through new readers.
    pub fn read_everything(&mut self) -> Check {
        for (name, topic) in &self.topics {
            for partition in 0..u32::try_from(topic.partitions.len()).unwrap() {
                let id = TopicPartition::new(name.as_str(), partition);
                let known = self.of(&id);
                let mut reader = ReaderUnderTest {
                    reader: said(self.handle(&id).reader(Position::Earliest))?,
                    generation: topic.generation,
                    position: known.start,
                    id: id.clone(),
                };
                self.read(&mut reader, known.end() + 1)?;
                require!(
                    reader.position == known.end(),
                    "{id} ends at {}",
                    reader.position
                );
            }
        }
        Ok(())
    }

    pub fn find_timestamp(&mut self, topic: u64, partition: u64, back: u64) -> Check {
        let Some(id) = self.partition(topic, partition) else {
            return Ok(());
        };
        let timestamp = self.now() + 3_000 - i64::try_from(back).unwrap();
        let found = said(self.handle(&id).offset_for_timestamp(timestamp))?;
        let expected = self.of(&id).at_or_after(timestamp);
        require!(
            found == expected,
            "{id} at {timestamp}: {found:?}, should be {expected:?}"
        );
        Ok(())
    }
}
