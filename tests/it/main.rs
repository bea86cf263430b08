//! What streamlog promises, one module per promise, through its public API alone.

mod api;
mod crash;
mod examples;
mod kill;
mod model;
mod random;
