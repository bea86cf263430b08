//! Compaction: of each key the latest record stays, at its offset; what it superseded goes.
//!
//! ```text
//!   plan          which finished segments are dirty, and whether enough to begin            (pure)
//!   offset_map    the last offset of each key in them, in bounded memory
//!   transactions  which records never counted
//!   filter        what stays of each batch                                                  (pure)
//!   output        a segment of what stays, made beside the log
//!   swap          its one commit point, and what an open after a crash does
//! ```
//!
//! A pass reads the dirty segments into the map, up to where that is full, and then writes all segments up to
//! there anew, in groups as large as a segment may be. Appends go on: the active segment is never touched,
//! nor is anything from the first open transaction on. Readers go on too: who stands in a segment that is
//! replaced finishes the batch, and finds the next one in its successor.
//!
//! Any failure leaves what was there in use. A log that is damaged is set aside until it is opened again:
//! compacting it would hide the damage.
//!
//! Elsewhere: when to look, and at which log first (`broker::cleaner`).

mod filter;
mod offset_map;
mod output;
mod pace;
mod pass;
mod plan;
pub(in crate::log) mod swap;
mod transactions;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::output::Finished;
pub(crate) use self::pace::Pace;
use self::pass::Pass;
use self::plan::{Cleanable, SegmentFacts};
use self::swap::Commit;
use super::names::FileKind;
use super::producer_state::LastBatches;
use super::segment::Segment;
use super::{Log, Next};
use parking_lot::Mutex;

use crate::bell::Bell;
use crate::config::TopicConfig;
use crate::disk::handles::NamedFile;
use crate::disk::{AppendFile, remove_if_present};
use crate::error::{Error, Result};
use crate::record::{Offset, Timestamp};

/// What a pass needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionRequest<'a> {
    pub(crate) config: &'a TopicConfig,
    /// Wall clock.
    pub(crate) now: Timestamp,
    /// For the map of offsets, in bytes.
    pub(crate) memory: usize,
    /// Nobody outside of the process knows it.
    pub(crate) hash_key: (u64, u64),
    /// The pass ends soon after this is stopped.
    pub(crate) bell: &'a Bell,
    pub(crate) pace: &'a Pace,
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) segments_before: usize,
    pub(crate) segments_after: usize,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
    /// Records that are left in them.
    pub(crate) records: u64,
}

/// How much of a log could be compacted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Dirtiness {
    /// Bytes that are dirty out of those that may be compacted, from 0 to 1.
    pub(crate) ratio: f64,
    /// Everything before was compacted.
    pub(crate) first_dirty_offset: Offset,
    pub(crate) is_due: bool,
}

/// What a log remembers between passes.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    /// Held by the one pass at a time.
    pass: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A commit was made whose names are not settled.
    unsettled: bool,
    /// Files of replaced segments that could not be removed.
    left: Vec<PathBuf>,
    /// Why the log is not compacted any more.
    failure: Option<Error>,
}

impl Log {
    /// How much of the log is dirty, by these rules.
    pub(crate) fn dirtiness(&self, config: &TopicConfig, now: Timestamp) -> Dirtiness {
        let (segments, facts) = self.finished_segments();
        let clean = Dirtiness {
            first_dirty_offset: self.first_dirty_offset(),
            ..Dirtiness::default()
        };
        let cleanable =
            plan::cleanable(&facts, self.start_offset(), self.stable_end(), config, now);
        cleanable.map_or(clean, |cleanable| Dirtiness {
            ratio: cleanable.dirty_ratio,
            is_due: is_due(&segments, &cleanable, config, now),
            ..clean
        })
    }

    /// Everything readable before was compacted.
    pub(crate) fn first_dirty_offset(&self) -> Offset {
        let (_, facts) = self.finished_segments();
        let dirty = facts.iter().find(|it| it.clean_until < it.end_offset);
        dirty
            .map_or(self.active_base(), |it| it.clean_until.max(it.base))
            .max(self.start_offset())
    }

    /// True if the active segment holds a record that has waited for `max.compaction.lag.ms`: it is to be
    /// finished, so that it can be compacted.
    pub(crate) fn is_active_overdue(&self, config: &TopicConfig, now: Timestamp) -> bool {
        let writer = self.writer.lock();
        !writer.closed
            && writer.position > 0
            && plan::is_overdue(writer.first_timestamp, config, now)
    }

