//! What a power loss leaves of an op log: content that is certain, and operations that may be lost.

use super::op_log::{Op, OpLog};
use super::snapshot::Snapshot;
use super::tree::{NameChange, NodeId};

/// A disk at a moment: what is certainly on it, and what may or may not be, in order.
#[derive(Debug, Clone)]
pub(super) struct Replay {
    pub(super) certain: Snapshot,
    pub(super) pending: Vec<Pending>,
}

/// An operation that no sync covers.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) op: Op,
    /// Number of the operation in the log.
    pub(super) index: usize,
    /// For a rename between two directories: one of them was synced, the other is still due.
    half_synced: Option<NodeId>,
}

impl Pending {
    /// The file whose content the operation changes.
    pub(super) fn data_of(&self) -> Option<NodeId> {
        match &self.op {
            Op::Write { file, .. } | Op::SetLen { file, .. } => Some(*file),
            _ => None,
        }
    }

    pub(super) fn name_change(&self) -> Option<&NameChange> {
        match &self.op {
            Op::Create { link: change, .. } | Op::Name(change) => Some(change),
            _ => None,
        }
    }

    /// Notes a sync of `dir`; true if nothing more is needed to make the change durable.
    fn is_covered_by(&mut self, dir: NodeId) -> bool {
        match self.name_change() {
            Some(NameChange::Rename {
                from_dir, to_dir, ..
            }) if from_dir != to_dir && (*from_dir == dir || *to_dir == dir) => self
                .half_synced
                .replace(dir)
                .is_some_and(|earlier| earlier != dir),
            Some(change) => change.is_in(dir),
            None => false,
        }
    }
}

impl Replay {
    /// Replays the first `count` operations.
    pub(super) fn of(log: &OpLog, count: usize) -> Self {
        let mut replay = Self {
            certain: (*log.start).clone(),
            pending: Vec::new(),
        };
        for (index, op) in log.ops.iter().enumerate().take(count) {
            replay.push(index, op);
        }
        replay
    }

    fn push(&mut self, index: usize, op: &Op) {
        match op {
            Op::Create { node, is_dir, .. } => {
                // The file itself needs no sync to exist; without its name nobody finds it.
                self.certain.create(*node, *is_dir);
                self.wait(index, op);
            }
            Op::Name(_) | Op::Write { .. } | Op::SetLen { .. } => self.wait(index, op),
            Op::Sync { file } => self.settle(|pending| pending.data_of() == Some(*file)),
            Op::SyncDir { dir } => self.settle(|pending| pending.is_covered_by(*dir)),
            Op::LostSync { file } => self
                .pending
                .retain(|pending| pending.data_of() != Some(*file)),
            Op::Planted(op) => self.plant(op),
            Op::Mark(_) => {}
        }
    }

    fn wait(&mut self, index: usize, op: &Op) {
        self.pending.push(Pending {
            op: op.clone(),
            index,
            half_synced: None,
        });
    }

    /// Moves what a sync covers from `pending` to `certain`.
    fn settle(&mut self, mut covered: impl FnMut(&mut Pending) -> bool) {
        let certain = &mut self.certain;
        self.pending.retain_mut(|pending| {
            let durable = covered(pending);
            if durable {
                pending.make_certain(certain);
            }
            !durable
        });
    }

    /// Carries out a test's own change, and forgets what would undo it.
    fn plant(&mut self, op: &Op) {
        self.certain.apply(op);
        match op {
            Op::Write { file, .. } | Op::SetLen { file, .. } => {
                self.pending
                    .retain(|pending| pending.data_of() != Some(*file));
            }
            Op::Create { link: change, .. } | Op::Name(change) => {
                let (NameChange::Link { dir, name, .. }
                | NameChange::Unlink { dir, name }
                | NameChange::Rename {
                    to_dir: dir,
                    to: name,
                    ..
                }) = change;
                self.pending.retain(|pending| {
                    !pending
                        .name_change()
                        .is_some_and(|change| change.decides(*dir, name))
                });
            }
            _ => {}
        }
    }
}

impl Pending {
    pub(super) fn make_certain(&self, certain: &mut Snapshot) {
        match self.name_change() {
            // `apply` would make the new file again, and it may have content by now.
            Some(change) => change.apply(certain),
            None => certain.apply(&self.op),
        }
    }
}
