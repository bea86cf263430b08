//! The small files of a partition.

use std::path::Path;

use super::{Finding, Verified};
use crate::disk::read_file;
use crate::error::{Error, Result};
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::index_entry::AbortedTransaction;
use crate::format::metadata::PartitionMetadata;
use crate::format::{producer_snapshot, waypoint};
use crate::log::Log;
use crate::log::names::FileKind;
use crate::log::writer::EPOCH_FILE;
use crate::record::Offset;

/// Producer snapshots are the largest: 46 bytes a producer.
const LARGEST: usize = 64 << 20;

impl Log {
    pub(super) fn verify_files(&self, verified: &mut Verified) -> Result<()> {
        let entries = self
            .disk()
            .list(self.dir())
            .map_err(|error| Error::io("list", self.dir(), error))?;
        let files = entries.iter().filter(|entry| !entry.is_dir);
        for (base, kind) in files.filter_map(|entry| FileKind::parse(&entry.name)) {
            if let Some(finding) = self.verify_file(base, kind)? {
                verified.findings.push(finding);
            }
        }
        verified.findings.extend(self.verify_epochs()?);
        verified.findings.extend(self.verify_metadata()?);
        Ok(())
    }

    fn verify_file(&self, base: Offset, kind: FileKind) -> Result<Option<Finding>> {
        let path = kind.path(self.dir(), base);
        let decoded = match kind {
            FileKind::ProducerSnapshot => {
                let Some(bytes) = self.small_file(&path)? else {
                    return Ok(None);
                };
                if base > self.end_offset() {
                    let reason = "it is of an offset behind the end of the log";
                    return Ok(Some(Finding::derived(&path, reason)));
                }
                producer_snapshot::decode(&bytes).map(drop)
            }
            FileKind::Waypoint => {
                let Some(bytes) = self.small_file(&path)? else {
                    return Ok(None);
                };
                waypoint::decode(&bytes).map(drop)
            }
            FileKind::TransactionIndex => {
                let Some(bytes) = self.small_file(&path)? else {
                    return Ok(None);
                };
                let (entries, rest) = bytes.as_chunks::<{ AbortedTransaction::LEN }>();
                let mut decoded = entries.iter().map(AbortedTransaction::decode);
                let bad = decoded.any(|entry| entry.is_err()) || !rest.is_empty();
                return Ok(bad.then(|| Finding::derived(&path, "it is malformed")));
            }
            FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::Seal => {
                // Files that were there when the directory was listed may have gone with their segment.
                let _names_are_settled = self.removal.lock();
                if self.small_file(&path)?.is_none() {
                    return Ok(None);
                }
                let segments = self.segments();
                let first = segments.first().map_or(0, |segment| segment.base());
                let is_ours = segments.iter().any(|segment| segment.base() == base);
                let is_strange = base > first && !is_ours && !self.adopted;
                let reason = "there is no segment that it belongs to";
                return Ok(is_strange.then(|| Finding::derived(&path, reason)));
            }
            FileKind::Log | FileKind::Stage => return Ok(None),
        };
        Ok(decoded
            .err()
            .map(|invalid| Finding::derived(&path, invalid.reason).at(invalid.at as u64)))
    }

    fn verify_epochs(&self) -> Result<Option<Finding>> {
        let path = self.dir().join(EPOCH_FILE);
        // It is replaced before the epoch shows.
        let known = self.epochs.load_full();
        let stored = self.small_file(&path)?;
        let entries = match stored.as_deref().map(EpochCheckpoint::decode) {
            Some(Ok(entries)) => entries,
            Some(Err(invalid)) => {
                let finding = Finding::derived(&path, invalid.reason);
                return Ok(Some(finding.at(invalid.at as u64)));
            }
            None if known.entries().is_empty() => return Ok(None),
            None => return Ok(Some(Finding::derived(&path, "it is missing"))),
        };
        let is_same = entries.starts_with(known.entries());
        Ok((!is_same).then(|| Finding::derived(&path, "its epochs are not those of the log")))
    }

    fn verify_metadata(&self) -> Result<Option<Finding>> {
        let path = self.dir().join("partition.metadata");
        let stored = self.small_file(&path)?;
        let reason = match stored.as_deref().map(PartitionMetadata::decode) {
            Some(Ok(metadata)) if metadata.topic_id == self.durable_slot().topic() => {
                return Ok(None);
            }
            Some(Ok(_)) => "it is of another topic",
            Some(Err(invalid)) => invalid.reason,
            None => "it is missing",
        };
        Ok(Some(Finding::derived(&path, reason)))
    }

    /// `None` if it is not there; one that is too large has nothing in it.
    fn small_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        match read_file(self.disk(), path, LARGEST) {
            Err(Error::Corrupt { .. }) => Ok(Some(Vec::new())),
            other => other,
        }
    }
}
