//! One member of a group: what it says of itself, what it is to own and owns, and until when it may go
//! without a sign of life.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::assignor::{Assignor, MemberSubscription};
use super::signal::Signal;
use crate::record::TopicPartition;

/// Names one membership: never used again, so whoever knows it can be told from a successor.
pub(crate) type MemberId = Arc<str>;

/// What a member says of itself when it joins.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// The name of a static member (`group.instance.id`).
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    /// The thread that joined.
    pub(crate) host: String,
    pub(crate) assignor: Arc<dyn Assignor>,
    /// How long it may go without a poll, and take to give partitions up.
    pub(crate) max_poll_interval: Duration,
    /// How long the place of a static member is kept when it leaves.
    pub(crate) session_timeout: Duration,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) profile: Profile,
    pub(super) topics: BTreeSet<String>,
    pub(super) signal: Arc<Signal>,
    /// What it is to own.
    pub(super) target: BTreeSet<TopicPartition>,
    /// What it owns. Its own view may lag behind only in having less.
    pub(super) owned: BTreeSet<TopicPartition>,
    /// The generation it has caught up with.
    pub(super) generation: i32,
    /// Since when it owns more than its target.
    pub(super) revoking_since: Option<Duration>,
    /// Since when a static member is gone, with its place kept.
    pub(super) away_since: Option<Duration>,
}

/// One member, to look at.
#[derive(Debug, Clone)]
pub(crate) struct MemberView {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) owned: Vec<TopicPartition>,
    pub(crate) generation: i32,
}

impl Member {
    /// What it looks like from outside.
    pub(super) fn view(&self, id: &MemberId) -> MemberView {
        MemberView {
            id: Arc::clone(id),
            instance_id: self.profile.instance_id.clone(),
            client_id: self.profile.client_id.clone(),
            host: self.profile.host.clone(),
            owned: self.owned.iter().cloned().collect(),
            generation: self.generation,
        }
    }

    /// What an assignor is told. What it is to own counts as owned; who is the owner in fact is the
    /// group's business.
    pub(super) fn subscription(&self, id: &MemberId, generation: i32) -> MemberSubscription {
        let subscription = MemberSubscription::new(&**id, self.topics.iter().cloned())
            .owned(self.target.iter().cloned(), generation);
        match &self.profile.instance_id {
            Some(instance) => subscription.instance_id(instance),
            None => subscription,
        }
    }

    pub(super) fn new(
        profile: Profile,
        signal: Arc<Signal>,
        topics: BTreeSet<String>,
        generation: i32,
    ) -> Self {
        Self {
            profile,
            topics,
            signal,
            target: BTreeSet::new(),
            owned: BTreeSet::new(),
            generation,
            revoking_since: None,
            away_since: None,
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.away_since.is_none()
    }

    /// Its target is a new one.
    pub(super) fn follow_target(&mut self, generation: i32, now: Duration) {
        if self.owned == self.target {
            self.generation = generation;
            self.revoking_since = None;
            return;
        }
        if self.owned.is_subset(&self.target) {
            self.revoking_since = None;
        } else {
            self.revoking_since.get_or_insert(now);
        }
        self.signal.tell();
    }

    /// When its time to give partitions up is over, or its place as a static member.
    fn hard_deadline(&self, forgiven: Duration) -> Option<Duration> {
        let (since, patience) = match (self.away_since, self.revoking_since) {
            (Some(since), _) => (since, self.profile.session_timeout),
            (None, Some(since)) => (since, self.profile.max_poll_interval),
            (None, None) => return None,
        };
        Some(since.max(forgiven).saturating_add(patience))
    }

    /// When it has to poll.
    fn poll_deadline(&self, idle_since: Option<Duration>, forgiven: Duration) -> Option<Duration> {
        let since = idle_since.filter(|_| self.is_present())?.max(forgiven);
        Some(since.saturating_add(self.profile.max_poll_interval))
    }

    /// True if its time is over. Who begins a poll at the last moment stays.
    pub(super) fn is_late(&self, forgiven: Duration, now: Duration) -> bool {
        let is_over = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        if is_over(self.hard_deadline(forgiven)) {
            return true;
        }
        let idle_since = self.signal.idle_since();
        is_over(self.poll_deadline(idle_since, forgiven))
            && idle_since.is_some_and(|since| self.signal.fence_idle(since))
    }

    /// When to look at it again.
    pub(super) fn deadline(&self, forgiven: Duration, now: Duration) -> Option<Duration> {
        // Who polls now may stop at once.
        let idle_since = self.signal.idle_since().or(Some(now));
        let poll = self.poll_deadline(idle_since, forgiven);
        [self.hard_deadline(forgiven), poll]
            .into_iter()
            .flatten()
            .min()
    }
}
