//! A consumer in the model: it owns every partition of its topics, starts where its group stopped,
//! and goes back to the earliest record when its place is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamlog::{Consumer, Error, Offset, Position, TopicPartition};

use super::operation::From;
use super::world::{Check, GROUP, World, require, said};

/// A consumer and where it should be.
pub struct ConsumerUnderTest {
    consumer: Consumer,
    max_poll_records: usize,
    topics: BTreeSet<String>,
    assigned: BTreeMap<TopicPartition, Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    generation: u64,
    /// `None` until the first poll, and after a seek to the earliest record until the next one.
    position: Option<Offset>,
    /// It was told to start at the earliest record.
    earliest: bool,
    paused: bool,
}

impl World {
    pub fn new_consumer(&mut self, max_poll_records: usize) -> Check {
        if self.topics.is_empty() {
            return Ok(());
        }
        self.consumer = None;
        let mut consumer = said(
            self.broker()
                .consumer()
                .group(GROUP)
                .auto_commit(None)
                .auto_offset_reset(Position::Earliest)
                .max_poll_records(max_poll_records)
                .build(),
        )?;
        let topics: BTreeSet<_> = self.topics.keys().cloned().collect();
        said(consumer.subscribe(&topics))?;
        self.consumer = Some(ConsumerUnderTest {
            consumer,
            max_poll_records,
            topics,
            assigned: BTreeMap::new(),
        });
        self.refresh();
        self.compare_assignment()
    }

    pub fn close_consumer(&mut self) -> Check {
        match self.consumer.take() {
            Some(consumer) => said(consumer.consumer.close()),
            None => Ok(()),
        }
    }

    /// After a change of the topics: has the consumer notice.
    pub fn follow_topics(&mut self) -> Check {
        self.poll()?;
        self.compare_assignment()
    }

    fn compare_assignment(&self) -> Check {
        let Some(consumer) = &self.consumer else {
            return Ok(());
        };
        let assignment = consumer.consumer.assignment();
        require!(
            assignment.iter().eq(consumer.assigned.keys()),
            "assigned are {assignment:?}, should be {:?}",
            consumer.assigned.keys()
        );
        Ok(())
    }

    /// Gives the model's consumer the partitions that there are.
    fn refresh(&mut self) {
        let Some(consumer) = &mut self.consumer else {
            return;
        };
        let mut assigned = BTreeMap::new();
        for (name, topic) in &self.topics {
            if !consumer.topics.contains(name) {
                continue;
            }
            for partition in 0..u32::try_from(topic.partitions.len()).unwrap() {
                let id = TopicPartition::new(name.as_str(), partition);
                let generation = topic.generation;
                let kept = consumer.assigned.get(&id);
                let place = kept.filter(|place| place.generation == generation).copied();
                let new = Place {
                    generation,
                    position: None,
                    earliest: false,
                    paused: false,
                };
                assigned.insert(id, place.unwrap_or(new));
            }
        }
        consumer.assigned = assigned;
    }

    pub fn poll(&mut self) -> Check {
        self.refresh();
        let Some(mut consumer) = self.consumer.take() else {
            return Ok(());
        };
        let outcome = self.poll_and_compare(&mut consumer);
        self.consumer = Some(consumer);
        outcome
    }

    fn poll_and_compare(&self, under_test: &mut ConsumerUnderTest) -> Check {
        let ConsumerUnderTest {
            consumer,
            assigned,
            max_poll_records,
            ..
        } = under_test;
        for (id, place) in &mut *assigned {
            let committed = self.committed.get(id).copied().filter(|_| !place.earliest);
            let start = self.of(id).start;
            place.position.get_or_insert(committed.unwrap_or(start));
            place.earliest = false;
        }
        let records = said(consumer.poll(Duration::ZERO))?;
        let count = records.len();
        require!(count <= *max_poll_records, "{count} records at once");
        require!(records.iter().count() == count, "it says there are {count}");
        for record in &records {
            let id = record.topic_partition();
            let place = assigned
                .get_mut(id)
                .ok_or(format!("{id} is not assigned"))?;
            require!(!place.paused, "{id} is paused");
            let known = self.of(id);
            // The rest of a batch at hand may still come after its part of the log was deleted.
            let at_hand = place
                .position
                .filter(|at| *at < known.start && *at == record.offset());
            let readable = place.position.filter(|at| known.is_readable(*at));
            let at = at_hand.or(readable).unwrap_or(known.start);
            let kept = known.get(at);
            require!(
                record.offset() == at && kept.is_some_and(|kept| kept.is(&record)),
                "{id}@{at} is {record:?}, should be {kept:?}"
            );
            place.position = Some(at + 1);
        }
        for (id, place) in assigned {
            let known = self.of(id);
            let position = said(consumer.position(id))?;
            // It is known that each partition was looked at only if there was room for more.
            let reset = place
                .position
                .filter(|at| known.is_readable(*at))
                .or(Some(known.start));
            let all_seen = count < *max_poll_records && !place.paused;
            if all_seen || (!place.paused && Some(position) == reset) {
                place.position = reset;
            }
            require!(
                Some(position) == place.position,
                "{id}: at {position}, not {place:?}"
            );
            require!(
                !all_seen || position == known.end(),
                "{id}: poll stopped at {position}, before {}",
                known.end()
            );
            let lag = said(consumer.lag(id))?;
            require!(
                lag == known.end().saturating_sub(position),
                "{id}: lag {lag}"
            );
        }
        Ok(())
    }

