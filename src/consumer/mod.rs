//! Consumers: they read partitions, remember how far they are, and commit it for their group.
//!
//! ```text
//!   subscribe, assign ─▶ subscription: which partitions ─▶ assignment: where to start in each
//!   poll ─▶ rebalance: news from the group? ─▶ fetch: batch after batch ─▶ run: checked records
//!        ─▶ records: what the caller sees
//!   commit ─▶ group: is it the owner? ─▶ group::offsets
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
mod listener;
mod pattern;
mod poll;
mod rebalance;
mod records;
pub(crate) mod run;
pub(crate) mod subscription;
#[cfg(test)]
mod tests;
mod wakeup;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use assignment::Assigned;
use builder::Settings;
use subscription::Subscription;

pub use builder::ConsumerBuilder;
pub use listener::RebalanceListener;
pub use records::{ConsumerRecord, Header, RecordHeaders, Records, RecordsIter};
pub use wakeup::WakeupHandle;

use crate::broker::BrokerState;
use crate::error::Result;
use crate::group::coordinator::Membership;
use crate::record::{Offset, TopicPartition};

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
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub struct Consumer {
    broker: Arc<BrokerState>,
    settings: Settings,
    /// Between automatic commits, if there are any.
    auto_commit: Option<Duration>,
    /// When it was last tried to commit automatically, by the broker's monotonic clock.
    last_commit: Duration,
    subscription: Subscription,
    /// Its place in the group, from a subscription until it leaves.
    membership: Option<Membership>,
    listener: Option<Box<dyn RebalanceListener>>,
    /// The listener is running.
    in_listener: bool,
    /// Assigned partitions that the listener has not been told of.
    unannounced: BTreeSet<TopicPartition>,
    /// A poll is under way.
    polling: bool,
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
    fn new(broker: Arc<BrokerState>, settings: Settings) -> Self {
        Self {
            last_commit: broker.clock().monotonic(),
            broker,
            auto_commit: settings.auto_commit.interval(settings.group.is_some()),
            settings,
            subscription: Subscription::None,
            membership: None,
            listener: None,
            in_listener: false,
            unannounced: BTreeSet::new(),
            polling: false,
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
    /// Before it fetches, it commits what earlier polls returned, if an automatic commit is due, and
    /// does its part if the group's partitions are divided anew: gives up what goes to other members,
    /// takes on what comes, and tells the [listener](Self::on_rebalance).
    ///
    /// # Errors
    /// No position has moved after an error, and the next poll goes on, with the other partitions
    /// first. Records that were found before a failure are returned first.
    /// * [`Wakeup`](crate::Error::Wakeup): another thread asked for it.
    /// * [`IllegalState`](crate::Error::IllegalState): nothing is subscribed or assigned.
    /// * [`Fenced`](crate::Error::Fenced): another consumer has this one's `group.instance.id`. A member that
    ///   was fenced because it did not poll joins again instead, and goes on from what was committed.
    /// * What the rebalance listener returned.
    /// * [`Corrupt`](crate::Error::Corrupt): the batch at a position is damaged. It is never skipped
    ///   silently: seek past the offsets that the error names to go on without it.
    /// * [`NoCommittedOffset`](crate::Error::NoCommittedOffset), [`LogTruncated`](crate::Error::LogTruncated),
    ///   [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange): only without a reset policy.
    /// * What a commit may answer, from the automatic one; it is tried again an interval later.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        self.check_not_in_listener()?;
        self.begin_poll();
        let records = self.poll_until(timeout);
        self.end_poll();
        records
    }

    /// The next offset that poll will return from an assigned partition (or a lower one, where
    /// records are missing). It moves when poll returns, not when records are processed.
    ///
    /// # Errors
    /// [`IllegalState`](crate::Error::IllegalState) if the partition is not assigned; before the first poll
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
        self.settings.group.as_deref()
    }

    /// The name it was given for people to read (`client.id`).
    pub fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// Commits the positions, if automatic commits are on, tells the listener, and leaves the group:
    /// other members take the partitions over at once. The place of a
    /// [static member](ConsumerBuilder::group_instance_id) is kept for a while.
    ///
    /// # Errors
    /// What the commit or the listener answered. The consumer is gone all the same.
    pub fn close(mut self) -> Result<()> {
        // Until it has left, nobody takes its partitions for being late.
        self.begin_poll();
        let committed = if self.auto_commit.is_some() && self.uncommitted {
            self.commit()
        } else {
            Ok(())
        };
        committed.and(self.leave_orderly())
    }

    #[cfg(test)]
    pub(crate) fn broker(&self) -> &Arc<BrokerState> {
        &self.broker
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.settings.group)
            .field("member_id", &self.member_id())
            .field("subscription", &self.subscription)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop_waiting();
        self.leave();
    }
}
