//! Variable-length integers: zigzag, then seven bits a byte, low group first, high bit set on all
//! bytes but the last.
//!
//! There are two ways to read: `read_…` says what is wrong and where; `take_…` accepts the same
//! bytes, and says only that something is wrong. The second takes a third of the instructions, which
//! counts where every record of a log passes.
//!
//! A 32-bit integer takes at most 5 bytes, a 64-bit one at most 10. A value of 32 bits has the
//! same bytes in both widths, so there is one writer. Readers refuse what does not fit the width;
//! they accept leading zero groups, as Kafka does, which no writer makes.

use super::{Invalid, Parsed};

/// The longest 64-bit varint.
pub(crate) const MAX_VARLONG_LEN: usize = 10;
const MAX_VARINT_LEN: usize = 5;

/// Reads a 32-bit integer at `at`, and moves `at` behind it.
#[inline]
pub(crate) fn read_varint(bytes: &[u8], at: &mut usize) -> Parsed<i32> {
    let start = *at;
    let raw = read_unsigned(bytes, at, MAX_VARINT_LEN)?;
    match u32::try_from(raw) {
        Ok(raw) => Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())),
        Err(_) => Err(Invalid {
            at: start,
            reason: "varint does not fit 32 bits",
        }),
    }
}

/// Reads a 64-bit integer at `at`, and moves `at` behind it.
#[inline]
pub(crate) fn read_varlong(bytes: &[u8], at: &mut usize) -> Parsed<i64> {
    let raw = read_unsigned(bytes, at, MAX_VARLONG_LEN)?;
    Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

#[inline]
fn read_unsigned(bytes: &[u8], at: &mut usize, longest: usize) -> Parsed<u64> {
    // Deltas are mostly one byte, lengths one or two: those paths are worth their own branches.
    match bytes.get(*at..) {
        Some([first @ 0..=0x7f, ..]) => {
            *at += 1;
            Ok(u64::from(*first))
        }
        Some([first, second @ 0..=0x7f, ..]) => {
            *at += 2;
            Ok(u64::from(first & 0x7f) | u64::from(*second) << 7)
        }
        rest => read_long_unsigned(rest.unwrap_or_default(), at, longest),
    }
}

/// Takes a 32-bit integer that is not negative off the front of `rest`; `None` if there is none.
#[inline]
pub(super) fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let raw = take_unsigned(rest, MAX_VARINT_LEN)?;
    if raw & 1 == 0 {
        u32::try_from(raw).ok().map(|raw| raw >> 1)
    } else {
        None
    }
}

/// Takes a 32-bit integer off the front of `rest`, -1 or not negative: the outer `None` if there is
/// none such, the inner one for -1.
#[inline]
#[expect(
    clippy::option_option,
    reason = "`Result<Option<_>, ()>` by another name"
)]
pub(super) fn take_nullable_length(rest: &mut &[u8]) -> Option<Option<u32>> {
    /// -1 in zigzag.
    const NULL: u64 = 1;
    let raw = take_unsigned(rest, MAX_VARINT_LEN)?;
    if raw & 1 == 0 {
        u32::try_from(raw).ok().map(|raw| Some(raw >> 1))
    } else if raw == NULL {
        Some(None)
    } else {
        None
    }
}

/// Takes a 64-bit integer off the front of `rest`; `None` if there is none.
#[inline]
pub(super) fn take_varlong(rest: &mut &[u8]) -> Option<i64> {
    let raw = take_unsigned(rest, MAX_VARLONG_LEN)?;
    Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
}

