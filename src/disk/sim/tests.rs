use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;
use crate::disk::{self, Disk, DiskFile, OpenMode};

const SEED: u64 = 7;

fn recording() -> SimDisk {
    let disk = SimDisk::recording();
    disk.create_dir_all(Path::new("d")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk
}

fn open(disk: &SimDisk, path: &str, mode: OpenMode) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), mode).unwrap()
}

/// Writes a file whose name and content are durable.
fn durable_file(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = open(disk, path, OpenMode::Create);
    disk::write_all_at(&*file, bytes, 0).unwrap();
    file.sync().unwrap();
    disk::sync_parent(disk, Path::new(path)).unwrap();
    file
}

fn states(disk: &SimDisk) -> Vec<CrashState> {
    disk.crash_states(usize::MAX, CrashPlan::new(SEED))
        .collect()
}

/// The contents of `path` in all states of a kind, without repetitions. `None` where it is missing.
fn outcomes(disk: &SimDisk, kind: CrashKind, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    states(disk)
        .iter()
        .filter(|state| state.kind == kind)
        .map(|state| state.disk.read(path))
        .collect()
}

fn after_power_loss(disk: &SimDisk, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    outcomes(disk, CrashKind::PowerLoss, path)
}

fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

mod plain_operations {
    use super::*;

