//! What streamlog promises, one module per promise, through its public API alone.

#![allow(
    unreachable_pub,
    reason = "modules of one test binary share items by `pub`"
)]

mod crash;
mod damage;
mod faults;
mod flips;
mod lifecycle;
mod rolling;
mod support;
