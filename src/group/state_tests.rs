//! A group's promises, step by step.

use super::*;
use crate::group::assignor::{Assignment, Assignor, CooperativeSticky, MemberSubscription, Range};

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(10);

fn facts(partitions: u32, serial: u64) -> TopicFacts {
    TopicFacts { partitions, serial }
}

/// A group of members that do every step at once, and check what must always hold.
struct Group {
    state: GroupMembers,
    topics: BTreeMap<String, u32>,
    assignor: Arc<dyn Assignor>,
    signals: BTreeMap<MemberId, Arc<Signal>>,
    now: Duration,
}

impl Group {
    fn new(topics: &[(&str, u32)]) -> Self {
        Self {
            state: GroupMembers::default(),
            topics: topics
                .iter()
                .map(|(topic, count)| ((*topic).to_owned(), *count))
                .collect(),
            assignor: Arc::new(CooperativeSticky),
            signals: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    fn profile(&self, instance: Option<&str>) -> Profile {
        Profile {
            instance_id: instance.map(str::to_owned),
            client_id: String::new(),
            host: String::new(),
            assignor: Arc::clone(&self.assignor),
            max_poll_interval: INTERVAL,
            session_timeout: INTERVAL * 2,
        }
    }

    fn join_as(&mut self, id: &str, instance: Option<&str>, topics: &[&str]) -> MemberId {
        let id = MemberId::from(id);
        let signal = Arc::new(Signal::new(Arc::default(), self.now));
        let counts = self.topics.clone();
        let subscribed = Subscribed {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            facts: &|topic| Some(facts(*counts.get(topic)?, 0)),
            last_serial: 0,
            now: self.now,
        };
        self.signals.insert(Arc::clone(&id), Arc::clone(&signal));
        self.state
            .join(Arc::clone(&id), self.profile(instance), signal, subscribed)
            .unwrap();
        self.check();
        id
    }

    fn join(&mut self, id: &str) -> MemberId {
        let topics: Vec<_> = self.topics.keys().cloned().collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        self.join_as(id, None, &topics)
    }

    fn step(&mut self, id: &MemberId) -> Step {
        let step = self.state.next_step(id);
        self.check();
        step
    }

    fn release(&mut self, id: &MemberId, partitions: &[TopicPartition]) {
        self.state.release(id, partitions, self.now);
        self.check();
    }

    /// Does everything that a member has to do; returns what it gave up and got.
    fn settle(&mut self, id: &MemberId) -> (Vec<String>, Vec<String>) {
        let (mut gone, mut got) = (Vec::new(), Vec::new());
        loop {
            match self.step(id) {
                Step::Settled => return (gone, got),
                Step::Revoke(partitions) => {
                    gone.extend(partitions.iter().map(ToString::to_string));
                    self.release(id, &partitions);
                }
                Step::Assign(granted) => {
                    got.extend(granted.iter().map(|granted| granted.partition.to_string()));
                }
                Step::Fenced(fence) => panic!("{id} is fenced: {fence:?}"),
            }
        }
    }

    fn owned(&self, id: &MemberId) -> usize {
        self.state.members[id].owned.len()
    }

    /// One owner a partition, and who owns it knows; no overlap of targets.
    fn check(&self) {
        for (partition, owner) in &self.state.owners {
            let owner = &self.state.members[owner];
            assert!(owner.owned.contains(partition), "{partition}");
        }
        let owned = self.state.members.values().map(|member| member.owned.len());
        assert_eq!(owned.sum::<usize>(), self.state.owners.len());
        let targets = self
            .state
            .members
            .values()
            .flat_map(|member| &member.target);
        let mut seen = BTreeSet::new();
        for partition in targets {
            assert!(seen.insert(partition), "{partition} has two targets");
        }
        for (id, member) in self
            .state
            .members
            .iter()
            .filter(|(_, member)| member.is_present())
        {
            let surplus = member.owned.difference(&member.target).next();
            let mut missing = member.target.difference(&member.owned);
            let free = missing.find(|partition| !self.state.owners.contains_key(partition));
            if surplus.is_some() || free.is_some() {
                assert!(
                    self.signals[id].has_news(),
                    "{id} has a step and was not told"
                );
            }
        }
    }
}

#[test]
fn one_member_owns_everything_at_once() {
    let mut group = Group::new(&[("t", 3)]);
    let a = group.join("a");
    assert_eq!(group.settle(&a).1, ["t-0", "t-1", "t-2"]);
    assert!(group.state.is_settled());
    assert_eq!(group.state.generation(), 1);
}

#[test]
fn a_partition_changes_hands_only_when_its_owner_has_released_it() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join("a");
    group.settle(&a);
    let b = group.join("b");
    assert_eq!(group.step(&b), Step::Settled, "nothing is free yet");
    let Step::Revoke(partitions) = group.step(&a) else {
        panic!("`a` has to give two up");
    };
    assert_eq!(partitions.len(), 2);
    assert_eq!(group.step(&b), Step::Settled, "still owned while `a` stops");
    group.release(&a, &partitions);
    let expected: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    assert_eq!(group.settle(&b).1, expected);
    assert_eq!(group.settle(&a), (vec![], vec![]));
}

#[test]
fn what_does_not_move_is_not_touched() {
    for assignor in [
        Arc::new(CooperativeSticky) as Arc<dyn Assignor>,
        Arc::new(Range),
    ] {
        let mut group = Group::new(&[("t", 100)]);
        group.assignor = assignor;
        let a = group.join("a");
        group.settle(&a);
        let b = group.join("b");
        let (gone, got) = group.settle(&a);
        assert_eq!((gone.len(), got.len()), (50, 0));
        assert_eq!(group.settle(&b).1.len(), 50);
        assert_eq!(group.owned(&a), 50);
    }
}

#[test]
fn a_member_that_leaves_frees_what_it_had_at_once() {
    let mut group = Group::new(&[("t", 4)]);
    let (a, b) = (group.join("a"), group.join("b"));
    group.settle(&a);
    group.settle(&b);
    group.state.leave(&a, group.now);
    group.check();
    assert_eq!(group.settle(&b).1.len(), 2);
    assert_eq!(group.owned(&b), 4);
    group.state.leave(&b, group.now);
    assert_eq!(group.state.count(), 0);
}

#[test]
fn a_member_that_joins_and_leaves_before_anything_moved_moves_nothing() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join("a");
    group.settle(&a);
    let b = group.join("b");
    group.state.leave(&b, group.now);
    assert_eq!(group.settle(&a), (vec![], vec![]));
    assert_eq!(group.owned(&a), 4);
}

