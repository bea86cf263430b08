//! The files of a partition's directory, as they are found: which there are, whose they are, and what one
//! look at each segment says.

use std::io;
use std::path::Path;

use super::{OpenRequest, PartitionRecovery};
use crate::disk::{
    AppendFile, DirEntry, Disk, DiskFile, OpenMode, read_file, read_full_at, write_all_at,
};
use crate::error::{Error, Result};
use crate::format::batch::{BatchHeader, HEADER_LEN, UNPROTECTED_LEN};
use crate::format::metadata::PartitionMetadata;
use crate::format::seal::FrameDigest;
use crate::log::compaction::swap;
use crate::log::names::{FileKind, METADATA_FILE, is_deleted, is_unfinished};
use crate::log::scan::{Check, Scanner};
use crate::record::Offset;

/// Base offset and kind of a file.
pub(super) type SegmentFile = (Offset, FileKind);

/// What one look at a segment's file says.
pub(super) struct LogFile {
    pub(super) base: Offset,
    pub(super) len: u64,
    /// As far as there are so many bytes.
    first: Vec<u8>,
}

impl LogFile {
    pub(super) fn look_at(base: Offset, path: &Path, file: &dyn DiskFile) -> Result<Self> {
        let len = file
            .len()
            .map_err(|error| Error::io("look at", path, error))?;
        let mut first = vec![0; HEADER_LEN];
        let count = read_full_at(file, &mut first, 0);
        first.truncate(count.map_err(|error| Error::io("read", path, error))?);
        Ok(Self { base, len, first })
    }

    /// The first batch's, if that looks like one.
    pub(super) fn header(&self) -> Option<BatchHeader> {
        BatchHeader::parse(&self.first).ok()
    }

    /// The digest of the first batch alone, as in its seal; 0 if there is none.
    pub(super) fn first_frame(&self) -> u32 {
        let mut digest = FrameDigest::new();
        if let Some(frame) = self.first.first_chunk::<UNPROTECTED_LEN>() {
            digest.update(frame);
        }
        digest.value()
    }
}

/// The files of a partition's directory; it is made if it is new, with Kafka's metadata file. The
/// second is true if names are not durable yet.
pub(super) fn list_files(
    disk: &dyn Disk,
    request: &OpenRequest<'_>,
    former_end: Offset,
    report: &mut PartitionRecovery,
) -> Result<(Vec<SegmentFile>, bool)> {
    let dir = &request.dir;
    let list = || {
        disk.list(dir)
            .map_err(|error| Error::io("list", dir, error))
    };
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if former_end > request.start {
                let reason = "the partition's directory is not there";
                return Err(Error::missing(dir, reason).with_offsets(request.start..former_end));
            }
            disk.create_dir_all(dir)
                .map_err(|error| Error::io("create directory", dir, error))?;
            Vec::new()
        }
        Ok(entries) if swap::is_unsettled(&entries) => {
            // A crash came between the commit of a compaction and its end, or before. The commit may be that of
            // a process which was killed right after it: nothing that follows from it may be on the device
            // before it is.
            disk.sync_dir(dir)
                .map_err(|error| Error::io("sync directory", dir, error))?;
            swap::settle(disk, dir, &entries)?;
            list()?
        }
        entries => entries.map_err(|error| Error::io("list", dir, error))?,
    };
    let useless = |entry: &&DirEntry| is_deleted(&entry.name) || is_unfinished(&entry.name);
    for entry in entries.iter().filter(useless).filter(|_| !request.adopted) {
        // A crash came between the two steps of a removal, or of a replacement. What cannot be removed is only
        // in the way.
        let _ = disk.remove_file(&dir.join(&entry.name));
    }
    let is_new = check_metadata(disk, request, !entries.is_empty(), report)?;
    let files = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| FileKind::parse(&entry.name))
        .collect();
    Ok((files, is_new))
}

/// Compares Kafka's `partition.metadata` with what the manifest says, and makes it again if it says
/// nothing. True if it did.
fn check_metadata(
    disk: &dyn Disk,
    request: &OpenRequest<'_>,
    is_used: bool,
    report: &mut PartitionRecovery,
) -> Result<bool> {
    let path = request.dir.join(METADATA_FILE);
    let stored = read_small(disk, &path)?;
    let decoded = stored
        .as_deref()
        .and_then(|bytes| PartitionMetadata::decode(bytes).ok());
    match decoded {
        Some(metadata) if metadata.topic_id == request.topic_id => return Ok(false),
        // A damaged id looks like another topic's: what the batches are decides.
        Some(metadata) if !is_noted(disk, request)? => {
            let reason = format!(
                "the directory is of the topic with id {}, and this one's is {}",
                metadata.topic_id, request.topic_id
            );
            return Err(Error::corrupt(&path, 0, reason));
        }
        Some(_) | None => {}
    }
    let bytes = PartitionMetadata {
        topic_id: request.topic_id,
    }
    .encode();
    let file = disk
        .open(&path, OpenMode::Truncate)
        .map_err(|error| Error::io("create", &path, error))?;
    write_all_at(&*file, &bytes, 0).map_err(|error| Error::io("write", &path, error))?;
    // Empty is what a crash leaves of a new one.
    if is_used && stored.is_none_or(|bytes| !bytes.is_empty()) {
        report.rebuilt.push(path);
    }
    Ok(true)
}

/// True if the batches of the directory are those that `durable-ends` has a digest of.
fn is_noted(disk: &dyn Disk, request: &OpenRequest<'_>) -> Result<bool> {
    let slot = request.ends.find(request.topic_id, request.id.partition());
    let Some(slot) = slot.filter(|slot| slot.position > 0) else {
        return Ok(false);
    };
    let path = FileKind::Log.path(&request.dir, slot.segment_base);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(|error| Error::io("open", &path, error))?,
    };
    let file = AppendFile::new(path, file);
    let mut scanner = Scanner::new(&file, 0, slot.position.into());
    let mut digest = FrameDigest::new();
    while let Some(Ok((_, frame))) = scanner.next(Check::Frames)? {
        digest.update(frame);
    }
    Ok(digest.value() == slot.digest)
}

/// Reads a file that cannot be large; one that is counts as bad, which is empty here.
pub(super) fn read_small(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    /// Producer snapshots are the largest: 46 bytes a producer.
    const LARGEST: usize = 64 << 20;
    match read_file(disk, path, LARGEST) {
        Err(Error::Corrupt { .. }) => Ok(Some(Vec::new())),
        other => other,
    }
}
