//! What opening a directory found and did.

use std::path::PathBuf;

use crate::error::Error;
use crate::group::offsets::ClampedOffset;
pub use crate::log::recovery::PartitionRecovery;
use crate::record::{Offset, TopicPartition};

/// What [`Broker::open`](crate::Broker::open) found and did. Opening again after it finds nothing new.
///
/// ```
/// # fn main() -> streamlog::Result<()> {
/// let broker = streamlog::Broker::in_memory();
/// let report = broker.recovery_report();
/// if !report.is_clean() {
///     eprintln!("{report:#?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The broker was closed in order the last time (or the directory is new), so nothing was
    /// scanned.
    pub clean_shutdown: bool,
    /// Partitions with something to say: bytes cut, files made again, damage.
    pub partitions: Vec<(TopicPartition, PartitionRecovery)>,
    /// Topics found without the manifest knowing them: Kafka wrote the directory, or the manifest
    /// was lost. They have default configurations, except that none of their records goes by itself.
    pub adopted_topics: Vec<String>,
    /// Committed offsets that were beyond the end of their log, which a power loss had cut.
    pub clamped_offsets: Vec<ClampedCommit>,
    /// Parts of the offsets topic that cannot be read; groups in them get the error.
    pub damaged_offsets: Vec<Error>,
    /// Files and directories that belong to no topic. They were left alone.
    pub stray: Vec<PathBuf>,
}

/// A committed offset that was moved back to the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClampedCommit {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: TopicPartition,
    /// What was committed.
    pub from: Offset,
    /// The end of the log, where the group goes on; `None` if the partition is gone.
    pub to: Option<Offset>,
}

impl From<ClampedOffset> for ClampedCommit {
    fn from(clamped: ClampedOffset) -> Self {
        let ClampedOffset {
            group,
            partition,
            from,
            to,
        } = clamped;
        Self {
            group,
            partition,
            from,
            to,
        }
    }
}

impl RecoveryReport {
    /// True if nothing was cut, rebuilt, moved or found damaged. (An unclean shutdown alone is fine:
    /// everything that was acknowledged may be there.)
    pub fn is_clean(&self) -> bool {
        self.partitions
            .iter()
            .all(|(_, partition)| partition.is_clean())
            && self.adopted_topics.is_empty()
            && self.clamped_offsets.is_empty()
            && self.damaged_offsets.is_empty()
    }

    /// True if something is damaged that cannot be made good from what is there.
    pub fn has_damage(&self) -> bool {
        self.partitions
            .iter()
            .any(|(_, partition)| !partition.damage.is_empty())
            || !self.damaged_offsets.is_empty()
    }
}
