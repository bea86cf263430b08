//! What brokers do while the power fails: small programs, each about one mechanism.

use std::io::ErrorKind;
use std::time::Duration;

use streamlog::sim::{Fault, Operation};
use streamlog::{Compression, Durability, TopicConfig};

use super::run::Run;

/// A program with a name.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What acknowledges commits of offsets.
    pub(crate) durability: Durability,
    /// The data directory is there already.
    pub(crate) prepared: bool,
    /// So many files or operations that not every moment can be looked at.
    pub(crate) large: bool,
    /// There is a waypoint at every sync.
    pub(crate) waypoints: bool,
    pub(crate) program: fn(&mut Run),
}

const fn written(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        name,
        durability: Durability::Written,
        prepared: true,
        large: false,
        waypoints: false,
        program,
    }
}

const fn synced(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        name,
        durability: Durability::Synced,
        prepared: true,
        large: false,
        waypoints: false,
        program,
    }
}

const fn with_waypoints(name: &'static str, program: fn(&mut Run)) -> Workload {
    Workload {
        waypoints: true,
        ..written(name, program)
    }
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        prepared: false,
        ..written("a new data directory", appends_synced)
    },
    Workload {
        prepared: false,
        ..written(
            "a data directory that a killed process made",
            made_and_killed,
        )
    },
    written("appends that survive the process", appends_written),
    written("appends that survive power loss", appends_synced),
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
    written("several partitions", several_partitions),
    written("rolling by size", rolling_by_size),
    written("rolling by time", rolling_by_time),
    written("rolling because an index is full", rolling_by_index),
    written("tiny segments", tiny_segments),
    written("flushes", flushes),
    written("flush.messages", flush_messages),
    written("flush.ms", flush_ms),
    written("close and reopen", close_and_reopen),
    written("many reopenings", many_reopenings),
    written("killed and restarted", killed_and_restarted),
    written("killed again and again", killed_again_and_again),
    written("power cut and restarted", power_cut_and_restarted),
    written("power cut while segments roll", power_cut_while_rolling),
    written("producer that lingers", producer_that_lingers),
    written("producer without linger", producer_without_linger),
    written("producer that syncs", producer_that_syncs),
    written("producers after restarts", producers_after_restarts),
    written("producer with full batches", producer_with_full_batches),
    written("compressed batches", compressed_batches),
    written("append time", append_time),
    written("large batches", large_batches),
    Workload {
        large: true,
        ..written("first commit", first_commit)
    },
    written("committed offsets", committed_offsets),
    synced("committed offsets that are synced", committed_offsets),
    written("commits across restarts", commits_across_restarts),
    written("a group of two members", group_of_two),
    synced("a group of two members, synced", group_of_two),
    synced("groups across restarts", groups_across_restarts),
    synced("a group and a power cut", group_and_power_cut),
    written("creating topics", creating_topics),
    written("deleting topics", deleting_topics),
    written(
        "deleting a topic with commits",
        deleting_a_topic_with_commits,
    ),
    written("altering a topic", altering_a_topic),
    written("adding partitions", adding_partitions),
    written("deleting records", deleting_records),
    written(
        "deleting records across segments",
        deleting_records_across_segments,
    ),
    written("removing segments", removing_segments),
    written("a full disk", full_disk),
    written("a full disk while rolling", full_disk_while_rolling),
    written("a failed sync", failed_sync),
    written(
        "a failed sync that loses pages",
        failed_sync_that_loses_pages,
    ),
    written(
        "a failed sync that loses pages, the first of a process",
        first_sync_that_loses_pages,
    ),
    written("zeros ahead", zeros_ahead),
    written("zeros ahead across rolls", zeros_across_rolls),
    written("zeros ahead, closed and killed", zeros_closed_and_killed),
    written("zeros ahead and power cuts", zeros_and_power_cuts),
    written("zeros ahead on a full disk", zeros_on_a_full_disk),
    written("zeros ahead and staged appends", zeros_and_staged),
    written(
        "zeros ahead when a sync loses pages",
        zeros_when_pages_are_lost,
    ),
    with_waypoints("waypoints, synced", appends_synced),
    with_waypoints("waypoints in several partitions", several_partitions),
    with_waypoints("waypoints while segments roll", tiny_segments),
    with_waypoints("waypoints and flushes", flushes),
    with_waypoints("waypoints across reopenings", close_and_reopen),
    with_waypoints("waypoints across kills", killed_again_and_again),
    with_waypoints("waypoints across power cuts", power_cut_while_rolling),
    with_waypoints("waypoints of producers", producers_after_restarts),
    with_waypoints("waypoints on a full disk", full_disk_while_rolling),
    with_waypoints(
        "waypoints and a failed sync that loses pages",
        failed_sync_that_loses_pages,
    ),
];

