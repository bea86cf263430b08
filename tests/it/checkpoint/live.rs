//! Checkpoints of a broker that several threads use, on the real disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use streamlog::{Broker, Error, Partition, Position, Record, TopicConfig};
use tempfile::tempdir;

use super::assert_clean;
use crate::support::{partition, small_segments};

fn config() -> TopicConfig {
    small_segments().segment_bytes(20_000)
}

fn append(log: &Partition, number: u64) {
    let value = number.to_be_bytes();
    assert_eq!(log.append(&[Record::value_only(&value)]).unwrap(), number);
}

/// The record at an offset is the number of that offset.
fn check_numbers(log: &Partition) {
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut next = log.log_start_offset();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.offset(), next);
        assert_eq!(record.value(), Some(&next.to_be_bytes()[..]));
        next += 1;
    }
    assert_eq!(next, log.high_watermark());
}

fn end(broker: &Broker, number: u32) -> u64 {
    partition(broker, "t", number).high_watermark()
}

/// Runs `work` again and again in threads of its own, while `meanwhile` runs once.
fn during(work: &[&(dyn Fn() + Sync)], meanwhile: impl FnOnce()) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for work in work {
            let stop = &stop;
            scope.spawn(move || {
                let _stop = Stop(stop);
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        let _stop = Stop(&stop);
        meanwhile();
    });
}

#[test]
fn a_checkpoint_is_one_moment_for_all_partitions_and_commits() {
    const CHECKPOINTS: u64 = 12;
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = Broker::builder(&data).open().unwrap();
    broker.create_topic("t", config().partitions(3)).unwrap();
    let logs: Vec<_> = (0..3)
        .map(|number| partition(&broker, "t", number))
        .collect();
    // Reading a copy must not take longer each time.
    let most = AtomicU64::new(0);
    let may_grow = |log: &Partition| log.high_watermark() < most.load(Ordering::Relaxed);
    // One after the other was acknowledged.
    let in_turn = || {
        let number = logs[0].high_watermark();
        if may_grow(&logs[0]) {
            append(&logs[0], number);
            append(&logs[1], number);
        } else {
            thread::yield_now();
        }
    };
    let alone = || {
        if may_grow(&logs[2]) {
            append(&logs[2], logs[2].high_watermark());
        } else {
            thread::yield_now();
        }
    };
    let consume = || {
        let group = broker.consumer().group("g");
        let mut consumer = group.auto_offset_reset(Position::Earliest).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        for _ in 0..20 {
            consumer.poll(Duration::from_millis(1)).unwrap();
            consumer.commit().unwrap();
        }
    };
    let mut last = 0;
    during(&[&in_turn, &alone, &consume], || {
        for number in 0..CHECKPOINTS {
            most.fetch_add(1_000, Ordering::Relaxed);
            let before: Vec<_> = (0..3).map(|number| end(&broker, number)).collect();
            let to = dir.path().join(format!("backup-{number}"));
            broker.checkpoint(&to).unwrap();
            let copy = Broker::open(&to).unwrap();
            assert_clean(copy.recovery_report());
            for (number, before) in (0..3).zip(before) {
                assert!(
                    end(&copy, number) >= before,
                    "what was acknowledged is there"
                );
                check_numbers(&partition(&copy, "t", number));
            }
            let (first, second) = (end(&copy, 0), end(&copy, 1));
            assert!(second <= first && first <= second + 1, "{first}, {second}");
            for (id, committed) in copy.group("g").export().unwrap() {
                assert!(committed <= end(&copy, id.partition()), "{id}");
            }
            assert!(first >= last);
            last = first;
        }
    });
    assert!(last > 0);
}

