//! The content of a whole simulated disk at one moment, as plain values that share unchanged bytes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::op_log::Op;
use super::tree::{ABSOLUTE, Directories, Entries, NodeId, ROOT};

/// See the module's description.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) nodes: Vec<SnapNode>,
}

#[derive(Debug, Clone)]
pub(super) enum SnapNode {
    Gone,
    Dir(Entries),
    File(Arc<Vec<u8>>),
}

impl Directories for Snapshot {
    fn entries_mut(&mut self, dir: NodeId) -> Option<&mut Entries> {
        match self.nodes.get_mut(dir) {
            Some(SnapNode::Dir(entries)) => Some(entries),
            _ => None,
        }
    }
}

impl Snapshot {
    /// An empty disk.
    pub(super) fn empty() -> Self {
        let root = Entries::from([(ABSOLUTE.into(), 1)]);
        Self {
            nodes: vec![SnapNode::Dir(root), SnapNode::Dir(Entries::new())],
        }
    }

    /// Carries an operation out as a running program sees it: syncs change nothing.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { node, is_dir, link } => {
                self.create(*node, *is_dir);
                link.apply(self);
            }
            Op::Name(change) => change.apply(self),
            Op::Write {
                file,
                position,
                bytes,
            } => self.write(*file, *position, bytes),
            Op::SetLen { file, len } => self.set_len(*file, *len),
            Op::Planted(op) => self.apply(op),
            Op::Sync { .. } | Op::LostSync { .. } | Op::SyncDir { .. } | Op::Mark(_) => {}
        }
    }

    pub(super) fn create(&mut self, node: NodeId, is_dir: bool) {
        if self.nodes.len() <= node {
            self.nodes.resize(node + 1, SnapNode::Gone);
        }
        self.nodes[node] = if is_dir {
            SnapNode::Dir(Entries::new())
        } else {
            SnapNode::File(Arc::default())
        };
    }

    pub(super) fn write(&mut self, file: NodeId, position: usize, bytes: &[u8]) {
        if let Some(content) = self.content_mut(file) {
            let end = position + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[position..end].copy_from_slice(bytes);
        }
    }

    pub(super) fn set_len(&mut self, file: NodeId, len: usize) {
        if let Some(content) = self.content_mut(file) {
            content.resize(len, 0);
        }
    }

    pub(super) fn len_of(&self, file: NodeId) -> usize {
        match self.nodes.get(file) {
            Some(SnapNode::File(content)) => content.len(),
            _ => 0,
        }
    }

    pub(super) fn content_mut(&mut self, file: NodeId) -> Option<&mut Vec<u8>> {
        match self.nodes.get_mut(file) {
            Some(SnapNode::File(content)) => Some(Arc::make_mut(content)),
            _ => None,
        }
    }

    /// Visits every node that a name leads to.
    pub(super) fn walk<'a>(&'a self, visit: &mut impl FnMut(NodeId, &'a SnapNode)) {
        self.walk_from(ROOT, visit);
    }

    fn walk_from<'a>(&'a self, id: NodeId, visit: &mut impl FnMut(NodeId, &'a SnapNode)) {
        let Some(node) = self.nodes.get(id) else {
            return;
        };
        visit(id, node);
        if let SnapNode::Dir(entries) = node {
            for child in entries.values() {
                self.walk_from(*child, visit);
            }
        }
    }

    /// Visits every node below the root with its path, parents before children.
    pub(super) fn for_each_path<'a>(
        &'a self,
        visit: &mut impl FnMut(NodeId, PathBuf, &'a SnapNode),
    ) {
        self.paths_below(ROOT, Path::new(""), visit);
    }

    fn paths_below<'a>(
        &'a self,
        dir: NodeId,
        path: &Path,
        visit: &mut impl FnMut(NodeId, PathBuf, &'a SnapNode),
    ) {
        let Some(SnapNode::Dir(entries)) = self.nodes.get(dir) else {
            return;
        };
        for (name, child) in entries {
            let path = path.join(&**name);
            if let Some(node) = self.nodes.get(*child) {
                visit(*child, path.clone(), node);
                self.paths_below(*child, &path, visit);
            }
        }
    }

    /// Equal for disks on which programs find the same, if both grew from `base`.
    pub(super) fn fingerprint(&self, base: &Self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.walk(&mut |id, node| {
            id.hash(&mut hasher);
            match node {
                SnapNode::Gone => {}
                SnapNode::Dir(entries) => entries.hash(&mut hasher),
                SnapNode::File(content) => match base.nodes.get(id) {
                    Some(SnapNode::File(old)) if old == content => 0.hash(&mut hasher),
                    _ => content.hash(&mut hasher),
                },
            }
        });
        hasher.finish()
    }
}
