//! Members subscribe to different topics (Kafka's general assignment).
//!
//! What members own and still subscribe to stays where it is; the rest goes to the least loaded
//! subscriber, topics with few subscribers first. Then partitions move from more to less loaded
//! members, as long as there is a move that helps. If the whole is not more even after that than it
//! was before, the moves are undone.

use super::super::input::{Input, Owners};
use super::super::java;
use super::movements::{Movements, Moving};
use super::{Claims, Computed, generation};

/// How often the partitions are gone through in search of a move. Kafka has no bound; it takes a few
/// passes in practice, but nothing proves that it ends.
const MOST_PASSES: usize = 1_000;

pub(super) fn assign(input: &Input<'_>, claims: &Claims) -> Computed {
    let mut balancer = Balancer::new(input);
    let gave_up_some = balancer.keep(claims);
    balancer.balance(gave_up_some);
    let changing_hands = changing_hands(input, &balancer.owners);
    Computed {
        owners: balancer.owners,
        changing_hands,
    }
}

/// The partitions that somebody claims, but not the one who gets them. Lost disputes count as claims:
/// such a member still reads.
fn changing_hands(input: &Input<'_>, owners: &Owners) -> Vec<usize> {
    let mut by_another = vec![false; owners.len()];
    let mut by_owner = vec![false; owners.len()];
    for member in 0..input.members.len() {
        for partition in input.claims(member) {
            let owns = owners[partition] == Some(member);
            by_owner[partition] |= owns;
            by_another[partition] |= !owns;
        }
    }
    (0..owners.len())
        .filter(|partition| by_another[*partition] && !by_owner[*partition])
        .collect()
}

#[derive(Debug)]
struct Balancer<'a> {
    input: &'a Input<'a>,
    /// By partition.
    topic_of: Vec<usize>,
    owners: Owners,
    /// By member: how many partitions it has.
    loads: Vec<usize>,
    /// By member: its place in the order of ids, which decides between equal loads.
    places: Vec<usize>,
    /// Members that could gain or lose something; all the others are left out of the balance.
    movable: Vec<usize>,
    /// By partition: who had it in an earlier generation.
    former: Owners,
    movements: Movements,
}

