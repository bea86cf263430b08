//! Finished segments: lost, shortened, lengthened, swapped, replaced by another log's.

use streamlog::Error;

use super::{Sample, batches};
use crate::support::{assert_settled, log_file, segment_file};

#[test]
fn rot_in_a_finished_segment_takes_one_batch() {
    // Frame, header and records; what the CRC covers and what it does not.
    for at in [3, 7, 9, 11, 14, 16, 18, 22, 26, 33, 41, 57, 60, 62] {
        for sample in [Sample::closed(), Sample::killed()] {
            let (path, offsets) = sample.middle();
            let bytes = sample.disk.read(&path).unwrap();
            let (hit, count) = batches(&bytes)[1].clone();
            let first = offsets.start + batches(&bytes)[0].1;
            sample.change(&path, |bytes| bytes[hit.start + at] ^= 1);
            let look = sample.look();
            look.assert_lost(&(first..first + count), sample.end);
            look.assert_takes_appends();
            drop(look);
            assert_settled(&sample.disk);
        }
    }
}

#[test]
fn a_lost_segment_is_named_and_the_others_are_served() {
    for sample in [Sample::closed(), Sample::killed()] {
        let (path, offsets) = sample.middle();
        assert!(sample.disk.remove(&path));
        let look = sample.look();
        look.assert_lost(&offsets, sample.end);
        for error in &look.seen.errors {
            assert!(
                matches!(error, Error::MissingSegment { file, .. } if *file == path),
                "{error:?}"
            );
        }
        assert_eq!(look.report.damage.len(), 1, "{:?}", look.report);
        look.assert_takes_appends();
        drop(look);
        assert_settled(&sample.disk);
    }
}

#[test]
fn a_lost_first_segment_is_named() {
    let sample = Sample::closed();
    assert!(sample.disk.remove(log_file("t-0", 0)));
    let look = sample.look();
    assert_eq!(look.log.log_start_offset(), 0, "nobody moved the start");
    look.assert_lost(&(0..sample.bases[1]), sample.end);
    look.assert_takes_appends();
    drop(look);
    assert_settled(&sample.disk);
}

#[test]
fn a_shortened_segment_is_served_as_far_as_it_goes() {
    for kept in 0..3 {
        for more in [0, 10, 40] {
            let sample = Sample::closed();
            let (path, offsets) = sample.middle();
            let bytes = sample.disk.read(&path).unwrap();
            let all = batches(&bytes);
            sample.change(&path, |bytes| bytes.truncate(all[kept].0.start + more));
            let first = offsets.start + all[..kept].iter().map(|(_, count)| count).sum::<u64>();
            let look = sample.look();
            look.assert_lost(&(first..offsets.end), sample.end);
            assert!(!look.report.damage.is_empty());
            look.assert_takes_appends();
            drop(look);
            assert_settled(&sample.disk);
        }
    }
}

#[test]
fn bytes_behind_a_finished_segment_are_kept_and_reported() {
    let sample = Sample::closed();
    let (path, _) = sample.middle();
    sample.change(&path, |bytes| bytes.extend([1; 70]));
    let damaged = sample.disk.read(&path).unwrap();
    let look = sample.look();
    assert!(
        look.seen.errors.is_empty() && look.seen.has(0..sample.end),
        "{:?}",
        look.seen.errors
    );
    assert!(!look.report.damage.is_empty());
    look.assert_takes_appends();
    drop(look);
    assert_eq!(sample.disk.read(&path).unwrap(), damaged);
    assert_settled(&sample.disk);
}

#[test]
fn another_logs_file_is_never_served() {
    let sample = Sample::closed();
    let other = sample.disk.read(log_file("t-1", 0)).unwrap();
    sample.disk.write(log_file("t-0", 0), &other).unwrap();
    let look = sample.look();
    look.assert_lost(&(0..sample.bases[1]), sample.end);
    look.assert_takes_appends();
    drop(look);
    assert_eq!(
        sample.disk.read(log_file("t-0", 0)).unwrap(),
        other,
        "it is kept"
    );
    assert_settled(&sample.disk);
}

