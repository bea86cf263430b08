//! Topic ids: 16 bytes, written as Kafka does, in 22 characters of URL-safe base64.

use std::fmt;
use std::str::FromStr;

/// Tells a topic from an earlier one of the same name: an id is never used again.
///
/// Kafka uses the same form for the ids of clusters and log directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicId(pub(crate) [u8; 16]);

/// The text is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnId;

const TEXT_LEN: usize = 22;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 22 characters carry 132 bits: the last four are no part of the id, and are zero.
const UNUSED_BITS: u32 = 4;

impl TopicId {
    /// Kafka's "no id".
    pub(crate) const ZERO: Self = Self([0; 16]);

    /// An id from random bytes. Kafka never hands out ids that it gave a meaning (the first 100
    /// numbers), nor ones that a command line would take for an option; neither does this: such a
    /// draw is changed in its first bits.
    pub(crate) fn from_random(mut bytes: [u8; 16]) -> Self {
        let drawn = u128::from_be_bytes(bytes);
        let starts_with_dash = bytes[0] >> 2 == 62; // 62 is the dash's place in the alphabet
        if drawn < 100 || starts_with_dash {
            bytes[0] ^= 0x80;
        }
        Self(bytes)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for index in 0..TEXT_LEN {
            // The last character takes the two bits that are left, and four zeros below them.
            let group = match 21 - index {
                0 => bits << UNUSED_BITS,
                behind => bits >> (6 * behind - 4),
            };
            let symbol = ALPHABET[usize::from(group.to_be_bytes()[15] & 0x3f)];
            fmt::Write::write_char(f, char::from(symbol))?;
        }
        Ok(())
    }
}

impl FromStr for TopicId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != TEXT_LEN {
            return Err(NotAnId);
        }
        let (head, last) = text.as_bytes().split_at(TEXT_LEN - 1);
        let mut bits = 0_u128;
        for symbol in head {
            bits = bits << 6 | u128::from(value_of(*symbol)?);
        }
        let last = value_of(last[0])?;
        if last & ((1 << UNUSED_BITS) - 1) != 0 {
            return Err(NotAnId);
        }
        Ok(Self(
            (bits << 2 | u128::from(last >> UNUSED_BITS)).to_be_bytes(),
        ))
    }
}

/// The six bits that a character stands for.
fn value_of(symbol: u8) -> Result<u8, NotAnId> {
    match symbol {
        b'A'..=b'Z' => Ok(symbol - b'A'),
        b'a'..=b'z' => Ok(symbol - b'a' + 26),
        b'0'..=b'9' => Ok(symbol - b'0' + 52),
        b'-' => Ok(62),
        b'_' => Ok(63),
        _ => Err(NotAnId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_kafka_writes_it() {
        let counting = TopicId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        for (id, text) in [
            (TopicId::ZERO, "AAAAAAAAAAAAAAAAAAAAAA"),
            (TopicId([0xff; 16]), "_____________________w"),
            (counting, "AAECAwQFBgcICQoLDA0ODw"),
        ] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn every_single_bit_has_its_own_text() {
        for bit in 0..128 {
            let id = TopicId((1_u128 << bit).to_be_bytes());
            assert_eq!(id.to_string().parse(), Ok(id), "bit {bit}");
        }
    }

    #[test]
    fn other_lengths_characters_and_second_spellings_are_refused() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAA/",
            "AAAAAAAAAAAAAAAAAAAA+A",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAä",
        ] {
            assert_eq!(text.parse::<TopicId>(), Err(NotAnId), "{text:?}");
        }
    }

    #[test]
    fn random_ids_avoid_those_with_a_meaning() {
        assert_ne!(TopicId::from_random([0; 16]), TopicId::ZERO);
        let mut dash = [0; 16];
        dash[0] = 62 << 2;
        assert!(!TopicId::from_random(dash).to_string().starts_with('-'));
        let drawn = [7; 16];
        assert_eq!(TopicId::from_random(drawn), TopicId(drawn));
    }
}
