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
    assert_eq!(before.without("d/f"), disk.image());
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
