//! Kafka's model as a library: topics, partitions, producers and consumers over a durable log.
//!
//! A program opens a directory, writes records to topics, and reads them as often as it likes, also
//! after a crash. There is no server and no network. The files are Apache Kafka's own: its tools read
//! them, and a cluster can take them over.
//!
//! This page teaches the crate from top to bottom, one idea a heading. The blocks run as they are;
//! most use a broker in memory, which behaves like one on disk.
//!
//! # Hello
//!
//! A [`Broker`] is an open data directory. A [`Producer`] sends records to it; `wait` returns when a
//! record is acknowledged, and says where it is: topic, partition, and [`Offset`], its number there.
//! A [`Consumer`] polls what is new to it. What it hands out is not copied: keys and values are slices
//! of the log.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! use std::time::Duration;
//! use streamlog::{Broker, Position, Record, TopicConfig};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data");
//! let broker = Broker::open(path)?; // makes the directory, or recovers what a crash left behind
//! broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
//!
//! let producer = broker.producer().build()?;
//! let metadata = producer.send(Record::to("user-clicks").key("alice").value("/home"))?.wait()?;
//! println!("{}-{}@{}", metadata.topic(), metadata.partition(), metadata.offset());
//!
//! let mut consumer = broker.consumer().auto_offset_reset(Position::Earliest).build()?;
//! consumer.subscribe(["user-clicks"])?;
//! for record in &consumer.poll(Duration::from_secs(1))? {
//!     assert_eq!(record.value(), Some(b"/home".as_slice()));
//! }
//! broker.close()
//! # }
//! ```
//!
//! # Keys and partitions
//!
//! A topic is a set of partitions, and each [`Partition`] is a sequence of records: order holds within
//! a partition, and not across. Records with equal keys go to the same one (the one that Kafka's
//! client would choose), so what happens to one user, order or device stays in order. Records without
//! a key are spread.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use streamlog::{Broker, Record, TopicConfig};
//! # let broker = Broker::in_memory();
//! # broker.create_topic("user-clicks", TopicConfig::default().partitions(3))?;
//! let producer = broker.producer().build()?;
//! let first = producer.send(Record::to("user-clicks").key("alice").value("/home"))?.wait()?;
//! let second = producer.send(Record::to("user-clicks").key("alice").value("/cart"))?.wait()?;
//! assert_eq!(first.partition(), second.partition());
//! assert!(first.offset() < second.offset());
//!
//! let chosen = Record::to("user-clicks").partition(2).value("no key").header("source", "web");
//! assert_eq!(producer.send(chosen)?.wait()?.partition(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! Sending is fast when nobody waits for each record: drop the [`Delivery`], and let
//! [`flush`](Producer::flush) tell whether all of them were written.
//!
//! # Durability
//!
//! An acknowledgement promises what [`Durability`] says: that the record survives the death of the
//! process (`Written`, the default), or power loss too (`Synced`). All who wait for the device at the
//! same time share one sync, so many threads get many more acknowledgements a second than one. A
//! producer can ask for more than its topic does, never for less. [`Partition::append`] writes a few
//! records as one atomic batch.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use streamlog::{Broker, Durability, Record, TopicConfig};
//! # let broker = Broker::in_memory();
//! let payments = TopicConfig::default().durability(Durability::Synced);
//! broker.create_topic("payments", payments)?;
//! broker.create_topic("user-clicks", TopicConfig::default())?;
//!
//! let producer = broker.producer().build()?;
//! producer.send(Record::to("payments").value("12 EUR"))?.wait()?; // it is on the device
//! producer.send(Record::to("user-clicks").value("/home"))?.wait()?; // it will be within a second
//! let clicks = broker.topic("user-clicks")?.partition(0)?;
//! clicks.flush()?; // now it is
//! assert_eq!(clicks.durable_end(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Reading and seeking
//!
//! A [`Reader`] reads one partition from any [`Position`]: an offset, a time, the beginning, the end.
//! It belongs to no group and commits nothing; any number of them read without a lock.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, Position, Record, TopicConfig};
//! # let broker = Broker::in_memory();
//! # broker.create_topic("user-clicks", TopicConfig::default())?;
//! let partition = broker.topic("user-clicks")?.partition(0)?;
//! let pages = [Record::value_only("/home"), Record::value_only("/cart"), Record::value_only("/pay")];
//! partition.append(&pages)?;
//!
//! let mut reader = partition.reader(Position::Offset(1))?;
//! assert_eq!(reader.next()?.and_then(|record| record.value()), Some(b"/cart".as_slice()));
//! reader.seek(Position::Latest)?;
//! assert!(reader.next()?.is_none()); // the end; records that are written later come next
//! assert!(!reader.wait(Duration::ZERO)?); // blocks until there is one, or the time is over
//! # Ok(())
//! # }
//! ```
//!
//! # Consumer groups
//!
//! Consumers that are given the same group share the partitions of the topics they subscribe to: each
//! partition has exactly one of them as its owner, so its records come in order, to one place. Make as
//! many members as there is work for, in any threads; the group divides the partitions anew when one
//! joins, leaves, is dropped, panics, or does not poll for
//! [`max_poll_interval`](ConsumerBuilder::max_poll_interval), and when topics or partitions are added.
//! Partitions that do not move are read on meanwhile, and the next owner of one that does starts when
//! the former one has stopped.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, Position, Record, TopicConfig};
//! # let broker = Broker::in_memory();
//! broker.create_topic("orders", TopicConfig::default().partitions(6))?;
//! # let producer = broker.producer().build()?;
//! # for order in 0..60 { producer.send(Record::to("orders").key(&format!("{order}")).value("order"))?; }
//! # producer.flush()?;
//! # let processed = std::sync::atomic::AtomicUsize::new(0);
//! std::thread::scope(|scope| {
//!     for _ in 0..3 {
//!         scope.spawn(|| -> streamlog::Result<()> {
//!             let mut worker = broker.consumer().group("fulfilment")
//!                 .auto_offset_reset(Position::Earliest).build()?;
//!             worker.subscribe(["orders"])?;
//!             loop {
//!                 let records = worker.poll(Duration::from_millis(100))?;
//!                 for record in &records { /* process it */ }
//! #               processed.fetch_add(records.len(), std::sync::atomic::Ordering::Relaxed);
//! #               if records.is_empty() { return worker.close(); }
//!             }
//!         });
//!     }
//! });
//! # assert!(processed.into_inner() >= 60);
//! let group = broker.group("fulfilment").describe()?;
//! println!("{} members, {} records behind", group.members.len(), group.total_lag());
//! # Ok(())
//! # }
//! ```
//!
//! [`Consumer::on_rebalance`] tells of partitions that come and go; [`ConsumerBuilder::assignor`] chooses
//! how they are divided, as Kafka's assignors do or by your own [`Assignor`]; with
//! [`group_instance_id`](ConsumerBuilder::group_instance_id) a member keeps its place while it restarts.
//! [`Broker::group`] looks at a group, moves its offsets, and deletes it.
//!
//! # Commits
//!
//! A commit says how far a group has come in a partition: the *next* offset to read. It is what the
//! next owner starts from, after a restart or a crash too; only the owner of a partition can commit for
//! it. [`Consumer::commit`] commits everything that `poll` has returned;
//! [`commit_offsets`](Consumer::commit_offsets) commits what you say;
//! [`commit_async`](Consumer::commit_async) does not wait for the device. Without any of them, positions
//! are committed every five seconds inside `poll`, for records that earlier polls returned.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, Position, Record, TopicConfig};
//! # let broker = Broker::in_memory();
//! # broker.create_topic("user-clicks", TopicConfig::default())?;
//! # let partition = broker.topic("user-clicks")?.partition(0)?;
//! partition.append(&[Record::value_only("/home"), Record::value_only("/cart")])?;
//! for expected in [b"/home", b"/cart"] {
//!     let mut consumer = broker.consumer().group("dashboard")
//!         .auto_offset_reset(Position::Earliest) // where a group starts that has no offset yet
//!         .auto_commit(None).max_poll_records(1).build()?;
//!     consumer.subscribe(["user-clicks"])?;
//!     let records = consumer.poll(Duration::from_secs(1))?;
//!     assert!(records.iter().all(|record| record.value() == Some(expected)));
//!     consumer.commit()?; // the records are processed; they stay readable as long as we hold them
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # At least once
//!
//! A record is processed before it counts as processed, never after: `poll` returns it, you handle it,
//! and then a commit covers it. If the program dies in between, or its member is dropped, the next owner
//! gets the record again. So every record is processed at least once, and a few, around a crash, more
//! often: make processing idempotent, or keep the offset with the result and [seek](Consumer::seek) to it.
//! Two habits keep it so: with automatic commits, handle what a poll returned before the next poll; if other
//! threads do the work, turn them off and commit when they are done.
//!
//! A [`ConsumerGroup`], by [`Broker::group`], is the group as a whole: it tells how far it has come, and,
//! while it has no member, moves it elsewhere or deletes it. Offsets that nobody uses any more are forgotten
//! after [a week](BrokerBuilder::offsets_retention).
//!
//! # Replay
//!
//! Reading removes nothing. A consumer [seeks](Consumer::seek) wherever it likes, and a new group
//! starts wherever its reset policy says: yesterday's records can be processed by tomorrow's code.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, Position, Record, TopicConfig, TopicPartition};
//! # let broker = Broker::in_memory();
//! # broker.create_topic("user-clicks", TopicConfig::default())?;
//! let partition = broker.topic("user-clicks")?.partition(0)?;
//! for hour in 0..24 {
//!     partition.append(&[Record::value_only("click").timestamp(hour * 3_600_000)])?;
//! }
//! let mut consumer = broker.consumer().build()?;
//! consumer.subscribe(["user-clicks"])?;
//! let clicks = TopicPartition::new("user-clicks", 0);
//! consumer.seek(&clicks, Position::Timestamp(20 * 3_600_000))?; // from 20:00 on
//! assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 4);
//! consumer.seek(&clicks, Position::Earliest)?;
//! assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 24);
//! # Ok(())
//! # }
//! ```
//!
//! # Old records
//!
//! **Records are deleted after 7 days, by their timestamps, unless you say otherwise**: Kafka's default.
//! Whole segments go, from the front, in a thread of their own:
//! when they are [too old](TopicConfig::retention_ms) or [too much](TopicConfig::retention_bytes), and, if
//! you say so, not before [groups have passed them](TopicConfig::retention_consumed). All topics together
//! stay below [a budget](BrokerBuilder::max_disk_bytes).
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! use std::time::Duration;
//! use streamlog::{Broker, ManualClock, Record, TopicConfig};
//! # use streamlog::sim::SimDisk;
//!
//! let clock = ManualClock::new(1_700_000_000_000); // time is the test's own here
//! let builder = Broker::builder("data").clock(clock.clone()).background(false);
//! # let builder = builder.storage(SimDisk::new());
//! let broker = builder.open()?;
//! let day = Duration::from_secs(86_400);
//! let config = TopicConfig::default().retention_ms(Some(day));
//! let log = broker.create_topic("user-clicks", config)?.partition(0)?;
//! log.append(&[Record::value_only("old")])?;
//! clock.advance(2 * day);
//! broker.run_housekeeping()?;
//! assert_eq!((log.log_start_offset(), log.high_watermark()), (1, 1));
//! broker.create_topic("kept-for-ever", TopicConfig::default().retention_ms(None))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tables
//!
//! With [`CleanupPolicy::Compact`] the latest record of each key stays for ever, at its offset; earlier ones
//! go, and so does, after [a time](TopicConfig::delete_retention_ms), a key whose latest record has no value.
//! Whoever reads such a topic from its start has the table. Finished segments are compacted in the
//! background, once [enough of a log is new](TopicConfig::min_cleanable_dirty_ratio).
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! use streamlog::{Broker, CleanupPolicy, Position, Record, TopicConfig};
//! # use streamlog::sim::SimDisk;
//!
//! let builder = Broker::builder("data").background(false); // a test that compacts when it says so
//! # let builder = builder.storage(SimDisk::new());
//! let broker = builder.open()?;
//! let table = TopicConfig::default()
//!     .cleanup_policy(CleanupPolicy::Compact)
//!     .segment_bytes(1 << 10); // small, so that there is a finished one
//! let log = broker.create_topic("user-emails", table)?.partition(0)?;
//! for change in 0..100 {
//!     let address = format!("{change}@example.com");
//!     log.append(&[Record::to("user-emails").key("alice").value(&address)])?;
//! }
//! broker.run_housekeeping()?;
//! let mut reader = log.reader(Position::Earliest)?;
//! let first = reader.next()?.map(|record| record.offset());
//! assert!(first > Some(50)); // the others are gone; the latest one is still at offset 99
//! assert_eq!(log.high_watermark(), 100);
//! # Ok(())
//! # }
//! ```
//!
//! # Configuration
//!
//! Every setting has Kafka's name, as a typed method and, for topics, as text; defaults are Kafka's
//! unless the method's documentation says why not. Values are checked when they are used.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, TopicConfig};
//! use streamlog::Compression;
//!
//! # let broker = Broker::in_memory();
//! let config = TopicConfig::default().partitions(6).segment_bytes(256 << 20)
//!     .set("max.message.bytes", "4194304")?;
//! broker.create_topic("documents", config)?;
//! let current = broker.topic("documents")?.config();
//! broker.alter_topic("documents", (*current).clone().segment_ms(Duration::from_secs(3_600)))?;
//!
//! let producer = broker.producer().compression(Compression::Zstd)
//!     .linger(Duration::from_millis(20)).batch_size(256 << 10).build()?;
//! # drop(producer);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! There is one [`Error`]. Each decision that a caller would take is a variant to match on, and its
//! message says what was wrong, where, and what to do. [`Error::is_retryable`] tells whether the same
//! call may succeed later; [`Error::is_indefinite`], whether it may have taken effect all the same.
//! Nothing that a caller passes, and nothing found on disk, makes the crate panic.
//!
//! ```
//! # use streamlog::{Broker, TopicConfig};
//! use streamlog::Error;
//!
//! # fn main() -> streamlog::Result<()> {
//! # let broker = Broker::in_memory();
//! let topic = match broker.topic("user-clicks") {
//!     Err(Error::UnknownTopic { .. }) => broker.create_topic("user-clicks", TopicConfig::default())?,
//!     found => found?,
//! };
//! let error = topic.partition(7).unwrap_err();
//! assert_eq!(error.to_string(), "topic `user-clicks` has no partition 7: it has 1, numbered from 0");
//! assert!(!error.is_retryable());
//! # Ok(())
//! # }
//! ```
//!
//! # Testing your application
//!
//! [`Broker::in_memory`] needs no directory. With a [`ManualClock`], and without the background thread,
//! nothing happens until the test says so. A [`SimDisk`](sim::SimDisk) crashes and fails on command:
//! run your application on it, cut the power anywhere, and see what it finds when it starts again.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use std::time::Duration;
//! # use streamlog::{Broker, ManualClock, Record, TopicConfig};
//! use streamlog::sim::SimDisk;
//!
//! let (disk, clock) = (SimDisk::new(), ManualClock::new(0));
//! let broker = Broker::builder("data").storage(disk.clone()).clock(clock.clone())
//!     .background(false).open()?;
//! broker.create_topic("user-clicks", TopicConfig::default())?;
//! let producer = broker.producer().linger(Duration::from_secs(5)).build()?;
//! producer.send(Record::to("user-clicks").value("/home"))?;
//!
//! clock.advance(Duration::from_secs(5));
//! broker.run_housekeeping()?; // now the batch has lingered long enough
//! assert_eq!(broker.topic("user-clicks")?.partition(0)?.high_watermark(), 1);
//!
//! disk.set_capacity(Some(0)); // the disk is full
//! assert!(producer.send(Record::to("user-clicks").value("/cart"))?.wait().is_err());
//! # disk.set_capacity(None);
//! # Ok(())
//! # }
//! ```
//!
//! # Closing
//!
//! [`Broker::close`] writes what is buffered, syncs everything, and tells whether that worked; the next
//! open then has nothing to recover. Dropping the last handle does the same, silently. Without either
//! (the process was killed, the power was cut) the next open recovers, and
//! [`Broker::recovery_report`] says what it found. Records that were polled stay valid in any case.
//!
//! ```
//! # fn main() -> streamlog::Result<()> {
//! # use streamlog::{Broker, Error, Record, TopicConfig};
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("data");
//! let broker = Broker::open(&path)?;
//! let topic = broker.create_topic("user-clicks", TopicConfig::default())?;
//! let partition = topic.partition(0)?;
//! partition.append(&[Record::value_only("/home")])?;
//! broker.close()?;
//! let late = partition.append(&[Record::value_only("/cart")]);
//! assert!(matches!(late, Err(Error::Closed(_))));
//!
//! let broker = Broker::open(&path)?;
//! assert!(broker.recovery_report().clean_shutdown);
//! # broker.close()
//! # }
//! ```
//!
//! # A map of the code
//!
//! ```text
//!  send ─▶ producer ─▶ partition ─▶ log ─▶ disk     batch, route │ order, publish │ roll, index │ bytes
//!  poll ◀─ consumer ◀─ partition ◀─ log ◀─ disk     position     │ wait           │ find        │ map
//!  commit ─▶ group: keeps its offsets in a topic of the same broker
//! ```
//!
//! | in `src/` | its job |
//! |---|---|
//! | `record` `error` `config` | the words that everything shares |
//! | `broker` | opens and closes a directory; which topics there are; the background thread |
//! | `topic` `partition` `reader` | the handles; a partition orders writers and wakes readers |
//! | `producer` | open batches, the choice of partition, receipts |
//! | `consumer` | positions, fetching, zero-copy views of records, commits |
//! | `group` | members, who owns which partition, assignors, committed offsets |
//! | `log` | one partition's segments: append, roll, read, recover |
//! | `format` | the only code that knows byte layouts: bytes in, values out |
//! | `disk` | the only code that touches files, and the simulated disk |
//! | [`inspect`] | looks into files, for tools |
//! | `clock` `notify` `sync` | time, injected; waking those who wait; what that is made of |
//!
//! Arrows point down only. `docs/design.md` in the repository says why it is so, and the README where to
//! start reading.

