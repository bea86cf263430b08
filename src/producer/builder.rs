//! How a producer is configured.

use std::sync::Arc;
use std::time::Duration;

use super::Producer;
use super::partitioner::{Murmur2Partitioner, Partitioner};
use crate::broker::BrokerState;
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::format::compression::compress;

/// Kafka's `linger.ms` since 4.0.
const DEFAULT_LINGER: Duration = Duration::from_millis(5);
/// Kafka's is 16 KiB, a size for its network requests. Here a batch costs one system call whatever
/// its size; from this size on that cost is lost in the copying.
const DEFAULT_BATCH_SIZE: usize = 64 << 10;

/// What a producer is to do, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    pub(super) compression: Compression,
    pub(super) idempotence: bool,
}

/// Configures a [`Producer`]; made by [`Broker::producer`](crate::Broker::producer).
///
/// ```
/// use std::time::Duration;
/// use streamlog::{Broker, Compression, Durability};
///
/// # fn main() -> streamlog::Result<()> {
/// let broker = Broker::in_memory();
/// let producer = broker
///     .producer()
///     .durability(Durability::Synced)
///     .linger(Duration::from_millis(20))
///     .batch_size(128 << 10)
///     .compression(Compression::None)
///     .build()?;
/// # drop(producer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a producer is made by `build`"]
pub struct ProducerBuilder {
    broker: Arc<BrokerState>,
    settings: Settings,
    partitioner: Box<dyn Partitioner>,
}

impl ProducerBuilder {
    pub(crate) fn new(broker: Arc<BrokerState>) -> Self {
        let settings = Settings {
            durability: Durability::Written,
            linger: DEFAULT_LINGER,
            batch_size: DEFAULT_BATCH_SIZE,
            compression: Compression::None,
            idempotence: true,
        };
        Self {
            broker,
            settings,
            partitioner: Box::new(Murmur2Partitioner::default()),
        }
    }

    /// What an acknowledgement promises. Default: [`Durability::Written`]. A topic may demand more;
    /// the stronger wins. [`Durability::Synced`] costs a sync before each acknowledgement, shared by
    /// all that wait at the time.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// How long a batch may wait for more records (`linger.ms`). Default: 5 ms, at most `i32::MAX`
    /// milliseconds. It bounds how late a record is written that nobody waits for: a full batch, a
    /// [flush](Producer::flush), and anyone who waits for a [`Delivery`](crate::Delivery), end it
    /// early. Zero writes each record by itself, before `send` returns.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Upper bound of a batch, in bytes before compression (`batch.size`). Default: 64 KiB. That is
    /// four times Kafka's, since a batch here costs a system call and not a network request: fewer
    /// of them is all that a larger size buys. A larger record makes a batch of its own; zero makes
    /// every record one. A topic's `max.message.bytes` is a bound too. Each partition that is
    /// written to has a buffer of this size, or of its largest record.
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.settings.batch_size = bytes;
        self
    }

    /// How batches are compressed (`compression.type`). Default: [`Compression::None`]. A topic whose
    /// own `compression.type` is not `producer` overrides it. Worth it for larger batches of alike
    /// records; it costs the sending thread's time.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// Who chooses the partition of records that do not name one. Default:
    /// [`Murmur2Partitioner`], which is Kafka's.
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.partitioner = Box::new(partitioner);
        self
    }

    /// Numbers the records, so that the log tells a repeated batch from a new one
    /// (`enable.idempotence`). Default: true. It costs nothing per record; turn it off to write
    /// batches without a producer id.
    pub fn enable_idempotence(mut self, enable: bool) -> Self {
        self.settings.idempotence = enable;
        self
    }

    /// Makes the producer.
    ///
    /// # Errors
    /// `InvalidConfig` for a value out of its range, `UnsupportedCompression` for a codec that is not
    /// compiled in, `Closed` if the broker is.
    pub fn build(self) -> Result<Producer> {
        self.broker.check_open()?;
        self.settings.check()?;
        Ok(Producer::new(self.broker, self.settings, self.partitioner))
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        if i32::try_from(self.linger.as_millis()).is_err() {
            return Err(invalid(
                "linger.ms",
                &self.linger.as_millis(),
                "at most 2147483647",
            ));
        }
        if i32::try_from(self.batch_size).is_err() {
            return Err(invalid(
                "batch.size",
                &self.batch_size,
                "at most 2147483647",
            ));
        }
        match self.compression.codec() {
            Some(codec) => compress(codec, &[], &mut Vec::new()),
            None => Ok(()),
        }
    }
}

fn invalid(key: &str, value: &impl ToString, reason: &str) -> Error {
    Error::InvalidConfig {
        key: key.to_owned(),
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Settings = Settings {
        durability: Durability::Written,
        linger: DEFAULT_LINGER,
        batch_size: DEFAULT_BATCH_SIZE,
        compression: Compression::None,
        idempotence: true,
    };

    #[test]
    fn values_out_of_range_are_named() {
        assert!(VALID.check().is_ok());
        let key = |settings: Settings| match settings.check() {
            Err(Error::InvalidConfig { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            key(Settings {
                linger: Duration::MAX,
                ..VALID
            }),
            "linger.ms"
        );
        assert_eq!(
            key(Settings {
                batch_size: usize::MAX,
                ..VALID
            }),
            "batch.size"
        );
    }
}
