//! Kafka's rules for the names of topics.
//!
//! A topic's name is part of the names of its directories, and of Kafka's metrics: that is where the
//! rules come from. They do not cover file systems that take `Orders` and `orders` for one name:
//! whoever makes a directory must find out that it was there already.

use crate::error::{Error, Result};

/// Longest name, in bytes: `-`, a partition number and the suffix of a directory that is being
/// deleted must fit the 255 bytes of a file name.
const MAX_LEN: usize = 249;

/// `Err(InvalidTopicName)` says which rule the name breaks.
pub(crate) fn validate_topic_name(topic: &str) -> Result<()> {
    match broken_rule(topic) {
        None => Ok(()),
        Some(reason) => Err(Error::InvalidTopicName {
            topic: topic.to_owned(),
            reason,
        }),
    }
}

fn broken_rule(topic: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match topic {
        "" => Some("it is empty"),
        "." | ".." => Some("`.` and `..` are directories"),
        _ if topic.len() > MAX_LEN => Some("it is longer than 249 characters"),
        _ if !topic.bytes().all(allowed) => {
            Some("only letters a-z and A-Z, digits, `.`, `_` and `-` are allowed")
        }
        _ => None,
    }
}

/// True if the names are the same to Kafka's metrics, where `.` becomes `_`: two such topics may
/// not both exist.
pub(crate) fn topic_names_collide(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

/// True for topics that the broker keeps for itself, such as `__consumer_offsets`.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_dots_dashes_and_underscores_make_a_name() {
        let longest = "x".repeat(MAX_LEN);
        for name in [
            "a",
            "user-clicks",
            "__consumer_offsets",
            "A.b_9-",
            "...",
            "-",
            &longest,
        ] {
            assert!(validate_topic_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let too_long = "x".repeat(MAX_LEN + 1);
        for name in [
            "", ".", "..", "a b", "a/b", "a\\b", "ä", "a\0", "a\n", "%41", &too_long,
        ] {
            assert!(
                matches!(
                    validate_topic_name(name),
                    Err(Error::InvalidTopicName { .. })
                ),
                "{name:?}"
            );
        }
    }

    #[test]
    fn names_that_differ_in_dots_and_underscores_only_collide() {
        assert!(topic_names_collide("a.b_c", "a_b.c"));
        assert!(topic_names_collide("same", "same"));
        assert!(!topic_names_collide("a.b", "a-b"));
        assert!(!topic_names_collide("a.b", "a.bc"));
        assert!(!topic_names_collide("Orders", "orders"));
    }
}
