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
    assert!(left.contains(&Some(b"old!\0\0\0\0".to_vec())), "zeros");
    let noise = |left: &Option<Vec<u8>>| {
        let left = left.as_ref().unwrap();
        left.len() == 8 && left.starts_with(b"old!") && left[4..] != [0; 4] && left[4..] != *b"more"
    };
    assert!(left.iter().any(noise), "noise");
}

#[test]
fn bytes_that_were_durable_are_replaced_by_new_ones_or_stay() {
    let disk = recording();
    let file = durable_file(&disk, "d/f", &[1; 1024]);
    file.write_at(&[2; 1024], 0).unwrap();
    file.write_at(&[2; 512], 512).unwrap();
    for left in after_power_loss(&disk, "d/f") {
        let left = left.unwrap();
        assert_eq!(left.len(), 1024);
        for sector in left.chunks(512) {
            assert!(sector == [1; 512] || sector == [2; 512]);
        }
    }
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
