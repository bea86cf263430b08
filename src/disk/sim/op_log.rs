//! What a recording disk remembers: every change, in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::snapshot::{SnapNode, Snapshot};
use super::tree::{NameChange, NodeId, ROOT};

/// One recorded operation. Files and directories go by number: names may change under them.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// A new file or directory and its name.
    Create {
        node: NodeId,
        is_dir: bool,
        link: NameChange,
    },
    Name(NameChange),
    Write {
        file: NodeId,
        position: usize,
        bytes: Arc<[u8]>,
    },
    SetLen {
        file: NodeId,
        len: usize,
    },
    Sync {
        file: NodeId,
    },
    /// A sync that failed and left the cache's pages marked clean: what was not synced before is not
    /// on disk, and no later sync brings it there.
    LostSync {
        file: NodeId,
    },
    SyncDir {
        dir: NodeId,
    },
    /// A test's note.
    Mark(Arc<str>),
    /// A test's own change, durable at once.
    Planted(Box<Op>),
}

/// The operations since `start`, all of whose content is durable.
#[derive(Debug, Clone)]
pub(super) struct OpLog {
    pub(super) start: Arc<Snapshot>,
    pub(super) ops: Vec<Op>,
}

impl OpLog {
    pub(super) fn new(start: Arc<Snapshot>) -> Self {
        Self {
            start,
            ops: Vec::new(),
        }
    }

    /// What programs found after the first `count` operations.
    pub(super) fn seen_after(&self, count: usize) -> Snapshot {
        let mut snapshot = (*self.start).clone();
        for op in &self.ops[..count.min(self.ops.len())] {
            snapshot.apply(op);
        }
        snapshot
    }
}

/// Where files and directories were found at some moment, for descriptions.
#[derive(Debug)]
pub(super) struct Labels(BTreeMap<NodeId, PathBuf>);

impl Labels {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut paths = BTreeMap::from([(ROOT, PathBuf::from("."))]);
        snapshot.for_each_path(&mut |id, path, _: &SnapNode| drop(paths.insert(id, path)));
        Self(paths)
    }

    fn label(&self, node: NodeId) -> String {
        self.0.get(&node).map_or_else(
            || format!("nameless file {node}"),
            |path| path.display().to_string(),
        )
    }

    /// Says what an operation did, for people.
    pub(super) fn describe(&self, op: &Op) -> String {
        match op {
            Op::Create {
                is_dir: true, link, ..
            } => format!("make directory {}", self.name(link)),
            Op::Create {
                is_dir: false,
                link,
                ..
            } => format!("create {}", self.name(link)),
            Op::Name(change) => self.name(change),
            Op::Write {
                file,
                position,
                bytes,
            } => {
                format!(
                    "write {}, bytes {position}..{}",
                    self.label(*file),
                    position + bytes.len()
                )
            }
            Op::SetLen { file, len } => format!("cut {} to {len} bytes", self.label(*file)),
            Op::Sync { file } => format!("sync {}", self.label(*file)),
            Op::LostSync { file } => format!("failed sync of {}", self.label(*file)),
            Op::SyncDir { dir } => format!("sync directory {}", self.label(*dir)),
            Op::Mark(label) => format!("mark `{label}`"),
            Op::Planted(op) => format!("planted: {}", self.describe(op)),
        }
    }

    fn name(&self, change: &NameChange) -> String {
        match change {
            NameChange::Link { dir, name, .. } => format!("{}/{name}", self.label(*dir)),
            NameChange::Unlink { dir, name } => format!("remove {}/{name}", self.label(*dir)),
            NameChange::Rename {
                from, to_dir, to, ..
            } => format!("rename {from} to {}/{to}", self.label(*to_dir)),
        }
    }
}
