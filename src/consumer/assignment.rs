//! The partitions a consumer reads, each with its place and where that place came from.
//!
//! Start position of a partition (Kafka's order): an explicit seek; else the group's committed
//! offset; else the reset policy. It is looked up by the first poll, not at assignment, so that a
//! seek in between costs nothing and errors have a call to come out of.
//!
//! Where we keep more than Kafka does: `Latest` means the end at the time of assignment, so nothing
//! written between `subscribe` and the first poll is missed; and partitions that were added to a
//! topic later start at their beginning, whatever the policy (unless it is none). In a group, the time of
//! assignment is that to the first owner, as long as there are members: nothing is skipped if a
//! partition changes hands before anything is committed for it.
//!
//! Elsewhere: which partitions those are ([`subscription`](super::subscription)), reading them
//! ([`fetch`](super::fetch)), committed offsets (`group::offsets`).

use std::sync::Arc;
use std::time::Duration;

use super::fetch::{NO_EPOCH, PartitionReader};
use super::records::Records;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::group::offsets::OffsetAndMetadata;
use crate::partition::PartitionState;
use crate::record::{Offset, Position, Timestamp, TopicPartition};

/// One partition that a consumer reads.
#[derive(Debug)]
pub(super) struct Assigned {
    reader: PartitionReader,
    start: Start,
    pub(super) paused: bool,
    /// The partition's end when it was assigned: where `Latest` starts.
    initial_end: Offset,
    /// It came to its topic while the consumer was subscribed already.
    added_later: bool,
}

/// What to do where there is no valid position (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResetPolicy {
    /// The caller is told.
    None,
    To(Position),
    /// To the first record that is at most this old.
    Ago(Duration),
}

impl ResetPolicy {
    /// Where to, if reset at this time.
    pub(super) fn at(self, clock: &dyn Clock) -> Option<Position> {
        match self {
            Self::None => None,
            Self::To(position) => Some(position),
            Self::Ago(age) => {
                let age = Timestamp::try_from(age.as_millis()).unwrap_or(Timestamp::MAX);
                let since = clock.wall().saturating_sub(age).max(0);
                Some(Position::Timestamp(since))
            }
        }
    }
}

/// What says where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nobody yet: the committed offset or the reset policy will.
    Unknown,
    /// An explicit seek to [`Position::Earliest`], which retention may still move.
    Earliest,
    /// The reader stands where it should.
    Known,
}

/// What a group knows about a partition that has no position yet.
#[derive(Debug)]
pub(super) struct Committed<'a> {
    pub(super) group: &'a str,
    pub(super) offset: Option<OffsetAndMetadata>,
    /// The group committed offsets of this topic, all of lower partitions: this one was added since.
    pub(super) added_since: bool,
}

