//! Control batches: the markers that end transactions.

use super::Parsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkerKind {
    Abort,
    Commit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlMarker {
    pub(crate) kind: MarkerKind,
    pub(crate) coordinator_epoch: i32,
}

impl ControlMarker {
    /// `None` for control records of other types, which readers skip.
    pub(crate) fn parse(_key: Option<&[u8]>, _value: Option<&[u8]>) -> Parsed<Option<Self>> {
        todo!()
    }
}

pub(crate) fn marker(
    _kind: MarkerKind,
    _producer_id: i64,
    _producer_epoch: i16,
    _coordinator_epoch: i32,
    _timestamp: i64,
) -> Vec<u8> {
    todo!()
}
