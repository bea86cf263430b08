//! Forgetting offsets of groups that nobody uses any more (`offsets.retention.minutes`).
//!
//! Kafka's rules. Of a group without members, an offset expires the retention time after
//! the group became empty; of a simple group, after it was committed; of a live group only offsets of topics
//! expire that it does not subscribe to any more, counted from their commit. A group that has
//! nothing left is forgotten. In one thing we keep more: what was committed for a group while it was
//! empty (a reset) counts from its commit.
//!
//! Time is the broker's wall clock, as in Kafka. A clock that was set forward by more than the retention
//! time expires what it should not; one that was set back keeps for longer.
//!
//! Only partitions that are in memory are looked at: a process that uses no groups forgets none, and
//! pays nothing. The next look is when something may expire, at least [`CHECK_INTERVAL`] later.
//!
//! Locks: a group without members is expired under the lock of its members, so that nobody joins
//! meanwhile; the log's lock comes behind that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::offset_log::OffsetLog;
use super::offsets::OffsetStore;
use super::stored::{Change, GroupRecord, Groups, OffsetAndMetadata, StoredGroup, milliseconds};
use crate::broker::{Housekeeping, Upkeep};
use crate::clock::Clock;
use crate::error::Result;
use crate::record::{Timestamp, TopicPartition};

/// How often to look at most (Kafka's `offsets.retention.check.interval.ms`).
const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// A commit that repeats an offset is written again if the former one is as old as this, so that
/// what is in use does not look abandoned.
const LONGEST_REFRESH: Duration = Duration::from_secs(3600);

/// What all parts of the store know about expiry.
#[derive(Debug)]
pub(crate) struct Expiry {
    /// `None`: nothing expires.
    retention: Option<Duration>,
    clock: Arc<dyn Clock>,
    housekeeping: Arc<Housekeeping>,
    /// When to look next, on the monotonic clock; `None` while nothing is in memory.
    next: Mutex<Option<Duration>>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Nobody.
    Gone,
    /// Members that subscribe to these topics.
    Subscribed(BTreeSet<String>),
}

