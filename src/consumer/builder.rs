//! What a consumer can be told before it is made.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::Consumer;
use super::commit::AutoCommit;
use crate::broker::BrokerState;
use crate::error::{Error, Result};
use crate::record::Position;

/// The format stores a group's name behind a 16-bit length.
const LONGEST_GROUP_NAME: usize = 32_767;

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
    pub(super) broker: Arc<BrokerState>,
    pub(super) group: Option<String>,
    pub(super) client_id: String,
    pub(super) auto_offset_reset: Option<Position>,
    pub(super) auto_commit: AutoCommit,
    pub(super) max_poll_records: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) busy_poll: Duration,
}

impl ConsumerBuilder {
    pub(crate) fn new(broker: Arc<BrokerState>) -> Self {
        Self {
            broker,
            group: None,
            client_id: String::new(),
            auto_offset_reset: Some(Position::Latest),
            auto_commit: AutoCommit::Default,
            max_poll_records: 500,
            fetch_max_bytes: 50 << 20,
            busy_poll: Duration::ZERO,
        }
    }

    /// The group whose committed offsets say where to go on, and to which commits go: any name that
    /// is not empty (`group.id`). Default: none; nothing can be committed then.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Where to start in a partition for which the group has no committed offset, or one that is no
    /// longer in the log (`auto.offset.reset`): [`Earliest`](Position::Earliest),
    /// [`Latest`](Position::Latest) or a [`Timestamp`](Position::Timestamp). Default: `Latest`, as in
    /// Kafka: a new group sees what is written from its subscription on.
    pub fn auto_offset_reset(mut self, position: Position) -> Self {
        self.auto_offset_reset = Some(position);
        self
    }

    /// Never chooses a start by itself (`auto.offset.reset=none`): without a valid committed offset,
    /// poll fails with [`NoCommittedOffset`](Error::NoCommittedOffset),
    /// [`LogTruncated`](Error::LogTruncated) or [`OffsetOutOfRange`](Error::OffsetOutOfRange) until
    /// the caller seeks.
    pub fn no_auto_offset_reset(mut self) -> Self {
        self.auto_offset_reset = None;
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
        self.auto_commit = interval.map_or(AutoCommit::Off, AutoCommit::Every);
        self
    }

    /// Most records that one poll returns (`max.poll.records`). Default: 500. What is left of a batch
    /// is kept for the next poll; larger values save a little time per record.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.max_poll_records = records;
        self
    }

    /// About how many bytes one poll returns (`fetch.max.bytes`): no more batches are added once this
    /// is reached, and the first comes whole. Default: 50 MiB. It bounds the memory that
    /// decompressed records take; those that are not compressed take none.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.fetch_max_bytes = bytes;
        self
    }

    /// How long poll looks for records again and again before it sleeps. Default: zero. It keeps a
    /// core busy for that long, and saves the tens of microseconds that waking a thread takes.
    pub fn busy_poll(mut self, duration: Duration) -> Self {
        self.busy_poll = duration;
        self
    }

    /// A name for the consumer, for people who look at the program (`client.id`). Default: empty.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Makes the consumer. It reads nothing until it [subscribes](Consumer::subscribe) or is
    /// [assigned](Consumer::assign) partitions.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) for an empty group name, a reset policy that is an
    /// offset, an auto-commit interval without a group, or zero for one of the limits.
    pub fn build(self) -> Result<Consumer> {
        self.broker.check_open()?;
        self.check()?;
        Ok(Consumer::new(self))
    }

    fn check(&self) -> Result<()> {
        if let Some(group) = &self.group
            && (group.is_empty() || group.len() > LONGEST_GROUP_NAME)
        {
            return Err(invalid("group.id", group, "must have 1 to 32767 bytes"));
        }
        if let Some(Position::Offset(offset)) = self.auto_offset_reset {
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
        if self.max_poll_records == 0 {
            return Err(invalid("max.poll.records", 0, "must be at least 1"));
        }
        if self.fetch_max_bytes == 0 {
            return Err(invalid("fetch.max.bytes", 0, "must be at least 1"));
        }
        Ok(())
    }
}

fn invalid(key: &str, value: impl Display, reason: &str) -> Error {
    Error::InvalidConfig {
        key: key.to_owned(),
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}
