//! Kafka's small identity files: `partition.metadata`, `meta.properties`, `.kafka_cleanshutdown`.
//!
//! They make a directory one that Kafka's tools accept. None of them holds anything that cannot be
//! had from the manifest.

use super::text::{Line, lines, number, utf8};
use super::{Invalid, Parsed, properties};

pub(crate) use super::topic_id::TopicId;

/// `partition.metadata`: whose topic's partition the directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) topic_id: TopicId,
}

impl PartitionMetadata {
    /// The whole file. Like Kafka's it does not end with a line end.
    pub(crate) fn encode(self) -> Vec<u8> {
        format!("version: 0\ntopic_id: {}", self.topic_id).into_bytes()
    }

    /// Fails on another version and, as Kafka does, on an id of zeros.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let mut lines = lines(utf8(bytes)?);
        let missing = Line {
            at: bytes.len(),
            text: "",
        };
        let version = lines.next().unwrap_or(missing);
        if field(version, "version") != Some("0") {
            return version.invalid("unknown version of partition metadata");
        }
        let id = lines.next().unwrap_or(missing);
        let topic_id = field(id, "topic_id").and_then(|text| text.parse().ok());
        match (topic_id, lines.next()) {
            (_, Some(more)) => more.invalid("more than two lines of partition metadata"),
            (Some(topic_id), None) if topic_id != TopicId::ZERO => Ok(Self { topic_id }),
            _ => id.invalid("no topic id in partition metadata"),
        }
    }
}

/// What follows `name:` and blanks.
fn field<'a>(line: Line<'a>, name: &str) -> Option<&'a str> {
    let value = line.text.strip_prefix(name)?.strip_prefix(':')?;
    let trimmed = value.trim_start_matches(' ');
    (trimmed.len() < value.len()).then_some(trimmed)
}

/// `meta.properties`: which cluster and node the data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "they are called so in the file")]
pub(crate) struct MetaProperties {
    pub(crate) cluster_id: Option<String>,
    /// `node.id`; `broker.id` in files of version 0.
    pub(crate) node_id: Option<u32>,
    /// Of the directory, so that Kafka notices when two are swapped.
    pub(crate) directory_id: Option<TopicId>,
}

impl MetaProperties {
    /// The whole file, always in version 1.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = String::from("#\n");
        properties::encode_line(&mut text, "version", "1");
        if let Some(cluster_id) = &self.cluster_id {
            properties::encode_line(&mut text, "cluster.id", cluster_id);
        }
        if let Some(node_id) = self.node_id {
            properties::encode_line(&mut text, "node.id", &node_id.to_string());
        }
        if let Some(directory_id) = self.directory_id {
            properties::encode_line(&mut text, "directory.id", &directory_id.to_string());
        }
        text.into_bytes()
    }

    /// Keys may be in any order, unknown ones are passed over, and of repeated ones the last
    /// counts, as for Java.
    pub(crate) fn decode(bytes: &[u8]) -> Parsed<Self> {
        let entries = properties::decode(bytes)?;
        let value = |key| {
            entries
                .iter()
                .rfind(|(found, _)| found == key)
                .map(|(_, value)| value.trim())
        };
        let node_key = match value("version") {
            Some("1") => "node.id",
            Some("0") => "broker.id",
            _ => return invalid("unknown version of meta.properties"),
        };
        let node_id = match value(node_key) {
            None => None,
            Some(text) => match number::<i32>(text) {
                Some(node) => Some(node.unsigned_abs()),
                None => return invalid("node id in meta.properties is not a number"),
            },
        };
        let directory_id = match value("directory.id").map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return invalid("directory id in meta.properties is not an id"),
        };
        Ok(Self {
            cluster_id: value("cluster.id").map(str::to_owned),
            node_id,
            directory_id,
        })
    }
}

/// The properties are found by name, so there is no better position than the file's start.
fn invalid<T>(reason: &'static str) -> Parsed<T> {
    Err(Invalid { at: 0, reason })
}

/// `.kafka_cleanshutdown`: that it is there is what counts; Kafka also reads which broker epoch
/// (here: none) the directory was closed in.
pub(crate) fn encode_clean_shutdown() -> &'static [u8] {
    br#"{"version":0,"brokerEpoch":-1}"#
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TopicId = TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    #[test]
    fn partition_metadata_is_two_lines_without_a_last_line_end() {
        let bytes = PartitionMetadata { topic_id: ID }.encode();
        assert_eq!(bytes, b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(
            PartitionMetadata::decode(&bytes),
            Ok(PartitionMetadata { topic_id: ID })
        );
        let with_end = [&bytes[..], b"\n"].concat();
        assert!(PartitionMetadata::decode(&with_end).is_ok());
    }

    #[test]
    fn partition_metadata_cut_anywhere_is_refused() {
        let bytes = PartitionMetadata { topic_id: ID }.encode();
        for len in 0..bytes.len() {
            assert!(
                PartitionMetadata::decode(&bytes[..len]).is_err(),
                "cut to {len}"
            );
        }
    }

    #[test]
    fn partition_metadata_without_a_real_id_or_of_another_version_is_refused() {
        for text in [
            "version: 1\ntopic_id: AAECAwQFBgcICQoLDA0ODw",
            "version:0\ntopic_id: AAECAwQFBgcICQoLDA0ODw",
            "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0OD",
            "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw\nmore: 1",
        ] {
            assert!(
                PartitionMetadata::decode(text.as_bytes()).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn meta_properties_are_written_in_version_one_and_read_back() {
        let properties = MetaProperties {
            cluster_id: Some(ID.to_string()),
            node_id: Some(1),
            directory_id: Some(ID),
        };
        let bytes = properties.encode();
        let expected = "#\nversion=1\ncluster.id=AAECAwQFBgcICQoLDA0ODw\nnode.id=1\n\
                        directory.id=AAECAwQFBgcICQoLDA0ODw\n";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(MetaProperties::decode(&bytes), Ok(properties));
    }

    #[test]
    fn meta_properties_by_other_hands_are_read_whatever_their_order_and_comments() {
        let text = b"#\n#Tue Nov 14 22:13:20 UTC 2023\nnode.id : 3\nfuture.key=x\r\n\
                     cluster.id=a\\:b\nversion = 1\n";
        let expected = MetaProperties {
            cluster_id: Some("a:b".to_owned()),
            node_id: Some(3),
            directory_id: None,
        };
        assert_eq!(MetaProperties::decode(text), Ok(expected));
    }

    #[test]
    fn meta_properties_of_version_zero_name_the_broker() {
        let read = MetaProperties::decode(b"version=0\nbroker.id=7\nnode.id=9\n").unwrap();
        assert_eq!(
            read,
            MetaProperties {
                cluster_id: None,
                node_id: Some(7),
                directory_id: None
            }
        );
    }

    #[test]
    fn meta_properties_without_sense_are_refused() {
        for text in [
            "",
            "version=2\nnode.id=1",
            "node.id=1",
            "version=1\nnode.id=one",
            "version=1\nnode.id=-1",
            "version=1\nnode.id=99999999999",
            "version=1\ndirectory.id=short",
            "version=\\u1",
        ] {
            assert!(MetaProperties::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
