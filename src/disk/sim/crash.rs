//! What a crash may leave: disks made from an op log, each with its story.
//!
//! A process crash keeps all that was written, for the cache belongs to the system. A power loss
//! keeps what syncs cover; each operation after that is kept or lost, and a write may be torn at
//! sector boundaries. [`choices`](super::choices) decides which of the many outcomes are looked at;
//! here they become disks.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::choices::{Choice, Fate, Filler, Outcome, Random, choices, sectors};
use super::op_log::{Labels, Op, OpLog};
use super::replay::{Pending, Replay};
use super::snapshot::Snapshot;
use super::{SimDisk, tree::NodeId};

/// How the machine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashKind {
    /// The process died. All it wrote is still in the system's cache, and as little on disk as ever:
    /// a later [`PowerLoss`](Self::PowerLoss) can still take it.
    ProcessCrash,
    /// The machine died. What no sync covers may be lost, kept, or kept in part.
    PowerLoss,
}

/// Which crash states [`SimDisk::crash_states`] makes, and how many.
///
/// States that look the same are made once, so these are upper limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct CrashPlan {
    pub(super) seed: u64,
    pub(super) singles: usize,
    pub(super) cuts: usize,
    pub(super) subsets: usize,
}

impl CrashPlan {
    /// A plan of at most about 40 states a crash point. The same seed makes the same states.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            singles: 6,
            cuts: 4,
            subsets: 6,
        }
    }

    /// How many unsynced operations are lost alone, and kept alone. Default: 6, the last 3 of them
    /// and others by chance.
    pub fn single_operations(self, singles: usize) -> Self {
        Self { singles, ..self }
    }

    /// At how many 512-byte boundaries the last write is cut. Default: 4, evenly spread.
    pub fn cuts(self, cuts: usize) -> Self {
        Self { cuts, ..self }
    }

    /// How many random subsets of the unsynced operations are kept. Default: 6.
    pub fn random_subsets(self, subsets: usize) -> Self {
        Self { subsets, ..self }
    }
}

/// A disk as a crash may leave it.
#[derive(Debug)]
#[non_exhaustive]
pub struct CrashState {
    /// How the machine stopped.
    pub kind: CrashKind,
    /// What was lost, for a test's messages.
    pub description: String,
    /// The disk. It records, so that what repairs it can be crashed again.
    pub disk: SimDisk,
}

/// The crash states of one moment, made one after the other.
#[must_use]
pub struct CrashStates {
    /// The operations until then, and the one that had just begun.
    log: OpLog,
    at: usize,
    /// What programs saw.
    seen: Snapshot,
    replay: Replay,
    choices: std::vec::IntoIter<Choice>,
    made: HashSet<u64>,
    lies: bool,
}

impl CrashStates {
    pub(super) fn new(log: OpLog, at: usize, plan: CrashPlan, lies: bool) -> Self {
        let replay = Replay::of(&log, at);
        let seen = log.seen_after(at);
        let choices = choices(
            &replay.pending,
            log.ops.get(at),
            plan,
            at,
            &Labels::of(&seen),
        );
        Self {
            log,
            at,
            seen,
            replay,
            choices: choices.into_iter(),
            made: HashSet::new(),
            lies,
        }
    }

    /// The process dies, in the middle of its next write if `torn` bytes of that are written.
    fn process_crash(&self, torn: Option<usize>) -> SimDisk {
        let mut log = OpLog {
            start: Arc::clone(&self.log.start),
            ops: self.log.ops[..self.at].to_vec(),
        };
        let mut seen = self.seen.clone();
        if let Some(count) = torn
            && let Some(Op::Write {
                file,
                position,
                bytes,
            }) = self.log.ops.get(self.at)
        {
            let op = Op::Write {
                file: *file,
                position: *position,
                bytes: bytes[..count].into(),
            };
            seen.apply(&op);
            log.ops.push(op);
        }
        SimDisk::with(&seen, Some(log), self.lies)
    }

    /// The power fails. `None` if that leaves a disk that was made before.
    fn power_loss(&mut self, fates: &[Fate], filler: Filler) -> Option<SimDisk> {
        let mut left = self.replay.certain.clone();
        for (pending, fate) in self.replay.pending.iter().zip(fates) {
            carry_out(&mut left, &self.replay.certain, pending, fate, filler);
        }
        if !self.made.insert(left.fingerprint(&self.replay.certain)) {
            return None;
        }
        let log = OpLog::new(Arc::new(left.clone()));
        Some(SimDisk::with(&left, Some(log), self.lies))
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        loop {
            let Choice {
                description,
                outcome,
            } = self.choices.next()?;
            let (kind, disk) = match outcome {
                Outcome::ProcessCrash { torn } => {
                    (CrashKind::ProcessCrash, Some(self.process_crash(torn)))
                }
                Outcome::PowerLoss { fates, filler } => {
                    (CrashKind::PowerLoss, self.power_loss(&fates, filler))
                }
            };
            if let Some(disk) = disk {
                return Some(CrashState {
                    kind,
                    description,
                    disk,
                });
            }
        }
    }
}

impl fmt::Debug for CrashStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashStates")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Lets an unsynced operation reach the disk, or not.
fn carry_out(
    left: &mut Snapshot,
    certain: &Snapshot,
    pending: &Pending,
    fate: &Fate,
    filler: Filler,
) {
    let lose = |left: &mut Snapshot, file, position: usize, len| {
        lose(
            left,
            certain.len_of(file),
            file,
            position..position + len,
            filler,
        );
    };
    match (&pending.op, fate) {
        (_, Fate::Kept) => pending.make_certain(left),
        (
            Op::Write {
                file,
                position,
                bytes,
            },
            Fate::Lost,
        ) => lose(left, *file, *position, bytes.len()),
        (
            Op::Write {
                file,
                position,
                bytes,
            },
            Fate::Sectors(kept),
        ) => {
            for (piece, kept) in sectors(*position, bytes.len()).zip(kept) {
                let at = position + piece.start;
                if *kept {
                    left.write(*file, at, &bytes[piece]);
                } else {
                    lose(left, *file, at, piece.len());
                }
            }
        }
        (_, Fate::Lost | Fate::Sectors(_)) => {}
    }
}

/// Loses written bytes. Where the disk had bytes before, it has them still, for a sector is written as
/// a whole or not at all; `filler` says what is found beyond those.
fn lose(left: &mut Snapshot, had: usize, file: NodeId, written: Range<usize>, filler: Filler) {
    if filler == Filler::ShorterFile {
        return;
    }
    let Some(content) = left.content_mut(file) else {
        return;
    };
    if content.len() < written.end {
        content.resize(written.end, 0);
    }
    let new = written.start.max(had).min(written.end)..written.end;
    match filler {
        Filler::ShorterFile | Filler::OldBytes => {}
        Filler::Zeros => content[new].fill(0),
        Filler::Noise => Random::new(new.start as u64).fill(&mut content[new]),
    }
}
