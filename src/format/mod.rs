//! Byte layouts: the only code that knows them. Bytes in, values out; no files, no clock.
//!
//! Record batches: [`batch`] is the header and the builder, [`record`] what lies between headers,
//! [`control`] the markers that end transactions; [`compression`], [`varint`] and [`crc`] serve
//! them: Kafka's message format v2 (`magic` 2). All integers are big-endian.
//!
//! Files beside the log: [`index_entry`], [`producer_snapshot`], [`checkpoint`] and [`metadata`] are
//! Kafka's; [`manifest`], [`durable_end`], [`seal`], [`stage`] and [`waypoint`] are ours. Records of coordinators:
//! [`offsets_record`], [`group_record`]. `docs/format.md` has them all in one place.
//!
//! Decoders take any bytes: they never panic, never allocate more than their limit, and say with
//! [`Invalid`] where the bytes contradict the format. Encoders write what Kafka's own tools accept.
//!
//! Elsewhere: which file and position bytes come from, and what to do about damage (`log`).

pub(crate) mod batch;
mod byte_reader;
pub(crate) mod checkpoint;
pub(crate) mod compression;
pub(crate) mod control;
mod crc;
#[cfg(test)]
mod document;
pub(crate) mod durable_end;
#[cfg(any(test, feature = "__fuzzing"))]
pub mod fuzzing;
#[cfg(any(test, feature = "__fuzzing"))]
mod fuzzing_files;
pub(crate) mod group_record;
pub(crate) mod index_entry;
pub(crate) mod manifest;
pub(crate) mod metadata;
pub(crate) mod offsets_record;
pub(crate) mod producer_snapshot;
mod properties;
#[cfg(test)]
pub(crate) mod random;
pub(crate) mod record;
mod schema;
pub(crate) mod seal;
pub(crate) mod stage;
mod text;
pub(crate) mod topic_id;
pub(crate) mod varint;
#[cfg(test)]
mod vectors;
pub(crate) mod waypoint;

pub use batch::TimestampType;
pub use compression::Compression;

/// Bytes that contradict the format: where (byte position inside the slice looked at) and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Byte position, from the start of what was given.
    pub(crate) at: usize,
    /// The rule that is broken.
    pub(crate) reason: &'static str,
}

/// What every decoder of this module returns.
pub(crate) type Parsed<T> = Result<T, Invalid>;
