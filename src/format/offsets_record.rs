//! Records of `__consumer_offsets`: keys of all kinds, and committed offsets.
//!
//! Kafka's schemas: a version first, which in a key also says what kind of record it is. The last
//! record of a key wins; a null value deletes.
//!
//! Elsewhere: the state of a group (`group_record`), serving offsets (`group`).

use super::byte_reader::ByteReader;
use super::schema::{FieldReader, put_string};
use super::{Invalid, Parsed};

/// Keys of committed offsets have version 1; version 0 has the same layout.
const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const OFFSET_VALUE_VERSION: i16 = 3;
/// From this version on, values have the flexible form.
const FLEXIBLE_OFFSET_VALUE_VERSION: i16 = 4;

/// What a record of `__consumer_offsets` is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OffsetsKey {
    /// A committed offset; its value is an [`OffsetValue`].
    Offset(OffsetKey),
    /// The group of this name; its value is a [`GroupMetadata`](super::group_record::GroupMetadata).
    Group(String),
    /// Of a version not known here: newer kinds of groups. Leave it alone.
    Unknown(i16),
}

/// Whose offset, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OffsetKey {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
}

impl OffsetKey {
    /// Fails if a name is longer than 32,767 bytes or the partition than an `i32`.
    pub(crate) fn encode(&self) -> Parsed<Vec<u8>> {
        let mut bytes = Vec::with_capacity(10 + self.group.len() + self.topic.len());
        bytes.extend_from_slice(&OFFSET_KEY_VERSION.to_be_bytes());
        put_string(&mut bytes, &self.group)?;
        put_string(&mut bytes, &self.topic)?;
        let too_high = Invalid {
            at: bytes.len(),
            reason: "partition above 2147483647",
        };
        let partition = i32::try_from(self.partition).map_err(|_| too_high)?;
        bytes.extend_from_slice(&partition.to_be_bytes());
        Ok(bytes)
    }
}

/// The key of a group's state. Fails if the name is longer than 32,767 bytes.
pub(crate) fn encode_group_key(group: &str) -> Parsed<Vec<u8>> {
    let mut bytes = GROUP_KEY_VERSION.to_be_bytes().to_vec();
    put_string(&mut bytes, group)?;
    Ok(bytes)
}

pub(crate) fn decode_key(bytes: &[u8]) -> Parsed<OffsetsKey> {
    let mut reader = ByteReader::new(bytes);
    let version = reader.i16()?;
    let mut fields = FieldReader::new(reader, false);
    let key = match version {
        0 | OFFSET_KEY_VERSION => OffsetsKey::Offset(OffsetKey {
            group: fields.string()?,
            topic: fields.string()?,
            partition: fields.bytes.non_negative_i32("negative partition")?,
        }),
        GROUP_KEY_VERSION => OffsetsKey::Group(fields.string()?),
        ..0 => {
            return Err(Invalid {
                at: 0,
                reason: "negative version of a key",
            });
        }
        unknown => return Ok(OffsetsKey::Unknown(unknown)),
    };
    fields.bytes.finish()?;
    Ok(key)
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetValue {
    /// The **next** offset to read.
    pub(crate) offset: u64,
    /// Leader epoch of the record before it; -1 if not known.
    pub(crate) leader_epoch: i32,
    /// The application's own note.
    pub(crate) metadata: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub(crate) commit_timestamp: i64,
}

impl OffsetValue {
    /// In version 3. Fails if the metadata is longer than 32,767 bytes or the offset than an `i64`.
    pub(crate) fn encode(&self) -> Parsed<Vec<u8>> {
        let mut bytes = Vec::with_capacity(24 + self.metadata.len());
        bytes.extend_from_slice(&OFFSET_VALUE_VERSION.to_be_bytes());
        let too_high = Invalid {
            at: bytes.len(),
            reason: "offset above 9223372036854775807",
        };
        let offset = i64::try_from(self.offset).map_err(|_| too_high)?;
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&self.leader_epoch.to_be_bytes());
        put_string(&mut bytes, &self.metadata)?;
        bytes.extend_from_slice(&self.commit_timestamp.to_be_bytes());
        Ok(bytes)
    }

    /// Reads versions 0 to 4. An explicit time of expiry, which version 1 may give, is left out.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let mut reader = ByteReader::new(bytes);
        let version = reader.i16()?;
        if !(0..=FLEXIBLE_OFFSET_VALUE_VERSION).contains(&version) {
            return Err(Invalid {
                at: 0,
                reason: "unknown version of a committed offset",
            });
        }
        let mut fields = FieldReader::new(reader, version >= FLEXIBLE_OFFSET_VALUE_VERSION);
        let offset = fields.bytes.non_negative_i64("negative committed offset")?;
        let leader_epoch = if version >= 3 {
            fields.bytes.i32()?
        } else {
            -1
        };
        let metadata = fields.string()?;
        let commit_timestamp = fields.bytes.i64()?;
        if version == 1 {
            let _expire_timestamp = fields.bytes.i64()?;
        }
        fields.end_structure()?;
        fields.bytes.finish()?;
        Ok(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp,
        })
    }
}

