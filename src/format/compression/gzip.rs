//! Gzip (RFC 1952): a ten-byte header, raw deflate, CRC-32 and length.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::pool::Pool;
use super::{DecompressError, TOO_LARGE};

/// Magic, deflate, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

static COMPRESSORS: Pool<Compress> = Pool::new();

/// Appends one member. Deflate alone is flate2's, because its gzip writer cannot be used again.
/// Level -1, and all that is none of 1 to 9, is zlib's own choice.
pub(super) fn compress(level: i32, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let effort = || match u32::try_from(level) {
        Ok(level @ 1..=9) => Compression::new(level),
        _ => Compression::default(),
    };
    let mut compressor = COMPRESSORS
        .take(level)
        .unwrap_or_else(|| Compress::new(effort(), false));
    output.extend_from_slice(&HEADER);
    deflate(&mut compressor, input, output)?;
    output.extend_from_slice(&crc32fast::hash(input).to_le_bytes());
    // The length modulo 2^32.
    let [a, b, c, d, ..] = (input.len() as u64).to_le_bytes();
    output.extend_from_slice(&[a, b, c, d]);
    compressor.reset();
    COMPRESSORS.give_back(level, compressor);
    Ok(())
}

fn deflate(compressor: &mut Compress, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    loop {
        // `compress_vec` fills spare capacity and never grows the vector itself.
        output.reserve((input.len() / 2).max(4096));
        let before = compressor.total_in();
        let status = compressor.compress_vec(input, output, FlushCompress::Finish)?;
        let consumed = usize::try_from(compressor.total_in() - before).unwrap_or(input.len());
        input = input.get(consumed..).unwrap_or_default();
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

/// Several members in a row are one stream, as for Java's reader.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut output = Vec::new();
    MultiGzDecoder::new(input)
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut output)
        .map_err(|_| DecompressError::Invalid("not a gzip stream"))?;
    if output.len() > limit {
        Err(TOO_LARGE)
    } else {
        Ok(output)
    }
}
