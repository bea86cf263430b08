//! Helpers of the decoders of text files: lines that know where they start, strict numbers.

use std::str::FromStr;

use super::{Invalid, Parsed};

/// The text, or where it stops being UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(bytes).map_err(|error| Invalid {
        at: error.valid_up_to(),
        reason: "not UTF-8",
    })
}

/// A line without its end, and its byte position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl Line<'_> {
    /// An error about this line.
    pub(super) fn invalid<T>(&self, reason: &'static str) -> Parsed<T> {
        Err(self.error(reason))
    }

    pub(super) fn error(&self, reason: &'static str) -> Invalid {
        Invalid {
            at: self.at,
            reason,
        }
    }
}

/// All lines. The last one may lack its end; after it there is no further, empty one.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |whole| {
        let line = Line {
            at,
            text: whole.strip_suffix('\n').unwrap_or(whole),
        };
        at += whole.len();
        line
    })
}

/// The number that `digits` spells: no sign, no blank, nothing else.
pub(super) fn number<T: FromStr>(digits: &str) -> Option<T> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_where_they_start() {
        let starts = |text| {
            lines(text)
                .map(|line| (line.at, line.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(""), []);
        assert_eq!(starts("a\n\nbc"), [(0, "a"), (2, ""), (3, "bc")]);
        assert_eq!(starts("a\nbc\n"), [(0, "a"), (2, "bc")]);
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(number("42"), Some(42_u64));
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "١",
        ] {
            assert_eq!(number::<u64>(text), None, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        assert_eq!(utf8(b"ab\xff").unwrap_err().at, 2);
    }
}
