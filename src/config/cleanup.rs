//! What happens to old records.

use std::fmt;
use std::str::FromStr;

/// How a topic gets rid of old records (Kafka's `cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CleanupPolicy {
    /// The oldest segments go when the log is older than `retention.ms` or larger than
    /// `retention.bytes`. The default.
    #[default]
    Delete,
    /// The latest record of each key stays for ever, earlier ones go. For tables: every record needs
    /// a key, and one without a value deletes.
    Compact,
    /// Both: the latest record of each key, until it is too old.
    CompactAndDelete,
}

impl CleanupPolicy {
    /// Records go when a later one has their key.
    pub(crate) fn has_compact(self) -> bool {
        self != Self::Delete
    }
}

/// As Kafka writes it: `delete`, `compact`, or `compact,delete`.
impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactAndDelete => "compact,delete",
        })
    }
}

/// The text is not a list of `delete` and `compact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAPolicy;

/// Reads the list form, whatever its order.
pub(super) fn parse(list: &str) -> Result<CleanupPolicy, NotAPolicy> {
    let (mut compact, mut delete) = (false, false);
    for word in list.split(',') {
        match word.trim() {
            "compact" => compact = true,
            "delete" => delete = true,
            _ => return Err(NotAPolicy),
        }
    }
    Ok(match (compact, delete) {
        (true, true) => CleanupPolicy::CompactAndDelete,
        (true, false) => CleanupPolicy::Compact,
        _ => CleanupPolicy::Delete,
    })
}

impl FromStr for CleanupPolicy {
    type Err = crate::Error;

    fn from_str(list: &str) -> crate::Result<Self> {
        parse(list).map_err(|NotAPolicy| crate::Error::InvalidConfig {
            key: "cleanup.policy".to_owned(),
            value: list.to_owned(),
            reason: ALLOWED.to_owned(),
        })
    }
}

/// What [`parse`] takes, for messages.
pub(super) const ALLOWED: &str = "a list of delete and compact";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_list_in_any_order() {
        assert_eq!(parse("delete"), Ok(CleanupPolicy::Delete));
        assert_eq!(parse("compact"), Ok(CleanupPolicy::Compact));
        assert_eq!(
            parse("delete, compact"),
            Ok(CleanupPolicy::CompactAndDelete)
        );
        for list in ["", "compress", "delete,", "Delete"] {
            assert_eq!(parse(list), Err(NotAPolicy), "{list:?}");
        }
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for policy in [
            CleanupPolicy::Delete,
            CleanupPolicy::Compact,
            CleanupPolicy::CompactAndDelete,
        ] {
            assert_eq!(parse(&policy.to_string()), Ok(policy));
        }
    }
}