#[test]
fn who_does_not_poll_in_time_loses_everything_to_the_others() {
    let mut group = Group::new(&[("t", 4)]);
    let (a, b) = (group.join("a"), group.join("b"));
    group.settle(&a);
    group.settle(&b);
    group.signals[&b].begin_poll();
    let just_before = INTERVAL.saturating_sub(SECOND);
    assert_eq!(group.state.remove_late(just_before), Some(INTERVAL));
    assert_eq!(group.state.remove_late(INTERVAL), Some(INTERVAL * 2));
    group.check();
    assert_eq!(group.step(&a), Step::Fenced(Fence::Late));
    let t0 = TopicPartition::new("t", 0);
    assert!(matches!(
        group.state.check_owner(&a, [t0].iter()),
        Err(Error::Fenced { .. })
    ));
    assert_eq!(group.settle(&b).1.len(), 2, "`b` was polling all the time");
}

#[test]
fn who_does_not_give_up_in_time_is_removed_even_if_it_polls() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join("a");
    group.settle(&a);
    let b = group.join("b");
    group.signals[&a].begin_poll();
    group.signals[&b].begin_poll();
    assert!(matches!(group.step(&a), Step::Revoke(_)));
    group.state.remove_late(INTERVAL);
    assert_eq!(group.step(&a), Step::Fenced(Fence::Late));
    group.settle(&b);
    assert_eq!(group.owned(&b), 4);
}

