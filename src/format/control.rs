//! Control batches: the markers that end transactions.
//!
//! A marker is a batch of one record with the transactional and control bits set, the producer's id
//! and epoch, and no sequence number. Its key is a version and a type, its value a version and the
//! epoch of the transaction coordinator. Newer versions only append fields, so longer keys and
//! values are accepted. Types other than abort and commit belong to Kafka's own cluster (`KRaft`);
//! readers skip them.

use super::batch::{Attributes, BatchHeader, HEADER_LEN};
use super::record::Encoding;
use super::{Invalid, Parsed};
use crate::record::Headers;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const VERSION: i16 = 0;
/// Header, the record's seven bytes of frame, key, value.
const MARKER_LEN: u32 = 61 + 7 + 4 + 6;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    Abort,
    Commit,
}

/// What the one record of a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlMarker {
    pub(crate) kind: MarkerKind,
    /// Of the coordinator that wrote the marker; it fences older ones.
    pub(crate) coordinator_epoch: i32,
}

impl ControlMarker {
    /// Reads the key and value of a control record; `None` if its type is to be skipped.
    pub(crate) fn parse(key: Option<&[u8]>, value: Option<&[u8]>) -> Parsed<Option<Self>> {
        let kind = key
            .and_then(<[u8]>::first_chunk)
            .filter(|&&[a, b, ..]: &&[u8; 4]| i16::from_be_bytes([a, b]) >= 0)
            .map(|&[_, _, c, d]| i16::from_be_bytes([c, d]))
            .ok_or(Invalid {
                at: 0,
                reason: "control key is too short or of a negative version",
            })?;
        let kind = match kind {
            ABORT => MarkerKind::Abort,
            COMMIT => MarkerKind::Commit,
            _ => return Ok(None),
        };
        let coordinator_epoch = value
            .and_then(<[u8]>::first_chunk)
            .filter(|&&[a, b, ..]: &&[u8; 6]| i16::from_be_bytes([a, b]) >= 0)
            .map(|&[_, _, c, d, e, f]| i32::from_be_bytes([c, d, e, f]))
            .ok_or(Invalid {
                at: 0,
                reason: "control value is too short or of a negative version",
            })?;
        Ok(Some(Self {
            kind,
            coordinator_epoch,
        }))
    }

    fn key(self) -> [u8; 4] {
        let kind = match self.kind {
            MarkerKind::Abort => ABORT,
            MarkerKind::Commit => COMMIT,
        };
        versioned(kind.to_be_bytes())
    }

    fn value(self) -> [u8; 6] {
        versioned(self.coordinator_epoch.to_be_bytes())
    }
}

/// Puts the version, two bytes, before a field.
fn versioned<const N: usize, const M: usize>(field: [u8; N]) -> [u8; M] {
    const { assert!(N + 2 == M) };
    let mut bytes = [0; M];
    bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
    bytes[2..].copy_from_slice(&field);
    bytes
}

/// The batch that ends a transaction of this producer, with base offset 0 and leader epoch -1, which
/// are the log's to set.
#[allow(dead_code, reason = "for transactions")]
pub(crate) fn marker(
    kind: MarkerKind,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Vec<u8> {
    let marker = ControlMarker {
        kind,
        coordinator_epoch,
    };
    let (key, value, headers) = (marker.key(), marker.value(), Headers::default());
    let record = Encoding::new(0, 0, Some(&key), Some(&value), &headers);
    let mut batch = vec![0; HEADER_LEN + record.size()];
    record.write(&mut batch[HEADER_LEN..]);
    BatchHeader {
        base_offset: 0,
        size: MARKER_LEN,
        leader_epoch: -1,
        crc: 0,
        attributes: Attributes::CONTROL_BATCH,
        last_offset_delta: 0,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        records_count: 1,
    }
    .write_over(&mut batch);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::BatchView;
    use crate::format::record::{check_records, read_record};

    #[test]
    fn a_marker_reads_back_as_it_was_written() {
        for kind in [MarkerKind::Abort, MarkerKind::Commit] {
            let bytes = marker(kind, 9_001, 3, i32::MAX, 1_700_000_000_000);
            let batch = BatchView::parse(&bytes).unwrap();
            let header = batch.header();
            batch.check_crc().unwrap();
            check_records(batch.records_bytes(), header).unwrap();
            assert_eq!(batch.bytes().len(), bytes.len());
            assert!(header.attributes.is_control() && header.attributes.is_transactional());
            assert_eq!(
                (
                    header.producer_id,
                    header.producer_epoch,
                    header.last_sequence()
                ),
                (9_001, 3, -1)
            );
            assert_eq!(
                (header.base_timestamp, header.max_timestamp),
                (1_700_000_000_000, 1_700_000_000_000)
            );

            let record = read_record(batch.records_bytes(), &mut 0).unwrap();
            let read = ControlMarker::parse(record.key, record.value).unwrap();
            assert_eq!(
                read,
                Some(ControlMarker {
                    kind,
                    coordinator_epoch: i32::MAX
                })
            );
        }
    }

    #[test]
    fn newer_markers_may_be_longer() {
        let commit = Some(ControlMarker {
            kind: MarkerKind::Commit,
            coordinator_epoch: 7,
        });
        let value = [0, 9, 0, 0, 0, 7, 0xff];
        assert_eq!(
            ControlMarker::parse(Some(&[0, 5, 0, 1, 0xff]), Some(&value)),
            Ok(commit)
        );
    }

    #[test]
    fn other_control_types_are_skipped() {
        for kind in [2, 6, 255] {
            assert_eq!(ControlMarker::parse(Some(&[0, 0, 0, kind]), None), Ok(None));
        }
    }

    #[test]
    fn short_keys_short_values_and_negative_versions_are_refused() {
        let (key, value) = ([0, 0, 0, 1], [0, 0, 0, 0, 0, 7]);
        for end in 0..key.len() {
            assert!(ControlMarker::parse(Some(&key[..end]), Some(&value)).is_err());
        }
        for end in 0..value.len() {
            assert!(ControlMarker::parse(Some(&key), Some(&value[..end])).is_err());
        }
        assert!(ControlMarker::parse(None, Some(&value)).is_err());
        assert!(ControlMarker::parse(Some(&key), None).is_err());
        assert!(ControlMarker::parse(Some(&[0xff, 0xff, 0, 1]), Some(&value)).is_err());
        assert!(ControlMarker::parse(Some(&key), Some(&[0x80, 0, 0, 0, 0, 7])).is_err());
    }
}
