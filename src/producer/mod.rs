//! Producers: records in, batches to the partitions.
//!
//! ```text
//! send ─▶ routes ─▶ partitioner ─▶ accumulator ─▶ partition
//!         (topic)   (which one)    (open batch)    (log)
//! ```
//!
//! All of it happens on the thread that sends. There is no sender thread and no queue: a full batch
//! is written by whoever filled it, so memory is bounded and a slow disk slows the senders down. The
//! broker's housekeeping calls [`Lingering::append_due`] for batches that do not get full in time.
//!
//! Invariants:
//! * Per partition, the log has the records in the order of the sends, whoever appends the batch.
//! * Nothing is lost silently: a batch that cannot be appended fails its deliveries *and* the next
//!   flush.
//! * In the steady state sending allocates nothing.
//!
//! [`builder`] configures, [`routes`] finds a topic's partitions, [`partitioner`] chooses one,
//! [`rules`] says what the topic accepts, [`accumulator`] gathers and appends, [`delivery`] tells
//! what became of it; [`shared`] is what all partitions have in common.

mod accumulator;
mod builder;
mod delivery;
mod partitioner;
mod routes;
mod shared;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use builder::ProducerBuilder;
pub use delivery::Delivery;
pub use partitioner::{Murmur2Partitioner, Partitioner, RoundRobinPartitioner};

use accumulator::Pushed;
use builder::Settings;
use partitioner::Random;
use routes::{KeptRoutes, Renewal, Route, Routes};
use shared::Shared;

use crate::broker::{BrokerState, Lingering};
use crate::error::Result;
use crate::partition::check_timestamp;
use crate::record::{Record, Timestamp};

/// Writes records to topics, in batches.
///
/// A clone is the same producer: it shares the open batches. One producer serves many threads;
/// threads that write to the same partition take turns. Dropping the last clone flushes as far as
/// possible; call [`close`](Self::close) to learn whether it was.
///
/// ```
/// use streamlog::{Broker, Record, TopicConfig};
///
/// # fn main() -> streamlog::Result<()> {
/// let broker = Broker::in_memory();
/// broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
/// let producer = broker.producer().build()?;
/// for page in ["/home", "/about"] {
///     producer.send(Record::to("user-clicks").key("alice").value(page))?;
/// }
/// producer.flush()?; // both are acknowledged
/// let delivery = producer.send(Record::to("user-clicks").key("alice").value("/bye"))?;
/// assert_eq!(delivery.wait()?.offset(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    core: Arc<Core>,
    /// The broker's housekeeping may hold `core` for a moment; only handles hold this.
    _flush_at_last: Arc<FlushAtLast>,
}

impl Producer {
    fn new(
        broker: Arc<BrokerState>,
        settings: Settings,
        partitioner: Box<dyn Partitioner>,
    ) -> Self {
        let core = Arc::new(Core {
            shared: Arc::new(Shared::new(broker, settings)),
            partitioner,
            random: OnceLock::new(),
            kept: KeptRoutes::default(),
            routes: ArcSwap::default(),
            renewing: Mutex::new(()),
        });
        let weak: Weak<dyn Lingering> = Arc::downgrade(&core) as Weak<dyn Lingering>;
        core.shared.broker.register_lingering(weak);
        Self {
            _flush_at_last: Arc::new(FlushAtLast(Arc::clone(&core))),
            core,
        }
    }

    /// Puts a copy of the record into the open batch of its partition, and writes the batch if it is
    /// full. Records that one thread sends to a partition are read in the order of its sends.
    ///
    /// The partition is the record's own, else the [`Partitioner`]'s choice, else one that is kept
    /// until a batch is full. The timestamp is the time of the call, to the few milliseconds of
    /// [`Clock::coarse_wall`](crate::Clock::coarse_wall), unless the record has one; a record that must
    /// not have one says -1.
    ///
    /// The delivery tells where the record is once it is acknowledged. To drop it is fine: a failure
    /// to write the batch is reported by the next [`flush`](Self::flush) too. A batch that cannot be
    /// written is dropped, and the batches after it are tried for themselves.
    ///
    /// # Errors
    /// What is wrong with the record itself; it was not sent then: `UnknownTopic`,
    /// `UnknownPartition`, `RecordTooLarge`, `InvalidTimestamp`, `InvalidRecord`. `Closed` after the
    /// broker was closed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a record is built for one send"
    )]
    pub fn send(&self, record: Record<'_>) -> Result<Delivery> {
        self.core.send(&record)
    }

    /// Writes all open batches, and waits until everything sent so far is acknowledged as its
    /// durability demands.
    ///
    /// # Errors
    /// The first failure to append since the last flush, whether or not a delivery told it. All
    /// batches are tried nevertheless.
    ///
    /// ```
    /// # use streamlog::{Broker, Record, TopicConfig};
    /// # fn main() -> streamlog::Result<()> {
    /// # let broker = Broker::in_memory();
    /// # broker.create_topic("clicks", TopicConfig::default())?;
    /// let producer = broker.producer().build()?;
    /// producer.send(Record::to("clicks").value("/home"))?;
    /// producer.flush()?;
    /// assert_eq!(broker.topic("clicks")?.partition(0)?.high_watermark(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.core.flush()
    }

    /// Gives this handle back, and [flushes](Self::flush). Clones stay usable.
    pub fn close(self) -> Result<()> {
        self.core.flush()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Core {
            shared,
            partitioner,
            ..
        } = &*self.core;
        f.debug_struct("Producer")
            .field("settings", &shared.settings)
            .field("partitioner", partitioner)
            .finish_non_exhaustive()
    }
}