#[test]
fn time_in_which_the_process_did_not_run_fences_nobody() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join("a");
    group.settle(&a);
    let woken = INTERVAL * 100;
    group.state.forgive(woken);
    assert_eq!(group.state.remove_late(woken), Some(woken + INTERVAL));
    group.state.remove_late(woken + INTERVAL);
    assert_eq!(group.step(&a), Step::Fenced(Fence::Late));
}

#[test]
fn the_place_of_a_static_member_is_kept_for_its_session_timeout() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join_as("a", Some("one"), &["t"]);
    let b = group.join("b");
    group.settle(&a);
    group.settle(&b);
    let generation = group.state.generation();
    group.state.leave(&a, group.now);
    group.check();
    assert_eq!(group.settle(&b), (vec![], vec![]), "nothing goes to `b`");
    let again = group.join_as("again", Some("one"), &["t"]);
    assert_eq!(group.settle(&again).1.len(), 2);
    assert_eq!(group.settle(&b), (vec![], vec![]));
    assert_eq!(group.state.generation(), generation, "no rebalance");

    group.state.leave(&again, group.now);
    group.signals[&b].begin_poll();
    group
        .state
        .remove_late((INTERVAL * 2).saturating_sub(SECOND));
    group.settle(&b);
    assert_eq!(group.owned(&b), 2);
    group.state.remove_late(INTERVAL * 2);
    group.settle(&b);
    assert_eq!(group.owned(&b), 4);
}

#[test]
fn a_second_consumer_with_the_same_instance_id_fences_the_first() {
    let mut group = Group::new(&[("t", 4)]);
    let a = group.join_as("a", Some("one"), &["t"]);
    group.settle(&a);
    let again = group.join_as("again", Some("one"), &["t"]);
    for _ in 0..2 {
        assert_eq!(group.step(&a), Step::Fenced(Fence::Replaced));
    }
    assert!(group.signals[&a].has_news());
    assert_eq!(group.settle(&again).1.len(), 4);
    group.state.leave(&a, group.now);
    assert_eq!(group.owned(&again), 4, "its leaving takes nothing along");
}

#[test]
fn new_partitions_and_topics_are_assigned_by_themselves_and_known_as_new() {
    let mut group = Group::new(&[("t", 1)]);
    let a = group.join("a");
    let Step::Assign(first) = group.step(&a) else {
        panic!("it owns everything");
    };
    assert!(!first[0].added);
    let refresh = |group: &mut Group, topics: &[(&str, TopicFacts)]| {
        let known: BTreeMap<_, _> = topics.iter().copied().collect();
        let subscribed = Subscribed {
            topics: known.keys().map(|topic| (*topic).to_owned()).collect(),
            facts: &|topic| known.get(topic).copied(),
            last_serial: 9,
            now: Duration::ZERO,
        };
        group.state.subscribe(&a, subscribed);
        group.check();
        group.step(&a)
    };
    let Step::Assign(more) = refresh(&mut group, &[("t", facts(2, 0)), ("u", facts(1, 1))]) else {
        panic!("there is more to own");
    };
    assert_eq!(more.len(), 2);
    assert!(more.iter().all(|granted| granted.added));
    let gone = refresh(&mut group, &[("u", facts(1, 1))]);
    let partitions = [0, 1].map(|number| TopicPartition::new("t", number));
    assert_eq!(gone, Step::Revoke(partitions.to_vec()));
    group.release(&a, &partitions);
    let Step::Assign(again) = refresh(&mut group, &[("t", facts(1, 2)), ("u", facts(1, 1))]) else {
        panic!("it is back");
    };
    assert!(again[0].added, "another topic of the same name");
}

#[test]
fn members_have_to_agree_on_the_assignor() {
    let mut group = Group::new(&[("t", 1)]);
    group.join("a");
    group.assignor = Arc::new(Range);
    let refused = group.state.join(
        "b".into(),
        group.profile(None),
        Arc::new(Signal::new(Arc::default(), Duration::ZERO)),
        Subscribed {
            topics: BTreeSet::new(),
            facts: &|_| None,
            last_serial: 0,
            now: Duration::ZERO,
        },
    );
    assert!(matches!(
        refused,
        Err(Error::InconsistentGroupProtocol { .. })
    ));
    assert_eq!(group.state.count(), 1);
}

