//! A member's part in a rebalance: it follows the coordinator step by step, inside its own polls.
//!
//! ```text
//!   news? ─▶ Revoke: commit, tell the listener, stop reading, release
//!         ─▶ Assign: read on from the committed offset, tell the listener
//!         ─▶ Fenced: forget everything, tell the listener, join again
//! ```
//! Partitions that stay are not touched in any of these. Elsewhere: who gets what (`group::state`).

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::assignment::Assigned;
use super::listener::RebalanceListener;
use super::subscription::find_partition;
use super::{Consumer, commit};
use crate::error::{Error, Result};
use crate::group::coordinator::Joining;
use crate::group::signal::Signal;
use crate::group::state::{Fence, FirstSeen, Granted, Profile, REPLACED, Step, Subscribed};
use crate::record::TopicPartition;

/// What a listener is told.
#[derive(Debug, Clone, Copy)]
enum Event {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    /// Has `listener` told of partitions that come and go from now on, instead of an earlier one.
    /// Those that are assigned already are told of at the next poll.
    pub fn on_rebalance(&mut self, listener: impl RebalanceListener + 'static) {
        self.listener = Some(Box::new(listener));
        self.unannounced = self.assignment().into_iter().collect();
        if let Some(membership) = &self.membership {
            membership.signal().tell();
        }
    }

    /// The consumer's name in its group while it is a member (Kafka's member id).
    pub fn member_id(&self) -> Option<&str> {
        Some(self.membership.as_ref()?.id())
    }

    /// Becomes a member, with these topics.
    pub(super) fn join(&mut self, topics: BTreeSet<String>) -> Result<()> {
        let Some(group) = self.settings.group.as_deref() else {
            return Ok(());
        };
        let broker = &self.broker;
        let now = broker.clock().monotonic();
        let signal = Arc::new(Signal::new(Arc::clone(self.wakeup.waiter()), now));
        if self.polling {
            signal.begin_poll();
        }
        let profile = Profile {
            instance_id: self.settings.instance_id.clone(),
            client_id: self.settings.client_id.clone(),
            host: current_thread_name(),
            assignor: Arc::clone(&self.settings.assignor),
            max_poll_interval: self.settings.max_poll_interval,
            session_timeout: self.settings.session_timeout,
        };
        let offsets = broker.offsets();
        // Only a nicety: who cannot read what the group committed is told when that is needed.
        let stored_generation = offsets.generation(broker, group).unwrap_or(0);
        let subscribed = Subscribed {
            topics,
            facts: &|topic| broker.topic_facts(topic),
            last_serial: broker.topics_version(),
            now,
        };
        let membership = offsets.coordinator().join(
            group,
            Joining { profile, signal },
            subscribed,
            stored_generation,
            // If it cannot be written (the disk may be full), reading goes on all the same.
            |generation| drop(offsets.record_state(broker, group, generation, None)),
        )?;
        self.membership = Some(membership);
        broker.due_at(
            now.saturating_add(
                self.settings
                    .max_poll_interval
                    .min(self.settings.session_timeout),
            ),
        );
        Ok(())
    }

    /// Leaves the group, at once and without a word to the listener. Nothing is committed.
    pub(super) fn leave(&mut self) {
        let Some(membership) = self.membership.take() else {
            return;
        };
        let (broker, group) = (
            &self.broker,
            self.settings.group.as_deref().unwrap_or_default(),
        );
        let (now, wall) = (broker.clock().monotonic(), broker.clock().wall());
        let offsets = broker.offsets();
        membership.leave(now, |generation| {
            // If it cannot be written, the group counts as empty since the broker is opened again.
            drop(offsets.record_state(broker, group, generation, Some(wall)));
        });
        if self.settings.instance_id.is_some() {
            // Its place is kept until then.
            broker.due_at(now.saturating_add(self.settings.session_timeout));
        }
    }

