//! Doors to the decoders of the small files, for the fuzz targets. Each takes any bytes and checks
//! two promises: no panic, and what was understood is written and read back the same.

#![expect(clippy::missing_panics_doc, reason = "panics are how these report")]

use super::checkpoint::{EpochCheckpoint, OffsetCheckpoint};
use super::group_record::GroupMetadata;
use super::index_entry::{AbortedTransaction, OffsetIndexEntry, TimeIndexEntry};
use super::manifest::Manifest;
use super::metadata::{MetaProperties, PartitionMetadata};
use super::offsets_record::{OffsetValue, OffsetsKey, decode_key, encode_group_key};
use super::{durable_end, producer_snapshot, seal, waypoint};

/// A file of `.index` entries.
pub fn offset_index(bytes: &[u8]) {
    for chunk in bytes.as_chunks::<{ OffsetIndexEntry::LEN }>().0 {
        if let Ok(entry) = OffsetIndexEntry::decode(chunk) {
            assert_eq!(entry.encode(), *chunk);
        }
    }
}

/// A file of `.timeindex` entries.
pub fn time_index(bytes: &[u8]) {
    for chunk in bytes.as_chunks::<{ TimeIndexEntry::LEN }>().0 {
        if let Ok(entry) = TimeIndexEntry::decode(chunk) {
            assert_eq!(entry.encode(), *chunk);
        }
    }
}

/// A file of `.txnindex` entries.
pub fn txn_index(bytes: &[u8]) {
    for chunk in bytes.as_chunks::<{ AbortedTransaction::LEN }>().0 {
        if let Ok(entry) = AbortedTransaction::decode(chunk) {
            assert_eq!(entry.encode(), *chunk);
        }
    }
}

/// A `.snapshot` file.
pub fn producer_snapshot(bytes: &[u8]) {
    if let Ok(entries) = producer_snapshot::decode(bytes) {
        assert_eq!(producer_snapshot::encode(&entries), bytes);
    }
}

/// An offset checkpoint file.
pub fn offset_checkpoint(bytes: &[u8]) {
    if let Ok(entries) = OffsetCheckpoint::decode(bytes) {
        let borrowed: Vec<_> = entries
            .iter()
            .map(|(topic, partition, offset)| (topic.as_str(), *partition, *offset))
            .collect();
        assert_eq!(
            OffsetCheckpoint::decode(&OffsetCheckpoint::encode(&borrowed)),
            Ok(entries)
        );
    }
}

/// A `leader-epoch-checkpoint` file.
pub fn epoch_checkpoint(bytes: &[u8]) {
    if let Ok(entries) = EpochCheckpoint::decode(bytes) {
        assert_eq!(
            EpochCheckpoint::decode(&EpochCheckpoint::encode(&entries)),
            Ok(entries)
        );
    }
}

/// A `partition.metadata` file.
pub fn partition_metadata(bytes: &[u8]) {
    if let Ok(metadata) = PartitionMetadata::decode(bytes) {
        assert_eq!(PartitionMetadata::decode(&metadata.encode()), Ok(metadata));
    }
}

/// A `meta.properties` file.
pub fn meta_properties(bytes: &[u8]) {
    if let Ok(properties) = MetaProperties::decode(bytes) {
        assert_eq!(MetaProperties::decode(&properties.encode()), Ok(properties));
    }
}

/// A `topics.manifest` file. Most inputs fail its checksum, so a right one is also put behind them.
pub fn manifest(bytes: &[u8]) {
    let summed = [
        bytes,
        format!("crc32 {:08x}\n", crc32fast::hash(bytes)).as_bytes(),
    ]
    .concat();
    for bytes in [bytes, &summed] {
        if let Ok(manifest) = Manifest::decode(bytes) {
            assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }
    }
}

/// A pair of slots of `durable-ends`.
pub fn durable_end(bytes: &[u8]) {
    if let Some((slot, index)) = durable_end::latest(bytes) {
        assert!(index < 2);
        assert_eq!(durable_end::decode(&durable_end::encode(&slot)), Some(slot));
    }
}

/// A `.seal` file.
pub fn seal(bytes: &[u8]) {
    if let Ok(seal) = seal::decode(bytes) {
        assert_eq!(seal::decode(&seal::encode(&seal)), Ok(seal));
    }
}

/// A `.waypoint` file, as it is and with its checksum made right.
pub fn waypoint(bytes: &[u8]) {
    let mut repaired = bytes.to_vec();
    repaired.extend(crc32fast::hash(bytes).to_be_bytes());
    for bytes in [bytes, &repaired] {
        if let Ok(waypoint) = waypoint::decode(bytes) {
            assert_eq!(waypoint::decode(&waypoint::encode(&waypoint)), Ok(waypoint));
        }
    }
}

