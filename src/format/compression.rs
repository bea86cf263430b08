//! Compression of the records section of a batch.
//!
//! The header of a batch stays plain; the records behind it become one stream of the codec that the
//! header names. Each codec is a crate feature; what is compiled out is a typed error, found when a
//! batch of that codec is written or read.
//!
//! A stream does not say how much it holds (zstd may), so whoever decompresses names a limit, and no
//! more than about that is ever allocated. Contexts that are dear to make are used again: see `pool`.
//!
//! Elsewhere: when to compress (`batch`); where the plain records go (`log`, `consumer`).

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(any(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
mod pool;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

/// How batches are compressed (`compression.type`), on a topic or by a producer.
///
/// Compression works on whole batches, so larger batches compress better. A batch that would not
/// become smaller is written uncompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// For topics, and their default: batches stay as their producer compressed them. For a
    /// producer it means the same as [`None`](Self::None).
    Producer,
    /// Not compressed. The default of producers; on a topic, batches are stored uncompressed
    /// whatever the producer sent. Kafka's topics call it `uncompressed`, its producers `none`.
    None,
    /// Gzip, by default at zlib's default level: small, and slow to write. Needs the crate feature `gzip`.
    Gzip,
    /// Snappy: fast, and least small. Needs the crate feature `snappy`.
    Snappy,
    /// LZ4: the fastest to read. Needs the crate feature `lz4`.
    Lz4,
    /// Zstandard, by default at level 3: about as small as gzip at a fraction of its cost. Needs the crate
    /// feature `zstd`.
    Zstd,
}

impl Compression {
    /// The codec that batches are to be in; `None` if they are to stay as they are.
    pub(crate) fn codec(self) -> Option<Codec> {
        match self {
            Self::Producer => None,
            Self::None => Some(Codec::None),
            Self::Gzip => Some(Codec::Gzip),
            Self::Snappy => Some(Codec::Snappy),
            Self::Lz4 => Some(Codec::Lz4),
            Self::Zstd => Some(Codec::Zstd),
        }
    }
}

/// Kafka's name, as configurations spell it; [`None`](Compression::None) is `uncompressed`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.codec() {
            None => "producer",
            Some(Codec::None) => "uncompressed",
            Some(codec) => codec.name(),
        })
    }
}

/// Accepts what `Display` writes, and `none`. Anything else is [`Error::InvalidConfig`].
impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "producer" => Ok(Self::Producer),
            "uncompressed" | "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::InvalidConfig {
                key: "compression.type".to_owned(),
                value: name.to_owned(),
                reason: "must be producer, uncompressed, none, gzip, snappy, lz4 or zstd"
                    .to_owned(),
            }),
        }
    }
}

/// What the records section of a batch is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// The codec of this number in a batch's attributes.
    pub(crate) fn from_id(id: i16) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(crate) fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name, which is also that of the crate feature.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Most bytes that the records of one batch may decompress to. The format states no uncompressed
/// size, so a few hostile kilobytes could otherwise ask for all memory. A batch holds at most
/// `max.message.bytes` when compressed; real data shrinks to a hundredth at best.
pub(crate) const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

/// Why a records section could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecompressError {
    /// The bytes are not exactly one stream of the codec, or hold more than the limit.
    Invalid(&'static str),
    /// The codec of this name is compiled out.
    Unsupported(&'static str),
}

const TOO_LARGE: DecompressError = DecompressError::Invalid("decompresses to more than is allowed");

/// How hard the codecs try, where that can be chosen. The default is Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    /// 1 (fast) to 9 (small), or -1.
    pub(crate) gzip: i32,
    /// -131072 (fast) to 22 (small).
    pub(crate) zstd: i32,
}

impl Default for Levels {
    fn default() -> Self {
        Self { gzip: -1, zstd: 3 }
    }
}

/// Appends the compressed `input` to `output`, at the default level.
///
/// [`Error::UnsupportedCompression`] if the codec is compiled out.
pub(crate) fn compress(codec: Codec, input: &[u8], output: &mut Vec<u8>) -> Result<()> {
    compress_at(Levels::default(), codec, input, output)
}

/// Appends the compressed `input` to `output`; errors as for [`compress`].
#[allow(
    unused_variables,
    reason = "where the codecs with levels are compiled out"
)]
pub(crate) fn compress_at(
    levels: Levels,
    codec: Codec,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<()> {
    let compressed = match codec {
        Codec::None => {
            output.extend_from_slice(input);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::compress(levels.gzip, input, output),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::compress(input, output),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::compress(input, output),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::compress(levels.zstd, input, output),
        #[allow(unreachable_patterns, reason = "reached where a codec is compiled out")]
        missing => {
            return Err(Error::UnsupportedCompression {
                codec: missing.name(),
            });
        }
    };
    // The codecs take any input; they can only fail to get memory.
    compressed.map_err(|_: std::io::Error| Error::IllegalState("a codec failed; out of memory?"))
}

/// Decompresses one whole stream to at most `limit` bytes.
pub(crate) fn decompress(
    codec: Codec,
    input: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DecompressError> {
    match codec {
        Codec::None if input.len() <= limit => Ok(input.to_vec()),
        Codec::None => Err(TOO_LARGE),
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(input, limit),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(input, limit),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(input, limit),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(input, limit),
        #[allow(unreachable_patterns, reason = "reached where a codec is compiled out")]
        missing => Err(DecompressError::Unsupported(missing.name())),
    }
}
