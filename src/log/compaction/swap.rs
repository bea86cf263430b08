//! Compacted segments take the place of those they were made of.
//!
//! Names are Kafka's, so that it can finish what we began:
//!
//! ```text
//!   written    B.log.cleaned   B.index.swap B.timeindex.swap B.seal.swap …     nobody looks at them
//!   committed  B.log.swap      the same                       <- this one name is the commit point
//!   settled    B.log           B.index B.timeindex B.seal …   the replaced ones renamed to .deleted, removed
//! ```
//!
//! All that is written is on the device before the commit. Behind it, the names of the replaced segments and
//! those beside the log are settled and made durable before the log's own: while `B.log.swap` is there,
//! settling can be done over again, by this process or by the next open.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{
    DirEntry, Disk, DiskFile, OpenMode, read_file, read_full_at, remove_if_present, with_suffix,
};
use crate::error::{Error, Result};
use crate::format::batch::{BatchHeader, HEADER_LEN};
use crate::format::seal;
use crate::log::names::{FileKind, deleted_name, former_name};
use crate::record::Offset;

const CLEANED: &str = ".cleaned";
const SWAP: &str = ".swap";

/// The name of an output that is not finished.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    with_suffix(path, CLEANED)
}

/// The name of an output that may be swapped in.
pub(super) fn swapped(path: &Path) -> PathBuf {
    with_suffix(path, SWAP)
}

/// The segment's file that an output's name stands for, and whether it is finished.
fn parse(name: &str) -> Option<(Offset, FileKind, bool)> {
    let (name, finished) = match name.strip_suffix(SWAP) {
        Some(name) => (name, true),
        None => (name.strip_suffix(CLEANED)?, false),
    };
    let (base, kind) = FileKind::parse(name)?;
    Some((base, kind, finished))
}

