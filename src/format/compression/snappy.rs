//! Snappy in the framing of Java's `SnappyOutputStream` ("xerial"), which is Kafka's.
//!
//! A 16-byte header (magic, version, least compatible version), then per block its compressed length
//! as an `i32` and a raw snappy block of at most 32 KiB of input. Some clients write one raw block
//! without framing; Kafka's clients read that too, and so does this.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::pool::{ANY_LEVEL, Pool};
use super::{DecompressError, TOO_LARGE};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: i32 = 1;
const HEADER_LEN: usize = 16;
const BLOCK_LEN: usize = 32 << 10;
/// The densest element, a copy of 64 bytes, takes three: no block grows by more than this.
const MAX_EXPANSION: usize = 22;
const INVALID: DecompressError = DecompressError::Invalid("not a snappy stream");

static ENCODERS: Pool<Encoder> = Pool::new();

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = ENCODERS.take(ANY_LEVEL).unwrap_or_else(Encoder::new);
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    for block in input.chunks(BLOCK_LEN) {
        let length_at = output.len();
        let start = length_at + 4;
        output.resize(start + max_compress_len(block.len()), 0);
        let length = encoder.compress(block, &mut output[start..])?;
        output.truncate(start + length);
        let length = i32::try_from(length).map_err(io::Error::other)?;
        output[length_at..start].copy_from_slice(&length.to_be_bytes());
    }
    ENCODERS.give_back(ANY_LEVEL, encoder);
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut output = Vec::new();
    if !input.starts_with(&MAGIC) {
        append_block(input, limit, &mut output)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            // A writer that was flushed in between starts over; Java's reader skips the header.
            rest = rest.get(HEADER_LEN..).ok_or(INVALID)?;
            continue;
        }
        let (length, after) = rest.split_first_chunk().ok_or(INVALID)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| INVALID)?;
        let (block, after) = after.split_at_checked(length).ok_or(INVALID)?;
        append_block(block, limit, &mut output)?;
        rest = after;
    }
    Ok(output)
}

fn append_block(block: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<(), DecompressError> {
    let length = decompress_len(block).map_err(|_| INVALID)?;
    if length > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(INVALID);
    }
    let start = output.len();
    if length > limit - start {
        return Err(TOO_LARGE);
    }
    output.resize(start + length, 0);
    Decoder::new()
        .decompress(block, &mut output[start..])
        .map_err(|_| INVALID)?;
    Ok(())
}
