//! What streamlog promises, one module per promise, through its public API alone.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "modules of one test binary share items by `pub`, and a helper that fails fails its test"
)]

mod administration;
mod api;
mod budget;
mod calls;
mod cases;
mod checkpoint;
mod compaction;
mod concurrency;
mod crash;
mod damage;
mod doctor;
mod examples;
mod faults;
mod flips;
mod groups;
mod kill;
mod lifecycle;
mod limits;
mod model;
mod opening;
mod random;
mod removal;
mod retention;
mod rolling;
mod small_disk;
mod support;
mod tables;
mod zeros;