/// As [`read_unsigned`], in a shape that stays in registers: no position, no reason.
#[inline]
fn take_unsigned(rest: &mut &[u8], longest: usize) -> Option<u64> {
    match **rest {
        [first @ 0..=0x7f, ref behind @ ..] => {
            *rest = behind;
            Some(u64::from(first))
        }
        [first, second @ 0..=0x7f, ref behind @ ..] => {
            *rest = behind;
            Some(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => {
            let mut at = 0;
            let value = read_long_unsigned(rest, &mut at, longest).ok()?;
            *rest = rest.get(at..)?;
            Some(value)
        }
    }
}

#[inline(never)]
fn read_long_unsigned(rest: &[u8], at: &mut usize, longest: usize) -> Parsed<u64> {
    let mut value = 0;
    for (index, &byte) in rest.iter().take(longest).enumerate() {
        // The tenth byte holds the last of 64 bits.
        if index + 1 == MAX_VARLONG_LEN && byte > 1 {
            return Err(Invalid {
                at: *at,
                reason: "varint does not fit 64 bits",
            });
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Ok(value);
        }
    }
    let reason = if rest.len() < longest {
        "bytes end inside a varint"
    } else {
        "varint is too long"
    };
    Err(Invalid { at: *at, reason })
}

/// How many bytes [`write_varlong`] writes.
#[inline]
pub(crate) fn varlong_size(value: i64) -> usize {
    zigzag_size(zigzag(value))
}

/// How many bytes [`write_length`] writes.
#[inline]
pub(crate) fn length_size(length: usize) -> usize {
    zigzag_size(zigzag_length(length))
}

/// Writes an integer of up to 64 bits at `at`, and moves `at` behind it. Panics if there is no room.
#[inline]
pub(crate) fn write_varlong(out: &mut [u8], at: &mut usize, value: i64) {
    write_zigzag(out, at, zigzag(value));
}

/// The same for what is never negative. No slice is longer than 63 bits can say, so none is cut.
#[inline]
pub(crate) fn write_length(out: &mut [u8], at: &mut usize, length: usize) {
    write_zigzag(out, at, zigzag_length(length));
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
fn zigzag_length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX) << 1
}

#[inline]
fn zigzag_size(raw: u64) -> usize {
    // One byte for each seven significant bits, and one for zero: x * 9 / 64 is x / 7 here.
    let bits = 64 - raw.leading_zeros();
    ((bits * 9 + 64) / 64) as usize
}

#[inline]
fn write_zigzag(out: &mut [u8], at: &mut usize, raw: u64) {
    // As in reading: one byte and two are nearly all there is, and worth their own branches.
    if raw < 0x80 {
        out[*at] = low_group(raw);
        *at += 1;
    } else if raw < 0x4000 {
        out[*at..*at + 2].copy_from_slice(&[low_group(raw) | 0x80, low_group(raw >> 7)]);
        *at += 2;
    } else {
        write_long_zigzag(out, at, raw);
    }
}

#[inline(never)]
fn write_long_zigzag(out: &mut [u8], at: &mut usize, raw: u64) {
    let mut rest = raw;
    while rest >= 0x80 {
        out[*at] = low_group(rest) | 0x80;
        *at += 1;
        rest >>= 7;
    }
    out[*at] = low_group(rest);
    *at += 1;
}

#[inline]
fn low_group(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let (mut out, mut at) = (vec![0xaa; MAX_VARLONG_LEN], 0);
        write_varlong(&mut out, &mut at, value);
        out.truncate(at);
        out
    }

    /// Values on both sides of every change of width.
    fn interesting() -> impl Iterator<Item = i64> {
        (0..64).flat_map(|bit| {
            let power = 1i64 << bit;
            [
                power,
                power.wrapping_sub(1),
                power.wrapping_neg(),
                power.wrapping_neg().wrapping_sub(1),
            ]
        })
    }

    #[test]
    fn small_values_have_the_documented_bytes() {
        assert_eq!(encoded(0), [0x00]);
        assert_eq!(encoded(-1), [0x01]);
        assert_eq!(encoded(1), [0x02]);
        assert_eq!(encoded(63), [0x7e]);
        assert_eq!(encoded(64), [0x80, 0x01]);
        assert_eq!(encoded(i64::from(i32::MIN)), [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(
            encoded(i64::MIN),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        );
    }

    #[test]
    fn values_come_back_and_sizes_are_exact() {
        for value in interesting() {
            let bytes = encoded(value);
            assert_eq!(bytes.len(), varlong_size(value), "{value}");
            let mut at = 0;
            assert_eq!(read_varlong(&bytes, &mut at), Ok(value));
            assert_eq!(at, bytes.len());

            let mut at = 0;
            let read = read_varint(&bytes, &mut at);
            match i32::try_from(value) {
                Ok(value) => assert_eq!((read, at), (Ok(value), bytes.len())),
                Err(_) => assert!(read.is_err(), "{value} is not 32 bits"),
            }
        }
    }

    #[test]
    fn truncated_varints_are_refused_and_do_not_move() {
        for value in interesting() {
            let bytes = encoded(value);
            for end in 0..bytes.len() {
                let mut at = 0;
                assert_eq!(
                    read_varlong(&bytes[..end], &mut at),
                    Err(Invalid {
                        at: 0,
                        reason: "bytes end inside a varint"
                    })
                );
                assert!(read_varint(&bytes[..end], &mut at).is_err());
                assert_eq!(at, 0);
            }
        }
        assert!(
            read_varint(&[0], &mut 7).is_err(),
            "a position beyond the end"
        );
    }

    #[test]
    fn varints_that_do_not_fit_are_refused() {
        let refused = |bytes: &[u8]| read_varint(bytes, &mut 0).unwrap_err().reason;
        assert_eq!(
            refused(&[0x80, 0x80, 0x80, 0x80, 0x10]),
            "varint does not fit 32 bits"
        );
        assert_eq!(refused(&[0xff; 6]), "varint is too long");
        let refused = |bytes: &[u8]| read_varlong(bytes, &mut 0).unwrap_err().reason;
        let mut bytes = [0xff; 11];
        assert_eq!(refused(&bytes), "varint does not fit 64 bits");
        bytes[9] = 0x02;
        assert_eq!(refused(&bytes), "varint does not fit 64 bits");
        bytes[9] = 0x01;
        assert_eq!(read_varlong(&bytes, &mut 0), Ok(i64::MIN));
    }

    #[test]
    fn leading_zero_groups_are_accepted() {
        let mut at = 0;
        assert_eq!(read_varint(&[0x82, 0x80, 0x00, 0x55], &mut at), Ok(1));
        assert_eq!(at, 3);
    }
}
