//! Polling: looking for records in the assigned partitions, and waiting for them.
//!
//! Every look begins with what may have happened meanwhile: the broker was closed, a wake-up was
//! asked for, topics changed, the group's coordinator has news. All of that is a few atomic loads
//! when nothing has. Waiting is *register, look again, sleep*: see [`notify`](crate::notify).

use std::time::{Duration, Instant};

use super::assignment::{Assigned, Room};
use super::records::Records;
use super::subscription::Subscription;
use super::{Consumer, SHORTEST_PARK, SPINS_PER_LOOK};
use crate::error::{Error, Result};
use crate::reader::wait;
use crate::record::Offset;

/// What one poll has found so far.
struct Gathered {
    records: Records,
    room: Room,
    /// `fetch.min.bytes` is reached at this room.
    enough_at: usize,
}

impl Gathered {
    fn is_enough(&self) -> bool {
        !self.records.is_empty() && (self.room.bytes <= self.enough_at || self.room.records == 0)
    }
}

impl Consumer {
    /// A poll from its begin to its end; see [`Consumer::poll`].
    pub(super) fn poll_until(&mut self, timeout: Duration) -> Result<Records> {
        self.prepare()?;
        self.commit_if_due()?;
        let mut gathered = Gathered {
            records: Records::with_capacity(self.last_run_count),
            room: Room {
                records: self.settings.max_poll_records,
                bytes: self.settings.fetch_max_bytes,
            },
            enough_at: self
                .settings
                .fetch_max_bytes
                .saturating_sub(self.settings.fetch_min_bytes),
        };
        self.fetch(&mut gathered)?;
        if !gathered.is_enough() && !timeout.is_zero() {
            let start = Instant::now();
            if !self.settings.busy_poll.is_zero() {
                self.spin_until(
                    start.checked_add(self.settings.busy_poll.min(timeout)),
                    &mut gathered,
                )?;
            }
            if !gathered.is_enough() {
                self.wait_until(start, timeout, &mut gathered)?;
            }
        }
        self.last_run_count = gathered.records.run_count();
        if self.was_fenced_meanwhile() {
            // Somebody else may be reading the same by now. The next poll joins again.
            return Ok(Records::default());
        }
        Ok(gathered.records)
    }

    /// One atomic load, unless there are news.
    fn was_fenced_meanwhile(&self) -> bool {
        let membership = self.membership.as_ref();
        membership
            .is_some_and(|membership| membership.signal().has_news() && !membership.is_member())
    }

    /// What every look for records starts with.
    fn prepare(&mut self) -> Result<()> {
        self.broker.check_open()?;
        if self.wakeup.take_request() {
            return Err(Error::Wakeup);
        }
        if matches!(self.subscription, Subscription::None) {
            return Err(Error::IllegalState(
                "nothing to poll: call `subscribe` or `assign` first",
            ));
        }
        self.refresh_assignment()?;
        match &self.membership {
            Some(membership) if !membership.signal().has_news() => Ok(()),
            None if self.settings.group.is_none() || !self.subscription.is_to_topics() => Ok(()),
            _ => self.reconcile(),
        }
    }

    /// True if there is more to do than to look for records: what was found so far is returned first.
    fn is_interrupted(&self) -> bool {
        let membership = self.membership.as_ref();
        self.wakeup.is_requested()
            || self.topics_changed()
            || membership.is_some_and(|membership| membership.signal().has_news())
            || self.broker.check_open().is_err()
    }

    /// What every further look begins with. True if the poll is over.
    fn prepare_again(&mut self, gathered: &Gathered) -> Result<bool> {
        if !gathered.records.is_empty() {
            return Ok(self.is_interrupted());
        }
        self.prepare()?;
        self.commit_if_due()?;
        Ok(false)
    }

