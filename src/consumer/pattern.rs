//! Subscribing to topics by a regular expression.

use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::broker::BrokerState;
use crate::error::{Error, Result};

/// A regular expression that whole topic names are matched with.
#[derive(Debug, Clone)]
pub(super) struct TopicPattern(Regex);

impl TopicPattern {
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let invalid = |error: regex_lite::Error| Error::InvalidConfig {
            key: "pattern".to_owned(),
            value: pattern.to_owned(),
            reason: error.to_string(),
        };
        // By itself first: as part of another expression, `a)|(b` would be one.
        Regex::new(pattern).map_err(invalid)?;
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(invalid)?;
        Ok(Self(whole))
    }

    /// The topics that match, without internal ones.
    pub(super) fn matching(&self, broker: &BrokerState) -> BTreeSet<String> {
        let topics = broker.topics().into_iter();
        topics
            .filter(|topic| !topic.name.starts_with("__") && self.0.is_match(&topic.name))
            .map(|topic| topic.name.to_string())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_has_to_match() {
        let pattern = TopicPattern::new("a|b.*").unwrap();
        for (name, matches) in [("a", true), ("b1", true), ("ab", false), ("xa", false)] {
            assert_eq!(pattern.0.is_match(name), matches, "{name}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        for pattern in ["(", "a)|(b", "["] {
            let refused = TopicPattern::new(pattern);
            assert!(
                matches!(refused, Err(Error::InvalidConfig { .. })),
                "{pattern}"
            );
        }
    }
}
