//! Old records go by Kafka's rules, nothing else goes, and nothing comes back. The rules themselves have
//! tables in `log/retention_tests.rs`; what a full budget does is in `budget`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use streamlog::sim::{Fault, Operation, SimDisk};
use streamlog::{
    Broker, BrokerBuilder, CleanupPolicy, Clock, Error, ManualClock, Offset, Partition, Position,
    Record, RetentionConsumed, TopicConfig, TopicPartition,
};

use crate::support::{self, START, log_file, partition, small_segments};

mod clocks;
mod consumed;
mod threads;

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MILLIS: i64 = 3_600_000;

/// A broker that looks only when told to, on a clock that moves only when told to.
struct World {
    disk: SimDisk,
    clock: ManualClock,
    broker: Broker,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(), ManualClock::new(START));
        let broker = support::open_at(&disk, &clock).unwrap();
        Self {
            disk,
            clock,
            broker,
        }
    }

    fn topic(&self, config: TopicConfig) -> Partition {
        self.broker.create_topic("t", config).unwrap();
        partition(&self.broker, "t", 0)
    }

    fn look(&self) {
        self.broker.run_housekeeping().unwrap();
        assert_eq!(self.broker.cleaning_failures().len(), 0);
    }

    fn bases(&self, partition: &str) -> Vec<Offset> {
        let dir = format!("{}/{partition}/", support::DIR);
        let files = self.disk.files();
        let names = files
            .iter()
            .filter_map(|(path, _)| path.to_str()?.strip_prefix(&*dir));
        names
            .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
            .collect()
    }

    /// What another process would find if this one were killed now.
    fn reopened(&self) -> Broker {
        support::open_at(&self.disk.duplicate(), &self.clock).unwrap()
    }
}

/// Segments of some batches each, with any timestamps, which nothing removes.
fn kept() -> TopicConfig {
    small_segments()
        .message_timestamp_after_max_ms(None)
        .retention_ms(None)
}

fn an_hour() -> TopicConfig {
    kept().retention_ms(Some(HOUR))
}

/// One record a batch, all of this time.
fn fill(log: &Partition, count: usize, timestamp: i64) {
    for _ in 0..count {
        let record = Record::value_only("some value that is not short")
            .key("key")
            .timestamp(timestamp);
        log.append(&[record]).unwrap();
    }
}

/// Offsets that a reader gets from the start.
fn offsets(log: &Partition) -> Vec<Offset> {
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut offsets = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        offsets.push(record.offset());
    }
    offsets
}

#[test]
fn records_go_when_they_are_older_than_retention_ms() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 60, START);
    assert!(world.bases("t-0").len() > 3);
    world.clock.advance(HOUR);
    world.look();
    assert_eq!(log.log_start_offset(), 0, "not older than the limit");
    world.clock.advance(Duration::from_millis(1));
    world.look();
    assert_eq!((log.log_start_offset(), log.high_watermark()), (60, 60));
    assert_eq!(world.bases("t-0"), [60], "the active one was rolled");
    fill(&log, 1, START);
    assert_eq!(offsets(&log), [60]);
}

#[test]
fn a_young_record_keeps_its_segment_and_all_behind_it() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 30, START);
    let young = log.high_watermark();
    fill(&log, 1, START + 10);
    fill(&log, 30, START);
    let all = world.bases("t-0");
    let behind = all.partition_point(|base| *base <= young);
    world.clock.advance(HOUR + Duration::from_millis(5));
    world.look();
    assert_eq!(world.bases("t-0"), all[behind - 1..]);
    assert_eq!(log.log_start_offset(), all[behind - 1]);
}

#[test]
fn a_log_stays_at_retention_bytes_at_least() {
    let world = World::new();
    let limit = 5_000;
    let log = world.topic(kept().retention_bytes(Some(limit)));
    for _ in 0..20 {
        fill(&log, 7, START);
        world.look();
        let first = world.bases("t-0")[0];
        let first = fs_len(&world.disk, first);
        let size = log.size_bytes();
        assert!(size < limit + first, "{size}: another segment could go");
        assert!(log.log_start_offset() == 0 || size >= limit, "{size}");
    }
    assert!(log.log_start_offset() > 0);
    assert_eq!(log.log_start_offset(), world.bases("t-0")[0]);
}

