//! Tables in logs: compaction and retention under random work, against a map and a list.
//!
//! ```text
//!   operations ─▶ world: a broker, and beside it all that was ever written (history)
//!                   │
//!   four readers ───┴─▶ is each record what was written at its offset? was one skipped that has to be there?
//!                       is the last of each key, at the end, the latest?
//! ```
//! The readers: one from the earliest record to the end, again and again; one at the end; one that jumps, by
//! offset and by time; and a consumer of a group that commits.
//!
//! In `alone` readers run between operations of one thread, so that a seed repeats its case exactly; at the
//! end, a bit is flipped in a copy (`flips`). In `together` they are threads, beside the broker's own, one that
//! verifies all the time, and one that takes copies of the disk, as kills at that moment would leave it.

mod alone;
mod flips;
mod follower;
mod history;
mod member;
mod together;
mod world;

/// What is wrong is the error.
type Check = Result<(), String>;

macro_rules! require {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
use require;

#[test]
fn random_operations_on_tables_agree_with_a_map_and_a_list() {
    crate::cases::check(3_000, alone::operations, alone::run);
}
