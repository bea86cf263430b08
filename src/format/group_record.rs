//! The state of a group in `__consumer_offsets`, as Kafka's classic groups store it.
//!
//! Kafka writes it when an assignment is complete, so that members find it after a restart; ours names no
//! members. What a member subscribes to and was assigned are the client's own bytes, and stay closed
//! here.

use super::byte_reader::ByteReader;
use super::schema::{FieldReader, put_byte_string, put_len, put_nullable_string, put_string};
use super::{Invalid, Parsed};

const VERSION: i16 = 3;
/// From this version on, values have the flexible form.
const FLEXIBLE_VERSION: i16 = 4;
/// No version has a member in fewer bytes: four lengths of one byte, and the session time-out.
const SMALLEST_MEMBER: usize = 8;

/// The value of a group's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMetadata {
    /// `consumer`; empty for groups that only commit offsets.
    pub(crate) protocol_type: String,
    /// Rises with every rebalance.
    pub(crate) generation: i32,
    /// Name of the assignor; none while the group is empty.
    pub(crate) protocol: Option<String>,
    /// Member id of the one that ran the assignor.
    pub(crate) leader: Option<String>,
    /// Since when the group is in its state, in milliseconds since the Unix epoch; -1 if not known.
    pub(crate) current_state_timestamp: i64,
    pub(crate) members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMember {
    pub(crate) member_id: String,
    /// `group.instance.id` of a static member.
    pub(crate) group_instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// In milliseconds; -1 if not known.
    pub(crate) rebalance_timeout: i32,
    /// In milliseconds.
    pub(crate) session_timeout: i32,
    pub(crate) subscription: Vec<u8>,
    pub(crate) assignment: Vec<u8>,
}

