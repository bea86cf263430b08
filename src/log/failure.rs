//! What ends a log's growth: a write or sync that failed, which stops it until it is opened again, and damage
//! that makes appends unsafe.

use super::Log;
use crate::error::{Error, Result};

/// Why nothing is written any more.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: String,
    /// What readers may see: of the rest nobody knows whether it will ever be on the device.
    pub(super) readable: Readable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// All good batches: a write failed, and that says nothing of those before it.
    Written,
    /// What an earlier sync covered: a sync failed.
    Durable,
}

impl Log {
    /// Stops the log after a failed sync: what is on disk is unknown now.
    pub(super) fn fail(&self, cause: &Error) -> Error {
        self.stop(cause, Readable::Durable)
    }

    /// Stops the log after a failed write: what is behind the last good batch is unknown now.
    pub(super) fn fail_write(&self, cause: &Error) -> Error {
        self.stop(cause, Readable::Written)
    }

    fn stop(&self, cause: &Error, readable: Readable) -> Error {
        let cause_text = cause.to_string();
        let _ = self.failure.set(Failure {
            cause: cause_text,
            readable,
        });
        self.commit.wake_all();
        self.check_failure().err().unwrap_or_else(|| cause.clone())
    }

    /// `Err(StorageFailed)` if a write or sync failed since the log was opened.
    pub(crate) fn check_failure(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(failure) => Err(Error::StorageFailed {
                partition: self.id.to_string(),
                cause: failure.cause.clone(),
            }),
        }
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_failure()?;
        self.damage
            .get()
            .map_or(Ok(()), |damage| Err(damage.clone()))
    }

    /// What makes appends be refused, if anything does.
    pub(crate) fn damage(&self) -> Option<&Error> {
        self.damage.get()
    }

    /// The damage that took the end of the log, if it ends before where it once did.
    pub(super) fn lost_end(&self) -> Option<&Error> {
        let is_lost = self.former_end > self.end_offset();
        self.damage().filter(|_| is_lost)
    }
}
