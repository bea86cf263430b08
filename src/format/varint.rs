//! Zigzag varints, 32 and 64 bits.

use super::Parsed;

pub(crate) fn read_varint(_bytes: &[u8], _at: &mut usize) -> Parsed<i32> {
    todo!()
}

pub(crate) fn read_varlong(_bytes: &[u8], _at: &mut usize) -> Parsed<i64> {
    todo!()
}

pub(crate) fn varlong_size(_value: i64) -> usize {
    todo!()
}

pub(crate) fn put_varlong(_value: i64, _out: &mut Vec<u8>) {
    todo!()
}
