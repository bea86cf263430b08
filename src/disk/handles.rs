//! Files that hold a descriptor only while they need one.
//!
//! An active segment keeps its file open. Once it is finished it is only read, and by map: the map keeps
//! the file alive by itself, so a descriptor is opened by name for as long as mapping takes. That is why
//! any number of finished segments can be had with few descriptors.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::map::Map;
use super::{Disk, DiskFile, OpenMode};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct NamedFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    handle: RwLock<Handle>,
}

#[derive(Debug)]
enum Handle {
    Held(Arc<dyn DiskFile>),
    /// Opened, for reading, whenever it is needed.
    ByName,
    /// The name may be another file's by now.
    Gone,
}

impl NamedFile {
    /// A file that is open, and stays so until it is [let go](DiskFile::let_go).
    pub(crate) fn held(disk: Arc<dyn Disk>, path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        let handle = RwLock::new(Handle::Held(file));
        Self { disk, path, handle }
    }

    /// A file that is only read from now on.
    pub(crate) fn by_name(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let handle = RwLock::new(Handle::ByName);
        Self { disk, path, handle }
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        // Held while it is opened: after `retire` returned, nothing is opened any more.
        match &*self.handle.read() {
            Handle::Held(file) => Ok(Arc::clone(file)),
            Handle::ByName => self.disk.open(&self.path, OpenMode::Read),
            Handle::Gone => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl DiskFile for NamedFile {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file()?.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.file()?.write_at(bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync()
    }

    fn map(&self, capacity: usize) -> io::Result<Map> {
        self.file()?.map(capacity)
    }

    fn map_for_storing(&self, len: usize) -> io::Result<Map> {
        self.file()?.map_for_storing(len)
    }

    fn let_go(&self) {
        let mut handle = self.handle.write();
        if let Handle::Held(_) = *handle {
            *handle = Handle::ByName;
        }
    }

    fn retire(&self) {
        let mut handle = self.handle.write();
        if let Handle::ByName = *handle {
            *handle = Handle::Gone;
        }
    }
}
