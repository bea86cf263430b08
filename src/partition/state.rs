//! What everybody who uses a partition shares: it orders writers, publishes the readable end, and wakes
//! readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::OffsetAndTimestamp;
use crate::broker::Housekeeping;
use crate::clock::Clock;
use crate::config::{Durability, TopicConfig};
use crate::error::{Error, Result};
use crate::log::{AppendContext, Appended, Cursor, FetchedBatch, Log, Next, Peeked};
use crate::notify::Waiters;
use crate::reader;
use crate::record::{Offset, Position, Timestamp, TopicPartition};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct PartitionState {
    log: Log,
    /// The topic's, shared by its partitions.
    pub(super) config: Arc<ArcSwap<TopicConfig>>,
    pub(super) clock: Arc<dyn Clock>,
    housekeeping: Arc<Housekeeping>,
    waiters: Waiters,
    /// A sync is due some time: the housekeeping thread knows of the partition.
    dirty: AtomicBool,
    /// The topic was deleted, or the broker closed.
    closed: AtomicBool,
    /// Somebody waits for a sync: the housekeeping thread runs one as soon as it can.
    sync_requested: AtomicBool,
    /// The housekeeping thread knows that the active segment is nearly full.
    roll_requested: AtomicBool,
}

impl PartitionState {
    pub(crate) fn new(
        log: Log,
        config: Arc<ArcSwap<TopicConfig>>,
        clock: Arc<dyn Clock>,
        housekeeping: Arc<Housekeeping>,
    ) -> Self {
        Self {
            log,
            config,
            clock,
            housekeeping,
            waiters: Waiters::default(),
            dirty: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            sync_requested: AtomicBool::new(false),
            roll_requested: AtomicBool::new(false),
        }
    }

    pub(crate) fn id(&self) -> &TopicPartition {
        self.log.id()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.load_full()
    }

