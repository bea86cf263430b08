//! What salvage keeps, what it says is lost, and that no crash stands in its way.

use super::*;
use std::ops::Range;
use streamlog::{Error, SalvageOptions, SalvageReport, salvage};

use crate::random::Random;
use crate::support::{content, log_file, segment_file};

pub(super) fn salvaged(disk: &SimDisk) -> SalvageReport {
    salvage(DIR, SalvageOptions::default().storage(disk.clone())).unwrap()
}

/// Offsets that the report says are lost.
pub(super) fn lost(report: &SalvageReport) -> BTreeSet<Offset> {
    let lost = report.partitions.iter().flat_map(|it| &it.lost);
    lost.flat_map(|lost| lost.offsets.clone()).collect()
}

/// The offsets of `t-0`, each with the record that was written there.
fn offsets_of(broker: &Broker) -> BTreeSet<Offset> {
    let log = partition(broker, "t", 0);
    let mut reader = log.reader(Position::Earliest).unwrap();
    let mut found = BTreeSet::new();
    while let Some(record) = reader.next().unwrap() {
        let wanted = content(SALT, record.offset());
        assert_eq!(
            record.value(),
            Some(&wanted.value[..]),
            "{}",
            record.offset()
        );
        assert_eq!(record.key(), wanted.key.as_deref().map(str::as_bytes));
        assert_eq!(record.timestamp(), wanted.timestamp);
        found.insert(record.offset());
    }
    // In order they come one way, and by offset another.
    for &offset in &found {
        let mut reader = log.reader(Position::Offset(offset)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().offset(), offset);
    }
    found
}

/// The directory is as good as new, but for the lost offsets.
pub(super) fn assert_restored(disk: &SimDisk, end: Offset, lost: &BTreeSet<Offset>) {
    let wanted: BTreeSet<_> = (0..end).filter(|offset| !lost.contains(offset)).collect();
    let broker = support::open(disk).unwrap();
    let recovered = broker.recovery_report();
    assert!(recovered.is_clean(), "{recovered:?}");
    let report = broker.verify().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(offsets_of(&broker), wanted);
    let log = partition(&broker, "t", 0);
    assert_eq!(log.log_start_offset(), 0);
    assert_eq!(log.high_watermark(), end);
    let committed = broker.group("g").export().unwrap();
    assert_eq!(committed[0].1, end - 5, "{committed:?}");
    assert_eq!(append(&log, SALT, 3).unwrap(), end);
    assert_eq!(append(&log, SALT, 2).unwrap(), end + 3);
    broker.close().unwrap();
    let broker = support::open(disk).unwrap();
    assert!(
        broker.recovery_report().is_clean(),
        "{:?}",
        broker.recovery_report()
    );
    assert!(broker.verify().unwrap().is_clean());
    assert_eq!(
        offsets_of(&broker),
        wanted.into_iter().chain(end..end + 5).collect()
    );
    broker.close().unwrap();
}

/// All batches of `t-0`: file, position, size, offsets.
pub(super) fn all_batches(disk: &SimDisk) -> Vec<(PathBuf, usize, usize, Range<Offset>)> {
    let mut all = Vec::new();
    for base in bases(disk) {
        let path = log_file("t-0", base);
        let mut offset = base;
        for (position, size, count) in batches(&disk.read(&path).unwrap()) {
            all.push((path.clone(), position, size, offset..offset + count));
            offset += count;
        }
    }
    all
}

#[test]
fn all_but_the_damaged_batches_are_kept() {
    for seed in 0..60 {
        let (disk, end) = closed();
        let mut random = Random::new(seed);
        let all = all_batches(&disk);
        let mut expected = BTreeSet::new();
        for _ in 0..=seed % 9 {
            let (path, position, size, offsets) = &all[random.index(all.len())];
            // Records and what the CRC covers, or the CRC itself.
            let at = position + 17 + random.index(size - 17);
            change(&disk, path, |bytes| bytes[at] ^= 0x55);
            expected.extend(offsets.clone());
        }
        let report = salvaged(&disk);
        // The same byte twice is no damage.
        if lost(&report).len() < expected.len() {
            assert!(lost(&report).is_subset(&expected), "seed {seed}");
            expected = lost(&report);
        }
        assert_eq!(lost(&report), expected, "seed {seed}: {report}");
        let [partition] = &report.partitions[..] else {
            panic!("seed {seed}: {report}");
        };
        assert_eq!(partition.end, end);
        assert_eq!(partition.records, end - expected.len() as u64);
        assert!(
            disk.files()
                .iter()
                .any(|(path, _)| path.starts_with(partition.kept_aside.as_ref().unwrap()))
        );
        assert_restored(&disk, end, &expected);
    }
}

