//! Which batches are staged, and when what is staged gets into the segment.
//!
//! A small batch is stored into the [stage](Stage), which is much cheaper than a system
//! call; the file gets 64 KiB of them at a time. Not staged are
//! * large batches, for which the system call does not count, and the copy would;
//! * batches that are acknowledged when they are durable: a full disk shall fail them before anything is
//!   appended;
//! * the first few of a partition after it was at rest, so that one that is written to now and then costs
//!   no space beside its log.
//!
//! Elsewhere: the memory (`disk::stage`), what a crash leaves of it (`recovery::staged`).

use std::path::PathBuf;

use super::Log;
use super::names::FileKind;
use super::writer::{Writer, is_definite};
use crate::config::Durability;
use crate::disk::Stage;
use crate::error::Result;
use crate::format::seal::FrameDigest;
use crate::format::stage::{self, StageHeader};
use crate::format::topic_id::TopicId;

/// Larger batches go to the file by themselves: writing them costs some three times the system call.
const LARGEST_STAGED: usize = 16 << 10;

/// So many small batches since the partition was at rest are written to the file before one is staged: to
/// make a part costs about as much as they do.
const UNSTAGED: u32 = 32;

/// What the writer knows of its stage.
#[derive(Debug)]
pub(super) struct Staged {
    stage: Stage,
    topic_id: TopicId,
    /// Small batches since the partition was at rest.
    small: u32,
    /// No part was to be had: not tried again before a rest.
    unavailable: bool,
}

impl Staged {
    /// `left_over` are the parts that an earlier process left, which the log has taken over.
    pub(super) fn new(topic_id: TopicId, left_over: Vec<PathBuf>) -> Self {
        Self {
            stage: Stage::after(left_over),
            topic_id,
            small: 0,
            unavailable: false,
        }
    }
}

impl Writer {
    /// Puts a batch at the end of the log into the stage, if that is what is to be done with it. If it
    /// is not, the file holds everything before it. `digest` is the segment's, with this batch.
    #[inline]
    pub(super) fn stage(
        &mut self,
        log: &Log,
        batch: &[u8],
        digest: &FrameDigest,
        durability: Durability,
    ) -> Result<bool> {
        if self.is_staged(batch, durability)
            && (self.staged.stage.has_room(self.position, batch.len()) || self.begin_stage(log)?)
        {
            self.staged.stage.add(batch, stage::mark(digest));
            return Ok(true);
        }
        self.leave_stage(log)?;
        Ok(false)
    }

    fn is_staged(&mut self, batch: &[u8], durability: Durability) -> bool {
        if batch.len() > LARGEST_STAGED || durability >= Durability::Synced {
            return false;
        }
        self.staged.small = self.staged.small.saturating_add(1);
        self.staged.small > UNSTAGED && !self.staged.unavailable
    }

    /// Opens a part for the next batch. False if there is none to be had.
    #[cold]
    fn begin_stage(&mut self, log: &Log) -> Result<bool> {
        self.flush_stage(log)?;
        let header = stage::encode(&StageHeader {
            topic_id: self.staged.topic_id,
            partition: log.id().partition(),
            segment_base: self.active.base(),
            position: self.position,
            base_offset: self.next_offset,
            digest: self.digest.value(),
        });
        let begun = self.staged.stage.begin(
            log.disk(),
            self.active.file(),
            self.position,
            &header,
            |number| FileKind::Stage.path(log.dir(), number),
        );
        self.staged.unavailable = !begun;
        Ok(begun)
    }

    /// Writes what is staged to the file. After a failure it is still staged, and readable.
    pub(super) fn flush_stage(&mut self, log: &Log) -> Result<()> {
        if self.staged.stage.is_flushed() {
            return Ok(());
        }
        match self.staged.stage.flush(self.active.file()) {
            Ok(()) => {
                self.flushed = self.point();
                Ok(())
            }
            Err(error) if is_definite(&error) => Err(error),
            Err(error) => Err(log.fail_write(&error)),
        }
    }

    /// Has the file hold everything, and readers look there.
    pub(super) fn leave_stage(&mut self, log: &Log) -> Result<()> {
        self.flush_stage(log)?;
        self.staged.stage.leave(self.active.file());
        Ok(())
    }

    /// Gives the stage back, and whatever it takes up on the disk.
    pub(super) fn remove_stage(&mut self, log: &Log) -> Result<()> {
        self.leave_stage(log)?;
        self.staged.stage.remove(log.disk())
    }

    /// After a sync that came by itself: a partition that has hardly been written to since the last one
    /// needs no stage.
    pub(super) fn rest(&mut self, log: &Log) {
        if self.staged.small <= UNSTAGED && self.staged.stage.exists() {
            // A failure leaves it for the next time.
            let _ = self.remove_stage(log);
        }
        self.staged.small = 0;
        self.staged.unavailable = false;
    }
}