#[test]
fn checkpoints_and_removals_do_not_disturb_each_other() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = Broker::open(&data).unwrap();
    broker
        .create_topic("t", config().segment_bytes(2_000))
        .unwrap();
    let log = partition(&broker, "t", 0);
    let grow = || append(&log, log.high_watermark());
    let shrink = || {
        log.delete_records(log.high_watermark()).unwrap();
        thread::yield_now();
    };
    during(&[&grow, &shrink], || {
        for number in 0..20 {
            let to = dir.path().join(format!("backup-{number}"));
            broker.checkpoint(&to).unwrap();
            let copy = Broker::open(&to).unwrap();
            assert_clean(copy.recovery_report());
            check_numbers(&partition(&copy, "t", 0));
        }
    });
    // What had to stay meanwhile is gone.
    log.delete_records(log.high_watermark()).unwrap();
    let names = fs::read_dir(data.join("t-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let logs: Vec<_> = names.filter(|name| name.contains(".log")).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
}

#[test]
fn a_topic_is_in_a_checkpoint_with_everything_or_not_at_all() {
    let dir = tempdir().unwrap();
    let broker = Broker::builder(dir.path().join("data"))
        .offsets_topic_partitions(2)
        .open()
        .unwrap();
    let come_and_go = || {
        let topic = broker.create_topic("t", config()).unwrap();
        let log = topic.partition(0).unwrap();
        append(&log, 0);
        broker
            .group("g")
            .commit_offsets(&[(log.id().clone(), 1)])
            .unwrap();
        broker.delete_topic("t").unwrap();
    };
    during(&[&come_and_go], || {
        for number in 0..20 {
            let to = dir.path().join(format!("backup-{number}"));
            broker.checkpoint(&to).unwrap();
            let copy = Broker::open(&to).unwrap();
            assert_clean(copy.recovery_report());
            let there = copy.topics().len();
            let committed = copy.group("g").export().unwrap();
            assert!(committed.len() <= there, "offsets of a topic that is gone");
            if !committed.is_empty() {
                assert_eq!(end(&copy, 0), 1);
            }
        }
    });
}

fn inodes(dir: &Path) -> BTreeSet<(String, u64)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.metadata().unwrap().ino())
        })
        .collect()
}

#[test]
fn finished_files_are_shared_and_others_are_not() {
    let dir = tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let broker = Broker::open(&data).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    for number in 0..100 {
        append(&log, number);
    }
    let made = broker.checkpoint(&backup).unwrap();
    let shared: BTreeSet<_> = inodes(&data.join("t-0"))
        .intersection(&inodes(&backup.join("t-0")))
        .map(|(name, _)| name.clone())
        .collect();
    let of_kind = |names: &BTreeSet<String>, kind: &str| {
        let names = names.iter().filter(|name| name.ends_with(kind));
        names.cloned().collect::<Vec<_>>()
    };
    let all = inodes(&backup.join("t-0")).into_iter();
    let all: BTreeSet<_> = all.map(|(name, _)| name).collect();
    for kind in [".log", ".index", ".timeindex"] {
        let (all, shared) = (of_kind(&all, kind), of_kind(&shared, kind));
        assert!(shared.len() > 2);
        assert_eq!(shared, all[..all.len() - 1], "all but the active one's");
    }
    let seals = of_kind(&all, ".seal");
    assert_eq!(of_kind(&shared, ".seal"), seals);
    let size = |name: &String| fs::metadata(backup.join("t-0").join(name)).unwrap().len();
    assert_eq!(made.linked_bytes, shared.iter().map(size).sum::<u64>());

    // What is left when the original is gone is whole.
    drop(log);
    broker.close().unwrap();
    fs::remove_dir_all(&data).unwrap();
    let copy = Broker::open(&backup).unwrap();
    assert_clean(copy.recovery_report());
    assert_eq!(end(&copy, 0), 100);
    check_numbers(&partition(&copy, "t", 0));
}

#[test]
fn a_broker_that_closes_meanwhile_waits_or_refuses() {
    let dir = tempdir().unwrap();
    for round in 0..10 {
        let data = dir.path().join(format!("data-{round}"));
        let backup = dir.path().join(format!("backup-{round}"));
        let broker = Broker::open(&data).unwrap();
        broker.create_topic("t", config()).unwrap();
        append(&partition(&broker, "t", 0), 0);
        let other = broker.clone();
        let made = thread::scope(|scope| {
            let made = scope.spawn(|| other.checkpoint(&backup));
            broker.close().unwrap();
            made.join().unwrap()
        });
        match made {
            Ok(_) => assert_clean(Broker::open(&backup).unwrap().recovery_report()),
            Err(error) => {
                assert!(matches!(error, Error::Closed(_)), "{error}");
                assert!(!backup.exists());
            }
        }
    }
}
