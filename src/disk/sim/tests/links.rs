use super::*;

fn link(disk: &SimDisk, from: &str, to: &str) -> io::Result<()> {
    disk.link(Path::new(from), Path::new(to))
}

/// A durable file with a second name that is not.
fn linked() -> SimDisk {
    let disk = recording();
    durable_file(&disk, "d/f", b"content");
    link(&disk, "d/f", "d/g").unwrap();
    disk
}

#[test]
fn both_names_lead_to_one_file() {
    let disk = linked();
    let file = open(&disk, "d/g", OpenMode::Write);
    file.write_at(b"C", 0).unwrap();
    assert_eq!(disk.read("d/f").unwrap(), b"Content");
    assert_eq!(disk.used(), 7, "it takes its space once");
}

#[test]
fn a_file_stays_as_long_as_it_has_a_name() {
    for (first, last) in [("d/f", "d/g"), ("d/g", "d/f")] {
        let disk = linked();
        disk.remove_file(Path::new(first)).unwrap();
        assert_eq!(disk.read(first), None);
        assert_eq!(disk.read(last).unwrap(), b"content");
        disk.write("d/other", "x").unwrap();
        disk.rename(Path::new("d/other"), Path::new(last)).unwrap();
        assert_eq!(disk.used(), 1);
    }
}

#[test]
fn a_duplicate_has_both_names_of_one_file() {
    let disk = linked().duplicate();
    disk.remove_file(Path::new("d/f")).unwrap();
    assert_eq!(disk.read("d/g").unwrap(), b"content");
}

#[test]
fn a_new_name_is_lost_with_the_power_unless_its_directory_was_synced() {
    let disk = linked();
    let content = Some(b"content".to_vec());
    assert_eq!(
        after_power_loss(&disk, "d/g"),
        BTreeSet::from([None, content.clone()])
    );
    assert_eq!(
        after_power_loss(&disk, "d/f"),
        BTreeSet::from([content.clone()])
    );
    disk.sync_dir(Path::new("d")).unwrap();
    assert_eq!(after_power_loss(&disk, "d/g"), BTreeSet::from([content]));
}

#[test]
fn a_sync_through_one_name_covers_what_was_written_through_the_other() {
    let disk = linked();
    disk.sync_dir(Path::new("d")).unwrap();
    open(&disk, "d/f", OpenMode::Write)
        .write_at(b"!", 7)
        .unwrap();
    open(&disk, "d/g", OpenMode::Read).sync().unwrap();
    for path in ["d/f", "d/g"] {
        assert_eq!(
            after_power_loss(&disk, path),
            BTreeSet::from([Some(b"content!".to_vec())])
        );
    }
}

#[test]
fn what_cannot_be_linked_is_refused() {
    let disk = linked();
    let kind = |from, to| link(&disk, from, to).unwrap_err().kind();
    assert_eq!(kind("d/f", "d/g"), ErrorKind::AlreadyExists);
    assert_eq!(kind("d/x", "d/y"), ErrorKind::NotFound);
    assert_eq!(kind("d/f", "e/y"), ErrorKind::NotFound);
    assert_eq!(kind("d", "e"), ErrorKind::PermissionDenied);
    disk.set_read_only(true);
    assert_eq!(kind("d/f", "d/h"), ErrorKind::ReadOnlyFilesystem);
}
