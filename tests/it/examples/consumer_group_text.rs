//! What `consumer_groups` reads: times, durations, and files of offsets. Its modules are compiled here,
//! since tests in an example do not run with the others.

use std::time::Duration;

use streamlog::TopicPartition;

#[path = "../../../examples/consumer_groups/csv.rs"]
mod csv;
#[path = "../../../examples/consumer_groups/time.rs"]
mod time;

#[test]
fn times_are_read_as_kafka_reads_them() {
    for (text, expected) in [
        ("1970-01-01T00:00:00.000", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999", -1),
        ("2000-02-29T00:00:00.000", 951_782_400_000),
        ("2000-03-01T00:00:00.5", 951_868_800_500),
        ("2026-01-01T00:00:00.000Z", 1_767_225_600_000),
        ("2026-01-01T01:30:00.000+01:30", 1_767_225_600_000),
        ("2026-01-01T01:30:00.000+0130", 1_767_225_600_000),
        ("2025-12-31T19:00:00.000-05", 1_767_225_600_000),
        ("0001-01-01T00:00:00.000", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999", 253_402_300_799_999),
    ] {
        assert_eq!(time::timestamp(text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "T",
        "2026-01-01",
        "2026-01-01 00:00:00",
        "2026-02-29T00:00:00.000",
        "1900-02-29T00:00:00.000",
        "2026-13-01T00:00:00.000",
        "2026-00-01T00:00:00.000",
        "2026-04-31T00:00:00.000",
        "2026-01-01T24:00:00.000",
        "2026-01-01T00:60:00.000",
        "2026-01-01T00:00:60.000",
        "2026-01-01T00:00.000",
        "2026-01-01T00:00:00.",
        "2026-01-01T00:00:00.0000",
        "2026-01-01T00:00:00.000ZZ",
        "2026-01-01T00:00:00.000+1",
        "2026-01-01T00:00:00.000+25:00",
        "2026-01-01T00:00:00.000+01:3é",
        "2026-+1-01T00:00:00.000",
        "26-01-01T00:00:00.000",
    ] {
        assert!(time::timestamp(text).is_err(), "{text}");
    }
}

#[test]
fn durations_are_read_as_java_reads_them() {
    let seconds = Duration::from_secs;
    for (text, expected) in [
        ("P1DT2H", seconds(26 * 3600)),
        ("P2D", seconds(2 * 86_400)),
        ("PT0S", seconds(0)),
        ("pt1h1m1s", seconds(3661)),
        ("PT1.5S", Duration::from_millis(1500)),
        ("PT0.000000001S", Duration::from_nanos(1)),
        ("P1DT-1H", seconds(23 * 3600)),
        ("-P-1D", seconds(86_400)),
        ("PT+90M", seconds(5400)),
    ] {
        assert_eq!(time::duration(text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "P",
        "PT",
        "P1DT",
        "1D",
        "P1",
        "P1M",
        "P1Y",
        "P1W",
        "PT1D",
        "PT1S1M",
        "PT1.5H",
        "PT.S",
        "PT1.S",
        "PTS",
        "P--1D",
        "P1D1D",
        "-PT1S",
        "PT-1S",
        "P99999999999999999999D",
        "PT1.0000000001S",
    ] {
        assert!(time::duration(text).is_err(), "{text}");
    }
}

#[test]
fn any_name_of_a_group_survives_a_file() {
    for group in [
        "plain",
        "a,b",
        "\"",
        "\"quoted\"",
        "two\nlines",
        " spaces ",
        "\r",
        "ü",
    ] {
        let row = csv::Row {
            group: group.to_owned(),
            partition: TopicPartition::new("clicks", 1),
            offset: u64::MAX,
        };
        for end in ["", "\n", "\r\n"] {
            let text = format!("{}{end}", row.line(true));
            assert_eq!(
                csv::rows(&text, None).as_deref(),
                Ok(&[row.clone()][..]),
                "{text:?}"
            );
        }
        assert_eq!(csv::rows(&row.line(false), Some(group)), Ok(vec![row]));
    }
    assert_eq!(csv::rows("", None), Ok(Vec::new()));
    assert!(csv::rows("clicks,0,1", None).is_err(), "of which group?");
}