#[test]
fn a_damaged_frame_takes_its_batch_and_no_other() {
    let (sample, end) = closed();
    let all = all_batches(&sample);
    for (number, (path, position, _, offsets)) in all.iter().enumerate().step_by(3) {
        // Offset, length, magic byte.
        for at in [0, 7, 8, 10, 11, 16] {
            let disk = sample.duplicate();
            change(&disk, path, |bytes| {
                bytes[position + at] ^= 1 << (number % 8);
            });
            let report = salvaged(&disk);
            assert_eq!(
                lost(&report),
                offsets.clone().collect(),
                "byte {at}: {report}"
            );
            assert_restored(&disk, end, &lost(&report));
        }
    }
}

#[test]
fn a_damaged_epoch_takes_nothing() {
    let (disk, end) = closed();
    let (path, position, ..) = all_batches(&disk)[7].clone();
    change(&disk, path, |bytes| bytes[position + 15] ^= 4);
    let report = salvaged(&disk);
    assert_eq!(report.partitions.len(), 1);
    assert!(!report.has_losses(), "{report}");
    assert_restored(&disk, end, &BTreeSet::new());
}

#[test]
fn lost_swapped_and_shortened_segments_are_listed() {
    let (sample, end) = closed();
    let bases = bases(&sample);
    let all = all_batches(&sample);
    let of = |base: Offset| {
        let path = log_file("t-0", base);
        all.iter().filter(move |it| it.0 == path)
    };
    let offsets = |base| {
        of(base)
            .flat_map(|it| it.3.clone())
            .collect::<BTreeSet<_>>()
    };

    for base in [bases[0], bases[2]] {
        let disk = sample.duplicate();
        assert!(disk.remove(log_file("t-0", base)));
        assert_eq!(lost(&salvaged(&disk)), offsets(base));
        assert_restored(&disk, end, &offsets(base));
    }

    let disk = sample.duplicate();
    let (one, two) = (log_file("t-0", bases[1]), log_file("t-0", bases[2]));
    let (first, second) = (disk.read(&one).unwrap(), disk.read(&two).unwrap());
    disk.write(&one, second).unwrap();
    disk.write(&two, first).unwrap();
    let expected = &offsets(bases[1]) | &offsets(bases[2]);
    assert_eq!(lost(&salvaged(&disk)), expected);
    assert_restored(&disk, end, &expected);

    // The last one with records, too.
    for base in [bases[1], *bases.last().unwrap()] {
        for kept in 0..2 {
            let disk = sample.duplicate();
            let cut = of(base).nth(kept).unwrap();
            change(&disk, &cut.0, |bytes| bytes.truncate(cut.1 + 30 * kept));
            let expected: BTreeSet<_> = (cut.3.start..end)
                .filter(|it| offsets(base).contains(it))
                .collect();
            let report = salvaged(&disk);
            assert_eq!(lost(&report), expected, "{report}");
            assert_restored(&disk, end, &expected);
        }
    }
}

#[test]
fn a_log_of_which_nothing_is_left_goes_on_at_its_end() {
    let (disk, end) = closed();
    for base in bases(&disk) {
        assert!(disk.remove(log_file("t-0", base)));
    }
    let report = salvaged(&disk);
    assert_eq!(lost(&report), (0..end).collect());
    assert_restored(&disk, end, &(0..end).collect());
}

