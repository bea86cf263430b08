//! What an open costs, and what it leaves to do: after a kill that depends on what was written last,
//! not on the size of the log.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use streamlog::sim::{CrashKind, CrashPlan, Fault, Operation, SimDisk};
use streamlog::{Broker, Partition, Position, Record, TopicConfig};

use crate::support;

/// Reads of a scanned file come in pieces of 256 KiB.
const CHUNK: u64 = 256 << 10;
const VALUE: [u8; 16 << 10] = [7; 16 << 10];

fn open(disk: &SimDisk, waypoints: u64, background: bool) -> Broker {
    let builder = Broker::builder("data").storage(disk.clone());
    let builder = builder.background(background).waypoint_interval(waypoints);
    builder.open().unwrap()
}

fn topic() -> TopicConfig {
    TopicConfig::default().flush_ms(Some(Duration::from_secs(3600)))
}

fn append(partition: &Partition, bytes: u64) {
    for _ in 0..bytes / VALUE.len() as u64 {
        partition.append(&[Record::value_only(&VALUE)]).unwrap();
    }
}

/// What an open does to the disk.
fn cost(disk: &SimDisk, operation: Operation, open: impl FnOnce() -> Broker) -> (Broker, u64) {
    let before = disk.count(operation);
    let broker = open();
    (broker, disk.count(operation) - before)
}

#[test]
fn an_open_after_a_kill_reads_what_came_after_the_last_waypoint() {
    let mut reads = Vec::new();
    for durable in [4 << 20, 16 << 20] {
        let disk = SimDisk::new();
        let broker = open(&disk, CHUNK, false);
        let log = broker.create_topic("t", topic()).unwrap().partition(0);
        let log = log.unwrap();
        for _ in 0..durable / CHUNK {
            append(&log, CHUNK);
            log.flush().unwrap();
        }
        append(&log, CHUNK);
        let (end, killed) = (log.high_watermark(), disk.duplicate());
        drop(broker);
        let opened = cost(&killed, Operation::Read, || open(&killed, CHUNK, false));
        let (broker, count) = opened;
        let report = broker.recovery_report();
        assert!(report.is_clean() && !report.clean_shutdown, "{report:?}");
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!((log.high_watermark(), log.durable_end()), (end, end));
        let mut reader = log.reader(Position::Earliest).unwrap();
        let mut seen = 0;
        while reader.next().unwrap().is_some() {
            seen += 1;
        }
        assert_eq!(seen, end);
        reads.push(count);
    }
    assert_eq!(reads[0], reads[1], "four times the log, the same work");
}

#[test]
fn a_tail_is_written_again_only_if_a_sync_may_have_begun() {
    let tail = 8 * CHUNK;
    let writes = [false, true].map(|in_flight| {
        let disk = SimDisk::new();
        let broker = open(&disk, 16 << 20, false);
        let log = broker.create_topic("t", topic()).unwrap().partition(0);
        let log = log.unwrap();
        append(&log, CHUNK);
        log.flush().unwrap();
        append(&log, tail);
        if in_flight {
            // The process dies in it.
            let dies = Fault::error(Operation::Sync, std::io::ErrorKind::Other);
            disk.fail(dies.on_path(".log"));
            assert!(log.flush().is_err());
        }
        let killed = disk.duplicate();
        [false, true].map(|background| {
            let killed = killed.duplicate();
            let opened = cost(&killed, Operation::Write, || open(&killed, 1, background));
            let (broker, count) = opened;
            assert!(broker.recovery_report().is_clean());
            count
        })
    });
    let [quiet, in_doubt] = writes;
    assert!(quiet.iter().all(|count| *count < 8), "{writes:?}");
    assert!(in_doubt.iter().all(|count| *count >= 8), "{writes:?}");
}

