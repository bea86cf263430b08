//! Consumer groups: who is in them, and how far they have come.

pub(crate) mod members;
pub(crate) mod offsets;
