//! Consumers: they read partitions, remember how far they are, and commit it for their group.
//!
//! ```text
//!   subscribe, assign ─▶ subscription: which partitions ─▶ assignment: where to start in each
//!   poll ─▶ fetch: batch after batch ─▶ run: checked records ─▶ records: what the caller sees
//!   commit ─▶ group::offsets
//! ```
//! A consumer runs on its caller's thread alone, inside its calls. Invariants:
//! * Positions move when `poll` returns records, so what `commit` writes is what callers were given.
//! * `poll` takes no lock and copies nothing while there are records; it registers and parks only
//!   when there are none (*register, look again, sleep*: see [`notify`](crate::notify)).
//! * Nothing fetched is delivered after a seek, a pause or the loss of its partition.
//!
//! Elsewhere: ordering and publishing (`partition`), the bytes (`format`), committed offsets (`group`).

mod assignment;
mod builder;
mod commit;
pub(crate) mod fetch;
mod records;
pub(crate) mod run;
pub(crate) mod subscription;
#[cfg(test)]
mod tests;
mod wakeup;

use std::sync::Arc;
use std::time::{Duration, Instant};

use assignment::{Assigned, Room};
use subscription::Subscription;

pub use builder::ConsumerBuilder;
pub use records::{ConsumerRecord, Header, RecordHeaders, Records, RecordsIter};
pub use wakeup::WakeupHandle;

use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::group::members::Membership;
use crate::reader::wait;
use crate::record::{Offset, Position, TopicPartition};

/// Between full looks, which also see wake-ups, errors and the clock, spinning looks this often only
/// at the ends of the partitions: a microsecond or less.
const SPINS_PER_LOOK: u32 = 32;
/// A consumer that parks only until its next automatic commit parks at least this long, so that it
/// does not turn round in circles while a manual clock stands still.
const SHORTEST_PARK: Duration = Duration::from_millis(20);

/// Reads topics, and remembers for its group how far it came. Made by
/// [`Broker::consumer`](crate::Broker::consumer).
///
/// It is `Send`, and used by one thread at a time, through `&mut self`; only a
/// [`WakeupHandle`] acts from other threads. It keeps its broker open.
///
/// Dropping a consumer commits nothing: what was not committed is delivered again to whoever goes
/// on. [`close`](Self::close) commits, if automatic commits are on.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use std::time::Duration;
/// use streamlog::{Broker, Position, Record, TopicConfig};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("clicks", TopicConfig::default().partitions(3))?;
/// let producer = broker.producer().build()?;
/// producer.send(Record::to("clicks").key("alice").value("/home"))?.wait()?;
///
/// let mut consumer =
///     broker.consumer().group("dashboard").auto_offset_reset(Position::Earliest).build()?;
/// consumer.subscribe(["clicks"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// for record in &records {
///     println!("{}-{}@{}", record.topic(), record.partition(), record.offset());
/// }
/// consumer.commit()?;
/// consumer.close()
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    broker: Arc<BrokerState>,
    group: Option<String>,
    client_id: String,
    auto_offset_reset: Option<Position>,
    auto_commit: Option<Duration>,
    /// When it was last tried to commit automatically, by the broker's monotonic clock.
    last_commit: Duration,
    max_poll_records: usize,
    fetch_max_bytes: usize,
    busy_poll: Duration,
    subscription: Subscription,
    /// Held while the consumer is its group's member.
    membership: Option<Membership>,
    /// Sorted by topic and number.
    assignment: Vec<Assigned>,
    /// The broker's topics as the assignment knows them.
    topics_version: u64,
    /// Every assigned partition has a position.
    all_started: bool,
    /// Positions have moved since the last commit.
    uncommitted: bool,
    /// Which partition the next poll looks at first.
    first: usize,
    /// How many runs the last poll returned: what the next one makes room for.
    last_run_count: usize,
    wakeup: WakeupHandle,
}

impl Consumer {
    fn new(builder: ConsumerBuilder) -> Self {
        let auto_commit = builder.auto_commit.interval(builder.group.is_some());
        Self {
            last_commit: builder.broker.clock().monotonic(),
            broker: builder.broker,
            group: builder.group,
            client_id: builder.client_id,
            auto_offset_reset: builder.auto_offset_reset,
            auto_commit,
            max_poll_records: builder.max_poll_records,
            fetch_max_bytes: builder.fetch_max_bytes,
            busy_poll: builder.busy_poll,
            subscription: Subscription::None,
            membership: None,
            assignment: Vec::new(),
            topics_version: 0,
            all_started: false,
            uncommitted: false,
            first: 0,
            last_run_count: 0,
            wakeup: WakeupHandle::default(),
        }
    }

    /// The next records, at most `max_poll_records` of them: returns as soon as there are some, and
    /// with none after `timeout`. Partitions take turns.
    ///
    /// Before it fetches, it commits what earlier polls returned, if an automatic commit is due.
    ///
    /// # Errors
    /// No position has moved after an error, and the next poll goes on, with the other partitions
    /// first. Records that were found before a failure are returned first.
    /// * [`Wakeup`](Error::Wakeup): another thread asked for it.
    /// * [`IllegalState`](Error::IllegalState): nothing is subscribed or assigned.
    /// * [`Corrupt`](Error::Corrupt): the batch at a position is damaged. It is never skipped
    ///   silently: seek past the offsets that the error names to go on without it.
    /// * [`NoCommittedOffset`](Error::NoCommittedOffset), [`LogTruncated`](Error::LogTruncated),
    ///   [`OffsetOutOfRange`](Error::OffsetOutOfRange): only without a reset policy.
    /// * What a commit may answer, from the automatic one; it is tried again an interval later.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        self.prepare()?;
        self.commit_if_due()?;
        let records = self.fetch()?;
        if !records.is_empty() || timeout.is_zero() {
            return Ok(records);
        }
        let start = Instant::now();
        let deadline = start.checked_add(timeout);
        if !self.busy_poll.is_zero() {
            let records = self.spin_until(start.checked_add(self.busy_poll.min(timeout)))?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        self.wait_until(deadline)
    }

