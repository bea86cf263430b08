//! Kafka's rules of retention, one table each.

use std::time::Duration;

use super::*;

const NOW: Timestamp = 1_700_000_000_000;

/// Segments of ten records each: their sizes and ages in milliseconds, the active one last.
fn segments(sizes_and_ages: &[(u64, i64)]) -> Vec<SegmentFacts> {
    let all = sizes_and_ages.iter().zip(0_u64..);
    all.map(|(&(bytes, age), number)| SegmentFacts {
        base: number * 10,
        end: number * 10 + if bytes == 0 { 0 } else { 10 },
        bytes,
        newest: NOW - age,
    })
    .collect()
}

fn unlimited() -> TopicConfig {
    TopicConfig::default().retention_ms(None)
}

fn by_size(bytes: u64) -> TopicConfig {
    unlimited().retention_bytes(Some(bytes))
}

fn by_age(millis: u64) -> TopicConfig {
    unlimited().retention_ms(Some(Duration::from_millis(millis)))
}

fn roll_at(end: Offset, otherwise: Offset) -> Verdict {
    Verdict::RollAt { end, otherwise }
}

fn decide_from(start: Offset, segments: &[SegmentFacts], config: &TopicConfig) -> Verdict {
    let limits = Limits {
        config,
        start,
        removable_end: Offset::MAX,
        now: NOW,
    };
    decide(segments, limits)
}

fn start_by(config: &TopicConfig, sizes_and_ages: &[(u64, i64)]) -> Verdict {
    decide_from(0, &segments(sizes_and_ages), config)
}

#[test]
fn nothing_goes_without_a_limit() {
    let ancient = [(100, NOW), (100, NOW), (100, NOW)];
    assert_eq!(start_by(&unlimited(), &ancient), Verdict::StartAt(0));
}

#[test]
fn what_remains_is_at_least_retention_bytes() {
    let log = [(100, 0), (50, 0), (200, 0), (30, 0)];
    for (limit, start) in [
        (u64::MAX, 0),
        (380, 0),
        (281, 0),
        (280, 10),
        (231, 10),
        (230, 20),
        (31, 20),
        (30, 30),
        (1, 30),
    ] {
        let verdict = start_by(&by_size(limit), &log);
        assert_eq!(verdict, Verdict::StartAt(start), "{limit}");
    }
}

#[test]
fn size_stops_at_the_first_segment_that_has_to_stay() {
    // The second would fit what is too much, and the first does not.
    let log = [(100, 0), (10, 0), (100, 0)];
    assert_eq!(start_by(&by_size(150), &log), Verdict::StartAt(0));
}

#[test]
fn a_limit_of_no_bytes_removes_the_active_segment_too() {
    let log = [(100, 0), (50, 0)];
    assert_eq!(start_by(&by_size(0), &log), roll_at(20, 10));
    let rolled = [(100, 0), (50, 0), (0, 0)];
    assert_eq!(start_by(&by_size(0), &rolled), Verdict::StartAt(20));
}

#[test]
fn a_segment_goes_when_its_newest_record_is_older_than_retention_ms() {
    for (age, start) in [(0, 0), (999, 0), (1000, 0), (1001, 10), (NOW, 10)] {
        let verdict = start_by(&by_age(1000), &[(100, age), (100, 0)]);
        assert_eq!(verdict, Verdict::StartAt(start), "{age}");
    }
}

#[test]
fn age_stops_at_the_first_segment_that_has_to_stay() {
    let log = [(100, 2000), (100, 10), (100, 3000), (100, 0)];
    assert_eq!(start_by(&by_age(1000), &log), Verdict::StartAt(10));
    let ahead = [(100, -5_000_000), (100, 3000), (100, 3000)];
    assert_eq!(start_by(&by_age(1000), &ahead), Verdict::StartAt(0));
}

#[test]
fn no_age_at_all_keeps_what_is_of_this_very_moment() {
    let log = [(100, 1), (100, 0), (100, 0)];
    assert_eq!(start_by(&by_age(0), &log), Verdict::StartAt(10));
}

#[test]
fn if_everything_is_too_old_the_active_segment_is_rolled_first() {
    let log = [(100, 3000), (100, 2000)];
    assert_eq!(start_by(&by_age(1000), &log), roll_at(20, 10));
    assert_eq!(
        start_by(&by_age(1000), &[(100, 2000)]),
        roll_at(10, 0),
        "also if there is no other"
    );
    let rolled = [(100, 3000), (100, 2000), (0, 0)];
    assert_eq!(start_by(&by_age(1000), &rolled), Verdict::StartAt(20));
}

