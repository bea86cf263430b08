//! A disk that fails: every operation, in every way it can, once or for good.
//!
//! Method: workloads run on a simulated disk, and each of their disk operations is made to fail in turn
//! (`sweep`). What the calls answer is noted. Readers go on while the disk fails; afterwards, with a sound disk
//! again, in the same broker and in one that is opened after a close, a kill or a power loss, everything
//! acknowledged is there, nothing is there that nobody wrote, and what was begun is finished. The workloads:
//!
//! * `records`: appends, rolls, syncs, sends, commits, new topics, closes and opens
//! * `retention`: records that go, and their segments
//! * `topics`: made, altered, deleted, made again
//! * `compaction` and `checkpoint`
//!
//! The other tests look at single promises more closely: `single`, and `unfinished` for what a failure left.

mod checkpoint;
mod compaction;
mod fates;
mod kind;
mod promise;
mod records;
mod retention;
mod single;
mod sweep;
mod table;
mod topics;
mod traces;
mod unfinished;