fn small_segments() -> TopicConfig {
    config(&[("segment.bytes", "600")])
}

fn config(settings: &[(&str, &str)]) -> TopicConfig {
    settings
        .iter()
        .fold(TopicConfig::default(), |config, (key, value)| {
            config
                .set(key, value)
                .unwrap_or_else(|error| panic!("{error}"))
        })
}

fn durable() -> TopicConfig {
    TopicConfig::default().durability(Durability::Synced)
}

fn appends_written(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for number in 0..12 {
        assert!(run.append("t", 0, 1 + number % 3, 20 * number));
    }
}

/// So many small appends that those after them are staged.
fn put_in_use(run: &mut Run, topic: &str) {
    for _ in 0..32 {
        assert!(run.append(topic, 0, 1, 0));
    }
}

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

fn appends_synced(run: &mut Run) {
    run.create("t", &durable());
    for number in 0..10 {
        run.append_synced("t", 0, 1 + number % 3, 30 * number);
    }
}

/// So many that those after them overwrite zeros.
fn have_zeros(run: &mut Run) {
    for _ in 0..6 {
        run.append_synced("t", 0, 1, 10);
    }
}

fn zeros_ahead(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    for number in 0..6 {
        run.append_synced("t", 0, 1 + number % 3, 1100 * number);
    }
    // Too large for zeros, and then they go on.
    run.append_synced("t", 0, 1, 20_000);
    have_zeros(run);
}

fn zeros_across_rolls(run: &mut Run) {
    run.create("t", &durable().segment_bytes(9000));
    have_zeros(run);
    for number in 0..12 {
        run.append_synced("t", 0, 1, 600 * (number % 5));
    }
}

fn zeros_closed_and_killed(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    run.reopen();
    have_zeros(run);
    run.kill();
    run.append_synced("t", 0, 2, 30);
    run.reopen();
    have_zeros(run);
    run.kill();
    run.reopen();
    run.append_synced("t", 0, 2, 30);
}

fn zeros_and_power_cuts(run: &mut Run) {
    run.create("t", &durable().segment_bytes(9000));
    for choice in [2, 7, 12, 18] {
        have_zeros(run);
        run.append_synced("t", 0, 1, 900);
        run.power_cut(choice);
        run.append_synced("t", 0, 1, 30);
    }
}

fn zeros_on_a_full_disk(run: &mut Run) {
    run.create("t", &durable());
    for _ in 0..4 {
        run.append_synced("t", 0, 1, 10);
    }
    run.disk.set_capacity(Some(run.disk.used() + 3000));
    for _ in 0..4 {
        run.append("t", 0, 1, 900);
    }
    run.disk.set_capacity(None);
    run.append_synced("t", 0, 1, 900);
    run.reopen();
    have_zeros(run);
    run.disk.set_capacity(Some(run.disk.used()));
    run.append_synced("t", 0, 1, 900);
    run.disk.set_capacity(None);
    run.append_synced("t", 0, 1, 900);
}

/// Producers that want no sync share the file with one that does.
fn zeros_and_staged(run: &mut Run) {
    run.create("t", &TopicConfig::default().segment_bytes(30_000));
    put_in_use(run, "t");
    let builder = run.broker().producer().durability(Durability::Synced);
    let producer = builder
        .linger(Duration::from_millis(10))
        .build()
        .expect("a producer");
    for _ in 0..6 {
        for _ in 0..3 {
            run.send(&producer, "t", 0, 40);
        }
        run.flush_producer(&producer, true);
        run.append("t", 0, 1, 600);
    }
    drop(producer);
    run.kill();
    assert!(run.append("t", 0, 1, 40));
}

fn zeros_when_pages_are_lost(run: &mut Run) {
    run.create("t", &durable());
    have_zeros(run);
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    have_zeros(run);
}

fn made_and_killed(run: &mut Run) {
    // The directory is there, and its name is not durable.
    run.begin_again_after_making_the_directory();
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
}

fn several_partitions(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(3));
    run.create("u", &durable().partitions(2));
    for number in 0..15 {
        assert!(run.append("t", number % 3, 1, 40));
        if number % 4 == 1 {
            run.append_synced("u", number % 2, 2, 10);
        }
    }
    run.flush("t", 1);
    assert!(run.append("t", 2, 1, 40));
}

fn rolling_by_size(run: &mut Run) {
    run.create("t", &small_segments());
    for number in 0..12 {
        assert!(run.append("t", 0, 2, 50 + 10 * number));
    }
}

fn rolling_by_time(run: &mut Run) {
    run.create(
        "t",
        &config(&[("segment.ms", "60000"), ("flush.ms", "100000000")]),
    );
    for _ in 0..5 {
        assert!(run.append("t", 0, 1, 50));
        run.pass(Duration::from_secs(70));
        assert!(run.append("t", 0, 1, 50));
    }
}

