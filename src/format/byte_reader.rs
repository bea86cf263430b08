//! Reads Kafka's big-endian fields one after another; every read is bounded by what is left.
//!
//! Nothing is allocated on the word of a length or count alone: strings and bytes are slices of the
//! input, and a count is refused if that many elements cannot be there.

use super::{Invalid, Parsed};

/// A position in a byte slice.
#[derive(Debug, Clone)]
pub(super) struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error at the position reached so far.
    pub(super) fn invalid<T>(&self, reason: &'static str) -> Parsed<T> {
        Err(Invalid {
            at: self.at,
            reason,
        })
    }

    /// Nothing may be left: a longer value is of another layout than the one just read.
    pub(super) fn finish(&self) -> Parsed<()> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            self.invalid("bytes left after the last field")
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Parsed<&'a [u8]> {
        let Some((taken, _)) = self.bytes[self.at..].split_at_checked(len) else {
            return self.invalid("ends inside a field");
        };
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const LEN: usize>(&mut self) -> Parsed<[u8; LEN]> {
        let Some(array) = self.bytes[self.at..].first_chunk::<LEN>() else {
            return self.invalid("ends inside a field");
        };
        self.at += LEN;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Parsed<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Parsed<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Parsed<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Parsed<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// An `i32` that is never negative: a partition, a relative offset, a position in a segment.
    pub(super) fn non_negative_i32(&mut self, reason: &'static str) -> Parsed<u32> {
        let at = self.at;
        u32::try_from(self.i32()?).map_err(|_| Invalid { at, reason })
    }

    /// An `i64` that is never negative: an offset.
    pub(super) fn non_negative_i64(&mut self, reason: &'static str) -> Parsed<u64> {
        let at = self.at;
        u64::try_from(self.i64()?).map_err(|_| Invalid { at, reason })
    }

    /// Seven bits a byte, the low ones first; at most 32 bits.
    pub(super) fn unsigned_varint(&mut self) -> Parsed<u32> {
        let start = self.at;
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            let group = u32::from(byte & 0x7f);
            if shift == 28 && group > 0x0f {
                break;
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Invalid {
            at: start,
            reason: "varint is longer than 32 bits",
        })
    }

    /// Passes the tagged fields that end a flexible structure: fields that newer writers added and
    /// that a reader may leave out of account.
    pub(super) fn skip_tagged_fields(&mut self) -> Parsed<()> {
        for _ in 0..self.unsigned_varint()? {
            let _tag = self.unsigned_varint()?;
            let len = self.unsigned_varint()?;
            self.take(as_len(len))?;
        }
        Ok(())
    }
}

/// A length that no input reaches stands for any length beyond what `usize` holds.
pub(super) fn as_len(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_to_the_end() {
        let mut reader = ByteReader::new(&[1, 0xff, 0xfe, 0, 0, 0, 5, 9]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.i16(), Ok(-2));
        assert_eq!(reader.non_negative_i32("negative"), Ok(5));
        assert_eq!(
            reader.finish(),
            Err(Invalid {
                at: 7,
                reason: "bytes left after the last field"
            })
        );
        assert_eq!(reader.take(1), Ok(&[9][..]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_field_that_is_cut_off_is_refused_and_nothing_is_consumed() {
        let mut reader = ByteReader::new(&[0, 0, 0]);
        assert!(reader.i32().is_err());
        assert!(reader.take(usize::MAX).is_err());
        assert_eq!(reader.at(), 0);
    }

    #[test]
    fn a_negative_number_is_refused_where_it_stands() {
        let mut reader = ByteReader::new(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(reader.u8(), Ok(0));
        assert_eq!(
            reader.non_negative_i32("negative"),
            Err(Invalid {
                at: 1,
                reason: "negative"
            })
        );
    }

    #[test]
    fn varints_hold_thirty_two_bits_and_no_more() {
        let read = |bytes: &[u8]| ByteReader::new(bytes).unsigned_varint();
        assert_eq!(read(&[0x00]), Ok(0));
        assert_eq!(read(&[0xac, 0x02]), Ok(300));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]).is_err());
        assert!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).is_err());
        assert!(read(&[0x80]).is_err());
    }

    #[test]
    fn tagged_fields_are_passed_and_cannot_reach_beyond_the_end() {
        let mut reader = ByteReader::new(&[2, 0, 1, 7, 5, 0, 42]);
        assert_eq!(reader.skip_tagged_fields(), Ok(()));
        assert_eq!(reader.u8(), Ok(42));
        assert!(
            ByteReader::new(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f])
                .skip_tagged_fields()
                .is_err()
        );
        assert!(
            ByteReader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f])
                .skip_tagged_fields()
                .is_err()
        );
    }
}
