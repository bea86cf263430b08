//! The disk budget of a broker: how many bytes the files of its segments may take, and how many they do.
//!
//! Counted are, for each segment, its batches, and once it is finished its two indexes and its seal, and
//! the producer snapshot that belongs to its base. Whoever writes them reserves the bytes before, so the
//! count is never too low; files that are removed are given back when they are gone.
//!
//! The last sixteenth of the budget is out of reach of appends of records: compaction, which makes room, needs
//! some before, and commits of groups may be what retention waits for.
//!
//! Without a budget nothing is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Log;
use super::names::FileKind;
use super::segment::Segment;
use super::writer::Writer;
use crate::bell::Bell;
use crate::disk::OpenMode;
use crate::error::{Error, Result};
use crate::format::producer_snapshot;
use crate::format::seal::SEAL_LEN;

/// This part of the budget is kept for what makes room.
const KEPT_FOR_CLEANING: u64 = 16;

/// What is counted beside the batches of a finished segment.
const OF_FINISHED: [FileKind; 4] = [
    FileKind::OffsetIndex,
    FileKind::TimeIndex,
    FileKind::Seal,
    FileKind::ProducerSnapshot,
];

/// See the module's description. One for each broker.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    /// The budget, in bytes.
    limit: Option<u64>,
    /// Counts on its own: nothing is read because of it.
    used: AtomicU64,
    /// Rung when something is refused: retention may make room.
    bell: Arc<Bell>,
}

/// What bytes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records of the application.
    Records,
    /// What the broker itself writes: committed offsets, output of compaction. May use all of the budget.
    Internal,
    /// What gives more back right afterwards. Never refused.
    MakingRoom,
}

/// Bytes that are counted, and given back unless they are kept.
#[derive(Debug)]
#[must_use = "bytes that are not kept are given back"]
pub(crate) struct Reservation<'a> {
    space: &'a DiskSpace,
    bytes: u64,
}

impl DiskSpace {
    pub(crate) fn new(limit: Option<u64>, bell: Arc<Bell>) -> Self {
        Self {
            limit,
            used: AtomicU64::new(0),
            bell,
        }
    }

    /// What takes up space rings here to have some removed.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// What is counted; `None` without a budget.
    pub(crate) fn used(&self) -> Option<u64> {
        self.limit.map(|_| self.used.load(Ordering::Relaxed))
    }

    /// What the budget leaves for what the broker itself writes.
    pub(super) fn room(&self) -> u64 {
        let room = |limit: u64| limit.saturating_sub(self.used.load(Ordering::Relaxed));
        self.limit.map_or(u64::MAX, room)
    }

    /// Counts bytes that are going to be written.
    ///
    /// # Errors
    /// `DiskBudget` if there is no room for them.
    #[inline]
    pub(crate) fn reserve(&self, bytes: u64, purpose: Purpose) -> Result<Reservation<'_>> {
        match self.limit {
            None => Ok(Reservation {
                space: self,
                bytes: 0,
            }),
            Some(limit) => self.take(bytes, purpose, limit),
        }
    }

    fn take(&self, bytes: u64, purpose: Purpose, limit: u64) -> Result<Reservation<'_>> {
        let most = match purpose {
            Purpose::Records => limit - limit / KEPT_FOR_CLEANING,
            Purpose::Internal => limit,
            Purpose::MakingRoom => u64::MAX,
        };
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        {
            Ok(_) => Ok(Reservation { space: self, bytes }),
            Err(used) => {
                self.bell.ring();
                Err(Error::DiskBudget { limit, used })
            }
        }
    }

    /// Counts what is there already.
    fn count(&self, bytes: u64) {
        if let Ok(found) = self.reserve(bytes, Purpose::MakingRoom) {
            found.keep();
        }
    }

    /// Bytes that are gone from the disk, or will go when nobody holds them any more.
    pub(crate) fn give_back(&self, bytes: u64) {
        if self.is_limited() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Reservation<'_> {
    /// The bytes were written.
    #[inline]
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reservation<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.space.give_back(self.bytes);
        }
    }
}

