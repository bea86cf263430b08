//! A staging area: small writes gather in mapped memory, and reach their file in one system call.
//!
//! ```text
//!   file    0 ─────────────── start ─────── flushed
//!   stage                     start ─────── flushed ─────── end          (a part of the stage)
//!                                                            └ the next write goes here
//! ```
//! The memory is that of a file, so what is stored in it survives this process, though not the machine:
//! as much as a write to the file itself does, at the cost of a copy. The same few parts are used again
//! and again, so they stay in memory, whatever state the rest of it is in.
//!
//! Invariants:
//! * The file holds all bytes below `start`; readers look there for those, and in the stage for the rest.
//! * A part is filled from both ends: bytes from the front, and a mark for each addition from the back,
//!   stored after it. It is filled anew only when nobody else holds its map: the one place that decides
//!   so is an [`Arc::get_mut`].
//!
//! Elsewhere: what a part's header says (`format::stage`), when to stage and to flush (`log::staging`),
//! what becomes of it after a crash (`log::recovery::staged`).
#![allow(
    unsafe_code,
    reason = "stores into a map are sound because of the ends kept here"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use super::map::Map;
use super::{AppendFile, Disk, OpenMode, remove_if_present, write_all_at};
use crate::error::Result;

/// Bytes of a part: its header, and room for writes. One flush then writes what a Linux kernel reads
/// ahead or maps around a fault in one go, and the cost of the system call does not show any more.
pub(crate) const STAGE_LEN: usize = 64 << 10;

/// Bytes of a mark.
const MARK_LEN: usize = 4;

/// More parts than these are only made by readers that hold on to old ones.
const MOST_PARTS: usize = 4;

/// The writer's side of a staging area. See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    parts: Vec<Part>,
    /// Being filled, while there is one.
    open: Option<Open>,
    /// Parts of an earlier process, to be removed with the others.
    left_over: Vec<PathBuf>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    staging: Arc<Staging>,
}

/// The part that is being filled.
#[derive(Debug)]
struct Open {
    map: Arc<Map>,
    header_len: usize,
    /// Position in the file of the part's first byte behind the header.
    start: u64,
    /// The file has everything below.
    flushed: u64,
    end: u64,
    /// Where in the part the last mark is.
    marks: usize,
}

/// What readers see of a stage: from which position on to look there.
#[derive(Debug)]
pub(crate) struct Staging {
    start: u64,
    header_len: usize,
    map: Arc<Map>,
}

impl Staging {
    /// Position in the file of the first byte that is to be looked for here.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The map, and where in it the byte of this position is, which is not below `start`.
    pub(super) fn at(&self, position: u64) -> (&Arc<Map>, usize) {
        let offset = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        (&self.map, self.header_len.saturating_add(offset))
    }
}

impl Stage {
    /// A stage that will remove the parts which an earlier process left.
    pub(crate) fn after(left_over: Vec<PathBuf>) -> Self {
        Self {
            left_over,
            ..Self::default()
        }
    }

