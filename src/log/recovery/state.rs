//! What a log remembers beside its records: leader epochs and producers.

use super::{Recovery, read_small};
use crate::disk::replace_file;
use crate::error::Result;
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::producer_snapshot;
use crate::log::epochs::Epochs;
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::tail::{self, Floor};
use crate::log::writer::EPOCH_FILE;

impl Recovery<'_> {
    /// A lost or bad epoch file is made again from the batches, which is why it must not be guessed.
    pub(super) fn load_epochs(&mut self) -> Result<()> {
        let path = self.request.dir.join(EPOCH_FILE);
        let stored = read_small(self.disk, &path)?;
        let decoded = stored
            .as_deref()
            .and_then(|bytes| EpochCheckpoint::decode(bytes).ok());
        if let Some(entries) = decoded {
            self.epochs = Epochs::new(entries);
            return Ok(());
        }
        let has_batches = self
            .files
            .iter()
            .any(|(_, kind, len)| *kind == FileKind::Log && *len > 0);
        if !has_batches && stored.is_none() {
            return Ok(());
        }
        for base in self.bases.clone() {
            let (file, len) = self.open_log_file(base)?;
            let mut found = Vec::new();
            let floor = Floor::default();
            tail::walk(
                &file,
                self.plan(base, len, floor),
                &mut Epochs::default(),
                |header| {
                    found.push((header.leader_epoch, header.base_offset));
                },
            )?;
            for (epoch, offset) in found {
                self.epochs.assign(epoch, offset);
            }
        }
        replace_file(
            self.disk,
            &path,
            &EpochCheckpoint::encode(self.epochs.entries()),
        )?;
        self.report.rebuilt.push(path);
        Ok(())
    }

    /// Takes the newest good snapshot; the batches behind it are added as segments are walked.
    pub(super) fn load_producers(&mut self) -> Result<()> {
        let snapshots: Vec<_> = self
            .files
            .iter()
            .filter(|(_, kind, _)| *kind == FileKind::ProducerSnapshot)
            .map(|(offset, ..)| *offset)
            .collect();
        for &offset in snapshots.iter().rev() {
            let bytes = read_small(self.disk, &self.path(offset, FileKind::ProducerSnapshot))?
                .unwrap_or_default();
            if let Ok(entries) = producer_snapshot::decode(&bytes) {
                self.producers = ProducerState::from_snapshot(&entries);
                self.producers_until = offset;
                return Ok(());
            }
        }
        Ok(())
    }
}