fn rolling_by_index(run: &mut Run) {
    run.create(
        "t",
        &config(&[("segment.index.bytes", "24"), ("index.interval.bytes", "0")]),
    );
    for _ in 0..12 {
        assert!(run.append("t", 0, 1, 40));
    }
}

fn tiny_segments(run: &mut Run) {
    run.create("t", &config(&[("segment.bytes", "200")]).partitions(2));
    for number in 0..10 {
        assert!(run.append("t", number % 2, 1, 20));
    }
}

fn flushes(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for number in 0..12 {
        assert!(run.append("t", 0, 1, 100));
        if number % 3 == 2 {
            run.flush("t", 0);
        }
    }
}

fn flush_messages(run: &mut Run) {
    run.create("t", &config(&[("flush.messages", "3")]));
    for number in 0..10 {
        assert!(run.append("t", 0, 1 + number % 2, 30));
    }
}

fn flush_ms(run: &mut Run) {
    run.create("t", &TopicConfig::default().partitions(2));
    for number in 0..10 {
        assert!(run.append("t", number % 2, 1, 30));
        if number % 3 == 0 {
            run.wait(Duration::from_millis(2500));
        }
    }
}

fn close_and_reopen(run: &mut Run) {
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

fn killed_again_and_again(run: &mut Run) {
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

fn power_cut_while_rolling(run: &mut Run) {
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

fn producers_after_restarts(run: &mut Run) {
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

fn compressed_batches(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let producer = run
            .broker()
            .producer()
            .compression(codec)
            .build()
            .expect("a producer");
        for _ in 0..3 {
            run.send(&producer, "t", 0, 300);
        }
        run.flush_producer(&producer, false);
    }
    run.create("z", &config(&[("compression.type", "zstd")]));
    run.append("z", 0, 3, 200);
    run.append("z", 0, 3, 200);
}

fn append_time(run: &mut Run) {
    run.create("t", &config(&[("message.timestamp.type", "LogAppendTime")]));
    run.broker_stamps.insert("t".to_owned());
    for _ in 0..6 {
        assert!(run.append("t", 0, 2, 30));
        run.pass(Duration::from_millis(7));
    }
    run.kill();
    assert!(run.append("t", 0, 2, 30));
}

fn large_batches(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for number in 0..5 {
        assert!(run.append("t", 0, 3, 700 + 1500 * number));
    }
    run.flush("t", 0);
    assert!(run.append("t", 0, 1, 5000));
}

/// With as many partitions of the offsets topic as Kafka has, which makes for many files.
fn first_commit(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 3, 30);
    run.commit("readers", "t", &[(0, 2)]);
    run.wait(Duration::from_secs(2));
    run.commit("readers", "t", &[(0, 3)]);
}

fn committed_offsets(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default().partitions(2));
    for number in 0..6 {
        assert!(run.append("t", number % 2, 2, 30));
        run.commit("readers", "t", &[(number % 2, u64::from(number / 2 + 1))]);
    }
    run.commit("others", "t", &[(0, 4), (1, 2)]);
    run.wait(Duration::from_secs(2));
    // Back to an earlier place.
    run.commit("readers", "t", &[(0, 1)]);
}

fn commits_across_restarts(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default());
    run.append("t", 0, 5, 30);
    run.commit("readers", "t", &[(0, 2)]);
    run.reopen();
    run.append("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 3)]);
    run.kill();
    run.append("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 6)]);
}

/// Members come and go, and each commits for what it owns at the time.
fn group_of_two(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default().partitions(2));
    for partition in [0, 1, 0, 1] {
        assert!(run.append("t", partition, 2, 30));
    }
    let mut first = run.join("workers", "t");
    run.work(&mut first, "t");
    let mut second = run.join("workers", "t");
    for _ in 0..2 {
        run.work(&mut first, "t");
        run.work_async(&mut second, "t");
    }
    run.wait(Duration::from_secs(2));
    assert!(run.append("t", 0, 3, 30));
    run.leave(first);
    run.work(&mut second, "t");
    run.leave(second);
}

/// The offsets topic is made by the first commit, and what is stored of the group itself has to wait for it.
fn groups_across_restarts(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    assert!(run.append("t", 0, 5, 30));
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.kill();
    // It went with its process.
    drop(member);
    let mut member = run.join("workers", "t");
    run.work_async(&mut member, "t");
    run.leave(member);
    run.reopen();
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.leave(member);
}

fn group_and_power_cut(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &TopicConfig::default());
    assert!(run.append("t", 0, 5, 30));
    let mut member = run.join("workers", "t");
    run.work(&mut member, "t");
    run.power_cut(3);
    drop(member);
    let mut member = run.join("workers", "t");
    assert!(run.append("t", 0, 1, 30));
    run.work(&mut member, "t");
    run.leave(member);
}

