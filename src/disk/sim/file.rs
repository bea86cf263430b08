//! Open files: the trait [`DiskFile`]. The order of locks is that of [`operations`](super::operations).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Inner;
use super::fault::{Operation, Strike};
use super::op_log::{Op, OpLog};
use super::tree::{FileNode, NodeId};
use crate::disk::DiskFile;
use crate::disk::map::{Map, StoreTarget};

/// One that was opened; it stays usable when its name goes.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) inner: Arc<Inner>,
    pub(super) node: Arc<FileNode>,
    pub(super) id: NodeId,
    /// As it was opened, for faults that ask for paths.
    pub(super) path: PathBuf,
    pub(super) writable: bool,
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
