//! The disk as the rest of the crate uses it: the traits [`Disk`] and [`DiskFile`].
//!
//! Lock order: the op log (if there is one), the tree, a file's content. A recording disk holds the
//! log's lock over each change, so that the log has all changes in the order of their effect. On
//! other disks writes to different files share no lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::fault::{Operation, Strike};
use super::op_log::{Op, OpLog};
use super::tree::{FileNode, NameChange, Node, NodeId, ROOT, Tree};
use super::{Inner, SimDisk};
use crate::disk::map::{Map, StoreTarget};
use crate::disk::{DirEntry, DirLock, Disk, DiskFile, OpenMode};

/// The right to change names.
pub(super) struct Change<'a> {
    log: Option<MutexGuard<'a, OpLog>>,
    pub(super) tree: MutexGuard<'a, Tree>,
    /// What is recorded is durable at once.
    planted: bool,
}

impl Change<'_> {
    pub(super) fn record(&mut self, op: Op) {
        if let Some(log) = &mut self.log {
            log.ops.push(if self.planted {
                Op::Planted(Box::new(op))
            } else {
                op
            });
        }
    }

    pub(super) fn apply(&mut self, change: NameChange) {
        change.apply(&mut *self.tree);
        self.record(Op::Name(change));
    }

    fn create(&mut self, dir: NodeId, name: Arc<str>, new: Node) -> NodeId {
        let is_dir = matches!(new, Node::Dir(_));
        let node = self.tree.add(new);
        let link = NameChange::Link { dir, name, node };
        link.apply(&mut *self.tree);
        self.record(Op::Create { node, is_dir, link });
        node
    }

    pub(super) fn create_file(&mut self, dir: NodeId, name: Arc<str>) -> NodeId {
        self.create(
            dir,
            name,
            Node::File(Arc::new(FileNode::new(Arc::default()))),
        )
    }

    /// Records all names along a path again: they may not have been durable so far.
    pub(super) fn confirm_names(&mut self, path: &Path) -> io::Result<()> {
        for path in path.ancestors() {
            if let Ok((dir, name)) = self.tree.locate(path) {
                let node = self.tree.child(dir, &name)?;
                self.apply(NameChange::Link { dir, name, node });
            }
        }
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path, may_change: bool) -> io::Result<NodeId> {
        match self.tree.find(dir) {
            Ok(id) if self.tree.is_dir(id) => Ok(id),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_change => {
                let parent = dir.parent().unwrap_or(Path::new(""));
                self.create_dir_all(parent, may_change)?;
                let (parent, name) = self.tree.locate(dir)?;
                Ok(self.create(parent, name, Node::Dir(std::collections::BTreeMap::new())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(io::ErrorKind::ReadOnlyFilesystem.into())
            }
            Err(error) => Err(error),
        }
    }
}

impl Inner {
    pub(super) fn change(&self) -> Change<'_> {
        let log = self.log.as_ref().map(|log| log.lock());
        Change {
            log,
            tree: self.tree.lock(),
            planted: false,
        }
    }

    /// The right to make changes that are durable at once.
    pub(super) fn plant(&self) -> Change<'_> {
        Change {
            planted: true,
            ..self.change()
        }
    }

    /// Counts an operation, and lets it fail if it shall.
    fn begin(&self, operation: Operation, path: &Path) -> io::Result<Strike> {
        #[cfg(test)]
        self.hooks.run(operation, path);
        self.counts[operation as usize].fetch_add(1, Ordering::Relaxed);
        if !self.has_faults.load(Ordering::Acquire) {
            return Ok(Strike::None);
        }
        let mut faults = self.faults.lock();
        let strike = faults.strike(operation, path);
        self.has_faults.store(!faults.is_empty(), Ordering::Release);
        strike
    }

    /// Like [`Self::begin`], for an operation that changes the disk.
    fn begin_change(&self, operation: Operation, path: &Path) -> io::Result<Strike> {
        let strike = self.begin(operation, path)?;
        if self.is_read_only() {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(strike)
    }

    fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// How far a file may grow towards `end`.
    fn room(&self, file: &FileNode, end: usize) -> usize {
        let capacity = self.capacity.load(Ordering::Acquire);
        if capacity == u64::MAX {
            return end;
        }
        let len = file.len();
        let free = capacity.saturating_sub(self.tree.lock().used());
        end.min(len.saturating_add(usize::try_from(free).unwrap_or(usize::MAX)))
            .max(end.min(len))
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.begin(Operation::CreateDir, dir)?;
        self.inner
            .change()
            .create_dir_all(dir, !self.inner.is_read_only())
            .map(drop)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.begin(Operation::List, dir)?;
        let tree = self.inner.tree.lock();
        let entries = tree.entries(tree.find(dir)?)?.iter();
        let entries = entries.map(|(name, id)| DirEntry {
            name: name.to_string(),
            is_dir: tree.is_dir(*id),
        });
        Ok(entries.collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::Read {
            self.inner.begin(Operation::Open, path)?;
        } else {
            self.inner.begin_change(Operation::Open, path)?;
        }
        let mut change = self.inner.change();
        let (dir, name) = change.tree.locate(path)?;
        let id = match change.tree.child(dir, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match mode {
                OpenMode::Read | OpenMode::Write => return Err(error),
                OpenMode::Create | OpenMode::Truncate => change.create_file(dir, name),
            },
            found => found?,
        };
        let node = Arc::clone(change.tree.file(id)?);
        if mode == OpenMode::Truncate && node.len() > 0 {
            node.region().set_len(0)?;
            change.record(Op::SetLen { file: id, len: 0 });
        }
        let inner = Arc::clone(&self.inner);
        Ok(Arc::new(SimFile {
            inner,
            node,
            id,
            path: path.to_path_buf(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.begin_change(Operation::Rename, to)?;
        let mut change = self.inner.change();
        let (from_dir, from) = change.tree.locate(from)?;
        let node = change.tree.child(from_dir, &from)?;
        let (to_dir, to) = change.tree.locate(to)?;
        let replaced = change.tree.child(to_dir, &to).ok();
        if replaced == Some(node) {
            return Ok(());
        }
        check_rename(&change.tree, node, to_dir, replaced)?;
        change.apply(NameChange::Rename {
            from_dir,
            from,
            to_dir,
            to,
            node,
        });
        if let Some(replaced) = replaced {
            change.tree.forget(replaced);
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.begin_change(Operation::Link, to)?;
        let mut change = self.inner.change();
        let node = change.tree.find(from)?;
        change.tree.check_linkable(node)?;
        let (dir, name) = change.tree.locate(to)?;
        if change.tree.child(dir, &name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        change.tree.linked.insert(node);
        change.apply(NameChange::Link { dir, name, node });
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.begin_change(Operation::Remove, path)?;
        let mut change = self.inner.change();
        let (dir, name) = change.tree.locate(path)?;
        let node = change.tree.child(dir, &name)?;
        change.tree.file(node)?;
        change.apply(NameChange::Unlink { dir, name });
        change.tree.forget(node);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.begin_change(Operation::Remove, dir)?;
        let mut change = self.inner.change();
        let (parent, name) = change.tree.locate(dir)?;
        let node = change.tree.child(parent, &name)?;
        if !change.tree.entries(node)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        change.apply(NameChange::Unlink { dir: parent, name });
        change.tree.forget(node);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.begin(Operation::SyncDir, dir)?;
        let mut change = self.inner.change();
        let id = change.tree.find(dir)?;
        change.tree.entries(id)?;
        if !self.inner.lies {
            change.record(Op::SyncDir { dir: id });
        }
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DirLock>>> {
        self.inner.begin_change(Operation::Lock, path)?;
        let mut change = self.inner.change();
        let (dir, name) = change.tree.locate(path)?;
        let node = match change.tree.child(dir, &name) {
            Ok(node) => node,
            Err(_) => change.create_file(dir, name),
        };
        if !change.tree.locked.insert(node) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock {
            inner: Arc::clone(&self.inner),
            node,
        })))
    }
}

/// The rules of rename(2).
fn check_rename(
    tree: &Tree,
    node: NodeId,
    to_dir: NodeId,
    replaced: Option<NodeId>,
) -> io::Result<()> {
    if tree.is_dir(node) && (node == ROOT || tree.is_inside(to_dir, node)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let Some(replaced) = replaced else {
        return Ok(());
    };
    match (tree.is_dir(node), tree.entries(replaced)) {
        (false, Ok(_)) => Err(io::ErrorKind::IsADirectory.into()),
        (true, Ok(entries)) if !entries.is_empty() => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        (true, Err(error)) => Err(error),
        (true, Ok(_)) | (false, Err(_)) => Ok(()),
    }
}

#[derive(Debug)]
struct SimLock {
    inner: Arc<Inner>,
    node: NodeId,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.inner.tree.lock().locked.remove(&self.node);
    }
}

#[derive(Debug)]
struct SimFile {
    inner: Arc<Inner>,
    node: Arc<FileNode>,
    id: NodeId,
    /// As it was opened, for faults that ask for paths.
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn log(&self) -> Option<MutexGuard<'_, OpLog>> {
        self.inner.log.as_ref().map(|log| log.lock())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.begin(Operation::Length, &self.path)?;
        Ok(self.node.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let wanted = match self.inner.begin(Operation::Read, &self.path)? {
            Strike::Short(count) => count.min(buffer.len()),
            Strike::None | Strike::LostSync => buffer.len(),
        };
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        let bytes = self.node.region().read(start..start.saturating_add(wanted));
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let wanted = match self.inner.begin_change(Operation::Write, &self.path)? {
            Strike::Short(count) => count.min(bytes.len()),
            Strike::None | Strike::LostSync => bytes.len(),
        };
        self.check_writable()?;
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = position
            .checked_add(wanted)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        let log = self.log();
        let count = self.inner.room(&self.node, end).saturating_sub(position);
        if count == 0 {
            return if wanted == 0 {
                Ok(0)
            } else {
                Err(io::ErrorKind::StorageFull.into())
            };
        }
        let bytes = &bytes[..count];
        self.node.region().write(position, bytes)?;
        if let Some(mut log) = log {
            log.ops.push(Op::Write {
                file: self.id,
                position,
                bytes: bytes.into(),
            });
        }
        Ok(count)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.begin_change(Operation::SetLength, &self.path)?;
        self.check_writable()?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let log = self.log();
        if self.inner.room(&self.node, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.node.region().set_len(len)?;
        if let Some(mut log) = log {
            log.ops.push(Op::SetLen { file: self.id, len });
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let strike = self.inner.begin(Operation::Sync, &self.path)?;
        let lost = strike == Strike::LostSync;
        if let Some(mut log) = self.log().filter(|_| lost || !self.inner.lies) {
            log.ops.push(if lost {
                Op::LostSync { file: self.id }
            } else {
                Op::Sync { file: self.id }
            });
        }
        if lost {
            Err(io::Error::other("input/output error"))
        } else {
            Ok(())
        }
    }

    fn map(&self, capacity: usize) -> io::Result<Map> {
        self.inner.begin(Operation::Map, &self.path)?;
        self.node.region().map(capacity)
    }

    fn map_for_storing(&self, len: usize) -> io::Result<Map> {
        self.inner.begin_change(Operation::Map, &self.path)?;
        self.check_writable()?;
        if self.node.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let target = StoredFile {
            inner: Arc::clone(&self.inner),
            node: Arc::clone(&self.node),
            id: self.id,
        };
        Ok(self.node.region().map(len)?.for_storing(Arc::new(target)))
    }
}

/// A file that is stored into: no system call, so nothing is counted and nothing fails, but a crash may
/// come between any two stores, and in the middle of one.
#[derive(Debug)]
struct StoredFile {
    inner: Arc<Inner>,
    node: Arc<FileNode>,
    id: NodeId,
}

impl StoreTarget for StoredFile {
    fn store(&self, position: usize, bytes: &[u8]) {
        let log = self.inner.log.as_ref().map(|log| log.lock());
        let written = self.node.region().write(position, bytes);
        debug_assert!(written.is_ok(), "the region has room for what is mapped");
        if let Some(mut log) = log {
            log.ops.push(Op::Write {
                file: self.id,
                position,
                bytes: bytes.into(),
            });
        }
    }
}
