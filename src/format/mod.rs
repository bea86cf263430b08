//! Byte layouts: the only code that knows them. Bytes in, values out; no files, no clock.
//!
//! Record batches: [`batch`] is the header and the builder, [`record`] what lies between headers,
//! [`control`] the markers that end transactions; [`compression`], [`varint`] and [`crc`] serve
//! them. Everything here is Kafka's message format v2 (`magic` 2), big-endian.
//!
//! Decoders take any bytes: they never panic, never allocate more than their limit, and say with
//! [`Invalid`] where the bytes contradict the format. Encoders write what Kafka's own tools accept.
//!
//! Elsewhere: which file and position bytes come from, and what to do about damage (`log`).

pub(crate) mod batch;
pub(crate) mod compression;
pub(crate) mod control;
mod crc;
pub(crate) mod record;
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
