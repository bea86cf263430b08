//! Opening, locking and closing: one owner at a time, whoever dies; an orderly close is known from any
//! other end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Error, Partition, Position, Record, TopicConfig};

use crate::support::{self, Model, append, partition, read_all, small_segments};

const SALT: u64 = 60;
/// Tells the child process which directory to hold.
const HOLD: &str = "STREAMLOG_TEST_HOLD";

fn locked(dir: &Path) {
    let refused = Broker::open(dir);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
}

#[test]
fn a_second_opener_is_refused_by_whatever_path() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let broker = Broker::open(&data).unwrap();
    broker.create_topic("t", TopicConfig::default()).unwrap();
    let listing = || {
        let mut names: Vec<_> = std::fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = listing();
    locked(&data);
    locked(
        &dir.path()
            .join("../")
            .join(dir.path().file_name().unwrap())
            .join("data"),
    );
    #[cfg(unix)]
    {
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        locked(&link);
    }
    assert_eq!(listing(), before, "a refused opener changes nothing");
    append(&partition(&broker, "t", 0), SALT, 1).unwrap();
    broker.close().unwrap();
    Broker::open(&data).unwrap();
}

/// Not a test by itself: a process that holds a directory until it is killed.
#[test]
fn holder() {
    let Some(dir) = std::env::var_os(HOLD) else {
        return;
    };
    let broker = Broker::open(&dir).unwrap();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    append(&topic.partition(0).unwrap(), SALT, 5).unwrap();
    std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

fn hold(dir: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["lifecycle::holder", "--exact"])
        .env(HOLD, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.join("ready").exists() {
        std::thread::yield_now();
    }
    child
}

#[test]
fn another_process_is_refused_and_a_killed_one_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = hold(dir.path());
    locked(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    assert!(!broker.recovery_report().clean_shutdown);
    let seen = read_all(&partition(&broker, "t", 0), &Model::new(SALT, 5));
    assert!(
        seen.has(0..5) && seen.errors.is_empty(),
        "{:?}",
        seen.errors
    );
}

#[test]
fn after_a_close_every_handle_says_so_and_the_directory_is_free() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    let topic = broker.create_topic("t", small_segments()).unwrap();
    let log = topic.partition(0).unwrap();
    append(&log, SALT, 3).unwrap();
    let mut reader = log.reader(Position::Earliest).unwrap();
    let kept = reader.next_batch().unwrap().unwrap();
    let producer = broker.producer().build().unwrap();
    let mut consumer = broker.consumer().group("g").build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    let clone = broker.clone();
    broker.close().unwrap();
    clone.clone().close().unwrap();

    let again = support::open(&disk).unwrap();
    append(&partition(&again, "t", 0), SALT, 1).unwrap();
    let image = disk.image();
    let closed = |error: Error| assert!(matches!(error, Error::Closed(_)), "{error:?}");
    closed(
        clone
            .create_topic("u", TopicConfig::default())
            .map(drop)
            .unwrap_err(),
    );
    closed(clone.topic("t").map(drop).unwrap_err());
    closed(clone.delete_topic("t").unwrap_err());
    closed(clone.run_housekeeping().unwrap_err());
    closed(log.append(&[Record::value_only("x")]).unwrap_err());
    closed(log.flush().unwrap_err());
    closed(log.delete_records(1).unwrap_err());
    closed(log.reader(Position::Latest).map(drop).unwrap_err());
    closed(reader.next().map(drop).unwrap_err());
    closed(consumer.poll(Duration::ZERO).map(drop).unwrap_err());
    let sent = producer
        .send(Record::to("t").value("x"))
        .and_then(streamlog::Delivery::wait);
    closed(sent.map(drop).unwrap_err());
    assert_eq!(kept.iter().count(), 3, "records that were polled stay");
    drop((clone, topic, log, reader, producer, consumer));
    assert_eq!(
        image.difference(&disk.image()),
        None,
        "old handles write nothing"
    );
    again.close().unwrap();
}

