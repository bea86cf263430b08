//! The two programs that work in groups: `consumer_group`, of which a member dies, and `work_queue`.

use std::path::Path;
use std::process::{Command, Stdio};

use streamlog::{Broker, Position};
use tempfile::tempdir;

use super::{example, run, run_to_failure, wait_while_running};

fn in_dir(name: &str, dir: &Path, options: &[&str]) -> Command {
    let mut command = example(name);
    command.arg("--data-dir").arg(dir).args(options);
    command
}

#[test]
fn consumer_group_outlives_one_of_its_members() {
    for options in [
        ["--members", "2", "--partitions", "2"],
        ["--members", "5", "--partitions", "3"],
    ] {
        let mut command = example("consumer_group");
        command.args(options).args(["--num-records", "500"]);
        let printed = run(&mut command);
        let died = "a member died; its partitions have new owners\n";
        assert_eq!(printed.matches(died).count(), 1, "{printed}");
        assert!(
            printed.contains("500 of 500 records processed, "),
            "{printed}"
        );
        assert!(!printed.contains(" 0 of them more than once"), "{printed}");
    }
}

#[test]
fn consumer_group_does_what_an_earlier_run_left() {
    let dir = tempdir().unwrap();
    run(&mut in_dir(
        "consumer_group",
        dir.path(),
        &["--num-records", "300"],
    ));
    // As if none of them had been committed.
    let broker = Broker::open(dir.path()).unwrap();
    let group = broker.group("fulfilment");
    let moved = group.reset_offsets("orders", Position::Earliest).unwrap();
    let was_at: u64 = moved.iter().filter_map(|reset| reset.from).sum();
    assert_eq!(was_at, 300);
    broker.close().unwrap();
    let printed = run(&mut in_dir(
        "consumer_group",
        dir.path(),
        &["--num-records", "200"],
    ));
    assert!(
        printed.contains("500 of 500 records processed"),
        "{printed}"
    );
}

#[test]
fn consumer_group_tells_which_sizes_it_takes() {
    for options in [["--members", "1"], ["--num-records", "0"]] {
        let output = example("consumer_group").args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}

#[test]
fn work_queue_finishes_or_gives_up_every_job() {
    let dir = tempdir().unwrap();
    for _ in 0..2 {
        let options = ["--workers", "3", "--num-jobs", "300"];
        let printed = run(&mut in_dir("work_queue", dir.path(), &options));
        // 30 end in 7, and fail once; 3 of them in 77, and fail three times.
        assert_eq!(printed, "297 jobs done, 3 given up, 36 attempts failed\n");
    }
    let broker = Broker::open(dir.path()).unwrap();
    let dead = broker.topic("jobs-dead").unwrap().partition(0).unwrap();
    assert_eq!(dead.high_watermark(), 6);
}

#[test]
fn work_queue_goes_on_after_it_was_killed() {
    let dir = tempdir().unwrap();
    let options = ["--num-jobs", "50000"];
    let mut child = in_dir("work_queue", dir.path(), &options)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Its first commits make the topic of committed offsets.
    let commits = dir.path().join("__consumer_offsets-0");
    let was_running = wait_while_running(&mut child, || commits.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(was_running, "it was too fast to be killed");
    let printed = run(&mut in_dir("work_queue", dir.path(), &["--num-jobs", "0"]));
    assert!(printed.contains(" jobs done, "), "{printed}");
    let printed = run(&mut in_dir(
        "work_queue",
        dir.path(),
        &["--num-jobs", "100"],
    ));
    assert_eq!(printed, "99 jobs done, 1 given up, 12 attempts failed\n");
}

#[test]
fn work_queue_says_that_its_directory_is_in_use() {
    let dir = tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let printed = run_to_failure(&mut in_dir("work_queue", dir.path(), &[]));
    assert!(printed.starts_with("error: "), "{printed}");
    broker.close().unwrap();
}