    /// Adds records that are readable now.
    fn fetch(&mut self, gathered: &mut Gathered) -> Result<()> {
        let mut unstarted = self.start_all();
        let Gathered { records, room, .. } = gathered;
        let policy = self.settings.reset.at(&**self.broker.clock());
        let count = self.assignment.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let assigned = &mut self.assignment[index];
            if assigned.is_idle() || !assigned.is_started() {
                continue;
            }
            if let Err(error) = assigned.take(records, room, policy) {
                if matches!(error, Error::Closed(_))
                    && (self.broker.check_open().is_ok() || self.topics_changed())
                {
                    // Its topic was deleted meanwhile: the next look at the topics drops it.
                    continue;
                }
                if records.is_empty() {
                    // The others come first next time: one bad partition does not starve them.
                    self.first = (index + 1) % count;
                    return Err(error);
                }
                // The position stayed, so the next poll meets the error again.
                self.first = index;
                break;
            }
            if room.is_used_up() {
                self.first = (index + 1) % count;
                break;
            }
        }
        self.uncommitted |= !records.is_empty();
        if !records.is_empty() {
            unstarted = Ok(());
        }
        unstarted
    }

    /// Gives a position to every partition that has none. One that cannot be started keeps no other
    /// from it; its error is returned, and it is tried again by the next look.
    fn start_all(&mut self) -> Result<()> {
        if self.all_started {
            return Ok(());
        }
        let mut outcome = Ok(());
        for index in 0..self.assignment.len() {
            if self.assignment[index].is_started() {
                continue;
            }
            match self.starting_point(&self.assignment[index]) {
                Ok(point) => {
                    self.assignment[index].start_at(point);
                    self.uncommitted = true;
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.all_started = outcome.is_ok();
        outcome
    }

    pub(super) fn starting_point(&self, assigned: &Assigned) -> Result<(Offset, i32)> {
        let policy = self.settings.reset.at(&**self.broker.clock());
        assigned.starting_point(policy, || self.committed_start(assigned.id()))
    }

    /// Looks again and again until there are records or time is up (`None`: never).
    fn spin_until(&mut self, deadline: Option<Instant>, gathered: &mut Gathered) -> Result<()> {
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            for _ in 0..SPINS_PER_LOOK {
                if !self.assignment.iter().all(Assigned::is_idle) {
                    break;
                }
                std::hint::spin_loop();
            }
            if self.prepare_again(gathered)? {
                break;
            }
            self.fetch(gathered)?;
            if gathered.is_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Sleeps until there are records or time is up.
    fn wait_until(
        &mut self,
        start: Instant,
        timeout: Duration,
        gathered: &mut Gathered,
    ) -> Result<()> {
        loop {
            // Everything that could wake us is registered before the look that decides to park.
            self.wakeup.waiter().reset();
            self.broker.topic_waiters().register(self.wakeup.waiter());
            if self.prepare_again(gathered)? {
                return Ok(());
            }
            for assigned in self.assignment.iter().filter(|assigned| !assigned.paused) {
                assigned
                    .partition()
                    .waiters()
                    .register(self.wakeup.waiter());
            }
            self.fetch(gathered)?;
            if gathered.is_enough() {
                return Ok(());
            }
            let timeout = if gathered.records.is_empty() {
                timeout
            } else {
                timeout.min(self.settings.fetch_max_wait)
            };
            // `None`: never.
            let deadline = start.checked_add(timeout);
            let until_commit = self.until_commit().map(|wait| wait.max(SHORTEST_PARK));
            let time_to_commit = until_commit.and_then(|wait| Instant::now().checked_add(wait));
            let wait_until = [deadline, time_to_commit].into_iter().flatten().min();
            let woken = wait(self.wakeup.waiter(), wait_until);
            if !woken && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(());
            }
        }
    }

    /// Takes the consumer out of the lists of those who wait. It stays there between polls, until
    /// something wakes it: registering again then costs nothing.
    pub(super) fn stop_waiting(&self) {
        self.broker.topic_waiters().unregister(self.wakeup.waiter());
        self.stop_waiting_for_records();
    }

    /// The same for partitions alone: news of topics are still waited for.
    pub(super) fn stop_waiting_for_records(&self) {
        for assigned in &self.assignment {
            assigned
                .partition()
                .waiters()
                .unregister(self.wakeup.waiter());
        }
    }
}
