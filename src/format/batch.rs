//! Record batch v2.

/// The 61 bytes before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {}
