//! Records: what lies between two batch headers.
//!
//! ```text
//! length, attributes (1 byte, nothing defined), timestamp delta, offset delta,
//! key length, key, value length, value, header count, then per header: key length, key, value length, value
//! ```
//!
//! All integers are zigzag varints; length -1 is null. Reading is strict: the fields of a record add
//! up to exactly its length, header keys are UTF-8, and every length is checked against the bytes
//! that are there. Views borrow; nothing is allocated, whatever a count claims.
//!
//! There are two readers. [`take_record`] decodes a record in few instructions, and does not say what
//! is wrong with a bad one; it is what every record of a log passes, twice: when its batch is checked
//! and when it is handed out. [`explain_record`] reads the same layout and names the first thing that
//! is wrong; it runs when the other gave up, and has the last word. They accept the same records.
//!
//! A record's timestamp is the batch's base timestamp plus the delta, *except* on a batch with
//! [`TimestampType::LogAppendTime`](super::TimestampType), where every record reports the batch's max
//! timestamp. Callers do that: a record alone does not know its batch.
//!
//! Elsewhere: writing records (`encode`); the base that deltas count from, and building batches
//! (`batch`); codecs (`compression`).

use super::batch::BatchHeader;
use super::varint::{read_varint, read_varlong, take_length, take_nullable_length, take_varlong};
use super::{Invalid, Parsed};

mod encode;
#[cfg(test)]
mod tests;

pub(crate) use encode::Encoding;

/// Two lengths: no header takes fewer bytes.
const MIN_HEADER_LEN: usize = 2;

/// A record in the bytes of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordView<'a> {
    /// The record's offset is the batch's base offset plus this.
    pub(crate) offset_delta: u32,
    /// The record's timestamp is the batch's base timestamp plus this, wrapping; see the module.
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: HeadersView<'a>,
}

/// The headers of a record; checked when the record was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeadersView<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> HeadersView<'a> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// True if the bytes hold exactly as many headers as the count says.
    #[inline]
    fn are_good(&self) -> bool {
        self.count == 0
            || self
                .walk_to_the_end()
                .is_ok_and(|end| end == self.bytes.len())
    }

    #[inline(never)]
    fn walk_to_the_end(&self) -> Parsed<usize> {
        let mut at = 0;
        for _ in 0..self.count {
            read_header(self.bytes, &mut at)?;
        }
        Ok(at)
    }

    /// Keys and values in the order they were written.
    #[inline]
    pub(crate) fn iter(&self) -> HeadersIter<'a> {
        HeadersIter {
            left: self.count,
            bytes: self.bytes,
            at: 0,
        }
    }
}

/// Keys and values of a record's headers.
#[derive(Debug, Clone)]
pub(crate) struct HeadersIter<'a> {
    left: usize,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        read_header(self.bytes, &mut self.at).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Reads the record at `at`, and moves `at` behind it.
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) fn read_record<'a>(bytes: &'a [u8], at: &mut usize) -> Parsed<RecordView<'a>> {
    let mut rest = bytes.get(*at..).unwrap_or_default();
    match take_record(&mut rest) {
        Some(record) if record.headers.are_good() => {
            *at = bytes.len() - rest.len();
            Ok(record)
        }
        _ => explain_record(bytes, at),
    }
}

/// Takes the record at the front of `rest`; `None`, and nothing has moved, if there is none or it is
/// bad. Of the headers only the count is looked at: they are to be checked, or were.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "the fields that a caller does not use then cost nothing; measured"
)]
pub(crate) fn take_record<'a>(rest: &mut &'a [u8]) -> Option<RecordView<'a>> {
    let mut behind_length = *rest;
    let length = usize::try_from(take_length(&mut behind_length)?).ok()?;
    let (record, behind) = behind_length.split_at_checked(length)?;
    // The attributes: nothing is defined, and Kafka ignores them too.
    let [_, fields @ ..] = record else {
        return None;
    };
    let mut fields = fields;
    let timestamp_delta = take_varlong(&mut fields)?;
    let offset_delta = take_length(&mut fields)?;
    let key = take_nullable(&mut fields)?;
    let value = take_nullable(&mut fields)?;
    let headers = match fields {
        // No headers, and the record ends: nearly all.
        [0] => HeadersView::default(),
        _ => take_headers(fields)?,
    };
    *rest = behind;
    Some(RecordView {
        offset_delta,
        timestamp_delta,
        key,
        value,
        headers,
    })
}

/// Takes a length and as many bytes. The inner `None` is null.
#[inline]
#[expect(
    clippy::option_option,
    reason = "`Result<Option<_>, ()>` by another name"
)]
fn take_nullable<'a>(fields: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = take_nullable_length(fields)? else {
        return Some(None);
    };
    let (field, behind) = fields.split_at_checked(usize::try_from(length).ok()?)?;
    *fields = behind;
    Some(Some(field))
}

/// The count, and the headers unseen: they are all that is left of the record.
#[inline(never)]
fn take_headers(mut fields: &[u8]) -> Option<HeadersView<'_>> {
    let count = usize::try_from(take_length(&mut fields)?).ok()?;
    let possible = if count == 0 {
        fields.is_empty()
    } else {
        count <= fields.len() / MIN_HEADER_LEN
    };
    possible.then_some(HeadersView {
        count,
        bytes: fields,
    })
}

