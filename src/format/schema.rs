//! Strings, bytes and arrays as Kafka's coordinators store them.
//!
//! Two forms: plain (`i16` before strings, `i32` before bytes and arrays, -1 for null) and, in newer
//! versions of a record, *flexible* (a varint of length + 1, 0 for null, and tagged fields at the
//! end of each structure). Both are read; the plain one is written.

use super::byte_reader::{ByteReader, as_len};
use super::{Invalid, Parsed};

/// Reads the fields of one structure.
#[derive(Debug)]
pub(super) struct FieldReader<'a> {
    pub(super) bytes: ByteReader<'a>,
    flexible: bool,
}

impl<'a> FieldReader<'a> {
    pub(super) fn new(bytes: ByteReader<'a>, flexible: bool) -> Self {
        Self { bytes, flexible }
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        let at = self.bytes.at();
        self.nullable_string()?.ok_or(Invalid {
            at,
            reason: "null where a string is needed",
        })
    }

    pub(super) fn nullable_string(&mut self) -> Parsed<Option<String>> {
        let len = if self.flexible {
            self.flexible_len()?
        } else {
            plain_len(self.bytes.i16()?.into())
        };
        let Some(len) = len else { return Ok(None) };
        let at = self.bytes.at();
        let bytes = self.bytes.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => Err(Invalid {
                at: at + error.valid_up_to(),
                reason: "not UTF-8",
            }),
        }
    }

    pub(super) fn byte_string(&mut self) -> Parsed<Vec<u8>> {
        let at = self.bytes.at();
        let len = self.len()?.ok_or(Invalid {
            at,
            reason: "null where bytes are needed",
        })?;
        Ok(self.bytes.take(len)?.to_vec())
    }

    /// How many elements follow, each at least `smallest` bytes: more than fit are refused, so a
    /// vector of this capacity is in proportion to the input.
    pub(super) fn array_len(&mut self, smallest: usize) -> Parsed<usize> {
        let at = self.bytes.at();
        let len = self.len()?.ok_or(Invalid {
            at,
            reason: "null where an array is needed",
        })?;
        if len.saturating_mul(smallest) > self.bytes.remaining() {
            return Err(Invalid {
                at,
                reason: "array is longer than what is left",
            });
        }
        Ok(len)
    }

    /// Ends a structure: flexible ones have tagged fields there.
    pub(super) fn end_structure(&mut self) -> Parsed<()> {
        if self.flexible {
            self.bytes.skip_tagged_fields()
        } else {
            Ok(())
        }
    }

    fn len(&mut self) -> Parsed<Option<usize>> {
        if self.flexible {
            self.flexible_len()
        } else {
            Ok(plain_len(self.bytes.i32()?))
        }
    }

    fn flexible_len(&mut self) -> Parsed<Option<usize>> {
        Ok(self.bytes.unsigned_varint()?.checked_sub(1).map(as_len))
    }
}

/// Any negative length is null, as it is for Kafka.
fn plain_len(len: i32) -> Option<usize> {
    u32::try_from(len).ok().map(as_len)
}

/// Appends a string in the plain form. Fails if it is longer than 32,767 bytes.
pub(super) fn put_string(bytes: &mut Vec<u8>, text: &str) -> Parsed<()> {
    let too_long = Invalid {
        at: bytes.len(),
        reason: "string is longer than 32767 bytes",
    };
    let len = i16::try_from(text.len()).map_err(|_| too_long)?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

pub(super) fn put_nullable_string(bytes: &mut Vec<u8>, text: Option<&str>) -> Parsed<()> {
    if let Some(text) = text {
        return put_string(bytes, text);
    }
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(())
}

/// Appends the length of bytes or an array in the plain form.
pub(super) fn put_len(bytes: &mut Vec<u8>, len: usize) -> Parsed<()> {
    let too_long = Invalid {
        at: bytes.len(),
        reason: "more than 2147483647 bytes or elements",
    };
    bytes.extend_from_slice(&i32::try_from(len).map_err(|_| too_long)?.to_be_bytes());
    Ok(())
}

pub(super) fn put_byte_string(bytes: &mut Vec<u8>, content: &[u8]) -> Parsed<()> {
    put_len(bytes, content.len())?;
    bytes.extend_from_slice(content);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> FieldReader<'_> {
        FieldReader::new(ByteReader::new(bytes), false)
    }

    fn flexible(bytes: &[u8]) -> FieldReader<'_> {
        FieldReader::new(ByteReader::new(bytes), true)
    }

    #[test]
    fn null_and_empty_differ_in_both_forms() {
        assert_eq!(plain(&[0xff, 0xff]).nullable_string(), Ok(None));
        assert_eq!(plain(&[0, 0]).nullable_string(), Ok(Some(String::new())));
        assert_eq!(flexible(&[0]).nullable_string(), Ok(None));
        assert_eq!(flexible(&[1]).nullable_string(), Ok(Some(String::new())));
        assert!(plain(&[0xff, 0xff]).string().is_err());
        assert!(flexible(&[0]).string().is_err());
    }

    #[test]
    fn strings_and_bytes_are_read_in_both_forms() {
        assert_eq!(plain(&[0, 2, b'h', b'i']).string().unwrap(), "hi");
        assert_eq!(flexible(&[3, b'h', b'i']).string().unwrap(), "hi");
        assert_eq!(plain(&[0, 0, 0, 1, 9]).byte_string(), Ok(vec![9]));
        assert_eq!(flexible(&[2, 9]).byte_string(), Ok(vec![9]));
    }

    #[test]
    fn hostile_lengths_are_refused_before_anything_is_allocated() {
        assert!(plain(&[0x7f, 0xff, b'x']).string().is_err());
        assert!(plain(&[0x7f, 0xff, 0xff, 0xff]).byte_string().is_err());
        assert!(plain(&[0x7f, 0xff, 0xff, 0xff, 0]).array_len(1).is_err());
        assert!(plain(&[0, 0, 0, 2, 0, 0, 0]).array_len(2).is_err());
        assert!(
            flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f])
                .array_len(1)
                .is_err()
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        assert_eq!(
            plain(&[0, 2, b'h', 0xff]).string(),
            Err(Invalid {
                at: 3,
                reason: "not UTF-8"
            })
        );
    }

    #[test]
    fn a_string_too_long_for_its_length_field_is_refused() {
        let mut bytes = Vec::new();
        let longest = "x".repeat(32_767);
        assert!(put_string(&mut bytes, &longest).is_ok());
        assert_eq!(plain(&bytes).string(), Ok(longest));
        assert!(put_string(&mut Vec::new(), &"x".repeat(32_768)).is_err());
    }
}
