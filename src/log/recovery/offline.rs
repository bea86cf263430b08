//! A partition whose files cannot be opened: it is there, and every use of it says what is wrong.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{OpenRequest, PartitionRecovery};
use crate::disk::{AppendFile, DiskFile, Map};
use crate::error::Error;
use crate::format::seal::FrameDigest;
use crate::log::Log;
use crate::log::compaction::Compaction;
use crate::log::durable_ends::{DurableEnd, DurablePoint};
use crate::log::epochs::Epochs;
use crate::log::group_commit::GroupCommit;
use crate::log::index::{IndexBuilder, SegmentIndex};
use crate::log::producer_state::ProducerState;
use crate::log::roll::Jitter;
use crate::log::segment::Segment;
use crate::log::staging::Staged;
use crate::log::waypoint::Waypoints;
use crate::log::writer::Writer;
use crate::log::zero_ahead::ZeroAhead;
use crate::record::Offset;

/// A log without segments, which refuses everything with `error`.
pub(super) fn open(
    request: &OpenRequest<'_>,
    durable_slot: Arc<DurableEnd>,
    error: Error,
) -> (Log, PartitionRecovery) {
    let report = PartitionRecovery {
        damage: vec![error.to_string()],
        ..PartitionRecovery::default()
    };
    let start = request.start;
    let file = AppendFile::new(request.dir.clone(), Arc::new(NoFile));
    let writer = Writer {
        active: Arc::new(Segment::active(start, file, SegmentIndex::default())),
        position: 0,
        flushed: DurablePoint::start_of(start),
        staged: Staged::new(request.topic_id, Vec::new()),
        next_offset: start,
        index: IndexBuilder::new(request.config.index_interval_bytes),
        index_full: false,
        digest: FrameDigest::new(),
        batches: 0,
        first_timestamp: None,
        active_since: request.now,
        jitter: Jitter::of(request.topic_id, request.id.partition()),
        leader_epoch: 0,
        epochs: Epochs::default(),
        producers: ProducerState::default(),
        names_unsynced: false,
        changed: false,
        unsynced_files: Vec::new(),
        uncut: false,
        ahead: ZeroAhead::default(),
        asleep: false,
        closed: false,
    };
    let log = Log {
        id: request.id.clone(),
        dir: request.dir.clone(),
        disk: Arc::clone(request.disk),
        open: Arc::clone(request.open),
        space: Arc::clone(request.space),
        purpose: request.purpose,
        segments: ArcSwap::default(),
        start: AtomicU64::new(start),
        readable_end: AtomicU64::new(start),
        end: AtomicU64::new(start),
        swaps: AtomicU64::new(0),
        compaction: Compaction::default(),
        removal: Mutex::default(),
        adopted: request.adopted,
        epochs: ArcSwap::default(),
        commit: GroupCommit::default(),
        // Claimed, so that it is kept; not written.
        durable_slot,
        waypoints: Waypoints::new(
            request.topic_id,
            request.id.partition(),
            request.waypoint_interval,
            start,
            false,
        ),
        failure: OnceLock::new(),
        roll_near: AtomicBool::new(false),
        damage: OnceLock::from(error),
        // Nobody knows where it ends: every position is one where something is missing.
        former_end: Offset::MAX,
        writer: Mutex::new(writer),
    };
    log.commit.advance(start);
    (log, report)
}

/// Stands for the file of a segment that is not there. Nothing is ever asked of it: appends and reads
/// are refused before.
#[derive(Debug)]
struct NoFile;

impl DiskFile for NoFile {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _buffer: &mut [u8], _position: u64) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn map(&self, _capacity: usize) -> io::Result<Map> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn map_for_storing(&self, _len: usize) -> io::Result<Map> {
        Err(io::ErrorKind::NotFound.into())
    }
}
