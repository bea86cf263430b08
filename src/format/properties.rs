//! Java's `.properties` text, as far as Kafka's `meta.properties` needs it: reading all of it,
//! writing the plain part.
//!
//! A line is `key=value` (or `:`, or a blank, between the two), `#` and `!` start comments, a
//! backslash at the end continues a line, and a backslash elsewhere escapes. Bytes are Latin-1.

use std::fmt::Write as _;

use super::{Invalid, Parsed};

/// Keys and values in the order of the file.
pub(super) fn decode(bytes: &[u8]) -> Parsed<Vec<(String, String)>> {
    let mut scanner = Scanner { bytes, at: 0 };
    let mut entries = Vec::new();
    while scanner.skip_to_entry() {
        let key = scanner.word(true)?;
        scanner.skip_separator();
        entries.push((key, scanner.word(false)?));
    }
    Ok(entries)
}

/// One `key=value` line, escaped where Java would not read the same back.
pub(super) fn encode_line(text: &mut String, key: &str, value: &str) {
    escape(text, key);
    text.push('=');
    escape(text, value);
    text.push('\n');
}

fn escape(text: &mut String, word: &str) {
    for unit in word.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'\\' | b'=' | b':' | b'#' | b'!' | b' ')) => {
                text.extend(['\\', char::from(byte)]);
            }
            Ok(byte) if byte.is_ascii_graphic() => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
}

/// Walks over the bytes; a line that goes on in the next is one line.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes blanks, empty lines and comments; false at the end of the file.
    fn skip_to_entry(&mut self) -> bool {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' | b'!' => self.skip_while(|byte| !is_line_end(byte)),
                byte if is_blank(byte) || is_line_end(byte) => self.at += 1,
                _ => return true,
            }
        }
        false
    }

    /// Passes one `=` or `:` and the blanks around it.
    fn skip_separator(&mut self) {
        self.skip_blanks();
        if matches!(self.peek(), Some(b'=' | b':')) {
            self.at += 1;
            self.skip_blanks();
        }
    }

    /// Passes blanks, also over the end of a line that goes on.
    fn skip_blanks(&mut self) {
        self.skip_while(is_blank);
        while self.skip_continuation() {}
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// Passes a backslash with a line end behind it, and the next line's leading blanks.
    fn skip_continuation(&mut self) -> bool {
        let line_end = match self.bytes[self.at..] {
            [b'\\', b'\r', b'\n', ..] => 3,
            [b'\\', b'\r' | b'\n', ..] => 2,
            _ => return false,
        };
        self.at += line_end;
        self.skip_while(is_blank);
        true
    }

    /// A key, which a separator ends, or a value, which only the line's end does.
    fn word(&mut self, is_key: bool) -> Parsed<String> {
        let start = self.at;
        let mut units = Vec::new();
        while let Some(byte) = self.peek() {
            let separator = is_key && (is_blank(byte) || matches!(byte, b'=' | b':'));
            if is_line_end(byte) || separator {
                break;
            }
            if self.skip_continuation() {
                continue;
            }
            self.at += 1;
            units.push(if byte == b'\\' {
                self.escaped()?
            } else {
                u16::from(byte)
            });
        }
        String::from_utf16(&units).map_err(|_| Invalid {
            at: start,
            reason: "half a character",
        })
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Parsed<u16> {
        let Some(byte) = self.peek() else {
            return Ok(u16::from(b'\\'));
        };
        self.at += 1;
        Ok(match byte {
            b't' => u16::from(b'\t'),
            b'n' => u16::from(b'\n'),
            b'r' => u16::from(b'\r'),
            b'f' => 0x0c,
            b'u' => return self.code_unit(),
            other => u16::from(other),
        })
    }

    /// The four hexadecimal digits of `\uXXXX`.
    fn code_unit(&mut self) -> Parsed<u16> {
        let invalid = Invalid {
            at: self.at,
            reason: "malformed \\u escape",
        };
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(invalid)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit)
                .to_digit(16)
                .and_then(|digit| u16::try_from(digit).ok());
            Ok(unit << 4 | digit.ok_or(invalid)?)
        })
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(String, String)> {
        decode(text).unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_blank_lines_and_any_separator_are_read_as_java_does() {
        let text = b"# made by hand\n\n  ! another\r\na=1\nb : 2\r\n c   3\nd\ne = \nf=x=y # kept";
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", ""),
            ("e", ""),
            ("f", "x=y # kept"),
        ];
        assert_eq!(read(text), expected.map(|(key, value)| pair(key, value)));
    }

    #[test]
    fn escapes_and_continued_lines_are_resolved() {
        assert_eq!(read(b"a\\=b=c\\:d\\\n   e"), [pair("a=b", "c:de")]);
        assert_eq!(
            read(b"k=\\u00e9\\ud83d\\ude00\\t\\\\"),
            [pair("k", "\u{e9}\u{1f600}\t\\")]
        );
        assert_eq!(read(b"k\\\r\n  = v"), [pair("k", "v")]);
        assert_eq!(read(b"latin=\xe9"), [pair("latin", "\u{e9}")]);
        assert_eq!(read(b"k=v\\"), [pair("k", "v\\")]);
    }

    #[test]
    fn a_malformed_escape_is_refused() {
        for text in [&b"a=\\u12"[..], b"a=\\u12g4", b"a=\\ud83d", b"\\u"] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let entries = [
            pair("a b=:", " v#!\\\u{1f600}\n"),
            pair("#c", "-_22"),
            pair("k", ""),
        ];
        let mut text = String::new();
        for (key, value) in &entries {
            encode_line(&mut text, key, value);
        }
        assert!(text.is_ascii());
        assert_eq!(read(text.as_bytes()), entries);
    }
}
