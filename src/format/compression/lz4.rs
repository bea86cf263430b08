//! The LZ4 frame format, as Kafka's clients write it: blocks of 64 KiB, each independent of the
//! others, without checksums of blocks or content. There is one level, the fast one, which is also Kafka's
//! default.

use std::io::{self, BufRead, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::pool::{ANY_LEVEL, Pool};
use super::{DecompressError, TOO_LARGE};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const INVALID: DecompressError = DecompressError::Invalid("not an lz4 frame");

static ENCODERS: Pool<FrameEncoder<Vec<u8>>> = Pool::new();

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    // An encoder that has written a frame does not begin another one for no bytes.
    let mut encoder = if input.is_empty() {
        new_encoder()
    } else {
        ENCODERS.take(ANY_LEVEL).unwrap_or_else(new_encoder)
    };
    // The encoder appends to the vector that it owns, so lend it ours.
    std::mem::swap(encoder.get_mut(), output);
    let result = encoder
        .write_all(input)
        .and_then(|()| Ok(encoder.try_finish()?));
    std::mem::swap(encoder.get_mut(), output);
    result?;
    ENCODERS.give_back(ANY_LEVEL, encoder);
    Ok(())
}

fn new_encoder() -> FrameEncoder<Vec<u8>> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, Vec::new())
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    if !input.starts_with(&MAGIC) {
        return Err(INVALID);
    }
    let mut decoder = FrameDecoder::new(Source {
        rest: input,
        ran_out: false,
    });
    let mut output = Vec::new();
    loop {
        let block = decoder.fill_buf().map_err(|_| INVALID)?;
        if block.is_empty() {
            break;
        }
        if block.len() > limit - output.len() {
            return Err(TOO_LARGE);
        }
        output.extend_from_slice(block);
        let length = block.len();
        decoder.consume(length);
    }
    let source = decoder.get_ref();
    if source.ran_out || !source.rest.is_empty() {
        Err(INVALID)
    } else {
        Ok(output)
    }
}

/// The compressed bytes. The decoder takes a frame that is cut off between blocks for complete;
/// this remembers that it asked for more.
struct Source<'a> {
    rest: &'a [u8],
    ran_out: bool,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ran_out |= buffer.len() > self.rest.len();
        self.rest.read(buffer)
    }
}
