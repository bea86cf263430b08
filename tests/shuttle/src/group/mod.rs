//! The crate's own files.

#[path = "../../../../src/group/assignor/mod.rs"]
pub(crate) mod assignor;
#[path = "../../../../src/group/coordinator.rs"]
pub(crate) mod coordinator;
#[path = "../../../../src/group/member.rs"]
mod member;
#[path = "../../../../src/group/signal.rs"]
pub(crate) mod signal;
#[path = "../../../../src/group/state.rs"]
pub(crate) mod state;
#[path = "../../../../src/group/step.rs"]
mod step;
#[path = "../../../../src/group/topics.rs"]
mod topics;