/// Flushes when the last handle of a producer goes.
struct FlushAtLast(Arc<Core>);

impl Drop for FlushAtLast {
    fn drop(&mut self) {
        // The best that can be done here; `close` is for those who want to know.
        let _ = self.0.flush();
        let weak: Weak<dyn Lingering> = Arc::downgrade(&self.0) as Weak<dyn Lingering>;
        self.0.shared.broker.unregister_lingering(&weak);
    }
}

/// What all clones of a producer are.
struct Core {
    shared: Arc<Shared>,
    partitioner: Box<dyn Partitioner>,
    /// For the choice of sticky partitions; seeded at the first send.
    random: OnceLock<Random>,
    /// Looked at first; what they do not have is in `routes`.
    kept: KeptRoutes,
    routes: ArcSwap<Routes>,
    /// Held while `routes` is made anew. Before accumulators in the lock order.
    renewing: Mutex<()>,
}

impl Core {
    fn send(&self, record: &Record<'_>) -> Result<Delivery> {
        let broker = &self.shared.broker;
        broker.check_open()?;
        let now = match record.timestamp {
            Some(timestamp) => check_timestamp(record.topic, timestamp).map(|()| timestamp)?,
            // A clock before 1970 gives no timestamp that the format allows.
            None => broker.clock().coarse_wall().max(0),
        };
        loop {
            let pushed = match self.kept.get(record.topic, broker.topics_version()) {
                Some(route) => self.push(route, record, now)?,
                None => self.push_by_snapshot(record, now)?,
            };
            // Each time round the routes are newer, or the partition is another one.
            if let Pushed::Accepted(delivery) = pushed {
                return Ok(delivery);
            }
        }
    }

    /// For a topic whose route is not kept, or that changed.
    #[cold]
    fn push_by_snapshot(&self, record: &Record<'_>, now: Timestamp) -> Result<Pushed> {
        loop {
            let routes = self.routes.load();
            let current = routes.version == self.shared.broker.topics_version();
            match routes.get(record.topic).filter(|_| current) {
                Some(route) => {
                    self.kept.keep(route);
                    return self.push(route, record, now);
                }
                None => self.renew_routes(record.topic)?,
            }
        }
    }

    /// Offers the record to the partition that it is for.
    #[inline]
    fn push(&self, route: &Route, record: &Record<'_>, now: Timestamp) -> Result<Pushed> {
        let count = route.count();
        let preferred = match record.partition {
            Some(partition) => Some(partition),
            None => self
                .partitioner
                .partition(record.topic, record.key, record.value, count),
        };
        if let Some(partition) = preferred {
            return route.accumulator(partition)?.push(record, now, None);
        }
        let partition = route.sticky.current();
        let pushed = route
            .accumulator(partition)?
            .push(record, now, Some(&route.sticky))?;
        if matches!(pushed, Pushed::PartitionFilled) {
            route.sticky.switch(partition, count, self.random()?);
        }
        Ok(pushed)
    }

    /// Looks the topics up anew, and `wanted` with them.
    fn renew_routes(&self, wanted: &str) -> Result<()> {
        let random = self.random()?;
        let _renewing = self.renewing.lock();
        let version = self.shared.broker.topics_version();
        let wanted = self.shared.broker.topic(wanted)?;
        let renewed = self.routes.load().renewed(
            version,
            &wanted,
            &Renewal {
                shared: &self.shared,
                random,
            },
        );
        self.routes.store(Arc::new(renewed));
        Ok(())
    }

    /// Seeded with the producer's id and the time, so that producers differ, and a simulation that
    /// owns the clock repeats.
    fn random(&self) -> Result<&Random> {
        if let Some(random) = self.random.get() {
            return Ok(random);
        }
        let id = self.shared.producer_id()?;
        let seed = id.wrapping_add(1) ^ self.shared.broker.clock().wall().rotate_left(32);
        Ok(self
            .random
            .get_or_init(|| Random::new(seed.cast_unsigned())))
    }

    fn flush(&self) -> Result<()> {
        let routes = self.routes.load_full();
        routes
            .accumulators()
            .for_each(|accumulator| accumulator.append_now());
        // Everybody is waited for, also after a failure: all sends so far are settled in the end.
        let durable = routes
            .accumulators()
            .map(|accumulator| accumulator.wait_durable());
        let durable = durable.fold(Ok(()), Result::and);
        self.shared.take_failure().map_or(durable, Err)
    }
}

impl Lingering for Core {
    fn append_due(&self, now: Duration, all: bool) -> Option<Duration> {
        // Before looking: a batch that is opened meanwhile, and not seen here, is told anew.
        self.shared.unschedule();
        let routes = self.routes.load_full();
        if all {
            routes
                .accumulators()
                .for_each(|accumulator| accumulator.append_now());
            return None;
        }
        let next = routes
            .accumulators()
            .filter_map(|accumulator| accumulator.append_due(now))
            .min();
        if next.is_some() {
            self.shared.scheduled();
        }
        next
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