/// Says the same partition for everybody, twice, and some that are not there.
#[derive(Debug)]
struct Careless;

impl Assignor for Careless {
    fn name(&self) -> &'static str {
        "careless"
    }

    fn assign(&self, members: &[MemberSubscription], _: &BTreeMap<String, u32>) -> Assignment {
        let wrong = [("t", 0), ("t", 0), ("t", 9), ("u", 0)];
        let wrong = wrong.map(|(topic, number)| TopicPartition::new(topic, number));
        let mut assignment: Assignment = members
            .iter()
            .map(|member| (member.member_id.clone(), wrong.to_vec()))
            .collect();
        assignment.insert("stranger".to_owned(), wrong.to_vec());
        assignment
    }
}

#[test]
fn a_careless_assignor_gives_nothing_twice_and_nothing_that_is_not_there() {
    let mut group = Group::new(&[("t", 2)]);
    group.assignor = Arc::new(Careless);
    let (a, b) = (group.join("a"), group.join("b"));
    assert_eq!(group.settle(&a).1, ["t-0"]);
    assert_eq!(group.settle(&b).1, Vec::<String>::new());
}

#[test]
fn what_a_partition_was_like_at_first_is_remembered_while_there_are_members() {
    let mut group = Group::new(&[("t", 1)]);
    let a = group.join("a");
    let t0 = TopicPartition::new("t", 0);
    let seen = |end| FirstSeen {
        end,
        added_since: end > 7,
    };
    let look = |group: &mut Group, serial, end| {
        let first_seen = group.state.first_seen(&t0, serial, || seen(end));
        first_seen.end
    };
    assert_eq!(look(&mut group, 0, 5), 5);
    let b = group.join("b");
    group.state.leave(&a, group.now);
    assert_eq!(look(&mut group, 0, 9), 5);
    assert_eq!(look(&mut group, 1, 0), 0, "another topic of the name");
    group.state.leave(&b, group.now);
    group.join("c");
    assert_eq!(look(&mut group, 1, 9), 9);
}

#[test]
fn a_topic_that_is_given_up_and_taken_up_again_is_not_new() {
    let mut group = Group::new(&[("t", 1)]);
    let a = group.join("a");
    group.settle(&a);
    for topics in [BTreeSet::new(), ["t".to_owned()].into()] {
        let subscribed = Subscribed {
            topics,
            facts: &|_| Some(facts(1, 0)),
            last_serial: 0,
            now: Duration::ZERO,
        };
        let is_empty = subscribed.topics.is_empty();
        group.state.subscribe(&a, subscribed);
        if is_empty {
            assert_eq!(group.settle(&a).0, ["t-0"]);
        }
    }
    let Step::Assign(again) = group.step(&a) else {
        panic!("it subscribes again");
    };
    assert!(!again[0].added);
}

/// Fails whenever it is asked with more than one member.
#[derive(Debug)]
struct Panicking;

impl Assignor for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn assign(
        &self,
        members: &[MemberSubscription],
        partitions: &BTreeMap<String, u32>,
    ) -> Assignment {
        assert_eq!(members.len(), 1, "on purpose");
        Range.assign(members, partitions)
    }
}

#[test]
fn an_assignor_that_panics_changes_nothing_and_harms_nobody() {
    let mut group = Group::new(&[("t", 2)]);
    group.assignor = Arc::new(Panicking);
    let a = group.join("a");
    group.settle(&a);
    let b = group.join("b");
    assert_eq!(group.settle(&a), (vec![], vec![]));
    assert_eq!(group.settle(&b), (vec![], vec![]));
    group.signals[&b].begin_poll();
    group.state.remove_late(INTERVAL);
    group.settle(&b);
    assert_eq!(group.owned(&b), 2);
}
