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
    /// Groups that have a member. The lock is held for a look and a change; across I/O only by
    /// [`with_empty`](Self::with_empty). It comes before the locks of the offsets.
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

    /// True if the group has a member.
    pub(crate) fn is_live(&self, group: &str) -> bool {
        self.groups.lock().contains(group)
    }

    /// The groups that have a member, sorted.
    pub(crate) fn live_groups(&self) -> Vec<String> {
        self.groups.lock().iter().cloned().collect()
    }

    /// Does something to a group that has no member; nobody joins before it is done.
    ///
    /// # Errors
    /// `GroupNotEmpty` if the group has a member; `action` did not run then.
    pub(crate) fn with_empty<T>(
        &self,
        group: &str,
        action: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let groups = self.groups.lock();
        if groups.contains(group) {
            return Err(Error::GroupNotEmpty {
                group: group.to_owned(),
                members: 1,
            });
        }
        action()
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

    #[test]
    fn what_needs_an_empty_group_is_refused_while_it_has_a_member() {
        let members = GroupMembers::default();
        let member = members.join("g").unwrap();
        let refused = members.with_empty("g", || -> Result<()> { unreachable!() });
        assert!(matches!(refused, Err(Error::GroupNotEmpty { group, members: 1 }) if group == "g"));
        assert_eq!(members.with_empty("other", || Ok(7)).unwrap(), 7);
        drop(member);
        assert_eq!(members.with_empty("g", || Ok(7)).unwrap(), 7);
    }
}