#[test]
fn what_was_not_synced_is_synced_in_the_background_after_an_open() {
    let disk = SimDisk::recording();
    let broker = open(&disk, 16 << 20, false);
    let log = broker.create_topic("t", topic()).unwrap().partition(0);
    let log = log.unwrap();
    append(&log, CHUNK);
    log.flush().unwrap();
    let durable = log.durable_end();
    append(&log, CHUNK);
    let end = log.high_watermark();
    let now = disk.operation_count();
    let mut killed = disk.crash_states(now, CrashPlan::new(0));
    let killed = killed.next().unwrap();
    assert_eq!(killed.kind, CrashKind::ProcessCrash);
    drop(broker);

    let disk = killed.disk;
    let began = disk.operation_count();
    let broker = open(&disk, 16 << 20, true);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.high_watermark(), end, "it is served at once");
    let deadline = Instant::now() + Duration::from_secs(30);
    while log.durable_end() < end {
        assert!(log.durable_end() >= durable && Instant::now() < deadline);
        std::thread::yield_now();
    }
    let synced = disk.operation_count();
    drop((log, broker));
    // Whenever the power fails, what was durable stays; and from the sync on, that is everything.
    for at in began..=synced {
        for state in disk.crash_states(at, CrashPlan::new(1)) {
            let broker = open(&state.disk, 16 << 20, false);
            let log = broker.topic("t").unwrap().partition(0).unwrap();
            let least = if at == synced { end } else { durable };
            assert!(log.high_watermark() >= least, "{}", state.description);
            assert!(!broker.recovery_report().has_damage());
        }
    }
}

/// Descriptors of this process that are of files below `dir`.
fn descriptors(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let files = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    files.filter(|file| file.starts_with(dir)).count()
}

#[test]
fn finished_segments_hold_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing comes to rest by itself meanwhile.
    let config = topic().segment_bytes(20_000);
    let broker = Broker::open(dir.path()).unwrap();
    let log = broker.create_topic("t", config).unwrap().partition(0);
    let log = log.unwrap();
    let none = descriptors(dir.path());
    append(&log, VALUE.len() as u64);
    let base = descriptors(dir.path());
    assert_eq!(base, none + 1, "the active segment");
    append(&log, 99 * VALUE.len() as u64);
    // What a roll writes beside the log is open until it is synced.
    log.flush().unwrap();
    let read_all = |log: &Partition| {
        let mut reader = log.reader(Position::Earliest).unwrap();
        let mut kept = Vec::new();
        while let Some(batch) = reader.next_batch().unwrap() {
            kept.push(batch);
        }
        kept.len()
    };
    assert_eq!(descriptors(dir.path()), base, "100 segments later");
    assert_eq!(read_all(&log), 100);
    assert_eq!(descriptors(dir.path()), base);
    drop(log);
    broker.close().unwrap();

    let broker = Broker::open(dir.path()).unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(descriptors(dir.path()), none, "opened again");
    assert_eq!(read_all(&log), 100);
    assert_eq!(descriptors(dir.path()), none);
}

#[test]
fn thousands_of_partitions_open_in_a_moment() {
    let disk = SimDisk::new();
    let broker = open(&disk, CHUNK, false);
    let config = topic().partitions(3_000);
    let topic = broker.create_topic("t", config).unwrap();
    for partition in topic.partitions() {
        partition.append(&[Record::value_only("v")]).unwrap();
    }
    drop(topic);
    broker.close().unwrap();
    let started = Instant::now();
    let broker = open(&disk, CHUNK, false);
    let took = started.elapsed();
    assert!(broker.recovery_report().clean_shutdown);
    let partitions = broker.topic("t").unwrap().partitions();
    assert!(partitions.iter().all(|it| it.high_watermark() == 1));
    // Far more than it takes, and far less than work for each pair of partitions would take.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn replacements_that_were_cut_short_are_removed_and_other_files_are_not() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", support::small_segments()).unwrap();
    broker.close().unwrap();
    let ours = [
        "topics.manifest.tmp",
        "recovery-point-offset-checkpoint.tmp",
        "t-0/leader-epoch-checkpoint.tmp",
        "t-0/00000000000000000000.seal.tmp",
    ];
    let others = ["notes.tmp", "topics.tmp", "t-0/notes.tmp", "t-0/1.seal.tmp"];
    let path = |name: &str| format!("{}/{name}", support::DIR);
    for name in ours.iter().chain(&others) {
        disk.write(path(name), b"half of").unwrap();
    }
    let broker = support::open(&disk).unwrap();
    assert!(broker.recovery_report().is_clean());
    assert!(ours.iter().all(|name| disk.read(path(name)).is_none()));
    assert!(others.iter().all(|name| disk.read(path(name)).is_some()));
}