impl Expiry {
    pub(crate) fn new(
        retention: Option<Duration>,
        clock: Arc<dyn Clock>,
        housekeeping: Arc<Housekeeping>,
    ) -> Self {
        Self {
            retention,
            clock,
            housekeeping,
            next: Mutex::new(None),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// From which age on a commit that changes nothing is written all the same.
    pub(super) fn refresh(&self) -> Duration {
        self.retention.map_or(LONGEST_REFRESH, |retention| {
            LONGEST_REFRESH.min(retention / 4)
        })
    }

    /// Groups came into memory, which may be old.
    pub(super) fn check_soon(&self) {
        if self.retention.is_some() {
            self.check_in(CHECK_INTERVAL);
        }
    }

    fn check_in(&self, wait: Duration) {
        let due = self.clock.monotonic().saturating_add(wait);
        let mut next = self.next.lock();
        *next = Some(next.map_or(due, |next| next.min(due)));
        drop(next);
        self.housekeeping.due_at(due);
    }

    /// True, once, when it is time to look.
    fn take_due(&self, now: Duration) -> bool {
        self.next.lock().take_if(|next| *next <= now).is_some()
    }
}

impl Upkeep for OffsetStore {
    fn keep_up(&self, now: Duration) -> (Result<()>, Option<Duration>) {
        let outcome = if self.expiry.take_due(now) {
            self.expire()
        } else {
            Ok(())
        };
        let members = self.coordinator().remove_late(now);
        let expiry = *self.expiry.next.lock();
        let next = [members, expiry].into_iter().flatten().min();
        (outcome, next)
    }

    fn resumed(&self, now: Duration) {
        self.coordinator().forgive(now);
    }
}

impl OffsetStore {
    /// Forgets what has expired, in the partitions that are in memory, and says when to look again.
    /// Returns the first failure; what it concerns is tried again.
    fn expire(&self) -> Result<()> {
        let Some(retention) = self.expiry.retention else {
            return Ok(());
        };
        let now = self.expiry.now();
        let mut outcome = Ok(());
        let mut next: Option<Timestamp> = None;
        for log in self.logs() {
            let names = log.read_loaded(|groups| groups.keys().cloned().collect::<Vec<_>>());
            for group in names.iter().flatten() {
                let expired = self.expire_group(log, group, now, retention);
                outcome = outcome.and(expired);
            }
            let oldest = log.read_loaded(oldest).flatten();
            next = next.into_iter().chain(oldest).min();
        }
        if let Some(oldest) = next {
            let age = u64::try_from(now.saturating_sub(oldest)).unwrap_or(0);
            let wait = retention.saturating_sub(Duration::from_millis(age));
            self.expiry.check_in(wait.max(CHECK_INTERVAL));
        }
        outcome
    }

    /// Under the members' lock: nobody joins, nor subscribes to more, while that is being forgotten.
    fn expire_group(
        &self,
        log: &OffsetLog,
        name: &str,
        now: Timestamp,
        retention: Duration,
    ) -> Result<()> {
        let limit = now.saturating_sub(milliseconds(retention));
        self.coordinator().with_topics(name, |members, topics| {
            let liveness = match members {
                0 => Liveness::Gone,
                _ => Liveness::Subscribed(topics.clone()),
            };
            let written = log.write(now, |groups| {
                Ok(groups.get(name).map_or_else(Vec::new, |group| {
                    expired(name, group, &liveness, now, limit)
                }))
            });
            written.map(drop)
        })
    }
}

/// What goes of a group at `now`, where everything up to `limit` has expired.
fn expired(
    name: &str,
    group: &StoredGroup,
    liveness: &Liveness,
    now: Timestamp,
    limit: Timestamp,
) -> Vec<Change> {
    let empty_since = empty_since(group, now);
    let is_over = |partition: &TopicPartition, committed: &OffsetAndMetadata| match liveness {
        Liveness::Subscribed(topics) => {
            !topics.contains(partition.topic()) && committed.commit_timestamp <= limit
        }
        Liveness::Gone => committed.commit_timestamp.max(empty_since) <= limit,
    };
    let over = group.offsets.iter();
    let mut changes: Vec<_> = over
        .filter(|(partition, committed)| is_over(partition, committed))
        .map(|(partition, _)| Change::offset(name, partition, None))
        .collect();
    if let (Some(record), Liveness::Gone) = (&group.record, liveness) {
        if changes.len() == group.offsets.len() && empty_since <= limit {
            changes.push(Change::record(name, None));
        } else if record.empty_since.is_none() || !record.is_noted {
            changes.push(Change::record(name, Some(noted(record, now))));
        }
    }
    changes
}

/// The record that says since when its group is empty. From here on that survives a restart.
fn noted(record: &GroupRecord, now: Timestamp) -> GroupRecord {
    GroupRecord {
        empty_since: Some(record.empty_since.unwrap_or(now)),
        is_noted: true,
        ..record.clone()
    }
}

/// From when on the retention time of a group without members counts at the earliest. A group whose
/// members are gone without a word is empty from now on. Simple groups never had members.
fn empty_since(group: &StoredGroup, now: Timestamp) -> Timestamp {
    match &group.record {
        Some(record) if !record.protocol_type.is_empty() => record.empty_since.unwrap_or(now),
        _ => Timestamp::MIN,
    }
}

/// The earliest time that the retention of anything in these groups may count from.
fn oldest(groups: &Groups) -> Option<Timestamp> {
    let times = groups.values().flat_map(|group| {
        let empty_since = empty_since(group, Timestamp::MIN);
        let commits = group.offsets.values();
        commits
            .map(move |committed| committed.commit_timestamp.max(empty_since))
            .chain(group.record.iter().filter_map(|record| record.empty_since))
    });
    times.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that committed at 10 (`a`) and 20 (`b`).
    fn group(record: Option<GroupRecord>) -> StoredGroup {
        let committed = |commit_timestamp| OffsetAndMetadata {
            commit_timestamp,
            ..OffsetAndMetadata::at(1)
        };
        StoredGroup {
            record,
            offsets: [("a", 10), ("b", 20)]
                .map(|(topic, time)| (TopicPartition::new(topic, 0), committed(time)))
                .into(),
        }
    }

    fn gone(topic: &str) -> Change {
        Change::offset("g", &TopicPartition::new(topic, 0), None)
    }

    fn after(group: &StoredGroup, liveness: &Liveness, limit: Timestamp) -> Vec<Change> {
        expired("g", group, liveness, 1000, limit)
    }

    #[test]
    fn offsets_of_a_simple_group_count_from_their_commit() {
        let group = group(None);
        assert_eq!(after(&group, &Liveness::Gone, 9), []);
        assert_eq!(after(&group, &Liveness::Gone, 10), [gone("a")]);
        assert_eq!(after(&group, &Liveness::Gone, 20), [gone("a"), gone("b")]);
    }

    #[test]
    fn offsets_of_an_empty_group_count_from_when_it_became_empty() {
        let group = group(Some(GroupRecord::of_consumers(3, Some(15))));
        assert_eq!(after(&group, &Liveness::Gone, 14), []);
        assert_eq!(
            after(&group, &Liveness::Gone, 15),
            [gone("a")],
            "`b` was committed later"
        );
        let everything = [gone("a"), gone("b"), Change::record("g", None)];
        assert_eq!(after(&group, &Liveness::Gone, 20), everything);
    }

    #[test]
    fn a_live_group_keeps_what_it_subscribes_to() {
        let group = group(Some(GroupRecord::of_consumers(3, None)));
        let subscribed = |topics: &[&str]| {
            Liveness::Subscribed(topics.iter().map(|&topic| topic.to_owned()).collect())
        };
        assert_eq!(after(&group, &subscribed(&["a", "b"]), 999), []);
        assert_eq!(after(&group, &subscribed(&["a"]), 19), []);
        assert_eq!(after(&group, &subscribed(&["a"]), 20), [gone("b")]);
    }

    #[test]
    fn a_group_whose_members_are_gone_without_a_word_is_empty_from_now_on() {
        let group = group(Some(GroupRecord::of_consumers(3, None)));
        let noted = Change::record("g", Some(GroupRecord::of_consumers(3, Some(1000))));
        assert_eq!(after(&group, &Liveness::Gone, 999), [noted]);
    }

    #[test]
    fn a_group_found_live_is_written_down_as_empty_since_it_was_found() {
        let found = GroupRecord {
            is_noted: false,
            ..GroupRecord::of_consumers(3, Some(700))
        };
        let group = group(Some(found));
        let noted = Change::record("g", Some(GroupRecord::of_consumers(3, Some(700))));
        assert_eq!(after(&group, &Liveness::Gone, 699), [noted]);
        assert_eq!(after(&group, &Liveness::Gone, 700).len(), 3);
    }

    #[test]
    fn the_next_look_is_for_what_expires_first() {
        let groups = |record| Groups::from([("g".to_owned(), group(record))]);
        assert_eq!(oldest(&Groups::new()), None);
        assert_eq!(oldest(&groups(None)), Some(10));
        let of = |empty_since| groups(Some(GroupRecord::of_consumers(1, empty_since)));
        assert_eq!(oldest(&of(Some(15))), Some(15));
        assert_eq!(oldest(&of(None)), Some(10), "it may give up a topic");
    }
}
