//! The one error type: what went wrong, where, and what to do about it.
//!
//! Every decision a caller would make is a variant to match on; [`Error::is_retryable`] and
//! [`Error::is_indefinite`] answer the two questions that generic retry code asks.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::record::{Offset, TopicPartition};

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// It is `Clone`, because one failed write fails every record of its batch.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation. State is unchanged; reads may be retried.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted, as a verb: `open`, `write`, `sync`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: SharedIoError,
    },
    /// No space, or a quota or file-size limit was reached. The log is as it was before the call;
    /// the same call succeeds once space returns.
    #[error("disk full: cannot {action} {}; free some space and try again", .path.display())]
    DiskFull {
        /// What was attempted.
        action: &'static str,
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The files of the broker's segments take all that
    /// [`max_disk_bytes`](crate::BrokerBuilder::max_disk_bytes) allows. The log is as it was before the
    /// call; the same call succeeds once retention has made room.
    #[error(
        "the disk budget of {limit} bytes is used up ({used} are used, and a sixteenth is not for records); remove records or raise it"
    )]
    DiskBudget {
        /// The budget, in bytes.
        limit: u64,
        /// How many bytes are used.
        used: u64,
    },
    /// The process or system is out of file descriptors or memory maps. Retry when handles are free.
    #[error("too many open files: cannot {action} {}; raise the limit or close some", .path.display())]
    TooManyOpenFiles {
        /// What was attempted.
        action: &'static str,
        /// The file that could not be opened or mapped.
        path: PathBuf,
    },
    /// Another broker, in this process or another, has the directory open.
    #[error("{} is in use by another broker; close that one first", .directory.display())]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// The data directory does not exist, and it was not to be created.
    #[error("no data directory at {}; use `create_dir(true)` to make one", .directory.display())]
    NoDirectory {
        /// The data directory.
        directory: PathBuf,
    },
    /// A new directory was to be made, and there is something of its name.
    #[error("{} exists already; choose another name, or remove it", .directory.display())]
    DirectoryExists {
        /// What is there.
        directory: PathBuf,
    },
    /// The directory cannot be used for this.
    #[error("{} cannot be used: {reason}", .directory.display())]
    InvalidDirectory {
        /// The directory as given.
        directory: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The directory or file system can only be read.
    #[error("cannot {action} {}: it is read-only", .path.display())]
    ReadOnly {
        /// What was attempted.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
    },
    /// No topic has this name.
    #[error("unknown topic `{topic}`; create it with `create_topic`")]
    UnknownTopic {
        /// The name asked for.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has no partition {partition}: it has {count}, numbered from 0")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: u32,
        /// How many partitions the topic has.
        count: u32,
    },
    /// A topic of this name exists, or one that differs only in `.` and `_`.
    #[error("topic `{topic}` exists already")]
    TopicExists {
        /// The existing topic.
        topic: String,
    },
    /// The name breaks Kafka's rules for topic names.
    #[error("invalid topic name `{topic}`: {reason}")]
    InvalidTopicName {
        /// The name as given.
        topic: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A configuration value is unknown or out of its range.
    #[error("invalid config {key}={value}: {reason}")]
    InvalidConfig {
        /// The configuration's name, Kafka's where Kafka has it.
        key: String,
        /// The value as given.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// The topic's configuration forbids it (Kafka's `POLICY_VIOLATION`).
    #[error("topic `{topic}` does not allow this: {reason}")]
    PolicyViolation {
        /// The topic.
        topic: String,
        /// What is forbidden, and by which configuration.
        reason: &'static str,
    },
    /// The record (or batch) is larger than the topic's `max.message.bytes`.
    #[error(
        "record of {size} bytes for {topic} is larger than max.message.bytes={limit}; raise it with `alter_topic`"
    )]
    RecordTooLarge {
        /// Where it was going.
        topic: String,
        /// Size of the batch that would hold it, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A record breaks a rule of the format or the topic.
    #[error("invalid record for {topic}: {reason}")]
    InvalidRecord {
        /// Where it was going.
        topic: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A record's timestamp is outside `message.timestamp.before.max.ms` and
    /// `message.timestamp.after.max.ms`.
    #[error("timestamp {timestamp} for {topic} is out of bounds: {reason}")]
    InvalidTimestamp {
        /// Where it was going.
        topic: String,
        /// The record's timestamp, in milliseconds.
        timestamp: i64,
        /// Which bound it breaks.
        reason: &'static str,
    },
    /// Records are in a codec that this build leaves out.
    #[error("codec {codec} is not compiled in; enable the crate feature `{codec}`")]
    UnsupportedCompression {
        /// The codec, which is also the feature's name.
        codec: &'static str,
    },
    /// The offset is below the start of the log or beyond its end.
    #[error("offset {offset} of {partition} is out of range: the log holds {start}..{end}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        offset: Offset,
        /// The log start offset.
        start: Offset,
        /// The end a reader may ask for.
        end: Offset,
    },
    /// A group has no committed offset for the partition, and `auto.offset.reset` is none.
    #[error(
        "group `{group}` has no committed offset for {partition}, and no reset policy says where to start"
    )]
    NoCommittedOffset {
        /// The group.
        group: String,
        /// The partition.
        partition: TopicPartition,
    },
    /// The position belongs to a part of the log that a power loss took: other records may now be
    /// at its offset. Seek to `end` or apply a reset policy.
    #[error(
        "{partition} was truncated: position {offset} of epoch {epoch} is beyond {end}, where that epoch ends"
    )]
    LogTruncated {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: Offset,
        /// The leader epoch under which it was read.
        epoch: i32,
        /// Where that epoch ends in the log as it is now.
        end: Offset,
    },
    /// Stored bytes contradict the format: damage, or a bug. (A torn tail is not this: recovery
    /// trims it.) Nothing was deleted; records outside the damage stay readable.
    #[error("{}: corrupt at byte {position}{}: {reason}", .file.display(), of_offsets(.offsets.as_ref()))]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Byte position of the damage, or of the batch that holds it.
        position: u64,
        /// Offsets that cannot be read because of it, where that is known. A reader that seeks to
        /// the end of this range goes on without them.
        offsets: Option<Range<Offset>>,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A file that held acknowledged records is gone, or shorter than it was.
    #[error("{}: missing{}: {reason}; restore the file from a copy", .file.display(), of_offsets(.offsets.as_ref()))]
    MissingSegment {
        /// The missing or shortened file.
        file: PathBuf,
        /// Offsets that cannot be read because of it, where that is known. A reader that seeks to
        /// the end of this range goes on without them.
        offsets: Option<Range<Offset>>,
        /// What was expected.
        reason: String,
    },
    /// A file's version is newer than this build knows. Nothing was changed.
    #[error("{}: {reason}; open it with a newer version of streamlog", .file.display())]
    UnsupportedFormat {
        /// The file.
        file: PathBuf,
        /// What is not known.
        reason: String,
    },
    /// A write or sync failed earlier, so what is on disk is unknown. Writes are refused until the
    /// broker is opened again. For calls that were waiting, the outcome is indefinite.
    #[error("{partition} stopped after a failed write ({cause}); reopen the broker to recover")]
    StorageFailed {
        /// The partition, or the file for the broker's own metadata.
        partition: String,
        /// The failure.
        cause: String,
    },
    /// The members of a group have to use the same assignor.
    #[error(
        "the consumer divides partitions by `{ours}`, and the group's members by `{theirs}`; all have to use one assignor"
    )]
    InconsistentGroupProtocol {
        /// The assignor of the consumer that joins.
        ours: String,
        /// That of the members.
        theirs: String,
    },
    /// The group has live members, and this can only be done to a group without any (Kafka's
    /// `NON_EMPTY_GROUP`). Close its consumers first.
    #[error("group `{group}` has live members ({members}); close its consumers first")]
    GroupNotEmpty {
        /// The group.
        group: String,
        /// How many members it has.
        members: usize,
    },
    /// No group has this name: it has no member, committed nothing, and was not known before
    /// (Kafka's `GROUP_ID_NOT_FOUND`).
    #[error("unknown group `{group}`: it has no member and no committed offset")]
    UnknownGroup {
        /// The name asked for.
        group: String,
    },
    /// The call does not fit the state of the handle.
    #[error("{0}")]
    IllegalState(&'static str),
    /// The caller's handle was replaced by a newer one.
    #[error("fenced: {reason}; make a new handle")]
    Fenced {
        /// What replaced it.
        reason: String,
    },
    /// A sequence number does not follow the producer's last one.
    #[error("{partition}: producer {producer_id} sent sequence {sequence}, expected {expected}")]
    OutOfOrderSequence {
        /// The partition.
        partition: TopicPartition,
        /// The producer.
        producer_id: i64,
        /// First sequence number of the refused batch.
        sequence: i32,
        /// The sequence number that would have been accepted.
        expected: i32,
    },
    /// Another thread called `wakeup`.
    #[error("woken up by another thread")]
    Wakeup,
    /// The broker or handle was closed.
    #[error("the {0} is closed")]
    Closed(&'static str),
}

/// An [`io::Error`] that can be cloned.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct SharedIoError(std::sync::Arc<io::Error>);

impl SharedIoError {
    /// What kind of failure it was.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }
}

impl Error {
    /// True if the state is unchanged and the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::DiskFull { .. }
                | Self::DiskBudget { .. }
                | Self::TooManyOpenFiles { .. }
                | Self::Io { .. }
                | Self::Wakeup
        )
    }

    /// True if the call may or may not have taken effect.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, Self::StorageFailed { .. })
    }

    /// Sorts an I/O failure into the variant that says what to do.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.to_path_buf();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                Self::DiskFull { action, path }
            }
            Kind::ReadOnlyFilesystem => Self::ReadOnly { action, path },
            _ if matches!(source.raw_os_error(), Some(12 | 23 | 24)) => {
                // ENOMEM, ENFILE, EMFILE: the same numbers on every Unix.
                Self::TooManyOpenFiles { action, path }
            }
            _ => Self::Io {
                action,
                path,
                source: SharedIoError(source.into()),
            },
        }
    }

    /// The same damage, with the offsets that it makes unreadable.
    #[must_use]
    pub(crate) fn with_offsets(mut self, lost: Range<Offset>) -> Self {
        if let Self::Corrupt { offsets, .. } | Self::MissingSegment { offsets, .. } = &mut self {
            *offsets = Some(lost);
        }
        self
    }

    /// A file that held records is gone, or shorter than it was.
    pub(crate) fn missing(file: &Path, reason: impl Into<String>) -> Self {
        Self::MissingSegment {
            file: file.to_path_buf(),
            offsets: None,
            reason: reason.into(),
        }
    }

    pub(crate) fn corrupt(file: &Path, position: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            file: file.to_path_buf(),
            position,
            offsets: None,
            reason: reason.into(),
        }
    }
}

/// For messages.
fn of_offsets(offsets: Option<&Range<Offset>>) -> String {
    offsets.map_or_else(String::new, |lost| {
        format!(", offsets {}..{}", lost.start, lost.end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_are_told_apart_from_other_failures() {
        let error = Error::io(
            "write",
            Path::new("a.log"),
            io::ErrorKind::StorageFull.into(),
        );
        assert!(matches!(error, Error::DiskFull { .. }) && error.is_retryable());
        let error = Error::io("map", Path::new("a.log"), io::Error::from_raw_os_error(24));
        assert!(matches!(error, Error::TooManyOpenFiles { .. }));
        let error = Error::io("read", Path::new("a.log"), io::Error::other("bad sector"));
        assert_eq!(error.to_string(), "cannot read a.log: bad sector");
    }
}