/// The key of a record of `__consumer_offsets`.
pub fn offsets_key(bytes: &[u8]) {
    let Ok(key) = decode_key(bytes) else { return };
    let encoded = match &key {
        OffsetsKey::Offset(key) => key.encode(),
        OffsetsKey::Group(group) => encode_group_key(group),
        OffsetsKey::Unknown(_) => return,
    };
    assert_eq!(encoded.and_then(|bytes| decode_key(&bytes)), Ok(key));
}

/// The value of a record of `__consumer_offsets`, of either kind. The flexible form has room for
/// longer strings than the plain one that is written: those need not be read back.
pub fn offsets_value(bytes: &[u8]) {
    if let Ok(value) = OffsetValue::decode(bytes)
        && let Ok(encoded) = value.encode()
    {
        assert_eq!(OffsetValue::decode(&encoded), Ok(value));
    }
    if let Ok(group) = GroupMetadata::decode(bytes)
        && let Ok(encoded) = group.encode()
    {
        assert_eq!(GroupMetadata::decode(&encoded), Ok(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::random::Random;

    type Target = fn(&[u8]);

    /// Each door with bytes that are right, but for a checksum where there is one: that is what
    /// damage has to get past.
    fn targets() -> Vec<(Target, Vec<u8>)> {
        let manifest_lines = "streamlog-topics 1\nnext-producer-id 10\n\
            topic a%20b AAECAwQFBgcICQoLDA0ODw 3 adopted\n config k=v%0A\n start 2 5000\n";
        let properties = "#\nversion=1\ncluster.id=a\\:b\\u00e9\\\n c\nnode.id : 7\n";
        let group_value = b"\0\x04\x09consumer\0\0\0\x09\0\x03m1\0\0\0\0\0\0\0\x01\
            \x02\x03m1\x02i\x02c\x03/h\0\0\0\x01\0\0\0\x02\x02s\x01\0\x01\x05\x01!";
        let offset_value = b"\0\x04\0\0\0\0\0\0\0\x2a\0\0\0\x05\x03md\0\0\0\0\0\0\0\x01\0";
        vec![
            (offset_index, vec![0; 24]),
            (time_index, vec![0; 36]),
            (txn_index, vec![0; 68]),
            (producer_snapshot, producer_snapshot::encode(&[])),
            (
                offset_checkpoint,
                b"0\n2\na 0 1\nb 11 9223372036854775807\n".to_vec(),
            ),
            (epoch_checkpoint, b"0\n2\n0 0\n7 1042\n".to_vec()),
            (
                partition_metadata,
                b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw".to_vec(),
            ),
            (meta_properties, properties.as_bytes().to_vec()),
            (manifest, manifest_lines.as_bytes().to_vec()),
            (durable_end, vec![1; durable_end::PAIR_LEN]),
            (seal, vec![1; seal::SEAL_LEN]),
            (offsets_key, b"\0\x01\0\x02g1\0\x03top\0\0\0\x07".to_vec()),
            (offsets_key, b"\0\x02\0\x02g1".to_vec()),
            (offsets_value, offset_value.to_vec()),
            (offsets_value, group_value.to_vec()),
            (waypoint, vec![1; 200]),
        ]
    }

    #[test]
    fn damaged_files_keep_every_promise() {
        let targets = targets();
        for seed in 0..3_000 {
            let mut random = Random::new(seed);
            for (index, (target, bytes)) in targets.iter().enumerate() {
                let mut bytes = bytes.clone();
                for _ in 0..random.below(5) {
                    random.damage(&mut bytes);
                }
                println!("seed {seed}, target {index}"); // Shown if an assertion fails.
                target(&bytes);
            }
        }
    }

    #[test]
    fn the_undamaged_inputs_are_understood() {
        let targets = targets();
        let input = |index: usize| targets[index].1.as_slice();
        assert!(OffsetCheckpoint::decode(input(4)).is_ok());
        assert!(EpochCheckpoint::decode(input(5)).is_ok());
        assert!(PartitionMetadata::decode(input(6)).is_ok());
        assert!(MetaProperties::decode(input(7)).is_ok());
        assert!(decode_key(input(11)).is_ok());
        assert!(decode_key(input(12)).is_ok());
        assert!(OffsetValue::decode(input(13)).is_ok());
        assert!(GroupMetadata::decode(input(14)).is_ok());
    }
}
