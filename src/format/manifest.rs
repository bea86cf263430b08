//! `topics.manifest`: which topics there are. Replacing this file is the one commit point of
//! creating, altering and deleting topics.
//!
//! Ours alone, and text, so that it can be read without a tool:
//!
//! ```text
//! streamlog-topics 1
//! next-producer-id 1000
//! topic orders AAECAwQFBgcICQoLDA0ODw 3
//!  config retention.ms=-1
//!  start 2 5000
//! topic clicks FBUWFxgZGhscHR4fICEiIw 1 adopted
//! deleted carts ICEiIyQlJicoKSorLC0uLw 2
//! crc32 3bf5c31b
//! ```
//!
//! The number in the first line covers all files that are ours, not only this one: a reader that
//! does not know it touches nothing. The last line is the CRC-32 of everything before it. Words are
//! escaped as in URLs (`%0A`), so a line is always one line.
//!
//! Elsewhere: whether names and configurations are valid (`config`).

use std::collections::HashSet;
use std::fmt::Write as _;

use super::metadata::TopicId;
use super::text::{Line, lines, number, utf8};
use super::{Invalid, Parsed};

const VERSION: u32 = 1;
const HEADER: &str = "streamlog-topics ";
const CHECKSUM: &str = "crc32 ";
const ADOPTED: &str = "adopted";
const DELETED: &str = "deleted ";

/// Everything that the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// Producer ids from here on were never handed out. Ids are reserved in blocks: the end of a
    /// block is written before its first id is used.
    pub(crate) next_producer_id: i64,
    pub(crate) topics: Vec<ManifestTopic>,
    /// Topics that were deleted, and whose directories may be there yet.
    pub(crate) deleted: Vec<DeletedTopic>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
    /// The topic was found in a directory that Kafka wrote: its offsets may have gaps.
    pub(crate) adopted: bool,
    /// What differs from the defaults, by Kafka's names.
    pub(crate) config: Vec<(String, String)>,
    /// Partitions whose first records were deleted, with the log start offset that was promised.
    pub(crate) log_starts: Vec<(u32, u64)>,
}

/// A topic that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedTopic {
    pub(crate) name: String,
    pub(crate) id: TopicId,
    /// How many it had.
    pub(crate) partitions: u32,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestError {
    /// It is of a version that this build does not know: change nothing in the directory.
    Newer(u32),
    /// It is damaged.
    Invalid(Invalid),
}

impl From<Invalid> for ManifestError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl Manifest {
    /// The whole file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = format!(
            "{HEADER}{VERSION}\nnext-producer-id {}\n",
            self.next_producer_id
        );
        for topic in &self.topics {
            encode_topic(&mut text, topic);
        }
        for topic in &self.deleted {
            text.push_str(DELETED);
            escape(&mut text, &topic.name, " ");
            let _ = writeln!(text, " {} {}", topic.id, topic.partitions);
        }
        let checksum = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "{CHECKSUM}{checksum:08x}");
        text.into_bytes()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        check_version(bytes)?;
        let text = utf8(checked(bytes)?)?;
        let mut lines = lines(text).skip(1);
        let missing = Line {
            at: text.len(),
            text: "",
        };
        let ids = lines.next().unwrap_or(missing);
        let next_producer_id = ids.text.strip_prefix("next-producer-id ").and_then(number);
        let mut manifest = Self {
            next_producer_id: next_producer_id.ok_or(ids.error("no next producer id"))?,
            topics: Vec::new(),
            deleted: Vec::new(),
        };
        for line in lines {
            manifest.decode_line(line)?;
        }
        manifest.check_unique()?;
        Ok(manifest)
    }

    fn decode_line(&mut self, line: Line<'_>) -> Parsed<()> {
        if let Some(topic) = line.text.strip_prefix("topic ") {
            let topic = decode_topic(topic).ok_or(line.error("malformed topic"))?;
            self.topics.push(topic);
            return Ok(());
        }
        if let Some(topic) = line.text.strip_prefix(DELETED) {
            let topic = decode_deleted(topic).ok_or(line.error("malformed deleted topic"))?;
            self.deleted.push(topic);
            return Ok(());
        }
        let topic = self.topics.last_mut();
        let topic = topic.ok_or(line.error("no topic before what belongs to one"))?;
        if let Some(config) = line.text.strip_prefix(" config ") {
            let config = decode_config(config).ok_or(line.error("malformed config"))?;
            topic.config.push(config);
        } else if let Some(start) = line.text.strip_prefix(" start ") {
            let start = decode_start(start).ok_or(line.error("malformed log start"))?;
            topic.log_starts.push(start);
        } else {
            return line.invalid("unknown kind of line");
        }
        Ok(())
    }

    fn check_unique(&self) -> Parsed<()> {
        let names: HashSet<_> = self.topics.iter().map(|topic| &topic.name).collect();
        let ids: HashSet<_> = self.topics.iter().map(|topic| topic.id).collect();
        let unique = names.len() == self.topics.len() && ids.len() == self.topics.len();
        if unique {
            Ok(())
        } else {
            Err(Invalid {
                at: 0,
                reason: "two topics of one name or id",
            })
        }
    }
}