    /// Hands over everything in an orderly way, and leaves the group.
    pub(super) fn leave_orderly(&mut self) -> Result<()> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        let event = if membership.is_member() {
            Event::Revoked
        } else {
            Event::Lost
        };
        let told = self.tell(event, &self.announced(self.assignment()));
        self.leave();
        told
    }

    /// Those of `partitions` that the listener was told of.
    fn announced(&self, partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
        let mut partitions = partitions;
        partitions.retain(|partition| !self.unannounced.contains(partition));
        partitions
    }

    /// Takes on what is free, without a word to the listener, who is told by the next poll.
    pub(super) fn take_on_free(&mut self) {
        while let Some(membership) = &self.membership {
            match membership.next_step() {
                Step::Assign(granted) => self.take_on(granted),
                // The rest is for the next poll.
                Step::Settled | Step::Revoke(_) | Step::Fenced(_) => {
                    membership.signal().tell();
                    return;
                }
            }
        }
    }

    /// Does everything that the coordinator has for this member. A failure of the application's
    /// listener or of a commit stops nothing; the first one is returned.
    #[cold]
    pub(super) fn reconcile(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        if self.membership.is_none() {
            // It could not join again when it was fenced.
            let topics = self.subscription.topics(&self.broker);
            self.join(topics)?;
        }
        while let Some(membership) = &self.membership {
            let done = match membership.next_step() {
                Step::Settled => return outcome.and(self.announce()),
                Step::Assign(granted) => {
                    self.take_on(granted);
                    self.announce()
                }
                Step::Revoke(partitions) => {
                    let told = self.announce();
                    told.and(self.hand_over(&partitions))
                }
                Step::Fenced(Fence::Late) => self.join_again()?,
                Step::Fenced(Fence::Replaced) => return Err(self.give_up_place()),
            };
            outcome = outcome.and(done);
        }
        outcome
    }

    fn take_on(&mut self, granted: Vec<Granted>) {
        for granted in granted {
            let id = granted.partition;
            let Ok(topic) = self.broker.topic(id.topic()) else {
                // Deleted a moment ago: the next look at the topics sees that.
                continue;
            };
            let (Ok(partition), Some(membership)) =
                (topic.partition(id.partition()), &self.membership)
            else {
                continue;
            };
            let seen = membership.first_seen(&id, topic.serial, || FirstSeen {
                end: partition.high_watermark(),
                added_since: self.is_added_since(&id),
            });
            // The group may know an earlier topic of the name still.
            let is_another = granted.serial != topic.serial;
            let added = granted.added || seen.added_since || is_another;
            self.insert_assigned(Assigned::new(partition, added).with_initial_end(seen.end));
            self.unannounced.insert(id);
        }
    }

    /// Tells the listener of partitions that it has not heard of yet.
    fn announce(&mut self) -> Result<()> {
        if self.unannounced.is_empty() || self.listener.is_none() {
            return Ok(());
        }
        let partitions: Vec<_> = std::mem::take(&mut self.unannounced).into_iter().collect();
        self.tell(Event::Assigned, &partitions)
    }

    fn hand_over(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let exists = |partition: &&TopicPartition| find_partition(&self.broker, partition).is_ok();
        let (here, gone): (Vec<_>, Vec<_>) = partitions.iter().partition(exists);
        let (here, gone): (Vec<_>, Vec<_>) = (owned(here), owned(gone));
        let mut outcome = self.commit_before_revoke(&here);
        outcome = outcome.and(self.tell(Event::Revoked, &here));
        outcome = outcome.and(self.tell(Event::Lost, &gone));
        self.remove_assigned(partitions);
        for partition in partitions {
            self.unannounced.remove(partition);
        }
        if let Some(membership) = &self.membership {
            membership.release(partitions, self.broker.clock().monotonic());
        }
        outcome
    }

    /// The word of whoever calls poll is that earlier records are processed: so the next owner
    /// starts behind them.
    fn commit_before_revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if self.auto_commit.is_none() {
            return Ok(());
        }
        let going = partitions.iter().filter_map(|id| self.assigned(id).ok());
        let started = going.filter(|assigned| assigned.is_started());
        let offsets: Vec<_> = started.map(commit::next_to_read).collect();
        if offsets.is_empty() {
            return Ok(());
        }
        commit::unless_fenced(self.commit_now(&offsets))
    }

    /// It was fenced: what it had is lost, and it joins as a new member.
    fn join_again(&mut self) -> Result<Result<()>> {
        let told = self.lose_everything();
        self.membership = None;
        let topics = self.subscription.topics(&self.broker);
        self.join(topics)?;
        Ok(told)
    }

    /// Another consumer has this one's place; joining again would only start a fight for it.
    fn give_up_place(&mut self) -> Error {
        let told = self.lose_everything();
        told.err().unwrap_or_else(|| Error::Fenced {
            reason: REPLACED.to_owned(),
        })
    }

    fn lose_everything(&mut self) -> Result<()> {
        let all = self.assignment();
        self.remove_assigned(&all);
        let lost = self.announced(all);
        self.unannounced.clear();
        self.uncommitted = false;
        self.tell(Event::Lost, &lost)
    }

    /// Calls the listener, which may use the consumer meanwhile, if there is anything to tell.
    fn tell(&mut self, event: Event, partitions: &[TopicPartition]) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        let Some(mut listener) = self.listener.take() else {
            return Ok(());
        };
        self.in_listener = true;
        let told = catch_unwind(AssertUnwindSafe(|| match event {
            Event::Assigned => listener.assigned(self, partitions),
            Event::Revoked => listener.revoked(self, partitions),
            Event::Lost => listener.lost(self, partitions),
        }));
        self.in_listener = false;
        // Unless it has set another one.
        self.listener.get_or_insert(listener);
        told.unwrap_or_else(|panic| {
            // Whoever catches this goes on with a consumer that works, or lets it be late.
            self.end_poll();
            resume_unwind(panic)
        })
    }

    /// `Err` if the listener calls what it must not.
    pub(super) fn check_not_in_listener(&self) -> Result<()> {
        if self.in_listener {
            Err(Error::IllegalState(
                "a rebalance listener cannot poll, subscribe or assign",
            ))
        } else {
            Ok(())
        }
    }

    /// A poll begins: until it ends, the member is not late.
    #[inline]
    pub(super) fn begin_poll(&mut self) {
        self.polling = true;
        if let Some(membership) = &self.membership {
            membership.signal().begin_poll();
        }
    }

    /// The poll that is under way is over.
    #[inline]
    pub(super) fn end_poll(&mut self) {
        self.polling = false;
        if let Some(membership) = &self.membership {
            membership
                .signal()
                .end_poll(self.broker.clock().coarse_monotonic());
        }
    }
}

fn owned(partitions: Vec<&TopicPartition>) -> Vec<TopicPartition> {
    partitions.into_iter().cloned().collect()
}

fn current_thread_name() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or("unnamed thread").to_owned()
}
