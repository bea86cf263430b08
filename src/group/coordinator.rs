//! The coordinator: all groups of a broker, and the place of each consumer in its group.
//!
//! A group's state is plain data under the group's lock ([`state`](super::state)). Commits are
//! written under the same lock, so one that counts was made by the owner, and the next owner finds
//! it: there is nothing in between. In the lock order: the list of groups, a group, the offsets.
//!
//! Nobody sends heartbeats. A member lives until it is dropped; one that does not poll for
//! `max.poll.interval.ms` is removed by the housekeeping thread. Time in which the process did not
//! run at all (it was stopped, or the machine slept) does not count against its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::signal::Signal;
use super::state::{FirstSeen, GroupMembers, MemberId, MemberView, Profile, Step, Subscribed};
use crate::error::{Error, Result};
use crate::record::TopicPartition;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// All groups that had a member since the broker was opened.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    members_so_far: AtomicU64,
}

/// One group.
#[derive(Debug, Default)]
struct Group {
    members: Mutex<GroupMembers>,
}

/// Who joins.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) profile: Profile,
    pub(crate) signal: Arc<Signal>,
}

/// A group, to look at.
#[derive(Debug, Clone)]
pub(crate) struct GroupView {
    pub(crate) generation: i32,
    pub(crate) assignor: Option<String>,
    /// Every member owns what it is to own.
    pub(crate) is_settled: bool,
    pub(crate) members: Vec<MemberView>,
}

impl Coordinator {
    /// Joins a group. `stored_generation` is where a former process left it; `record` notes the
    /// generation with which it has come to life.
    pub(crate) fn join(
        &self,
        group: &str,
        joining: Joining,
        subscribed: Subscribed<'_>,
        stored_generation: i32,
        record: impl FnOnce(i32),
    ) -> Result<Membership> {
        let Joining { profile, signal } = joining;
        let id = self.new_member_id(&profile.client_id);
        let group = self.group_or_new(group);
        let mut members = group.members.lock();
        let is_first = members.count() == 0;
        members.resume_generation(stored_generation);
        members.join(Arc::clone(&id), profile, Arc::clone(&signal), subscribed)?;
        if is_first {
            record(members.generation());
        }
        drop(members);
        Ok(Membership { group, id, signal })
    }

    /// Runs `action` while the group has no member, and keeps it so meanwhile.
    ///
    /// # Errors
    /// `GroupNotEmpty`, and what `action` answers.
    pub(crate) fn with_empty<T>(
        &self,
        group: &str,
        action: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.with_topics(group, |members, _| match members {
            0 => action(),
            members => Err(Error::GroupNotEmpty {
                group: group.to_owned(),
                members,
            }),
        })
    }

    /// Runs `action` with the number of members and the topics they subscribe to, and keeps them so
    /// meanwhile.
    pub(crate) fn with_topics<T>(
        &self,
        group: &str,
        action: impl FnOnce(usize, &BTreeSet<String>) -> T,
    ) -> T {
        let entry = self.group_or_new(group);
        let members = entry.members.lock();
        let result = action(members.count(), &members.subscribed_topics());
        let was_used = members.generation() > 0;
        drop(members);
        drop(entry);
        if !was_used {
            self.forget_unused(group);
        }
        result
    }

    /// A group that has members; `None` if it has none.
    pub(crate) fn view(&self, group: &str) -> Option<GroupView> {
        let group = self.group(group)?;
        let members = group.members.lock();
        (members.count() > 0).then(|| GroupView {
            generation: members.generation(),
            assignor: members.assignor().map(str::to_owned),
            is_settled: members.is_settled(),
            members: members.views(),
        })
    }

    /// The groups that have members, by name, and whether every member owns what it is to own.
    pub(crate) fn live_groups(&self) -> Vec<(String, bool)> {
        let groups = self.groups.lock();
        let live = groups.iter().filter_map(|(name, group)| {
            let members = group.members.lock();
            (members.count() > 0).then(|| (name.clone(), members.is_settled()))
        });
        live.collect()
    }

