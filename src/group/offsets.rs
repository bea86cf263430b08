//! Committed offsets.

/// Committed offsets of all groups, kept in `__consumer_offsets`.
#[derive(Debug)]
pub(crate) struct OffsetStore {}
