//! How a log grows: checks a batch, gives it its offsets, and writes it. Elsewhere: new segments
//! ([`roll`](super::roll)).
//!
//! One writer per partition, behind the log's mutex. Nothing here waits for the device, except a
//! roll: the old segment is synced before the new file exists, so sealed segments are durable in
//! every mode and a crash can only ever tear the last one. That is why a large segment is rolled a little
//! early, right after a sync that came by itself, when next to nothing is left to be synced.

use std::path::PathBuf;
use std::sync::Arc;

use super::durable_ends::{DurablePoint, Next};
use super::epochs::Epochs;
use super::index::{IndexBuilder, IndexedBatch};
use super::names::FileKind;
use super::producer_state::{ProducerState, Verdict};
use super::roll::Jitter;
use super::segment::Segment;
use super::staging::Staged;
use super::zero_ahead::ZeroAhead;
use super::{Appended, Log};
use crate::config::{Durability, TopicConfig};
use crate::disk::{AppendFile, remove_if_present, replace_file};
use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::format::batch::{
    BatchHeader, HEADER_LEN, UNPROTECTED_LEN, set_base_offset, set_leader_epoch,
    set_log_append_time,
};
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::seal::FrameDigest;
use crate::record::{Offset, Timestamp};

/// Kafka's name for the file of leader epochs.
pub(super) const EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// What an append needs to know besides the batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendContext<'a> {
    pub(crate) config: &'a TopicConfig,
    /// What the acknowledgement will promise: the topic's, or more.
    pub(crate) durability: Durability,
    /// Wall clock, for `LogAppendTime` and for rolling by age.
    pub(crate) now: Timestamp,
}

/// The growing end of a log.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub(super) struct Writer {
    pub(super) active: Arc<Segment>,
    /// End of the active segment: where the next batch goes.
    pub(super) position: u64,
    /// What the file holds of it; the rest is staged.
    pub(super) flushed: DurablePoint,
    pub(super) staged: Staged,
    pub(super) next_offset: Offset,
    pub(super) index: IndexBuilder,
    /// One more entry would not fit `segment.index.bytes`.
    pub(super) index_full: bool,
    pub(super) digest: FrameDigest,
    /// Batches in the active segment.
    pub(super) batches: u64,
    /// Largest timestamp of the segment's first batch, which its age is counted from.
    pub(super) first_timestamp: Option<Timestamp>,
    /// Wall-clock time at which the segment became active, for batches without timestamps.
    pub(super) active_since: Timestamp,
    /// For `segment.jitter.ms`.
    pub(super) jitter: Jitter,
    pub(super) leader_epoch: i32,
    pub(super) epochs: Epochs,
    pub(super) producers: ProducerState,
    /// The directory entries of new files are not durable yet.
    pub(super) names_unsynced: bool,
    /// What the last roll wrote beside the log, to be synced with the first records behind it.
    pub(super) unsynced_files: Vec<PathBuf>,
    /// Something was appended since the log was opened, or it was rolled: index and snapshot files are out of date.
    pub(super) changed: bool,
    /// The file may have bytes behind `position`: part of a batch that did not fit.
    pub(super) uncut: bool,
    pub(super) ahead: ZeroAhead,
    /// The active segment's file was let go.
    pub(super) asleep: bool,
    /// The broker is closed, and the files may be another's by now.
    pub(super) closed: bool,
}