    /// Removes members that are overdue; returns when the next may be.
    pub(crate) fn remove_late(&self, now: Duration) -> Option<Duration> {
        let groups = self.all();
        let next = groups
            .iter()
            .map(|group| group.members.lock().remove_late(now));
        next.flatten().min()
    }

    /// The process did not run for a while: nobody is late for that.
    pub(crate) fn forgive(&self, now: Duration) {
        for group in self.all() {
            group.members.lock().forgive(now);
        }
    }

    /// Forgets a group that nobody ever joined, nor is about to.
    fn forget_unused(&self, name: &str) {
        let mut groups = self.groups.lock();
        let is_unused = |group: &Arc<Group>| {
            Arc::strong_count(group) == 1 && group.members.lock().generation() == 0
        };
        if groups.get(name).is_some_and(is_unused) {
            groups.remove(name);
        }
    }

    fn all(&self) -> Vec<Arc<Group>> {
        self.groups.lock().values().cloned().collect()
    }

    fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.lock().get(name).cloned()
    }

    fn group_or_new(&self, name: &str) -> Arc<Group> {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get(name) {
            return Arc::clone(group);
        }
        Arc::clone(groups.entry(name.to_owned()).or_default())
    }

    /// Members sort by the order in which they joined, which is what assignors go by.
    fn new_member_id(&self, client_id: &str) -> MemberId {
        let number = self.members_so_far.fetch_add(1, Ordering::Relaxed) + 1;
        let name = if client_id.is_empty() {
            "consumer"
        } else {
            client_id
        };
        format!("{name}-{number:010}").into()
    }
}

/// A consumer's place in its group. It stays until it [leaves](Self::leave).
#[derive(Debug)]
pub(crate) struct Membership {
    group: Arc<Group>,
    id: MemberId,
    signal: Arc<Signal>,
}

impl Membership {
    #[inline]
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn id(&self) -> &MemberId {
        &self.id
    }

    /// False once it was fenced.
    pub(crate) fn is_member(&self) -> bool {
        self.group.members.lock().is_member(&self.id)
    }

    /// What is to be done next. See [`Step`].
    pub(crate) fn next_step(&self) -> Step {
        self.group.members.lock().next_step(&self.id)
    }

    /// These are not read any more.
    pub(crate) fn release(&self, partitions: &[TopicPartition], now: Duration) {
        let mut members = self.group.members.lock();
        members.release(&self.id, partitions, now);
    }

    /// These are the topics that the subscription means now; topics or partitions may have come or
    /// gone.
    pub(crate) fn subscribe(&self, subscribed: Subscribed<'_>) {
        self.group.members.lock().subscribe(&self.id, subscribed);
    }

    /// What it owns.
    pub(crate) fn owned(&self) -> Vec<TopicPartition> {
        self.group.members.lock().owned(&self.id)
    }

    /// What a partition was like when the group first had it. `look` runs under the group's lock.
    pub(crate) fn first_seen(
        &self,
        id: &TopicPartition,
        serial: u64,
        look: impl FnOnce() -> FirstSeen,
    ) -> FirstSeen {
        self.group.members.lock().first_seen(id, serial, look)
    }

    /// Runs `action` while the member owns these partitions, and keeps it so meanwhile.
    ///
    /// # Errors
    /// `Fenced` if it does not own them all, and what `action` answers.
    pub(crate) fn with_owned<'a, T>(
        &self,
        partitions: impl Iterator<Item = &'a TopicPartition>,
        action: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let members = self.group.members.lock();
        members.check_owner(&self.id, partitions)?;
        action()
    }

    /// Gives up the place. `record` notes the generation in which the last member left.
    pub(crate) fn leave(self, now: Duration, record: impl FnOnce(i32)) {
        let mut members = self.group.members.lock();
        members.leave(&self.id, now);
        if members.count() == 0 {
            record(members.generation());
        }
    }
}
