//! What opening a partition's log takes, and what it tells.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::TopicConfig;
use crate::disk::Disk;
use crate::format::metadata::TopicId;
use crate::log::durable_ends::DurableEnds;
use crate::log::open_segments::OpenSegments;
use crate::log::space::{DiskSpace, Purpose};
use crate::record::{Offset, Timestamp, TopicPartition};

/// What opening one partition's log takes.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each looked at in one place"
)]
pub(crate) struct OpenRequest<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) id: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) config: &'a TopicConfig,
    pub(crate) ends: &'a Arc<DurableEnds>,
    pub(crate) open: &'a Arc<OpenSegments>,
    pub(crate) space: &'a Arc<DiskSpace>,
    /// What appends count as.
    pub(crate) purpose: Purpose,
    /// The partition was there before; if it cannot be opened, that is damage.
    pub(crate) is_known: bool,
    /// The broker was closed in order the last time.
    pub(crate) clean: bool,
    /// Others wrote the log: offsets may have gaps, and files may be there for their reasons.
    pub(crate) adopted: bool,
    /// The log start offset that was written down; 0 if none.
    pub(crate) start: Offset,
    /// The recovery point that was written down: everything below is durable.
    pub(crate) recovery_point: Offset,
    /// Wall clock.
    pub(crate) now: Timestamp,
    /// What is whole, and not known to be on the device, may stay so: the caller has it synced soon.
    pub(crate) sync_later: bool,
    /// So far apart waypoints are, in bytes.
    pub(crate) waypoint_interval: u64,
}

/// What opening one partition's log found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionRecovery {
    /// Bytes whose checksums were verified.
    pub checked_bytes: u64,
    /// Bytes of a torn tail that were cut off: they were never acknowledged as durable.
    pub truncated_bytes: u64,
    /// Where the cut-off bytes were kept, because they held whole batches. Look at them with the
    /// `dump_log` example before deleting the file.
    pub set_aside: Option<PathBuf>,
    /// Files that were missing or wrong and were made again from the log.
    pub rebuilt: Vec<PathBuf>,
    /// Damage, one line each. Nothing of it was deleted.
    pub damage: Vec<String>,
}

impl PartitionRecovery {
    /// True if there was nothing to cut, to rebuild or to report.
    pub fn is_clean(&self) -> bool {
        self.truncated_bytes == 0
            && self.set_aside.is_none()
            && self.rebuilt.is_empty()
            && self.damage.is_empty()
    }
}