/// Which partition of `__consumer_offsets` a group lives in. `count` is the number of partitions;
/// of none there is only the answer 0.
pub(crate) fn partition_for(group: &str, count: u32) -> u32 {
    // Java's `abs` of the lowest number is negative; Kafka takes 0 then.
    let hash = java_string_hash(group).checked_abs().unwrap_or(0);
    hash.unsigned_abs().checked_rem(count).unwrap_or(0)
}

/// `String.hashCode` of Java, which goes over UTF-16 units.
pub(crate) fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const KEY: &[u8] = &[0, 1, 0, 2, b'g', b'1', 0, 3, b't', b'o', b'p', 0, 0, 0, 7];
    #[rustfmt::skip]
    const VALUE: &[u8] = &[
        0, 3,
        0, 0, 0, 0, 0, 0, 0, 42,
        0, 0, 0, 5,
        0, 2, b'm', b'd',
        0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00,
    ];

    fn key() -> OffsetKey {
        OffsetKey {
            group: "g1".to_owned(),
            topic: "top".to_owned(),
            partition: 7,
        }
    }

    fn value(leader_epoch: i32) -> OffsetValue {
        let metadata = "md".to_owned();
        OffsetValue {
            offset: 42,
            leader_epoch,
            metadata,
            commit_timestamp: 1_700_000_000_000,
        }
    }

    #[test]
    fn an_offset_key_is_group_topic_and_partition() {
        assert_eq!(key().encode().unwrap(), KEY);
        assert_eq!(decode_key(KEY), Ok(OffsetsKey::Offset(key())));
        let mut old = KEY.to_vec();
        old[1] = 0;
        assert_eq!(decode_key(&old), Ok(OffsetsKey::Offset(key())));
    }

    #[test]
    fn a_group_key_is_its_name() {
        let bytes = encode_group_key("g1").unwrap();
        assert_eq!(bytes, [0, 2, 0, 2, b'g', b'1']);
        assert_eq!(decode_key(&bytes), Ok(OffsetsKey::Group("g1".to_owned())));
    }

    #[test]
    fn a_key_of_a_newer_kind_is_known_as_such() {
        assert_eq!(decode_key(&[0, 3, 0xff]), Ok(OffsetsKey::Unknown(3)));
        assert!(decode_key(&[0xff, 0xff]).is_err());
    }

    #[test]
    fn keys_and_values_cut_anywhere_or_too_long_are_refused() {
        for len in 0..KEY.len() {
            assert!(decode_key(&KEY[..len]).is_err(), "key cut to {len}");
        }
        for len in 0..VALUE.len() {
            assert!(
                OffsetValue::decode(&VALUE[..len]).is_err(),
                "value cut to {len}"
            );
        }
        assert!(decode_key(&[KEY, &[0]].concat()).is_err());
        assert!(OffsetValue::decode(&[VALUE, &[0]].concat()).is_err());
    }

    #[test]
    fn numbers_that_may_not_be_negative_are_refused_both_ways() {
        let mut bytes = KEY.to_vec();
        bytes[11] = 0x80;
        assert_eq!(decode_key(&bytes).unwrap_err().at, 11);
        let mut bytes = VALUE.to_vec();
        bytes[2] = 0x80;
        assert_eq!(OffsetValue::decode(&bytes).unwrap_err().at, 2);
        assert!(
            OffsetKey {
                partition: u32::MAX,
                ..key()
            }
            .encode()
            .is_err()
        );
        assert!(
            OffsetValue {
                offset: u64::MAX,
                ..value(5)
            }
            .encode()
            .is_err()
        );
    }

    #[test]
    fn a_committed_offset_is_written_in_version_three() {
        assert_eq!(value(5).encode().unwrap(), VALUE);
        assert_eq!(OffsetValue::decode(VALUE), Ok(value(5)));
    }

    #[test]
    fn older_and_flexible_versions_of_a_committed_offset_are_read() {
        let (offset, metadata, time) = (&VALUE[2..10], &VALUE[14..18], &VALUE[18..26]);
        let expiry = [0x7f; 8];
        for (bytes, leader_epoch) in [
            ([&[0, 0], offset, metadata, time].concat(), -1),
            ([&[0, 1], offset, metadata, time, &expiry].concat(), -1),
            ([&[0, 2], offset, metadata, time].concat(), -1),
            ([&[0, 4], &VALUE[2..14], b"\x03md", time, &[0]].concat(), 5),
            (
                [&[0, 4], &VALUE[2..14], b"\x03md", time, &[1, 0, 2, 8, 8]].concat(),
                5,
            ),
        ] {
            assert_eq!(
                OffsetValue::decode(&bytes),
                Ok(value(leader_epoch)),
                "{bytes:?}"
            );
        }
        assert!(OffsetValue::decode(&[&[0, 5], &VALUE[2..]].concat()).is_err());
        assert!(OffsetValue::decode(&[&[0xff, 0xff], &VALUE[2..]].concat()).is_err());
    }

    #[test]
    fn hashes_are_javas() {
        // The values are those of Java's `"...".hashCode()`.
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("polygenelubricants", i32::MIN),
            ("\u{1f600}", 1_772_899),
        ] {
            assert_eq!(java_string_hash(text), hash, "{text:?}");
        }
    }

    #[test]
    fn a_group_lives_in_the_partition_that_kafka_looks_in() {
        assert_eq!(partition_for("hello", 50), 99_162_322 % 50);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("anything", 1), 0);
        assert_eq!(partition_for("anything", 0), 0);
    }
}
