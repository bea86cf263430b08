//! The small files beside a segment.
//!
//! Their entries count offsets from the segment's base offset, which is the file's name. None of them
//! is the truth: a broker makes them again from the log.

use std::path::Path;

use crate::disk::read_file;
use crate::disk::real::RealDisk;
use crate::error::{Error, Result};
use crate::format::producer_snapshot::{self, ProducerEntry};
use crate::format::{Parsed, index_entry};
use crate::record::{Offset, Timestamp};

/// No side file is larger: `segment.index.bytes` is an `int` in Kafka.
const LARGEST: usize = i32::MAX.unsigned_abs() as usize;

/// An entry of a `.index` file: where in the segment a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetIndexEntry {
    /// The batch's last offset.
    pub offset: Offset,
    /// Where the batch starts in the `.log` file, in bytes.
    pub position: u32,
}

/// An entry of a `.timeindex` file: the largest timestamp so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeIndexEntry {
    /// The timestamp, in milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// Last offset of the batch that holds it.
    pub offset: Offset,
}

/// An entry of a `.txnindex` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbortedTransaction {
    /// Whose transaction it was.
    pub producer_id: i64,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of the marker that ended it.
    pub last_offset: Offset,
    /// Where the earliest transaction started that was open at the marker.
    pub last_stable_offset: Offset,
}

/// An entry of a `.snapshot` file: what a partition knows of one producer. -1 is "none" in all fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its number for the last record of its last batch.
    pub last_sequence: i32,
    /// Offset of that record.
    pub last_offset: i64,
    /// Records in that batch, less one.
    pub offset_delta: i32,
    /// Largest timestamp in that batch, in milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// Of the last marker of a transaction.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: i64,
}

/// The entries of a `.index` file.
///
/// # Errors
/// `Io`; `Corrupt` if an entry is none, or the file ends inside one.
pub fn offset_index(path: impl AsRef<Path>) -> Result<Vec<OffsetIndexEntry>> {
    let (path, base) = (path.as_ref(), base_offset(path.as_ref())?);
    entries(path, index_entry::OffsetIndexEntry::decode, |entry| {
        OffsetIndexEntry {
            offset: base.saturating_add(entry.relative_offset.into()),
            position: entry.position,
        }
    })
}

/// The entries of a `.timeindex` file.
///
/// # Errors
/// As [`offset_index`].
pub fn time_index(path: impl AsRef<Path>) -> Result<Vec<TimeIndexEntry>> {
    let (path, base) = (path.as_ref(), base_offset(path.as_ref())?);
    entries(path, index_entry::TimeIndexEntry::decode, |entry| {
        TimeIndexEntry {
            timestamp: entry.timestamp,
            offset: base.saturating_add(entry.relative_offset.into()),
        }
    })
}

/// The entries of a `.txnindex` file.
///
/// # Errors
/// As [`offset_index`].
pub fn aborted_transactions(path: impl AsRef<Path>) -> Result<Vec<AbortedTransaction>> {
    entries(
        path.as_ref(),
        index_entry::AbortedTransaction::decode,
        |entry| AbortedTransaction {
            producer_id: entry.producer_id,
            first_offset: entry.first_offset,
            last_offset: entry.last_offset,
            last_stable_offset: entry.last_stable_offset,
        },
    )
}

/// The producers in a `.snapshot` file.
///
/// # Errors
/// `Io`; `Corrupt` if the checksum or the layout is wrong.
pub fn producer_snapshot(path: impl AsRef<Path>) -> Result<Vec<ProducerState>> {
    let path = path.as_ref();
    let entries = producer_snapshot::decode(&bytes(path)?)
        .map_err(|invalid| Error::corrupt(path, invalid.at as u64, invalid.reason))?;
    Ok(entries.into_iter().map(ProducerState::from).collect())
}

impl From<ProducerEntry> for ProducerState {
    fn from(entry: ProducerEntry) -> Self {
        let ProducerEntry {
            producer_id,
            producer_epoch,
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
            coordinator_epoch,
            current_txn_first_offset,
        } = entry;
        Self {
            producer_id,
            producer_epoch,
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
            coordinator_epoch,
            current_txn_first_offset,
        }
    }
}

/// All entries of a file that is an array of them.
fn entries<const LEN: usize, Stored, Shown>(
    path: &Path,
    decode: fn(&[u8; LEN]) -> Parsed<Stored>,
    show: impl Fn(Stored) -> Shown,
) -> Result<Vec<Shown>> {
    let bytes = bytes(path)?;
    let (chunks, rest) = bytes.as_chunks::<LEN>();
    let corrupt = |at: usize, reason| Error::corrupt(path, at as u64, reason);
    if !rest.is_empty() {
        return Err(corrupt(
            bytes.len() - rest.len(),
            "file ends inside an entry",
        ));
    }
    chunks
        .iter()
        .enumerate()
        .map(|(index, chunk)| {
            decode(chunk)
                .map(&show)
                .map_err(|invalid| corrupt(index * LEN + invalid.at, invalid.reason))
        })
        .collect()
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let not_found = || Error::io("open", path, std::io::ErrorKind::NotFound.into());
    read_file(&RealDisk, path, LARGEST)?.ok_or_else(not_found)
}

/// The number that a segment's file is named by.
fn base_offset(path: &Path) -> Result<Offset> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse().ok())
        .ok_or_else(|| Error::corrupt(path, 0, "the file's name is not an offset, which it needs"))
}
