//! File names of a partition's directory. A segment's files carry its base offset, 20 decimal digits.

use std::path::{Path, PathBuf};

use super::writer::EPOCH_FILE;
use crate::disk::TEMPORARY;

/// Of which topic a partition's directory is.
pub(crate) const METADATA_FILE: &str = "partition.metadata";

/// A partition's directory: Kafka's `<topic>-<partition>`.
pub(crate) fn partition_dir(root: &Path, topic: &str, partition: u32) -> PathBuf {
    root.join(format!("{topic}-{partition}"))
}

/// The topic and partition that a directory's name stands for: the number follows the last `-`.
/// `None` for names that are not a partition's, such as `…-delete` and `…-future`.
pub(crate) fn parse_partition_dir(name: &str) -> Option<(&str, u32)> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: u32 = number.parse().ok()?;
    // `01` and `+1` parse as well, and are not how we write 1.
    (partition.to_string() == number).then_some((topic, partition))
}

/// True for a directory of a deleted topic that waits to be removed: Kafka's
/// `<topic>-<partition>.<32 hex digits>-delete`.
pub(crate) fn is_deleted_partition_dir(name: &str) -> bool {
    unique_of(name, "delete").is_some()
}

/// The name under which a partition's directory is put aside, as Kafka does: it is no partition's any
/// more. `unique` is 32 hexadecimal digits, `why` is `delete`, `stray` or our own [`SALVAGE`].
pub(crate) fn aside_name(name: &str, unique: &str, why: &str) -> String {
    // A name has at most 255 bytes; Kafka cuts the topic.
    let suffix = format!(".{unique}-{why}");
    let kept: String = name.chars().take(255 - suffix.len()).collect();
    kept + &suffix
}

/// Ours: a partition made anew, complete, that is to take the place of a damaged one.
pub(crate) const SALVAGE: &str = "salvage";

/// The 32 digits of a directory that was put aside for this reason.
pub(crate) fn unique_of<'a>(name: &'a str, why: &str) -> Option<&'a str> {
    let (_, unique) = name
        .strip_suffix(why)?
        .strip_suffix('-')?
        .rsplit_once('.')?;
    let is_hex = unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    (unique.len() == 32 && is_hex).then_some(unique)
}

/// What ends the name of a file that waits to be removed, as in Kafka.
const DELETED: &str = ".deleted";

/// The name that a file gets before it is removed.
pub(super) fn deleted_name(name: &str) -> String {
    format!("{name}{DELETED}")
}

/// The name that a segment's file had which waits to be removed; `None` for other names.
pub(super) fn former_name(name: &str) -> Option<&str> {
    let former = name.strip_suffix(DELETED);
    former.filter(|former| FileKind::parse(former).is_some())
}

/// True for a segment's file that waits to be removed.
pub(super) fn is_deleted(name: &str) -> bool {
    former_name(name).is_some()
}

/// True for what was to replace a file of a partition, and did not.
pub(super) fn is_unfinished(name: &str) -> bool {
    let replaced = name.strip_suffix(TEMPORARY).unwrap_or_default();
    FileKind::parse(replaced).is_some() || [EPOCH_FILE, METADATA_FILE].contains(&replaced)
}

/// The kinds of file that a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The batches.
    Log,
    /// Offset to file position, sparse.
    OffsetIndex,
    /// Timestamp to offset, sparse.
    TimeIndex,
    /// Our own: what the segment held when it was sealed.
    Seal,
    /// Aborted transactions.
    TransactionIndex,
    /// Producer state up to the base offset.
    ProducerSnapshot,
    /// Our own: small batches on their way into the active segment. Numbered from 0.
    Stage,
    /// Our own: from where the last segment may be walked after a crash.
    Waypoint,
}

impl FileKind {
    const ALL: [Self; 8] = [
        Self::Log,
        Self::OffsetIndex,
        Self::TimeIndex,
        Self::Seal,
        Self::TransactionIndex,
        Self::ProducerSnapshot,
        Self::Stage,
        Self::Waypoint,
    ];

    /// Those that say something of the batches beside them.
    pub(crate) const BESIDE_LOG: [Self; 4] = [
        Self::OffsetIndex,
        Self::TimeIndex,
        Self::TransactionIndex,
        Self::Seal,
    ];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::Seal => ".seal",
            Self::TransactionIndex => ".txnindex",
            Self::ProducerSnapshot => ".snapshot",
            Self::Stage => ".stage",
            Self::Waypoint => ".waypoint",
        }
    }

    /// The file of this kind for the segment that starts at `base`.
    pub(crate) fn path(self, dir: &Path, base: u64) -> PathBuf {
        dir.join(format!("{base:020}{}", self.suffix()))
    }

    /// The base offset and kind that a file's name stands for.
    pub(crate) fn parse(name: &str) -> Option<(u64, Self)> {
        let digits = name.get(..20)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kind = Self::ALL
            .into_iter()
            .find(|kind| kind.suffix() == &name[20..])?;
        // Kafka's offsets are signed: a name above that is not a segment's.
        let base = digits
            .parse()
            .ok()
            .filter(|base| i64::try_from(*base).is_ok())?;
        Some((base, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_what_they_were_made_of() {
        let path = FileKind::TimeIndex.path(Path::new("d"), 42);
        assert_eq!(path, Path::new("d/00000000000000000042.timeindex"));
        assert_eq!(
            FileKind::parse("00000000000000000042.timeindex"),
            Some((42, FileKind::TimeIndex))
        );
        assert_eq!(parse_partition_dir("my-topic-7"), Some(("my-topic", 7)));
    }

    #[test]
    fn only_whole_names_of_deleted_topics_are_taken_for_one() {
        let unique = "0123456789abcdef0123456789abcdef";
        assert!(is_deleted_partition_dir(&format!("t-0.{unique}-delete")));
        for name in ["t-delete", "t-0.0123-delete", "t-0.-delete"] {
            assert!(!is_deleted_partition_dir(name), "{name}");
        }
        assert!(!is_deleted_partition_dir(&format!("t-0.{unique}-stray")));
    }

    #[test]
    fn only_files_of_segments_are_taken_for_deleted_ones() {
        assert!(is_deleted(&deleted_name("00000000000000000042.log")));
        for name in ["00000000000000000042.log", "notes.deleted", ".deleted"] {
            assert!(!is_deleted(name), "{name}");
        }
    }

    #[test]
    fn stray_names_are_not_ours() {
        for name in [
            "42.log",
            "0000000000000000004x.log",
            "00000000000000000042.log.deleted",
            "99999999999999999999.log",
        ] {
            assert_eq!(FileKind::parse(name), None, "{name}");
        }
        for name in [
            "t",
            "t-",
            "t-x",
            "t-1.abc-delete",
            "t-+1",
            "t-01",
            "t-99999999999",
        ] {
            assert_eq!(parse_partition_dir(name), None, "{name}");
        }
    }
}
