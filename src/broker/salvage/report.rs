//! What a salvage did.

use std::fmt;
use std::path::PathBuf;

pub use crate::log::salvage::Lost;
use crate::record::{Offset, TopicPartition};

/// What [`salvage`](crate::salvage()) did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Nothing was changed: it was a dry run.
    pub dry_run: bool,
    /// The list of topics was damaged, and made again from what partitions there are, with default
    /// configurations. The damaged one is here.
    pub manifest_aside: Option<PathBuf>,
    /// Partitions that were made anew, by name.
    pub partitions: Vec<SalvagedPartition>,
}

/// A partition that was made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvagedPartition {
    /// Which.
    pub partition: TopicPartition,
    /// Batches that are kept, with their offsets.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// What is lost, in the order of the log.
    pub lost: Vec<Lost>,
    /// Where appends go on: not below any offset that was known to be in use.
    pub end: Offset,
    /// Where the damaged directory is now; it can be removed when nobody wants to look at it any more.
    /// `None` if there was none, and after a dry run.
    pub kept_aside: Option<PathBuf>,
}

impl SalvageReport {
    /// True if records are lost in any partition.
    pub fn has_losses(&self) -> bool {
        let lost = self.partitions.iter().flat_map(|it| &it.lost);
        lost.into_iter().any(|lost| !lost.offsets.is_empty())
    }
}

/// For people: a line for each partition, and one for each thing that is lost.
impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(aside) = &self.manifest_aside {
            let aside = aside.display();
            writeln!(
                f,
                "the list of topics was made again; the damaged one is {aside}"
            )?;
        }
        if self.partitions.is_empty() {
            return write!(f, "no partition to salvage");
        }
        let lines = self.partitions.iter().map(ToString::to_string);
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// For people: what is kept, and a line for each thing that is lost.
impl fmt::Display for SalvagedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (batches, records) = (self.batches, self.records);
        write!(
            f,
            "{}: {batches} batches, {records} records kept",
            self.partition
        )?;
        for lost in &self.lost {
            write!(f, "\n  lost: {lost}")?;
        }
        match &self.kept_aside {
            Some(aside) => write!(f, "\n  the damaged files are in {}", aside.display()),
            None => Ok(()),
        }
    }
}

/// One line: `offsets 3..5, bytes 61..140 of data/t-0/00000000000000000000.log: CRC does not match`.
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offsets.is_empty() {
            write!(f, "no known offset")?;
        } else {
            write!(f, "offsets {}..{}", self.offsets.start, self.offsets.end)?;
        }
        let file = self.file.display();
        if self.bytes.is_empty() {
            write!(f, ", {file}: {}", self.reason)
        } else {
            let bytes = &self.bytes;
            write!(
                f,
                ", bytes {}..{} of {file}: {}",
                bytes.start, bytes.end, self.reason
            )
        }
    }
}