    /// Appends one finished batch (base offset 0, as `BatchBuilder::finish` leaves it): checks it,
    /// sets base offset and leader epoch in place (and the append time, if the topic says so),
    /// writes it, publishes, and wakes readers. On an error nothing was appended, unless the error
    /// says it is indefinite. `durability` is what the caller will wait for before it acknowledges.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: &mut [u8],
        durability: Durability,
    ) -> Result<Appended> {
        let config = self.config.load();
        let context = AppendContext {
            config: &config,
            durability: config.durability.max(durability),
            now: self.clock.wall(),
        };
        self.append_in(batch, context)
    }

    #[inline]
    pub(super) fn append_in(
        self: &Arc<Self>,
        batch: &mut [u8],
        context: AppendContext<'_>,
    ) -> Result<Appended> {
        self.check_open()?;
        let config = context.config;
        let appended = self.log.append(batch, context)?;
        self.waiters.wake_all();
        let is_flush_due = config.flush_messages.is_some_and(|limit| {
            appended.end_offset.saturating_sub(self.log.durable_end()) >= limit
        });
        if is_flush_due {
            self.wait_durable(appended.end_offset)?;
        } else {
            self.schedule_sync(config);
        }
        if self.log.is_roll_near() && self.housekeeping.is_running() {
            self.request_roll();
        }
        Ok(appended)
    }

    /// Has the housekeeping thread sync within `flush.ms`.
    fn schedule_sync(self: &Arc<Self>, config: &TopicConfig) {
        let Some(interval) = config.flush_ms else {
            return;
        };
        // The fence of the wake-up stands between the append and this look, as the one in `sync_now`
        // does between the other two: one of the sides sees what the other did.
        if !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel) {
            self.housekeeping
                .sync_at(self.clock.monotonic() + interval, self);
        }
    }

    /// The stronger of what the topic demands and `asked`.
    pub(crate) fn durability(&self, asked: Durability) -> Durability {
        self.config.load().durability.max(asked)
    }

    /// Blocks until everything below `end` is on the device; shares one sync with all who wait.
    pub(crate) fn wait_durable(&self, end: Offset) -> Result<()> {
        self.wait_sync(end, Next::Sync)
    }

    pub(super) fn wait_sync(&self, end: Offset, next: Next) -> Result<()> {
        self.log.commit().wait(end, || self.log.sync(next))?;
        self.waiters.wake_all();
        Ok(())
    }

    /// Like [`Self::wait_durable`], without blocking: asks the housekeeping thread for a sync (or,
    /// on a broker without one, syncs here) and wakes the task when it is done.
    pub(crate) fn poll_durable(
        self: &Arc<Self>,
        end: Offset,
        context: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if self.log.commit().poll(end, context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = self.log.check_failure() {
            return Poll::Ready(Err(error));
        }
        if self.housekeeping.is_running() {
            self.request_sync();
            Poll::Pending
        } else {
            Poll::Ready(self.wait_durable(end))
        }
    }

    /// Has the housekeeping thread sync what an earlier process left unsynced.
    pub(crate) fn sync_soon(self: &Arc<Self>) {
        self.housekeeping.sync_at(Duration::ZERO, self);
    }

    /// Asks the housekeeping thread to sync soon, since somebody may be waiting later. Cheap.
    pub(crate) fn request_sync(self: &Arc<Self>) {
        if !self.sync_requested.swap(true, Ordering::AcqRel) {
            self.housekeeping.sync_at(Duration::ZERO, self);
        }
    }

    /// Has the housekeeping thread roll the active segment, once.
    #[cold]
    fn request_roll(self: &Arc<Self>) {
        if !self.roll_requested.swap(true, Ordering::AcqRel) {
            self.sync_soon();
        }
    }

    /// Syncs until little is left, and rolls then: appends wait for that little only.
    fn roll_now(&self) -> Result<()> {
        /// More are of no use: appends are as fast as the device.
        const MOST_SYNCS: usize = 3;
        /// Syncing them takes no longer than syncing nothing.
        const FEW_BYTES: u64 = 256 << 10;
        for _ in 0..MOST_SYNCS {
            let before = self.log.size_bytes();
            self.wait_sync(self.log.end_offset(), Next::Appends)?;
            if self.log.size_bytes().saturating_sub(before) < FEW_BYTES {
                break;
            }
        }
        let config = self.config.load();
        let rolled = self.log.roll_early(AppendContext {
            config: &config,
            durability: config.durability,
            now: self.clock.wall(),
        });
        self.roll_requested.store(false, Ordering::Release);
        // What the roll wrote is synced with the next records; a roll that failed is tried by an append.
        rolled
    }

    /// Goes on in a new segment, unless the active one is empty.
    pub(crate) fn begin_segment(&self) -> Result<()> {
        self.check_open()?;
        let config = self.config.load();
        self.log.begin_segment(AppendContext {
            config: &config,
            durability: config.durability,
            now: self.clock.wall(),
        })
    }

    /// The same for retention, if nothing was appended since the log ended at `end`.
    pub(crate) fn begin_segment_at(&self, end: Offset) -> Result<()> {
        self.check_open()?;
        // Before appends are held up: then little is left to be synced.
        self.wait_durable(end)?;
        let config = self.config.load();
        let context = AppendContext {
            config: &config,
            durability: config.durability,
            now: self.clock.wall(),
        };
        self.log.begin_segment_at(end, context).map(drop)
    }

    /// Syncs what is unsynced. For the housekeeping thread.
    pub(crate) fn sync_now(&self) -> Result<()> {
        // Before the sync: what is appended from here on asks for another one.
        self.dirty.store(false, Ordering::Release);
        let next = if self.sync_requested.swap(false, Ordering::AcqRel) {
            Next::Sync
        } else {
            Next::Appends
        };
        fence(Ordering::SeqCst);
        let synced = self.wait_sync(self.log.end_offset(), next);
        if synced.is_ok() && self.roll_requested.load(Ordering::Acquire) {
            let _ = self.roll_now();
        }
        if synced.is_ok() {
            self.log.rest();
        }
        // A topic that was deleted, before or meanwhile, has nothing to sync: that is no failure.
        if self.check_open().is_err() {
            return Ok(());
        }
        synced
    }

    /// The next batch that holds `cursor.next_offset` or a later one, if it is readable; see
    /// [`Log::fetch`]. No lock, no copy, no system call.
    pub(crate) fn fetch(&self, cursor: &mut Cursor) -> Result<Option<FetchedBatch>> {
        self.check_open()?;
        // A segment of a partition that is closed meanwhile is not opened any more.
        let fetched = self.log.fetch(cursor);
        fetched.map_err(|error| self.check_open().err().unwrap_or(error))
    }

    /// True if [`Self::fetch`] would say that there is nothing at `offset` yet.
    #[inline]
    pub(crate) fn is_idle_at(&self, offset: Offset) -> bool {
        !self.closed.load(Ordering::Acquire) && self.log.is_idle_at(offset)
    }

    /// The batch that follows the last fetched one, if finding it is cheap; see [`Log::peek`].
    #[inline]
    pub(crate) fn peek<'a>(&self, cursor: &'a Cursor) -> Option<Peeked<'a>> {
        self.check_open().ok()?;
        self.log.peek(cursor)
    }

    /// The offset that a position stands for right now.
    pub(crate) fn resolve(&self, position: Position) -> Result<Offset> {
        match position {
            Position::Earliest => Ok(self.log_start_offset()),
            Position::Latest => Ok(self.high_watermark()),
            Position::Offset(offset) => Ok(offset),
            Position::Timestamp(timestamp) => Ok(self
                .offset_for_timestamp(timestamp)?
                .unwrap_or(self.high_watermark())),
        }
    }

    /// Offset of the first record whose timestamp is `timestamp` or later.
    pub(crate) fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<Offset>> {
        let found = self.first_at_or_after(timestamp)?;
        Ok(found.map(|found| found.offset))
    }

    pub(super) fn first_at_or_after(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>> {
        self.log.look(|| {
            let Some(offset) = self.log.locate_timestamp(timestamp)? else {
                return Ok(None);
            };
            reader::first_at_or_after(self, offset, timestamp)
        })
    }

    pub(crate) fn log_start_offset(&self) -> Offset {
        self.log.start_offset()
    }

    /// What consumers may read: up to, not including, this offset.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.log.readable_end()
    }

    /// Everything below is on the device.
    pub(crate) fn durable_end(&self) -> Offset {
        self.log.durable_end()
    }

    /// Where records of leader epoch `epoch` end in this log (the start of the next epoch, or the
    /// log's end), for telling a position from a lost suffix.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Offset {
        self.log.end_of_epoch(epoch)
    }

    /// Readers that wait for new records register here.
    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(Error::Closed("partition"))
        } else {
            Ok(())
        }
    }

    /// Refuses all further use, and lets those who wait find that out.
    pub(crate) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.waiters.wake_all();
        self.log.commit().wake_all();
    }
}
