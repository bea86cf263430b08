//! Writing records: measured once, then written into exactly that much room.
//!
//! The size of a record stands in front of it, so it has to be known first; whoever gathers records
//! asks for it too, to see whether the record still fits. An [`Encoding`] computes it once for both.

use crate::format::varint::{length_size, varlong_size, write_length, write_varlong};
use crate::record::Headers;

/// A record to be written, with the deltas that its batch gives it, and its size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding<'a> {
    offset_delta: u32,
    timestamp_delta: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a Headers<'a>,
    /// The size without the leading length: what that length says.
    body: usize,
    size: usize,
}

impl<'a> Encoding<'a> {
    #[inline]
    pub(crate) fn new(
        offset_delta: u32,
        timestamp_delta: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a Headers<'a>,
    ) -> Self {
        let body = 1
            + varlong_size(timestamp_delta)
            + varlong_size(i64::from(offset_delta))
            + nullable_size(key)
            + nullable_size(value)
            + headers_size(headers);
        Self {
            offset_delta,
            timestamp_delta,
            key,
            value,
            headers,
            body,
            size: length_size(body) + body,
        }
    }

    pub(crate) fn offset_delta(&self) -> u32 {
        self.offset_delta
    }

    pub(crate) fn timestamp_delta(&self) -> i64 {
        self.timestamp_delta
    }

    /// How many bytes [`write`](Self::write) fills.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Fills `out`, which is [`size`](Self::size) bytes long. Panics if it is shorter.
    #[inline]
    pub(crate) fn write(&self, out: &mut [u8]) {
        let mut at = 0;
        write_length(out, &mut at, self.body);
        // The attributes.
        out[at] = 0;
        at += 1;
        write_varlong(out, &mut at, self.timestamp_delta);
        write_varlong(out, &mut at, i64::from(self.offset_delta));
        put_nullable(out, &mut at, self.key);
        put_nullable(out, &mut at, self.value);
        write_length(out, &mut at, self.headers.len());
        if self.headers.len() > 0 {
            put_headers(out, &mut at, self.headers);
        }
        debug_assert_eq!(at, out.len());
    }
}

#[inline]
fn headers_size(headers: &Headers<'_>) -> usize {
    // Most records have none: that path is worth its own branch, here and in `write`.
    if headers.len() == 0 {
        return 1;
    }
    let each = headers
        .iter()
        .map(|header| nullable_size(Some(header.key.as_bytes())) + nullable_size(header.value));
    length_size(headers.len()) + each.sum::<usize>()
}

#[inline(never)]
fn put_headers(out: &mut [u8], at: &mut usize, headers: &Headers<'_>) {
    for header in headers.iter() {
        put_nullable(out, at, Some(header.key.as_bytes()));
        put_nullable(out, at, header.value);
    }
}

#[inline]
fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| length_size(bytes.len()) + bytes.len())
}

#[inline]
fn put_nullable(out: &mut [u8], at: &mut usize, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            write_length(out, at, bytes.len());
            out[*at..*at + bytes.len()].copy_from_slice(bytes);
            *at += bytes.len();
        }
        None => write_varlong(out, at, -1),
    }
}
