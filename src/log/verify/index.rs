//! The index of a segment, compared with its batches as they go by.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::format::batch::BatchHeader;
use crate::format::index_entry::{OffsetIndexEntry, TimeIndexEntry};
use crate::log::index::{IndexedBatch, SegmentIndex};
use crate::log::names::FileKind;
use crate::record::Offset;

/// See the module's description.
pub(super) struct IndexCheck<'a> {
    base: Offset,
    paths: [PathBuf; 2],
    /// Entries that are still to come.
    offsets: &'a [OffsetIndexEntry],
    times: &'a [TimeIndexEntry],
    /// Largest timestamp so far.
    largest: i64,
    /// Bytes are missing: what the largest timestamp is behind them is not known.
    damaged: bool,
    pub(super) findings: Vec<Finding>,
}

impl<'a> IndexCheck<'a> {
    pub(super) fn new(dir: &Path, base: Offset, index: &'a SegmentIndex, adopted: bool) -> Self {
        Self {
            base,
            paths: [FileKind::OffsetIndex, FileKind::TimeIndex].map(|kind| kind.path(dir, base)),
            offsets: &index.offsets,
            // Kafka's own may hold the offset of a record inside of a batch.
            times: if adopted { &[] } else { &index.times },
            largest: -1,
            damaged: false,
            findings: Vec::new(),
        }
    }

    pub(super) fn largest_timestamp(&self) -> i64 {
        self.largest
    }

    pub(super) fn batch(&mut self, position: u64, header: &BatchHeader) {
        self.pass_offsets(position);
        let relative = header.last_offset().saturating_sub(self.base);
        if let [entry, rest @ ..] = self.offsets
            && u64::from(entry.position) == position
        {
            self.offsets = rest;
            if u64::from(entry.relative_offset) != relative {
                let found = self.base + u64::from(entry.relative_offset);
                let reason = format!(
                    "an entry says offset {found} for the batch at byte {position}, which ends with offset {}",
                    header.last_offset()
                );
                self.wrong(0, reason);
            }
        }
        let newest = IndexedBatch::new(self.base, position, header).max_timestamp;
        let is_larger = newest > self.largest;
        self.largest = self.largest.max(newest);
        self.pass_times(relative, is_larger);
    }

    fn pass_times(&mut self, relative: u64, is_larger: bool) {
        while let [entry, rest @ ..] = self.times
            && u64::from(entry.relative_offset) <= relative
        {
            self.times = rest;
            let is_right = u64::from(entry.relative_offset) == relative
                && is_larger
                && entry.timestamp == self.largest;
            if !is_right && !self.damaged {
                let offset = self.base + u64::from(entry.relative_offset);
                let reason = format!(
                    "an entry says that timestamp {} is the largest up to offset {offset}, and it is not",
                    entry.timestamp
                );
                self.wrong(1, reason);
            }
        }
    }

    /// Batches up to this place are damaged; their entries say what was there.
    pub(super) fn damage_up_to(&mut self, position: u64) {
        self.damaged = true;
        while let [entry, rest @ ..] = self.offsets
            && u64::from(entry.position) < position
        {
            self.offsets = rest;
        }
    }

    /// No more batches come. Entries behind them are wrong if the segment is finished; else they may be of
    /// batches that were appended meanwhile.
    pub(super) fn end(&mut self, position: u64, is_finished: bool) {
        self.pass_offsets(position);
        if self.damaged || !is_finished {
            return;
        }
        if !self.offsets.is_empty() {
            self.wrong(0, "an entry points behind the last batch".to_owned());
        }
        if !self.times.is_empty() {
            self.wrong(
                1,
                "an entry is of an offset behind the last batch".to_owned(),
            );
        }
    }

    /// Entries of places that no batch starts at.
    fn pass_offsets(&mut self, position: u64) {
        while let [entry, rest @ ..] = self.offsets
            && u64::from(entry.position) < position
        {
            self.offsets = rest;
            let reason = format!(
                "an entry points at byte {}, where no batch starts",
                entry.position
            );
            self.wrong(0, reason);
        }
    }

    fn wrong(&mut self, which: usize, reason: String) {
        let file = self.paths.get(which).map(PathBuf::as_path);
        let finding = Finding::derived(file.unwrap_or(Path::new("")), reason);
        self.findings.push(finding);
    }
}