/// The first line, before anything else is looked at: a newer layout may have no checksum where
/// this one does.
fn check_version(bytes: &[u8]) -> Result<(), ManifestError> {
    let first_line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let text = std::str::from_utf8(first_line).unwrap_or_default();
    match text.strip_prefix(HEADER).and_then(number::<u32>) {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(ManifestError::Newer(newer)),
        _ => Err(Invalid {
            at: 0,
            reason: "not a manifest of topics",
        }
        .into()),
    }
}

/// What the checksum in the last line covers.
fn checked(bytes: &[u8]) -> Parsed<&[u8]> {
    let line_len = CHECKSUM.len() + 8 + 1;
    let at = bytes.len().saturating_sub(line_len);
    let (covered, last_line) = bytes.split_at(at);
    let expected = format!("{CHECKSUM}{:08x}\n", crc32fast::hash(covered));
    if last_line == expected.as_bytes() && covered.ends_with(b"\n") {
        Ok(covered)
    } else {
        Err(Invalid {
            at,
            reason: "checksum of the manifest does not match",
        })
    }
}

fn encode_topic(text: &mut String, topic: &ManifestTopic) {
    let ManifestTopic {
        name,
        id,
        partitions,
        adopted,
        config,
        log_starts,
    } = topic;
    text.push_str("topic ");
    escape(text, name, " ");
    let _ = write!(text, " {id} {partitions}");
    if *adopted {
        let _ = write!(text, " {ADOPTED}");
    }
    text.push('\n');
    for (key, value) in config {
        text.push_str(" config ");
        escape(text, key, " =");
        text.push('=');
        escape(text, value, "");
        text.push('\n');
    }
    for (partition, offset) in log_starts {
        let _ = writeln!(text, " start {partition} {offset}");
    }
}

fn decode_topic(line: &str) -> Option<ManifestTopic> {
    let mut words = line.split(' ');
    let name = unescape(words.next()?).filter(|name| !name.is_empty())?;
    let id = words.next()?.parse().ok()?;
    let partitions = number(words.next()?).filter(|count| *count > 0)?;
    let adopted = match words.next() {
        None => false,
        Some(ADOPTED) => true,
        Some(_) => return None,
    };
    let topic = ManifestTopic {
        name,
        id,
        partitions,
        adopted,
        config: Vec::new(),
        log_starts: Vec::new(),
    };
    words.next().is_none().then_some(topic)
}

fn decode_deleted(line: &str) -> Option<DeletedTopic> {
    let mut words = line.split(' ');
    let topic = DeletedTopic {
        name: unescape(words.next()?).filter(|name| !name.is_empty())?,
        id: words.next()?.parse().ok()?,
        partitions: number(words.next()?)?,
    };
    words.next().is_none().then_some(topic)
}

fn decode_config(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    Some((unescape(key)?, unescape(value)?))
}

fn decode_start(line: &str) -> Option<(u32, u64)> {
    let (partition, offset) = line.split_once(' ')?;
    Some((number(partition)?, number(offset)?))
}

/// Appends `word` with control characters, `%`, and those in `also` as `%` and two hexadecimal
/// digits.
fn escape(text: &mut String, word: &str, also: &str) {
    for character in word.chars() {
        if character.is_ascii_control() || character == '%' || also.contains(character) {
            let _ = write!(text, "%{:02X}", u32::from(character));
        } else {
            text.push(character);
        }
    }
}

