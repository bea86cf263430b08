//! What stays of a batch, and in which form.
//!
//! ```text
//!   a record      stays if no later one has its key, and it is no tombstone whose time is over
//!   a transaction that was aborted loses its records; its marker goes when they are gone, after a time
//!   a batch       without records stays as a header if its producer's sequence or the end depends on it
//! ```
//!
//! Elsewhere: how a batch loses records ([`retain`](crate::format::batch::retain)), which record of a key
//! is the last ([`OffsetMap`](super::offset_map)).

use std::collections::HashMap;

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::error::Result;
use crate::format::batch::retain::{Horizon, Retained, Retainer, emptied, records_of};
use crate::format::batch::{BatchHeader, BatchView, HEADER_LEN};
use crate::format::compression::{DecompressError, Levels, MAX_DECOMPRESSED_BYTES};
use crate::format::index_entry::AbortedTransaction;
use crate::log::producer_state::LastBatches;
use crate::record::{Offset, Timestamp};

/// What one pass goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) map: &'a OffsetMap,
    /// Records from here on stay as they are: the map knows nothing of them.
    pub(super) until: Offset,
    pub(super) transactions: &'a Transactions,
    pub(super) producers: &'a LastBatches,
    pub(super) now: Timestamp,
    /// When tombstones may go that are met for the first time.
    pub(super) horizon: Timestamp,
}

/// What to do with a batch.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Copy,
    Write(&'a [u8]),
    Drop,
}

/// Why the records of a batch cannot be looked at.
#[derive(Debug)]
pub(super) enum Unreadable {
    Records(DecompressError),
    Other(crate::Error),
}

impl From<crate::Error> for Unreadable {
    fn from(error: crate::Error) -> Self {
        Self::Other(error)
    }
}

/// See the module's description. Batches come in the order of the log.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    rules: Rules<'a>,
    /// Whether records are left of what each producer has open.
    open: HashMap<i64, bool>,
    retainer: Retainer,
    decompressed: Vec<u8>,
    header: [u8; HEADER_LEN],
    /// Records that stayed.
    pub(super) kept_records: u64,
}

impl<'a> Filter<'a> {
    pub(super) fn new(rules: Rules<'a>, levels: Levels) -> Self {
        Self {
            rules,
            open: HashMap::new(),
            retainer: Retainer::at(levels),
            decompressed: Vec::new(),
            header: [0; HEADER_LEN],
            kept_records: 0,
        }
    }

    pub(super) fn filter(&mut self, batch: &BatchView<'_>) -> Result<Outcome<'_>, Unreadable> {
        let header = batch.header();
        if header.attributes.is_control() {
            return self.filter_marker(batch);
        }
        if header.base_offset >= self.rules.until {
            self.note_data(header, header.records_count);
            return Ok(Outcome::Copy);
        }
        let Rules { map, until, .. } = self.rules;
        let is_aborted = self.rules.transactions.has_aborted(header);
        let tombstones_go = is_over(header, self.rules.now);
        let records = records_of(batch, MAX_DECOMPRESSED_BYTES, &mut self.decompressed)
            .map_err(Unreadable::Records)?;
        let horizon = Horizon {
            time: self.rules.horizon,
            always: false,
        };
        let retained = self
            .retainer
            .retain(header, records, horizon, |offset, record| {
                let may_stay = record.value.is_some() || !tombstones_go;
                let is_last = |key| map.get(key).is_none_or(|last| offset >= last);
                offset >= until || (!is_aborted && may_stay && record.key.is_some_and(is_last))
            })?;
        let (outcome, count) = match retained {
            Retained::Whole if header.records_count > 0 => (Outcome::Copy, header.records_count),
            Retained::Rewritten(bytes, count) => (Outcome::Write(bytes), count),
            Retained::Whole | Retained::Nothing => {
                let stays = self.rules.needs(header);
                (without_records(stays, header, &mut self.header), 0)
            }
        };
        self.kept_records += u64::from(count);
        if header.attributes.is_transactional() {
            *self.open.entry(header.producer_id).or_default() |= count > 0;
        }
        Ok(outcome)
    }

    /// If the batch that was filtered last is the marker of an aborted transaction that has records left:
    /// readers of committed records have to be told.
    pub(super) fn aborted_with_records(&self, header: &BatchHeader) -> Option<AbortedTransaction> {
        if !header.attributes.is_control() {
            return None;
        }
        let entry = self.rules.transactions.aborted_at(header.last_offset())?;
        (entry.last_offset >= self.rules.until).then_some(entry)
    }

    fn note_data(&mut self, header: &BatchHeader, count: u32) {
        self.kept_records += u64::from(count);
        if header.attributes.is_transactional() {
            *self.open.entry(header.producer_id).or_default() |= count > 0;
        }
    }

    /// A marker stays while its transaction has records, and `delete.retention.ms` beyond.
    fn filter_marker(&mut self, batch: &BatchView<'_>) -> Result<Outcome<'_>, Unreadable> {
        let header = batch.header();
        let has_data = self.open.remove(&header.producer_id).unwrap_or(false);
        if has_data || header.base_offset >= self.rules.until {
            return Ok(Outcome::Copy);
        }
        if is_over(header, self.rules.now) || header.records_count == 0 {
            let stays = self.rules.needs(header);
            return Ok(without_records(stays, header, &mut self.header));
        }
        let records = records_of(batch, MAX_DECOMPRESSED_BYTES, &mut self.decompressed)
            .map_err(Unreadable::Records)?;
        let horizon = Horizon {
            time: self.rules.horizon,
            always: true,
        };
        let retained = self
            .retainer
            .retain(header, records, horizon, |_, _| true)?;
        Ok(match retained {
            Retained::Rewritten(bytes, _) => Outcome::Write(bytes),
            Retained::Whole | Retained::Nothing => Outcome::Copy,
        })
    }
}

impl Rules<'_> {
    /// True if something depends on the batch even without its records: it is the last of a producer that
    /// may go on, or the end of what is compacted.
    fn needs(&self, header: &BatchHeader) -> bool {
        self.producers.has(header) || header.next_offset() == self.until
    }
}

/// True if the tombstones of a batch, or the marker that it is, have stayed long enough.
fn is_over(header: &BatchHeader, now: Timestamp) -> bool {
    header
        .delete_horizon()
        .is_some_and(|horizon| now >= horizon)
}

fn without_records<'a>(
    stays: bool,
    header: &BatchHeader,
    space: &'a mut [u8; HEADER_LEN],
) -> Outcome<'a> {
    if stays {
        *space = emptied(header);
        Outcome::Write(space)
    } else {
        Outcome::Drop
    }
}
