//! The names and files of a simulated disk as running programs see them.
//!
//! Files and directories are *nodes*, apart from their names: a removed file that is still open
//! stays readable, and a renamed one is the same file. Nodes are numbered in the order of their
//! creation and numbers are not reused, so that the [op log](super::op_log) can speak of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, OnceLock};

use super::snapshot::{SnapNode, Snapshot};
use crate::disk::map::Region;

/// A node's number.
pub(super) type NodeId = usize;
/// What a directory holds.
pub(super) type Entries = BTreeMap<Arc<str>, NodeId>;

/// The directory that relative paths start from.
pub(super) const ROOT: NodeId = 0;
/// Absolute paths start with this name in [`ROOT`], so that both kinds need only one tree.
pub(super) const ABSOLUTE: &str = "/";

/// A file's content. It is copied from what the disk started with when somebody first looks.
#[derive(Debug)]
pub(super) struct FileNode {
    start: Arc<Vec<u8>>,
    region: OnceLock<Region>,
}

impl FileNode {
    pub(super) fn new(start: Arc<Vec<u8>>) -> Self {
        Self {
            start,
            region: OnceLock::new(),
        }
    }

    pub(super) fn region(&self) -> &Region {
        self.region.get_or_init(|| Region::new(self.start.to_vec()))
    }

    pub(super) fn len(&self) -> usize {
        self.region.get().map_or(self.start.len(), Region::len)
    }

    pub(super) fn content(&self) -> Arc<Vec<u8>> {
        match self.region.get() {
            Some(region) => Arc::new(region.read(0..usize::MAX)),
            None => Arc::clone(&self.start),
        }
    }
}

#[derive(Debug)]
pub(super) enum Node {
    /// Nothing leads here any more. Open handles keep a file's content alive themselves.
    Gone,
    Dir(Entries),
    File(Arc<FileNode>),
}

/// Something with directories, by number: the live tree, or a snapshot.
pub(super) trait Directories {
    fn entries_mut(&mut self, dir: NodeId) -> Option<&mut Entries>;
}

/// One change of names. It stays undone after a power loss unless its directory was synced.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link {
        dir: NodeId,
        name: Arc<str>,
        node: NodeId,
    },
    Unlink {
        dir: NodeId,
        name: Arc<str>,
    },
    Rename {
        from_dir: NodeId,
        from: Arc<str>,
        to_dir: NodeId,
        to: Arc<str>,
        node: NodeId,
    },
}

impl NameChange {
    /// Makes the change. Where an earlier change was undone by a crash, names that are not there are
    /// not missed.
    pub(super) fn apply(&self, tree: &mut impl Directories) {
        match self {
            Self::Link { dir, name, node } => link(tree, *dir, name, *node),
            Self::Unlink { dir, name } => {
                if let Some(entries) = tree.entries_mut(*dir) {
                    entries.remove(name);
                }
            }
            Self::Rename {
                from_dir,
                from,
                to_dir,
                to,
                node,
            } => {
                if let Some(entries) = tree.entries_mut(*from_dir)
                    && entries.get(from) == Some(node)
                {
                    entries.remove(from);
                }
                link(tree, *to_dir, to, *node);
            }
        }
    }

    /// True if the change is in this directory.
    pub(super) fn is_in(&self, directory: NodeId) -> bool {
        match self {
            Self::Link { dir, .. } | Self::Unlink { dir, .. } => *dir == directory,
            Self::Rename {
                from_dir, to_dir, ..
            } => *from_dir == directory || *to_dir == directory,
        }
    }

    /// True if the change decides what this name stands for.
    pub(super) fn decides(&self, directory: NodeId, wanted: &str) -> bool {
        match self {
            Self::Link { dir, name, .. } | Self::Unlink { dir, name } => {
                *dir == directory && &**name == wanted
            }
            Self::Rename { to_dir, to, .. } => *to_dir == directory && &**to == wanted,
        }
    }
}

fn link(tree: &mut impl Directories, dir: NodeId, name: &Arc<str>, node: NodeId) {
    if let Some(entries) = tree.entries_mut(dir) {
        entries.insert(Arc::clone(name), node);
    }
}