impl Writer {
    /// Appends a batch; see [`Log::append`].
    pub(super) fn append(
        &mut self,
        log: &Log,
        batch: &mut [u8],
        context: AppendContext<'_>,
    ) -> Result<Appended> {
        if self.closed {
            return Err(Error::Closed("partition"));
        }
        log.check_writable()?;
        let mut header = BatchHeader::parse(batch).map_err(|invalid| Error::InvalidRecord {
            topic: log.id().to_string(),
            reason: invalid.reason,
        })?;
        check_size(log, batch.len(), context.config)?;
        if let Verdict::Duplicate(known) = self.producers.check(&header, log.id())? {
            return Ok(Appended {
                base_offset: known.base_offset,
                end_offset: known.last_offset + 1,
                log_append_time: append_time(context.config, known.max_timestamp),
            });
        }
        let stamped = append_time(context.config, context.now);
        if let Some(now) = stamped {
            set_log_append_time(batch, now);
            header.max_timestamp = now;
        }
        set_base_offset(batch, self.next_offset);
        set_leader_epoch(batch, self.leader_epoch);
        header.base_offset = self.next_offset;
        if i64::try_from(header.next_offset()).is_err() {
            return Err(Error::IllegalState("the log has no offsets left"));
        }
        if self.asleep {
            self.active.file().wake()?;
            self.asleep = false;
        }
        let room = log.space.reserve(header.size.into(), log.purpose)?;
        if self.is_roll_due(&header, context) {
            self.roll(log, context, log.purpose)?;
        }
        self.enter_epoch(log)?;
        self.cut_leftover(log)?;
        let mut digest = self.digest.clone();
        digest.update(batch);
        let is_staged = self.stage(log, batch, &digest, context.durability)?;
        if !is_staged {
            self.write(log, batch)?;
        }
        room.keep();
        self.digest = digest;
        self.note(&header, context.config);
        if !is_staged {
            self.flushed = self.point();
            self.write_ahead(batch.len(), context.config, context.durability);
        }
        Ok(Appended {
            base_offset: header.base_offset,
            end_offset: header.next_offset(),
            log_append_time: stamped,
        })
    }

    /// Writes to the end of the file, which is that of the log; a failure leaves the log as it was, or
    /// stops it.
    fn write(&mut self, log: &Log, batch: &[u8]) -> Result<()> {
        let Err(error) = self.active.file().write(batch, self.position) else {
            return Ok(());
        };
        // Part of the batch may be there. Without it the log is as before.
        let is_definite = is_definite(&error);
        match self.active.file().truncate(self.position) {
            Ok(()) if is_definite => {
                self.ahead.was_cut();
                Err(error)
            }
            // Some file systems need space to cut a file, too.
            Err(Error::DiskFull { .. }) if is_definite => {
                self.uncut = true;
                Err(error)
            }
            _ => Err(log.fail_write(&error)),
        }
    }

    /// Removes what a write left behind that failed for want of space, and could not be removed then.
    pub(super) fn cut_leftover(&mut self, log: &Log) -> Result<()> {
        if self.uncut {
            self.cut_at_end(log)?;
        }
        Ok(())
    }

    /// Has the file end where the log does.
    pub(super) fn cut_at_end(&mut self, log: &Log) -> Result<()> {
        let cut = self.active.file().truncate(self.position);
        cut.map_err(|error| match error {
            Error::DiskFull { .. } => error,
            _ => log.fail_write(&error),
        })?;
        self.uncut = false;
        self.ahead.was_cut();
        Ok(())
    }

    /// Takes note of a batch that was written.
    fn note(&mut self, header: &BatchHeader, config: &TopicConfig) {
        let size = header.size;
        let indexed = IndexedBatch::new(self.active.base(), self.position, header);
        if let Some(entry) = self.index.add(indexed) {
            self.index_full = self.active.update_index(|index| {
                index.push(entry);
                index.is_full(config.segment_index_bytes)
            });
        }
        self.producers.record(header);
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.position += u64::from(size);
        self.next_offset = header.next_offset();
        self.batches += 1;
        self.changed = true;
    }

    /// Before the first batch of a new leader epoch, its start is written down.
    fn enter_epoch(&mut self, log: &Log) -> Result<()> {
        if self.epochs.latest() == Some(self.leader_epoch) {
            return Ok(());
        }
        let mut epochs = self.epochs.clone();
        epochs.assign(self.leader_epoch, self.next_offset);
        let path = log.dir().join(EPOCH_FILE);
        replace_file(
            log.disk(),
            &path,
            &EpochCheckpoint::encode(epochs.entries()),
        )?;
        self.epochs = epochs;
        log.show_epochs(&self.epochs);
        Ok(())
    }

