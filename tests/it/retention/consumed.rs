//! Retention waits for groups that it is told to wait for.

use super::*;

/// A queue: what these groups have consumed goes at once.
fn queue(groups: &[&str]) -> TopicConfig {
    let names = groups.iter().map(|&name| name.to_owned()).collect();
    an_hour()
        .retention_ms(Some(Duration::ZERO))
        .retention_consumed(RetentionConsumed::Groups(names))
}

fn every_group() -> TopicConfig {
    queue(&[]).retention_consumed(RetentionConsumed::EveryGroup)
}

/// Filled, and an hour later.
fn filled(config: TopicConfig) -> (World, Partition, Vec<Offset>) {
    let world = World::new();
    let log = world.topic(config);
    fill(&log, 60, START);
    world.clock.advance(HOUR);
    let bases = world.bases("t-0");
    assert!(bases.len() > 3);
    (world, log, bases)
}

fn commit(world: &World, group: &str, offset: Offset) {
    let position = Position::Offset(offset);
    world
        .broker
        .group(group)
        .reset_offsets("t", position)
        .unwrap();
}

#[test]
fn a_named_group_holds_what_it_has_not_passed() {
    let (world, log, bases) = filled(queue(&["billing"]));
    world.look();
    assert_eq!(log.log_start_offset(), 0, "it committed nothing");
    commit(&world, "other", 60);
    world.look();
    assert_eq!(log.log_start_offset(), 0, "another group does not count");
    for (committed, start) in [
        (bases[1] - 1, 0),
        (bases[1], bases[1]),
        (bases[3] + 1, bases[3]),
        (60, 60),
    ] {
        commit(&world, "billing", committed);
        world.look();
        assert_eq!(log.log_start_offset(), start, "committed {committed}");
    }
}

#[test]
fn of_many_groups_the_slowest_counts() {
    let (world, log, bases) = filled(queue(&["fast", "slow"]));
    commit(&world, "fast", 60);
    world.look();
    assert_eq!(log.log_start_offset(), 0);
    commit(&world, "slow", bases[2]);
    world.look();
    assert_eq!(log.log_start_offset(), bases[2]);
}

#[test]
fn every_group_is_every_group_that_committed_for_the_topic() {
    let (world, log, bases) = filled(every_group());
    world.look();
    assert_eq!(log.log_start_offset(), 0, "there is none");
    world.broker.create_topic("else", kept()).unwrap();
    world
        .broker
        .group("elsewhere")
        .reset_offsets("else", Position::Earliest)
        .unwrap();
    world.look();
    assert_eq!(log.log_start_offset(), 0, "there is none for this topic");
    commit(&world, "a", bases[3]);
    world.look();
    assert_eq!(log.log_start_offset(), bases[3]);
    commit(&world, "b", bases[3]);
    commit(&world, "a", 60);
    world.look();
    assert_eq!(log.log_start_offset(), bases[3], "`b` has more to do");
    commit(&world, "b", 60);
    world.look();
    assert_eq!(log.log_start_offset(), 60);
}

#[test]
fn a_partition_without_a_commit_keeps_everything() {
    let world = World::new();
    world.topic(every_group().partitions(2));
    let logs = [0, 1].map(|number| partition(&world.broker, "t", number));
    for log in &logs {
        fill(log, 40, START);
    }
    world.clock.advance(HOUR);
    let mut consumer = world.broker.consumer().group("g").build().unwrap();
    consumer.assign(&[logs[0].id().clone()]).unwrap();
    consumer.seek(logs[0].id(), Position::Latest).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit().unwrap();
    world.look();
    assert_eq!(logs.map(|log| log.log_start_offset()), [40, 0]);
}

#[test]
fn consumption_makes_nothing_go_earlier() {
    let config = an_hour().retention_consumed(RetentionConsumed::EveryGroup);
    let (world, log, _) = filled(config);
    commit(&world, "a", 60);
    world.look();
    assert_eq!(log.log_start_offset(), 0, "an hour old, not older");
    world.clock.advance(Duration::from_millis(1));
    world.look();
    assert_eq!(log.log_start_offset(), 60);
}

#[test]
fn consumption_holds_what_is_too_much_as_well() {
    let config = every_group()
        .retention_ms(None)
        .retention_bytes(Some(1_000));
    let (world, log, bases) = filled(config);
    commit(&world, "a", bases[1]);
    world.look();
    assert_eq!(log.log_start_offset(), bases[1]);
    log.delete_records(bases[2]).unwrap();
    assert_eq!(log.log_start_offset(), bases[2], "asked for by name");
}

#[test]
fn offsets_that_cannot_be_read_hold_everything() {
    let (world, log, _) = filled(queue(&["billing"]));
    commit(&world, "billing", 60);
    drop(log);
    world.broker.close().unwrap();
    for (path, len) in world.disk.files() {
        let name = path.to_string_lossy();
        if name.contains("__consumer_offsets") && name.ends_with(".log") && len > 0 {
            let mut bytes = world.disk.read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            world.disk.write(&path, bytes).unwrap();
        }
    }
    let broker = support::open_at(&world.disk, &world.clock).unwrap();
    let looked = broker.run_housekeeping();
    assert!(matches!(looked, Err(Error::Corrupt { .. })), "{looked:?}");
    let log = partition(&broker, "t", 0);
    assert_eq!(offsets(&log).len(), 60);
    let failures = broker.cleaning_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].0, *log.id());
}
