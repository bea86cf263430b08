//! Small appends, which are staged.

use std::time::Duration;

use streamlog::TopicConfig;
use streamlog::sim::Fault;

use super::{Workload, config, put_in_use, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
    written("staged appends", staged_appends),
    Workload {
        large: true,
        ..written("a stage that is used again", stage_used_again)
    },
    Workload {
        large: true,
        ..written("a stage across rolls", stage_across_rolls)
    },
    Workload {
        large: true,
        ..written("a stage that is given back", stage_given_back)
    },
    Workload {
        large: true,
        ..written("staged, killed and restarted", staged_and_killed)
    },
    Workload {
        large: true,
        ..written("staged on a full disk", staged_on_a_full_disk)
    },
    Workload {
        large: true,
        ..written("staged when a sync fails", staged_when_a_sync_fails)
    },
];

fn staged_appends(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    put_in_use(run, "t");
    for number in 0..8 {
        assert!(run.append("t", 0, 1 + number % 3, 20 * number));
    }
    run.flush("t", 0);
    for number in 0..4 {
        assert!(run.append("t", 0, 1 + number % 3, 100 * number));
    }
    // Too large to be staged, and then the stage goes on behind it.
    assert!(run.append("t", 0, 1, 20_000));
    for number in 0..3 {
        assert!(run.append("t", 0, 1, 20 * number));
    }
}

/// Batches of equal size, so that new ones come to stand exactly where old ones were.
fn stage_used_again(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    put_in_use(run, "t");
    for _ in 0..14 {
        assert!(run.append("t", 0, 1, 15_000));
    }
}

fn stage_across_rolls(run: &mut Run) {
    run.create("t", &config(&[("segment.bytes", "1800")]));
    put_in_use(run, "t");
    for number in 0..24 {
        assert!(run.append("t", 0, 1, 10 * (number % 4)));
    }
}

fn stage_given_back(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    put_in_use(run, "t");
    for _ in 0..3 {
        assert!(run.append("t", 0, 2, 10));
        run.wait(Duration::from_secs(2));
    }
    put_in_use(run, "t");
    assert!(run.append("t", 0, 1, 10));
}

fn staged_and_killed(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for _ in 0..2 {
        put_in_use(run, "t");
        for number in 0..4 {
            assert!(run.append("t", 0, 1, 20 * number));
        }
        run.kill();
    }
    assert!(run.append("t", 0, 1, 5));
}

fn staged_on_a_full_disk(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    put_in_use(run, "t");
    assert!(run.append("t", 0, 1, 10));
    run.disk.set_capacity(Some(run.disk.used()));
    for _ in 0..6 {
        run.append("t", 0, 1, 15_000);
    }
    run.disk.set_capacity(None);
    assert!(run.append("t", 0, 1, 10));
    run.flush("t", 0);
    assert!(run.append("t", 0, 1, 20));
}

fn staged_when_a_sync_fails(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    put_in_use(run, "t");
    run.flush("t", 0);
    for number in 0..4 {
        assert!(run.append("t", 0, 1, 20 * number));
    }
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    let topic = run.broker().topic("t").unwrap();
    assert!(topic.partition(0).unwrap().flush().is_err());
    run.expect_stopped("t", 0);
}