impl<'a> Balancer<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let mut topic_of = vec![0; input.partition_count()];
        for (number, topic) in input.topics.iter().enumerate() {
            topic_of[topic.partitions.clone()].fill(number);
        }
        Self {
            input,
            topic_of,
            owners: vec![None; input.partition_count()],
            loads: vec![0; input.members.len()],
            places: places_by_id(input),
            movable: Vec::new(),
            former: former_owners(input),
            movements: Movements::default(),
        }
    }

    /// Lets everyone keep what it owns and still subscribes to. Says whether something else was owned.
    fn keep(&mut self, claims: &Claims) -> bool {
        let mut gave_up_some = false;
        for (partition, claim) in claims.owners.iter().enumerate() {
            let Some(member) = *claim else { continue };
            if self.can_have(member, partition) {
                self.owners[partition] = Some(member);
                self.loads[member] += 1;
            } else {
                gave_up_some = true;
            }
        }
        gave_up_some
    }

    fn balance(&mut self, gave_up_some: bool) {
        let from_nothing = self.loads.iter().all(|load| *load == 0);
        let mut all = self.by_choice();
        let mut given: Vec<usize> = all.clone();
        given.retain(|partition| self.owners[*partition].is_none());
        for partition in &given {
            if let Some(member) = self.least_loaded_for(*partition) {
                self.owners[*partition] = Some(member);
                self.loads[member] += 1;
            }
        }

        all.retain(|partition| self.has_choice(*partition));
        given.retain(|partition| self.has_choice(*partition));
        self.movable = self.movable_members();
        let before = (self.owners.clone(), self.loads.clone());
        let score_before = self.score();
        if !gave_up_some {
            self.improve(&given);
        }
        if self.improve(&all) && !from_nothing && self.score() >= score_before {
            (self.owners, self.loads) = before;
        }
    }

    /// All partitions; those come first that the fewest can have.
    fn by_choice(&self) -> Vec<usize> {
        let mut topics: Vec<_> = self.input.topics.iter().collect();
        topics.sort_by_key(|topic| topic.subscribers.len());
        let partitions = topics.into_iter().map(|topic| topic.partitions.clone());
        partitions.flatten().collect()
    }

    fn movable_members(&self) -> Vec<usize> {
        let mut could_get = vec![0; self.loads.len()];
        for topic in &self.input.topics {
            for member in &topic.subscribers {
                could_get[*member] += topic.partitions.len();
            }
        }
        let mut is_movable: Vec<bool> = self
            .loads
            .iter()
            .zip(could_get)
            .map(|(load, possible)| *load < possible)
            .collect();
        for (partition, owner) in self.owners.iter().enumerate() {
            if let Some(owner) = owner {
                is_movable[*owner] |= self.has_choice(partition);
            }
        }
        let members = 0..is_movable.len();
        members.filter(|member| is_movable[*member]).collect()
    }

    /// Moves partitions of this list until no move of one helps. Says whether any moved.
    fn improve(&mut self, partitions: &[usize]) -> bool {
        let mut moved = false;
        for _ in 0..MOST_PASSES {
            let (moved_now, is_balanced) = self.improve_once(partitions);
            moved |= moved_now;
            if is_balanced || !moved_now {
                break;
            }
        }
        moved
    }

    /// Goes through the list once. Says whether any moved, and whether the balance was found good.
    fn improve_once(&mut self, partitions: &[usize]) -> (bool, bool) {
        let mut moved = false;
        let mut is_checked = false;
        for partition in partitions {
            // Only a move can change it.
            if !is_checked && self.is_balanced() {
                return (moved, true);
            }
            is_checked = true;
            if let Some((from, to)) = self.better_place(*partition) {
                self.move_one_like(*partition, from, to);
                moved = true;
                is_checked = false;
            }
        }
        (moved, false)
    }

    /// Who has the partition, and who should: its former owner, or else the least loaded subscriber, if
    /// that is a gain.
    fn better_place(&self, partition: usize) -> Option<(usize, usize)> {
        let owner = self.owners[partition]?;
        let is_gain = |member: &usize| self.loads[owner] > self.loads[*member] + 1;
        let former = self.former[partition].filter(|former| self.can_have(*former, partition));
        let other = former
            .filter(is_gain)
            .or_else(|| self.least_loaded_for(partition).filter(is_gain))?;
        Some((owner, other))
    }

    fn move_one_like(&mut self, partition: usize, from: usize, to: usize) {
        let chosen = self.movements.instead_of(self.moving(partition), from, to);
        // Not always `from`: the chosen one may have gone to an earlier owner of the other.
        let Some(owner) = self.owners[chosen] else {
            return;
        };
        self.movements.record(self.moving(chosen), owner, to);
        self.owners[chosen] = Some(to);
        self.loads[owner] -= 1;
        self.loads[to] += 1;
    }

    fn moving(&self, partition: usize) -> Moving {
        Moving {
            partition,
            topic: self.topic_of[partition],
            hash: java::hash_of_partition(self.input.partition(partition)),
        }
    }

    /// Whether nobody has at least two partitions more than another one that could have one of them.
    fn is_balanced(&self) -> bool {
        let loads = self.movable.iter().map(|member| self.loads[*member]);
        let least = loads.clone().min().unwrap_or(0);
        let most = loads.max().unwrap_or(0);
        least + 1 >= most
            || self.input.topics.iter().all(|topic| {
                let least = topic
                    .subscribers
                    .iter()
                    .map(|member| self.loads[*member])
                    .min();
                let owners = self.owners[topic.partitions.clone()].iter().flatten();
                let most = owners.map(|member| self.loads[*member]).max();
                least.map(|least| least + 1) >= most
            })
    }

    /// The sum of the differences of all pairs: the less, the more even.
    fn score(&self) -> usize {
        let mut loads: Vec<_> = self
            .movable
            .iter()
            .map(|member| self.loads[*member])
            .collect();
        loads.sort_unstable();
        let mut lower = 0;
        let mut score = 0;
        for (place, load) in loads.into_iter().enumerate() {
            score += place * load - lower;
            lower += load;
        }
        score
    }

    fn least_loaded_for(&self, partition: usize) -> Option<usize> {
        let subscribers = self.subscribers(partition).iter().copied();
        subscribers.min_by_key(|member| (self.loads[*member], self.places[*member]))
    }

    fn subscribers(&self, partition: usize) -> &[usize] {
        &self.input.topics[self.topic_of[partition]].subscribers
    }

    fn has_choice(&self, partition: usize) -> bool {
        self.subscribers(partition).len() > 1
    }

    fn can_have(&self, member: usize, partition: usize) -> bool {
        self.input.topics[self.topic_of[partition]].has_subscriber(member)
    }
}

fn places_by_id(input: &Input<'_>) -> Vec<usize> {
    let mut by_id: Vec<usize> = (0..input.members.len()).collect();
    let id = |member: &usize| &input.members[*member].member_id;
    by_id.sort_by(|a, b| java::compare(id(a), id(b)));
    let mut places = vec![0; by_id.len()];
    for (place, member) in by_id.into_iter().enumerate() {
        places[member] = place;
    }
    places
}

/// By partition, the claim of the highest generation before the latest one.
fn former_owners(input: &Input<'_>) -> Owners {
    let members = 0..input.members.len();
    let latest = members
        .clone()
        .map(|member| generation(input, member))
        .max();
    let mut former: Owners = vec![None; input.partition_count()];
    for member in members.filter(|member| Some(generation(input, *member)) < latest) {
        for partition in input.claims(member) {
            let known = former[partition].map(|other| generation(input, other));
            if known < Some(generation(input, member)) {
                former[partition] = Some(member);
            }
        }
    }
    former
}
