//! Walks the batches of a file that nobody has checked yet, in constant memory.

use crate::disk::AppendFile;
use crate::error::Result;
use crate::format::Invalid;
use crate::format::batch::{BatchHeader, BatchView, FRAME_LEN, HEADER_LEN, batch_size};

/// Bytes read at a time. Large enough that system calls do not show, small enough for a cache.
const CHUNK: usize = 256 << 10;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Header and frame only: for bytes that are known to be on the device.
    Frames,
    /// The CRC as well.
    Crc,
}

/// Reads one batch after the other.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a AppendFile,
    /// Length of the file: no batch may reach beyond.
    end: u64,
    position: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts, and how much of it is filled.
    buffered: (u64, usize),
}

/// Why a scan stopped before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBatch {
    pub(crate) position: u64,
    pub(crate) invalid: Invalid,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a AppendFile, position: u64, end: u64) -> Self {
        Self {
            file,
            end,
            position,
            buffer: vec![
                0;
                CHUNK.min(usize::try_from(end.saturating_sub(position)).unwrap_or(CHUNK))
            ],
            buffered: (0, 0),
        }
    }

    /// The next batch's header and its first bytes (all of them with [`Check::Crc`]); `None` at the
    /// end of the file. A bad batch is `Ok(Some(Err(…)))`, and the scan stays in front of it.
    #[expect(
        clippy::type_complexity,
        reason = "three different ends, each used at the one call site"
    )]
    pub(crate) fn next(
        &mut self,
        check: Check,
    ) -> Result<Option<Result<(BatchHeader, &[u8]), BadBatch>>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let bad = |at, reason| {
            Ok(Some(Err(BadBatch {
                position,
                invalid: Invalid { at, reason },
            })))
        };
        let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        if left < HEADER_LEN {
            return bad(0, "file ends inside a batch header");
        }
        let size = match batch_size(self.fill(FRAME_LEN)?) {
            Ok(size) if size > left => return bad(0, "batch reaches beyond the end of the file"),
            Ok(size) => size,
            Err(invalid) => return bad(invalid.at, invalid.reason),
        };
        let wanted = if check == Check::Crc {
            size
        } else {
            HEADER_LEN
        };
        let bytes = self.fill(wanted)?;
        if bytes.len() < wanted {
            return bad(0, "file ends inside a batch");
        }
        let header = match check {
            Check::Frames => BatchHeader::parse(bytes),
            Check::Crc => {
                BatchView::parse(bytes).and_then(|view| view.check_crc().map(|()| *view.header()))
            }
        };
        match header {
            Ok(header) => {
                self.position += u64::from(header.size);
                let from = usize::try_from(position - self.buffered.0).unwrap_or(0);
                Ok(Some(Ok((header, &self.buffer[from..from + wanted]))))
            }
            Err(invalid) => bad(invalid.at, invalid.reason),
        }
    }

    /// At least `len` bytes from the position on, fewer only at the end of the file.
    fn fill(&mut self, len: usize) -> Result<&[u8]> {
        let (start, filled) = self.buffered;
        let from = usize::try_from(self.position.saturating_sub(start)).unwrap_or(usize::MAX);
        if self.position >= start && from.saturating_add(len) <= filled {
            return Ok(&self.buffer[from..from + len]);
        }
        // `len` is at most a batch's size, which was compared with the file's length.
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = self.buffer.len().min(left);
        let count = self.file.read(&mut self.buffer[..wanted], self.position)?;
        self.buffered = (self.position, count);
        Ok(&self.buffer[..len.min(count)])
    }
}

/// Looks for a whole, valid batch anywhere in `bytes` that continues the log at `next_offset` or
/// later: a sign that more than a torn tail is being cut off.
pub(crate) fn holds_valid_batch(bytes: &[u8], next_offset: u64) -> bool {
    (1..bytes.len().saturating_sub(HEADER_LEN)).any(|at| {
        // The magic byte first: it rules out nearly every position.
        bytes[at + 16] == 2
            && BatchView::parse(&bytes[at..]).is_ok_and(|view| {
                let base = view.header().base_offset;
                (next_offset..next_offset + (1 << 31)).contains(&base) && view.check_crc().is_ok()
            })
    })
}
