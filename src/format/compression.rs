//! Compression of the records section of a batch.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How batches are compressed (`compression.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Topics only, and their default: batches stay as their producer compressed them. For a
    /// producer it means the same as [`None`](Self::None).
    Producer,
    /// Not compressed. The default of producers.
    None,
    /// Gzip. Needs the crate feature `gzip`.
    Gzip,
    /// Snappy. Needs the crate feature `snappy`.
    Snappy,
    /// LZ4. Needs the crate feature `lz4`.
    Lz4,
    /// Zstandard. Needs the crate feature `zstd`.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for Compression {
    type Err = Error;
    fn from_str(_name: &str) -> Result<Self> {
        todo!()
    }
}

/// The codec of a batch on disk; the number is its value in the attribute bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// Why a records section could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecompressError {
    /// The bytes are not a stream of the codec, or give more than the limit.
    Invalid(&'static str),
    /// The codec of this name is compiled out.
    Unsupported(&'static str),
}

impl Compression {
    /// The codec that batches are to be in; `None` if they are to stay as they are.
    pub(crate) fn codec(self) -> Option<Codec> {
        todo!()
    }
}

/// Replaces what `output` holds by the compressed `input`.
pub(crate) fn compress(_codec: Codec, _input: &[u8], _output: &mut Vec<u8>) -> Result<()> {
    todo!()
}

/// Decompresses to at most `limit` bytes.
pub(crate) fn decompress(
    _codec: Codec,
    _input: &[u8],
    _limit: usize,
) -> Result<Vec<u8>, DecompressError> {
    todo!()
}
