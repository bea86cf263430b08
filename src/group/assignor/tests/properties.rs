//! What holds for any group: random ones, through a life of joining, leaving and growing.

use super::*;

/// `SplitMix64`: small, and good enough for test data.
struct Random(u64);

impl Random {
    /// Less than `end`, which is not 0.
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % u64::from(end)).unwrap()
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u32::try_from(length).unwrap())).unwrap()
    }
}

/// A group, and what may happen to it.
struct Group {
    random: Random,
    is_equal: bool,
    partitions: Counts,
    members: Vec<MemberSubscription>,
}

impl Group {
    fn new(seed: u64, is_equal: bool) -> Self {
        let mut random = Random(seed);
        let names = ["a", "b", "c", "d", "e"];
        let topics = 1 + random.index(names.len());
        let partitions = names[..topics].iter();
        let partitions = partitions
            .map(|name| ((*name).to_owned(), 1 + random.below(12)))
            .collect();
        let mut group = Self {
            random,
            is_equal,
            partitions,
            members: Vec::new(),
        };
        for _ in 0..=group.random.below(6) {
            group.join();
        }
        group
    }

    fn join(&mut self) {
        let id = format!("member-{}", self.random.below(1_000_000));
        let topics: Vec<String> = self.partitions.keys().cloned().collect();
        let topics = topics
            .into_iter()
            .filter(|_| self.is_equal || self.random.below(5) < 3);
        let mut member = MemberSubscription::new(id, topics.collect::<Vec<_>>());
        if self.random.below(5) == 0 {
            member = member.instance_id(format!("static-{}", self.random.below(1_000_000)));
        }
        if self
            .members
            .iter()
            .all(|other| other.member_id != member.member_id)
        {
            self.members.push(member);
        }
    }

    fn change(&mut self) {
        let at = self.random.index(self.members.len());
        match self.random.below(4) {
            0 | 1 => self.join(),
            2 if self.members.len() > 1 => drop(self.members.remove(at)),
            _ => {
                let at = self.random.index(self.partitions.len());
                let count = self.partitions.values_mut().nth(at);
                *count.unwrap() += 1 + self.random.below(3);
            }
        }
    }

    /// Makes members claim things, whoever else does.
    fn claim_at_random(&mut self) {
        let all: Vec<_> = assignable(&self.members, &self.partitions)
            .into_iter()
            .collect();
        for member in &mut self.members {
            let mut owned = all.clone();
            owned.retain(|_| self.random.below(3) == 0);
            member.owned = owned;
            member.generation = i32::try_from(self.random.below(3)).unwrap() - 1;
        }
    }
}

/// Calls `check` with many groups: in turn as they came to be by this assignor, and with wild claims.
fn for_many_groups(is_equal: bool, assignor: &dyn Assignor, mut check: impl FnMut(&Group)) {
    for seed in 0..60 {
        let mut group = Group::new(seed, is_equal);
        for generation in 1..8 {
            check(&group);
            let assignment = assignor.assign(&group.members, &group.partitions);
            group.members = owning(&group.members, &assignment, generation);
            group.change();
        }
        group.claim_at_random();
        check(&group);
    }
}

fn is_subscriber(group: &Group, id: &str, topic: &str) -> bool {
    let mut members = group.members.iter();
    members.any(|member| member.member_id == id && member.topics.iter().any(|own| own == topic))
}

#[test]
fn every_partition_gets_one_subscriber() {
    for assignor in [&Range as &dyn Assignor, &RoundRobin, &Sticky] {
        for is_equal in [true, false] {
            for_many_groups(is_equal, assignor, |group| {
                let assignment = assignor.assign(&group.members, &group.partitions);
                assert_eq!(assignment.len(), group.members.len());
                let given: Vec<_> = assignment.values().flatten().cloned().collect();
                let once: BTreeSet<_> = given.iter().cloned().collect();
                assert_eq!(given.len(), once.len(), "something is given twice");
                assert_eq!(once, assignable(&group.members, &group.partitions));
                for (id, partitions) in &assignment {
                    assert!(partitions.is_sorted());
                    let mut topics = partitions.iter().map(TopicPartition::topic);
                    assert!(topics.all(|topic| is_subscriber(group, id, topic)));
                }
            });
        }
    }
}

#[test]
fn the_order_of_members_topics_and_claims_does_not_matter() {
    for assignor in ALL {
        for is_equal in [true, false] {
            for_many_groups(is_equal, assignor, |group| {
                let mut members = group.members.clone();
                members.reverse();
                for member in &mut members {
                    member.topics.reverse();
                    member.owned.reverse();
                }
                assert_eq!(
                    assignor.assign(&members, &group.partitions),
                    assignor.assign(&group.members, &group.partitions),
                );
            });
        }
    }
}

#[test]
fn with_equal_subscriptions_no_member_gets_two_more_than_another() {
    for assignor in [&RoundRobin as &dyn Assignor, &Sticky] {
        for_many_groups(true, assignor, |group| {
            let assignment = assignor.assign(&group.members, &group.partitions);
            let counts: Vec<usize> = assignment.values().map(Vec::len).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        });
    }
}

