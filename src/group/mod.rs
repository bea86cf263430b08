//! Consumer groups: who is in them, how far they have come, and looking after them.
//!
//! ```text
//!   commit, fetch ─▶ offsets ─▶ offset_log: one partition of `__consumer_offsets`, in memory
//!   housekeeping ─▶ expiry: forgets what nobody uses
//! ```

pub(crate) mod assignor;
mod admin;
mod expiry;
pub(crate) mod members;
mod offset_log;
pub(crate) mod offsets;
mod replay;
mod stored;
#[cfg(test)]
mod tests;