fn fs_len(disk: &SimDisk, base: Offset) -> u64 {
    let path = log_file("t-0", base);
    disk.read(path).unwrap().len() as u64
}

#[test]
fn without_timestamps_age_is_counted_from_when_a_segment_was_finished() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 30, -1);
    let first = world.bases("t-0");
    world.clock.advance(HOUR);
    fill(&log, 30, -1);
    world.clock.advance(Duration::from_millis(1));
    world.look();
    let start = first[first.len() - 1];
    assert_eq!(log.log_start_offset(), start);
    world.clock.advance(10 * HOUR);
    world.look();
    let bases = world.bases("t-0");
    assert_eq!(bases.len(), 1, "of the one in use nobody knows");
    assert_eq!(log.log_start_offset(), bases[0]);
}

#[test]
fn the_default_is_seven_days() {
    let world = World::new();
    let log = world.topic(TopicConfig::default());
    fill(&log, 3, START);
    world.clock.advance(7 * 24 * HOUR);
    world.look();
    assert_eq!(log.log_start_offset(), 0);
    world.clock.advance(Duration::from_millis(1));
    world.look();
    assert_eq!(log.log_start_offset(), 3);
}

#[test]
fn nothing_goes_from_a_topic_without_limits_or_one_that_is_only_compacted() {
    let world = World::new();
    let log = world.topic(kept());
    let compact = an_hour()
        .retention_bytes(Some(0))
        .cleanup_policy(CleanupPolicy::Compact);
    world.broker.create_topic("table", compact).unwrap();
    let table = partition(&world.broker, "table", 0);
    fill(&log, 60, 0);
    fill(&table, 60, 0);
    world.clock.advance(1_000 * HOUR);
    world.look();
    assert_eq!((log.log_start_offset(), table.log_start_offset()), (0, 0));
}

#[test]
fn what_is_gone_stays_gone_after_a_kill_or_a_close() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 40, START);
    fill(&log, 20, START + HOUR_MILLIS);
    world.clock.advance(2 * HOUR);
    world.look();
    let (start, end) = (log.log_start_offset(), log.high_watermark());
    assert!(start > 0 && start < end);
    let check = |broker: &Broker| {
        assert!(!broker.recovery_report().has_damage());
        let log = partition(broker, "t", 0);
        assert_eq!(log.log_start_offset(), start);
        assert_eq!(offsets(&log), (start..end).collect::<Vec<_>>());
    };
    check(&world.reopened());
    drop(log);
    world.broker.close().unwrap();
    check(&support::open_at(&world.disk, &world.clock).unwrap());
}

#[test]
fn an_empty_log_that_lost_everything_opens_and_goes_on() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 10, START);
    world.clock.advance(2 * HOUR);
    world.look();
    let broker = world.reopened();
    assert!(!broker.recovery_report().has_damage());
    let log = partition(&broker, "t", 0);
    assert_eq!((log.log_start_offset(), log.high_watermark()), (10, 10));
    fill(&log, 1, START);
    assert_eq!(offsets(&log), [10]);
}

#[test]
fn a_log_that_was_rolled_for_retention_alone_opens_as_it_was_closed() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new(START));
    let open = || support::open_at(&disk, &clock).unwrap();
    let broker = open();
    broker.create_topic("t", an_hour()).unwrap();
    fill(&partition(&broker, "t", 0), 2, START);
    broker.close().unwrap();
    clock.advance(2 * HOUR);
    // Nothing is appended from here on.
    let broker = open();
    broker.run_housekeeping().unwrap();
    assert_eq!(partition(&broker, "t", 0).log_start_offset(), 2);
    broker.close().unwrap();
    let report = open().recovery_report().clone();
    assert!(report.is_clean() && report.clean_shutdown, "{report:?}");
}

#[test]
fn old_segments_go_though_there_is_no_room_to_go_on_in_a_new_one() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 60, START);
    let active = *world.bases("t-0").last().unwrap();
    world.clock.advance(2 * HOUR);
    let full = Fault::error(Operation::Open, std::io::ErrorKind::StorageFull);
    world.disk.fail(full.on_path("00060.log").sticky());
    world.look();
    assert_eq!(world.bases("t-0"), [active]);
    let refused = world.broker.run_housekeeping();
    assert!(
        matches!(refused, Err(Error::DiskFull { .. })),
        "{refused:?}"
    );
    world.disk.clear_faults();
    world.look();
    assert_eq!(world.bases("t-0"), [60]);
}

