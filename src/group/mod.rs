//! Consumer groups: who is in them, who owns which partition, how far they have come.
//!
//! ```text
//!   consumer ─▶ coordinator: members, locks ─▶ state: targets, owners ─▶ assignor
//!            ◀─ signal: news, without a lock
//!   commit ─▶ coordinator: is it the owner? ─▶ offsets ─▶ offset_log: one partition of
//!                                                         `__consumer_offsets`, in memory
//!   ConsumerGroup: handle ─▶ admin: list, delete │ reset: where to │ description: what there is
//!   housekeeping ─▶ expiry: forgets what nobody uses, and removes members that are late
//! ```

mod admin;
pub(crate) mod assignor;
pub(crate) mod commit;
mod consumed;
pub(crate) mod coordinator;
pub(crate) mod description;
mod expiry;
mod handle;
mod member;
mod offset_log;
pub(crate) mod offsets;
mod replay;
mod reset;
pub(crate) mod signal;
pub(crate) mod state;
mod step;
mod stored;
#[cfg(test)]
mod tests;
mod topics;
pub(crate) mod verify;

pub use description::{GroupDescription, GroupListing, GroupOffset, GroupState, MemberDescription};
pub use handle::ConsumerGroup;
pub use reset::{Clamped, OffsetReset, ResetOffset};
