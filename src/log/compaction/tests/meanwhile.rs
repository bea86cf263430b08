//! What comes right in the middle of a swap, and what has to be on the device by then.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::*;
use crate::Record;
use crate::log::names::FileKind;
use crate::sim::{CrashPlan, Fault, Operation};

const DIR: &str = "data/t-0";

/// Two finished segments, of which little stays, and the active one.
fn two_to_compact(disk: SimDisk, policy: CleanupPolicy) -> Fixture {
    let fixture = Fixture::on(disk, config().cleanup_policy(policy));
    fixture.put(&[("a", Some("1")), ("b", Some("1"))]);
    fixture.roll();
    fixture.put(&[("a", Some("2"))]);
    fixture.roll();
    fixture
}

fn partition(fixture: &Fixture) -> crate::Partition {
    fixture.broker.topic("t").unwrap().partition(0).unwrap()
}

/// Says whether removals have to wait.
fn removal_is_locked(fixture: &Fixture) -> impl FnOnce() -> bool + use<> {
    let log = Arc::clone(&fixture.log);
    move || log.log().removal.is_locked()
}

/// Files of segments that begin below an offset, whatever follows their names.
fn files_below(disk: &SimDisk, offset: Offset) -> Vec<PathBuf> {
    let base = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        // Stages are numbered otherwise.
        let is_stage = FileKind::parse(name).is_some_and(|(_, kind)| kind == FileKind::Stage);
        name.get(..20)?.parse().ok().filter(|_| !is_stage)
    };
    let files = disk.files().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.starts_with(DIR))
        .filter(|path| base(path).is_some_and(|base: Offset| base < offset))
        .collect()
}

#[test]
fn segments_that_go_while_they_are_swapped_leave_nothing_behind() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::CompactAndDelete);
    fixture.put(&[("c", Some("stays"))]);
    let partition = partition(&fixture);
    let deletion = fixture.disk.meanwhile(
        Operation::Rename,
        ".log.swap",
        removal_is_locked(&fixture),
        move || partition.delete_records(3),
    );
    fixture.compact_at(0, PLENTY).unwrap();
    deletion.outcome().unwrap();
    assert_eq!(fixture.records(), [record(3, "c", "stays")]);
    assert_eq!(files_below(&fixture.disk, 3), [""; 0].map(PathBuf::from));
}

#[test]
fn no_segment_is_verified_before_its_files_have_their_names() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let broker = fixture.broker.clone();
    let verification = fixture.disk.meanwhile(
        Operation::Rename,
        ".seal",
        removal_is_locked(&fixture),
        move || broker.verify(),
    );
    fixture.compact_at(0, PLENTY).unwrap();
    let report = verification.outcome().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn no_checkpoint_comes_while_files_of_a_swap_get_their_names() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let held = Arc::new(Mutex::new(Vec::new()));
    for to in [".log.swap", ".deleted", ".seal"] {
        let (log, held) = (Arc::clone(&fixture.log), Arc::clone(&held));
        fixture.disk.before(Operation::Rename, to, move || {
            held.lock().push(log.log().open.names().is_held());
        });
    }
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(*held.lock(), [true; 3]);
}

#[test]
fn a_commit_that_fails_leaves_the_segments_on_the_list() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let before = fixture.log.log().segments();
    let fault = Fault::error(Operation::Rename, io::ErrorKind::Other);
    fixture.disk.fail(fault.on_path(".log.swap"));
    assert!(fixture.try_compact(0, PLENTY).is_err());
    let after = fixture.log.log().segments();
    assert!(Arc::ptr_eq(&before, &after));
}

#[test]
fn readers_who_find_a_file_gone_are_told_of_each_swap() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let before = fixture.log.log().swaps();
    fixture.compact_at(0, PLENTY).unwrap();
    assert_eq!(fixture.log.log().swaps(), before + 1);
}

#[test]
fn a_compacted_segment_is_as_old_as_the_youngest_it_was_made_of() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let sealed_at = |fixture: &Fixture| {
        let segments = fixture.log.log().segments();
        let seals = segments.iter().filter_map(|segment| segment.seal());
        seals.map(|seal| seal.sealed_at).max()
    };
    let before = sealed_at(&fixture);
    fixture.compact_at(DAY, PLENTY).unwrap();
    assert_eq!(sealed_at(&fixture), before);
}

#[test]
fn what_is_settled_is_so_on_the_device() {
    let fixture = two_to_compact(SimDisk::recording(), CleanupPolicy::Compact);
    fixture.compact_at(0, PLENTY).unwrap();
    let (now, durable) = (fixture.disk.image(), fixture.disk.durable_image());
    let name = |kind: &str| Path::new(DIR).join(format!("{:020}.{kind}", 0));
    for kind in ["log", "index", "timeindex", "seal", "log.swap"] {
        assert_eq!(durable.read(name(kind)), now.read(name(kind)), "{kind}");
    }
    assert!(now.read(name("log")).is_some());
}

#[test]
fn a_commit_is_on_the_device_only_together_with_what_lies_beside_it() {
    let disk = SimDisk::recording();
    let fixture = two_to_compact(disk.clone(), CleanupPolicy::Compact);
    fixture.put(&[("c", Some("1"))]);
    // So that no other name has to be made durable.
    partition(&fixture).flush().unwrap();
    let began = disk.operation_count();
    fixture.compact_at(0, PLENTY).unwrap();
    let name = |kind: &str| Path::new(DIR).join(format!("{:020}.{kind}", 0));
    let mut commits = 0;
    for at in began..=disk.operation_count() {
        let plan = CrashPlan::new(1).single_operations(100);
        for state in disk.crash_states(at, plan) {
            if state.disk.read(name("log.swap")).is_none() {
                continue;
            }
            commits += 1;
            for kind in ["index", "timeindex", "seal"] {
                let written = disk.read(name(kind));
                let found = [kind, &format!("{kind}.swap")].map(|it| state.disk.read(name(it)));
                let what = &state.description;
                assert!(found.contains(&written), "at {at}, {what}: {kind}");
            }
        }
    }
    assert!(commits > 3, "{commits} states");
}

#[test]
fn a_log_stops_if_the_name_of_its_last_segment_cannot_be_made_durable_for_a_swap() {
    let fixture = two_to_compact(SimDisk::new(), CleanupPolicy::Compact);
    let fault = Fault::error(Operation::SyncDir, io::ErrorKind::Other);
    fixture.disk.fail(fault.on_path("t-0"));
    let outcome = fixture.try_compact(0, PLENTY);
    assert!(
        matches!(outcome, Err(Error::StorageFailed { .. })),
        "{outcome:?}"
    );
    // A later sync of the names could succeed, and say nothing of this one.
    let refused = partition(&fixture).append(&[Record::value_only("v").key("k")]);
    assert!(
        matches!(refused, Err(Error::StorageFailed { .. })),
        "{refused:?}"
    );
}
