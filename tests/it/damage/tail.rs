//! The end of the log after a kill and after an orderly close.

use streamlog::Error;

use super::{Sample, batches};
use crate::support::assert_settled;

#[test]
fn a_torn_tail_is_cut_and_reported() {
    for junk in [
        vec![7; 30],
        vec![0; 5000],
        vec![0xff; 61],
        b"\0\0\0\0\0\0\0\x40\0\0\0\x40".to_vec(),
    ] {
        let sample = Sample::killed();
        sample.change(&sample.last(), |bytes| bytes.extend(&junk));
        let look = sample.look();
        look.assert_whole(sample.end);
        assert_eq!(look.report.truncated_bytes, junk.len() as u64);
        assert_eq!(look.report.set_aside, None);
        look.assert_takes_appends();
        drop(look);
        assert_settled(&sample.disk);
    }
}

#[test]
fn a_log_cut_anywhere_above_its_durable_end_is_a_prefix() {
    let length = Sample::killed()
        .disk
        .read(Sample::killed().last())
        .unwrap()
        .len();
    let mut ends = Vec::new();
    for kept in (0..=length).rev() {
        let sample = Sample::killed();
        sample.change(&sample.last(), |bytes| bytes.truncate(kept));
        let look = sample.look();
        if !look.report.damage.is_empty() {
            // Below the durable end: those bytes were promised.
            look.assert_refuses_appends();
            assert!(look.seen.end <= sample.durable);
            break;
        }
        look.assert_whole(look.seen.end);
        assert!(look.seen.end >= sample.durable);
        look.assert_takes_appends();
        ends.push(look.seen.end);
    }
    assert!(ends.is_sorted_by(|a, b| a >= b) && ends.last() < ends.first());
}

#[test]
fn whole_batches_behind_a_torn_one_are_set_aside() {
    let sample = Sample::killed();
    let bytes = sample.disk.read(sample.last()).unwrap();
    let torn = batches(&bytes).into_iter().rev().nth(2).unwrap().0;
    sample.change(&sample.last(), |bytes| bytes[torn.end - 1] ^= 1);
    let damaged = sample.disk.read(sample.last()).unwrap();
    let look = sample.look();
    look.assert_whole(sample.durable);
    assert_eq!(
        look.report.truncated_bytes,
        (bytes.len() - torn.start) as u64
    );
    let aside = look.report.set_aside.clone().expect("they are kept");
    assert_eq!(sample.disk.read(aside).unwrap(), damaged[torn.start..]);
    look.assert_takes_appends();
    drop(look);
    assert_settled(&sample.disk);
}

#[test]
fn rot_below_the_durable_end_is_never_cut() {
    let sample = Sample::killed();
    let bytes = sample.disk.read(sample.last()).unwrap();
    let all = batches(&bytes);
    // The one before the durable end, which three batches follow.
    let index = all.len() - 4;
    let (hit, count) = all[index].clone();
    let before: u64 = all[..index].iter().map(|(_, count)| count).sum();
    let first = sample.bases.last().unwrap() + before;
    // A bad length is noticed when the log is opened.
    sample.change(&sample.last(), |bytes| bytes[hit.start + 11] ^= 4);
    let damaged = sample.disk.read(sample.last()).unwrap();
    let look = sample.look();
    look.assert_lost(&(first..first + count), sample.end);
    assert_eq!(look.report.truncated_bytes, 0);
    assert_eq!(look.report.damage.len(), 1, "{:?}", look.report);
    look.assert_refuses_appends();
    assert_eq!(sample.disk.read(sample.last()).unwrap(), damaged);
    drop(look);
    assert_settled(&sample.disk);
}

