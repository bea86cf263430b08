//! Files that hold a descriptor only while they need one.
//!
//! An active segment keeps its file open while it is written to. A finished one, and one at rest, is only
//! read, and by map: the map keeps the file alive by itself, so a descriptor is opened by name for as
//! long as mapping takes. That is why any number of segments can be had with few descriptors.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::map::Map;
use super::{Disk, DiskFile, OpenMode};

/// How many files are held open, and how many ought to be at most.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    held: AtomicUsize,
}

impl OpenFiles {
    pub(crate) fn new(limit: usize) -> Self {
        let held = AtomicUsize::new(0);
        Self { limit, held }
    }

    /// True if those who can do without their file are to give it up.
    pub(crate) fn is_over(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.limit
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct NamedFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    handle: RwLock<Handle>,
}

#[derive(Debug)]
enum Handle {
    Held(HeldFile),
    /// Opened, for reading, whenever it is needed. It may be written to again if it was open before.
    ByName(Option<Arc<OpenFiles>>),
    /// The name may be another file's by now.
    Gone,
}

/// An open file that is counted.
#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    count: Arc<OpenFiles>,
}

impl HeldFile {
    fn new(file: Arc<dyn DiskFile>, count: Arc<OpenFiles>) -> Self {
        count.held.fetch_add(1, Ordering::Relaxed);
        Self { file, count }
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        self.count.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl NamedFile {
    /// A file that is open, and stays so until it is [let go](DiskFile::let_go).
    pub(crate) fn held(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        count: &Arc<OpenFiles>,
    ) -> Self {
        let handle = RwLock::new(Handle::Held(HeldFile::new(file, Arc::clone(count))));
        Self { disk, path, handle }
    }

    /// A file that is only read from now on.
    pub(crate) fn by_name(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let handle = RwLock::new(Handle::ByName(None));
        Self { disk, path, handle }
    }

    fn file_to_write(&self) -> io::Result<Arc<dyn DiskFile>> {
        if let Handle::Held(held) = &*self.handle.read() {
            return Ok(Arc::clone(&held.file));
        }
        self.wake()?;
        self.file()
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        // Held while it is opened: after `retire` returned, nothing is opened any more.
        match &*self.handle.read() {
            Handle::Held(held) => Ok(Arc::clone(&held.file)),
            Handle::ByName(_) => self.disk.open(&self.path, OpenMode::Read),
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
        self.file_to_write()?.write_at(bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file_to_write()?.set_len(len)
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
        if let Handle::Held(held) = &*handle {
            let count = Arc::clone(&held.count);
            *handle = Handle::ByName(Some(count));
        }
    }

    fn wake(&self) -> io::Result<()> {
        let mut handle = self.handle.write();
        if let Handle::ByName(Some(count)) = &*handle {
            let file = self.disk.open(&self.path, OpenMode::Write)?;
            let held = HeldFile::new(file, Arc::clone(count));
            *handle = Handle::Held(held);
        }
        Ok(())
    }

    fn retire(&self) {
        let mut handle = self.handle.write();
        if let Handle::ByName(_) = *handle {
            *handle = Handle::Gone;
        }
    }
}
