//! The operating system's file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::map::Map;
use super::{DirEntry, DirLock, Disk, DiskFile, OpenMode};

/// See the module's description.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

/// The lock belongs to the open file, and so to this process: a killed owner blocks nobody.
#[derive(Debug)]
struct RealLock(File);

impl DirLock for RealLock {}

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A name that is not Unicode is none of ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // As a rule the directory says it, without a look at the file.
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => {
                    fs::metadata(entry.path()).map(|it| it.file_type())
                }
                kind => kind,
            };
            let is_dir = match kind {
                Ok(kind) => kind.is_dir(),
                // Removed since, or a dangling link.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirEntry { name, is_dir });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => drop(options.write(true)),
            OpenMode::Create => drop(options.write(true).create(true).truncate(false)),
            OpenMode::Truncate => drop(options.write(true).create(true).truncate(true)),
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // By name, and not only by closing: a child of this process that is about to start its program still
        // has the descriptor.
        let _ = self.0.unlock();
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn map(&self, capacity: usize) -> io::Result<Map> {
        Map::of_file(&self.0, capacity)
    }

    fn map_for_storing(&self, len: usize) -> io::Result<Map> {
        Map::of_file_for_storing(&self.0, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_even_if_a_child_has_inherited_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        // The same open file, as a child has it until it starts its program.
        let inherited = file.try_clone().unwrap();
        drop(RealLock(file));
        assert!(RealDisk.try_lock(&path).unwrap().is_some());
        drop(inherited);
    }
}
