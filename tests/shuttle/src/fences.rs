//! What the threads do when a member loses its place: it is late, keeps what it is to give up, or is replaced.

use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::group::state::{Fence, Step};
use crate::scenarios::{ALL_PARTITIONS, As, INTERVAL, World};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// One member, and a clock that runs away from it: it is fenced between its polls, never inside of one.
pub(crate) fn late_in_its_polls() {
    let world = Arc::<World>::default();
    let slow = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let member = world.join(As::ANYBODY);
            for _ in 0..3 {
                member.membership.signal().begin_poll();
                if member.membership.signal().has_news()
                    && let Step::Fenced(fence) = member.membership.next_step()
                {
                    assert_eq!(fence, Fence::Late);
                    return;
                }
                assert!(member.membership.is_member(), "fenced inside of a poll");
                member.membership.signal().end_poll(world.now());
                thread::yield_now();
            }
            member.membership.signal().begin_poll();
            member.leave();
        })
    };
    let clock = {
        let world = Arc::clone(&world);
        thread::spawn(move || (0..3).for_each(|_| world.let_time_pass(6)))
    };
    slow.join().unwrap();
    clock.join().unwrap();
}

/// One member polls too seldom and commits too late, another takes over what it loses. What the late one believes
/// to own counts for nothing: each commit is checked against who owns and reads (`Member::commit`).
pub(crate) fn taken_over() {
    let world = Arc::<World>::default();
    let slow = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let mut member = world.join(As::ANYBODY);
            for _ in 0..3 {
                if let Err(fence) = member.poll() {
                    assert_eq!(fence, Fence::Late);
                    assert!(!member.commit(), "who was fenced commits");
                    break;
                }
                if thread_rng().gen_bool(0.5) {
                    thread::yield_now();
                }
                member.commit();
            }
            // It does not leave: only the clock makes it go.
        })
    };
    let quick = {
        let world = Arc::clone(&world);
        thread::spawn(move || {
            let mut member = world.join(As::PATIENT);
            for _ in 0..2 {
                assert_eq!(member.poll(), Ok(()));
                assert!(member.commit(), "it is never late");
            }
            member.poll_until_owner_of(ALL_PARTITIONS);
            assert!(member.commit(), "it is never late");
            member.leave();
        })
    };
    world.let_time_pass(6);
    world.let_time_pass(6);
    slow.join().unwrap();
    world.let_time_pass(12);
    quick.join().unwrap();
    assert!(world.coordinator.live_groups().is_empty());
}

/// One member polls all the time, and does not give up what another is to have: it is removed, though not
/// before it had its time.
pub(crate) fn does_not_give_up() {
    let world = Arc::<World>::default();
    let mut keeper = world.join(As::ANYBODY);
    assert_eq!(keeper.poll(), Ok(()));
    assert_eq!(keeper.count(), ALL_PARTITIONS);
    // From now on it is inside of a poll.
    keeper.membership.signal().begin_poll();
    let asked = Arc::<Mutex<Option<Duration>>>::default();
    let is_done = Arc::<AtomicBool>::default();
    let other = {
        let (world, asked, is_done) =
            (Arc::clone(&world), Arc::clone(&asked), Arc::clone(&is_done));
        thread::spawn(move || {
            *asked.lock() = Some(world.now());
            let mut member = world.join(As::PATIENT);
            member.poll_until_owner_of(ALL_PARTITIONS);
            assert!(member.commit());
            is_done.store(true, Ordering::SeqCst);
            member.leave();
        })
    };
    let keeps = {
        let (world, asked) = (Arc::clone(&world), Arc::clone(&asked));
        thread::spawn(move || {
            loop {
                match keeper.membership.next_step() {
                    Step::Settled | Step::Revoke(_) => {}
                    Step::Assign(granted) => panic!("it has everything, and gets {granted:?}"),
                    Step::Fenced(fence) => break assert_eq!(fence, Fence::Late),
                }
                if thread_rng().gen_bool(0.3) {
                    keeper.commit();
                }
                thread::yield_now();
            }
            let asked = asked.lock().unwrap();
            assert!(world.now() >= asked + INTERVAL, "removed before its time");
            assert!(!keeper.commit(), "who was removed commits");
        })
    };
    while !is_done.load(Ordering::SeqCst) {
        world.let_time_pass(4);
        thread::yield_now();
    }
    keeps.join().unwrap();
    other.join().unwrap();
}

/// Two consumers with the same `group.instance.id`: whoever comes later has the place, with everything at once,
/// and the former is told so and commits no more.
pub(crate) fn replaced() {
    let world = Arc::<World>::default();
    // Who committed, in order.
    let committers = Arc::<Mutex<Vec<String>>>::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (world, committers) = (Arc::clone(&world), Arc::clone(&committers));
            thread::spawn(move || {
                let mut member = world.join(As::STATIC);
                for _ in 0..thread_rng().gen_range(1..4) {
                    if let Err(fence) = member.poll() {
                        assert_eq!(fence, Fence::Replaced);
                        assert!(!member.commit(), "who was replaced commits");
                        assert_eq!(member.poll(), Err(Fence::Replaced), "it stays so");
                        break;
                    }
                    assert_eq!(
                        member.count(),
                        ALL_PARTITIONS,
                        "the place is taken over whole"
                    );
                    let all = [].iter();
                    let id = member.membership.id().to_string();
                    let noted = member.membership.with_owned(all, || {
                        committers.lock().push(id);
                        Ok(())
                    });
                    if member.commit() {
                        noted.unwrap();
                    }
                }
                member.leave();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut committers = std::mem::take(&mut *committers.lock());
    committers.dedup();
    assert!(committers.len() <= 2, "two share a place: {committers:?}");
    // The place was kept for whoever comes back in time: now nobody does.
    world.let_time_pass(INTERVAL.as_secs());
    assert!(world.coordinator.live_groups().is_empty());
}
