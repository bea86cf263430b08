//! What a log remembers beside its records: leader epochs and producers.

use super::{Recovery, read_small};
use crate::disk::replace_file;
use crate::error::Result;
use crate::format::batch::BatchHeader;
use crate::format::checkpoint::EpochCheckpoint;
use crate::format::producer_snapshot;
use crate::log::epochs::Epochs;
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::scan::{Check, Scanner};
use crate::log::writer::EPOCH_FILE;

impl Recovery<'_> {
    /// A lost or bad epoch file is made again from the batches, which is why it must not be guessed.
    pub(super) fn load_epochs(&mut self) -> Result<()> {
        let path = self.request.dir.join(EPOCH_FILE);
        let stored = read_small(self.disk, &path).unwrap_or(Some(Vec::new()));
        let decoded = stored
            .as_deref()
            .and_then(|bytes| EpochCheckpoint::decode(bytes).ok());
        let has_batches = self.logs.iter().any(|log| log.len > 0);
        if let Some(entries) = decoded {
            self.epochs = Epochs::new(entries);
            if !has_batches || self.request.adopted || self.epochs_fit()? {
                return Ok(());
            }
        } else if !has_batches && stored.is_none() {
            return Ok(());
        }
        self.epochs = self.epochs_of_batches()?;
        let bytes = EpochCheckpoint::encode(self.epochs.entries());
        // Without it the next open looks again.
        if replace_file(self.disk, &path, &bytes).is_ok() {
            self.report.rebuilt.push(path);
        }
        Ok(())
    }

    /// True if the batches of the last segment that has any, those that are staged for it included, have
    /// the epochs that are written down. A single batch may be damaged: what most say counts.
    fn epochs_fit(&self) -> Result<bool> {
        for log in self.logs.iter().rev() {
            let agrees = |header: &BatchHeader| {
                self.epochs.epoch_at(header.base_offset) == Some(header.leader_epoch)
            };
            // As a rule one look is enough.
            if log.header().is_some_and(|header| agrees(&header)) {
                return Ok(true);
            }
            let file = self.open_log_file(log.base)?;
            let mut scanner = Scanner::new(&file, 0, log.len);
            let mut agreement = self.staged_agreement(log.base, agrees)?;
            while let Some(Ok((header, _))) = scanner.next(Check::Crc)? {
                agreement += if agrees(&header) { 1 } else { -1 };
                if agreement > 0 {
                    break;
                }
            }
            if agreement != 0 {
                return Ok(agreement > 0);
            }
        }
        Ok(true)
    }

    /// What the batches say, as far as they are good.
    fn epochs_of_batches(&self) -> Result<Epochs> {
        let mut epochs = Epochs::default();
        for log in &self.logs {
            let file = self.open_log_file(log.base)?;
            let mut scanner = Scanner::new(&file, 0, log.len);
            while let Some(Ok((header, _))) = scanner.next(Check::Crc)? {
                if epochs
                    .latest()
                    .is_none_or(|latest| header.leader_epoch >= latest)
                {
                    epochs.assign(header.leader_epoch, header.base_offset);
                }
            }
        }
        Ok(epochs)
    }

    /// Takes the newest good snapshot; the batches behind it are added as segments are walked.
    pub(super) fn load_producers(&mut self) {
        let snapshots: Vec<_> = self
            .files
            .iter()
            .filter(|(_, kind)| *kind == FileKind::ProducerSnapshot)
            .map(|(offset, ..)| *offset)
            .collect();
        for &offset in snapshots.iter().rev() {
            let path = self.path(offset, FileKind::ProducerSnapshot);
            // One that cannot be read is as good as none.
            let bytes = read_small(self.disk, &path)
                .ok()
                .flatten()
                .unwrap_or_default();
            if let Ok(entries) = producer_snapshot::decode(&bytes) {
                self.producers = ProducerState::from_snapshot(&entries);
                self.producers_until = offset;
                return;
            }
        }
    }
}