impl Log {
    /// What is counted of this log.
    pub(crate) fn counted_bytes(&self) -> u64 {
        let writer = self.writer.lock();
        let segments = self.segments();
        let sealed = segments.iter().filter(|it| it.seal().is_some());
        sealed.map(|segment| segment.counted_bytes()).sum::<u64>()
            + writer.position
            + writer.active.bytes_beside()
    }

    /// Counts what the files that were found take. For a log that was opened just now.
    pub(super) fn count_found(&self) -> Result<()> {
        if !self.space.is_limited() {
            return Ok(());
        }
        for segment in self.segments.load().iter() {
            // The indexes of the active one are written anew when it is finished, and count then.
            let kinds: &[FileKind] = match segment.seal() {
                Some(_) => &OF_FINISHED,
                None => &[FileKind::ProducerSnapshot],
            };
            for kind in kinds {
                segment.add_beside(self.file_len(segment, *kind)?);
            }
        }
        self.space.count(self.counted_bytes());
        Ok(())
    }

    /// A compacted segment has taken the place of these.
    pub(super) fn count_swap(&self, sources: &[Arc<Segment>], by: &Segment) {
        if !self.space.is_limited() {
            return;
        }
        for kind in OF_FINISHED {
            // What cannot be looked at is counted when the log is opened again.
            by.add_beside(self.file_len(by, kind).unwrap_or(0));
        }
        self.space.count(by.counted_bytes());
        let sources = sources.iter().map(|source| source.counted_bytes());
        self.space.give_back(sources.sum());
    }

    /// 0 if there is none.
    fn file_len(&self, segment: &Segment, kind: FileKind) -> Result<u64> {
        let path = kind.path(self.dir(), segment.base());
        let file = self.disk().open(&path, OpenMode::Read);
        match file.and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            len => len.map_err(|error| Error::io("look at", &path, error)),
        }
    }
}

/// What a roll writes beside the segments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RollBytes {
    /// Indexes and seal of the finished segment.
    pub(super) finished: u64,
    /// The producer snapshot at the base of the new one.
    pub(super) snapshot: u64,
}

impl Writer {
    pub(super) fn roll_bytes(&self, log: &Log) -> RollBytes {
        if !log.space.is_limited() {
            return RollBytes::default();
        }
        let last = self.index.final_time_entry();
        let indexes = self.active.update_index(|index| index.stored_len(last));
        let snapshot = producer_snapshot::encode(&self.producers.to_snapshot());
        RollBytes {
            finished: indexes + SEAL_LEN as u64,
            snapshot: snapshot.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(limit: u64) -> DiskSpace {
        DiskSpace::new(Some(limit), Arc::default())
    }

    fn take(space: &DiskSpace, bytes: u64, purpose: Purpose) -> Result<()> {
        space.reserve(bytes, purpose).map(Reservation::keep)
    }

    #[test]
    fn the_last_sixteenth_is_not_for_records() {
        let space = space(1600);
        take(&space, 1500, Purpose::Records).unwrap();
        let refused = take(&space, 1, Purpose::Records);
        assert!(matches!(
            refused,
            Err(Error::DiskBudget {
                limit: 1600,
                used: 1500
            })
        ));
        take(&space, 100, Purpose::Internal).unwrap();
        assert!(take(&space, 1, Purpose::Internal).is_err());
        take(&space, 50, Purpose::MakingRoom).unwrap();
        assert_eq!(space.used(), Some(1650));
        space.give_back(151);
        take(&space, 1, Purpose::Records).unwrap();
    }

    #[test]
    fn what_is_not_kept_is_given_back() {
        let space = space(1600);
        drop(space.reserve(1000, Purpose::Records).unwrap());
        assert_eq!(space.used(), Some(0));
    }

    #[test]
    fn without_a_budget_nothing_is_counted() {
        let space = DiskSpace::new(None, Arc::default());
        take(&space, u64::MAX, Purpose::Records).unwrap();
        take(&space, u64::MAX, Purpose::Records).unwrap();
        space.give_back(7);
        assert_eq!(space.used(), None);
    }

    #[test]
    fn a_refusal_rings() {
        let space = space(16);
        assert!(take(&space, 17, Purpose::Internal).is_err());
        // Would sleep for ever if it had not.
        space.bell().sleep(std::time::Duration::MAX);
    }
}
