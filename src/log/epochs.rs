//! Leader epochs: which part of the log was written between which opens.
//!
//! Every unclean open starts a new epoch, and each batch carries the epoch it was written in. So a
//! consumer's position that belongs to a suffix which a power loss took is told from one that is
//! still good: its epoch ends below it (KIP-101, KIP-320).

use crate::format::checkpoint::EpochEntry;
use crate::record::Offset;

/// The epochs of one partition, oldest first; epochs and start offsets both rise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Epochs {
    entries: Vec<EpochEntry>,
}

impl Epochs {
    pub(crate) fn new(entries: Vec<EpochEntry>) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        epochs
    }

    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<i32> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` starts at `start_offset`; true if that was news. Later or equal entries,
    /// of a history that was cut off, are dropped.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: Offset) -> bool {
        if self
            .entries
            .last()
            .is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset)
        {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
        true
    }

    /// The epoch of the batch at `offset`; `None` if it is not known.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<i32> {
        let behind = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        behind.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Where the epoch of the batch at `offset` ends; `None` if no later epoch is known.
    pub(crate) fn next_start(&self, offset: Offset) -> Option<Offset> {
        let behind = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(behind).map(|entry| entry.start_offset)
    }

    /// One past the last offset of `epoch` (or of the latest epoch before it): the start of the next
    /// one, or the log's end.
    pub(crate) fn end_of(&self, epoch: i32, log_end: Offset) -> Offset {
        let behind = self.entries.partition_point(|entry| entry.epoch <= epoch);
        self.entries
            .get(behind)
            .map_or(log_end, |next| next.start_offset.min(log_end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, u64)]) -> Epochs {
        Epochs::new(
            entries
                .iter()
                .map(|&(epoch, start_offset)| EpochEntry {
                    epoch,
                    start_offset,
                })
                .collect(),
        )
    }

    #[test]
    fn a_position_beyond_its_epoch_is_noticed() {
        let epochs = epochs(&[(0, 0), (3, 10), (4, 25)]);
        assert_eq!(epochs.end_of(0, 40), 10);
        assert_eq!(
            epochs.end_of(1, 40),
            10,
            "an epoch without records ends where the next begins"
        );
        assert_eq!(epochs.end_of(4, 40), 40);
        assert_eq!(epochs.end_of(9, 40), 40);
        assert_eq!(
            (epochs.epoch_at(9), epochs.epoch_at(10), epochs.epoch_at(99)),
            (Some(0), Some(3), Some(4))
        );
        assert_eq!(
            (
                epochs.next_start(9),
                epochs.next_start(10),
                epochs.next_start(25)
            ),
            (Some(10), Some(25), None)
        );
    }

    #[test]
    fn a_new_epoch_replaces_the_history_it_overwrites() {
        let mut epochs = epochs(&[(0, 0), (1, 10)]);
        assert!(!epochs.assign(1, 12), "going on in an epoch is no news");
        assert!(epochs.assign(2, 10));
        assert_eq!(
            epochs.entries(),
            &[
                EpochEntry {
                    epoch: 0,
                    start_offset: 0
                },
                EpochEntry {
                    epoch: 2,
                    start_offset: 10
                }
            ]
        );
        assert_eq!(
            epochs.end_of(0, 5),
            5,
            "the log was cut below the start of its last epoch"
        );
    }
}
