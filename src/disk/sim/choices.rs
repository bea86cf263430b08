//! Which outcomes of a crash are looked at: pure decisions over the operations that may be lost.

use std::collections::BTreeSet;
use std::ops::Range;

use super::crash::CrashPlan;
use super::op_log::{Labels, Op};
use super::replay::Pending;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// One outcome and its story.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) description: String,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// `torn`: so many bytes of the write that had just begun are there.
    ProcessCrash { torn: Option<usize> },
    /// A fate for each unsynced operation.
    PowerLoss { fates: Vec<Fate>, filler: Filler },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// For a write: which of its sectors are kept.
    Sectors(Vec<bool>),
}

/// What is found where written bytes were lost, beyond the end of what the disk had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filler {
    /// Nothing: a file that grew by the lost bytes alone did not grow.
    ShorterFile,
    /// The file has its new length; what was written there before and is kept, else zeros.
    OldBytes,
    /// The file has its new length, with zeros in the place of what was lost.
    Zeros,
    /// The file has its new length, with noise in the place of what was lost.
    Noise,
}

/// The parts of a write that a disk writes as a whole, as ranges of the written bytes.
pub(super) fn sectors(position: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = len.min((position + start) / SECTOR * SECTOR + SECTOR - position);
        let piece = start..end;
        start = end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// All outcomes to look at, after the operations in `pending` (of which no sync is known) and at
/// the beginning of operation `next`.
pub(super) fn choices(
    pending: &[Pending],
    next: Option<&Op>,
    plan: CrashPlan,
    at: usize,
    labels: &Labels,
) -> Vec<Choice> {
    let random = Random::new(plan.seed ^ (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut chooser = Chooser {
        pending,
        labels,
        random,
        choices: Vec::new(),
    };
    chooser.process_crashes(next);
    chooser.all_or_nothing();
    if !pending.is_empty() {
        chooser.names_against_data();
        chooser.single_operations(plan.singles);
        chooser.last_write(plan.cuts);
        chooser.random_subsets(plan.subsets);
    }
    chooser.choices
}

struct Chooser<'a> {
    pending: &'a [Pending],
    labels: &'a Labels,
    random: Random,
    choices: Vec<Choice>,
}

impl Chooser<'_> {
    fn process_crashes(&mut self, next: Option<&Op>) {
        self.process_crash(None, "process crash".to_owned());
        if let Some(Op::Write {
            bytes, position, ..
        }) = next
            && bytes.len() > 1
        {
            let anywhere = 1 + self.random.below(bytes.len() - 1);
            let first_sector = sectors(*position, bytes.len())
                .next()
                .map_or(0, |piece| piece.end);
            for torn in BTreeSet::from([anywhere, first_sector.min(bytes.len() - 1)]) {
                self.process_crash(
                    Some(torn),
                    format!("process crash {torn} bytes into the next write"),
                );
            }
        }
    }

    fn process_crash(&mut self, torn: Option<usize>, description: String) {
        self.choices.push(Choice {
            description,
            outcome: Outcome::ProcessCrash { torn },
        });
    }

    fn power_loss(&mut self, fates: Vec<Fate>, filler: Filler, what: &str) {
        let suffix = match filler {
            Filler::ShorterFile => "",
            Filler::OldBytes => "; lengths kept",
            Filler::Zeros => "; zeros in their place",
            Filler::Noise => "; noise in their place",
        };
        let description = format!("power loss: {what}{suffix}");
        self.choices.push(Choice {
            description,
            outcome: Outcome::PowerLoss { fates, filler },
        });
    }

    fn fates(&self, fate: impl Fn(usize, &Pending) -> Fate) -> Vec<Fate> {
        self.pending
            .iter()
            .enumerate()
            .map(|(number, pending)| fate(number, pending))
            .collect()
    }

    fn all_or_nothing(&mut self) {
        self.power_loss(
            self.fates(|_, _| Fate::Lost),
            Filler::ShorterFile,
            "nothing unsynced is kept",
        );
        self.power_loss(
            self.fates(|_, _| Fate::Kept),
            Filler::ShorterFile,
            "everything is kept",
        );
    }

    /// Names reach the disk without what was written, and the other way round.
    fn names_against_data(&mut self) {
        let names = self.fates(|_, pending| kept_if(pending.data_of().is_none()));
        for filler in [
            Filler::ShorterFile,
            Filler::OldBytes,
            Filler::Zeros,
            Filler::Noise,
        ] {
            self.power_loss(
                names.clone(),
                filler,
                "names are kept, unsynced writes are not",
            );
        }
        let data = self.fates(|_, pending| kept_if(pending.data_of().is_some()));
        self.power_loss(
            data,
            Filler::ShorterFile,
            "writes are kept, unsynced names are not",
        );
    }

    fn single_operations(&mut self, limit: usize) {
        for number in self.pick(limit) {
            let op = format!(
                "[{}] {}",
                self.pending[number].index,
                self.labels.describe(&self.pending[number].op)
            );
            let all_but_one = self.fates(|other, _| kept_if(other != number));
            self.power_loss(
                all_but_one,
                Filler::ShorterFile,
                &format!("only this is lost: {op}"),
            );
            let only_one = self.fates(|other, _| kept_if(other == number));
            self.power_loss(
                only_one,
                Filler::ShorterFile,
                &format!("of the unsynced, only this is kept: {op}"),
            );
            let with_names = self
                .fates(|other, pending| kept_if(other == number || pending.data_of().is_none()));
            self.power_loss(
                with_names,
                Filler::ShorterFile,
                &format!("names and this are kept: {op}"),
            );
        }
    }

    /// The numbers of up to `limit` unsynced operations: half of them the last ones.
    fn pick(&mut self, limit: usize) -> BTreeSet<usize> {
        let count = self.pending.len();
        if count <= limit {
            return (0..count).collect();
        }
        let last = count - limit.div_ceil(2);
        let mut picked: BTreeSet<usize> = (last..count).collect();
        for _ in picked.len()..limit {
            picked.insert(self.random.below(last));
        }
        picked
    }

    /// The write that came last is torn, alone or along with an earlier one.
    fn last_write(&mut self, cuts: usize) {
        let writes: Vec<_> = (0..self.pending.len())
            .filter_map(|number| Some((number, self.pieces(number)?)))
            .collect();
        let Some(((last, pieces), earlier)) = writes.split_last() else {
            return;
        };
        let (last, pieces) = (*last, *pieces);
        let what = self.labels.describe(&self.pending[last].op);
        for filler in [Filler::OldBytes, Filler::Zeros, Filler::Noise] {
            let others = self.fates(|number, _| kept_if(number != last));
            self.power_loss(others, filler, &format!("lost: {what}"));
        }
        for cut in evenly(pieces, cuts) {
            let torn = |number: usize| {
                if number == last {
                    kept_until(cut, pieces)
                } else {
                    Fate::Kept
                }
            };
            self.power_loss(
                self.fates(|number, _| torn(number)),
                Filler::ShorterFile,
                &format!("{cut} of {pieces} sectors are kept of: {what}"),
            );
            if earlier.is_empty() {
                continue;
            }
            let (victim, victim_pieces) = earlier[self.random.below(earlier.len())];
            let mask = self.random.mask(victim_pieces);
            let filler = self.filler();
            let both = self.fates(|number, _| {
                if number == victim {
                    mask.clone()
                } else {
                    torn(number)
                }
            });
            let other = self.labels.describe(&self.pending[victim].op);
            let what = format!("{cut} of {pieces} sectors are kept of: {what}; and torn: {other}");
            self.power_loss(both, filler, &what);
        }
    }

    fn random_subsets(&mut self, count: usize) {
        for subset in 0..count {
            let percent = [20, 50, 80][self.random.below(3)];
            let mut fates = Vec::with_capacity(self.pending.len());
            for number in 0..self.pending.len() {
                let roll = self.random.below(100);
                let torn = self
                    .pieces(number)
                    .filter(|pieces| *pieces > 1 && self.random.below(4) == 0);
                fates.push(match torn {
                    Some(pieces) => self.random.mask(pieces),
                    None => kept_if(roll < percent),
                });
            }
            let filler = self.filler();
            self.power_loss(fates, filler, &format!("random subset {subset}"));
        }
    }

    /// How many sectors a write touches; `None` for what is not a write.
    fn pieces(&self, number: usize) -> Option<usize> {
        match &self.pending[number].op {
            Op::Write {
                position, bytes, ..
            } => Some(sectors(*position, bytes.len()).count()),
            _ => None,
        }
    }

    fn filler(&mut self) -> Filler {
        [
            Filler::ShorterFile,
            Filler::OldBytes,
            Filler::Zeros,
            Filler::Noise,
        ][self.random.below(4)]
    }
}

fn kept_if(kept: bool) -> Fate {
    if kept { Fate::Kept } else { Fate::Lost }
}

fn kept_until(cut: usize, pieces: usize) -> Fate {
    Fate::Sectors((0..pieces).map(|piece| piece < cut).collect())
}

/// Up to `count` of the cuts between `pieces`, evenly spread.
fn evenly(pieces: usize, count: usize) -> BTreeSet<usize> {
    let cuts = pieces.saturating_sub(1);
    let count = count.min(cuts);
    (1..=count).map(|number| number * cuts / count).collect()
}

/// A small generator of random numbers (`SplitMix64`): the same seed, the same numbers, everywhere.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        let number = self.next() % (limit.max(1) as u64);
        usize::try_from(number).unwrap_or(0)
    }

    fn mask(&mut self, pieces: usize) -> Fate {
        Fate::Sectors((0..pieces).map(|_| self.next() & 1 == 0).collect())
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