#[test]
fn zeroed_sectors_and_garbage_take_what_they_hit() {
    let (sample, end) = closed();
    let base = bases(&sample)[1];
    let path = log_file("t-0", base);
    let all = all_batches(&sample);
    let len = sample.read(&path).unwrap().len();
    for start in (0..len).step_by(97) {
        let hit = start..(start + 512).min(len);
        let touched = |it: &&(PathBuf, usize, usize, Range<Offset>)| {
            it.0 == path && it.1 < hit.end && it.1 + it.2 > hit.start
        };
        let expected: BTreeSet<_> = all
            .iter()
            .filter(touched)
            .flat_map(|it| it.3.clone())
            .collect();
        for garbage in [0, 0xa7] {
            let disk = sample.duplicate();
            change(&disk, &path, |bytes| {
                for (at, byte) in bytes[hit.clone()].iter_mut().enumerate() {
                    *byte = if garbage == 0 {
                        0
                    } else {
                        garbage ^ u8::try_from(at % 256).unwrap()
                    };
                }
            });
            let report = salvaged(&disk);
            assert_eq!(lost(&report), expected, "{hit:?}: {report}");
            assert_restored(&disk, end, &expected);
        }
    }
    // Bytes that came in between move the batches behind them.
    let (_, position, _, offsets) = all.iter().filter(|it| it.0 == path).nth(2).unwrap();
    let disk = sample.duplicate();
    change(&disk, &path, |bytes| {
        bytes.splice(*position..*position, [2; 333]);
    });
    let report = salvaged(&disk);
    assert_eq!(lost(&report), BTreeSet::new(), "{report} at {offsets:?}");
    assert_restored(&disk, end, &BTreeSet::new());
}

/// Records that hold batches, with offsets that would fit: their bytes are no batches of the log.
#[test]
fn batches_in_the_payload_of_a_damaged_one_are_not_taken_for_records() {
    for (at, flip) in [(8, 1), (10, 2), (11, 4), (0, 1), (16, 1)] {
        let disk = SimDisk::new();
        let broker = support::open(&disk).unwrap();
        broker.create_topic("t", TopicConfig::default()).unwrap();
        let log = partition(&broker, "t", 0);
        append(&log, SALT, 1).unwrap();
        append(&log, SALT, 2).unwrap();
        broker.close().unwrap();
        let mut image = disk.read(log_file("t-0", 0)).unwrap();
        let (second, size, _) = batches(&image)[1];
        image = image[second..second + size].to_vec();
        // Batches for the offsets that the damaged one and those behind it have.
        let images: Vec<u8> = (3..8)
            .flat_map(|offset: u64| {
                image[..8].copy_from_slice(&offset.to_be_bytes());
                image.clone()
            })
            .collect();
        let broker = support::open(&disk).unwrap();
        let log = partition(&broker, "t", 0);
        let outer: Vec<_> = (0..3).map(|_| Record::value_only(&images)).collect();
        assert_eq!(log.append(&outer).unwrap(), 3);
        for _ in 0..4 {
            append(&log, SALT, 1).unwrap();
        }
        let end = log.high_watermark();
        broker
            .group("g")
            .reset_offsets("t", Position::Offset(end - 5))
            .unwrap();
        broker.close().unwrap();
        let (outer, ..) = batches(&disk.read(log_file("t-0", 0)).unwrap())[2];
        change(&disk, log_file("t-0", 0), |bytes| bytes[outer + at] ^= flip);
        let report = salvaged(&disk);
        assert_eq!(lost(&report), (3..6).collect(), "{at}: {report}");
        assert_restored(&disk, end, &(3..6).collect());
    }
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let (disk, _) = closed();
    let (path, position, ..) = all_batches(&disk)[9].clone();
    change(&disk, path, |bytes| bytes[position + 70] ^= 1);
    // Opening it is a change that every broker makes.
    support::open(&disk).unwrap().close().unwrap();
    let before = disk.image();
    let options = SalvageOptions::default()
        .storage(disk.clone())
        .dry_run(true);
    let would = salvage(DIR, options).unwrap();
    let after = disk.image();
    let ends = Path::new(DIR).join("durable-ends");
    assert_eq!(
        before.without(&ends).difference(&after.without(&ends)),
        None
    );
    assert!(would.dry_run && would.partitions[0].kept_aside.is_none());
    let did = salvaged(&disk);
    assert_eq!(would.partitions[0].lost, did.partitions[0].lost);
    assert_eq!(would.partitions[0].records, did.partitions[0].records);
}

