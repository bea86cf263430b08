//! Whose consumption retention waits for.

/// Which groups have to have passed a record before retention may remove it (`retention.consumed`, which
/// Kafka does not have).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RetentionConsumed {
    /// None: records go when they are too old or too many, as in Kafka. The default.
    #[default]
    Off,
    /// Every group that has committed offsets for the topic. As long as there is none, nothing goes.
    EveryGroup,
    /// These groups. One that has committed nothing for a partition keeps all of it.
    Groups(Vec<String>),
}

/// Stands for every group.
const EVERY_GROUP: &str = "*";

/// What [`parse`] takes, for messages.
pub(super) const ALLOWED: &str = "empty, *, or a list of group names without blanks around them";

/// Reads the list form; `None` if it has an empty name, or `*` among names.
pub(super) fn parse(list: &str) -> Option<RetentionConsumed> {
    match list {
        "" => return Some(RetentionConsumed::Off),
        EVERY_GROUP => return Some(RetentionConsumed::EveryGroup),
        _ => {}
    }
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    names
        .iter()
        .all(|name| is_name(name))
        .then_some(RetentionConsumed::Groups(names))
}

pub(super) fn print(consumed: &RetentionConsumed) -> String {
    match consumed {
        RetentionConsumed::Off => String::new(),
        RetentionConsumed::EveryGroup => EVERY_GROUP.to_owned(),
        RetentionConsumed::Groups(names) => names.join(","),
    }
}

/// True if the names can be written down as a list: they read back as they are.
pub(super) fn can_be_listed(consumed: &RetentionConsumed) -> bool {
    match consumed {
        RetentionConsumed::Groups(names) => {
            !names.is_empty()
                && names
                    .iter()
                    .all(|name| is_name(name) && !name.contains(','))
        }
        RetentionConsumed::Off | RetentionConsumed::EveryGroup => true,
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != EVERY_GROUP
        && name.trim() == name
        && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> RetentionConsumed {
        RetentionConsumed::Groups(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        for (text, value) in [
            ("", RetentionConsumed::Off),
            ("*", RetentionConsumed::EveryGroup),
            ("billing", groups(&["billing"])),
            ("billing,audit log", groups(&["billing", "audit log"])),
        ] {
            assert_eq!(parse(text).as_ref(), Some(&value), "{text:?}");
            assert_eq!(print(&value), text);
            assert!(can_be_listed(&value));
        }
        assert_eq!(parse("a , b"), Some(groups(&["a", "b"])));
    }

    #[test]
    fn lists_that_mean_nothing_are_refused() {
        for text in [",", "a,", "a,,b", "a,*", "*,*", "a\nb"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        for names in [&[][..], &[""], &["*"], &["a,b"], &[" a"]] {
            assert!(!can_be_listed(&groups(names)), "{names:?}");
        }
    }
}