    /// Compacts the log, if that is due. `None` if not.
    ///
    /// # Errors
    /// What was there before stays in use. After `Corrupt` or `MissingSegment` the log is not compacted
    /// any more, until it is opened again: see [`Self::compaction_failure`].
    pub(crate) fn compact(&self, request: &CompactionRequest<'_>) -> Result<Option<Compacted>> {
        if self.compaction_failure().is_some() || self.check_writable().is_err() {
            return Ok(None);
        }
        let _pass = self.compaction.pass.lock();
        self.settle_again()?;
        let first = self.first_base();
        let compacted = self.compact_if_due(request);
        if compacted.is_err() && self.first_base() > first {
            // Segments were removed while they were read: what is left is for the next pass.
            return Ok(Some(Compacted::default()));
        }
        if let Err(error) = &compacted
            && is_lasting(error)
        {
            self.compaction.state.lock().failure = Some(error.clone());
        }
        compacted
    }

    /// Why the log is not compacted any more, if it is not.
    pub(crate) fn compaction_failure(&self) -> Option<Error> {
        self.compaction.state.lock().failure.clone()
    }

    fn compact_if_due(&self, request: &CompactionRequest<'_>) -> Result<Option<Compacted>> {
        let (segments, facts) = self.finished_segments();
        let CompactionRequest { config, now, .. } = *request;
        let stable_end = self.stable_end();
        let cleanable = plan::cleanable(&facts, self.start_offset(), stable_end, config, now)
            .filter(|cleanable| is_due(&segments, cleanable, config, now));
        let Some(cleanable) = cleanable else {
            return Ok(None);
        };
        self.check_consecutive(&segments)?;
        let producers = self.durable_producers()?;
        let pass = Pass {
            log: self,
            request,
            segments: &segments[..cleanable.segments],
            facts: &facts[..cleanable.segments],
            cleanable,
            stable_end,
            producers,
        };
        pass.run().map(Some)
    }

    /// All segments but the active one, and what is known of them.
    fn finished_segments(&self) -> (Vec<Arc<Segment>>, Vec<SegmentFacts>) {
        let list = self.segments();
        let finished = list.iter().take(list.len().saturating_sub(1));
        finished
            .filter_map(|segment| {
                let seal = segment.seal()?;
                let newest = if seal.max_timestamp < 0 {
                    seal.sealed_at
                } else {
                    seal.max_timestamp
                };
                let facts = SegmentFacts {
                    base: segment.base(),
                    end_offset: seal.end_offset,
                    bytes: seal.end_position,
                    newest,
                    clean_until: seal.clean_until,
                };
                Some((Arc::clone(segment), facts))
            })
            .unzip()
    }

    fn first_base(&self) -> Offset {
        let segments = self.segments.load();
        segments.first().map_or(0, |segment| segment.base())
    }

    fn active_base(&self) -> Offset {
        let segments = self.segments.load();
        segments.last().map_or(0, |segment| segment.base())
    }

    /// Where the first open transaction begins; the end of the log if there is none.
    fn stable_end(&self) -> Offset {
        let writer = self.writer.lock();
        let open = writer.producers.first_open_transaction();
        open.unwrap_or(writer.next_offset)
    }

    /// The last batch of each producer, on the device like every marker that was written by now: what a pass
    /// drops because of them must not be missed when a power loss takes them.
    fn durable_producers(&self) -> Result<LastBatches> {
        let (producers, end) = {
            let writer = self.writer.lock();
            (writer.producers.last_batches(), writer.next_offset)
        };
        self.commit.wait(end, || self.sync(Next::Appends))?;
        Ok(producers)
    }

    /// A segment that is missing must not be hidden between two that become one.
    fn check_consecutive(&self, segments: &[Arc<Segment>]) -> Result<()> {
        for pair in segments.windows(2) {
            let (before, next) = (&pair[0], &pair[1]);
            let end = before.seal().map_or(0, |seal| seal.end_offset);
            if end > next.base() || (end < next.base() && !before.has_gaps()) {
                return Err(self.missing(end, segments));
            }
        }
        Ok(())
    }

    /// Puts a finished output in the place of these segments; false if they are not there any more.
    fn swap(&self, sources: &[Arc<Segment>], finished: &Finished) -> Result<bool> {
        let _names = self.open.names().change();
        let _removal = self.removal.lock();
        let base = finished.seal.base_offset;
        if self.replaced_list(sources, None).is_none() {
            return Ok(false);
        }
        {
            let mut writer = self.writer.lock();
            if writer.closed {
                return Err(Error::Closed("partition"));
            }
            if writer.names_unsynced {
                // The active segment may be new: without its name, what is swapped in would be the last one.
                writer.sync_names(self)?;
            }
        }
        if let Commit::Unknown(error) = swap::commit(self.disk(), self.dir(), base)? {
            self.compaction.state.lock().failure = Some(error.clone());
            return Err(error);
        }
        let segment = self.swapped_in(finished);
        {
            let _writer = self.writer.lock();
            if let Some(list) = self.replaced_list(sources, Some(&segment)) {
                self.segments.store(Arc::new(list));
            }
        }
        for source in sources {
            source.set_replaced();
        }
        // Before nothing is opened by their names any more: a reader that fails for that sees it.
        self.swaps.fetch_add(1, Ordering::AcqRel);
        for source in sources {
            source.retire();
        }
        self.compaction.state.lock().unsettled = true;
        if self.settle().is_ok() {
            segment.file().let_go();
        }
        // Else it is settled later; the new segment keeps its descriptor until then.
        self.count_swap(sources, &segment);
        Ok(true)
    }

