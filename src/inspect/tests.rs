use std::fs;
use std::path::PathBuf;

use super::{Entry, SegmentReader, offset_index, producer_snapshot, time_index};
use crate::{Broker, Compression, Error, Record, TopicConfig};

/// A segment of `count` batches of one record, and where each batch starts.
fn segment(dir: &tempfile::TempDir, count: usize) -> (PathBuf, Vec<u64>) {
    let broker = Broker::open(dir.path()).unwrap();
    let topic = broker
        .create_topic("clicks", TopicConfig::default())
        .unwrap();
    let partition = topic.partition(0).unwrap();
    for number in 0..count {
        let value = format!("value {number}");
        partition.append(&[Record::value_only(&value)]).unwrap();
    }
    broker.close().unwrap();
    let path = dir.path().join("clicks-0/00000000000000000000.log");
    let positions = SegmentReader::open(&path)
        .unwrap()
        .map(|entry| match entry.unwrap() {
            Entry::Batch(batch) => batch.position(),
            Entry::Damage(damage) => panic!("{damage:?}"),
        })
        .collect();
    (path, positions)
}

/// Base offsets of batches (with "!" if the CRC is wrong), and `position+len` of damage.
fn look(path: &PathBuf) -> Vec<String> {
    let entries = SegmentReader::open(path).unwrap();
    entries
        .map(|entry| match entry.unwrap() {
            Entry::Batch(batch) if batch.crc_matches() => batch.base_offset().to_string(),
            Entry::Batch(batch) => format!("{}!", batch.base_offset()),
            Entry::Damage(damage) => format!("{}+{}", damage.position, damage.len),
        })
        .collect()
}

fn damage(path: &PathBuf, at: u64, change: impl Fn(&mut u8)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes[usize::try_from(at).unwrap()]);
    fs::write(path, bytes).unwrap();
}

#[test]
fn batches_are_shown_as_they_lie_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, positions) = segment(&dir, 3);
    let batches: Vec<_> = SegmentReader::open(&path).unwrap().collect();
    assert_eq!(positions[0], 0);
    for (number, batch) in (0..).zip(batches) {
        let Entry::Batch(batch) = batch.unwrap() else {
            panic!("no damage here")
        };
        assert_eq!(
            (
                batch.base_offset(),
                batch.last_offset(),
                batch.record_count()
            ),
            (number, number, 1)
        );
        assert_eq!(batch.compression(), Compression::None);
        assert!(batch.marker().unwrap().is_none());
        let records = batch.records().unwrap();
        let record = records.iter().next().unwrap();
        assert_eq!((record.topic(), record.partition()), ("clicks", 0));
        assert_eq!(record.offset(), number);
        assert_eq!(record.value(), Some(format!("value {number}").as_bytes()));
    }
}

#[test]
fn a_wrong_checksum_is_told_and_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (path, positions) = segment(&dir, 3);
    damage(&path, positions[1] + 70, |byte| *byte ^= 1);
    assert_eq!(look(&path), ["0", "1!", "2"]);
}

#[test]
fn reading_goes_on_behind_a_damaged_length() {
    let dir = tempfile::tempdir().unwrap();
    let (path, positions) = segment(&dir, 4);
    let size = positions[2] - positions[1];
    for byte in 8..12 {
        damage(&path, positions[1] + byte, |byte| *byte ^= 0x11);
        let damaged = format!("{}+{size}", positions[1]);
        assert_eq!(look(&path), ["0", &damaged, "2", "3"], "byte {byte}");
        damage(&path, positions[1] + byte, |byte| *byte ^= 0x11);
    }
}

#[test]
fn a_file_cut_anywhere_shows_its_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let (path, positions) = segment(&dir, 2);
    let bytes = fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let whole = usize::from(len as u64 >= positions[1]);
        let torn = len as u64 - whole as u64 * positions[1];
        let mut expected: Vec<_> = (0..whole).map(|offset| offset.to_string()).collect();
        if torn > 0 {
            expected.push(format!("{}+{torn}", len as u64 - torn));
        }
        assert_eq!(look(&path), expected, "cut to {len}");
    }
}

#[test]
fn zeros_at_the_end_are_one_piece_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = segment(&dir, 1);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.resize(len + 300_000, 0);
    fs::write(&path, bytes).unwrap();
    assert_eq!(look(&path), ["0".to_owned(), format!("{len}+300000")]);
}

#[test]
fn zeros_that_a_log_wrote_ahead_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = segment(&dir, 3);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes.resize(16 << 10, 0);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(look(&path), ["0", "1", "2"]);
    bytes[end + 5000] = 1;
    fs::write(&path, &bytes).unwrap();
    let rest = bytes.len() - end;
    assert_eq!(look(&path), ["0", "1", "2", &format!("{end}+{rest}")]);
}

#[test]
fn any_bytes_are_walked_to_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("noise.log");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..50 {
        let bytes: Vec<u8> = (0..2_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Small numbers and magic bytes, so that headers parse now and then.
                [0, 0, 0, 2, 1, state.to_be_bytes()[0]][usize::from(state.to_be_bytes()[1] % 6)]
            })
            .collect();
        fs::write(&path, &bytes).unwrap();
        let mut position = 0;
        for entry in SegmentReader::open(&path).unwrap() {
            position += match entry.unwrap() {
                Entry::Batch(batch) => {
                    let _ = (batch.records().is_ok(), batch.marker().is_ok());
                    u64::from(batch.size_bytes())
                }
                Entry::Damage(damage) => damage.len,
            };
        }
        assert_eq!(position, 2_000, "round {round}");
    }
}

#[test]
fn side_files_are_shown_with_absolute_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let config = TopicConfig::default()
        .set("index.interval.bytes", "0")
        .unwrap()
        .set("segment.bytes", "200")
        .unwrap();
    broker.create_topic("clicks", config).unwrap();
    let producer = broker.producer().build().unwrap();
    for number in 0..10 {
        let record = Record::to("clicks")
            .value("0123456789")
            .timestamp(1_000 + number);
        producer.send(record).unwrap().wait().unwrap();
    }
    broker.close().unwrap();

    let files = fs::read_dir(dir.path().join("clicks-0")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let with = |suffix| {
        paths
            .iter()
            .filter(move |path| path.extension().is_some_and(|found| found == suffix))
    };
    let offsets: Vec<_> = with("index")
        .flat_map(|path| offset_index(path).unwrap())
        .collect();
    let times: Vec<_> = with("timeindex")
        .flat_map(|path| time_index(path).unwrap())
        .collect();
    assert!(
        offsets.len() > 3
            && offsets
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset)
    );
    for entry in &times {
        assert_eq!(
            entry.timestamp,
            1_000 + i64::try_from(entry.offset).unwrap()
        );
    }
    let snapshot = producer_snapshot(with("snapshot").next_back().unwrap()).unwrap();
    assert_eq!((snapshot.len(), snapshot[0].last_offset), (1, 9));
}

#[test]
fn bad_side_files_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000007.index");
    assert!(matches!(offset_index(&path), Err(Error::Io { .. })));
    fs::write(&path, [0; 9]).unwrap();
    let Err(Error::Corrupt { file, position, .. }) = offset_index(&path) else {
        panic!("a rest of one byte")
    };
    assert_eq!((file, position), (path, 8));
    let path = dir.path().join("index");
    fs::write(&path, [0; 8]).unwrap();
    assert!(matches!(time_index(&path), Err(Error::Corrupt { .. })));
    assert!(matches!(
        producer_snapshot(&path),
        Err(Error::Corrupt { .. })
    ));
}
