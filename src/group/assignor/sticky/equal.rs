//! All members subscribe to the same topics (Kafka's constrained assignment).
//!
//! With `P` partitions and `M` members everyone gets `P / M`, and `P % M` members one more. First each
//! keeps of its own what fits, lower numbers first; the rest goes round, by member id.

use std::collections::VecDeque;

use super::super::input::{Input, Owners};
use super::super::java;
use super::{Claims, Computed};

pub(super) fn assign(input: &Input<'_>, claims: &Claims) -> Computed {
    if input.members.is_empty() {
        return Computed {
            owners: Vec::new(),
            changing_hands: Vec::new(),
        };
    }
    let mut shares = Shares::new(input);
    for (member, owned) in owned_by_member(input, claims).iter().enumerate() {
        shares.keep(member, owned);
    }
    let owners = shares.give_out_the_rest(input);
    // What is disputed has to be given up by both, even by the one that gets it.
    let changes_hands = |partition: &usize| {
        let claimed = claims.owners[*partition];
        claims.disputed[*partition] || (claimed.is_some() && claimed != owners[*partition])
    };
    let changing_hands = (0..owners.len()).filter(changes_hands).collect();
    Computed {
        owners,
        changing_hands,
    }
}

/// What each member owns beyond dispute, by number and then topic: the order in which it keeps them.
fn owned_by_member(input: &Input<'_>, claims: &Claims) -> Vec<Vec<usize>> {
    let mut owned = vec![Vec::new(); input.members.len()];
    let undisputed = (0..input.partition_count()).filter(|partition| !claims.disputed[*partition]);
    for partition in undisputed {
        if let Some(owner) = claims.owners[partition] {
            owned[owner].push(partition);
        }
    }
    for partitions in &mut owned {
        // Stable: of equal numbers the earlier topic stays first.
        partitions.sort_by_key(|partition| input.partition(*partition).partition());
    }
    owned
}

/// Who has how much, and who may still get some.
#[derive(Debug)]
struct Shares {
    owners: Owners,
    /// By member.
    counts: Vec<usize>,
    /// What everyone gets.
    quota: usize,
    /// How many members may still get one more.
    places_above: usize,
    /// Members with less than the quota.
    below: Vec<usize>,
    /// Members at the quota, of whom some will get one more.
    at_quota: Vec<usize>,
}

impl Shares {
    fn new(input: &Input<'_>) -> Self {
        let (partitions, members) = (input.partition_count(), input.members.len());
        Self {
            owners: vec![None; partitions],
            counts: vec![0; members],
            quota: partitions / members,
            places_above: partitions % members,
            below: Vec::new(),
            at_quota: Vec::new(),
        }
    }

    /// Lets a member keep the first of its partitions, as many as fit.
    fn keep(&mut self, member: usize, owned: &[usize]) {
        let mut kept = owned.len().min(self.quota);
        if owned.len() < self.quota {
            self.below.push(member);
        } else if owned.len() > self.quota && self.places_above > 0 {
            kept += 1;
            self.places_above -= 1;
        } else {
            self.at_quota.push(member);
        }
        for partition in &owned[..kept] {
            self.give(*partition, member);
        }
    }

    /// Gives the remaining partitions, one after the other, to members below the quota in turn, and
    /// then one each to members at the quota.
    fn give_out_the_rest(mut self, input: &Input<'_>) -> Owners {
        let by_id = |a: &usize, b: &usize| {
            java::compare(&input.members[*a].member_id, &input.members[*b].member_id)
        };
        self.below.sort_by(by_id);
        self.at_quota.sort_by(by_id);
        let mut below = VecDeque::from(std::mem::take(&mut self.below));
        let mut at_quota = VecDeque::from(std::mem::take(&mut self.at_quota));
        for partition in 0..self.owners.len() {
            if self.owners[partition].is_some() {
                continue;
            }
            if let Some(member) = below.pop_front() {
                self.give(partition, member);
                if self.counts[member] == self.quota {
                    at_quota.push_back(member);
                } else {
                    below.push_back(member);
                }
            } else if let Some(member) = at_quota.pop_front() {
                self.give(partition, member);
            }
        }
        self.owners
    }

    fn give(&mut self, partition: usize, member: usize) {
        self.owners[partition] = Some(member);
        self.counts[member] += 1;
    }
}