#[test]
fn a_segment_that_does_not_belong_is_kept_and_not_cut() {
    for sample in [Sample::closed(), Sample::killed()] {
        let other = sample.disk.read(log_file("t-1", 0)).unwrap();
        let stray = log_file("t-0", 5000);
        sample.disk.write(&stray, &other).unwrap();
        let look = sample.look();
        assert!(
            look.seen.has(0..sample.durable),
            "{:?}",
            look.seen.missing(0..sample.durable)
        );
        assert!(!look.report.damage.is_empty());
        assert_eq!(look.report.truncated_bytes, 0);
        look.assert_refuses_appends();
        drop(look);
        assert_eq!(sample.disk.read(&stray).unwrap(), other);
        assert_settled(&sample.disk);
    }
}

#[test]
fn swapped_segments_are_noticed() {
    for (a, b) in [(0, 1), (1, usize::MAX)] {
        let sample = Sample::closed();
        let b = b.min(sample.bases.len() - 1);
        let paths = [a, b].map(|index| log_file("t-0", sample.bases[index]));
        let bytes = [0, 1].map(|index| sample.disk.read(&paths[index]).unwrap());
        sample.disk.write(&paths[0], &bytes[1]).unwrap();
        sample.disk.write(&paths[1], &bytes[0]).unwrap();
        let look = sample.look();
        assert!(!look.report.damage.is_empty() && !look.seen.errors.is_empty());
        let ends = |index: usize| sample.bases.get(index + 1).copied().unwrap_or(sample.end);
        let swapped: Vec<_> = (sample.bases[a]..ends(a))
            .chain(sample.bases[b]..ends(b))
            .collect();
        let missing = look.seen.missing(0..sample.end);
        assert!(
            missing.iter().all(|offset| swapped.contains(offset)),
            "{missing:?}"
        );
        if b == sample.bases.len() - 1 {
            look.assert_refuses_appends();
        }
        drop(look);
        assert_settled(&sample.disk);
    }
}

#[test]
fn a_lost_partition_directory_is_not_taken_for_a_new_partition() {
    for sample in [Sample::closed(), Sample::killed()] {
        for (path, _) in sample.disk.files() {
            if path.starts_with("data/t-0") {
                sample.disk.remove(&path);
            }
        }
        let look = sample.look();
        assert_eq!(look.log.high_watermark(), 0);
        let error = look.seen.errors.first().unwrap();
        assert!(
            matches!(error, Error::MissingSegment { offsets: Some(lost), .. }
            if lost.start == 0 && lost.end >= sample.durable),
            "{error:?}"
        );
        look.assert_refuses_appends();
        assert!(look.log.offset_for_timestamp(0).is_err());
        drop(look);
        assert_settled(&sample.disk);
    }
}

#[test]
fn a_segment_with_two_damaged_batches_loses_two() {
    let sample = Sample::closed();
    let (path, offsets) = sample.middle();
    let all = batches(&sample.disk.read(&path).unwrap());
    let starts: Vec<_> = all
        .iter()
        .scan(offsets.start, |next, (_, count)| {
            *next += count;
            Some(*next - count)
        })
        .collect();
    let hits = [1, all.len() - 2];
    sample.change(&path, |bytes| {
        for &hit in &hits {
            bytes[all[hit].0.start + 8] ^= 1;
        }
    });
    let look = sample.look();
    let lost: Vec<_> = hits
        .iter()
        .flat_map(|&hit| starts[hit]..starts[hit] + all[hit].1)
        .collect();
    assert_eq!(look.seen.missing(0..sample.end), lost);
    // Without the index there is no place between the two that is known.
    sample
        .disk
        .remove(segment_file("t-0", offsets.start, "index"));
    drop(look);
    let look = sample.look();
    let missing = look.seen.missing(0..sample.end);
    assert!(lost.iter().all(|offset| missing.contains(offset)));
    assert!(missing.iter().all(|offset| offsets.contains(offset)));
}
