//! A consumer of a group that commits, and goes on where the group stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use streamlog::{Consumer, Offset, Position, TopicPartition};

use super::follower::{WithHistory, check_record, said};
use super::world::{TOPIC, World};
use super::{Check, require};

pub const GROUP: &str = "readers";

/// See the module's description.
pub struct Member {
    consumer: Consumer,
    /// What it was shown all below.
    next: BTreeMap<u32, Offset>,
}

/// What a group committed.
pub type Committed = BTreeMap<u32, Offset>;

impl Member {
    /// Joins a group that committed this.
    pub fn new(world: &World, committed: &Committed) -> Result<Self, String> {
        let builder = world.broker.consumer().group(GROUP).auto_commit(None);
        let builder = builder
            .auto_offset_reset(Position::Earliest)
            .max_poll_records(20);
        // Hours go by between two polls.
        let builder = builder.max_poll_interval(Duration::from_secs(1 << 30));
        let mut consumer = said(builder.build())?;
        said(consumer.subscribe([TOPIC]))?;
        for number in 0..world.books.len() {
            let number = u32::try_from(number).expect("few");
            let found = said(consumer.committed(&TopicPartition::new(TOPIC, number)))?;
            let expected = committed.get(&number).copied();
            require!(
                found == expected,
                "{found:?} is committed, should be {expected:?}"
            );
        }
        Ok(Self {
            consumer,
            next: committed.clone(),
        })
    }

    /// Polls once; returns how many records came.
    pub fn poll(&mut self, world: &World) -> Result<usize, String> {
        let records = said(self.consumer.poll(Duration::ZERO))?;
        for record in &records {
            let book = world.book(record.partition().into());
            let next = self.next.entry(record.partition()).or_default();
            book.history(|history, now| check_record(&record, *next, history, now))
                .map_err(|wrong| format!("the group: {wrong}"))?;
            *next = record.offset() + 1;
        }
        Ok(records.len())
    }

    /// Commits what was polled; tells where the group goes on.
    pub fn commit(&mut self, world: &World, committed: &mut Committed) -> Check {
        said(self.consumer.commit())?;
        for id in self.consumer.assignment() {
            let found = said(self.consumer.committed(&id))?;
            let next = self.next.get(&id.partition()).copied().unwrap_or(0);
            let Some(found) = found else { continue };
            // Beyond what it was shown there may be gaps only.
            world.book(id.partition().into()).history(|history, now| {
                let missing = history.missing(next..found, now);
                require!(
                    missing.is_none(),
                    "{id}: {found} is committed, {missing:?} was not shown"
                );
                Ok(())
            })?;
            committed.insert(id.partition(), found);
        }
        Ok(())
    }

    /// Polls until there is no more.
    pub fn drain(&mut self, world: &World) -> Check {
        let ends: Vec<_> = world
            .books
            .iter()
            .map(|it| it.partition.high_watermark())
            .collect();
        while self.poll(world)? > 0 {}
        for (number, end) in (0..).zip(ends) {
            let next = self.next.get(&number).copied().unwrap_or(0);
            let missing = world
                .book(number.into())
                .history(|it, now| it.missing(next..end, now));
            require!(missing.is_none(), "the group was not shown {missing:?}");
        }
        Ok(())
    }
}
