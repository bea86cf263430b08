//! Verification of a whole broker: reads everything again, and says what is not as it should be.
//!
//! Elsewhere: one partition ([`log::verify`](crate::log::verify)), what is stored of groups (`group`).

use std::fmt;

use super::{Broker, BrokerState, checkpoints, manifest_file};
use crate::error::{Error, Result};
use crate::group;
pub use crate::log::verify::{Finding, Severity};
use crate::partition::PartitionState;
use crate::record::TopicPartition;

/// What [`Broker::verify`] looked at, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Partitions that were read, internal ones (`__…`) included.
    pub partitions: u64,
    /// Their segments.
    pub segments: u64,
    /// Good batches.
    pub batches: u64,
    /// Records in them, markers of transactions included.
    pub records: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// What is not as it should be, in the order it was met.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// True if everything is as it should be.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// True if records cannot be read or trusted.
    pub fn has_damage(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.severity == Severity::Damage)
    }
}

/// For people: totals, and then one line for each finding.
impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} partitions, {} segments, {} batches, {} records, {} bytes: ",
            self.partitions, self.segments, self.batches, self.records, self.bytes
        )?;
        match self.findings.len() {
            0 => write!(f, "clean"),
            1 => write!(f, "1 finding"),
            count => write!(f, "{count} findings"),
        }?;
        self.findings
            .iter()
            .try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// How far a verification or a salvage has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// What is being read.
    pub partition: TopicPartition,
    /// Bytes read so far, of all partitions.
    pub bytes_done: u64,
    /// Bytes there were to read when it began. What is written meanwhile may be read in addition.
    pub bytes_total: u64,
}

impl Broker {
    /// Reads everything again, from all files of all partitions, and reports what is not as it should
    /// be. It changes nothing, and works beside appends, retention and consumers: each partition is
    /// verified up to its end at that time.
    ///
    /// Every batch is checked (CRC, records, also in compressed ones, offsets, leader epochs), and
    /// everything that is kept beside the batches is compared with them: seals, indexes, producer
    /// snapshots, committed offsets. It takes as long as reading the files takes. They are not mapped,
    /// so consumers keep what they have in reach.
    ///
    /// Damage is best answered by restoring a copy; [`salvage`](crate::salvage()) keeps what is good.
    ///
    /// ```
    /// # fn main() -> streamlog::Result<()> {
    /// use streamlog::{Broker, Record, TopicConfig};
    ///
    /// let broker = Broker::in_memory();
    /// let topic = broker.create_topic("orders", TopicConfig::default())?;
    /// topic.partition(0)?.append(&[Record::value_only("an order")])?;
    ///
    /// let report = broker.verify()?;
    /// assert!(report.is_clean(), "{report}");
    /// assert_eq!((report.partitions, report.records), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Closed`, and what the disk says. What is wrong with the files is no error.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(|_| {})
    }

    /// As [`verify`](Self::verify); `progress` is called about once a MiB.
    pub fn verify_with(&self, progress: impl FnMut(&VerifyProgress)) -> Result<VerifyReport> {
        self.state.check_open()?;
        self.state.verify(progress)
    }
}

impl BrokerState {
    pub(super) fn verify(&self, mut progress: impl FnMut(&VerifyProgress)) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let partitions = self.partitions();
        let bytes = partitions
            .iter()
            .map(|partition| partition.log().size_bytes());
        let mut done = 0;
        let total = bytes.sum();
        for partition in &partitions {
            let mut told = VerifyProgress {
                partition: partition.id().clone(),
                bytes_done: done,
                bytes_total: total,
            };
            progress(&told);
            let verified = partition.log().verify(&mut |more| {
                told.bytes_done += more;
                told.bytes_total = told.bytes_total.max(told.bytes_done);
                progress(&told);
            });
            done = told.bytes_done;
            if self.is_gone(partition) {
                // Deleted meanwhile.
                continue;
            }
            let verified = verified?;
            report.partitions += 1;
            report.segments += verified.segments;
            report.batches += verified.batches;
            report.records += verified.records;
            report.bytes += verified.bytes;
            report.findings.extend(verified.findings);
        }
        report.findings.extend(group::verify::verify(self)?);
        self.verify_own_files(&mut report)?;
        Ok(report)
    }

    fn is_gone(&self, partition: &PartitionState) -> bool {
        let topic = self.topic(partition.id().topic());
        let present = topic.and_then(|topic| topic.partition(partition.id().partition()));
        !present.is_ok_and(|present| std::ptr::eq(&raw const *present, partition))
    }

    fn verify_own_files(&self, report: &mut VerifyReport) -> Result<()> {
        match manifest_file::load(&*self.disk, &self.root) {
            Ok(_) => {}
            Err(error @ (Error::Corrupt { .. } | Error::UnsupportedFormat { .. })) => {
                let finding = Finding::of_error(&error, &self.root.join(manifest_file::MANIFEST));
                report.findings.push(finding);
            }
            Err(error) => return Err(error),
        }
        let malformed = checkpoints::malformed(&*self.disk, &self.root)?;
        let malformed = malformed.iter();
        report
            .findings
            .extend(malformed.map(|(path, reason)| Finding::derived(path, *reason)));
        Ok(())
    }
}
