//! Reads all of a log again, and compares everything with everything. Changes nothing.
//!
//! It looks at each segment as its file is now, not as it was when it was opened, up to what was published
//! when it came to it. The log goes on meanwhile: a segment that was removed or replaced while it was
//! looked at does not count, whatever was found in it.
//!
//! Elsewhere: reading a segment ([`survey`](super::survey)), all partitions of a broker (`broker::verify`).

mod files;
mod finding;
mod index;
mod segment;

use std::sync::Arc;

pub use finding::{Finding, Severity};

use super::Log;
use super::names::FileKind;
use super::segment::Segment;
use crate::error::Result;
use crate::record::Offset;

/// What looking at all of a log came to.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) segments: u64,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Verified {
    fn add(&mut self, other: Self) {
        self.segments += other.segments;
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
        self.findings.extend(other.findings);
    }
}

impl Log {
    /// Reads everything. `progress` is told how many more bytes were read, now and then.
    ///
    /// # Errors
    /// What the disk says; what is wrong with the files is no error.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<Verified> {
        let mut verified = Verified::default();
        if let Some(damage) = self.damage() {
            let finding = Finding::of_error(damage, self.dir());
            verified.findings.push(finding);
        }
        if !self.segments().is_empty() {
            self.verify_segments(&mut verified, progress)?;
            self.verify_files(&mut verified)?;
        }
        let (durable, end) = (self.durable_end(), self.end_offset());
        if durable > end {
            let reason = format!("its durable end is {durable}, and it ends at {end}");
            verified.findings.push(Finding::damage(self.dir(), reason));
        }
        let findings = std::mem::take(&mut verified.findings);
        for finding in findings {
            // Damage that was known before, and found again.
            if !verified.findings.iter().any(|known| same(known, &finding)) {
                verified.findings.push(finding.of(self.id()));
            }
        }
        Ok(verified)
    }

    fn verify_segments(
        &self,
        verified: &mut Verified,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let (mut from, mut expected) = (0, 0);
        while let Some(segment) = self.next_segment(from, expected) {
            let looked = self.verify_segment(&segment, progress);
            let start = self.start_offset();
            if !self.has_segment(&segment) {
                continue;
            }
            let (looked, end) = looked?;
            expected = start.max(expected);
            if segment.base() > expected && !self.adopted {
                let file = FileKind::Log.path(self.dir(), expected);
                let reason = "the records were in it, and are not there";
                let lost = expected..segment.base();
                let missing = Finding::damage(&file, reason).losing(Some(lost));
                verified.findings.push(missing);
            }
            verified.add(looked);
            from = segment.base() + 1;
            // What was appended since, before it was finished, is behind the end at that time.
            expected = segment.seal().map_or(end, |seal| seal.end_offset.max(end));
        }
        Ok(())
    }

    /// The first segment that begins here or later, or that holds what is expected next: compaction may
    /// have merged the one that began there into another.
    fn next_segment(&self, from: u64, expected: Offset) -> Option<Arc<Segment>> {
        // A segment is on the list a moment before all of its files have their names.
        let _names_are_settled = self.removal.lock();
        let segments = self.segments();
        let is_next = |segment: &&Arc<Segment>| {
            let holds = segment
                .seal()
                .is_some_and(|seal| seal.end_offset > expected);
            segment.base() >= from || (holds && expected > 0)
        };
        segments.iter().find(is_next).map(Arc::clone)
    }

    fn has_segment(&self, segment: &Arc<Segment>) -> bool {
        let segments = self.segments();
        segments.iter().any(|known| Arc::ptr_eq(known, segment))
    }
}

/// True if both say the same of the same place.
fn same(known: &Finding, new: &Finding) -> bool {
    (&known.file, &known.offsets, known.severity) == (&new.file, &new.offsets, new.severity)
        && known.position.is_some() == new.position.is_some()
        && known.offsets.is_some()
}
