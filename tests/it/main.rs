//! What streamlog promises, one module per promise, through its public API alone.

mod crash;
mod kill;
mod model;
mod random;
