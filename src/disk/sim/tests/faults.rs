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
            Operation::Link => disk.link(f, g),
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
