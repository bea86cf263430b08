//! Consumer groups: who is in them, how far they have come, and looking after them.
//!
//! ```text
//!   commit, fetch ─▶ offsets ─▶ offset_log: one partition of `__consumer_offsets`, in memory
//!   ConsumerGroup: handle ─▶ admin: list, delete │ reset: where to │ description: what there is
//!   housekeeping ─▶ expiry: forgets what nobody uses
//! ```

mod admin;
pub(crate) mod assignor;
pub(crate) mod description;
mod expiry;
mod handle;
pub(crate) mod members;
mod offset_log;
pub(crate) mod offsets;
mod replay;
mod reset;
mod stored;
#[cfg(test)]
mod tests;

pub use description::{GroupDescription, GroupListing, GroupOffset, GroupState, MemberDescription};
pub use handle::ConsumerGroup;
pub use reset::{Clamped, OffsetReset, ResetOffset};