impl GroupMetadata {
    /// In version 3. Fails if a string is longer than 32,767 bytes.
    pub(crate) fn encode(&self) -> Parsed<Vec<u8>> {
        let mut bytes = VERSION.to_be_bytes().to_vec();
        put_string(&mut bytes, &self.protocol_type)?;
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        put_nullable_string(&mut bytes, self.protocol.as_deref())?;
        put_nullable_string(&mut bytes, self.leader.as_deref())?;
        bytes.extend_from_slice(&self.current_state_timestamp.to_be_bytes());
        put_len(&mut bytes, self.members.len())?;
        for member in &self.members {
            member.encode(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Reads versions 0 to 4.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let mut reader = ByteReader::new(bytes);
        let version = reader.i16()?;
        if !(0..=FLEXIBLE_VERSION).contains(&version) {
            return Err(Invalid {
                at: 0,
                reason: "unknown version of a group's state",
            });
        }
        let mut fields = FieldReader::new(reader, version >= FLEXIBLE_VERSION);
        let mut group = Self {
            protocol_type: fields.string()?,
            generation: fields.bytes.i32()?,
            protocol: fields.nullable_string()?,
            leader: fields.nullable_string()?,
            current_state_timestamp: if version >= 2 {
                fields.bytes.i64()?
            } else {
                -1
            },
            members: Vec::new(),
        };
        for _ in 0..fields.array_len(SMALLEST_MEMBER)? {
            group
                .members
                .push(GroupMember::decode(&mut fields, version)?);
        }
        fields.end_structure()?;
        fields.bytes.finish()?;
        Ok(group)
    }
}

impl GroupMember {
    fn encode(&self, bytes: &mut Vec<u8>) -> Parsed<()> {
        put_string(bytes, &self.member_id)?;
        put_nullable_string(bytes, self.group_instance_id.as_deref())?;
        put_string(bytes, &self.client_id)?;
        put_string(bytes, &self.client_host)?;
        bytes.extend_from_slice(&self.rebalance_timeout.to_be_bytes());
        bytes.extend_from_slice(&self.session_timeout.to_be_bytes());
        put_byte_string(bytes, &self.subscription)?;
        put_byte_string(bytes, &self.assignment)
    }

    fn decode(fields: &mut FieldReader<'_>, version: i16) -> Parsed<Self> {
        let member = Self {
            member_id: fields.string()?,
            group_instance_id: if version >= 3 {
                fields.nullable_string()?
            } else {
                None
            },
            client_id: fields.string()?,
            client_host: fields.string()?,
            rebalance_timeout: if version >= 1 {
                fields.bytes.i32()?
            } else {
                -1
            },
            session_timeout: fields.bytes.i32()?,
            subscription: fields.byte_string()?,
            assignment: fields.byte_string()?,
        };
        fields.end_structure()?;
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\0\x08consumer\0\0\0\x09\0\x05range\0\x02m1";
    const TIME: &[u8] = &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00];

    fn group(timestamp: i64, instance: Option<&str>, rebalance_timeout: i32) -> GroupMetadata {
        let member = GroupMember {
            member_id: "m1".to_owned(),
            group_instance_id: instance.map(str::to_owned),
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout,
            session_timeout: 45_000,
            subscription: vec![1, 2],
            assignment: vec![],
        };
        GroupMetadata {
            protocol_type: "consumer".to_owned(),
            generation: 9,
            protocol: Some("range".to_owned()),
            leader: Some("m1".to_owned()),
            current_state_timestamp: timestamp,
            members: vec![member],
        }
    }

    fn member(version: i16) -> Vec<u8> {
        let instance: &[u8] = if version >= 3 { b"\0\x01i" } else { b"" };
        let rebalance: &[u8] = if version >= 1 { b"\0\x04\x93\xe0" } else { b"" };
        let name = b"\0\0\0\x01\0\x02m1";
        let rest = b"\0\0\xaf\xc8\0\0\0\x02\x01\x02\0\0\0\0";
        [name, instance, b"\0\x01c\0\x02/h", rebalance, rest].concat()
    }

    #[test]
    fn a_groups_state_is_written_in_version_three() {
        let group = group(1_700_000_000_000, Some("i"), 300_000);
        let bytes = [b"\0\x03", HEAD, TIME, &member(3)].concat();
        assert_eq!(group.encode().unwrap(), bytes);
        assert_eq!(GroupMetadata::decode(&bytes), Ok(group));
    }

    #[test]
    fn older_and_flexible_versions_are_read() {
        let read = |parts: &[&[u8]]| GroupMetadata::decode(&parts.concat());
        assert_eq!(read(&[b"\0\0", HEAD, &member(0)]), Ok(group(-1, None, -1)));
        assert_eq!(
            read(&[b"\0\x01", HEAD, &member(1)]),
            Ok(group(-1, None, 300_000))
        );
        let time = 1_700_000_000_000;
        assert_eq!(
            read(&[b"\0\x02", HEAD, TIME, &member(2)]),
            Ok(group(time, None, 300_000))
        );
        let head = b"\x09consumer\0\0\0\x09\x06range\x03m1";
        let member = b"\x02\x03m1\x02i\x02c\x03/h\0\x04\x93\xe0\0\0\xaf\xc8\x03\x01\x02\x01\0";
        assert_eq!(
            read(&[b"\0\x04", head, TIME, member, &[0]]),
            Ok(group(time, Some("i"), 300_000))
        );
    }

    #[test]
    fn an_empty_group_has_no_protocol_and_no_leader() {
        let empty = GroupMetadata {
            protocol: None,
            leader: None,
            members: vec![],
            ..group(-1, None, 0)
        };
        assert_eq!(GroupMetadata::decode(&empty.encode().unwrap()), Ok(empty));
    }

    #[test]
    fn a_state_cut_anywhere_or_too_long_is_refused() {
        let bytes = group(0, Some("i"), 1).encode().unwrap();
        for len in 0..bytes.len() {
            assert!(
                GroupMetadata::decode(&bytes[..len]).is_err(),
                "cut to {len}"
            );
        }
        assert!(GroupMetadata::decode(&[&bytes[..], &[0]].concat()).is_err());
        for version in [-1_i16, 5, i16::MAX] {
            let other = [&version.to_be_bytes(), &bytes[2..]].concat();
            assert!(GroupMetadata::decode(&other).is_err(), "version {version}");
        }
    }

    #[test]
    fn a_count_of_members_that_cannot_be_there_is_refused() {
        let many = [b"\0\x03", HEAD, TIME, &[0x7f, 0xff, 0xff, 0xff], &[0; 64]].concat();
        assert!(GroupMetadata::decode(&many).is_err());
        let null = [b"\0\x03", HEAD, TIME, &[0xff; 4]].concat();
        assert!(GroupMetadata::decode(&null).is_err());
    }
}
