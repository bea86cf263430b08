//! Who is in which group.
//!
//! For now a group has at most one member: it owns all partitions it subscribes to, and a second one
//! is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// The live members of all groups. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupMembers {
    /// Groups that have a member. The lock is held for a look and a change, never across I/O.
    groups: Arc<Mutex<BTreeSet<String>>>,
}

/// Membership in a group; dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct Membership {
    members: GroupMembers,
    group: String,
}

impl GroupMembers {
    /// Joins a group that has no member.
    pub(crate) fn join(&self, group: &str) -> Result<Membership> {
        if !self.groups.lock().insert(group.to_owned()) {
            return Err(Error::GroupMaxSizeReached {
                group: group.to_owned(),
            });
        }
        Ok(Membership {
            members: self.clone(),
            group: group.to_owned(),
        })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.members.groups.lock().remove(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_member_until_it_leaves() {
        let members = GroupMembers::default();
        let first = members.join("g").unwrap();
        assert!(
            matches!(members.join("g"), Err(Error::GroupMaxSizeReached { group }) if group == "g")
        );
        let other = members.join("other").unwrap();
        drop(first);
        members.join("g").unwrap();
        drop(other);
    }
}
