//! The disk as the rest of the crate uses it: the trait [`Disk`], and what every change has in common.
//!
//! Lock order: the op log (if there is one), the tree, a file's content. A recording disk holds the
//! log's lock over each change, so that the log has all changes in the order of their effect. On
//! other disks writes to different files share no lock.
//!
//! Elsewhere: open files ([`file`](super::file)), names and contents ([`tree`](super::tree)).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::fault::{Operation, Strike};
use super::file::SimFile;
use super::op_log::{Op, OpLog};
use super::tree::{FileNode, NameChange, Node, NodeId, ROOT, Tree};
use super::{Inner, SimDisk};
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
    pub(super) fn begin(&self, operation: Operation, path: &Path) -> io::Result<Strike> {
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
    pub(super) fn begin_change(&self, operation: Operation, path: &Path) -> io::Result<Strike> {
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
    pub(super) fn room(&self, file: &FileNode, end: usize) -> usize {
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
