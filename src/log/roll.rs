//! From one segment to the next: when it is time, and what the finished one leaves behind.
//!
//! The old segment is synced before the new file exists. The new file's name in the directory is the
//! commit point. Elsewhere: who decides to roll early (`partition`), appending ([`writer`](super::writer)).

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::Log;
use super::durable_ends::Next;
use super::index::{IndexBuilder, SegmentIndex};
use super::names::FileKind;
use super::segment::Segment;
use super::space::Purpose;
use super::writer::{AppendContext, Writer, first_frame};
use crate::config::TopicConfig;
use crate::disk::handles::NamedFile;
use crate::disk::{AppendFile, OpenMode, write_anew};
use crate::error::{Error, Result};
use crate::format::batch::BatchHeader;
use crate::format::producer_snapshot;
use crate::format::seal::{self, FrameDigest, Seal};
use crate::format::topic_id::TopicId;
use crate::record::{Offset, Timestamp};

/// Producers that wrote nothing for this long are forgotten, at the next roll: a day, Kafka's
/// `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION: Duration = Duration::from_secs(86_400);

/// Segments of at least this size are rolled early: of smaller ones, a sixteenth is not worth it.
const SMALLEST_ROLLED_EARLY: u64 = 8 << 20;

/// Where a partition's segments draw their jitter from: the same for a segment whenever it is asked, and
/// different from partition to partition, since the ids of topics are random.
#[derive(Debug)]
pub(super) struct Jitter(SipHasher13);

impl Jitter {
    pub(super) fn of(topic: TopicId, partition: u32) -> Self {
        let mut hasher = SipHasher13::new_with_key(&topic.0);
        hasher.write_u32(partition);
        Self(hasher)
    }

    fn draw(&self, segment: Offset) -> u64 {
        let mut hasher = self.0;
        hasher.write_u64(segment);
        hasher.finish()
    }
}

