//! Consumer groups: who is in them, and how far they have come.

pub(crate) mod assignor;
pub(crate) mod members;
mod offset_log;
pub(crate) mod offsets;
#[cfg(test)]
mod tests;
