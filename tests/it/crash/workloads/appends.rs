//! Appends, flushes, and segments that roll.

use std::time::Duration;

use streamlog::{Compression, TopicConfig};

use super::{Workload, config, durable, small_segments, written};
use crate::crash::run::Run;

pub(super) const WORKLOADS: &[Workload] = &[
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
    written("several partitions", several_partitions),
    written("rolling by size", rolling_by_size),
    written("rolling by time", rolling_by_time),
    written("rolling because an index is full", rolling_by_index),
    written("tiny segments", tiny_segments),
    written("flushes", flushes),
    written("flush.messages", flush_messages),
    written("flush.ms", flush_ms),
    written("compressed batches", compressed_batches),
    written("append time", append_time),
    written("large batches", large_batches),
];

fn appends_written(run: &mut Run) {
    run.create("t", &TopicConfig::default());
    for number in 0..12 {
        assert!(run.append("t", 0, 1 + number % 3, 20 * number));
    }
}

pub(super) fn appends_synced(run: &mut Run) {
    run.create("t", &durable());
    for number in 0..10 {
        run.append_synced("t", 0, 1 + number % 3, 30 * number);
    }
}

fn made_and_killed(run: &mut Run) {
    // The directory is there, and its name is not durable.
    run.begin_again_after_making_the_directory();
    run.create("t", &durable());
    run.append_synced("t", 0, 1, 30);
}

pub(super) fn several_partitions(run: &mut Run) {
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

pub(super) fn tiny_segments(run: &mut Run) {
    run.create("t", &config(&[("segment.bytes", "200")]).partitions(2));
    for number in 0..10 {
        assert!(run.append("t", number % 2, 1, 20));
    }
}

pub(super) fn flushes(run: &mut Run) {
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
