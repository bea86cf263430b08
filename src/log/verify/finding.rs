//! What a verification finds.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::record::{Offset, TopicPartition};

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Something that is made from records is missing or wrong: an index, a seal, a snapshot. No record is
    /// affected, and it is made again when the broker is opened or when it is needed.
    Derived,
    /// Records cannot be read, or cannot be trusted. [`salvage`](crate::salvage()) keeps the others.
    Damage,
}

/// `damage` or `derived`.
impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Derived => "derived",
            Self::Damage => "damage",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Whose file it is; `None` for a file of the broker.
    pub partition: Option<TopicPartition>,
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes, if it is at one place.
    pub position: Option<u64>,
    /// Offsets of the records that are lost or in doubt; `None` if there are none.
    pub offsets: Option<Range<Offset>>,
    /// What is wrong.
    pub reason: String,
}

/// One line: `damage in t-0: data/t-0/00000000000000000000.log at byte 61, offsets 3..5: CRC does not match`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        if let Some(partition) = &self.partition {
            write!(f, " in {partition}")?;
        }
        write!(f, ": {}", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        if let Some(offsets) = &self.offsets {
            write!(f, ", offsets {}..{}", offsets.start, offsets.end)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Finding {
    pub(crate) fn damage(file: &Path, reason: impl Into<String>) -> Self {
        Self {
            severity: Severity::Damage,
            partition: None,
            file: file.to_path_buf(),
            position: None,
            offsets: None,
            reason: reason.into(),
        }
    }

    pub(crate) fn derived(file: &Path, reason: impl Into<String>) -> Self {
        Self {
            severity: Severity::Derived,
            ..Self::damage(file, reason)
        }
    }

    /// Damage that was met as an error.
    pub(crate) fn of_error(error: &Error, file: &Path) -> Self {
        match error {
            Error::Corrupt {
                file,
                position,
                offsets,
                reason,
            } => Self::damage(file, reason.as_str())
                .at(*position)
                .losing(offsets.clone()),
            Error::MissingSegment {
                file,
                offsets,
                reason,
            } => Self::damage(file, reason.as_str()).losing(offsets.clone()),
            other => Self::damage(file, other.to_string()),
        }
    }

    pub(crate) fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    pub(crate) fn losing(mut self, offsets: Option<Range<Offset>>) -> Self {
        self.offsets = offsets.filter(|offsets| !offsets.is_empty());
        self
    }

    pub(crate) fn of(mut self, partition: &TopicPartition) -> Self {
        self.partition = Some(partition.clone());
        self
    }
}
