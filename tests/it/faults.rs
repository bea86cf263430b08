//! A disk that fails: every operation, in every way it can, once or for good.
//!
//! Method: a workload of appends, rolls, syncs, sends, commits, new topics and a close runs on a
//! simulated disk. Each of its disk operations is made to fail in turn (`sweep`). What the calls answer
//! is noted; afterwards, with a sound disk again, everything acknowledged is there, nothing is there
//! that nobody wrote, and the broker goes on. The other tests look at single promises more closely.

mod checkpoint;
mod compaction;
mod kind;
mod promise;
mod records;
mod retention;
mod single;
mod sweep;
mod table;
mod traces;
mod unfinished;
