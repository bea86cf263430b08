//! `topics.manifest` on disk: replaced as a whole, and on a full disk, too, if that makes room.
//!
//! ```text
//!   topics.manifest.tmp    written, synced ─▶ renamed to topics.manifest
//!   topics.manifest.spare  the same, if the disk has no room for the former
//! ```
//! Deleting records and topics starts with a new manifest, so on a full disk nothing could be deleted without
//! room for one. The spare file has it: zeros, as many as the manifest may come to need until it is changed
//! by anything else. Only what makes room may use it; what takes room renews it first.
//!
//! Elsewhere: what a manifest says ([`format::manifest`](crate::format::manifest)), who changes it and when
//! ([`registry`](super::registry)).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::disk::{
    Disk, OpenMode, put_in_place, read_file, sync_parent, with_suffix, write_all_at, write_anew,
};
use crate::error::{Error, Result};
use crate::format::manifest::{Manifest, ManifestError};

/// The manifest's name in the data directory.
pub(super) const MANIFEST: &str = "topics.manifest";

/// A manifest is a few hundred bytes a topic; nothing real is larger than this.
const LARGEST_MANIFEST: usize = 64 << 20;

/// What file systems give out.
const PAGE: u64 = 4096;

/// At least what a manifest needs to say where one more partition starts.
const START_LEN: u64 = 48;

/// What a change of the manifest does to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// What follows from it gives room back: it may use the spare file.
    MakesRoom,
    TakesRoom,
}

/// See the module's description. Its user sees to it that there is one change at a time.
#[derive(Debug)]
pub(super) struct ManifestFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Bytes that the spare file has.
    spare: AtomicU64,
    /// Set once, when the manifest's name could not be made durable: it is not changed any more.
    failure: OnceLock<String>,
}

impl ManifestFile {
    pub(super) fn new(root: &Path, disk: Arc<dyn Disk>) -> Self {
        let path = root.join(MANIFEST);
        let spare = disk.open(&spare_path(&path), OpenMode::Read);
        // One that cannot be used is made again.
        let spare = spare.and_then(|file| file.len()).unwrap_or(0);
        Self {
            path,
            disk,
            spare: AtomicU64::new(spare),
            failure: OnceLock::new(),
        }
    }

    /// Replaces the manifest, durably. A failure leaves the old one.
    pub(super) fn store(&self, manifest: &Manifest, effect: Effect) -> Result<()> {
        self.check_failure()?;
        let bytes = manifest.encode();
        let room = room_for(manifest, bytes.len());
        if effect == Effect::TakesRoom {
            self.renew_spare(room)?;
        }
        match put_in_place(&*self.disk, &self.path, &bytes) {
            Err(full @ Error::DiskFull { .. }) if effect == Effect::MakesRoom => {
                self.use_spare(&bytes, full)?;
            }
            outcome => outcome?,
        }
        self.sync_name()?;
        // Not there if the disk is still full: the next change tries again.
        let _ = self.renew_spare(room);
        Ok(())
    }

    /// Sees to it that the spare file has so many bytes. They need not survive a crash.
    fn renew_spare(&self, room: u64) -> Result<()> {
        if self.spare.load(Ordering::Relaxed) >= room {
            return Ok(());
        }
        self.spare.store(0, Ordering::Relaxed);
        let zeros = vec![0; usize::try_from(room).unwrap_or(LARGEST_MANIFEST)];
        write_anew(&*self.disk, &spare_path(&self.path), &zeros)?;
        self.spare.store(room, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a manifest of the spare file, if it has room for it.
    fn use_spare(&self, bytes: &[u8], full: Error) -> Result<()> {
        if self.spare.load(Ordering::Relaxed) < bytes.len() as u64 {
            return Err(full);
        }
        let path = spare_path(&self.path);
        let made = self.overwrite(&path, bytes);
        match made.and_then(|()| self.disk.rename(&path, &self.path)) {
            Ok(()) => {
                self.spare.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(Error::io("write", &path, error)),
        }
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::Write)?;
        write_all_at(&*file, bytes, 0)?;
        // It is not whole again if what follows fails.
        self.spare.store(bytes.len() as u64, Ordering::Relaxed);
        file.set_len(bytes.len() as u64)?;
        file.sync()
    }

    fn sync_name(&self) -> Result<()> {
        sync_parent(&*self.disk, &self.path).map_err(|error| {
            // Nobody knows which manifest a crash would leave now.
            let _ = self.failure.set(error.to_string());
            self.check_failure().err().unwrap_or(error)
        })
    }

    pub(super) fn check_failure(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(Error::StorageFailed {
                partition: MANIFEST.to_owned(),
                cause: cause.clone(),
            }),
        }
    }
}

fn spare_path(manifest: &Path) -> PathBuf {
    with_suffix(manifest, ".spare")
}

/// As many bytes as a manifest of these topics has at most, wherever their partitions start.
fn room_for(manifest: &Manifest, len: usize) -> u64 {
    let partitions = manifest
        .topics
        .iter()
        .map(|topic| u64::from(topic.partitions));
    let starts = partitions.fold(0, u64::saturating_add);
    let longest = starts.saturating_mul(START_LEN).saturating_add(len as u64);
    longest.next_multiple_of(PAGE)
}

/// Reads the manifest; `None` if there is none.
pub(super) fn load(disk: &dyn Disk, root: &Path) -> Result<Option<Manifest>> {
    let path = root.join(MANIFEST);
    let Some(bytes) = read_file(disk, &path, LARGEST_MANIFEST)? else {
        return Ok(None);
    };
    match Manifest::decode(&bytes) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(ManifestError::Newer(version)) => Err(Error::UnsupportedFormat {
            file: path,
            reason: format!("format version {version} is not known"),
        }),
        Err(ManifestError::Invalid(invalid)) => Err(Error::corrupt(
            &path,
            invalid.at as u64,
            format!(
                "{}; restore it, or remove it to have the topics found again, without their configurations",
                invalid.reason
            ),
        )),
    }
}

#[cfg(test)]
#[path = "manifest_file_tests.rs"]
mod tests;