#[test]
fn an_intact_directory_has_nothing_to_salvage() {
    let (disk, end) = closed();
    let files = disk.files();
    let report = salvaged(&disk);
    assert_eq!(report, SalvageReport::default());
    assert_eq!(report.to_string(), "no partition to salvage");
    assert_eq!(disk.files(), files);
    // Unless it is named.
    let options = SalvageOptions::default().storage(disk.clone());
    let report = salvage(DIR, options.partition("t", 0)).unwrap();
    assert!(
        !report.has_losses() && report.partitions[0].records == end,
        "{report}"
    );
    assert_restored(&disk, end, &BTreeSet::new());
    let unknown = |topic, number| {
        let options = SalvageOptions::default().storage(disk.clone());
        salvage(DIR, options.partition(topic, number))
    };
    assert!(matches!(unknown("u", 0), Err(Error::UnknownTopic { .. })));
    assert!(matches!(
        unknown("t", 1),
        Err(Error::UnknownPartition { .. })
    ));
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let (disk, _) = closed();
    let broker = support::open(&disk).unwrap();
    let refused = salvage(DIR, SalvageOptions::default().storage(disk.clone()));
    assert!(matches!(refused, Err(Error::Locked { .. })));
    broker.close().unwrap();
}

#[test]
fn a_damaged_part_of_the_offsets_works_again() {
    let (disk, end) = closed();
    let broker = support::open(&disk).unwrap();
    for offset in [1, 2, end - 5] {
        let to = Position::Offset(offset);
        broker.group("g").reset_offsets("t", to).unwrap();
    }
    broker.close().unwrap();
    let (path, _) = disk
        .files()
        .into_iter()
        .find(|(path, len)| {
            *len > 0
                && path.to_string_lossy().contains("__consumer_offsets")
                && path.extension().is_some_and(|it| it == "log")
        })
        .unwrap();
    let (position, size, _) = batches(&disk.read(&path).unwrap())[1];
    change(&disk, &path, |bytes| bytes[position + size - 1] ^= 1);
    let broker = support::open(&disk).unwrap();
    assert!(broker.group("g").export().is_err());
    broker.close().unwrap();
    let report = salvaged(&disk);
    let [salvaged] = &report.partitions[..] else {
        panic!("{report}");
    };
    assert_eq!(salvaged.partition.topic(), "__consumer_offsets");
    assert_eq!(
        (lost(&report), salvaged.batches),
        ([1].into(), 3),
        "{report}"
    );
    assert_restored(&disk, end, &BTreeSet::new());
}

#[test]
fn side_files_and_a_damaged_list_of_topics_are_made_again() {
    let (disk, end) = closed();
    let manifest = Path::new(DIR).join("topics.manifest");
    change(&disk, &manifest, |bytes| bytes[30] ^= 1);
    assert!(support::open(&disk).is_err());
    let options = SalvageOptions::default()
        .storage(disk.clone())
        .dry_run(true);
    assert!(salvage(DIR, options).unwrap().manifest_aside.is_some());
    assert!(support::open(&disk).is_err());
    let report = salvaged(&disk);
    assert!(disk.read(report.manifest_aside.unwrap()).is_some());
    assert_restored(&disk, end, &BTreeSet::new());

    let (disk, end) = closed();
    let (path, position, _, offsets) = all_batches(&disk)[4].clone();
    change(&disk, path, |bytes| bytes[position + 62] ^= 1);
    for file in ["leader-epoch-checkpoint", "partition.metadata"] {
        assert!(disk.remove(Path::new(DIR).join("t-0").join(file)));
    }
    for base in bases(&disk) {
        for suffix in ["seal", "index", "timeindex", "snapshot"] {
            disk.remove(segment_file("t-0", base, suffix));
        }
    }
    assert_eq!(lost(&salvaged(&disk)), offsets.clone().collect());
    assert_restored(&disk, end, &offsets.collect());
}