    #[test]
    fn files_are_read_as_they_were_written() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("./a/b")).unwrap();
        let file = open(&disk, "a/b/f", OpenMode::Create);
        assert_eq!(file.write_at(b"hello", 3).unwrap(), 5);
        let mut buffer = [9; 10];
        assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 7);
        assert_eq!(&buffer, b"\0\0hello\x09\x09\x09");
        file.set_len(4).unwrap();
        assert_eq!(disk.read("a/./b/f").unwrap(), b"\0\0\0h");
        assert_eq!(disk.files(), [(PathBuf::from("a/b/f"), 4)]);
        assert_eq!(file.read_at(&mut buffer, 100).unwrap(), 0);
        // A mode that empties, and one that does not.
        assert_eq!(open(&disk, "a/b/f", OpenMode::Create).len().unwrap(), 4);
        assert_eq!(open(&disk, "a/b/f", OpenMode::Truncate).len().unwrap(), 0);
    }

    #[test]
    fn absolute_and_relative_paths_live_side_by_side() {
        let disk = SimDisk::new();
        disk.write("/data/f", "absolute").unwrap();
        disk.write("data/f", "relative").unwrap();
        assert_eq!(disk.read("/data/../data/f").unwrap(), b"absolute");
        assert_eq!(disk.read("data/f").unwrap(), b"relative");
        disk.sync_dir(Path::new("/")).unwrap();
        let files = [(PathBuf::from("/data/f"), 8), (PathBuf::from("data/f"), 8)];
        assert_eq!(disk.files(), files);
        assert_eq!(
            disk.image().directories(),
            [PathBuf::from("/data"), PathBuf::from("data")]
        );
    }

    #[test]
    fn errors_are_those_of_a_file_system() {
        let disk = SimDisk::new();
        disk.write("d/f", "x").unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let opened = |path: &str, mode| kind(disk.open(Path::new(path), mode).map(drop));
        assert_eq!(opened("d/g", OpenMode::Read), ErrorKind::NotFound);
        assert_eq!(opened("d/g", OpenMode::Write), ErrorKind::NotFound);
        assert_eq!(opened("e/g", OpenMode::Create), ErrorKind::NotFound);
        assert_eq!(opened("d", OpenMode::Read), ErrorKind::IsADirectory);
        assert_eq!(opened("d/f/g", OpenMode::Create), ErrorKind::NotADirectory);
        assert_eq!(
            kind(disk.create_dir_all(Path::new("d/f"))),
            ErrorKind::AlreadyExists
        );
        assert_eq!(
            kind(disk.remove_dir(Path::new("d"))),
            ErrorKind::DirectoryNotEmpty
        );
        assert_eq!(
            kind(disk.remove_dir(Path::new("d/f"))),
            ErrorKind::NotADirectory
        );
        assert_eq!(
            kind(disk.remove_file(Path::new("d"))),
            ErrorKind::IsADirectory
        );
        assert_eq!(kind(disk.sync_dir(Path::new("e"))), ErrorKind::NotFound);
        assert_eq!(
            kind(disk.list(Path::new("d/f")).map(drop)),
            ErrorKind::NotADirectory
        );
        assert_eq!(
            kind(disk.rename(Path::new("d"), Path::new("d/sub"))),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            kind(disk.rename(Path::new("d/f"), Path::new("d"))),
            ErrorKind::IsADirectory
        );
        let reader = open(&disk, "d/f", OpenMode::Read);
        assert_eq!(
            reader.write_at(b"y", 0).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        assert!(reader.write_at(b"y", u64::MAX).is_err());
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let disk = SimDisk::new();
        disk.write("f", "old").unwrap();
        disk.write("g", "new").unwrap();
        let old = open(&disk, "f", OpenMode::Write);
        let map = old.map(4096).unwrap();
        disk.rename(Path::new("g"), Path::new("f")).unwrap();
        assert_eq!(disk.read("f").unwrap(), b"new");
        old.write_at(b"er", 3).unwrap();
        let mut buffer = [0; 5];
        assert_eq!(disk::read_full_at(&*old, &mut buffer, 0).unwrap(), 5);
        assert_eq!(&buffer, b"older");
        assert!(map.capacity() >= 4096);
        disk.remove_file(Path::new("f")).unwrap();
        assert_eq!(disk.files(), []);
        assert_eq!(disk.used(), 0);
    }

    #[test]
    fn a_renamed_directory_keeps_its_files() {
        let disk = SimDisk::new();
        disk.write("a/f", "1").unwrap();
        let file = open(&disk, "a/f", OpenMode::Write);
        disk.rename(Path::new("a"), Path::new("b")).unwrap();
        file.write_at(b"2", 1).unwrap();
        assert_eq!(disk.read("b/f").unwrap(), b"12");
        assert_eq!(names(&disk, ""), ["/", "b"]);
    }

    #[test]
    fn a_lock_has_one_holder_by_whatever_path() {
        let disk = SimDisk::new();
        disk.write("d/other", "").unwrap();
        let lock = disk.try_lock(Path::new("d/.lock")).unwrap().unwrap();
        assert!(
            disk.clone()
                .try_lock(Path::new("./d/.lock"))
                .unwrap()
                .is_none()
        );
        assert!(disk.try_lock(Path::new("d/.lock2")).unwrap().is_some());
        drop(lock);
        assert!(disk.try_lock(Path::new("d/.lock")).unwrap().is_some());
    }

    #[test]
    fn operations_are_counted_by_kind() {
        let disk = SimDisk::new();
        let file = open(&disk, "f", OpenMode::Create);
        file.write_at(b"a", 0).unwrap();
        file.write_at(b"a", 1).unwrap();
        file.sync().unwrap();
        let count = |operation| disk.count(operation);
        assert_eq!(count(Operation::Open), 1);
        assert_eq!(count(Operation::Write), 2);
        assert_eq!(count(Operation::Sync), 1);
        assert_eq!(count(Operation::Read), 0);
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(number, operation as usize);
        }
    }

    #[test]
    fn images_tell_what_changed() {
        let disk = SimDisk::new();
        disk.write("d/f", "hello").unwrap();
        let before = disk.image();
        assert_eq!(before.difference(&disk.image()), None);
        assert_eq!(before.read("d/f"), Some(&b"hello"[..]));
        disk.write("d/f", "help").unwrap();
        let difference = before.difference(&disk.image()).unwrap();
        assert_eq!(
            difference,
            "d/f differs from byte 3 on (5 bytes before, 4 now)"
        );
        assert!(disk.remove("d/f"));
        assert!(!disk.remove("d/f") && !disk.remove("d") && !disk.remove("x/y"));
        assert_eq!(before.difference(&disk.image()).unwrap(), "d/f is gone");
        assert_ne!(before, disk.image());
    }

    #[test]
    fn a_duplicate_is_another_disk() {
        let disk = SimDisk::new();
        disk.write("f", "1").unwrap();
        let copy = disk.duplicate();
        disk.write("f", "2").unwrap();
        assert_eq!(copy.read("f").unwrap(), b"1");
        assert_eq!(copy.durable_image(), copy.image());
        assert_eq!(copy.operation_count(), 0);
    }

    #[test]
    fn a_disk_is_loaded_from_and_saved_to_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SimDisk::new();
        disk.write("t-0/f", "content").unwrap();
        disk.plant_dir(Path::new("empty")).unwrap();
        disk.write_to(dir.path()).unwrap();
        let loaded = SimDisk::from_directory(dir.path()).unwrap();
        assert_eq!(loaded.read(dir.path().join("t-0/f")).unwrap(), b"content");
        assert!(
            loaded
                .image()
                .directories()
                .contains(&dir.path().join("empty"))
        );
        assert_eq!(loaded.durable_image(), loaded.image());
    }
}

