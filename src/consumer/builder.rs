//! What a consumer can be told before it is made.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::Consumer;
use super::assignment::ResetPolicy;
use super::commit::AutoCommit;
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::group::assignor::{Assignor, CooperativeSticky};
use crate::record::Position;

/// The format stores names behind a 16-bit length.
const LONGEST_NAME: usize = 32_767;

/// Configures a [`Consumer`]. Made by [`Broker::consumer`](crate::Broker::consumer).
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// use streamlog::{Broker, Position};
///
/// let broker = Broker::in_memory();
/// let consumer = broker
///     .consumer()
///     .group("dashboard")
///     .auto_offset_reset(Position::Earliest)
///     .auto_commit(None)
///     .max_poll_records(10_000)
///     .build()?;
/// # let _ = consumer;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `build` to make the consumer"]
pub struct ConsumerBuilder {
    broker: Arc<BrokerState>,
    settings: Settings,
}

/// What every consumer is told when it is made; the builder's methods say what each means.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) group: Option<String>,
    pub(super) client_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) assignor: Arc<dyn Assignor>,
    pub(super) max_poll_interval: Duration,
    pub(super) session_timeout: Duration,
    pub(super) reset: ResetPolicy,
    pub(super) auto_commit: AutoCommit,
    pub(super) max_poll_records: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) fetch_min_bytes: usize,
    pub(super) fetch_max_wait: Duration,
    pub(super) busy_poll: Duration,
}

impl ConsumerBuilder {
    pub(crate) fn new(broker: Arc<BrokerState>) -> Self {
        let settings = Settings {
            group: None,
            client_id: String::new(),
            instance_id: None,
            assignor: Arc::new(CooperativeSticky),
            max_poll_interval: Duration::from_secs(300),
            session_timeout: Duration::from_secs(45),
            reset: ResetPolicy::To(Position::Latest),
            auto_commit: AutoCommit::Default,
            max_poll_records: 500,
            fetch_max_bytes: 50 << 20,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            busy_poll: Duration::ZERO,
        };
        Self { broker, settings }
    }

