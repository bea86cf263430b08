//! Byte layouts: the only code that knows them. Bytes in, values out; no files.

pub(crate) mod batch;
mod byte_reader;
pub(crate) mod checkpoint;
pub(crate) mod durable_end;
#[cfg(feature = "__fuzzing")]
pub mod fuzzing_files;
pub(crate) mod group_record;
pub(crate) mod index_entry;
pub(crate) mod manifest;
pub(crate) mod metadata;
pub(crate) mod offsets_record;
pub(crate) mod producer_snapshot;
mod properties;
mod schema;
pub(crate) mod seal;
mod text;
pub(crate) mod topic_id;

/// Why bytes do not follow their format, and where that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Byte position, from the start of what was given.
    pub(crate) at: usize,
    /// The rule that is broken.
    pub(crate) reason: &'static str,
}

/// What decoders return.
pub(crate) type Parsed<T> = Result<T, Invalid>;
