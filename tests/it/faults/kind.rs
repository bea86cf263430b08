//! The ways in which an operation of the disk can fail, and which errors callers may get from each.

use std::io::ErrorKind;

use streamlog::Error;
use streamlog::sim::{Fault, Operation};

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    InputOutput,
    NoSpace,
    TooManyFiles,
    ReadOnly,
    Forbidden,
    Interrupted,
    ShortWrite,
    ShortRead,
    LostSync,
}

pub const KINDS: [Kind; 9] = [
    Kind::InputOutput,
    Kind::NoSpace,
    Kind::TooManyFiles,
    Kind::ReadOnly,
    Kind::Forbidden,
    Kind::Interrupted,
    Kind::ShortWrite,
    Kind::ShortRead,
    Kind::LostSync,
];

impl Kind {
    /// The operations that can fail this way. (Interrupted calls other than reads and writes are
    /// repeated by the standard library.)
    pub fn strikes(self, operation: Operation) -> bool {
        use Operation as Op;
        let changes = matches!(
            operation,
            Op::Open
                | Op::Write
                | Op::SetLength
                | Op::CreateDir
                | Op::Rename
                | Op::Link
                | Op::Remove
                | Op::Lock
        );
        match self {
            Self::InputOutput => true,
            Self::NoSpace => {
                (changes && operation != Op::Remove) || matches!(operation, Op::Sync | Op::SyncDir)
            }
            Self::TooManyFiles => matches!(
                operation,
                Op::Open | Op::Map | Op::List | Op::Lock | Op::SyncDir
            ),
            Self::ReadOnly => changes,
            Self::Forbidden => changes || operation == Op::List,
            Self::Interrupted => matches!(operation, Op::Read | Op::Write),
            Self::ShortWrite => operation == Op::Write,
            Self::ShortRead => operation == Op::Read,
            Self::LostSync => operation == Op::Sync,
        }
    }

    pub fn fault(self, operation: Operation) -> Fault {
        match self {
            Self::InputOutput => Fault::os_error(operation, 5),
            Self::NoSpace => Fault::os_error(operation, 28),
            Self::TooManyFiles => Fault::os_error(operation, 24),
            Self::ReadOnly => Fault::os_error(operation, 30),
            Self::Forbidden => Fault::os_error(operation, 13),
            Self::Interrupted => Fault::error(operation, ErrorKind::Interrupted),
            Self::ShortWrite => Fault::short_write(1),
            Self::ShortRead => Fault::short_read(1),
            Self::LostSync => Fault::lost_sync(),
        }
    }

    /// The errors that callers may get from it.
    pub fn explains(self, error: &Error) -> bool {
        match (self, error) {
            (Self::Interrupted | Self::ShortWrite | Self::ShortRead, _) => false,
            (_, Error::StorageFailed { .. })
            | (Self::InputOutput | Self::Forbidden | Self::LostSync, Error::Io { .. })
            | (Self::NoSpace, Error::DiskFull { .. })
            | (Self::TooManyFiles, Error::TooManyOpenFiles { .. })
            | (Self::ReadOnly, Error::ReadOnly { .. }) => true,
            _ => false,
        }
    }
}