    /// The group whose committed offsets say where to go on, and to which commits go: any name that
    /// is not empty (`group.id`). Default: none; nothing can be committed then.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.settings.group = Some(group.into());
        self
    }

    /// Where to start in a partition for which the group has no committed offset, or one that is no
    /// longer in the log (`auto.offset.reset`): [`Earliest`](Position::Earliest),
    /// [`Latest`](Position::Latest) or a [`Timestamp`](Position::Timestamp). Default: `Latest`, as in
    /// Kafka: a new group sees what is written from its subscription on.
    pub fn auto_offset_reset(mut self, position: Position) -> Self {
        self.settings.reset = ResetPolicy::To(position);
        self
    }

    /// Starts this long before the time of the look-up where there is no valid committed offset
    /// (`auto.offset.reset=by_duration:…`, KIP-1106): at the first record that is not older.
    pub fn auto_offset_reset_by_duration(mut self, age: Duration) -> Self {
        self.settings.reset = ResetPolicy::Ago(age);
        self
    }

    /// Never chooses a start by itself (`auto.offset.reset=none`): without a valid committed offset,
    /// poll fails with [`NoCommittedOffset`](Error::NoCommittedOffset),
    /// [`LogTruncated`](Error::LogTruncated) or [`OffsetOutOfRange`](Error::OffsetOutOfRange) until
    /// the caller seeks.
    pub fn no_auto_offset_reset(mut self) -> Self {
        self.settings.reset = ResetPolicy::None;
        self
    }

    /// How often poll commits what earlier polls returned (`enable.auto.commit`,
    /// `auto.commit.interval.ms`), by the broker's clock; `None`: never, the caller commits. Default:
    /// every 5 seconds with a group, never without one.
    ///
    /// Records count as processed at the next poll or at [`close`](Consumer::close), so nothing is
    /// lost, and after a crash some are delivered again. If other threads process the records,
    /// turn it off and [`commit`](Consumer::commit) when they are done.
    pub fn auto_commit(mut self, interval: Option<Duration>) -> Self {
        self.settings.auto_commit = interval.map_or(AutoCommit::Off, AutoCommit::Every);
        self
    }

    /// Most records that one poll returns (`max.poll.records`). Default: 500. What is left of a batch
    /// is kept for the next poll; larger values save a little time per record.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.settings.max_poll_records = records;
        self
    }

    /// About how many bytes one poll returns (`fetch.max.bytes`): no more batches are added once this
    /// is reached, and the first comes whole. Default: 50 MiB. It bounds the memory that
    /// decompressed records take; those that are not compressed take none.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.settings.fetch_max_bytes = bytes;
        self
    }

    /// How many bytes of records poll waits for, if it may wait at all (`fetch.min.bytes`). Default: 1:
    /// it returns as soon as there is something. More makes polls fewer and fuller.
    pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
        self.settings.fetch_min_bytes = bytes;
        self
    }

    /// How long poll waits for [`fetch_min_bytes`](Self::fetch_min_bytes) while it has less to return
    /// (`fetch.max.wait.ms`), and never longer than its own time-out. Default: 500 ms.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.settings.fetch_max_wait = wait;
        self
    }

    /// How the group's partitions are divided (`partition.assignment.strategy`): one of
    /// [`Range`](crate::Range), [`RoundRobin`](crate::RoundRobin), [`Sticky`](crate::Sticky),
    /// [`CooperativeSticky`](crate::CooperativeSticky), or the application's own. Default:
    /// `CooperativeSticky`. All members of a group have to use the same.
    ///
    /// With each of them partitions that do not move are read on without a pause. An assignor is called
    /// with the group locked: it must not use the broker. One that panics leaves the division as it is.
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.settings.assignor = Arc::new(assignor);
        self
    }

    /// Makes the consumer a static member of its group (`group.instance.id`, KIP-345): when it is
    /// closed or dropped, its partitions wait for it for the [session timeout](Self::session_timeout),
    /// and a consumer that joins with the same name gets them, without a rebalance. If the former one
    /// is still there, it is fenced. Default: none.
    pub fn group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.settings.instance_id = Some(id.into());
        self
    }

    /// How long a member may go without a poll, and take to give up partitions, before it loses all of
    /// them to the other members (`max.poll.interval.ms`). Default: 5 minutes. Time inside of `poll`
    /// does not count, nor time in which the whole process was stopped (for more than a second; noticed by the
    /// background thread).
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.settings.max_poll_interval = interval;
        self
    }

    /// How long the place of a [static member](Self::group_instance_id) is kept while it is away
    /// (`session.timeout.ms`). Default: 45 s. Other members have none: leaving is noticed at once.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// How long poll looks for records again and again before it sleeps. Default: zero. It keeps a
    /// core busy for that long, and saves the tens of microseconds that waking a thread takes.
    pub fn busy_poll(mut self, duration: Duration) -> Self {
        self.settings.busy_poll = duration;
        self
    }

    /// A name for the consumer, for people who look at the program (`client.id`). Default: empty.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.settings.client_id = client_id.into();
        self
    }

    /// Makes the consumer. It reads nothing until it [subscribes](Consumer::subscribe) or is
    /// [assigned](Consumer::assign) partitions.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) for an empty group name, a reset policy that is an
    /// offset, an auto-commit interval or instance id without a group, or zero for one of the limits.
    pub fn build(self) -> Result<Consumer> {
        self.broker.check_open()?;
        self.settings.check()?;
        Ok(Consumer::new(self.broker, self.settings))
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let names = [
            ("group.id", &self.group),
            ("group.instance.id", &self.instance_id),
        ];
        for (key, name) in names {
            if let Some(name) = name
                && (name.is_empty() || name.len() > LONGEST_NAME)
            {
                return Err(invalid(key, name, "must have 1 to 32767 bytes"));
            }
        }
        if let (Some(instance), None) = (&self.instance_id, &self.group) {
            return Err(invalid("group.instance.id", instance, "needs a group"));
        }
        if let ResetPolicy::To(Position::Offset(offset)) = self.reset {
            let reason = "must be earliest, latest or a timestamp; seek to an offset instead";
            return Err(invalid("auto.offset.reset", offset, reason));
        }
        match (self.auto_commit, &self.group) {
            (AutoCommit::Every(_), None) => {
                return Err(invalid(
                    "enable.auto.commit",
                    true,
                    "needs a group to commit to",
                ));
            }
            (AutoCommit::Every(Duration::ZERO), _) => {
                return Err(invalid(
                    "auto.commit.interval.ms",
                    0,
                    "must be more than zero",
                ));
            }
            _ => {}
        }
        let limits = [
            ("max.poll.records", self.max_poll_records == 0),
            ("fetch.max.bytes", self.fetch_max_bytes == 0),
            ("fetch.min.bytes", self.fetch_min_bytes == 0),
            ("max.poll.interval.ms", self.max_poll_interval.is_zero()),
            ("session.timeout.ms", self.session_timeout.is_zero()),
        ];
        match limits.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((key, _)) => Err(invalid(key, 0, "must be more than zero")),
            None => Ok(()),
        }
    }
}

fn invalid(key: &str, value: impl Display, reason: &str) -> Error {
    Error::InvalidConfig {
        key: key.to_owned(),
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}