fn creating_topics(run: &mut Run) {
    for (name, partitions) in [("a", 1), ("b", 3), ("c", 2)] {
        run.create(name, &durable().partitions(partitions));
        run.append_synced(name, partitions - 1, 1, 30);
    }
    run.append("a", 0, 1, 30);
}

fn deleting_topics(run: &mut Run) {
    run.create("t", &durable().partitions(2));
    run.create("u", &durable());
    run.append_synced("t", 0, 2, 30);
    run.append_synced("u", 0, 1, 30);
    run.delete("t");
    run.append_synced("u", 0, 1, 30);
    // Another topic of the same name starts empty.
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.kill();
    run.delete("t");
    run.reopen();
    run.create("t", &durable().partitions(2));
    run.append_synced("t", 1, 1, 30);
}

fn deleting_a_topic_with_commits(run: &mut Run) {
    run.create_offsets_topic();
    run.create("t", &durable());
    run.append_synced("t", 0, 4, 30);
    run.commit("readers", "t", &[(0, 3)]);
    run.delete("t");
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.expect_no_commit("readers", "t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 30);
    run.commit("readers", "t", &[(0, 1)]);
}

fn altering_a_topic(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    run.append("t", 0, 2, 30);
    run.alter("t", small_segments());
    for _ in 0..4 {
        run.append("t", 0, 1, 200);
    }
    run.alter("t", durable());
    run.append_synced("t", 0, 1, 200);
    run.reopen();
    run.append_synced("t", 0, 1, 200);
}

fn adding_partitions(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
    run.add_partitions("t", 3);
    run.append_synced("t", 2, 1, 30);
    run.append_synced("t", 0, 1, 30);
    run.add_partitions("t", 4);
    run.append_synced("t", 3, 1, 30);
    run.kill();
    run.append_synced("t", 3, 1, 30);
}

fn deleting_records(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for _ in 0..5 {
        run.append("t", 0, 2, 60);
    }
    run.delete_records("t", 0, 3);
    run.append("t", 0, 1, 60);
    run.delete_records("t", 0, 11);
    run.append("t", 0, 1, 60);
    run.reopen();
    run.append("t", 0, 1, 60);
    run.delete_records("t", 0, 12);
}

fn deleting_records_across_segments(run: &mut Run) {
    run.create("t", &small_segments());
    for _ in 0..9 {
        run.append("t", 0, 1, 200);
    }
    run.delete_records("t", 0, 5);
    run.append("t", 0, 1, 200);
    run.kill();
    run.delete_records("t", 0, 8);
    run.append("t", 0, 1, 200);
}

fn removing_segments(run: &mut Run) {
    run.create("t", &small_segments());
    for _ in 0..14 {
        run.append("t", 0, 1, 200);
    }
    // Several at once, then all but the active one.
    run.delete_records("t", 0, 9);
    run.reopen();
    for _ in 0..4 {
        run.append("t", 0, 1, 200);
    }
    run.kill();
    run.delete_records("t", 0, 18);
    run.append("t", 0, 1, 200);
}

fn full_disk(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    for room in [0, 50, 150] {
        run.disk.set_capacity(Some(run.disk.used() + room));
        assert!(!run.append("t", 0, 2, 300), "there is no room");
        run.disk.set_capacity(None);
        run.append_synced("t", 0, 2, 30);
    }
}

fn full_disk_while_rolling(run: &mut Run) {
    run.create("t", &small_segments());
    run.append("t", 0, 1, 400);
    for room in [0, 5, 60, 200] {
        run.disk.set_capacity(Some(run.disk.used() + room));
        for _ in 0..2 {
            run.append("t", 0, 1, 400);
        }
        run.disk.set_capacity(None);
        assert!(run.append("t", 0, 1, 400), "there is room again");
    }
}

fn failed_sync(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.disk
        .fail(Fault::error(Operation::Sync, ErrorKind::Other).on_path(".log"));
    assert!(!run.append("t", 0, 1, 100), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 100);
}

/// What the open noted, that no sync has begun since, must not stand any more.
fn first_sync_that_loses_pages(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.kill();
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    run.kill();
    run.append_synced("t", 0, 1, 100);
    run.append_synced("t", 0, 1, 100);
}

fn failed_sync_that_loses_pages(run: &mut Run) {
    run.create("t", &durable());
    run.append_synced("t", 0, 2, 100);
    run.disk.fail(Fault::lost_sync().on_path(".log"));
    assert!(!run.append("t", 0, 1, 700), "the sync fails");
    run.expect_stopped("t", 0);
    // The bytes are in the cache and look as if they were on disk.
    run.kill();
    run.append_synced("t", 0, 1, 100);
    run.append_synced("t", 0, 1, 100);
}
