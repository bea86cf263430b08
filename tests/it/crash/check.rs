//! Everything that must hold of a disk that a crash left, and go on to hold.

use std::path::Path;
use std::time::Duration;

use streamlog::sim::{DiskImage, SimDisk};
use streamlog::{Broker, CleanupPolicy, Durability, ManualClock, Record};

use super::ledger::{CheckpointLedger, Expected, Ledger};
use super::look::{
    DIR, Found, FoundPartition, LATER, Outcome, ensure, expect, look, open, open_at,
};
use super::promise::{Promise, check_latest};

/// Opens a disk as a crash left it and checks everything that must hold after it.
pub(crate) fn check_state(
    promise: Promise<'_>,
    disk: &SimDisk,
    durability: Durability,
) -> Outcome<Found> {
    let copies = check_checkpoints(promise, disk, durability)?;
    let clock = ManualClock::new(LATER);
    let broker = open_at(DIR, disk, durability, &clock)?;
    let report = broker.recovery_report().clone();
    ensure(!report.has_damage(), || {
        format!("a crash is taken for damage: {report:?}")
    })?;
    let found = look(&broker, promise.ledger)?;
    promise.check(&found)?;
    ensure(report.stray.is_empty(), || {
        format!("{:?} of no topic", report.stray)
    })?;
    expect_none_left(disk, &[".cleaned", ".swap", ".deleted", ".tmp", "-delete"])?;
    let mut after = append_everywhere(&broker, &found)?;
    if promise.ledger.cleans {
        after = clean_everywhere(&broker, &clock, promise, after)?;
    }
    expect("close", broker.close())?;
    let image = lasting(disk);

    let broker = open(disk, durability)?;
    let report = broker.recovery_report();
    ensure(report.clean_shutdown && report.is_clean(), || {
        format!("not clean after a close: {report:?}")
    })?;
    let again = look(&broker, promise.ledger)?;
    ensure(again == after, || {
        format!("{again:?} after a reopen, {after:?} before")
    })?;
    expect("close again", broker.close())?;
    if let Some(difference) = image.difference(&lasting(disk)) {
        return Err(format!("reopening changed something: {difference}"));
    }
    for (checkpoint, after) in copies {
        let copy = look_into(checkpoint, disk, durability)?.1;
        ensure(copy == after, || {
            format!("{} was {after:?} and is {copy:?}", checkpoint.dir)
        })?;
    }
    Ok(found)
}

/// A checkpoint is absent or whole. It goes on by itself; returns what is in each by now.
fn check_checkpoints<'a>(
    promise: Promise<'a>,
    disk: &SimDisk,
    durability: Durability,
) -> Outcome<Vec<(&'a CheckpointLedger, Found)>> {
    if promise.ledger.checkpoints.is_empty() {
        return Ok(Vec::new());
    }
    let directories = disk.image().directories();
    let mut copies = Vec::new();
    for checkpoint in &promise.ledger.checkpoints {
        let is_there = directories
            .iter()
            .any(|it| it == Path::new(&checkpoint.dir));
        ensure(is_there || checkpoint.acked > promise.at, || {
            format!("{} is lost", checkpoint.dir)
        })?;
        if !is_there {
            continue;
        }
        ensure(checkpoint.began <= promise.at, || {
            format!("{} was never made", checkpoint.dir)
        })?;
        let (copy, found) = look_into(checkpoint, disk, durability)?;
        ensure(found == checkpoint.found, || {
            format!(
                "{} has {found:?}, not {:?}",
                checkpoint.dir, checkpoint.found
            )
        })?;
        let after = append_everywhere(&copy, &found)?;
        expect("close the checkpoint", copy.close())?;
        copies.push((checkpoint, after));
    }
    Ok(copies)
}

fn look_into(
    checkpoint: &CheckpointLedger,
    disk: &SimDisk,
    durability: Durability,
) -> Outcome<(Broker, Found)> {
    let copy = open_at(&checkpoint.dir, disk, durability, &ManualClock::new(LATER))?;
    let report = copy.recovery_report();
    ensure(report.clean_shutdown && report.is_clean(), || {
        format!("{} is not clean: {report:?}", checkpoint.dir)
    })?;
    let found = look(&copy, &Ledger::default())?;
    Ok((copy, found))
}

