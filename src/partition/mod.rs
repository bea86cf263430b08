//! A partition, as the application holds it; what it shares with others is its [`state`].

mod description;
mod rules;
mod state;

use std::cell::RefCell;
use std::sync::Arc;

pub use self::description::{OffsetAndTimestamp, PartitionDescription};
pub(crate) use self::rules::Rules;
pub(crate) use self::state::PartitionState;
use crate::broker::BrokerState;
use crate::config::{Durability, TopicConfig};
use crate::error::{Error, Result};
use crate::format::Compression;
use crate::format::batch::{BatchBuilder, HEADER_LEN, ProducerStamp};
use crate::format::compression::Levels;
use crate::log::{AppendContext, Next};
pub(crate) use crate::log::{Appended, Cursor, FetchedBatch, Peeked};
use crate::reader::Reader;
use crate::record::{Offset, Position, Record, Timestamp, TopicPartition};

/// A batch builder starts with this much room, and grows to what it is used for.
const FIRST_BUILDER_BYTES: usize = 4 << 10;

/// One that has grown beyond this is not kept: every thread that appends has one.
const LARGEST_WARM_BUILDER: usize = 256 << 10;

thread_local! {
    /// A warm builder for [`Partition::append`], with what it was made for. A thread's own, so that
    /// threads share nothing but the log's mutex.
    static BUILDER: RefCell<Option<(Codec, BatchBuilder)>> = const { RefCell::new(None) };
}

/// Of batches that no producer chose a codec for.
type Codec = (Compression, Levels);

/// A partition of a topic: an append-only sequence of records with offsets 0, 1, 2, …
///
/// Cheap to clone; clones are the same partition.
#[derive(Debug, Clone)]
pub struct Partition {
    broker: Arc<BrokerState>,
    state: Arc<PartitionState>,
}

impl Partition {
    pub(crate) fn new(broker: Arc<BrokerState>, state: Arc<PartitionState>) -> Self {
        Self { broker, state }
    }

    /// The topic's name and the partition's number.
    pub fn id(&self) -> &TopicPartition {
        self.state.id()
    }

