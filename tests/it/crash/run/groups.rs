//! Commits, and members that come and go.

use std::time::Duration;

use streamlog::{
    Consumer, Durability, GroupDescription, Offset, Position, TopicConfig, TopicPartition,
};

use super::Run;
use crate::crash::ledger::{NEVER, Set};

/// When a commit began, was in force, and was as safe as the durability says.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    began: usize,
    acked: usize,
    synced: usize,
}

impl Run {
    /// Commits offsets for a group: that of the next record to read.
    pub(crate) fn commit(&mut self, group: &str, topic: &str, offsets: &[(u32, Offset)]) {
        let id = self.broker().topic(topic).expect("the topic is there").id();
        let builder = self.broker().consumer().group(group).auto_commit(None);
        let mut consumer = builder
            .auto_offset_reset(Position::Earliest)
            .build()
            .expect("a consumer");
        let commit: Vec<_> = offsets
            .iter()
            .map(|(number, at)| (TopicPartition::new(topic, *number), *at))
            .collect();
        let (began, result, done) = self.timed(|_| consumer.commit_offsets(&commit));
        result.expect("offsets are committed");
        let moments = Moments {
            began,
            acked: done,
            synced: done,
        };
        self.note_commit(group, &id, offsets, moments);
    }

    pub(super) fn note_commit(
        &mut self,
        group: &str,
        id: &str,
        offsets: &[(u32, Offset)],
        moments: Moments,
    ) {
        let Moments {
            began,
            acked,
            synced,
        } = moments;
        let is_synced = self.durability == Durability::Synced;
        let synced = if is_synced { synced } else { NEVER };
        for (number, value) in offsets {
            let key = (group.to_owned(), id.to_owned(), *number);
            let sets = self.ledger.commits.entry(key).or_default();
            sets.push(Set {
                began,
                acked,
                synced,
                value: *value,
            });
        }
        // What was noted of the group before comes before this in the same log.
        let stored = self.ledger.generations.entry(group.to_owned()).or_default();
        for set in stored.iter_mut().filter(|set| set.began <= began) {
            set.acked = set.acked.min(acked);
            set.synced = set.synced.min(synced);
        }
    }

    /// A new member of a group, which gets up to two records at a time.
    pub(crate) fn join(&mut self, group: &str, topic: &str) -> Consumer {
        let builder = self.broker().consumer().group(group).auto_commit(None);
        let mut member = builder
            .auto_offset_reset(Position::Earliest)
            .max_poll_records(2)
            .build()
            .expect("a consumer");
        let (began, result, done) = self.timed(|_| member.subscribe([topic]));
        result.expect("it joins");
        let described = self.describe(group);
        if described.members.len() == 1 {
            self.note_generation(group, described.generation, began, done);
        }
        member
    }

    pub(crate) fn leave(&mut self, member: Consumer) {
        let group = member.group().expect("a member").to_owned();
        let before = self.describe(&group);
        let (began, result, done) = self.timed(|_| member.close());
        result.expect("it leaves");
        if before.members.len() == 1 {
            // A group that nobody is in owns nothing any more, which is another generation.
            self.note_generation(&group, before.generation + 1, began, done);
        }
    }

    pub(super) fn describe(&self, group: &str) -> GroupDescription {
        let described = self.broker().group(group).describe();
        described.expect("the group is there")
    }

    pub(super) fn note_generation(
        &mut self,
        group: &str,
        generation: i32,
        began: usize,
        done: usize,
    ) {
        // Before there is a log, it waits for the first commit.
        let has_log = self.broker().topic("__consumer_offsets").is_ok();
        let sets = self.ledger.generations.entry(group.to_owned());
        sets.or_default().push(Set {
            began,
            acked: if has_log { done } else { NEVER },
            synced: NEVER,
            value: generation,
        });
    }

    /// A member polls, and commits how far it has come.
    pub(crate) fn work(&mut self, member: &mut Consumer, topic: &str) {
        self.work_and(member, topic, |run, member| {
            let (began, result, done) = run.timed(|_| member.commit());
            result.expect("offsets are committed");
            Moments {
                began,
                acked: done,
                synced: done,
            }
        });
    }

    /// The same, with a commit that is waited for later.
    pub(crate) fn work_async(&mut self, member: &mut Consumer, topic: &str) {
        self.work_and(member, topic, |run, member| {
            let (began, receipt, acked) = run.timed(|_| member.commit_async());
            let receipt = receipt.expect("offsets are committed");
            let (_, result, synced) = run.timed(|_| receipt.wait());
            result.expect("the commit is acknowledged");
            Moments {
                began,
                acked,
                synced,
            }
        });
    }

    pub(super) fn work_and(
        &mut self,
        member: &mut Consumer,
        topic: &str,
        commit: impl FnOnce(&mut Self, &mut Consumer) -> Moments,
    ) {
        let (_, records, _) = self.timed(|_| member.poll(Duration::ZERO));
        records.expect("a poll");
        let offsets: Vec<_> = member
            .assignment()
            .into_iter()
            .map(|id| (id.partition(), member.position(&id).expect("a position")))
            .collect();
        let moments = commit(self, member);
        let id = self.broker().topic(topic).expect("the topic is there").id();
        let group = member.group().expect("a member").to_owned();
        self.note_commit(&group, &id, &offsets, moments);
    }

    /// Makes the topic for committed offsets, with one partition instead of 50: fewer files, more
    /// crashes in the same time.
    pub(crate) fn create_offsets_topic(&mut self) {
        let config = TopicConfig::default().partitions(1);
        let made = self.broker().create_topic("__consumer_offsets", config);
        made.expect("the topic is made");
    }

    /// A topic that was made again has nothing of the one before.
    pub(crate) fn expect_no_commit(&mut self, group: &str, topic: &str, partition: u32) {
        let consumer = self
            .broker()
            .consumer()
            .group(group)
            .build()
            .expect("a consumer");
        let committed = consumer
            .committed(&TopicPartition::new(topic, partition))
            .expect("a look-up");
        assert_eq!(committed, None, "inherited from a topic that was deleted");
        let id = self.broker().topic(topic).expect("the topic is there").id();
        self.ledger
            .commits
            .insert((group.to_owned(), id, partition), Vec::new());
    }
}
