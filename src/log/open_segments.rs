//! Bounds what the segments of a broker hold of the operating system: maps and descriptors.
//!
//! A segment that is read gets a map, and keeps it for the next reader. When more have one than may, those
//! that nobody has read for the longest time lose it, and with it the index that was loaded for them
//! (*second chance*: a segment that was read since it was looked at last is passed over once). What
//! readers hold stays mapped until they let it go, and a segment that is read again is mapped again.
//!
//! Reading costs one look at a flag that only changes when a segment comes into question: no reader
//! writes what others read.
//!
//! Elsewhere: which files are open ([`handles`](crate::disk::handles)), and when the writer gives its
//! own back ([`Writer::let_go_if_idle`](super::writer::Writer)).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::name_guard::NameGuard;
use super::segment::Segment;
use crate::disk::handles::OpenFiles;

/// See the module's description. One for each broker.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    files: Arc<OpenFiles>,
    names: NameGuard,
    max_mapped: usize,
    /// Those with a map, the one to be looked at first in front.
    mapped: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenSegments {
    pub(crate) fn new(max_mapped: usize, max_files: usize) -> Self {
        Self {
            files: Arc::new(OpenFiles::new(max_files)),
            names: NameGuard::default(),
            max_mapped: max_mapped.max(1),
            mapped: Mutex::default(),
        }
    }

    /// The count of open files.
    pub(crate) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    /// The guard of the names of all segments' files.
    pub(crate) fn names(&self) -> &NameGuard {
        &self.names
    }

    /// Takes in a segment that was mapped just now; others may have to go for it.
    fn add(&self, segment: Weak<Segment>) {
        let mut surplus = Vec::new();
        {
            let mut mapped = self.mapped.lock();
            mapped.push_back(segment);
            // All of them may have been read since: the second look takes one.
            let mut looks = 2 * mapped.len();
            while mapped.len() > self.max_mapped && looks > 0 {
                looks -= 1;
                let Some(next) = mapped.pop_front() else {
                    break;
                };
                let Some(segment) = next.upgrade() else {
                    continue;
                };
                if segment.usage().is_spared() {
                    mapped.push_back(next);
                } else {
                    surplus.push(segment);
                }
            }
        }
        for segment in surplus {
            segment.unmap();
        }
    }
}

/// Whether a segment counts as mapped, and whether it was read lately.
#[derive(Debug, Default)]
pub(super) struct Usage {
    state: AtomicU8,
    /// Where it is counted; nowhere while it is being recovered.
    home: Option<(Weak<Segment>, Arc<OpenSegments>)>,
}

/// Not counted.
const CLOSED: u8 = 0;
/// Counted, and not read since it was looked at.
const IDLE: u8 = 1;
/// Counted, and read since.
const USED: u8 = 2;

impl Usage {
    pub(super) fn at_home(segment: &Weak<Segment>, open: &Arc<OpenSegments>) -> Self {
        Self {
            state: AtomicU8::new(CLOSED),
            home: Some((Weak::clone(segment), Arc::clone(open))),
        }
    }

    /// After each look at the map: who unmaps a segment says so first, so one that was mapped again since
    /// is counted again.
    #[inline]
    pub(super) fn note(&self) {
        if self.state.load(Ordering::Relaxed) != USED {
            self.note_first();
        }
    }

    #[cold]
    fn note_first(&self) {
        if let Some((segment, open)) = &self.home
            && self.state.swap(USED, Ordering::AcqRel) == CLOSED
        {
            open.add(Weak::clone(segment));
        }
    }

    /// True, once, if the segment was read since the last look; else it is not counted any more.
    fn is_spared(&self) -> bool {
        let step = |state| Some(if state == USED { IDLE } else { CLOSED });
        let before = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        before == Ok(USED)
    }
}