mod crashes {
    use super::*;

    #[test]
    fn a_process_crash_keeps_all_that_was_written() {
        let disk = recording();
        open(&disk, "d/f", OpenMode::Create)
            .write_at(b"hello", 0)
            .unwrap();
        let left = outcomes(&disk, CrashKind::ProcessCrash, "d/f");
        assert_eq!(left, BTreeSet::from([Some(b"hello".to_vec())]));
    }

    #[test]
    fn a_process_crash_may_cut_the_write_it_interrupts() {
        let disk = recording();
        let file = open(&disk, "d/f", OpenMode::Create);
        let before = disk.operation_count();
        file.write_at(&[1; 1000], 100).unwrap();
        let lengths: BTreeSet<_> = disk
            .crash_states(before, CrashPlan::new(SEED))
            .filter(|state| state.kind == CrashKind::ProcessCrash)
            .map(|state| state.disk.read("d/f").unwrap().len())
            .collect();
        // Nothing, at the first sector boundary, and anywhere else.
        assert!(
            lengths.contains(&0) && lengths.contains(&512) && lengths.len() == 3,
            "{lengths:?}"
        );
        assert!(lengths.iter().all(|len| *len < 1100));
    }

    #[test]
    fn a_power_cut_after_a_process_crash_still_takes_what_was_not_synced() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"safe");
        file.write_at(b"cached", 4).unwrap();
        let at = disk.operation_count();
        let state = disk.crash_states(at, CrashPlan::new(SEED)).next().unwrap();
        assert_eq!(state.kind, CrashKind::ProcessCrash);
        assert_eq!(state.disk.operation_count(), at);
        assert!(after_power_loss(&state.disk, "d/f").contains(&Some(b"safe".to_vec())));
        // A sync by the next process covers what the first one wrote.
        open(&state.disk, "d/f", OpenMode::Write).sync().unwrap();
        assert_eq!(
            after_power_loss(&state.disk, "d/f"),
            BTreeSet::from([Some(b"safecached".to_vec())])
        );
    }

    #[test]
    fn synced_bytes_of_a_synced_name_survive_every_crash() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"safe");
        file.write_at(b"more", 4).unwrap();
        file.write_at(b"and more", 1000).unwrap();
        for state in states(&disk) {
            let left = state.disk.read("d/f").unwrap();
            assert!(left.starts_with(b"safe"), "{}", state.description);
        }
    }

    #[test]
    fn each_unsynced_write_is_lost_alone_and_kept_alone() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"______");
        for (position, byte) in [(0, b"A"), (2, b"B"), (4, b"C")] {
            file.write_at(byte, position).unwrap();
        }
        let left = after_power_loss(&disk, "d/f");
        for expected in [
            "______", "A_B_C_", "__B_C_", "A___C_", "A_B___", "A_____", "__B___", "____C_",
        ] {
            assert!(left.contains(&Some(expected.into())), "{expected}");
        }
    }

    #[test]
    fn the_last_write_is_cut_at_each_sector_boundary() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", &[1; 700]);
        file.write_at(&[2; 1500], 700).unwrap();
        let lengths: BTreeSet<_> = after_power_loss(&disk, "d/f")
            .into_iter()
            .map(|left| left.unwrap().len())
            .collect();
        assert!(
            lengths.is_superset(&BTreeSet::from([700, 1024, 1536, 2048, 2200])),
            "{lengths:?}"
        );
    }

    #[test]
    fn an_earlier_write_may_be_torn_along_with_the_last() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"");
        file.write_at(&[1; 2048], 0).unwrap();
        file.write_at(&[2; 1024], 2048).unwrap();
        let torn = |left: &Option<Vec<u8>>| {
            let left = left.as_ref().unwrap();
            left.len() == 2560 && left[..2048].iter().any(|byte| *byte != 1)
        };
        assert!(after_power_loss(&disk, "d/f").iter().any(torn));
    }

    #[test]
    fn a_length_may_survive_without_its_bytes() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"old!");
        file.write_at(b"new!more", 0).unwrap();
        let left = after_power_loss(&disk, "d/f");
        assert!(left.contains(&Some(b"old!\0\0\0\0".to_vec())), "old bytes");
        assert!(left.contains(&Some(vec![0; 8])), "zeros");
        let noise = |left: &Option<Vec<u8>>| {
            let left = left.as_ref().unwrap();
            left.len() == 8
                && left[..] != [0; 8]
                && !left.starts_with(b"old!")
                && !left.starts_with(b"new!")
        };
        assert!(left.iter().any(noise), "noise");
    }

    #[test]
    fn a_cut_may_be_lost_while_later_writes_are_kept() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", b"abcdef");
        file.set_len(2).unwrap();
        file.write_at(b"X", 2).unwrap();
        let left = after_power_loss(&disk, "d/f");
        for expected in ["abcdef", "ab", "abX", "abXdef"] {
            assert!(left.contains(&Some(expected.into())), "{expected}");
        }
    }

    #[test]
    fn a_name_is_safe_only_once_its_directory_is_synced() {
        let disk = recording();
        let file = open(&disk, "d/f", OpenMode::Create);
        file.write_at(b"synced", 0).unwrap();
        file.sync().unwrap();
        let left = after_power_loss(&disk, "d/f");
        assert_eq!(
            left,
            BTreeSet::from([None, Some(b"synced".to_vec())]),
            "its bytes are safe, its name is not"
        );
        disk.sync_dir(Path::new("d")).unwrap();
        assert_eq!(
            after_power_loss(&disk, "d/f"),
            BTreeSet::from([Some(b"synced".to_vec())])
        );
    }

    #[test]
    fn a_new_name_may_survive_without_content() {
        let disk = recording();
        open(&disk, "d/f", OpenMode::Create)
            .write_at(b"hello", 0)
            .unwrap();
        let left = after_power_loss(&disk, "d/f");
        for expected in [
            None,
            Some(vec![]),
            Some(b"hello".to_vec()),
            Some(vec![0; 5]),
        ] {
            assert!(left.contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn an_unsynced_rename_may_be_undone_and_the_old_file_is_back() {
        let disk = recording();
        durable_file(&disk, "d/f", b"old");
        let file = open(&disk, "d/f.tmp", OpenMode::Truncate);
        file.write_at(b"new", 0).unwrap();
        file.sync().unwrap();
        disk.rename(Path::new("d/f.tmp"), Path::new("d/f")).unwrap();
        let left = after_power_loss(&disk, "d/f");
        assert_eq!(
            left,
            BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())])
        );
        let temporaries = after_power_loss(&disk, "d/f.tmp");
        assert_eq!(temporaries, BTreeSet::from([None, Some(b"new".to_vec())]));
        disk.sync_dir(Path::new("d")).unwrap();
        assert_eq!(
            after_power_loss(&disk, "d/f"),
            BTreeSet::from([Some(b"new".to_vec())])
        );
    }

    #[test]
    fn replace_file_leaves_the_old_or_the_new_one_at_every_moment() {
        let disk = recording();
        durable_file(&disk, "d/f", b"old");
        let before = disk.operation_count();
        disk::replace_file(&disk, Path::new("d/f"), b"new").unwrap();
        for at in before..=disk.operation_count() {
            for state in disk.crash_states(at, CrashPlan::new(SEED)) {
                let left = state.disk.read("d/f").unwrap();
                assert!(
                    left == b"old" || left == b"new",
                    "{at}: {}",
                    state.description
                );
            }
        }
        assert_eq!(
            after_power_loss(&disk, "d/f"),
            BTreeSet::from([Some(b"new".to_vec())])
        );
    }

    #[test]
    fn an_unsynced_removal_may_be_undone() {
        let disk = recording();
        durable_file(&disk, "d/f", b"f");
        durable_file(&disk, "d/g", b"g");
        disk.remove_file(Path::new("d/f")).unwrap();
        disk.remove_file(Path::new("d/g")).unwrap();
        let left: BTreeSet<_> = states(&disk)
            .iter()
            .map(|state| names(&state.disk, "d"))
            .collect();
        assert_eq!(left.len(), 4, "both, either, none: {left:?}");
        disk.sync_dir(Path::new("d")).unwrap();
        assert!(
            states(&disk)
                .iter()
                .all(|state| names(&state.disk, "d").is_empty())
        );
    }

    #[test]
    fn a_lost_directory_takes_its_files_along() {
        let disk = recording();
        disk.create_dir_all(Path::new("d/sub")).unwrap();
        durable_file(&disk, "d/sub/f", b"synced");
        let left = after_power_loss(&disk, "d/sub/f");
        assert_eq!(left, BTreeSet::from([None, Some(b"synced".to_vec())]));
    }

    #[test]
    fn a_rename_between_directories_is_undone_or_done() {
        let disk = recording();
        durable_file(&disk, "d/f", b"1");
        disk.write("e/x", "").unwrap();
        disk.rename(Path::new("d/f"), Path::new("e/f")).unwrap();
        let both = |disk: &SimDisk| -> BTreeSet<_> {
            states(disk)
                .iter()
                .map(|state| {
                    (
                        state.disk.read("d/f").is_some(),
                        state.disk.read("e/f").is_some(),
                    )
                })
                .collect()
        };
        let either = BTreeSet::from([(true, false), (false, true)]);
        assert_eq!(both(&disk), either);
        disk.sync_dir(Path::new("e")).unwrap();
        disk.sync_dir(Path::new("e")).unwrap();
        assert_eq!(both(&disk), either, "the other directory is still due");
        disk.sync_dir(Path::new("d")).unwrap();
        assert_eq!(both(&disk), BTreeSet::from([(false, true)]));
    }

    #[test]
    fn the_same_seed_makes_the_same_states() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", &[1; 3000]);
        for position in 0..20 {
            file.write_at(&[2; 700], position * 600).unwrap();
        }
        let images = |seed| -> Vec<_> {
            let states = disk.crash_states(usize::MAX, CrashPlan::new(seed).random_subsets(30));
            states
                .map(|state| (state.description, state.disk.image()))
                .collect()
        };
        assert_eq!(images(1), images(1));
        assert_ne!(images(1), images(2));
        let count = images(1).len();
        assert!((30..=90).contains(&count), "{count}");
    }

    #[test]
    fn plans_limit_the_number_of_states() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", &[1; 3000]);
        for position in 0..100 {
            file.write_at(&[2; 700], position * 600).unwrap();
        }
        assert!(states(&disk).len() <= 45, "{}", states(&disk).len());
        let small = CrashPlan::new(SEED)
            .single_operations(0)
            .cuts(0)
            .random_subsets(0);
        assert!(disk.crash_states(usize::MAX, small).count() <= 12);
    }

    #[test]
    fn equal_states_are_made_once() {
        let disk = recording();
        durable_file(&disk, "d/f", b"1");
        let kinds: Vec<_> = states(&disk).iter().map(|state| state.kind).collect();
        assert_eq!(kinds, [CrashKind::ProcessCrash, CrashKind::PowerLoss]);
    }

    #[test]
    fn every_moment_of_the_past_can_be_visited() {
        let disk = recording();
        let mut moments = vec![];
        let file = open(&disk, "d/f", OpenMode::Create);
        for number in 0..5 {
            file.write_at(&[number], u64::from(number)).unwrap();
            moments.push((disk.mark("written"), file.len().unwrap()));
        }
        for (at, len) in moments {
            let state = disk.crash_states(at, CrashPlan::new(SEED)).next().unwrap();
            assert_eq!(state.disk.files(), [(PathBuf::from("d/f"), len)]);
        }
        assert_eq!(disk.describe_operation(2).as_deref(), Some("create d/f"));
        assert_eq!(
            disk.describe_operation(3).as_deref(),
            Some("write d/f, bytes 0..1")
        );
        assert_eq!(
            disk.describe_operation(4).as_deref(),
            Some("mark `written`")
        );
        assert_eq!(disk.describe_operation(99), None);
    }

    #[test]
    fn recovery_itself_can_be_crashed() {
        let disk = recording();
        open(&disk, "d/f", OpenMode::Create)
            .write_at(b"torn", 0)
            .unwrap();
        let state = states(&disk)
            .into_iter()
            .find(|state| state.disk.read("d/f").is_some())
            .unwrap();
        let before = state.disk.operation_count();
        open(&state.disk, "d/f", OpenMode::Write)
            .set_len(1)
            .unwrap();
        assert_eq!(state.disk.operation_count(), before + 1);
        let left = outcomes(&state.disk, CrashKind::PowerLoss, "d/f");
        assert!(left.contains(&Some(b"t".to_vec())), "{left:?}");
    }

    #[test]
    fn a_disk_that_lies_loses_what_it_called_synced() {
        let disk = SimDisk::without_syncs();
        disk.write("d/other", "planted").unwrap();
        durable_file(&disk, "d/f", b"synced");
        assert!(after_power_loss(&disk, "d/f").contains(&None));
        assert_eq!(
            after_power_loss(&disk, "d/other").len(),
            1,
            "what a test plants is durable even here"
        );
    }

    #[test]
    fn planted_content_is_durable_and_undoes_what_is_pending() {
        let disk = recording();
        open(&disk, "d/f", OpenMode::Create)
            .write_at(b"unsynced", 0)
            .unwrap();
        disk.write("d/f", "planted").unwrap();
        assert_eq!(
            after_power_loss(&disk, "d/f"),
            BTreeSet::from([Some(b"planted".to_vec())])
        );
        disk.remove("d/f");
        assert_eq!(after_power_loss(&disk, "d/f"), BTreeSet::from([None]));
    }

    #[test]
    #[should_panic(expected = "only a recording disk")]
    fn a_disk_without_a_record_has_no_crash_states() {
        let _ = SimDisk::new().crash_states(0, CrashPlan::new(SEED));
    }

    #[test]
    fn states_are_cheap() {
        let disk = recording();
        let file = durable_file(&disk, "d/f", &[1; 4000]);
        for number in 0..200 {
            file.write_at(&[2; 300], 4000 + number * 300).unwrap();
            if number % 5 == 0 {
                file.sync().unwrap();
            }
        }
        let started = std::time::Instant::now();
        let mut count = 0;
        for at in 0..=disk.operation_count() {
            count += disk.crash_states(at, CrashPlan::new(SEED)).count();
        }
        let each = started.elapsed() / u32::try_from(count).unwrap();
        println!("{count} states, {each:?} each");
        assert!(count > 2000, "{count}");
        assert!(each < std::time::Duration::from_millis(5), "{each:?} each");
    }
}

