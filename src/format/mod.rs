//! Byte layouts: the only code that knows them. Bytes in, values out; no files, no clock.

pub(crate) mod batch;
mod byte_reader;
pub(crate) mod checkpoint;
pub(crate) mod compression;
pub(crate) mod control;
mod crc;
pub(crate) mod durable_end;
pub(crate) mod group_record;
pub(crate) mod index_entry;
pub(crate) mod manifest;
pub(crate) mod metadata;
pub(crate) mod offsets_record;
pub(crate) mod producer_snapshot;
mod properties;
pub(crate) mod record;
mod schema;
pub(crate) mod seal;
mod text;
pub(crate) mod topic_id;
pub(crate) mod varint;

pub use batch::TimestampType;
pub use compression::Compression;

/// Bytes that contradict the format: where (byte position inside the slice looked at) and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) at: usize,
    pub(crate) reason: &'static str,
}

/// What every decoder of this module returns.
pub(crate) type Parsed<T> = Result<T, Invalid>;