/// What is nobody's is removed.
fn expect_none_left(disk: &SimDisk, endings: &[&str]) -> Outcome {
    let is_left = |path: &Path| {
        let name = path.to_string_lossy();
        path.starts_with(DIR) && endings.iter().any(|ending| name.ends_with(*ending))
    };
    let image = disk.image();
    let files = image.files().into_iter().map(|(path, _)| path);
    let left: Vec<_> = files
        .chain(image.directories())
        .filter(|path| is_left(path))
        .collect();
    ensure(left.is_empty(), || format!("{left:?} are left"))
}

/// Fills segments, has them compacted or grow old, and looks what is left.
fn clean_everywhere(
    broker: &Broker,
    clock: &ManualClock,
    promise: Promise<'_>,
    mut before: Found,
) -> Outcome<Found> {
    for value in ["-", "a value that fills a segment-"] {
        let value = value.repeat(12);
        append_to_all(broker, &mut before, &value)?;
    }
    clock.advance(Duration::from_secs(86_400));
    expect("clean", broker.run_housekeeping())?;
    let after = look(broker, promise.ledger)?;
    for (name, topic) in &before.topics {
        let now = after
            .topics
            .get(name)
            .ok_or("a topic is lost by cleaning")?;
        for (before, now) in topic.partitions.iter().zip(&now.partitions) {
            check_cleaned(topic.config.values().cleanup_policy(), before, now)
                .map_err(|message| format!("{name}, cleaned: {message}"))?;
        }
    }
    Ok(after)
}

fn check_cleaned(policy: CleanupPolicy, before: &FoundPartition, now: &FoundPartition) -> Outcome {
    ensure(now.end == before.end && now.start >= before.start, || {
        format!("from {} to {}", now.start, now.end)
    })?;
    let changed = now
        .records
        .iter()
        .find(|(offset, record)| before.records.get(offset) != Some(record));
    ensure(changed.is_none(), || format!("{changed:?} is new"))?;
    ensure(
        policy != CleanupPolicy::Delete || now.gone().is_empty(),
        || format!("{:?} are gone", now.gone()),
    )?;
    ensure(
        policy != CleanupPolicy::Compact || now.start == before.start,
        || format!("the start moved from {} to {}", before.start, now.start),
    )?;
    let written = before.records.iter();
    check_latest(written.map(|(offset, record)| (*offset, record)), now)
}

/// What must not change from a close to the next one. In `durable-ends` each write has a number.
fn lasting(disk: &SimDisk) -> DiskImage {
    disk.image().without(Path::new(DIR).join("durable-ends"))
}

/// Appends a record to every partition; returns what must be found from now on.
fn append_everywhere(broker: &Broker, found: &Found) -> Outcome<Found> {
    let mut after = found.clone();
    append_to_all(broker, &mut after, "after")?;
    Ok(after)
}

fn append_to_all(broker: &Broker, found: &mut Found, value: &str) -> Outcome {
    for (name, found_topic) in &mut found.topics {
        let topic = expect("find a topic", broker.topic(name))?;
        let has_keys = found_topic.config.values().cleanup_policy() != CleanupPolicy::Delete;
        for (number, partition) in (0..).zip(&mut found_topic.partitions) {
            let handle = expect("find a partition", topic.partition(number))?;
            let mut record = Record::value_only(value).timestamp(LATER);
            if has_keys {
                record = record.key("key-1");
            }
            let offset = expect("append after the crash", handle.append(&[record]))?;
            let end = partition.end;
            ensure(offset == end, || {
                format!("{name}-{number}: appended at {offset}, not at {end}")
            })?;
            let record = Expected {
                key: has_keys.then(|| b"key-1".to_vec()),
                value: Some(value.into()),
                timestamp: LATER,
                headers: Vec::new(),
            };
            partition.records.insert(offset, record);
            partition.end += 1;
        }
    }
    Ok(())
}