    /// The list of segments with another one instead of these, if they are all there.
    fn replaced_list(
        &self,
        sources: &[Arc<Segment>],
        by: Option<&Arc<Segment>>,
    ) -> Option<Vec<Arc<Segment>>> {
        let list = self.segments();
        let first = sources.first()?;
        let at = list.iter().position(|it| Arc::ptr_eq(it, first))?;
        let behind = list.get(at..)?;
        let are_there = behind.len() > sources.len()
            && behind.iter().zip(sources).all(|(a, b)| Arc::ptr_eq(a, b));
        are_there.then(|| {
            let before = list.iter().take(at);
            let behind = list.iter().skip(at + sources.len());
            before.chain(by).chain(behind).cloned().collect()
        })
    }

    fn swapped_in(&self, finished: &Finished) -> Arc<Segment> {
        let base = finished.seal.base_offset;
        let path = FileKind::Log.path(self.dir(), base);
        let (disk, file) = (Arc::clone(&self.disk), Arc::clone(&finished.file));
        let file = NamedFile::held(disk, path.clone(), file, self.open.files());
        let file = AppendFile::new(path, Arc::new(file));
        file.publish(finished.seal.end_position);
        Segment::sealed(base, file, finished.seal)
            .of_adopted(self.adopted)
            .with_good_frames()
            .shared(&self.open)
    }

    /// With `removal` held.
    fn settle(&self) -> Result<()> {
        let dir = self.dir();
        let entries = self
            .disk()
            .list(dir)
            .map_err(|error| Error::io("list", dir, error))?;
        let left = swap::settle(self.disk(), dir, &entries)?;
        let mut state = self.compaction.state.lock();
        state.unsettled = false;
        state.left.extend(left);
        Ok(())
    }

    /// `Err` while names of files are not those of the segments on the list.
    pub(super) fn check_settled(&self) -> Result<()> {
        if self.compaction.state.lock().unsettled {
            return Err(Error::IllegalState(
                "files of a compacted segment could not be renamed; try again",
            ));
        }
        Ok(())
    }

    /// Settles what could not be settled before.
    pub(super) fn settle_again(&self) -> Result<()> {
        if !self.compaction.state.lock().unsettled {
            return Ok(());
        }
        let _names = self.open.names().change();
        let _removal = self.removal.lock();
        // Settled meanwhile, there may be the output of a pass, which would be taken for a leftover.
        if self.writer.lock().closed || !self.compaction.state.lock().unsettled {
            return Ok(());
        }
        self.settle()?;
        for segment in self.finished_segments().0 {
            segment.file().let_go();
        }
        Ok(())
    }

    /// Does what earlier passes could not: names of files, and files that were replaced.
    pub(crate) fn finish_swaps(&self) -> Result<()> {
        self.settle_again()?;
        if self.compaction.state.lock().left.is_empty() {
            return Ok(());
        }
        let _removal = self.removal.lock();
        if self.writer.lock().closed {
            // The directory may be another topic's.
            return Ok(());
        }
        let mut left = std::mem::take(&mut self.compaction.state.lock().left);
        let mut outcome = Ok(());
        left.retain(|path| {
            let removed = remove_if_present(self.disk(), path);
            let is_left = removed.is_err();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(removed.map(drop));
            is_left
        });
        self.compaction.state.lock().left = left;
        outcome
    }
}

fn is_due(
    segments: &[Arc<Segment>],
    cleanable: &Cleanable,
    config: &TopicConfig,
    now: Timestamp,
) -> bool {
    let oldest = || {
        let first = segments.get(cleanable.first_dirty)?;
        let (header, _) = first.read_batch(0, None).ok()?;
        Some(header.max_timestamp)
    };
    let oldest = config.max_compaction_lag_ms.and_then(|_| oldest());
    plan::is_due(cleanable, oldest, config, now)
}

/// True for what trying again does not help.
fn is_lasting(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. } | Error::MissingSegment { .. } | Error::UnsupportedCompression { .. }
    )
}

#[cfg(test)]
mod tests;
