//! Models of the group's signals.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::Model;
use crate::notify::Waiter;
use crate::signal::Signal;

pub(crate) const MODELS: &[Model] = &[
    (
        "signal: a poll that begins is not fenced, or learns that it was",
        None,
        who_begins_a_poll_is_not_fenced_behind_its_back,
    ),
    (
        "signal: a member that sleeps hears of news",
        None,
        who_sleeps_hears_of_news,
    ),
];

fn who_begins_a_poll_is_not_fenced_behind_its_back() {
    let signal = Arc::new(Signal::new(std::sync::Arc::default(), Duration::ZERO));
    signal.take_news();
    let coordinator = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || {
            let late = signal.idle_since();
            late.is_some_and(|since| signal.fence_idle(since))
        })
    };
    signal.begin_poll();
    let learned = signal.has_news();
    let fenced = coordinator.join().unwrap();
    assert_eq!(fenced, learned);
}

fn who_sleeps_hears_of_news() {
    let waiter = std::sync::Arc::<Waiter>::default();
    let signal = Arc::new(Signal::new(std::sync::Arc::clone(&waiter), Duration::ZERO));
    signal.take_news();
    let coordinator = {
        let signal = Arc::clone(&signal);
        thread::spawn(move || signal.tell())
    };
    loop {
        waiter.reset();
        if signal.has_news() {
            break;
        }
        waiter.park();
    }
    coordinator.join().unwrap();
}
