//! Zstandard frames.

use std::io::{self, Seek, SeekFrom};

use zstd::bulk::Compressor;
use zstd::compress_bound;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, get_frame_content_size, is_error_kind};

use super::pool::{ANY_LEVEL, Pool};
use super::{DecompressError, TOO_LARGE};

const INVALID: DecompressError = DecompressError::Invalid("not a zstd stream");
/// A block of four bytes can stand for 128 KiB; nothing is denser.
const MAX_EXPANSION: usize = 32 << 10;
/// A first guess for frames that do not say how much they hold, as Java's client writes them.
const USUAL_EXPANSION: usize = 8;

static COMPRESSORS: Pool<Compressor<'static>> = Pool::new();
static DECOMPRESSORS: Pool<DCtx<'static>> = Pool::new();

/// Appends one frame, which says how much it holds.
pub(super) fn compress(level: i32, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let mut compressor = match COMPRESSORS.take(level) {
        Some(compressor) => compressor,
        None => Compressor::new(level)?,
    };
    output.reserve(compress_bound(input.len()));
    let mut behind = io::Cursor::new(&mut *output);
    behind.seek(SeekFrom::End(0))?;
    compressor.compress_to_buffer(input, &mut behind)?;
    COMPRESSORS.give_back(level, compressor);
    Ok(())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let context = DECOMPRESSORS.take(ANY_LEVEL).or_else(DCtx::try_create);
    let mut context = context.ok_or(DecompressError::Invalid("no memory for zstd"))?;
    let result = decompress_with(&mut context, input, limit);
    DECOMPRESSORS.give_back(ANY_LEVEL, context);
    result
}

/// Decodes into one buffer, and tries again with a larger one if that was too small. Decoding as a
/// stream would need no guess, but a window as large as the frame claims: up to 128 MiB.
fn decompress_with(
    context: &mut DCtx<'_>,
    input: &[u8],
    limit: usize,
) -> Result<Vec<u8>, DecompressError> {
    let ceiling = input.len().saturating_mul(MAX_EXPANSION).min(limit);
    let mut capacity = match get_frame_content_size(input).map_err(|_| INVALID)? {
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|&size| size <= limit)
            .ok_or(TOO_LARGE)?,
        None => input.len().saturating_mul(USUAL_EXPANSION),
    }
    .min(ceiling);
    loop {
        let mut output = Vec::with_capacity(capacity);
        match context.decompress(&mut output, input) {
            Ok(_) if output.len() <= limit => return Ok(output),
            Err(code) if !is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
                return Err(INVALID);
            }
            _ if capacity >= ceiling => return Err(TOO_LARGE),
            _ => capacity = capacity.saturating_mul(4).min(ceiling),
        }
    }
}
