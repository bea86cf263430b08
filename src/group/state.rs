//! One group: its members, what each is to have (its *target*), and who owns what right now.
//!
//! ```text
//!   join, leave, topics change ─▶ rebalance: the assignor makes new targets, the generation rises
//!   a member's next step:  owned - target ─▶ Revoke: it stops, commits, and releases
//!                          target - owned, where nobody owns it ─▶ Assign: it is the owner now
//! ```
//! This is the shape of KIP-848: no barrier, no leader; each member moves at its own pace, and what
//! does not move never stops. Invariants:
//! * A partition has at most one owner. It becomes free only when its owner releases it, or is
//!   removed: then nothing the former owner does counts any more.
//! * Targets do not overlap, whatever an assignor says.
//! * Whoever has a next step has been told, and is until it is [settled](Step::Settled).
//!
//! Plain data under the group's lock: no I/O, and time comes in from outside. Elsewhere: the lock,
//! and who calls ([`coordinator`](super::coordinator)); what a member does in each step
//! (`consumer::rebalance`).

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
pub(crate) use super::member::{MemberId, MemberView, Profile};
use super::signal::Signal;
pub(crate) use super::step::{Fence, Granted, REPLACED, Step};
use super::topics::KnownTopics;
pub(crate) use super::topics::{FirstSeen, TopicFacts};
use crate::error::{Error, Result};
use crate::record::TopicPartition;

/// What a member subscribes to, and what is known about it at the time.
pub(crate) struct Subscribed<'a> {
    pub(crate) topics: BTreeSet<String>,
    /// `None` if there is no such topic.
    pub(crate) facts: &'a dyn Fn(&str) -> Option<TopicFacts>,
    /// Topics that are made later have a higher serial number.
    pub(crate) last_serial: u64,
    /// The broker's monotonic time.
    pub(crate) now: Duration,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct GroupMembers {
    generation: i32,
    members: BTreeMap<MemberId, Member>,
    owners: BTreeMap<TopicPartition, MemberId>,
    topics: KnownTopics,
    /// Static members that were replaced and have not left yet.
    replaced: BTreeSet<MemberId>,
    /// Members are idle since then at the earliest: the process was not running before.
    forgiven: Duration,
}

impl GroupMembers {
    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// Goes on from the generation that a former process had come to.
    pub(super) fn resume_generation(&mut self, generation: i32) {
        self.generation = self.generation.max(generation);
    }

    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_member(&self, id: &MemberId) -> bool {
        self.members.contains_key(id)
    }

    /// The topics that members subscribe to.
    pub(super) fn subscribed_topics(&self) -> BTreeSet<String> {
        let members = self.members.values();
        members
            .flat_map(|member| member.topics.iter().cloned())
            .collect()
    }

    /// True if every member owns what it is to own.
    pub(super) fn is_settled(&self) -> bool {
        let mut present = self.members.values().filter(|member| member.is_present());
        present.all(|member| member.owned == member.target)
    }

    /// The name of the assignor that all members agree on.
    pub(super) fn assignor(&self) -> Option<&str> {
        let first = self.members.values().next()?;
        Some(first.profile.assignor.name())
    }

    pub(super) fn views(&self) -> Vec<MemberView> {
        let members = self.members.iter();
        members.map(|(id, member)| member.view(id)).collect()
    }

    /// Adds a member. One that comes with the instance id of another takes its place, without
    /// moving anything if it subscribes to the same topics (KIP-345).
    pub(super) fn join(
        &mut self,
        id: MemberId,
        profile: Profile,
        signal: Arc<Signal>,
        subscribed: Subscribed<'_>,
    ) -> Result<()> {
        let Subscribed {
            topics,
            facts,
            last_serial,
            now,
        } = subscribed;
        if self.members.is_empty() {
            self.topics = KnownTopics::since(last_serial);
        }
        let place = profile.instance_id.as_deref();
        let place = place.and_then(|instance| self.find_instance(instance));
        self.check_assignor(&profile, place.as_ref())?;
        let mut member = Member::new(profile, signal, topics, self.generation);
        let mut same_subscription = false;
        if let Some(former) = place.and_then(|former| self.replace(&former)) {
            same_subscription = former.topics == member.topics && former.revoking_since.is_none();
            member.target = former.target;
        }
        self.members.insert(id, member);
        let topics_changed = self.learn_topics(facts);
        if !same_subscription || topics_changed {
            self.rebalance(now);
        }
        Ok(())
    }

    /// A member subscribes to these topics instead, or finds that topics or partitions came or went.
    pub(super) fn subscribe(&mut self, id: &MemberId, subscribed: Subscribed<'_>) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let topics = subscribed.topics;
        let changed = std::mem::replace(&mut member.topics, topics) != member.topics;
        let topics_changed = self.learn_topics(subscribed.facts);
        if changed || topics_changed {
            self.rebalance(subscribed.now);
        }
    }