/// Steps over the record at the front of `rest` without decoding it; `None` if there is none.
#[inline]
pub(crate) fn skip_record(rest: &mut &[u8]) -> Option<()> {
    let mut behind_length = *rest;
    let length = usize::try_from(take_length(&mut behind_length)?).ok()?;
    *rest = behind_length.get(length..)?;
    Some(())
}

/// Reads the record at `at` with an eye for what is wrong with it, and moves `at` behind it.
#[inline(never)]
pub(super) fn explain_record<'a>(bytes: &'a [u8], at: &mut usize) -> Parsed<RecordView<'a>> {
    let start = *at;
    let mut position = start;
    let length = read_varint(bytes, &mut position)?;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| position.checked_add(length))
        .filter(|&end| end <= bytes.len())
        .ok_or(Invalid {
            at: start,
            reason: "record length is negative or beyond the end of the records",
        })?;
    // Cut at the end only, so that positions in errors stay those of `bytes`.
    let bytes = &bytes[..end];

    position += 1; // The attributes: nothing is defined, and Kafka ignores them too.
    let timestamp_delta = read_varlong(bytes, &mut position)?;
    let delta_at = position;
    let offset_delta = u32::try_from(read_varint(bytes, &mut position)?).map_err(|_| Invalid {
        at: delta_at,
        reason: "offset delta is negative",
    })?;
    let key = read_nullable(bytes, &mut position)?;
    let value = read_nullable(bytes, &mut position)?;
    let headers = read_headers(bytes, &mut position)?;
    if position != end {
        return Err(Invalid {
            at: position,
            reason: "record is longer than its fields",
        });
    }
    *at = end;
    Ok(RecordView {
        offset_delta,
        timestamp_delta,
        key,
        value,
        headers,
    })
}

fn read_headers<'a>(bytes: &'a [u8], position: &mut usize) -> Parsed<HeadersView<'a>> {
    let count_at = *position;
    let count = read_varint(bytes, position)?;
    if count == 0 {
        return Ok(HeadersView::default());
    }
    let start = *position;
    let count = usize::try_from(count)
        .ok()
        .filter(|&count| count <= (bytes.len() - start) / MIN_HEADER_LEN)
        .ok_or(Invalid {
            at: count_at,
            reason: "header count is negative or more than fit the record",
        })?;
    for _ in 0..count {
        read_header(bytes, position)?;
    }
    Ok(HeadersView {
        count,
        bytes: &bytes[start..*position],
    })
}

fn read_header<'a>(bytes: &'a [u8], position: &mut usize) -> Parsed<(&'a str, Option<&'a [u8]>)> {
    let start = *position;
    let invalid = |reason| Invalid { at: start, reason };
    let key = read_nullable(bytes, position)?.ok_or(invalid("header key is null"))?;
    let key = std::str::from_utf8(key).map_err(|_| invalid("header key is not UTF-8"))?;
    Ok((key, read_nullable(bytes, position)?))
}

/// Reads a length and as many bytes. Length -1 is null; less is refused.
fn read_nullable<'a>(bytes: &'a [u8], position: &mut usize) -> Parsed<Option<&'a [u8]>> {
    let start = *position;
    let length = read_varint(bytes, position)?;
    let Ok(length) = usize::try_from(length) else {
        return if length == -1 {
            Ok(None)
        } else {
            Err(Invalid {
                at: start,
                reason: "length is below -1",
            })
        };
    };
    match bytes[*position..].get(..length) {
        Some(field) => {
            *position += length;
            Ok(Some(field))
        }
        None => Err(Invalid {
            at: start,
            reason: "length is beyond the end of the record",
        }),
    }
}

/// Walks an uncompressed records section: exactly as many records as the header counts, nothing
/// after them, and offsets that only rise and stay within the batch.
pub(crate) fn check_records(records: &[u8], header: &BatchHeader) -> Parsed<()> {
    let mut rest = records;
    let mut least_delta = 0;
    for _ in 0..header.records_count {
        let start = rest;
        let record = match take_record(&mut rest) {
            Some(record) if record.headers.are_good() => record,
            _ => {
                let mut at = records.len() - start.len();
                let record = explain_record(records, &mut at)?;
                rest = &records[at..];
                record
            }
        };
        if record.offset_delta < least_delta || record.offset_delta > header.last_offset_delta {
            return Err(Invalid {
                at: records.len() - start.len(),
                reason: "offset does not rise, or leaves the batch",
            });
        }
        least_delta = record.offset_delta + 1;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Invalid {
            at: records.len() - rest.len(),
            reason: "bytes are left after the last record",
        })
    }
}

/// Iterates over records that [`check_records`] accepted. On others it ends at the first bad one.
#[derive(Debug, Clone)]
pub(crate) struct CheckedRecords<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> CheckedRecords<'a> {
    /// `records` is the uncompressed section, `count` the header's.
    #[allow(dead_code, reason = "for compaction, and topics that compress anew")]
    pub(crate) fn new(records: &'a [u8], count: u32) -> Self {
        Self {
            rest: records,
            left: count,
        }
    }
}

impl<'a> Iterator for CheckedRecords<'a> {
    type Item = RecordView<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        take_record(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}
