//! Brokers that are closed, killed, or lose power, and go on.

use streamlog::TopicConfig;

use super::{Workload, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("close and reopen", close_and_reopen),
    written("many reopenings", many_reopenings),
    written("killed and restarted", killed_and_restarted),
    written("killed again and again", killed_again_and_again),
    written("power cut and restarted", power_cut_and_restarted),
    written("power cut while segments roll", power_cut_while_rolling),
];

pub(super) fn close_and_reopen(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(2));
    run.append("t", 0, 2, 60);
    run.append("t", 1, 1, 60);
    run.reopen();
    run.append("t", 0, 3, 60);
    run.append("t", 1, 1, 60);
    run.close();
    run.open();
    run.append("t", 0, 1, 60);
}

fn many_reopenings(run: &mut Run) {
    run.create("t", &small_segments());
    for number in 0..5 {
        run.append("t", 0, 1 + number % 2, 150);
        run.reopen();
    }
    // Nothing was written since the last time.
    run.reopen();
}

fn killed_and_restarted(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for _ in 0..4 {
        assert!(run.append("t", 0, 2, 80));
    }
    run.kill();
    for _ in 0..4 {
        assert!(run.append("t", 0, 2, 80));
    }
    run.flush("t", 0);
    assert!(run.append("t", 0, 1, 80));
}

pub(super) fn killed_again_and_again(run: &mut Run) {
    run.create("t", &small_segments());
    for number in 0..5 {
        assert!(run.append("t", 0, 1, 100 * number));
        assert!(run.append("t", 0, 2, 50));
        run.kill();
    }
    assert!(run.append("t", 0, 1, 50));
}

fn power_cut_and_restarted(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(2));
    for choice in [3, 11, 19] {
        for number in 0..4 {
            assert!(run.append("t", number % 2, 2, 300));
        }
        run.flush("t", 0);
        assert!(run.append("t", 0, 1, 900));
        assert!(run.append("t", 0, 2, 20));
        run.power_cut(choice);
    }
    for number in 0..4 {
        assert!(run.append("t", number % 2, 2, 30));
    }
}

pub(super) fn power_cut_while_rolling(run: &mut Run) {
    run.create("t", &small_segments());
    for choice in [5, 9, 16] {
        for _ in 0..5 {
            assert!(run.append("t", 0, 1, 170));
        }
        run.power_cut(choice);
        assert!(run.append("t", 0, 1, 30));
    }
    run.reopen();
    assert!(run.append("t", 0, 1, 30));
}
