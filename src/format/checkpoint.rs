//! Kafka's checkpoint files: text, one entry a line, after a version and the number of entries.
//!
//! ```text
//! 0
//! 2
//! orders 0 1042
//! orders 1 977
//! ```
//!
//! They have no checksum, so reading is strict: another version, a malformed line or a wrong count
//! refuses the whole file, and the caller falls back to what the log itself says. If an entry is
//! there twice, both are returned: the caller decides (Kafka takes the last).

use std::fmt::Write as _;

use super::Parsed;
use super::text::{Line, lines, number, utf8};

const VERSION: u32 = 0;

/// `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint` and others in the data
/// directory: an offset for each partition.
#[derive(Debug)]
pub(crate) enum OffsetCheckpoint {}

impl OffsetCheckpoint {
    /// The whole file, from topic, partition and offset. Topic names must hold no blanks.
    pub(crate) fn encode(entries: &[(&str, u32, u64)]) -> Vec<u8> {
        encode(entries, |text, (topic, partition, offset)| {
            let _ = writeln!(text, "{topic} {partition} {offset}");
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Vec<(String, u32, u64)>> {
        decode(bytes, |line| {
            let [topic, partition, offset] = fields(line.text)?;
            Some((topic.to_owned(), number(partition)?, offset_number(offset)?))
        })
    }
}

/// Where a leader epoch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochEntry {
    pub(crate) epoch: i32,
    /// Offset of the first record written in this epoch.
    pub(crate) start_offset: u64,
}

/// `leader-epoch-checkpoint` in a partition's directory.
#[derive(Debug)]
pub(crate) enum EpochCheckpoint {}

impl EpochCheckpoint {
    /// The whole file. Epochs must not be negative.
    pub(crate) fn encode(entries: &[EpochEntry]) -> Vec<u8> {
        encode(entries, |text, entry| {
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        })
    }

    /// The entries in the file's order, which the caller checks: epochs and offsets should rise.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Vec<EpochEntry>> {
        decode(bytes, |line| {
            let [epoch, start_offset] = fields(line.text)?;
            Some(EpochEntry {
                epoch: number(epoch)?,
                start_offset: offset_number(start_offset)?,
            })
        })
    }
}

fn encode<E>(entries: &[E], write_line: impl Fn(&mut String, &E)) -> Vec<u8> {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        write_line(&mut text, entry);
    }
    text.into_bytes()
}

fn decode<E>(bytes: &[u8], read_line: impl Fn(Line<'_>) -> Option<E>) -> Parsed<Vec<E>> {
    let mut lines = lines(utf8(bytes)?);
    let missing = Line {
        at: bytes.len(),
        text: "",
    };
    let version = lines.next().unwrap_or(missing);
    if number(version.text) != Some(VERSION) {
        return version.invalid("unknown version of a checkpoint file");
    }
    let count = lines.next().unwrap_or(missing);
    let Some(expected) = number::<usize>(count.text) else {
        return count.invalid("no count of entries");
    };
    let mut entries = Vec::new();
    for line in lines {
        entries.push(read_line(line).ok_or(line.error("malformed entry in a checkpoint file"))?);
    }
    if entries.len() == expected {
        Ok(entries)
    } else {
        count.invalid("count of entries does not match")
    }
}

/// Exactly `COUNT` words with one blank between them.
fn fields<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    let mut words = line.split(' ');
    let mut fields = [""; COUNT];
    for field in &mut fields {
        *field = words.next().filter(|word| !word.is_empty())?;
    }
    words.next().is_none().then_some(fields)
}

/// Offsets are `i64` to Kafka.
fn offset_number(digits: &str) -> Option<u64> {
    number::<i64>(digits).map(i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: &[u8] = b"0\n2\norders 0 1042\nuser-clicks 11 0\n";
    const EPOCHS: &[u8] = b"0\n2\n0 0\n7 1042\n";

    #[test]
    fn an_offset_checkpoint_is_kafkas_text() {
        let bytes = OffsetCheckpoint::encode(&[("orders", 0, 1042), ("user-clicks", 11, 0)]);
        assert_eq!(bytes, OFFSETS);
        let decoded = OffsetCheckpoint::decode(&bytes).unwrap();
        assert_eq!(
            decoded,
            [
                ("orders".to_owned(), 0, 1042),
                ("user-clicks".to_owned(), 11, 0)
            ]
        );
    }

    #[test]
    fn an_epoch_checkpoint_is_kafkas_text() {
        let entries = [
            EpochEntry {
                epoch: 0,
                start_offset: 0,
            },
            EpochEntry {
                epoch: 7,
                start_offset: 1042,
            },
        ];
        assert_eq!(EpochCheckpoint::encode(&entries), EPOCHS);
        assert_eq!(EpochCheckpoint::decode(EPOCHS).unwrap(), entries);
    }

    #[test]
    fn an_empty_checkpoint_has_a_version_and_a_zero() {
        assert_eq!(OffsetCheckpoint::encode(&[]), b"0\n0\n");
        assert_eq!(OffsetCheckpoint::decode(b"0\n0\n"), Ok(vec![]));
        assert_eq!(EpochCheckpoint::decode(b"0\n0"), Ok(vec![]));
    }

    #[test]
    fn a_checkpoint_that_lacks_an_entry_or_part_of_one_is_refused() {
        for cut in 0..OFFSETS.len() {
            let decoded = OffsetCheckpoint::decode(&OFFSETS[..cut]);
            // Without a checksum a cut is seen unless it takes the last line's end only.
            assert_eq!(decoded.is_ok(), cut == OFFSETS.len() - 1, "cut to {cut}");
        }
    }

    #[test]
    fn anything_but_the_exact_form_is_refused() {
        for text in [
            "1\n0\n",
            "\n0\n",
            "0\n",
            "0\n-1\n",
            "0\n18446744073709551615\n",
            "0\n1\n",
            "0\n1\norders 0 1\norders 1 1\n",
            "0\n1\norders 0\n",
            "0\n1\norders 0 1 2\n",
            "0\n1\norders  0 1\n",
            "0\n1\norders -1 1\n",
            "0\n1\norders 0 -1\n",
            "0\n1\norders 0 9223372036854775808\n",
            "0\n1\norders 4294967296 1\n",
            "0\n1\norders 0 1\n\n",
            "0\n1\norders 0 1\r\n",
        ] {
            assert!(
                OffsetCheckpoint::decode(text.as_bytes()).is_err(),
                "{text:?}"
            );
        }
        for text in [
            "0\n1\n-1 0\n",
            "0\n1\n0\n",
            "0\n1\n0 0 0\n",
            "0\n1\n2147483648 0\n",
            "0\n1\n0 x\n",
        ] {
            assert!(
                EpochCheckpoint::decode(text.as_bytes()).is_err(),
                "{text:?}"
            );
        }
        assert!(OffsetCheckpoint::decode(b"0\n1\n\xff 0 1\n").is_err());
    }

    #[test]
    fn an_error_names_the_line() {
        assert_eq!(
            OffsetCheckpoint::decode(b"0\n2\na 0 1\nb 0 x\n")
                .unwrap_err()
                .at,
            10
        );
        assert_eq!(
            OffsetCheckpoint::decode(b"0\n2\na 0 1\n").unwrap_err().at,
            2
        );
    }
}
