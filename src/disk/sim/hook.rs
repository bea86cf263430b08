//! Something else that happens right before an operation: how a test has two threads meet at a certain place.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::{Operation, SimDisk};

/// What is still to happen.
#[derive(Default)]
pub(super) struct Hooks(Mutex<Vec<Hook>>);

struct Hook {
    operation: Operation,
    path: String,
    work: Box<dyn FnOnce() + Send>,
}

/// Work of another thread: see [`SimDisk::meanwhile`].
pub(crate) struct Meanwhile<T>(Receiver<JoinHandle<T>>);

impl SimDisk {
    /// Does something right before the next operation of this kind on a path that contains `path`, once, on the
    /// thread that asks for the operation. A rename or link goes by the new name.
    pub(crate) fn before(
        &self,
        operation: Operation,
        path: &str,
        work: impl FnOnce() + Send + 'static,
    ) {
        self.inner.hooks.0.lock().push(Hook {
            operation,
            path: path.to_owned(),
            work: Box::new(work),
        });
    }

    /// Has another thread do something right before an operation. The operation waits for it, unless that
    /// would be for ever: if `is_kept_out` says that the other thread has to wait for this one.
    pub(crate) fn meanwhile<T: Send + 'static>(
        &self,
        operation: Operation,
        path: &str,
        is_kept_out: impl FnOnce() -> bool + Send + 'static,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Meanwhile<T> {
        let (sender, receiver) = channel();
        self.before(operation, path, move || {
            let is_kept_out = is_kept_out();
            let other = thread::spawn(work);
            while !is_kept_out && !other.is_finished() {
                thread::yield_now();
            }
            sender.send(other).expect("the test waits for it");
        });
        Meanwhile(receiver)
    }
}

impl<T> Meanwhile<T> {
    /// Waits for the other thread.
    pub(crate) fn outcome(self) -> T {
        let other = self.0.try_recv().expect("it came to the operation");
        other.join().expect("no panic")
    }
}

impl Hooks {
    pub(super) fn run(&self, operation: Operation, path: &Path) {
        let due: Vec<_> = {
            let mut hooks = self.0.lock();
            let is_due = |hook: &mut Hook| {
                hook.operation == operation && path.to_string_lossy().contains(&hook.path)
            };
            hooks.extract_if(.., is_due).collect()
        };
        for hook in due {
            (hook.work)();
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks = self.0.lock();
        let paths = hooks.iter().map(|hook| &hook.path);
        f.debug_list().entries(paths).finish()
    }
}
