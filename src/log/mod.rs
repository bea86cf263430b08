//! The log of one partition.

pub(crate) mod producer_state;