    /// What a member has to do. Its granted partitions are its own when this returns.
    pub(super) fn next_step(&mut self, id: &MemberId) -> Step {
        let Some(member) = self.members.get_mut(id) else {
            let replaced = self.replaced.contains(id);
            return Step::Fenced(if replaced {
                Fence::Replaced
            } else {
                Fence::Late
            });
        };
        let surplus: Vec<_> = member.owned.difference(&member.target).cloned().collect();
        if !surplus.is_empty() {
            return Step::Revoke(surplus);
        }
        member.generation = self.generation;
        let missing = member.target.difference(&member.owned);
        let free: Vec<_> = missing
            .filter(|partition| !self.owners.contains_key(partition))
            .cloned()
            .collect();
        if free.is_empty() {
            member.signal.take_news();
            return Step::Settled;
        }
        let grant = |partition: TopicPartition| {
            member.owned.insert(partition.clone());
            self.owners.insert(partition.clone(), Arc::clone(id));
            Granted {
                added: self.topics.is_added(&partition),
                serial: self.topics.serial(&partition),
                partition,
            }
        };
        Step::Assign(free.into_iter().map(grant).collect())
    }

    /// A member has stopped reading these.
    pub(super) fn release(&mut self, id: &MemberId, partitions: &[TopicPartition], now: Duration) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let released: Vec<_> = partitions
            .iter()
            .filter(|partition| member.owned.remove(*partition))
            .cloned()
            .collect();
        if member.owned.is_subset(&member.target) {
            member.revoking_since = None;
        }
        if self.free(&released) {
            // A cooperative assignor left them out until they were free: now they are.
            self.rebalance(now);
        }
    }

    /// A member leaves. The place of a static one is kept for its session timeout.
    pub(super) fn leave(&mut self, id: &MemberId, now: Duration) {
        self.replaced.remove(id);
        match self.members.get_mut(id) {
            Some(member) if member.profile.instance_id.is_some() => {
                member.away_since = Some(now);
                member.revoking_since = None;
                let owned = take_all(&mut member.owned);
                if self.free(&owned) {
                    self.rebalance(now);
                }
            }
            _ => self.remove(std::slice::from_ref(id), now),
        }
    }

    /// `Err(Fenced)` unless the member owns all of these.
    pub(super) fn check_owner<'a>(
        &self,
        id: &MemberId,
        mut partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        if !self.members.contains_key(id) {
            let reason = if self.replaced.contains(id) {
                REPLACED
            } else {
                "it did not poll within max.poll.interval.ms and lost its partitions"
            };
            let reason = reason.to_owned();
            return Err(Error::Fenced { reason });
        }
        match partitions.find(|partition| self.owners.get(*partition) != Some(id)) {
            None => Ok(()),
            Some(partition) => Err(Error::Fenced {
                reason: format!("{partition} is not assigned to this member of the group"),
            }),
        }
    }

    /// See [`KnownTopics::first_seen`].
    pub(super) fn first_seen(
        &mut self,
        id: &TopicPartition,
        serial: u64,
        look: impl FnOnce() -> FirstSeen,
    ) -> FirstSeen {
        self.topics.first_seen(id, serial, look)
    }

    /// What a member owns.
    pub(super) fn owned(&self, id: &MemberId) -> Vec<TopicPartition> {
        let member = self.members.get(id);
        member.map_or_else(Vec::new, |member| member.owned.iter().cloned().collect())
    }

    /// Who has not polled so far has a full interval from now on.
    pub(super) fn forgive(&mut self, now: Duration) {
        self.forgiven = now;
    }

    /// Removes members that are overdue at `now`; returns when the next may be.
    pub(super) fn remove_late(&mut self, now: Duration) -> Option<Duration> {
        let forgiven = self.forgiven;
        let members = self.members.iter();
        let late = members.filter(|(_, member)| member.is_late(forgiven, now));
        let late: Vec<_> = late.map(|(id, _)| Arc::clone(id)).collect();
        if !late.is_empty() {
            self.remove(&late, now);
        }
        let deadlines = self.members.values();
        deadlines
            .filter_map(|member| member.deadline(forgiven, now))
            .min()
    }

    fn remove(&mut self, ids: &[MemberId], now: Duration) {
        for id in ids {
            let Some(mut member) = self.members.remove(id) else {
                continue;
            };
            self.free(&take_all(&mut member.owned));
            member.signal.tell();
        }
        if self.members.is_empty() {
            self.generation = self.generation.saturating_add(1);
            self.topics = KnownTopics::default();
        } else {
            self.rebalance(now);
        }
    }

    /// Takes the place of a static member away from it.
    fn replace(&mut self, id: &MemberId) -> Option<Member> {
        let mut former = self.members.remove(id)?;
        self.free(&take_all(&mut former.owned));
        if former.is_present() {
            self.replaced.insert(Arc::clone(id));
            former.signal.tell();
        }
        Some(former)
    }

    fn find_instance(&self, instance: &str) -> Option<MemberId> {
        let named = |member: &Member| member.profile.instance_id.as_deref() == Some(instance);
        let found = self.members.iter().find(|(_, member)| named(member));
        found.map(|(id, _)| Arc::clone(id))
    }

    /// All members have to agree, but for the one whose place is taken.
    fn check_assignor(&self, profile: &Profile, place: Option<&MemberId>) -> Result<()> {
        let others = self.members.iter().filter(|(id, _)| Some(*id) != place);
        let names = others.map(|(_, member)| member.profile.assignor.name());
        match names
            .into_iter()
            .find(|name| *name != profile.assignor.name())
        {
            None => Ok(()),
            Some(name) => Err(Error::InconsistentGroupProtocol {
                ours: profile.assignor.name().to_owned(),
                theirs: name.to_owned(),
            }),
        }
    }

    /// Looks up the subscribed topics; true if anything about them has changed.
    fn learn_topics(&mut self, facts: &dyn Fn(&str) -> Option<TopicFacts>) -> bool {
        let subscribed = self.subscribed_topics();
        self.topics.learn(subscribed, facts)
    }

    /// Nobody owns these any more. Tells those who are to; true if nobody is to own one of them.
    fn free(&mut self, partitions: &[TopicPartition]) -> bool {
        let mut unplaced = false;
        for partition in partitions {
            self.owners.remove(partition);
            let mut members = self.members.values();
            match members.find(|member| member.target.contains(partition)) {
                Some(next) => next.signal.tell(),
                None => unplaced |= self.topics.exists(partition),
            }
        }
        unplaced
    }

    /// Makes new targets. What a cooperative assignor leaves out because it has to change hands is
    /// tried again: at once if nobody owns it, else when it is released.
    fn rebalance(&mut self, now: Duration) {
        /// Kafka's assignors need three at most; an application's own may never be content.
        const MOST_ROUNDS: usize = 20;
        for _ in 0..MOST_ROUNDS {
            let changed = self.retarget(now);
            if !changed || !self.has_unplaced() {
                break;
            }
        }
    }

    /// True if some partition is neither owned nor anybody's target.
    fn has_unplaced(&self) -> bool {
        let targeted = self.members.values().flat_map(|member| &member.target);
        let placed: BTreeSet<_> = targeted.chain(self.owners.keys()).collect();
        let placed = placed
            .into_iter()
            .filter(|partition| self.topics.exists(partition));
        (placed.count() as u64) < self.topics.partition_count()
    }

    /// Asks the assignor once; true if a target has changed.
    fn retarget(&mut self, now: Duration) -> bool {
        let Some(targets) = self.compute_targets() else {
            return false;
        };
        let mut members = self.members.iter();
        if members.all(|(id, member)| targets.get(id) == Some(&member.target)) {
            return false;
        }
        self.generation = self.generation.saturating_add(1);
        for (id, target) in targets {
            if let Some(member) = self.members.get_mut(&id) {
                member.target = target;
                member.follow_target(self.generation, now);
            }
        }
        true
    }

    /// `None` if there is nobody, or the assignor panics: the targets stay then as they are. The
    /// caller may be somebody who has nothing to do with it.
    fn compute_targets(&self) -> Option<BTreeMap<MemberId, BTreeSet<TopicPartition>>> {
        let first = self.members.values().next()?;
        let members = self.members.iter();
        let subscriptions: Vec<_> = members
            .map(|(id, member)| member.subscription(id, self.generation))
            .collect();
        let partitions = self.topics.partitions();
        let assignor = &first.profile.assignor;
        let assign = AssertUnwindSafe(|| assignor.assign(&subscriptions, &partitions));
        let mut assignment = catch_unwind(assign).ok()?;
        let mut taken = BTreeSet::new();
        let targets = self.members.iter().map(|(id, member)| {
            let assigned = assignment.remove(&**id).unwrap_or_default().into_iter();
            let valid = assigned.filter(|partition| {
                member.topics.contains(partition.topic())
                    && self.topics.exists(partition)
                    && taken.insert(partition.clone())
            });
            (Arc::clone(id), valid.collect())
        });
        Some(targets.collect())
    }
}

fn take_all(partitions: &mut BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
    std::mem::take(partitions).into_iter().collect()
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
