//! Keeps the names of files where they are while a checkpoint links them.
//!
//! Who renames or removes files of logs takes the guard *shared*: removals do not wait for each other. A
//! checkpoint takes it *exclusively*, from the moment that its cut is made until each file has its second
//! name. It is taken before the registry and the writers of logs.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// See the module's description. One for each broker.
#[derive(Debug, Default)]
pub(crate) struct NameGuard(RwLock<()>);

impl NameGuard {
    /// For who is going to change names of a log's files. Waits while a checkpoint needs them.
    pub(crate) fn change(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read()
    }

    /// The same without waiting, for what can wait: `None` while a checkpoint needs the names. When it
    /// does not any more, it has the segments removed that lie below the start of their log.
    pub(crate) fn try_change(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.0.try_read()
    }

    /// True if somebody changes names, or a checkpoint needs them.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_locked()
    }

    /// For a checkpoint: nobody changes names of files while this is held.
    pub(crate) fn keep(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write()
    }
}