/// How long a segment takes records, by `segment.ms` and what else bounds it, less a jitter
/// if there is one.
fn longest_age(config: &TopicConfig, draw: impl FnOnce() -> u64) -> Duration {
    let compacted = config.cleanup_policy.has_compact();
    let overdue = config.max_compaction_lag_ms.filter(|_| compacted);
    let longest = overdue.map_or(config.segment_ms, |lag| lag.min(config.segment_ms));
    let bound = millis(longest.min(config.segment_jitter_ms));
    let jitter = if bound == 0 { 0 } else { draw() % bound };
    longest.saturating_sub(Duration::from_millis(jitter))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Log {
    /// Goes on in a new segment, unless the active one is empty.
    pub(crate) fn begin_segment(&self, context: AppendContext<'_>) -> Result<()> {
        let mut writer = self.writer.lock();
        if writer.closed {
            return Err(Error::Closed("partition"));
        }
        self.check_writable()?;
        if writer.position == 0 {
            return Ok(());
        }
        writer.roll(self, context, self.purpose)
    }

    /// The same for retention, if the log still ends at `end`; returns whether it did. What is durable
    /// already does not hold up appends.
    pub(crate) fn begin_segment_at(&self, end: Offset, context: AppendContext<'_>) -> Result<bool> {
        let mut writer = self.writer.lock();
        if writer.closed {
            return Err(Error::Closed("partition"));
        }
        self.check_writable()?;
        if writer.position == 0 || writer.next_offset != end {
            return Ok(false);
        }
        writer.roll(self, context, Purpose::MakingRoom)?;
        Ok(true)
    }
}

impl Writer {
    /// Kafka's rules for a new segment: size, age in message time, full indexes, offset range.
    pub(super) fn is_roll_due(&self, header: &BatchHeader, context: AppendContext<'_>) -> bool {
        let config = context.config;
        if self.position == 0 {
            return false;
        }
        let too_large = self.position + u64::from(header.size) > u64::from(config.segment_bytes);
        let waited = match self.first_timestamp {
            Some(first) if first >= 0 && header.max_timestamp >= 0 => {
                header.max_timestamp.saturating_sub(first)
            }
            _ => context.now.saturating_sub(self.active_since),
        };
        let longest = longest_age(config, || self.jitter.draw(self.active.base()));
        let too_old = u128::try_from(waited).is_ok_and(|waited| waited > longest.as_millis());
        let out_of_range =
            header.last_offset() - self.active.base() > i32::MAX.unsigned_abs().into();
        too_large || too_old || out_of_range || self.index_full
    }

    /// True if the segment is to be rolled at the next opportunity, before an append has to.
    pub(super) fn is_roll_near(&self, config: &TopicConfig) -> bool {
        let full = u64::from(config.segment_bytes);
        full >= SMALLEST_ROLLED_EARLY && self.position >= full - full / 16
    }

    /// Seals the active segment and goes on in a new one. The new file's name in the directory is the
    /// commit point: until it is durable, the old segment is the last one after a power loss. Nothing in
    /// the new file is acknowledged as durable before that.
    pub(super) fn roll(
        &mut self,
        log: &Log,
        context: AppendContext<'_>,
        purpose: Purpose,
    ) -> Result<()> {
        let beside = self.roll_bytes(log);
        let room = log
            .space
            .reserve(beside.finished + beside.snapshot, purpose)?;
        if self.names_unsynced {
            // The old file's own name first: no segment may be missing between two that are there.
            self.sync_names(log)?;
        }
        let seal = self.seal(log, context.now)?;
        let end = self.point();
        let base = self.next_offset;
        let path = FileKind::Log.path(log.dir(), base);
        let file = log
            .disk()
            .open(&path, OpenMode::Truncate)
            .map_err(|error| Error::io("create", &path, error))?;
        self.names_unsynced = true;
        // Even if nothing is ever appended: the new segment has no index yet.
        self.changed = true;
        self.leave_stage(log)?;
        self.active.file().publish(self.position);
        self.active.set_sealed(seal);
        self.active.add_beside(beside.finished);
        self.active.file().let_go();
        let disk = Arc::clone(&log.disk);
        let file = NamedFile::held(disk, path.clone(), file, log.open.files());
        let file = AppendFile::new(path, Arc::new(file));
        self.active = Segment::active(base, file, SegmentIndex::default()).shared(&log.open);
        self.active.add_beside(beside.snapshot);
        room.keep();
        self.asleep = false;
        self.position = 0;
        self.index = IndexBuilder::new(context.config.index_interval_bytes);
        self.index_full = false;
        self.digest = FrameDigest::new();
        self.batches = 0;
        self.first_timestamp = None;
        self.active_since = context.now;
        self.producers.expire(context.now, PRODUCER_EXPIRATION);
        self.flushed = self.point();
        self.ahead.begin_segment();
        log.add_segment(Arc::clone(&self.active));
        log.waypoints.begin_segment(base, log.dir(), log.disk());
        log.note_durable(end, Next::Appends);
        let config = context.config;
        if config.retention_bytes.is_some() || config.cleanup_policy.has_compact() {
            // The log may be too large now, or dirty enough.
            log.space.bell().ring();
        }
        Ok(())
    }

    /// Syncs the active segment, and writes its index, seal and producer snapshot.
    pub(super) fn seal(&mut self, log: &Log, now: Timestamp) -> Result<Seal> {
        self.sync_files(log);
        self.cut_leftover(log)?;
        self.flush_stage(log)?;
        self.cut_ahead(log)?;
        log.sync_file(self.active.file())?;
        let index_digest = self.store_index(log)?;
        self.store_producers(log)?;
        let seal = Seal {
            base_offset: self.active.base(),
            end_position: self.position,
            end_offset: self.next_offset,
            max_timestamp: self.index.largest_timestamp(),
            batches: self.batches,
            frame_digest: self.digest.value(),
            index_digest,
            first_frame: first_frame(self.active.file())?,
            gaps: false,
            clean_until: 0,
            sealed_at: now,
        };
        let path = FileKind::Seal.path(log.dir(), self.active.base());
        write_anew(log.disk(), &path, &seal::encode(&seal))?;
        self.unsynced_files.push(path);
        Ok(seal)
    }

    /// The index with the final time entry, as its files hold it.
    pub(super) fn complete_index(&self) -> SegmentIndex {
        let mut complete = self.active.update_index(|index| index.clone());
        if let Some(entry) = self.index.final_time_entry() {
            complete.push_time(entry);
        }
        complete
    }

    pub(super) fn sync_files(&mut self, log: &Log) {
        log.sync_files(&std::mem::take(&mut self.unsynced_files));
    }

    /// Writes both index files; returns their digest.
    pub(super) fn store_index(&mut self, log: &Log) -> Result<u32> {
        let base = self.active.base();
        let offsets = FileKind::OffsetIndex.path(log.dir(), base);
        let times = FileKind::TimeIndex.path(log.dir(), base);
        let complete = self.complete_index();
        let _files = log.waypoints.hold();
        complete.store(log.disk(), &offsets, &times)?;
        self.unsynced_files.extend([offsets, times]);
        Ok(complete.digest())
    }

    pub(super) fn create_empty_indexes(&self, log: &Log) -> Result<()> {
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            let path = kind.path(log.dir(), self.active.base());
            log.disk()
                .open(&path, OpenMode::Truncate)
                .map_err(|error| Error::io("create", &path, error))?;
        }
        Ok(())
    }

    pub(super) fn store_producers(&mut self, log: &Log) -> Result<()> {
        let path = FileKind::ProducerSnapshot.path(log.dir(), self.next_offset);
        let snapshot = producer_snapshot::encode(&self.producers.to_snapshot());
        write_anew(log.disk(), &path, &snapshot)?;
        self.unsynced_files.push(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CleanupPolicy;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn without_jitter_a_segment_takes_records_for_segment_ms() {
        let config = TopicConfig::default().segment_ms(MINUTE);
        for drawn in 0..100 {
            assert_eq!(longest_age(&config, || drawn), MINUTE);
        }
    }

    #[test]
    fn the_jitter_is_below_its_bound_and_differs() {
        let second = Duration::from_secs(1);
        let config = TopicConfig::default()
            .segment_ms(MINUTE)
            .segment_jitter_ms(second);
        let jitter = Jitter::of(TopicId([7; 16]), 0);
        let age = |base| longest_age(&config, || jitter.draw(base));
        let mut ages: Vec<_> = (0..100).map(age).collect();
        assert!(
            ages.iter()
                .all(|age| *age + second > MINUTE && *age <= MINUTE)
        );
        ages.sort();
        ages.dedup();
        assert!(ages.len() > 80, "{ages:?}");
    }

    #[test]
    fn a_jitter_beyond_segment_ms_leaves_some_time() {
        let config = TopicConfig::default()
            .segment_ms(Duration::from_millis(2))
            .segment_jitter_ms(MINUTE);
        for drawn in 0..100 {
            assert!(!longest_age(&config, || drawn).is_zero());
        }
    }

    #[test]
    fn what_must_be_compacted_in_time_is_finished_in_time() {
        let lag = Duration::from_secs(1);
        let config = TopicConfig::default()
            .segment_ms(MINUTE)
            .max_compaction_lag_ms(Some(lag));
        assert_eq!(longest_age(&config, || 0), MINUTE);
        let compacted = config.cleanup_policy(CleanupPolicy::CompactAndDelete);
        assert_eq!(longest_age(&compacted, || 0), lag);
        let longer = compacted.max_compaction_lag_ms(Some(2 * MINUTE));
        assert_eq!(longest_age(&longer, || 0), MINUTE);
    }

    #[test]
    fn partitions_draw_apart_and_a_segment_always_the_same() {
        let draw = |topic, partition| Jitter::of(TopicId([topic; 16]), partition).draw(5);
        assert_ne!(draw(7, 0), draw(7, 1));
        assert_ne!(draw(7, 0), draw(8, 0));
        assert_eq!(draw(7, 0), draw(7, 0));
    }
}