    /// Gives up the descriptor of the active segment, if all that was written through it is on the device;
    /// returns whether it is so. Closing a file earlier could lose the news that the kernel failed to
    /// write something.
    pub(super) fn let_go_if_idle(&mut self, log: &Log) -> bool {
        let is_idle = self.flushed.end_offset == self.next_offset
            && self.next_offset <= log.durable_end()
            && !self.uncut
            && log.check_writable().is_ok();
        if is_idle && !self.asleep && !self.closed {
            self.active.file().let_go();
            self.asleep = true;
        }
        is_idle
    }

    /// Makes the names of new files durable.
    pub(super) fn sync_names(&mut self, log: &Log) -> Result<()> {
        log.sync_names().map_err(|error| log.fail(&error))?;
        self.names_unsynced = false;
        Ok(())
    }

    /// The end of what is written, as a bound to be noted once it is durable.
    pub(super) fn point(&self) -> DurablePoint {
        DurablePoint {
            segment_base: self.active.base(),
            position: self.position,
            end_offset: self.next_offset,
            digest: self.digest.value(),
            clean: None,
        }
    }

    /// Leaves the files as a clean open wants them. The data is durable already.
    pub(super) fn close(&mut self, log: &Log) -> Result<()> {
        self.cut_leftover(log)?;
        self.remove_stage(log)?;
        if self.changed && log.end_offset() == 0 {
            // Kafka expects the files even of a log that nobody ever wrote to. They hold nothing, so
            // nothing has to be synced.
            self.create_empty_indexes(log)?;
        } else if self.changed {
            self.store_index(log)?;
            self.store_producers(log)?;
            self.remove_stale_snapshot(log)?;
            self.sync_names(log)?;
        }
        self.sync_files(log);
        let point = DurablePoint {
            clean: Some(self.complete_index().digest()),
            ..self.point()
        };
        log.durable_slot().advance(point, Next::Appends)
    }

    /// The snapshot of an earlier close is of no use any more, unless a segment starts there.
    fn remove_stale_snapshot(&self, log: &Log) -> Result<()> {
        let bases = log.segments();
        let is_base = |offset| bases.iter().any(|segment| segment.base() == offset);
        let entries = log
            .disk()
            .list(log.dir())
            .map_err(|error| Error::io("list", log.dir(), error))?;
        for entry in entries {
            if let Some((offset, FileKind::ProducerSnapshot)) = FileKind::parse(&entry.name)
                && offset != self.next_offset
                && !is_base(offset)
            {
                remove_if_present(log.disk(), &log.dir().join(&entry.name))?;
            }
        }
        Ok(())
    }
}

/// True if a write failed for want of something, and wrote nothing that counts. If it failed for another
/// reason, nobody knows what the file holds.
pub(super) fn is_definite(error: &Error) -> bool {
    error.is_retryable() && !matches!(error, Error::Io { .. })
}

/// The digest of a segment's first batch alone; 0 if there is none.
pub(super) fn first_frame(file: &AppendFile) -> Result<u32> {
    let mut frame = [0; UNPROTECTED_LEN];
    let mut digest = FrameDigest::new();
    if file.read(&mut frame, 0)? == frame.len() {
        digest.update(&frame);
    }
    Ok(digest.value())
}

fn append_time(config: &TopicConfig, now: Timestamp) -> Option<Timestamp> {
    (config.timestamp_type == TimestampType::LogAppendTime).then_some(now)
}

/// `max.message.bytes` bounds the whole batch, and so does the segment that has to hold it.
fn check_size(log: &Log, size: usize, config: &TopicConfig) -> Result<()> {
    let limit = config.max_message_bytes.min(config.segment_bytes as usize);
    if size < HEADER_LEN || size > limit {
        return Err(Error::RecordTooLarge {
            topic: log.id().to_string(),
            size,
            limit,
        });
    }
    Ok(())
}
