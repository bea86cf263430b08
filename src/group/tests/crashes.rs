//! Commits and the groups themselves against crashes at every moment.

use super::*;
use crate::Position;
use crate::sim::CrashPlan;

/// Commits after each of five records; returns, for each commit, when it was acknowledged.
fn commit_one_by_one(disk: &SimDisk, durability: Durability) -> Vec<usize> {
    let builder = Broker::builder("data")
        .storage(disk.clone())
        .background(false);
    let broker = builder.durability(durability).open().unwrap();
    broker
        .create_topic("t", TopicConfig::default().partitions(2))
        .unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let mut consumer = broker
        .consumer()
        .group("g")
        .auto_offset_reset(Position::Earliest)
        .build()
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        partition.append(&[Record::value_only("v")]).unwrap();
        assert_eq!(consumer.poll(std::time::Duration::ZERO).unwrap().len(), 1);
        consumer.commit().unwrap();
        acknowledged.push(disk.mark("committed"));
    }
    // No orderly end.
    std::mem::forget((broker, partition, consumer));
    acknowledged
}

#[test]
fn a_durable_commit_survives_any_crash_and_never_passes_its_data() {
    let disk = SimDisk::recording();
    let acknowledged = commit_one_by_one(&disk, Durability::Synced);
    for at in acknowledged[0]..=*acknowledged.last().unwrap() {
        let least = acknowledged.iter().filter(|&&moment| moment <= at).count();
        for crash in disk.crash_states(at, CrashPlan::new(17)) {
            let broker = state(&open(&crash.disk));
            let committed = fetch(&broker, "g", 0).unwrap_or(0);
            let end = broker.topic("t").unwrap().partitions.load()[0].high_watermark();
            assert!(
                committed >= u64::try_from(least).unwrap(),
                "at {at}: {}",
                crash.description
            );
            assert!(committed <= end, "at {at}: {}", crash.description);
        }
    }
}

#[test]
fn after_any_crash_a_group_goes_on_inside_the_log_and_misses_nothing() {
    let disk = SimDisk::recording();
    let acknowledged = commit_one_by_one(&disk, Durability::Written);
    let at = *acknowledged.last().unwrap();
    for crash in disk.crash_states(at, CrashPlan::new(23).random_subsets(60)) {
        let broker = open(&crash.disk);
        let Ok(topic) = broker.topic("t") else {
            continue;
        };
        let end = topic.partition(0).unwrap().high_watermark();
        let committed = fetch(&state(&broker), "g", 0).unwrap_or(0);
        assert!(
            committed <= end,
            "{}: {committed} of {end}",
            crash.description
        );
        let mut consumer = broker
            .consumer()
            .group("g")
            .auto_offset_reset(Position::Earliest)
            .build()
            .unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(
            consumer.position(&id(0)).unwrap(),
            committed,
            "{}",
            crash.description
        );
        let records = consumer.poll(std::time::Duration::ZERO).unwrap();
        assert_eq!(
            u64::try_from(records.len()).unwrap(),
            end - committed,
            "{}",
            crash.description
        );
    }
}

/// A broker with durable commits whose group `g` committed, was moved and was deleted; returns what the
/// group's offsets are from which moment on.
fn move_and_delete(disk: &SimDisk) -> Vec<(usize, Option<u64>)> {
    let builder = Broker::builder("data")
        .storage(disk.clone())
        .background(false);
    let broker = builder.durability(Durability::Synced).open().unwrap();
    let topic = broker.create_topic("t", TopicConfig::default()).unwrap();
    let records = [(); 5].map(|()| Record::value_only("v"));
    topic.partition(0).unwrap().append(&records).unwrap();
    let group = broker.group("g");
    let mut known = Vec::new();
    for offset in [5, 2] {
        let to = Position::Offset(offset);
        group.reset_offsets("t", to).unwrap();
        known.push((disk.mark("moved"), Some(offset)));
    }
    group.delete().unwrap();
    known.push((disk.mark("deleted"), None));
    // No orderly end.
    std::mem::forget((broker, topic, group));
    known
}

#[test]
fn what_was_moved_or_deleted_durably_is_so_after_any_crash() {
    let disk = SimDisk::recording();
    let known = move_and_delete(&disk);
    let (first, last) = (known[0].0, known[known.len() - 1].0);
    for at in first..=last {
        let done = known.iter().filter(|(moment, _)| *moment <= at).count();
        // What was under way may be there.
        let allowed: Vec<_> = known[done - 1..].iter().take(2).collect();
        for crash in disk.crash_states(at, CrashPlan::new(29)) {
            let broker = state(&open(&crash.disk));
            let found = fetch(&broker, "g", 0);
            assert!(
                allowed.iter().any(|(_, offset)| *offset == found),
                "at {at}: {found:?}: {}",
                crash.description
            );
        }
    }
}