    /// Appends records as one atomic batch: readers, and a crash, see all of them or none. Returns
    /// the first one's offset; the others follow it. The records' own topic and partition are not
    /// looked at.
    ///
    /// Acknowledged by the topic's `durability`: where it survives this process, or on the device. For
    /// many small appends a [`Producer`](crate::Producer) is faster, since it gathers them into batches.
    /// A record without a timestamp gets the time of the call, as exact as
    /// [`Clock::coarse_wall`](crate::Clock::coarse_wall) is.
    ///
    /// # Errors
    /// `InvalidRecord` for no records, and for one without a key on a compacted topic; `RecordTooLarge` if
    /// the batch exceeds `max.message.bytes`; `InvalidTimestamp` for a negative timestamp, or one that is
    /// further from the clock than the topic allows; and what the disk has to say.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, Record, TopicConfig};
    ///
    /// let broker = Broker::in_memory();
    /// broker.create_topic("t", TopicConfig::default())?;
    /// let partition = broker.topic("t")?.partition(0)?;
    /// assert_eq!(partition.append(&[Record::value_only("a"), Record::value_only("b")])?, 0);
    /// assert_eq!(partition.append(&[Record::value_only("c")])?, 2);
    /// assert_eq!(partition.high_watermark(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(&self, records: &[Record<'_>]) -> Result<Offset> {
        self.broker.check_open()?;
        let config = self.state.config.load();
        let now = self.state.clock.coarse_wall();
        let appended = with_builder(codec_of(&config), |builder| {
            self.build(builder, records, &config, now)?;
            let batch = builder.finish(ProducerStamp::NONE, false)?;
            let context = AppendContext {
                config: &config,
                durability: config.durability,
                now,
            };
            self.state.append_in(batch, context)
        })?;
        if config.durability == Durability::Synced {
            self.state.wait_durable(appended.end_offset)?;
        }
        Ok(appended.base_offset)
    }

    fn build(
        &self,
        builder: &mut BatchBuilder,
        records: &[Record<'_>],
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<()> {
        if records.is_empty() {
            return Err(Error::InvalidRecord {
                topic: self.id().to_string(),
                reason: "a batch needs at least one record",
            });
        }
        let rules = Rules::of(config, now);
        let limit = rules.max_batch_bytes;
        for record in records {
            let timestamp = record.timestamp.unwrap_or(now);
            check_timestamp(self.id().topic(), timestamp)?;
            rules.check(self.id().topic(), record, || self.state.clock.wall())?;
            let encoding = builder.encoding(timestamp, record.key, record.value, &record.headers);
            let size = builder.size() + encoding.size();
            if size > limit {
                return Err(Error::RecordTooLarge {
                    topic: self.id().to_string(),
                    size,
                    limit,
                });
            }
            builder.push_encoding(timestamp, &encoding);
        }
        debug_assert!(builder.size() > HEADER_LEN);
        Ok(())
    }

    /// A reader that starts at `position`. It belongs to no group and commits nothing.
    pub fn reader(&self, position: Position) -> Result<Reader> {
        Reader::new(Arc::clone(&self.broker), Arc::clone(&self.state), position)
    }

    /// Offset of the first record that is retained.
    pub fn log_start_offset(&self) -> Offset {
        self.state.log_start_offset()
    }

    /// What readers may see ends here: the offset of the next record to become readable.
    pub fn high_watermark(&self) -> Offset {
        self.state.high_watermark()
    }

    /// What `read_committed` readers may see ends here. There are no transactions yet, so it is the
    /// high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        self.state.high_watermark()
    }

    /// Everything below this offset survives power loss.
    pub fn durable_end(&self) -> Offset {
        self.state.durable_end()
    }

    /// Bytes of the partition's segments.
    pub fn size_bytes(&self) -> u64 {
        self.state.log().size_bytes()
    }

    /// Offset of the first record, by offset, whose timestamp is `timestamp` (milliseconds since the
    /// Unix epoch) or later; `None` if there is none yet.
    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        self.state.offset_for_timestamp(timestamp)
    }

    /// Moves the log start offset forward: records below `offset` are gone for readers at once, and
    /// do not come back after a crash. `offset` at or below the start changes nothing. Segments of which
    /// nothing is left are removed; records that a program holds stay readable.
    ///
    /// # Errors
    /// `OffsetOutOfRange` beyond the high watermark; `PolicyViolation` if the topic is only compacted.
    pub fn delete_records(&self, offset: Offset) -> Result<()> {
        self.broker.delete_records(&self.state, offset)
    }

    /// Makes everything appended so far survive power loss (`fdatasync`).
    pub fn flush(&self) -> Result<()> {
        self.state.check_open()?;
        self.state
            .wait_sync(self.state.log().end_offset(), Next::Appends)
    }
}

/// Lends out the thread's warm builder.
#[inline]
fn with_builder<T>(codec: Codec, build: impl FnOnce(&mut BatchBuilder) -> T) -> T {
    let (compression, levels) = codec;
    let cold = || BatchBuilder::with_levels(FIRST_BUILDER_BYTES, compression, levels);
    BUILDER.with(|warm| {
        // Lent out already to whoever woke a reader that appends on this thread.
        let Ok(mut warm) = warm.try_borrow_mut() else {
            return build(&mut cold());
        };
        if warm.as_ref().is_none_or(|(known, _)| *known != codec) {
            *warm = None;
        }
        let (_, builder) = warm.get_or_insert_with(|| (codec, cold()));
        let result = build(builder);
        if builder.size() <= LARGEST_WARM_BUILDER {
            builder.clear();
        } else {
            *warm = None;
        }
        result
    })
}

fn codec_of(config: &TopicConfig) -> Codec {
    match config.compression {
        Compression::Producer => (Compression::None, Levels::default()),
        demanded => (demanded, config.compression_levels()),
    }
}

/// Kafka refuses timestamps below 0, except -1, "none given".
pub(crate) fn check_timestamp(topic: &str, timestamp: Timestamp) -> Result<()> {
    if timestamp < -1 {
        let reason = "it is negative, and not -1 (none)";
        return Err(Error::InvalidTimestamp {
            topic: topic.to_owned(),
            timestamp,
            reason,
        });
    }
    Ok(())
}
