//! A waiter like the crate's, which has models of its own in `tests/loom`.

use shuttle::sync::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(crate) struct Waiter {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Waiter {
    pub(crate) fn reset(&self) {
        *self.woken.lock().unwrap() = false;
    }

    pub(crate) fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Sleeps until woken. For ever, if a wake-up is lost: shuttle reports that as a deadlock.
    pub(crate) fn wait(&self) {
        let woken = self.woken.lock().unwrap();
        drop(self.changed.wait_while(woken, |woken| !*woken).unwrap());
    }
}