    /// The next offset that poll will return from an assigned partition (or a lower one, where
    /// records are missing). It moves when poll returns, not when records are processed.
    ///
    /// # Errors
    /// [`IllegalState`](Error::IllegalState) if the partition is not assigned; before the first poll
    /// also what looking up the start may answer.
    pub fn position(&self, partition: &TopicPartition) -> Result<Offset> {
        self.broker.check_open()?;
        Ok(self.starting_point(self.assigned(partition)?)?.0)
    }

    /// How many offsets the position in an assigned partition is behind the end of what is readable.
    ///
    /// # Errors
    /// As [`position`](Self::position).
    pub fn lag(&self, partition: &TopicPartition) -> Result<u64> {
        let end = self.assigned(partition)?.partition().high_watermark();
        Ok(end.saturating_sub(self.position(partition)?))
    }

    /// A handle with which other threads interrupt [`poll`](Self::poll).
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// # use std::time::Duration;
    /// # use streamlog::{Broker, Error, TopicConfig};
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// let mut consumer = broker.consumer().build()?;
    /// consumer.subscribe(["clicks"])?;
    /// let handle = consumer.wakeup_handle();
    /// let stopper = std::thread::spawn(move || handle.wakeup());
    /// assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(Error::Wakeup)));
    /// # stopper.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn wakeup_handle(&self) -> WakeupHandle {
        self.wakeup.clone()
    }

    /// The group, if the consumer was given one.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The name it was given for people to read (`client.id`).
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Commits the positions, if automatic commits are on, and leaves the group.
    ///
    /// # Errors
    /// What the commit may answer. The consumer is gone all the same.
    pub fn close(mut self) -> Result<()> {
        if self.auto_commit.is_some() && self.uncommitted {
            self.commit()?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn broker(&self) -> &Arc<BrokerState> {
        &self.broker
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
        self.refresh_assignment()
    }

    /// Records that are readable now.
    fn fetch(&mut self) -> Result<Records> {
        self.start_all()?;
        let count = self.assignment.len();
        let mut room = Room {
            records: self.max_poll_records,
            bytes: self.fetch_max_bytes,
        };
        let mut records = Records::with_capacity(self.last_run_count);
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let assigned = &mut self.assignment[index];
            if assigned.is_idle() {
                continue;
            }
            let taken = assigned.take(&mut records, &mut room, self.auto_offset_reset);
            if matches!(taken, Err(Error::Closed(_))) && self.broker.check_open().is_ok() {
                // Its topic was deleted meanwhile: the next look at the topics drops it.
                continue;
            }
            if let Err(error) = taken {
                if matches!(error, Error::Closed(_)) && self.topics_changed() {
                    // Its topic was deleted a moment ago; the next look takes it out.
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
        self.last_run_count = records.run_count();
        Ok(records)
    }

    /// Gives a position to every partition that has none.
    fn start_all(&mut self) -> Result<()> {
        if self.all_started {
            return Ok(());
        }
        for index in 0..self.assignment.len() {
            if !self.assignment[index].is_started() {
                let point = self.starting_point(&self.assignment[index])?;
                self.assignment[index].start_at(point);
                self.uncommitted = true;
            }
        }
        self.all_started = true;
        Ok(())
    }

    fn starting_point(&self, assigned: &Assigned) -> Result<(Offset, i32)> {
        assigned.starting_point(self.auto_offset_reset, || {
            self.committed_start(assigned.id())
        })
    }

    /// Looks again and again until there are records or time is up (`None`: never).
    fn spin_until(&mut self, deadline: Option<Instant>) -> Result<Records> {
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            for _ in 0..SPINS_PER_LOOK {
                if !self.assignment.iter().all(Assigned::is_idle) {
                    break;
                }
                std::hint::spin_loop();
            }
            self.prepare()?;
            self.commit_if_due()?;
            let records = self.fetch()?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Records::default())
    }

    /// Sleeps until there are records or time is up (`None`: never).
    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<Records> {
        loop {
            // Everything that could wake us is registered before the look that decides to park.
            self.wakeup.waiter().reset();
            self.broker.topic_waiters().register(self.wakeup.waiter());
            self.prepare()?;
            for assigned in self.assignment.iter().filter(|assigned| !assigned.paused) {
                assigned
                    .partition()
                    .waiters()
                    .register(self.wakeup.waiter());
            }
            self.commit_if_due()?;
            let records = self.fetch()?;
            if !records.is_empty() {
                return Ok(records);
            }
            let until_commit = self.until_commit().map(|wait| wait.max(SHORTEST_PARK));
            let time_to_commit = until_commit.and_then(|wait| Instant::now().checked_add(wait));
            let wait_until = [deadline, time_to_commit].into_iter().flatten().min();
            let woken = wait(self.wakeup.waiter(), wait_until);
            if !woken && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Records::default());
            }
        }
    }

    /// Takes the consumer out of the lists of those who wait. It stays there between polls, until
    /// something wakes it: registering again then costs nothing.
    fn stop_waiting(&self) {
        self.broker.topic_waiters().unregister(self.wakeup.waiter());
        self.stop_waiting_for_records();
    }

    /// The same for partitions alone: news of topics are still waited for.
    fn stop_waiting_for_records(&self) {
        for assigned in &self.assignment {
            assigned
                .partition()
                .waiters()
                .unregister(self.wakeup.waiter());
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}