    pub fn seek_consumer(&mut self, partition: u64, from: From) -> Check {
        let Some(id) = self.assigned_partition(partition) else {
            return Ok(());
        };
        let (position, offset) = self.of(&id).position(from, self.now());
        let end = self.of(&id).end();
        let Some(consumer) = &mut self.consumer else {
            return Ok(());
        };
        // Beyond the end, when it is noticed would depend on whose turn it is.
        if offset > end && consumer.max_poll_records < 1_000 {
            return Ok(());
        }
        said(consumer.consumer.seek(&id, position))?;
        if let Some(place) = consumer.assigned.get_mut(&id) {
            place.earliest = matches!(from, From::Earliest);
            place.position = (!place.earliest).then_some(offset);
        }
        Ok(())
    }

    fn assigned_partition(&self, partition: u64) -> Option<TopicPartition> {
        let assigned = &self.consumer.as_ref()?.assigned;
        let count = assigned.len() as u64;
        let index = usize::try_from(partition.checked_rem(count)?).ok()?;
        assigned.keys().nth(index).cloned()
    }

    pub fn pause(&mut self, partition: u64, pause: bool) -> Check {
        let Some(id) = self.assigned_partition(partition) else {
            return Ok(());
        };
        let Some(consumer) = &mut self.consumer else {
            return Ok(());
        };
        let partitions = std::slice::from_ref(&id);
        said(if pause {
            consumer.consumer.pause(partitions)
        } else {
            consumer.consumer.resume(partitions)
        })?;
        if let Some(place) = consumer.assigned.get_mut(&id) {
            place.paused = pause;
        }
        Ok(())
    }

    pub fn commit(&mut self) -> Check {
        self.refresh();
        let Some(consumer) = &mut self.consumer else {
            return Ok(());
        };
        said(consumer.consumer.commit())?;
        for (id, place) in &consumer.assigned {
            if let Some(position) = place.position {
                self.committed.insert(id.clone(), position);
            }
        }
        self.compare_commits()
    }

    pub fn commit_offset(&mut self, topic: u64, partition: u64, per_mille: u64) -> Check {
        let Some(consumer) = &self.consumer else {
            return Ok(());
        };
        let small = consumer.max_poll_records < 1_000;
        let Some(id) = self.partition(topic, partition) else {
            return Ok(());
        };
        let known = self.of(&id);
        let mut offset = known.offset(per_mille);
        if small {
            offset = offset.min(known.end());
        }
        let Some(consumer) = &mut self.consumer else {
            return Ok(());
        };
        let is_owner = consumer.consumer.assignment().contains(&id);
        let committed = consumer.consumer.commit_offsets(&[(id.clone(), offset)]);
        if is_owner {
            said(committed)?;
            self.committed.insert(id.clone(), offset);
        } else {
            require!(
                matches!(committed, Err(Error::Fenced { .. })),
                "a commit for {id}, which is not assigned yet: {committed:?}"
            );
        }
        let unknown = TopicPartition::new(id.topic(), 99);
        let refused = consumer
            .consumer
            .commit_offsets(&[(id.clone(), 0), (unknown, 0)]);
        require!(
            matches!(refused, Err(Error::UnknownPartition { .. })),
            "a commit for partition 99: {refused:?}"
        );
        self.compare_commits()
    }

    fn compare_commits(&self) -> Check {
        let Some(consumer) = &self.consumer else {
            return Ok(());
        };
        for id in consumer.assigned.keys() {
            let committed = said(consumer.consumer.committed(id))?;
            require!(
                committed.as_ref() == self.committed.get(id),
                "{id}: {committed:?} is committed, should be {:?}",
                self.committed.get(id)
            );
        }
        Ok(())
    }
}