#[test]
fn salvage_can_be_done_twice() {
    let (disk, end) = closed();
    let mut expected = BTreeSet::new();
    let mut aside = BTreeSet::new();
    for number in [5, 11] {
        let (path, position, _, offsets) = all_batches(&disk)
            .into_iter()
            .filter(|it| it.2 > 0)
            .nth(number)
            .unwrap();
        let first = disk.read(&path).unwrap()[position..position + 8].to_vec();
        let base = u64::from_be_bytes(first.try_into().unwrap());
        change(&disk, path, |bytes| bytes[position + 64] ^= 1);
        let report = salvaged(&disk);
        let hit: BTreeSet<_> = (base..base + (offsets.end - offsets.start)).collect();
        assert!(lost(&report).is_superset(&hit), "{report}");
        expected.extend(hit);
        aside.insert(report.partitions[0].kept_aside.clone());
    }
    assert_eq!(aside.len(), 2);
    assert_restored(&disk, end, &expected);
}

/// Where offsets have gaps, the batches around one do not tell a wrong offset from a right one.
#[test]
fn no_batch_of_a_salvaged_log_moves_to_another_offset() {
    let (disk, end) = closed();
    let (path, position, size, hit) = all_batches(&disk)[4].clone();
    change(&disk, &path, |bytes| bytes[position + 70] ^= 1);
    salvaged(&disk);
    // The batches behind the first gap, and before it.
    let bytes = disk.read(&path).unwrap();
    assert!(bytes.len() > position + size);
    for (start, _, count) in batches(&bytes) {
        for flip in [1, 2, 3, 8] {
            let again = disk.duplicate();
            change(&again, &path, |bytes| bytes[start + 7] ^= flip);
            let opened = support::open(&again).unwrap();
            assert!(opened.verify().unwrap().has_damage());
            opened.close().unwrap();
            let report = salvaged(&again);
            let broker = support::open(&again).unwrap();
            assert!(broker.verify().unwrap().is_clean());
            // Each record that is there is the one that was written there.
            let kept = offsets_of(&broker);
            assert!(kept.iter().all(|offset| !hit.contains(offset)), "{report}");
            let most = end - (hit.end - hit.start) - count;
            assert!(kept.len() as u64 <= most, "{report}");
            assert!(kept.len() as u64 >= most - 15, "{report}");
            broker.close().unwrap();
        }
    }
}

/// What a kill left staged is taken over first, also if the segment that it belongs to is damaged.
#[test]
fn a_killed_directory_is_recovered_and_salvaged() {
    let disk = SimDisk::new();
    let broker = support::open(&disk).unwrap();
    broker.create_topic("t", small_segments()).unwrap();
    let log = partition(&broker, "t", 0);
    while bases(&disk).len() < 4 {
        append(&log, SALT, 2).unwrap();
    }
    append(&log, SALT, 2).unwrap();
    log.flush().unwrap();
    let flushed = log.high_watermark();
    append(&log, SALT, 3).unwrap();
    append(&log, SALT, 1).unwrap();
    let end = log.high_watermark();
    let group = broker.group("g");
    group.reset_offsets("t", Position::Offset(end - 5)).unwrap();
    let killed = disk.duplicate();
    broker.close().unwrap();
    let all = all_batches(&disk);
    let (last, middle) = (&all[all.len() - 3], &all[7]);
    assert!(last.3.end <= flushed && last.3.start >= bases(&disk)[3]);
    for hit in [last, middle] {
        let disk = killed.duplicate();
        change(&disk, &hit.0, |bytes| bytes[hit.1 + 66] ^= 1);
        let report = salvaged(&disk);
        assert_eq!(lost(&report), hit.3.clone().collect(), "{report}");
        assert_restored(&disk, end, &hit.3.clone().collect());
    }
}

/// A directory whose list of topics is gone, and all that is ours alone: as if Kafka had written it.
#[test]
fn an_adopted_log_is_verified_and_salvaged() {
    let (disk, end) = closed();
    for (path, _) in disk.files() {
        let is_ours = path.extension().is_some_and(|suffix| suffix == "seal")
            || path.ends_with("topics.manifest")
            || path.ends_with("durable-ends");
        if is_ours {
            assert!(disk.remove(path));
        }
    }
    support::open(&disk).unwrap().close().unwrap();
    let report = verified(&disk);
    assert!(report.is_clean(), "{report}");
    let (path, position, _, offsets) = all_batches(&disk)[6].clone();
    change(&disk, path, |bytes| bytes[position + 66] ^= 1);
    assert_eq!(lost(&salvaged(&disk)), offsets.clone().collect());
    assert_restored(&disk, end, &offsets.collect());
}
