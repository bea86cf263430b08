//! What the threads do.
//!
//! Elsewhere: those in which a member loses its place ([`fences`](super::fences)).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::error::Error;
use crate::fences;
use crate::group::assignor::{CooperativeSticky, Range};
use crate::group::coordinator::{Coordinator, Joining, Membership};
use crate::group::signal::Signal;
use crate::group::state::{Fence, Profile, Step, Subscribed, TopicFacts};
use crate::notify::Waiter;
use crate::record::{Offset, TopicPartition};
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(crate) const ALL: [(&str, fn()); 7] = [
    ("members come and go", come_and_go),
    ("everyone gets its share", everyone_gets_its_share),
    ("the last one owns everything", last_one_owns_everything),
    ("members are late", fences::late_in_its_polls),
    ("who is late is taken over from", fences::taken_over),
    ("who does not give up is removed", fences::does_not_give_up),
    ("a static member is replaced", fences::replaced),
];

pub(crate) const PARTITIONS: u32 = 4;
pub(crate) const ALL_PARTITIONS: usize = PARTITIONS as usize;
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const GROUP: &str = "g";

/// What all threads share, and what must always hold.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) coordinator: Coordinator,
    /// Who reads a partition, by the readers' own account. Who was removed stays until somebody else reads.
    readers: Mutex<BTreeMap<TopicPartition, String>>,
    /// What is committed; only an owner may move it.
    committed: Mutex<BTreeMap<TopicPartition, Offset>>,
    seconds: AtomicU64,
}

/// How somebody joins.
#[derive(Clone, Copy)]
pub(crate) struct As {
    pub(crate) instance: Option<&'static str>,
    pub(crate) max_poll_interval: Duration,
    /// With an assignor that moves partitions in one step, whoever owns them.
    pub(crate) eager: bool,
}

impl As {
    /// Whoever polls now and then.
    pub(crate) const ANYBODY: Self = Self {
        instance: None,
        max_poll_interval: INTERVAL,
        eager: false,
    };
    /// Whoever is never late, however far the clock goes.
    pub(crate) const PATIENT: Self = Self {
        instance: None,
        max_poll_interval: Duration::from_secs(1_000_000_000),
        eager: false,
    };
    pub(crate) const STATIC: Self = Self {
        instance: Some("i"),
        max_poll_interval: INTERVAL,
        eager: false,
    };
}

impl World {
    pub(crate) fn now(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    /// The clock goes on, and whoever is late by then is removed.
    pub(crate) fn let_time_pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
        self.coordinator.remove_late(self.now());
    }

    pub(crate) fn join(self: &Arc<Self>, how: As) -> Member {
        let waiter = Arc::new(Waiter::default());
        let signal = Arc::new(Signal::new(Arc::clone(&waiter), self.now()));
        let profile = Profile {
            instance_id: how.instance.map(str::to_owned),
            client_id: String::new(),
            host: String::new(),
            assignor: if how.eager {
                Arc::new(Range)
            } else {
                Arc::new(CooperativeSticky)
            },
            max_poll_interval: how.max_poll_interval,
            session_timeout: INTERVAL,
        };
        let subscribed = Subscribed {
            topics: ["t".to_owned()].into(),
            facts: &|_| {
                Some(TopicFacts {
                    partitions: PARTITIONS,
                    serial: 0,
                })
            },
            last_serial: 0,
            now: self.now(),
        };
        let joining = Joining { profile, signal };
        let joined = self.coordinator.join(GROUP, joining, subscribed, 0, |_| {});
        Member {
            world: Arc::clone(self),
            membership: joined.unwrap(),
            waiter,
            mine: BTreeMap::new(),
        }
    }

    fn is_member(&self, id: &str) -> bool {
        let view = self.coordinator.view(GROUP);
        view.is_some_and(|view| view.members.iter().any(|member| *member.id == *id))
    }
}

/// What a consumer does, without records.
pub(crate) struct Member {
    world: Arc<World>,
    pub(crate) membership: Membership,
    waiter: Arc<Waiter>,
    /// Where it is in each of its partitions.
    mine: BTreeMap<TopicPartition, Offset>,
}

impl Member {
    /// One poll that does not wait. `Err` if the member was fenced.
    pub(crate) fn poll(&mut self) -> Result<(), Fence> {
        self.membership.signal().begin_poll();
        if self.membership.signal().has_news() {
            self.follow()?;
        }
        for position in self.mine.values_mut() {
            *position += 1;
        }
        self.membership.signal().end_poll(self.world.now());
        Ok(())
    }

    /// A poll that waits until this member owns `count` partitions.
    pub(crate) fn poll_until_owner_of(&mut self, count: usize) {
        self.membership.signal().begin_poll();
        loop {
            self.waiter.reset();
            if self.membership.signal().has_news() {
                assert_eq!(self.follow(), Ok(()));
            }
            if self.mine.len() == count {
                break;
            }
            self.waiter.wait();
        }
        self.membership.signal().end_poll(self.world.now());
    }

    /// How many partitions it believes to own.
    pub(crate) fn count(&self) -> usize {
        self.mine.len()
    }

