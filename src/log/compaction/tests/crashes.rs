//! A crash, or a failing disk, at every operation of a history with passes in it.

use std::io;

use super::*;
use crate::sim::{CrashPlan, Fault};

type Written = Vec<(String, Option<String>)>;

/// Writes batches of few keys, all of them durable when it returns.
fn write(fixture: &Fixture, all: &mut Written, random: &mut Random, batches: usize) {
    for _ in 0..batches {
        let records: Vec<_> = (0..=random.below(3))
            .map(|_| {
                let value = format!("value {}", random.below(1000));
                (
                    format!("k{}", random.below(6)),
                    (random.below(4) > 0).then_some(value),
                )
            })
            .collect();
        let borrowed: Vec<_> = records
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        fixture.put(&borrowed);
        all.extend(records);
    }
    let partition = fixture.broker.topic("t").unwrap().partition(0).unwrap();
    partition.flush().unwrap();
}

/// What is there is right, nothing is left over, and the log goes on.
fn check_opened(disk: &SimDisk, all: &Written, durable: usize, what: &str) {
    let broker = open(disk);
    let report = broker.recovery_report();
    for (name, recovery) in &report.partitions {
        assert!(
            recovery.damage.is_empty(),
            "{what}: {name}: {:?}",
            recovery.damage
        );
    }
    let log = log_of(&broker);
    let fixture = Fixture {
        disk: disk.clone(),
        broker,
        log,
    };
    let end = usize::try_from(fixture.log.high_watermark()).unwrap();
    assert!(
        (durable..=all.len()).contains(&end),
        "{what}: {durable} durable, found {end}"
    );
    let mut all = all[..end].to_vec();
    check(&fixture, &all);
    for (path, _) in disk.files() {
        let name = path.to_string_lossy().into_owned();
        let is_left = [".cleaned", ".swap", ".deleted"]
            .iter()
            .any(|it| name.ends_with(it));
        assert!(!is_left, "{what}: {name} is left");
    }
    all.push(("k1".to_owned(), Some("after".to_owned())));
    fixture.put(&[("k1", Some("after"))]);
    fixture.roll();
    fixture.compact_at(9 * DAY, PLENTY).unwrap();
    check(&fixture, &all);
    check(&fixture.reopened(), &all);
}

#[test]
fn a_crash_at_any_moment_leaves_the_latest_record_of_each_key() {
    let disk = SimDisk::recording();
    let fixture = Fixture::on(disk.clone(), config());
    let mut random = Random::new(5);
    let mut all = Written::new();
    // How much was durable from which operation on.
    let mut durable = vec![(disk.mark("made"), 0)];
    for round in 0..3 {
        write(&fixture, &mut all, &mut random, 12);
        durable.push((disk.mark("written"), all.len()));
        fixture.roll();
        let memory = if round == 1 { 24 * 5 } else { PLENTY };
        fixture.compact_at(DAY * round, memory);
    }
    let end = disk.mark("end");
    std::mem::forget(fixture);
    let mut states = 0;
    for at in durable[0].0..=end {
        let known = durable.iter().rev().find(|(moment, _)| *moment <= at);
        let known = known.map_or(0, |(_, count)| *count);
        let plan = CrashPlan::new(at as u64)
            .single_operations(8)
            .cuts(2)
            .random_subsets(3);
        for crash in disk.crash_states(at, plan) {
            states += 1;
            check_opened(
                &crash.disk,
                &all,
                known,
                &format!("at {at}: {}", crash.description),
            );
        }
    }
    assert!(states > 2_000, "{states} states");
}

#[test]
fn a_disk_that_fails_at_any_operation_leaves_what_was_there_in_use() {
    let faults: [fn() -> Fault; 4] = [
        || Fault::any(io::ErrorKind::StorageFull),
        || Fault::any(io::ErrorKind::Other),
        || Fault::any(io::ErrorKind::PermissionDenied),
        || Fault::short_write(7),
    ];
    let mut runs = 0;
    for (number, fault) in faults.iter().enumerate() {
        for sticky in [false, true] {
            let mut skipped = 0;
            loop {
                let disk = SimDisk::new();
                let fixture = Fixture::on(disk.clone(), config());
                let mut all = Written::new();
                write(&fixture, &mut all, &mut Random::new(7), 14);
                fixture.roll();
                let what = format!("fault {number} after {skipped}, sticky: {sticky}");
                let fault = fault().after(skipped);
                disk.fail(if sticky { fault.sticky() } else { fault });
                let outcome = fixture.try_compact(DAY, PLENTY);
                let struck = disk.faults_struck();
                disk.clear_faults();
                if struck == 0 {
                    assert!(outcome.unwrap().is_some());
                    break;
                }
                println!("{what}: {outcome:?}");
                // A name that could not be made durable stops the log, whoever asked for it.
                let has_stopped = fixture.log.log().check_failure().is_err();
                assert!(!has_stopped || matches!(outcome, Err(Error::StorageFailed { .. })));
                if !has_stopped {
                    check(&fixture, &all);
                    fixture.put(&[("k0", Some("more"))]);
                    all.push(("k0".to_owned(), Some("more".to_owned())));
                }
                // Once the disk works again, so does the next pass, unless a crash could bring two states.
                let again = fixture.try_compact(DAY, PLENTY);
                assert!(again.is_ok(), "{what}: {again:?}");
                if !has_stopped {
                    check(&fixture, &all);
                }
                let Fixture { broker, log, .. } = fixture;
                drop(log);
                assert_eq!(broker.close().is_err(), has_stopped, "{what}");
                check_opened(&disk, &all, all.len(), &what);
                skipped += 1;
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "{runs} runs");
}
