//! Everything on a disk at one moment, to look at and to compare.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::snapshot::{SnapNode, Snapshot};
use super::tree::ABSOLUTE;

/// The content of a [`SimDisk`](super::SimDisk): names and bytes. Equal images mean equal disks.
#[derive(Clone, PartialEq, Eq)]
pub struct DiskImage {
    /// Directories have no bytes.
    /// Keyed by the plain text of the path: comparing paths part by part is several times slower, and
    /// crash tests compare millions.
    entries: BTreeMap<OsString, Option<Arc<Vec<u8>>>>,
}

impl DiskImage {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut entries = BTreeMap::new();
        snapshot.for_each_path(&mut |_, path, node| match node {
            SnapNode::File(content) => drop(entries.insert(path.into(), Some(Arc::clone(content)))),
            SnapNode::Dir(_) if path != Path::new(ABSOLUTE) => {
                drop(entries.insert(path.into(), None));
            }
            SnapNode::Dir(_) | SnapNode::Gone => {}
        });
        Self { entries }
    }

    /// The bytes of a file; `None` if there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.entries
            .get(path.as_ref().as_os_str())?
            .as_deref()
            .map(Vec::as_slice)
    }

    /// All files and their lengths in bytes, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let files = self
            .entries
            .iter()
            .filter_map(|(path, content)| Some((path.into(), content.as_ref()?.len() as u64)));
        files.collect()
    }

    /// All directories, sorted by path.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.entries
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(path, _)| path.into())
            .collect()
    }

    /// The image without one file, for comparisons that leave it out.
    #[must_use]
    pub fn without(mut self, path: impl AsRef<Path>) -> Self {
        self.entries.remove(path.as_ref().as_os_str());
        self
    }

    /// Says where a later image differs first; `None` if it does not.
    pub fn difference(&self, later: &Self) -> Option<String> {
        if self == later {
            return None;
        }
        let paths = self.entries.keys().chain(later.entries.keys());
        let path = paths
            .filter(|path| self.entries.get(*path) != later.entries.get(*path))
            .min()?;
        let what = match (self.entries.get(path), later.entries.get(path)) {
            (None, _) => "is new".to_owned(),
            (_, None) => "is gone".to_owned(),
            (Some(Some(old)), Some(Some(new))) => {
                let same = old
                    .iter()
                    .zip(new.iter())
                    .take_while(|(old, new)| old == new)
                    .count();
                format!(
                    "differs from byte {same} on ({} bytes before, {} now)",
                    old.len(),
                    new.len()
                )
            }
            _ => "was a file and is a directory, or the other way round".to_owned(),
        };
        Some(format!("{} {what}", Path::new(path).display()))
    }
}

impl fmt::Debug for DiskImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self
            .entries
            .iter()
            .map(|(path, content)| (path, content.as_ref().map(|bytes| bytes.len())));
        f.debug_map().entries(lengths).finish()
    }
}