#[test]
fn looking_again_finds_nothing_to_do() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 60, START);
    world.clock.advance(2 * HOUR);
    world.look();
    let changes = || {
        [Operation::Write, Operation::Rename, Operation::Sync].map(|kind| world.disk.count(kind))
    };
    let before = changes();
    world.look();
    world.clock.advance(HOUR);
    world.look();
    assert_eq!(changes(), before);
    assert_eq!(world.bases("t-0"), [60]);
}

#[test]
fn one_look_writes_the_manifest_once_for_all_partitions() {
    let world = World::new();
    world.topic(an_hour().partitions(20));
    let logs: Vec<_> = (0..20)
        .map(|number| partition(&world.broker, "t", number))
        .collect();
    for log in &logs {
        fill(log, 20, START);
        fill(log, 5, START + 2 * HOUR_MILLIS);
        log.flush().unwrap();
    }
    world.clock.advance(2 * HOUR);
    let names = world.disk.count(Operation::SyncDir);
    world.look();
    assert!(logs.iter().all(|log| log.log_start_offset() > 0));
    let names = world.disk.count(Operation::SyncDir) - names;
    assert!(names < 20, "{names} synced directories");
}

#[test]
fn a_partition_that_cannot_be_cleaned_does_not_keep_others_from_it() {
    for operation in [Operation::Rename, Operation::Remove] {
        let world = World::new();
        world.topic(an_hour().partitions(3));
        let logs: Vec<_> = (0..3)
            .map(|number| partition(&world.broker, "t", number))
            .collect();
        for log in &logs {
            fill(log, 40, START);
        }
        world.clock.advance(2 * HOUR);
        let fault = Fault::error(operation, std::io::ErrorKind::Other).on_path("t-1/");
        world.disk.fail(fault);
        assert!(world.broker.run_housekeeping().is_err());
        let failures = world.broker.cleaning_failures();
        assert!(
            matches!(&failures[..], [(id, Error::Io { .. })] if *id == TopicPartition::new("t", 1)),
            "{failures:?}"
        );
        assert_eq!(world.bases("t-0"), [40]);
        assert_eq!(world.bases("t-2"), [40]);
        assert_eq!(logs[1].log_start_offset(), 40, "nothing of it is shown");
        world.look();
        assert_eq!(world.bases("t-1"), [40], "it is tried again");
        let files = world.disk.files();
        let left = files
            .iter()
            .filter(|(path, _)| path.to_str().is_some_and(|it| it.contains(".deleted")));
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn a_manifest_that_cannot_be_written_keeps_all_records() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 40, START);
    log.flush().unwrap();
    world.clock.advance(2 * HOUR);
    let full = Fault::error(Operation::Write, std::io::ErrorKind::StorageFull);
    world.disk.fail(full.on_path("topics.manifest").sticky());
    let failed = world.broker.run_housekeeping();
    assert!(matches!(failed, Err(Error::DiskFull { .. })), "{failed:?}");
    assert_eq!(log.log_start_offset(), 0);
    assert_eq!(offsets(&log).len(), 40);
    world.disk.clear_faults();
    world.look();
    assert_eq!(log.log_start_offset(), 40);
}

#[test]
fn records_in_hand_stay_and_a_reader_below_the_start_is_told() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 60, START);
    let mut consumer = world.broker.consumer().max_poll_records(3).build().unwrap();
    consumer.assign(&[log.id().clone()]).unwrap();
    consumer.seek(log.id(), Position::Earliest).unwrap();
    let held = consumer.poll(Duration::ZERO).unwrap();
    let mut reader = log.reader(Position::Offset(1)).unwrap();
    world.clock.advance(2 * HOUR);
    world.look();
    let values = held.iter().map(|record| record.value().map(<[u8]>::len));
    assert_eq!(values.collect::<Vec<_>>(), [Some(28); 3]);
    let refused = reader.next().map(drop);
    assert!(
        matches!(refused, Err(Error::OffsetOutOfRange { start: 60, .. })),
        "{refused:?}"
    );
}

