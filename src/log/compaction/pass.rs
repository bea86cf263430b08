//! One pass over a log.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::filter::{Filter, Outcome, Rules, Unreadable};
use super::offset_map::OffsetMap;
use super::output::{Cover, Output};
use super::plan::{Cleanable, SegmentFacts, groups, millis};
use super::transactions::Transactions;
use super::{Compacted, CompactionRequest};
use crate::error::{Error, Result};
use crate::format::batch::retain::{each_record, records_of};
use crate::format::batch::{BatchHeader, BatchView};
use crate::format::compression::{DecompressError, MAX_DECOMPRESSED_BYTES};
use crate::format::control::{ControlMarker, MarkerKind};
use crate::log::Log;
use crate::log::producer_state::LastBatches;
use crate::log::segment::Segment;
use crate::record::Offset;

/// See the module's description.
pub(super) struct Pass<'a> {
    pub(super) log: &'a Log,
    pub(super) request: &'a CompactionRequest<'a>,
    /// Those that may be compacted, the clean ones in front.
    pub(super) segments: &'a [Arc<Segment>],
    pub(super) facts: &'a [SegmentFacts],
    pub(super) cleanable: Cleanable,
    pub(super) stable_end: Offset,
    pub(super) producers: LastBatches,
}

impl Pass<'_> {
    pub(super) fn run(&self) -> Result<Compacted> {
        let transactions = self.transactions()?;
        let (map, until) = self.map(&transactions)?;
        let now = self.request.now;
        let rules = Rules {
            map: &map,
            until,
            transactions: &transactions,
            producers: &self.producers,
            now,
            horizon: now.saturating_add(millis(self.request.config.delete_retention_ms)),
        };
        let mut filter = Filter::new(rules, self.request.config.compression_levels());
        let covered = self.facts.partition_point(|facts| facts.base < until);
        let facts = &self.facts[..covered];
        let mut compacted = Compacted::default();
        let room = self.log.space.room();
        for group in groups(facts, self.request.config, room) {
            // Settling removes what is not committed, so it comes before there is anything.
            self.log.settle_again()?;
            let sources = &self.segments[group.clone()];
            let written = self.write(sources, &facts[group], &mut filter, until)?;
            compacted.segments_before += sources.len();
            compacted.segments_after += 1;
            compacted.bytes_before += written.0;
            compacted.bytes_after += written.1;
        }
        compacted.records = filter.kept_records;
        Ok(compacted)
    }

    /// What became of the transactions that have records below the first open one.
    fn transactions(&self) -> Result<Transactions> {
        let mut transactions = Transactions::default();
        let list = self.log.segments();
        for segment in list.iter().filter(|it| it.base() < self.stable_end) {
            let mut place = segment.first_place();
            while let Some(header) = segment.header_at(place.position)? {
                self.check_going_on()?;
                let marker = if header.attributes.is_control() {
                    marker(segment, place.position)?
                } else {
                    None
                };
                transactions.note(&header, marker);
                place = place.behind(&header);
            }
        }
        Ok(transactions)
    }

    /// The last offset of each key in the dirty part, and up to where the map knows of them.
    fn map(&self, transactions: &Transactions) -> Result<(OffsetMap, Offset)> {
        let from = self.cleanable.first_dirty_offset;
        let dirty = &self.facts[self.cleanable.first_dirty..];
        let keys = dirty
            .iter()
            .map(|facts| facts.end_offset - facts.base)
            .sum();
        let mut map = OffsetMap::new(self.request.memory, keys, self.request.hash_key);
        let (mut full, mut last) = (false, None);
        let mut decompressed = Vec::new();
        for segment in &self.segments[self.cleanable.first_dirty..] {
            self.each_batch(segment, |batch, position| {
                let header = batch.header();
                let is_data = !header.attributes.is_control()
                    && !transactions.has_aborted(header)
                    && header.last_offset() >= from;
                if !is_data {
                    return Ok(ControlFlow::Continue(()));
                }
                let records = records_of(batch, MAX_DECOMPRESSED_BYTES, &mut decompressed)
                    .map_err(|error| unreadable(segment, position, header, error))?;
                let seen = each_record(header, records, |offset, record| {
                    let Some(key) = record.key.filter(|_| !full && offset >= from) else {
                        return;
                    };
                    match map.put(key, offset) {
                        Ok(()) => last = Some(offset),
                        Err(_) => full = true,
                    }
                });
                seen.map_err(|invalid| segment.corrupt(position, invalid))?;
                Ok(if full {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            if full {
                break;
            }
        }
        let end = dirty.last().map_or(from, |facts| facts.end_offset);
        let until = match last {
            Some(last) if full => last + 1,
            _ => end,
        };
        Ok((map, until))
    }

    /// Writes what stays of consecutive segments, and puts it in their place. Returns the bytes before and
    /// after.
    fn write(
        &self,
        sources: &[Arc<Segment>],
        facts: &[SegmentFacts],
        filter: &mut Filter<'_>,
        until: Offset,
    ) -> Result<(u64, u64)> {
        let (Some(first), Some(last)) = (facts.first(), facts.last()) else {
            return Ok((0, 0));
        };
        let interval = self.request.config.index_interval_bytes;
        let log = self.log;
        let mut output = Output::create(&log.disk, &log.space, log.dir(), first.base, interval)?;
        let sealed_at = sources
            .iter()
            .filter_map(|it| it.seal())
            .map(|it| it.sealed_at);
        let cover = Cover {
            end_offset: last.end_offset,
            clean_until: until.min(last.end_offset),
            sealed_at: sealed_at.max().unwrap_or(self.request.now),
        };
        let swapped = self
            .copy(sources, filter, &mut output)
            .and_then(|()| output.finish(cover))
            .and_then(|finished| {
                self.check_going_on()?;
                let swapped = log.swap(sources, &finished)?;
                Ok(swapped.then_some(finished.seal.end_position))
            });
        if let Ok(Some(after)) = swapped {
            return Ok((facts.iter().map(|facts| facts.bytes).sum(), after));
        }
        // After a commit of which nobody knows how it went, a crash may leave its names.
        if log.compaction_failure().is_none() {
            output.discard();
        }
        // They were removed meanwhile: what is left is for another pass.
        swapped.and(Err(Error::Closed("segment")))
    }

    fn copy(
        &self,
        sources: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        output: &mut Output,
    ) -> Result<()> {
        for segment in sources {
            self.each_batch(segment, |batch, position| {
                let header = batch.header();
                let kept = filter.filter(batch).map_err(|error| match error {
                    Unreadable::Records(error) => unreadable(segment, position, header, error),
                    Unreadable::Other(error) => error,
                })?;
                match kept {
                    Outcome::Copy => output.push(batch.bytes())?,
                    Outcome::Write(bytes) => output.push(bytes)?,
                    Outcome::Drop => return Ok(ControlFlow::Continue(())),
                }
                if let Some(aborted) = filter.aborted_with_records(header) {
                    output.push_aborted(aborted);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// Shows all batches of a finished segment, checked, with their positions.
    fn each_batch(
        &self,
        segment: &Segment,
        mut see: impl FnMut(&BatchView<'_>, u64) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut place = segment.first_place();
        while place.position < segment.file().published() {
            self.check_going_on()?;
            let (header, bytes) = segment.read_batch(place.position, place.offset)?;
            self.request
                .pace
                .note(header.size.into(), self.request.bell);
            let batch = BatchView::parse(&bytes)
                .map_err(|invalid| segment.corrupt(place.position, invalid))?;
            if see(&batch, place.position)?.is_break() {
                return Ok(());
            }
            place = place.behind(&header);
        }
        let end = segment.seal().map(|seal| seal.end_offset);
        if place.offset < end && !segment.has_gaps() {
            let reason = "the segment lost its end";
            return Err(Error::missing(segment.path(), reason));
        }
        Ok(())
    }

    fn check_going_on(&self) -> Result<()> {
        if self.request.bell.is_stopped() {
            Err(Error::Closed("broker"))
        } else {
            Ok(())
        }
    }
}

/// What the control batch at `position` says.
fn marker(segment: &Segment, position: u64) -> Result<Option<MarkerKind>> {
    let (header, bytes) = segment.read_batch(position, None)?;
    let corrupt = |invalid| segment.corrupt(position, invalid);
    let batch = BatchView::parse(&bytes).map_err(corrupt)?;
    let mut decompressed = Vec::new();
    let records = records_of(&batch, MAX_DECOMPRESSED_BYTES, &mut decompressed)
        .map_err(|error| unreadable(segment, position, &header, error))?;
    let mut kind = None;
    each_record(&header, records, |_, record| {
        kind = Some(ControlMarker::parse(record.key, record.value));
    })
    .map_err(corrupt)?;
    let marker = kind.transpose().map_err(corrupt)?.flatten();
    Ok(marker.map(|marker| marker.kind))
}

fn unreadable(
    segment: &Segment,
    position: u64,
    header: &BatchHeader,
    error: DecompressError,
) -> Error {
    match error {
        DecompressError::Unsupported(codec) => Error::UnsupportedCompression { codec },
        DecompressError::Invalid(reason) => Error::corrupt(segment.path(), position, reason)
            .with_offsets(header.base_offset..header.next_offset()),
    }
}