/// How much a poll may still return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Room {
    pub(super) fn is_used_up(self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

impl Assigned {
    pub(super) fn new(partition: Arc<PartitionState>, added_later: bool) -> Self {
        let initial_end = partition.high_watermark();
        let reader = PartitionReader::new(partition, initial_end);
        Self {
            reader,
            start: Start::Unknown,
            paused: false,
            initial_end,
            added_later,
        }
    }

    /// One that is `Latest` where it ended earlier.
    pub(super) fn with_initial_end(mut self, end: Offset) -> Self {
        self.initial_end = end;
        self
    }

    pub(super) fn id(&self) -> &TopicPartition {
        self.partition().id()
    }

    pub(super) fn partition(&self) -> &Arc<PartitionState> {
        self.reader.partition()
    }

    /// True once a seek, a committed offset or the reset policy said where to read.
    pub(super) fn is_started(&self) -> bool {
        self.start == Start::Known
    }

    /// The next offset to return, and the leader epoch of the record before it; meaningful once
    /// [started](Self::is_started).
    pub(super) fn position(&self) -> (Offset, i32) {
        (self.reader.position(), self.reader.leader_epoch())
    }

    /// An explicit seek. An offset out of range shows at the next fetch.
    pub(super) fn seek(&mut self, position: Position) -> Result<()> {
        let (offset, start) = match position {
            Position::Offset(offset) => (offset, Start::Known),
            Position::Earliest => (self.partition().log_start_offset(), Start::Earliest),
            other => (self.partition().resolve(other)?, Start::Known),
        };
        self.reader.seek(offset, NO_EPOCH);
        self.start = start;
        Ok(())
    }

    /// Where to start: offset, and leader epoch if a committed offset says it. `committed` is asked
    /// for only if no seek came before.
    pub(super) fn starting_point<'a>(
        &self,
        policy: Option<Position>,
        committed: impl FnOnce() -> Result<Option<Committed<'a>>>,
    ) -> Result<(Offset, i32)> {
        match self.start {
            Start::Known => Ok(self.position()),
            Start::Earliest => Ok((self.partition().log_start_offset(), NO_EPOCH)),
            Start::Unknown => self.first_point(policy, committed()?),
        }
    }

    fn first_point(
        &self,
        policy: Option<Position>,
        committed: Option<Committed<'_>>,
    ) -> Result<(Offset, i32)> {
        let Some(committed) = committed else {
            return self.reset_point(policy, self.added_later, "");
        };
        if let Some(point) = &committed.offset {
            return self.resume_point(point, policy);
        }
        let added = self.added_later || committed.added_since;
        self.reset_point(policy, added, committed.group)
    }

    /// A committed offset, unless it belongs to a part of the log that a crash took (KIP-320).
    fn resume_point(
        &self,
        point: &OffsetAndMetadata,
        policy: Option<Position>,
    ) -> Result<(Offset, i32)> {
        let (offset, epoch) = (point.offset, point.leader_epoch);
        if epoch == NO_EPOCH {
            return Ok((offset, epoch));
        }
        let end = self.partition().end_of_epoch(epoch);
        if offset <= end {
            return Ok((offset, epoch));
        }
        let partition = self.id().clone();
        let truncated = Error::LogTruncated {
            partition,
            offset,
            epoch,
            end,
        };
        let policy = policy.ok_or(truncated)?;
        Ok((self.partition().resolve(policy)?, NO_EPOCH))
    }

    fn reset_point(
        &self,
        policy: Option<Position>,
        added: bool,
        group: &str,
    ) -> Result<(Offset, i32)> {
        let offset = match policy {
            None => {
                let (group, partition) = (group.to_owned(), self.id().clone());
                return Err(Error::NoCommittedOffset { group, partition });
            }
            Some(_) if added => self.partition().log_start_offset(),
            Some(Position::Latest) => self.initial_end.max(self.partition().log_start_offset()),
            Some(policy) => self.partition().resolve(policy)?,
        };
        Ok((offset, NO_EPOCH))
    }

    /// Starts at what [`Self::starting_point`] said.
    pub(super) fn start_at(&mut self, (offset, leader_epoch): (Offset, i32)) {
        if self.start != Start::Known {
            self.reader.seek(offset, leader_epoch);
            self.start = Start::Known;
        }
    }

    /// True if a look for records would find neither a record nor an error.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.paused || self.reader.is_idle()
    }

    /// Moves records into `records` until the partition's end, or until there is no room.
    pub(super) fn take(
        &mut self,
        records: &mut Records,
        room: &mut Room,
        policy: Option<Position>,
    ) -> Result<()> {
        while !room.is_used_up() && self.ready(policy)? {
            let Some(run) = self.reader.take_up_to(room.records, room.bytes) else {
                break;
            };
            room.records -= run.len();
            // Soft, as Kafka's `fetch.max.bytes`: what was fetched comes whole.
            room.bytes = room.bytes.saturating_sub(run.byte_len());
            records.push(run);
        }
        Ok(())
    }

    /// Like [`PartitionReader::ready`], but a position out of range is reset by the policy.
    fn ready(&mut self, policy: Option<Position>) -> Result<bool> {
        let mut tried = None;
        loop {
            let ready = self.reader.ready();
            let (Err(Error::OffsetOutOfRange { .. }), Some(policy)) = (&ready, policy) else {
                return ready;
            };
            let offset = self.partition().resolve(policy)?;
            // The log start may have gone past where the policy led, too. If it leads there again, that is
            // what it says.
            if tried == Some(offset) {
                return ready;
            }
            self.reader.seek(offset, NO_EPOCH);
            tried = Some(offset);
        }
    }
}