/// Makes a finished output part of the log. From here on a crash leaves it, and not what it replaces.
pub(super) fn commit(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Commit> {
    sync_names(disk, dir)?;
    let path = FileKind::Log.path(dir, base);
    rename(disk, &cleaned(&path), &swapped(&path))?;
    match sync_names(disk, dir) {
        Ok(()) => Ok(Commit::Done),
        Err(error) => {
            let _ = remove_if_present(disk, &swapped(&path));
            Ok(Commit::Unknown(error))
        }
    }
}

/// How a commit went.
pub(super) enum Commit {
    Done,
    /// Nobody knows which of the two a crash would leave. In this process the old ones stay.
    Unknown(Error),
}

/// True if there is something for [`settle`] to do.
pub(in crate::log) fn is_unsettled(entries: &[DirEntry]) -> bool {
    entries.iter().any(|entry| parse(&entry.name).is_some())
}

/// Completes what was committed, durably, and removes what was not. Returns what was replaced and could not
/// be removed: it is only in the way.
pub(in crate::log) fn settle(
    disk: &dyn Disk,
    dir: &Path,
    entries: &[DirEntry],
) -> Result<Vec<PathBuf>> {
    let outputs: Vec<_> = entries
        .iter()
        .filter_map(|entry| parse(&entry.name))
        .collect();
    let committed = committed(disk, dir, &outputs)?;
    let mut replaced = Vec::new();
    for &base in &committed {
        replaced.extend(settle_one(disk, dir, base, entries)?);
    }
    replaced.retain(|path| remove_if_present(disk, path).is_err());
    for &(base, kind, finished) in &outputs {
        let path = kind.path(dir, base);
        if finished && !committed.contains(&base) {
            let _ = remove_if_present(disk, &swapped(&path));
        } else if !finished {
            let _ = remove_if_present(disk, &cleaned(&path));
        }
    }
    Ok(replaced)
}

/// The bases of the outputs that are to be part of the log.
///
/// Kafka also splits segments this way. It names the last part first, so as long as one in front is not
/// finished, the whole is still there, and counts.
fn committed(
    disk: &dyn Disk,
    dir: &Path,
    outputs: &[(Offset, FileKind, bool)],
) -> Result<Vec<Offset>> {
    let logs = outputs.iter().filter(|(_, kind, _)| *kind == FileKind::Log);
    let unfinished = logs.clone().filter(|(.., finished)| !finished);
    let first_unfinished = unfinished.map(|(base, ..)| *base).min();
    let mut committed = Vec::new();
    let mut is_split = false;
    for &(base, ..) in logs.filter(|(.., finished)| *finished) {
        let is_behind = first_unfinished.is_some_and(|first| base > first);
        if is_behind && sealed_end(disk, dir, base)?.is_none() {
            remove_if_present(disk, &swapped(&FileKind::Log.path(dir, base)))?;
            is_split = true;
        } else {
            committed.push(base);
        }
    }
    if is_split {
        // Before what says that it was not finished is removed, too.
        sync_names(disk, dir)?;
    }
    Ok(committed)
}

/// Returns the new names of what was replaced, with those that an earlier attempt gave.
fn settle_one(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
    entries: &[DirEntry],
) -> Result<Vec<PathBuf>> {
    let bases = replaced_bases(disk, dir, base)?;
    let mut replaced = Vec::new();
    let of_replaced = |name: &str| {
        FileKind::parse(name).is_some_and(|(other, kind)| {
            kind != FileKind::Stage && other != base && bases.contains(&other)
        })
    };
    for entry in entries {
        if former_name(&entry.name).is_some_and(of_replaced) {
            replaced.push(dir.join(&entry.name));
        } else if of_replaced(&entry.name) {
            let (from, to) = (dir.join(&entry.name), dir.join(deleted_name(&entry.name)));
            rename(disk, &from, &to)?;
            replaced.push(to);
        }
    }
    for kind in FileKind::BESIDE_LOG {
        let path = kind.path(dir, base);
        match disk.rename(&swapped(&path), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(|error| Error::io("rename to", &path, error))?,
        }
    }
    sync_names(disk, dir)?;
    let path = FileKind::Log.path(dir, base);
    rename(disk, &swapped(&path), &path)?;
    sync_names(disk, dir)?;
    Ok(replaced)
}

/// The base offsets of the segments that a committed one stands for.
fn replaced_bases(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Range<Offset>> {
    if let Some(end) = sealed_end(disk, dir, base)? {
        return Ok(base..end);
    }
    // Another program's, which writes no seals: as far as its batches go.
    let (log, file) = open_committed(disk, dir, base)?;
    Ok(base..end_of_batches(&*file, &log, base)?)
}

/// Where the offsets of a committed segment end, if it is our own: by its seal, under either name.
fn sealed_end(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Option<Offset>> {
    /// Larger than any seal.
    const LIMIT: usize = 4096;
    let (log, file) = open_committed(disk, dir, base)?;
    let len = file
        .len()
        .map_err(|error| Error::io("look at", &log, error))?;
    let path = FileKind::Seal.path(dir, base);
    for path in [swapped(&path), path] {
        let bytes = read_file(disk, &path, LIMIT)?.unwrap_or_default();
        if let Ok(seal) = seal::decode(&bytes)
            && (seal.base_offset, seal.end_position, seal.gaps) == (base, len, true)
        {
            return Ok(Some(seal.end_offset));
        }
    }
    Ok(None)
}

fn open_committed(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
) -> Result<(PathBuf, Arc<dyn DiskFile>)> {
    let log = swapped(&FileKind::Log.path(dir, base));
    let file = disk
        .open(&log, OpenMode::Read)
        .map_err(|error| Error::io("open", &log, error))?;
    Ok((log, file))
}

fn end_of_batches(file: &dyn DiskFile, path: &Path, base: Offset) -> Result<Offset> {
    let (mut position, mut end) = (0, base);
    let mut header = [0; HEADER_LEN];
    loop {
        let count = read_full_at(file, &mut header, position)
            .map_err(|error| Error::io("read", path, error))?;
        let Some(batch) = BatchHeader::parse(&header[..count]).ok() else {
            return Ok(end);
        };
        end = batch.next_offset();
        position += u64::from(batch.size);
    }
}

fn sync_names(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir)
        .map_err(|error| Error::io("sync directory", dir, error))
}

fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    disk.rename(from, to)
        .map_err(|error| Error::io("rename", from, error))
}
