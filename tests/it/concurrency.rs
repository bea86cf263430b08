//! Many threads at once: order, visibility, wake-ups, and shutting down under load.
//!
//! Threads meet at barriers and wait for each other's effects, never for time to pass. A time limit
//! that is reached is a lost wake-up: it is long, so that a busy machine does not reach it.

mod closing;
mod traffic;
mod waking;

use std::time::Duration;

/// Nothing here takes this long unless something hangs.
const LONG: Duration = Duration::from_secs(60);