/// Files below `dir` that this process has mapped.
fn mapped(dir: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps.lines().filter_map(|line| line.get(line.find('/')?..));
    paths
        .filter(|path| Path::new(path).starts_with(dir))
        .filter(|path| path.contains(".log"))
        .count()
}

/// Files below `dir` that this process has open, and that have no name any more.
fn open_without_a_name(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let files = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    files
        .filter(|file| file.starts_with(dir) && file.to_string_lossy().ends_with("(deleted)"))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn disk_space_returns_when_the_last_holder_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let clock = ManualClock::new(START);
    let builder = Broker::builder(&dir).clock(clock.clone()).background(false);
    let broker = builder.open().unwrap();
    broker.create_topic("t", an_hour()).unwrap();
    let log = partition(&broker, "t", 0);
    fill(&log, 60, START);
    let mut consumer = broker.consumer().build().unwrap();
    consumer.assign(&[log.id().clone()]).unwrap();
    consumer.seek(log.id(), Position::Earliest).unwrap();
    let held = consumer.poll(Duration::ZERO).unwrap();
    assert!(held.iter().next().is_some());
    drop(consumer);
    clock.advance(2 * HOUR);
    broker.run_housekeeping().unwrap();
    assert_eq!(log.log_start_offset(), 60);
    let names = fs::read_dir(dir.join("t-0")).unwrap();
    let logs = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".log")
    });
    assert_eq!(logs.count(), 1, "all but the new one are unlinked");
    assert!(mapped(&dir) > 0, "who holds records holds their bytes");
    drop(held);
    assert_eq!(mapped(&dir), 0);
    assert_eq!(open_without_a_name(&dir), 0);
}

#[test]
fn adopting_a_directory_never_removes_anything() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 40, 0);
    world
        .broker
        .group("g")
        .reset_offsets("t", Position::Offset(3))
        .unwrap();
    drop(log);
    world.broker.close().unwrap();
    // What is left of a directory looks the same whoever wrote it.
    for name in ["topics.manifest", "durable-ends"] {
        assert!(world.disk.remove(Path::new(support::DIR).join(name)));
    }
    world.clock.advance(1_000 * HOUR);
    let broker = support::open_at(&world.disk, &world.clock).unwrap();
    broker.run_housekeeping().unwrap();
    assert_eq!(offsets(&partition(&broker, "t", 0)).len(), 40);
    let value = |topic: &str, key| broker.topic(topic).unwrap().config().get(key);
    assert_eq!(value("t", "retention.ms").as_deref(), Some("-1"));
    assert_eq!(value("t", "cleanup.policy").as_deref(), Some("delete"));
    let offsets_topic = "__consumer_offsets";
    assert_eq!(
        value(offsets_topic, "cleanup.policy").as_deref(),
        Some("compact")
    );
    let again = support::open_at(&world.disk.duplicate(), &world.clock).unwrap();
    let config = again.topic("t").unwrap().config();
    assert_eq!(config.get("retention.ms").as_deref(), Some("-1"), "stored");
}

#[test]
fn records_of_a_compacted_topic_are_not_deleted_by_offset() {
    let world = World::new();
    let log = world.topic(kept().cleanup_policy(CleanupPolicy::Compact));
    fill(&log, 3, START);
    let refused = log.delete_records(2);
    assert!(
        matches!(&refused, Err(Error::PolicyViolation { topic, .. }) if topic == "t"),
        "{refused:?}"
    );
    assert_eq!(log.log_start_offset(), 0);
    let both = kept().cleanup_policy(CleanupPolicy::CompactAndDelete);
    world.broker.alter_topic("t", both).unwrap();
    log.delete_records(2).unwrap();
    assert_eq!(log.log_start_offset(), 2);
}

#[test]
fn a_topic_made_again_does_not_inherit_a_start() {
    let world = World::new();
    let log = world.topic(an_hour());
    fill(&log, 40, START);
    world.clock.advance(2 * HOUR);
    world.look();
    world.broker.delete_topic("t").unwrap();
    world.look();
    let log = world.topic(an_hour());
    fill(&log, 3, START + 2 * HOUR_MILLIS);
    world.look();
    assert_eq!(offsets(&log), [0, 1, 2]);
    assert_eq!(offsets(&partition(&world.reopened(), "t", 0)), [0, 1, 2]);
}
