//! Producers, which gather records in batches.

use std::time::Duration;

use streamlog::{Durability, TopicConfig};

use super::{Workload, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("producer that lingers", producer_that_lingers),
    written("producer without linger", producer_without_linger),
    written("producer that syncs", producer_that_syncs),
    written("producers after restarts", producers_after_restarts),
    written("producer with full batches", producer_with_full_batches),
];

fn producer_that_lingers(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(2));
    let producer = run
        .broker()
        .producer()
        .linger(Duration::from_millis(10))
        .build()
        .expect("a producer");
    for number in 0..12 {
        run.send(&producer, "t", number % 2, 40);
        if number % 4 == 3 {
            run.wait(Duration::from_millis(20));
            run.settle(false);
        }
    }
    run.send(&producer, "t", 0, 40);
    run.flush_producer(&producer, false);
}

fn producer_without_linger(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(2));
    let producer = run
        .broker()
        .producer()
        .linger(Duration::ZERO)
        .build()
        .expect("a producer");
    for number in 0..10 {
        run.send(&producer, "t", number % 2, 40);
        run.settle(false);
    }
}

fn producer_that_syncs(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    let builder = run.broker().producer().durability(Durability::Synced);
    let producer = builder
        .linger(Duration::from_millis(10))
        .build()
        .expect("a producer");
    for _ in 0..4 {
        for _ in 0..3 {
            run.send(&producer, "t", 0, 40);
        }
        run.flush_producer(&producer, true);
    }
}

pub(super) fn producers_after_restarts(run: &mut Run) {
    run.create("t", &small_segments());
    for round in 0..3 {
        let builder = run
            .broker()
            .producer()
            .linger(Duration::from_millis(10))
            .batch_size(400);
        let producer = builder.build().expect("a producer");
        for _ in 0..6 {
            run.send(&producer, "t", 0, 80);
        }
        run.flush_producer(&producer, false);
        drop(producer);
        if round == 0 { run.kill() } else { run.reopen() }
    }
    run.append("t", 0, 1, 10);
}

fn producer_with_full_batches(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    let builder = run
        .broker()
        .producer()
        .linger(Duration::from_secs(1))
        .batch_size(1000);
    let producer = builder.build().expect("a producer");
    for _ in 0..20 {
        run.send(&producer, "t", 0, 200);
        run.settle(false);
    }
    run.flush_producer(&producer, false);
}