fn unescape(word: &str) -> Option<String> {
    let mut pieces = word.split('%');
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16)
            .ok()
            .filter(|byte| byte.is_ascii() && hexadecimal)?;
        text.push(char::from(byte));
        text.push_str(rest);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "streamlog-topics 1\n\
        next-producer-id 1000\n\
        topic orders AAECAwQFBgcICQoLDA0ODw 3\n \
        config retention.ms=-1\n \
        config cleanup.policy=compact,delete\n \
        start 2 5000\n\
        topic clicks FBUWFxgZGhscHR4fICEiIw 1 adopted\n\
        deleted carts ICEiIyQlJicoKSorLC0uLw 2\n";

    fn sealed(text: &str) -> Vec<u8> {
        format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes()
    }

    fn example() -> Manifest {
        let config = [("retention.ms", "-1"), ("cleanup.policy", "compact,delete")];
        let orders = ManifestTopic {
            name: "orders".to_owned(),
            id: "AAECAwQFBgcICQoLDA0ODw".parse().unwrap(),
            partitions: 3,
            adopted: false,
            config: config
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
            log_starts: vec![(2, 5000)],
        };
        let clicks = ManifestTopic {
            name: "clicks".to_owned(),
            id: "FBUWFxgZGhscHR4fICEiIw".parse().unwrap(),
            partitions: 1,
            adopted: true,
            config: Vec::new(),
            log_starts: Vec::new(),
        };
        let carts = DeletedTopic {
            name: "carts".to_owned(),
            id: "ICEiIyQlJicoKSorLC0uLw".parse().unwrap(),
            partitions: 2,
        };
        Manifest {
            next_producer_id: 1000,
            topics: vec![orders, clicks],
            deleted: vec![carts],
        }
    }

    fn decode_sealed(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::decode(&sealed(text))
    }

    #[test]
    fn a_manifest_is_text_that_a_person_can_read() {
        assert_eq!(
            String::from_utf8(example().encode()).unwrap().into_bytes(),
            sealed(TEXT)
        );
        assert_eq!(decode_sealed(TEXT), Ok(example()));
    }

    #[test]
    fn a_manifest_without_topics_is_one() {
        let empty = Manifest::default();
        assert_eq!(Manifest::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn any_text_survives_in_names_keys_and_values() {
        let odd = "a b=c%d\n\r\t\0%41\u{7f}é\u{1f600}";
        let mut manifest = example();
        odd.clone_into(&mut manifest.topics[0].name);
        odd.clone_into(&mut manifest.deleted[0].name);
        manifest.topics[0].config = vec![
            (odd.to_owned(), odd.to_owned()),
            (String::new(), String::new()),
        ];
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 9);
    }

    #[test]
    fn a_newer_version_is_told_from_damage_whatever_follows() {
        assert_eq!(
            Manifest::decode(b"streamlog-topics 2\n\xff\xfe"),
            Err(ManifestError::Newer(2))
        );
        assert_eq!(
            Manifest::decode(b"streamlog-topics 77"),
            Err(ManifestError::Newer(77))
        );
        for text in [
            "",
            "\n",
            "streamlog-topics",
            "streamlog-topics 0\n",
            "streamlog-topics -2\n",
            "x 2\n",
        ] {
            let result = Manifest::decode(text.as_bytes());
            assert!(matches!(result, Err(ManifestError::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn a_manifest_cut_anywhere_is_refused() {
        let bytes = example().encode();
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(Manifest::decode(&[&bytes[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = example().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_refused_though_the_checksum_is_right() {
        let head = "streamlog-topics 1\nnext-producer-id 0\n";
        let id = "AAECAwQFBgcICQoLDA0ODw";
        for line in [
            "\n".to_owned(),
            "partition 1\n".to_owned(),
            " config a=b\n".to_owned(),
            "topic\n".to_owned(),
            format!("topic orders {id}\n"),
            format!("topic orders {id} 0\n"),
            format!("topic orders {id} -1\n"),
            format!("topic orders {id} 4294967296\n"),
            format!("topic  {id} 1\n"),
            "topic orders short 1\n".to_owned(),
            format!("topic orders {id} 1 strange\n"),
            format!("topic orders {id} 1 adopted adopted\n"),
            format!("topic orders%4 {id} 1\n"),
            format!("topic orders%+4 {id} 1\n"),
            format!("topic orders%FF {id} 1\n"),
            " start 0 1\n".to_owned(),
            format!("topic orders {id} 1\n config a\n"),
            format!("topic orders {id} 1\n start 0\n"),
            format!("topic orders {id} 1\n start 0 -1\n"),
            format!("topic orders {id} 1\n start 0 1 2\n"),
            format!("topic orders {id} 1\ntopic orders AAAAAAAAAAAAAAAAAAAAAA 1\n"),
            format!("topic orders {id} 1\ntopic clicks {id} 1\n"),
        ] {
            let result = decode_sealed(&format!("{head}{line}"));
            assert!(matches!(result, Err(ManifestError::Invalid(_))), "{line:?}");
        }
        assert!(decode_sealed("streamlog-topics 1\n").is_err());
        assert!(decode_sealed("streamlog-topics 1\nnext-producer-id -1\n").is_err());
        assert!(
            decode_sealed("streamlog-topics 1\nnext-producer-id 9223372036854775808\n").is_err()
        );
    }
}