mod faults {
    use super::*;

    fn disk_and_file() -> (SimDisk, Arc<dyn DiskFile>) {
        let disk = recording();
        let file = durable_file(&disk, "d/f.log", b"start");
        (disk, file)
    }

    #[test]
    fn the_chosen_operation_fails_once() {
        let (disk, file) = disk_and_file();
        disk.fail(
            Fault::error(Operation::Write, ErrorKind::StorageFull)
                .on_path(".log")
                .after(1),
        );
        file.write_at(b"a", 5).unwrap();
        file.sync().unwrap();
        assert_eq!(
            file.write_at(b"b", 6).unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        file.write_at(b"c", 6).unwrap();
        assert_eq!(disk.read("d/f.log").unwrap(), b"startac");
        assert_eq!(disk.faults_struck(), 1);
    }

    #[test]
    fn a_sticky_fault_strikes_until_it_is_cleared() {
        let (disk, file) = disk_and_file();
        disk.fail(Fault::os_error(Operation::Sync, 5).sticky());
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
        disk.clear_faults();
        file.sync().unwrap();
    }

    #[test]
    fn other_paths_and_operations_are_spared() {
        let (disk, file) = disk_and_file();
        disk.fail(Fault::error(Operation::Write, ErrorKind::Other).on_path(".index"));
        file.write_at(b"a", 5).unwrap();
        disk.fail(Fault::any(ErrorKind::Other));
        assert!(disk.list(Path::new("d")).is_err());
        disk.list(Path::new("d")).unwrap();
    }

    #[test]
    fn every_kind_of_operation_can_fail() {
        for operation in Operation::ALL {
            let (disk, file) = disk_and_file();
            let image = disk.image();
            disk.fail(Fault::error(operation, ErrorKind::Other));
            let (f, g, d) = (Path::new("d/f.log"), Path::new("d/g"), Path::new("d"));
            let error = match operation {
                Operation::Open => disk.open(g, OpenMode::Create).map(drop),
                Operation::Length => file.len().map(drop),
                Operation::Read => file.read_at(&mut [0], 0).map(drop),
                Operation::Write => file.write_at(b"x", 0).map(drop),
                Operation::SetLength => file.set_len(0),
                Operation::Sync => file.sync(),
                Operation::Map => file.map(10).map(drop),
                Operation::CreateDir => disk.create_dir_all(g),
                Operation::List => disk.list(d).map(drop),
                Operation::Rename => disk.rename(f, g),
                Operation::Remove => disk.remove_file(f),
                Operation::SyncDir => disk.sync_dir(d),
                Operation::Lock => disk.try_lock(g).map(drop),
            };
            assert!(error.is_err(), "{operation:?}");
            assert_eq!(
                image.difference(&disk.image()),
                None,
                "{operation:?} changed something"
            );
            assert_eq!(disk.faults_struck(), 1, "{operation:?}");
        }
    }

    #[test]
    fn short_reads_and_writes_say_how_short() {
        let (disk, file) = disk_and_file();
        disk.fail(Fault::short_write(2));
        assert_eq!(file.write_at(b"abcd", 5).unwrap(), 2);
        disk.fail(Fault::short_read(3));
        assert_eq!(file.read_at(&mut [0; 7], 0).unwrap(), 3);
        // The callers' loops cope, even when every call is short or interrupted.
        disk.fail(Fault::short_write(1).sticky());
        disk.fail(Fault::error(Operation::Write, ErrorKind::Interrupted).sticky());
        disk::write_all_at(&*file, b"efgh", 5).unwrap();
        assert_eq!(disk.read("d/f.log").unwrap(), b"startefgh");
    }

    #[test]
    fn a_lost_sync_leaves_bytes_in_the_cache_that_never_reach_the_disk() {
        let (disk, file) = disk_and_file();
        file.write_at(b"LOST", 5).unwrap();
        disk.fail(Fault::lost_sync());
        assert!(file.sync().is_err());
        file.write_at(b"!", 9).unwrap();
        file.sync().unwrap();
        assert_eq!(
            disk.read("d/f.log").unwrap(),
            b"startLOST!",
            "the cache has it"
        );
        assert_eq!(
            after_power_loss(&disk, "d/f.log"),
            BTreeSet::from([Some(b"start\0\0\0\0!".to_vec())])
        );
        // Nor does a new process get it there by a sync: only by writing it again.
        let next = states(&disk).remove(0).disk;
        let file = open(&next, "d/f.log", OpenMode::Write);
        assert_eq!(next.read("d/f.log").unwrap(), b"startLOST!");
        file.sync().unwrap();
        assert_eq!(
            next.durable_image().read("d/f.log"),
            Some(&b"start\0\0\0\0!"[..])
        );
        file.write_at(b"LOST", 5).unwrap();
        file.sync().unwrap();
        assert_eq!(next.durable_image(), next.image());
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_works_again_with_room() {
        let (disk, file) = disk_and_file();
        disk.set_capacity(Some(disk.used() + 4));
        assert_eq!(file.write_at(b"abcdef", 5).unwrap(), 4);
        assert_eq!(
            file.write_at(b"ef", 9).unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        assert_eq!(file.set_len(10).unwrap_err().kind(), ErrorKind::StorageFull);
        file.write_at(b"START", 0).unwrap();
        let other = open(&disk, "d/g", OpenMode::Create);
        assert!(other.write_at(b"x", 0).is_err());
        file.set_len(5).unwrap();
        other.write_at(b"x", 0).unwrap();
        disk.set_capacity(None);
        file.write_at(b"abcdef", 5).unwrap();
        assert_eq!(disk.read("d/f.log").unwrap(), b"STARTabcdef");
    }

    #[test]
    fn a_read_only_disk_can_be_read() {
        let (disk, file) = disk_and_file();
        let image = disk.image();
        disk.set_read_only(true);
        let read_only =
            |result: io::Result<()>| result.unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem;
        let (f, g) = (Path::new("d/f.log"), Path::new("d/g"));
        for mode in [OpenMode::Write, OpenMode::Create, OpenMode::Truncate] {
            assert!(read_only(disk.open(f, mode).map(drop)));
        }
        assert!(read_only(file.write_at(b"x", 0).map(drop)));
        assert!(read_only(file.set_len(0)));
        assert!(read_only(disk.create_dir_all(g)));
        assert!(read_only(disk.rename(f, g)));
        assert!(read_only(disk.remove_file(f)));
        assert!(read_only(disk.try_lock(g).map(drop)));
        assert_eq!(image, disk.image());
        disk.create_dir_all(Path::new("d")).unwrap();
        assert_eq!(open(&disk, "d/f.log", OpenMode::Read).len().unwrap(), 5);
        disk.set_read_only(false);
        file.write_at(b"x", 0).unwrap();
    }
}