    /// True if `len` bytes for `position` can be [added](Self::add) right now.
    #[inline]
    pub(crate) fn has_room(&self, position: u64, len: usize) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let end = open.at(open.end).saturating_add(len);
            open.end == position && end.saturating_add(MARK_LEN) <= open.marks
        })
    }

    /// Adds bytes at the end, and then their mark. There has to be room.
    #[inline]
    pub(crate) fn add(&mut self, bytes: &[u8], mark: [u8; MARK_LEN]) {
        let Some(open) = &mut self.open else {
            unreachable!("bytes are added where there is room");
        };
        open.marks -= MARK_LEN;
        // SAFETY: the part was exclusively ours when it was opened, and since then nobody was shown
        // bytes at or above `end`; `&mut self` keeps other writers out.
        unsafe { open.map.store(open.at(open.end), bytes) };
        // The bytes count only with their mark, which therefore may not be stored before them.
        compiler_fence(Ordering::Release);
        // SAFETY: as above.
        unsafe { open.map.store(open.marks, &mark) };
        open.end += bytes.len() as u64;
    }

    /// Begins a part for the bytes of `file` from `start` on, after a flush. False if there is none to
    /// be had: without space for it, or while readers hold all.
    pub(crate) fn begin(
        &mut self,
        disk: &dyn Disk,
        file: &AppendFile,
        start: u64,
        header: &[u8],
        path: impl Fn(u64) -> PathBuf,
    ) -> bool {
        debug_assert!(self.is_flushed(), "a part is left when the file has it");
        self.leave(file);
        let Some(staging) = self.take_part(disk, path, start, header.len()) else {
            return false;
        };
        let map = Arc::clone(&staging.map);
        // SAFETY: `take_part` found nobody else to hold the map.
        unsafe { map.store(0, header) };
        file.show_stage(Some(staging));
        self.open = Some(Open {
            map,
            header_len: header.len(),
            start,
            flushed: start,
            end: start,
            marks: STAGE_LEN,
        });
        true
    }

    /// A part that nobody holds, made if there are few.
    fn take_part(
        &mut self,
        disk: &dyn Disk,
        path: impl Fn(u64) -> PathBuf,
        start: u64,
        header_len: usize,
    ) -> Option<Arc<Staging>> {
        let unused = self.parts.iter_mut().find_map(|part| part.taken(start));
        if unused.is_some() || self.parts.len() == MOST_PARTS {
            return unused;
        }
        // Of so many numbers one is free.
        let taken = self.left_over.len() + self.parts.len();
        let path = (0..=taken as u64)
            .map(path)
            .find(|path| !self.is_taken(path))?;
        let Ok(map) = make_part(disk, &path) else {
            // Without it all works as well, at the cost of system calls.
            let _ = disk.remove_file(&path);
            return None;
        };
        let staging = Arc::new(Staging {
            start,
            header_len,
            map: Arc::new(map),
        });
        self.parts.push(Part {
            path,
            staging: Arc::clone(&staging),
        });
        Some(staging)
    }

    fn is_taken(&self, path: &Path) -> bool {
        self.left_over.iter().any(|known| known == path)
            || self.parts.iter().any(|part| part.path == path)
    }

    /// True if the file holds everything.
    pub(crate) fn is_flushed(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.flushed == open.end)
    }

    /// Writes to the file what it does not hold yet. After a failure everything is as before, and it can
    /// be tried again.
    pub(crate) fn flush(&mut self, file: &AppendFile) -> Result<()> {
        if let Some(open) = &mut self.open
            && open.flushed < open.end
        {
            let range = open.at(open.flushed)..open.at(open.end);
            // SAFETY: these bytes were stored, and are not stored again before the part is left, which
            // takes `&mut self`.
            let bytes = unsafe { open.map.bytes(range) };
            file.write_staged(bytes, open.flushed)?;
            open.flushed = open.end;
        }
        Ok(())
    }

    /// Readers find in the file what the stage held. It has been flushed.
    pub(crate) fn leave(&mut self, file: &AppendFile) {
        if self.open.take().is_some() {
            file.show_stage(None);
        }
    }

    /// True if it takes up space.
    pub(crate) fn exists(&self) -> bool {
        !self.parts.is_empty() || !self.left_over.is_empty()
    }

    /// Gives everything back. It has been left.
    pub(crate) fn remove(&mut self, disk: &dyn Disk) -> Result<()> {
        debug_assert!(self.open.is_none(), "what is removed is not in use");
        let paths = self.parts.drain(..).map(|part| part.path);
        let paths = self.left_over.drain(..).chain(paths);
        paths
            .map(|path| remove_if_present(disk, &path).map(drop))
            .fold(Ok(()), Result::and)
    }
}

impl Part {
    /// What readers will see of the part, if nobody holds it or its map.
    fn taken(&mut self, start: u64) -> Option<Arc<Staging>> {
        let staging = Arc::get_mut(&mut self.staging)?;
        Arc::get_mut(&mut staging.map)?.forget_shown();
        staging.start = start;
        Some(Arc::clone(&self.staging))
    }
}

impl Open {
    /// Where in the map the byte of this position is.
    fn at(&self, position: u64) -> usize {
        // A part is small: this is far below what overflows.
        self.header_len + usize::try_from(position - self.start).unwrap_or(STAGE_LEN)
    }
}

/// A new part. It is written once, so that the file system has the space for it: a store that finds
/// none would end the process.
fn make_part(disk: &dyn Disk, path: &Path) -> std::io::Result<Map> {
    let file = disk.open(path, OpenMode::Truncate)?;
    write_all_at(&*file, &vec![0; STAGE_LEN], 0)?;
    file.map_for_storing(STAGE_LEN)
}
