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
