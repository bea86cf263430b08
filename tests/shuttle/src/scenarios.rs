//! What the threads do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::error::Error;
use crate::group::assignor::CooperativeSticky;
use crate::group::coordinator::{Coordinator, Joining, Membership};
use crate::group::signal::Signal;
use crate::group::state::{Profile, Step, Subscribed, TopicFacts};
use crate::notify::Waiter;
use crate::record::{Offset, TopicPartition};
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(crate) const ALL: [(&str, fn()); 3] = [
    ("members come and go", come_and_go),
    ("members are late", late_members),
    ("the last one owns everything", last_one_owns_everything),
];

const PARTITIONS: u32 = 4;
const INTERVAL: Duration = Duration::from_secs(10);
const GROUP: &str = "g";

/// What all threads share, and what must always hold.
#[derive(Default)]
struct World {
    coordinator: Coordinator,
    /// Who reads a partition, by the readers' own account.
    readers: Mutex<BTreeMap<TopicPartition, String>>,
    /// What is committed; only an owner may move it.
    committed: Mutex<BTreeMap<TopicPartition, Offset>>,
    seconds: AtomicU64,
}

impl World {
    fn now(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    fn join(self: &Arc<Self>) -> Member {
        let waiter = Arc::new(Waiter::default());
        let signal = Arc::new(Signal::new(Arc::clone(&waiter), self.now()));
        let profile = Profile {
            instance_id: None,
            client_id: String::new(),
            host: String::new(),
            assignor: Arc::new(CooperativeSticky),
            max_poll_interval: INTERVAL,
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
}

/// What a consumer does, without records.
struct Member {
    world: Arc<World>,
    membership: Membership,
    waiter: Arc<Waiter>,
    /// Where it is in each of its partitions.
    mine: BTreeMap<TopicPartition, Offset>,
}

impl Member {
    /// One poll that does not wait. False if the member was fenced.
    fn poll(&mut self) -> bool {
        self.membership.signal().begin_poll();
        let alive = !self.membership.signal().has_news() || self.follow();
        if alive {
            for position in self.mine.values_mut() {
                *position += 1;
            }
        }
        self.membership.signal().end_poll(self.world.now());
        alive
    }

    /// A poll that waits until this member owns `count` partitions.
    fn poll_until_owner_of(&mut self, count: usize) {
        self.membership.signal().begin_poll();
        loop {
            self.waiter.reset();
            assert!(!self.membership.signal().has_news() || self.follow());
            if self.mine.len() == count {
                break;
            }
            self.waiter.wait();
        }
        self.membership.signal().end_poll(self.world.now());
    }

    fn follow(&mut self) -> bool {
        loop {
            match self.membership.next_step() {
                Step::Settled => return true,
                Step::Fenced(_) => return false,
                Step::Revoke(partitions) => {
                    if thread_rng().gen_bool(0.5) {
                        self.commit();
                    }
                    for partition in &partitions {
                        self.mine.remove(partition).unwrap();
                        self.world.readers.lock().remove(partition).unwrap();
                    }
                    self.membership.release(&partitions, self.world.now());
                }
                Step::Assign(granted) => {
                    for granted in granted {
                        let id = self.membership.id().to_string();
                        let mut readers = self.world.readers.lock();
                        let other = readers.insert(granted.partition.clone(), id);
                        assert_eq!(other, None, "{} has two owners", granted.partition);
                        drop(readers);
                        let committed = self.world.committed.lock();
                        let start = committed.get(&granted.partition).copied().unwrap_or(0);
                        self.mine.insert(granted.partition, start);
                    }
                }
            }
        }
    }

    /// Commits all positions. They only grow, so a commit that moves one back is somebody else's.
    fn commit(&self) {
        let result = self.membership.with_owned(self.mine.keys(), || {
            let readers = self.world.readers.lock();
            for (partition, position) in &self.mine {
                assert_eq!(
                    readers.get(partition).map(String::as_str),
                    Some(&**self.membership.id())
                );
                let former = self
                    .world
                    .committed
                    .lock()
                    .insert(partition.clone(), *position);
                assert!(
                    former.is_none_or(|former| former <= *position),
                    "moved back"
                );
            }
            Ok(())
        });
        assert!(matches!(result, Ok(()) | Err(Error::Fenced { .. })));
    }

    fn leave(self) {
        let mut readers = self.world.readers.lock();
        for partition in self.mine.keys() {
            readers.remove(partition).unwrap();
        }
        drop(readers);
        self.membership.leave(self.world.now(), |_| {});
    }
}

fn come_and_go() {
    let world = Arc::<World>::default();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut member = world.join();
                    for _ in 0..thread_rng().gen_range(0..4) {
                        assert!(member.poll(), "nobody is late");
                        if thread_rng().gen_bool(0.3) {
                            member.commit();
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

/// One member reads as it likes; the clock runs away from it. What it believes to own when it is late is not
/// checked against the others: it learns of it at its next poll, and its commits do not count.
fn late_members() {
    let world = Arc::<World>::default();
    let slow = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let member = world.join();
            for _ in 0..3 {
                member.membership.signal().begin_poll();
                if member.membership.signal().has_news() {
                    match member.membership.next_step() {
                        Step::Fenced(_) => return true,
                        Step::Revoke(partitions) => {
                            member.membership.release(&partitions, world.now());
                        }
                        Step::Assign(_) | Step::Settled => {}
                    }
                }
                // Inside of a poll nobody is late: what it owned when it began is still its own.
                let owned = world.coordinator.view(GROUP).unwrap();
                let me = owned
                    .members
                    .iter()
                    .find(|view| view.id == *member.membership.id());
                assert!(me.is_some(), "fenced inside of a poll");
                member.membership.signal().end_poll(world.now());
                thread::yield_now();
            }
            member.membership.leave(world.now(), |_| {});
            false
        })
    };
    let clock = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            for _ in 0..3 {
                world.seconds.fetch_add(6, Ordering::SeqCst);
                world.coordinator.remove_late(world.now());
            }
        })
    };
    slow.join().unwrap();
    clock.join().unwrap();
}

fn last_one_owns_everything() {
    let world = Arc::<World>::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut member = world.join();
                assert!(member.poll());
                member.leave();
            })
        })
        .collect();
    let mut last = world.join();
    last.poll_until_owner_of(PARTITIONS as usize);
    for thread in threads {
        thread.join().unwrap();
    }
    // Somebody may have come after it had everything.
    last.poll_until_owner_of(PARTITIONS as usize);
    last.leave();
}