#[test]
fn an_empty_active_segment_stays() {
    assert_eq!(start_by(&by_age(0), &[(0, NOW)]), Verdict::StartAt(0));
    assert_eq!(
        start_by(&by_age(0), &[(100, NOW), (0, NOW)]),
        Verdict::StartAt(10)
    );
}

#[test]
fn age_is_looked_at_after_size_in_what_is_left() {
    let config = by_size(150).set("retention.ms", "1000").unwrap();
    let log = [(100, 0), (100, 2000), (100, 0)];
    assert_eq!(start_by(&config, &log), Verdict::StartAt(20));
    let other = [(100, 2000), (100, 0), (100, 0)];
    assert_eq!(start_by(&config, &other), Verdict::StartAt(10));
}

#[test]
fn segments_below_the_start_are_no_part_of_the_size() {
    let log = segments(&[(100, 0), (100, 0), (100, 0), (100, 0)]);
    for (start, expected) in [(0, 20), (9, 20), (10, 20), (20, 20), (25, 25), (30, 30)] {
        let verdict = decide_from(start, &log, &by_size(200));
        assert_eq!(verdict, Verdict::StartAt(expected), "{start}");
    }
    let verdict = decide_from(10, &log, &by_size(300));
    assert_eq!(verdict, Verdict::StartAt(10));
}

#[test]
fn a_young_segment_below_the_start_keeps_nothing_behind_it() {
    let log = segments(&[(100, 0), (100, 2000), (100, 0)]);
    for start in [10, 15] {
        let verdict = decide_from(start, &log, &by_age(1000));
        assert_eq!(verdict, Verdict::StartAt(20), "{start}");
    }
}

#[test]
fn the_start_is_never_lowered() {
    let log = segments(&[(100, 0), (100, 0)]);
    assert_eq!(
        decide_from(17, &log, &by_size(150)),
        Verdict::StartAt(17),
        "inside of the last segment"
    );
}

#[test]
fn an_old_active_segment_goes_even_if_all_its_records_are_deleted() {
    let log = segments(&[(100, 2000)]);
    let by_age = by_age(1000);
    assert_eq!(decide_from(10, &log, &by_age), roll_at(10, 10));
    let rolled = segments(&[(100, 2000), (0, 0)]);
    assert_eq!(decide_from(10, &rolled, &by_age), Verdict::StartAt(10));
}

#[test]
fn a_compacted_topic_loses_nothing_by_size_or_age() {
    let log = segments(&[(100, 2000), (100, 2000), (100, 2000)]);
    let with = |policy| {
        by_size(1)
            .set("retention.ms", "1000")
            .unwrap()
            .cleanup_policy(policy)
    };
    let compact = with(CleanupPolicy::Compact);
    assert_eq!(decide_from(0, &log, &compact), Verdict::StartAt(0));
    assert_eq!(
        decide_from(15, &log, &compact),
        Verdict::StartAt(15),
        "its start stays where it is"
    );
    let both = with(CleanupPolicy::CompactAndDelete);
    assert_eq!(decide_from(0, &log, &both), roll_at(30, 20));
}

#[test]
fn records_that_may_not_go_keep_their_segment_and_all_behind() {
    let log = segments(&[(100, 2000), (100, 2000), (100, 2000)]);
    for (removable_end, expected) in [
        (0, Verdict::StartAt(0)),
        (9, Verdict::StartAt(0)),
        (10, Verdict::StartAt(10)),
        (19, Verdict::StartAt(10)),
        (20, Verdict::StartAt(20)),
        (29, Verdict::StartAt(20)),
        (30, roll_at(30, 20)),
    ] {
        for config in [by_age(1000), by_size(0)] {
            let limits = Limits {
                config: &config,
                start: 0,
                removable_end,
                now: NOW,
            };
            assert_eq!(decide(&log, limits), expected, "{removable_end}");
        }
    }
}

#[test]
fn a_log_without_segments_stays_as_it_is() {
    assert_eq!(decide_from(7, &[], &by_age(0)), Verdict::StartAt(7));
}

#[test]
fn times_at_the_ends_of_what_can_be_said_do_no_harm() {
    let mut log = segments(&[(100, 0), (100, 0)]);
    log[0].newest = Timestamp::MAX;
    assert_eq!(decide_from(0, &log, &by_age(0)), Verdict::StartAt(0));
    log[0].newest = 0;
    let limits = Limits {
        config: &by_age(0),
        start: 0,
        removable_end: Offset::MAX,
        now: Timestamp::MIN,
    };
    assert_eq!(decide(&log, limits), Verdict::StartAt(0));
}
