//! Where the walk of the last segment may start after a crash: at its waypoint, if what the waypoint says
//! agrees with the files and with the durable end. If anything does not, the walk starts at the first
//! byte, as if there were none.

use super::{Recovery, read_small};
use crate::disk::remove_if_present;
use crate::error::Result;
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::durable_end::Slot;
use crate::format::seal::FrameDigest;
use crate::format::waypoint::{self, Waypoint};
use crate::log::index::{IndexBuilder, SegmentIndex};
use crate::log::names::FileKind;
use crate::log::producer_state::ProducerState;
use crate::log::segment::Segment;
use crate::log::tail::{self, WalkPlan, Walked};
use crate::log::writer::first_frame;

impl Recovery<'_> {
    /// Looks for the last segment's waypoint, and removes those of others.
    ///
    /// A waypoint is a bound of what is on the device as much as the durable end: after a power loss it
    /// may be the higher one.
    pub(super) fn load_waypoint(&mut self) {
        let last = self.bases.last().copied();
        for (base, _) in self.files.iter().filter(|it| it.1 == FileKind::Waypoint) {
            if Some(*base) != last {
                // It is in nobody's way; the next open tries again.
                let _ = remove_if_present(self.disk, &self.path(*base, FileKind::Waypoint));
            }
        }
        let Some(base) = last.filter(|_| !self.is_clean()) else {
            return;
        };
        self.waypoint = self.read_waypoint(base);
        if let Some(waypoint) = &self.waypoint
            && waypoint.end_offset > self.former_end
        {
            self.former_end = waypoint.end_offset;
            self.slot = Some(Slot {
                generation: 0,
                topic_id: waypoint.topic_id,
                partition: waypoint.partition,
                segment_base: waypoint.segment_base,
                position: waypoint.position,
                end_offset: waypoint.end_offset,
                flags: 0,
                digest: waypoint.digest,
                index_digest: 0,
            });
        }
    }

    /// One that cannot be read, or is another's, counts as lost.
    fn read_waypoint(&self, base: u64) -> Option<Waypoint> {
        if !self.has(base, FileKind::Waypoint) {
            return None;
        }
        let bytes = read_small(self.disk, &self.path(base, FileKind::Waypoint)).ok()??;
        let found = waypoint::decode(&bytes).ok()?;
        let (topic_id, partition) = (self.request.topic_id, self.request.id.partition());
        let is_ours = (found.topic_id, found.partition) == (topic_id, partition);
        (is_ours && found.segment_base == base).then_some(found)
    }

    /// What is known of a segment before it is walked: everything up to the durable end if there is a
    /// good waypoint, else nothing.
    pub(super) fn walked_so_far(&mut self, segment: &Segment, plan: WalkPlan) -> Walked {
        // An error is met again by whoever reads there.
        match self.resume(segment, plan) {
            Ok(Some((walked, producers))) => {
                self.producers_until = walked.next_offset;
                self.producers = producers;
                self.resumed = true;
                walked
            }
            Ok(None) | Err(_) => Walked::nothing(plan),
        }
    }

    /// Walks the frames from the waypoint to the durable end, which has a digest of all frames so far:
    /// if they lead there, everything the waypoint said was right.
    fn resume(&self, segment: &Segment, plan: WalkPlan) -> Result<Option<(Walked, ProducerState)>> {
        let file = segment.file();
        let of_segment = |slot: &Slot| slot.segment_base == plan.base;
        let (Some(waypoint), Some(slot)) = (&self.waypoint, self.slot.filter(of_segment)) else {
            return Ok(None);
        };
        let (from, to) = (u64::from(waypoint.position), u64::from(slot.position));
        let mut first = [0; HEADER_LEN];
        let is_there = from > 0 && from <= to && to <= plan.len;
        if !is_there || file.read(&mut first, 0)? < HEADER_LEN {
            return Ok(None);
        }
        let Ok(first) = BatchHeader::parse(&first) else {
            return Ok(None);
        };
        let index = SegmentIndex::load_prefix(
            self.disk,
            (
                &self.path(plan.base, FileKind::OffsetIndex),
                waypoint.offset_index,
            ),
            (
                &self.path(plan.base, FileKind::TimeIndex),
                waypoint.time_index,
            ),
            from,
        )?;
        let Some(index) = index.filter(|_| {
            first.base_offset == plan.base
                && first_frame(file).is_ok_and(|frame| frame == waypoint.first_frame)
        }) else {
            return Ok(None);
        };
        let walked = Walked {
            builder: IndexBuilder::resume_at(plan.index_interval, &index, from, waypoint.largest),
            index,
            digest: FrameDigest::resume(waypoint.digest),
            position: from,
            next_offset: waypoint.end_offset,
            batches: waypoint.batches,
            first_timestamp: Some(first.max_timestamp),
            ..Walked::nothing(plan)
        };
        let mut producers = ProducerState::from_waypoint(&waypoint.producers);
        let plan = WalkPlan { len: to, ..plan };
        // Frames alone teach nothing of epochs.
        let epochs = &mut self.epochs.clone();
        let see = |header: &BatchHeader| producers.record(header);
        let walked = tail::walk(file, plan, walked, epochs, see, |_| Ok(None))?;
        let agrees = walked.damage.is_empty()
            && walked.torn.is_none()
            && (walked.position, walked.next_offset) == (to, slot.end_offset)
            && walked.digest.value() == slot.digest;
        Ok(agrees.then_some((walked, producers)))
    }
}