#[test]
fn rot_after_an_orderly_close_refuses_appends_once_it_is_met() {
    let sample = Sample::closed();
    let bytes = sample.disk.read(sample.last()).unwrap();
    let (hit, _) = batches(&bytes)[1].clone();
    sample.change(&sample.last(), |bytes| bytes[hit.end - 2] ^= 0x10);
    let look = sample.look();
    let corrupt = look.seen.errors.first().unwrap();
    let Error::Corrupt {
        file,
        position,
        offsets,
        reason,
    } = corrupt
    else {
        panic!("{corrupt:?}")
    };
    assert_eq!(file, &sample.last());
    assert!(hit.contains(&usize::try_from(*position).unwrap()));
    assert!(offsets.is_some() && reason.contains("CRC"), "{corrupt}");
    look.assert_lost(&offsets.clone().unwrap(), sample.end);
    look.assert_refuses_appends();
}

#[test]
fn bytes_behind_the_end_after_an_orderly_close_are_kept() {
    let sample = Sample::closed();
    sample.change(&sample.last(), |bytes| bytes.extend([9; 100]));
    let damaged = sample.disk.read(sample.last()).unwrap();
    let look = sample.look();
    assert!(look.seen.errors.is_empty() && look.seen.has(0..sample.end));
    assert_eq!(look.report.damage.len(), 1, "{:?}", look.report);
    look.assert_refuses_appends();
    drop(look);
    assert_eq!(sample.disk.read(sample.last()).unwrap(), damaged);
    assert_settled(&sample.disk);
}

#[test]
fn a_log_that_lost_its_end_says_so_there() {
    for sample in [Sample::closed(), Sample::killed()] {
        let bytes = sample.disk.read(sample.last()).unwrap();
        // At a batch boundary: the file looks good by itself.
        let cut = batches(&bytes)[1].0.start;
        sample.change(&sample.last(), |bytes| bytes.truncate(cut));
        let look = sample.look();
        let end = look.log.high_watermark();
        assert!(end < sample.durable && look.seen.has(0..end));
        let last = look.seen.errors.last().unwrap();
        assert!(
            matches!(last, Error::MissingSegment { file, .. } | Error::Corrupt { file, .. } if *file == sample.last()),
            "{last:?}"
        );
        look.assert_refuses_appends();
        drop(look);
        assert_settled(&sample.disk);
    }
}

#[test]
fn a_lost_active_segment_is_reported_and_not_written_anew() {
    for sample in [Sample::closed(), Sample::killed()] {
        assert!(sample.disk.remove(sample.last()));
        let look = sample.look();
        let end = *sample.bases.last().unwrap();
        assert!(look.seen.has(0..end));
        let last = look.seen.errors.last().unwrap();
        assert!(
            matches!(last, Error::MissingSegment { file, offsets: Some(range), .. }
            if *file == sample.last() && range.start == end),
            "{last:?}"
        );
        look.assert_refuses_appends();
        drop(look);
        assert_settled(&sample.disk);
        assert!(sample.disk.read(sample.last()).is_none());
    }
}

#[test]
fn behind_a_waypoint_a_torn_tail_is_cut_and_rot_is_kept() {
    let sample = Sample::killed_with_waypoint();
    sample.change(&sample.last(), |bytes| bytes.extend([7; 30]));
    let look = sample.look();
    look.assert_whole(sample.end);
    assert_eq!(look.report.truncated_bytes, 30);
    look.assert_takes_appends();
    drop(look);
    assert_settled(&sample.disk);

    let sample = Sample::killed_with_waypoint();
    let bytes = sample.disk.read(sample.last()).unwrap();
    let all = batches(&bytes);
    // Between the waypoint and the durable end, which three batches follow.
    let index = all.len() - 4;
    let (hit, count) = all[index].clone();
    let before: u64 = all[..index].iter().map(|(_, count)| count).sum();
    let first = sample.bases.last().unwrap() + before;
    sample.change(&sample.last(), |bytes| bytes[hit.start + 11] ^= 4);
    let look = sample.look();
    look.assert_lost(&(first..first + count), sample.end);
    assert_eq!(look.report.damage.len(), 1, "{:?}", look.report);
    look.assert_refuses_appends();
    drop(look);
    assert_settled(&sample.disk);
}
