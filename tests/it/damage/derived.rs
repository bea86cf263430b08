//! Files that can be made again: lost, emptied, cut, filled with garbage, taken from another partition.

use std::path::{Path, PathBuf};

use super::{SALT, Sample};
use crate::support::{self, Model, assert_settled, partition, read_all};

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Change {
    Remove,
    Empty,
    Cut,
    Garbage,
    /// The file of the same kind of the other partition.
    Others,
    Zeros,
}

const CHANGES: [Change; 6] = [
    Change::Remove,
    Change::Empty,
    Change::Cut,
    Change::Garbage,
    Change::Others,
    Change::Zeros,
];

impl Sample {
    /// False if there is nothing to take from the other partition.
    fn spoil(&self, path: &Path, change: Change) -> bool {
        let bytes = self.disk.read(path).unwrap();
        let new = match change {
            Change::Remove => return self.disk.remove(path),
            Change::Empty => Vec::new(),
            Change::Cut => bytes[..bytes.len().saturating_sub(bytes.len() / 3 + 1)].to_vec(),
            Change::Garbage => (0..=250_u8)
                .cycle()
                .step_by(37)
                .take(bytes.len().max(50))
                .collect(),
            Change::Zeros => vec![0; bytes.len() + 100],
            Change::Others => match self.others(path) {
                Some(bytes) => bytes,
                None => return false,
            },
        };
        self.disk.write(path, new).unwrap();
        true
    }

    /// The other partition's first file with the same suffix.
    fn others(&self, path: &Path) -> Option<Vec<u8>> {
        let files = self.disk.files().into_iter().map(|(path, _)| path);
        let mut alike = files.filter(|other| {
            other.starts_with("data/t-1")
                && (other.file_name() == path.file_name() || other.extension() == path.extension())
        });
        self.disk.read(alike.next()?)
    }
}

/// All files of the first partition but the records.
fn derived_files(sample: &Sample) -> Vec<PathBuf> {
    let files = sample.disk.files().into_iter().map(|(path, _)| path);
    files
        .filter(|path| {
            path.starts_with("data/t-0") && path.extension().is_none_or(|it| it != "log")
        })
        .collect()
}

#[test]
fn whatever_happens_to_a_derived_file_everything_is_read() {
    for new in [Sample::closed, Sample::killed, Sample::killed_with_waypoint] {
        for path in derived_files(&new()) {
            for change in CHANGES {
                let sample = new();
                if !sample.spoil(&path, change) {
                    continue;
                }
                println!("{} {change:?}", path.display());
                let look = sample.look();
                look.assert_whole(sample.end);
                assert_eq!(
                    (look.report.truncated_bytes, &look.report.set_aside),
                    (0, &None)
                );
                look.assert_takes_appends();
                drop(look);
                assert_settled(&sample.disk);
            }
        }
    }
}

#[test]
fn a_lost_derived_file_is_there_again_and_reported() {
    for path in derived_files(&Sample::closed()) {
        let sample = Sample::closed();
        sample.disk.remove(&path);
        let look = sample.look();
        let is_last_snapshot = path.extension().is_some_and(|it| it == "snapshot");
        let reported = look.report.rebuilt.contains(&path);
        drop(look);
        assert!(
            reported || is_last_snapshot,
            "{} was not reported",
            path.display()
        );
        assert!(
            sample.disk.read(&path).is_some() || is_last_snapshot,
            "{} is not there",
            path.display()
        );
    }
}

#[test]
fn files_of_the_data_directory_are_made_again_or_refused() {
    use streamlog::Error;
    let refusing = ["topics.manifest", "meta.properties"];
    for new in [Sample::closed, Sample::killed, Sample::killed_with_waypoint] {
        let files = new().disk.files().into_iter().map(|(path, _)| path);
        let files: Vec<_> = files
            .filter(|path| path.parent() == Some(Path::new("data")))
            .collect();
        assert!(files.len() >= 3, "{files:?}");
        for path in files {
            for change in [
                Change::Remove,
                Change::Empty,
                Change::Cut,
                Change::Garbage,
                Change::Zeros,
            ] {
                let sample = new();
                sample.spoil(&path, change);
                println!("{} {change:?}", path.display());
                let before = sample.disk.image();
                let broker = match support::open(&sample.disk) {
                    Ok(broker) => broker,
                    Err(Error::Corrupt { file, .. } | Error::UnsupportedFormat { file, .. }) => {
                        assert!(
                            refusing.iter().any(|name| path.ends_with(name)),
                            "{}",
                            path.display()
                        );
                        assert_eq!(file, path);
                        assert_eq!(
                            before.difference(&sample.disk.image()),
                            None,
                            "nothing was written"
                        );
                        continue;
                    }
                    Err(error) => panic!("{error:?}"),
                };
                assert!(
                    !broker.recovery_report().has_damage(),
                    "{:?}",
                    broker.recovery_report()
                );
                for (number, salt) in [(0, SALT), (1, SALT + 1)] {
                    let log = partition(&broker, "t", number);
                    let end = log.high_watermark();
                    let seen = read_all(&log, &Model::new(salt, end));
                    assert!(
                        seen.errors.is_empty() && seen.has(0..end),
                        "{:?}",
                        seen.errors
                    );
                    if number == 0 {
                        assert_eq!(end, sample.end);
                    }
                }
                drop(broker);
                assert_settled(&sample.disk);
            }
        }
    }
}
