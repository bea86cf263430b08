//! What is configured is what is in force, whatever happens to the process; what tools are told is true.

mod configs;
mod descriptions;
mod topics;