#[test]
fn range_is_even_within_each_topic() {
    for_many_groups(false, &Range, |group| {
        let assignment = Range.assign(&group.members, &group.partitions);
        for topic in group.partitions.keys() {
            let subscribers = group.members.iter();
            let counts = subscribers
                .filter(|member| member.topics.contains(topic))
                .map(|member| assignment[&member.member_id].iter())
                .map(|partitions| partitions.filter(|one| one.topic() == topic).count());
            let counts: Vec<usize> = counts.collect();
            let (most, least) = (counts.iter().max(), counts.iter().min());
            assert!(most.is_none_or(|most| most - least.unwrap() <= 1));
        }
    });
}

/// How many partitions stay with a member that owns them, when everyone gets an even share: whoever
/// has less than that keeps all; as many as there are places above, of those that have more, keep one
/// more.
fn most_that_can_stay(group: &Group) -> usize {
    let all = assignable(&group.members, &group.partitions).len();
    let (share, above) = (all / group.members.len(), all % group.members.len());
    let owned = group.members.iter().map(|member| member.owned.len());
    let with_more = owned.clone().filter(|count| *count > share).count();
    owned.map(|count| count.min(share)).sum::<usize>() + with_more.min(above)
}

fn stayed(group: &Group, assignment: &Assignment) -> usize {
    let stayed = |member: &MemberSubscription| {
        let owned = member.owned.iter();
        let now = &assignment[&member.member_id];
        owned.filter(|partition| now.contains(partition)).count()
    };
    group.members.iter().map(stayed).sum()
}

#[test]
fn with_equal_subscriptions_sticky_moves_the_minimum() {
    for seed in 0..200 {
        let mut group = Group::new(seed, true);
        for generation in 1..8 {
            let assignment = Sticky.assign(&group.members, &group.partitions);
            assert_eq!(stayed(&group, &assignment), most_that_can_stay(&group));
            group.members = owning(&group.members, &assignment, generation);
            group.change();
        }
    }
}

#[test]
fn what_is_sticky_stays_if_nothing_changed() {
    for is_equal in [true, false] {
        for_many_groups(is_equal, &Sticky, |group| {
            let first = Sticky.assign(&group.members, &group.partitions);
            let members = owning(&group.members, &first, 9);
            assert_eq!(Sticky.assign(&members, &group.partitions), first);
            assert_eq!(CooperativeSticky.assign(&members, &group.partitions), first);
        });
    }
}

#[test]
fn with_unequal_subscriptions_no_single_move_would_make_sticky_more_even() {
    for seed in 0..200 {
        let group = Group::new(seed, false);
        let assignment = Sticky.assign(&group.members, &group.partitions);
        for (owner, partitions) in &assignment {
            for partition in partitions {
                let mut others = assignment.iter();
                assert!(others.all(|(other, theirs)| {
                    !is_subscriber(&group, other, partition.topic())
                        || theirs.len() + 1 >= partitions.len()
                        || other == owner
                }));
            }
        }
    }
}

#[test]
fn cooperative_gives_nothing_away_that_another_member_owns() {
    for is_equal in [true, false] {
        for_many_groups(is_equal, &CooperativeSticky, |group| {
            let assignment = CooperativeSticky.assign(&group.members, &group.partitions);
            for partition in assignable(&group.members, &group.partitions) {
                let owns = |member: &&MemberSubscription| member.owned.contains(&partition);
                let owners: Vec<_> = group.members.iter().filter(owns).collect();
                let new = owner_of(&assignment, &partition);
                // Who owns it already may keep it, even if another one claims it too.
                let stays = owners.iter().any(|owner| new == Some(&owner.member_id));
                assert!(owners.is_empty() || new.is_none() || stays);
            }
        });
    }
}

#[test]
fn cooperative_never_stops_a_partition_that_does_not_move() {
    for is_equal in [true, false] {
        for_many_groups(is_equal, &CooperativeSticky, |group| {
            let round = CooperativeSticky.assign(&group.members, &group.partitions);
            let whole = Sticky.assign(&group.members, &group.partitions);
            let is_claimed_once = |partition: &TopicPartition| {
                let members = group.members.iter();
                members
                    .filter(|member| member.owned.contains(partition))
                    .count()
                    == 1
            };
            for member in &group.members {
                let owned = member.owned.iter();
                for partition in owned.filter(|partition| is_claimed_once(partition)) {
                    if owner_of(&whole, partition) == Some(&member.member_id) {
                        assert_eq!(owner_of(&round, partition), Some(&*member.member_id));
                    }
                }
            }
        });
    }
}

/// How many rounds it takes until everything is given out and stays.
fn rounds_to_rest(group: &Group) -> usize {
    let mut members = group.members.clone();
    let mut last = Assignment::new();
    for round in 0..10 {
        let next = CooperativeSticky.assign(&members, &group.partitions);
        if next == last {
            let given: usize = next.values().map(Vec::len).sum();
            assert_eq!(given, assignable(&members, &group.partitions).len());
            return round;
        }
        members = owning(&members, &next, 9);
        last = next;
    }
    panic!("the group does not come to rest");
}

#[test]
fn cooperative_gives_out_everything_after_few_rounds() {
    for_many_groups(true, &CooperativeSticky, |group| {
        assert!(rounds_to_rest(group) <= 2);
    });
    // What is given up may make another move worth while.
    for_many_groups(false, &CooperativeSticky, |group| {
        assert!(rounds_to_rest(group) <= 3);
    });
}