#[test]
fn appends_that_race_a_close_are_kept_or_refused() {
    for _ in 0..30 {
        let disk = SimDisk::new();
        let broker = Broker::builder("data")
            .storage(disk.clone())
            .open()
            .unwrap();
        broker.create_topic("t", small_segments()).unwrap();
        let acked = std::thread::scope(|scope| {
            let log = partition(&broker, "t", 0);
            let (started, go) = mpsc::channel();
            let writer = scope.spawn(move || {
                let mut acked = 0;
                while append(&log, SALT, 1).is_ok() {
                    acked += 1;
                    let _ = started.send(());
                }
                acked
            });
            go.recv().unwrap();
            broker.close().unwrap();
            // Somebody else's by now.
            let image = disk.image();
            let acked = writer.join().unwrap();
            assert_eq!(
                image.difference(&disk.image()),
                None,
                "written after the close"
            );
            acked
        });
        let again = support::open(&disk).unwrap();
        assert!(again.recovery_report().clean_shutdown && again.recovery_report().is_clean());
        let log = partition(&again, "t", 0);
        assert_eq!(log.high_watermark(), acked);
        assert!(read_all(&log, &Model::new(SALT, acked)).has(0..acked));
    }
}

#[test]
fn dropping_the_last_handle_closes() {
    let disk = SimDisk::new();
    for background in [true, false] {
        let broker = Broker::builder("data")
            .storage(disk.clone())
            .background(background)
            .open()
            .unwrap();
        let config = small_segments().flush_ms(Some(Duration::from_millis(1)));
        let topic = broker
            .topic("t")
            .or_else(|_| broker.create_topic("t", config))
            .unwrap();
        let log = topic.partition(0).unwrap();
        drop((broker, topic));
        append(&log, SALT, 2).unwrap();
        drop(log);
        let again = support::open(&disk).unwrap();
        assert!(again.recovery_report().clean_shutdown);
    }
}

#[test]
fn a_handle_may_be_dropped_on_any_thread() {
    let disk = SimDisk::new();
    for _ in 0..20 {
        let broker = Broker::builder("data")
            .storage(disk.clone())
            .open()
            .unwrap();
        let config = TopicConfig::default().flush_ms(Some(Duration::ZERO));
        let log: Partition = match broker.create_topic("t", config) {
            Ok(topic) => topic.partition(0).unwrap(),
            Err(_) => partition(&broker, "t", 0),
        };
        let producer = broker
            .producer()
            .linger(Duration::from_millis(1))
            .build()
            .unwrap();
        drop(producer.send(Record::to("t").value("x")).unwrap());
        let threads = [
            std::thread::spawn(move || drop(broker)),
            std::thread::spawn(move || drop(log)),
            std::thread::spawn(move || drop(producer)),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        // All handles are gone, so the directory is free.
        support::open(&disk).unwrap().close().unwrap();
    }
}

fn epochs(disk: &SimDisk) -> String {
    String::from_utf8(disk.read("data/t-0/leader-epoch-checkpoint").unwrap()).unwrap()
}

#[test]
fn a_new_leader_epoch_begins_with_each_unclean_open_and_no_other() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    append(&partition(&broker, "t", 0), SALT, 2).unwrap();
    broker.close().unwrap();
    for _ in 0..2 {
        let broker = support::open(&disk).unwrap();
        append(&partition(&broker, "t", 0), SALT, 1).unwrap();
        broker.close().unwrap();
    }
    assert_eq!(epochs(&disk), "0\n1\n0 0\n");
    let mut disk = disk;
    for (killed, wanted) in [(1, "0\n2\n0 0\n1 4\n"), (2, "0\n3\n0 0\n1 4\n2 5\n")] {
        let broker = support::open(&disk).unwrap();
        let killed_disk = disk.duplicate();
        broker.close().unwrap();
        disk = killed_disk;
        let broker = support::open(&disk).unwrap();
        assert!(!broker.recovery_report().clean_shutdown, "kill {killed}");
        append(&partition(&broker, "t", 0), SALT, 1).unwrap();
        broker.close().unwrap();
        assert_eq!(epochs(&disk), wanted, "kill {killed}");
    }
    let broker = support::open(&disk).unwrap();
    assert!(read_all(&partition(&broker, "t", 0), &Model::new(SALT, 6)).has(0..6));
}

#[test]
fn the_clean_marker_is_there_only_while_nobody_has_the_directory_open() {
    const MARKER: &str = "data/.kafka_cleanshutdown";
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    assert!(
        broker.recovery_report().clean_shutdown,
        "a new directory needs no recovery"
    );
    assert!(disk.read(MARKER).is_none());
    broker.close().unwrap();
    assert!(disk.read(MARKER).is_some());
    let broker = support::open(&disk).unwrap();
    assert!(broker.recovery_report().clean_shutdown && disk.read(MARKER).is_none());
    let killed = disk.duplicate();
    assert!(
        !support::open(&killed)
            .unwrap()
            .recovery_report()
            .clean_shutdown
    );
    broker.close().unwrap();
}