/// All nodes, and which of them are locked.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Files that may have more than one name.
    pub(super) linked: BTreeSet<NodeId>,
    pub(super) locked: BTreeSet<NodeId>,
}

impl Directories for Tree {
    fn entries_mut(&mut self, dir: NodeId) -> Option<&mut Entries> {
        match self.nodes.get_mut(dir) {
            Some(Node::Dir(entries)) => Some(entries),
            _ => None,
        }
    }
}

impl Tree {
    /// The tree that programs find on a disk with this content. What no name leads to is gone.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut nodes: Vec<Node> = (0..snapshot.nodes.len()).map(|_| Node::Gone).collect();
        let mut linked = BTreeSet::new();
        snapshot.walk(&mut |id, node| {
            if !matches!(nodes[id], Node::Gone) {
                linked.insert(id);
                return;
            }
            nodes[id] = match node {
                SnapNode::Gone => Node::Gone,
                SnapNode::Dir(entries) => Node::Dir(entries.clone()),
                SnapNode::File(content) => Node::File(Arc::new(FileNode::new(Arc::clone(content)))),
            };
        });
        Self {
            nodes,
            linked,
            locked: BTreeSet::new(),
        }
    }

    /// Finds what a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        components(path)?
            .into_iter()
            .try_fold(ROOT, |dir, name| self.child(dir, name))
    }

    /// The directory that holds (or would hold) what a path names, and the name in it.
    pub(super) fn locate(&self, path: &Path) -> io::Result<(NodeId, Arc<str>)> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = names
            .into_iter()
            .try_fold(ROOT, |dir, name| self.child(dir, name))?;
        self.entries(dir)?;
        Ok((dir, name.into()))
    }

    pub(super) fn child(&self, dir: NodeId, name: &str) -> io::Result<NodeId> {
        self.entries(dir)?
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn entries(&self, dir: NodeId) -> io::Result<&Entries> {
        match self.nodes.get(dir) {
            Some(Node::Dir(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> io::Result<&Arc<FileNode>> {
        match self.nodes.get(id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn is_dir(&self, id: NodeId) -> bool {
        matches!(self.nodes.get(id), Some(Node::Dir(_)))
    }

    /// Adds a node that has no name yet.
    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Only files have several names.
    pub(super) fn check_linkable(&self, id: NodeId) -> io::Result<()> {
        match self.nodes.get(id) {
            Some(Node::File(_)) => Ok(()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Lets go of a node of which a name was removed, unless another one leads to it.
    pub(super) fn forget(&mut self, id: NodeId) {
        if !self.linked.contains(&id) || !self.has_name(id) {
            self.linked.remove(&id);
            self.nodes[id] = Node::Gone;
        }
    }

    fn has_name(&self, id: NodeId) -> bool {
        self.nodes.iter().any(|node| match node {
            Node::Dir(entries) => entries.values().any(|named| *named == id),
            Node::Gone | Node::File(_) => false,
        })
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let sizes = self.nodes.iter().map(|node| match node {
            Node::File(file) => file.len() as u64,
            Node::Gone | Node::Dir(_) => 0,
        });
        sizes.sum()
    }

    /// True if `dir` is `other`, or below it.
    pub(super) fn is_inside(&self, dir: NodeId, other: NodeId) -> bool {
        dir == other
            || self
                .entries(other)
                .is_ok_and(|entries| entries.values().any(|child| self.is_inside(dir, *child)))
    }

    /// The content as of now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let nodes = self.nodes.iter().map(|node| match node {
            Node::Gone => SnapNode::Gone,
            Node::Dir(entries) => SnapNode::Dir(entries.clone()),
            Node::File(file) => SnapNode::File(file.content()),
        });
        Snapshot {
            nodes: nodes.collect(),
        }
    }
}

/// The names along a path, without `.` and with `..` taken back.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(names.pop()),
            Component::RootDir => names.push(ABSOLUTE),
            Component::Prefix(_) | Component::Normal(_) => {
                names.push(
                    component
                        .as_os_str()
                        .to_str()
                        .ok_or(io::ErrorKind::InvalidFilename)?,
                );
            }
        }
    }
    Ok(names)
}