    fn follow(&mut self) -> Result<(), Fence> {
        loop {
            match self.membership.next_step() {
                Step::Settled => return Ok(()),
                Step::Fenced(fence) => return Err(fence),
                Step::Revoke(partitions) => {
                    if thread_rng().gen_bool(0.5) {
                        self.commit();
                    }
                    self.give_up(&partitions);
                    self.membership.release(&partitions, self.world.now());
                }
                Step::Assign(granted) => {
                    for granted in granted {
                        self.take_on(granted.partition);
                    }
                }
            }
        }
    }

    /// Whoever read this before has given it up, or is no member any more.
    fn take_on(&mut self, partition: TopicPartition) {
        let me = self.membership.id().to_string();
        let of_mine = std::iter::once(&partition);
        let taken = self.membership.with_owned(of_mine, || {
            Ok(self.world.readers.lock().insert(partition.clone(), me))
        });
        match taken {
            Ok(Some(former)) => assert!(
                !self.world.is_member(&former),
                "{partition} has two owners: {former} and {}",
                self.membership.id()
            ),
            Ok(None) => {}
            // It lost the partition already, and does not know.
            Err(_) => assert!(!self.membership.is_member(), "granted and not owned"),
        }
        let committed = self.world.committed.lock();
        let start = committed.get(&partition).copied().unwrap_or(0);
        self.mine.insert(partition, start);
    }

    fn give_up(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.mine.remove(partition).unwrap();
            let mut readers = self.world.readers.lock();
            let is_mine = readers.get(partition).map(String::as_str) == Some(self.membership.id());
            if is_mine {
                readers.remove(partition);
            }
            drop(readers);
            assert!(
                is_mine || !self.membership.is_member(),
                "{partition} was taken from a member"
            );
        }
    }

    /// Commits all positions; true if that counts, which it does as long as this is a member.
    pub(crate) fn commit(&self) -> bool {
        let was_member = self.membership.is_member();
        let mut counted = false;
        let result = self.membership.with_owned(self.mine.keys(), || {
            counted = true;
            self.move_committed();
            Ok(())
        });
        match result {
            Ok(()) => assert!(was_member && counted, "a commit of no member counts"),
            Err(Error::Fenced { .. }) => {
                assert!(!counted, "a commit counts that was refused");
                assert!(!self.membership.is_member(), "an owner's commit is refused");
            }
            Err(error) => panic!("{error}"),
        }
        counted
    }

    /// Commits for somebody else's partition, or nobody's.
    fn commit_foreign(&self) {
        for number in 0..PARTITIONS {
            let partition = TopicPartition::new("t", number);
            if !self.mine.contains_key(&partition) {
                let result = (self.membership).with_owned([&partition].into_iter(), || Ok(()));
                assert!(matches!(result, Err(Error::Fenced { .. })), "{result:?}");
            }
        }
    }

    /// Positions only grow, so a commit that moves one back is somebody else's.
    fn move_committed(&self) {
        let readers = self.world.readers.lock();
        let mut committed = self.world.committed.lock();
        for (partition, position) in &self.mine {
            let reader = readers.get(partition).map(String::as_str);
            assert_eq!(reader, Some(&**self.membership.id()), "who reads commits");
            let former = committed.insert(partition.clone(), *position);
            assert!(
                former.is_none_or(|former| former <= *position),
                "moved back"
            );
        }
    }

    pub(crate) fn leave(mut self) {
        let all: Vec<_> = self.mine.keys().cloned().collect();
        self.give_up(&all);
        self.membership.leave(self.world.now(), |_| {});
    }
}

/// Nobody is late: whatever a member commits counts.
fn come_and_go() {
    let world = Arc::<World>::default();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut member = world.join(As::ANYBODY);
                    for _ in 0..thread_rng().gen_range(0..4) {
                        assert_eq!(member.poll(), Ok(()), "nobody is late");
                        if thread_rng().gen_bool(0.3) {
                            assert!(member.commit(), "nobody is late");
                            member.commit_foreign();
                        }
                    }
                    member.leave();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(world.coordinator.live_groups().is_empty());
}

/// Nobody comes or goes any more: what one member gives up wakes the other, who waits for it.
fn everyone_gets_its_share() {
    let world = Arc::<World>::default();
    let eager = thread_rng().gen_bool(0.5);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut member = world.join(As {
                    eager,
                    ..As::ANYBODY
                });
                member.poll_until_owner_of(ALL_PARTITIONS / 2);
                member
            })
        })
        .collect();
    let members = threads.into_iter().map(|thread| thread.join().unwrap());
    for member in members.collect::<Vec<_>>() {
        assert!(member.commit(), "nobody is late");
        member.leave();
    }
}

fn last_one_owns_everything() {
    let world = Arc::<World>::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut member = world.join(As::ANYBODY);
                assert_eq!(member.poll(), Ok(()));
                member.leave();
            })
        })
        .collect();
    let mut last = world.join(As::ANYBODY);
    last.poll_until_owner_of(ALL_PARTITIONS);
    for thread in threads {
        thread.join().unwrap();
    }
    // Somebody may have come after it had everything.
    last.poll_until_owner_of(ALL_PARTITIONS);
    last.leave();
}
