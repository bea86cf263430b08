//! Which transactions of a log were aborted: compaction drops their records, and other records of the
//! same keys stay for it.
//!
//! The log itself says so: its ABORT markers, each of which ends what its producer has open.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::format::batch::BatchHeader;
use crate::format::control::MarkerKind;
use crate::format::index_entry::AbortedTransaction;
use crate::record::Offset;

/// Aborted transactions, as far as the log was looked at.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Where each open transaction began, by producer.
    open: HashMap<i64, Offset>,
    /// From the first record to the marker, in order, by producer.
    aborted: HashMap<i64, Vec<RangeInclusive<Offset>>>,
    /// The same, in order of their markers.
    entries: Vec<AbortedTransaction>,
}

impl Transactions {
    /// Takes note of the next batch of the log; of a control batch with what it says.
    pub(super) fn note(&mut self, header: &BatchHeader, marker: Option<MarkerKind>) {
        let producer = header.producer_id;
        if !header.attributes.is_control() {
            if header.attributes.is_transactional() && header.records_count > 0 {
                self.open.entry(producer).or_insert(header.base_offset);
            }
            return;
        }
        let (Some(kind), Some(first)) = (marker, self.open.remove(&producer)) else {
            return;
        };
        if kind == MarkerKind::Abort {
            let last_offset = header.last_offset();
            let others = self.open.values().copied().min();
            let ranges = self.aborted.entry(producer).or_default();
            ranges.push(first..=last_offset);
            self.entries.push(AbortedTransaction {
                producer_id: producer,
                first_offset: first,
                last_offset,
                last_stable_offset: others.unwrap_or(last_offset + 1),
            });
        }
    }

    /// True if the batch is data of an aborted transaction.
    pub(super) fn has_aborted(&self, header: &BatchHeader) -> bool {
        if !header.attributes.is_transactional() || self.entries.is_empty() {
            return false;
        }
        self.aborted.get(&header.producer_id).is_some_and(|ranges| {
            let behind = ranges.partition_point(|range| *range.start() <= header.base_offset);
            behind
                .checked_sub(1)
                .and_then(|at| ranges.get(at))
                .is_some_and(|range| range.contains(&header.base_offset))
        })
    }

    /// The entry of the transaction that a marker at this offset aborted.
    pub(super) fn aborted_at(&self, marker: Offset) -> Option<AbortedTransaction> {
        let found = self
            .entries
            .binary_search_by_key(&marker, |entry| entry.last_offset);
        found.ok().map(|at| self.entries[at])
    }
}