mod bell;
mod broker;
mod clock;
mod config;
mod consumer;
mod disk;
mod error;
mod format;
mod group;
pub mod inspect;
mod log;
mod notify;
mod partition;
mod producer;
mod reader;
mod record;
mod sync;
mod topic;

pub use broker::{
    Broker, BrokerBuilder, Checkpoint, ClampedCommit, Finding, Lost, PartitionRecovery,
    RecoveryReport, SalvageOptions, SalvageReport, SalvagedPartition, Severity, VerifyProgress,
    VerifyReport, salvage,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    CleanupPolicy, ConfigEntry, ConfigOp, ConfigSource, Durability, RetentionConsumed, TopicConfig,
    TopicConfigValues,
};
pub use consumer::{
    Consumer, ConsumerBuilder, ConsumerRecord, Header, RebalanceListener, RecordHeaders, Records,
    RecordsIter, WakeupHandle,
};
pub use disk::sim;
pub use error::{Error, Result, SharedIoError};
#[cfg(any(test, feature = "__fuzzing"))]
#[doc(hidden)]
pub use format::fuzzing;
pub use format::{Compression, TimestampType};
pub use group::assignor::{
    Assignment, Assignor, CooperativeSticky, MemberSubscription, Range, RoundRobin, Sticky,
};
pub use group::commit::CommitReceipt;
pub use group::{
    Clamped, ConsumerGroup, GroupDescription, GroupListing, GroupOffset, GroupState,
    MemberDescription, OffsetReset, ResetOffset,
};
pub use partition::{OffsetAndTimestamp, Partition, PartitionDescription};
pub use producer::{
    Delivery, Murmur2Partitioner, Partitioner, Producer, ProducerBuilder, RoundRobinPartitioner,
};
pub use reader::Reader;
pub use record::{Offset, Position, Record, RecordMetadata, Timestamp, TopicPartition};
pub use topic::{Topic, TopicDescription};

/// The README's program compiles; the example `quickstart` is the same, and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
