//! Each disk operation of the workload fails, in each way it can.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamlog::Error;
use streamlog::sim::{Fault, Operation, SimDisk};

use super::workload::Run;

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
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

#[derive(Debug, Clone, Copy)]
struct Case {
    operation: Operation,
    at: u64,
    kind: Kind,
    sticky: bool,
}

const KINDS: [Kind; 9] = [
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
    fn strikes(self, operation: Operation) -> bool {
        use Operation as Op;
        let changes = matches!(
            operation,
            Op::Open
                | Op::Write
                | Op::SetLength
                | Op::CreateDir
                | Op::Rename
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

    fn fault(self, operation: Operation) -> Fault {
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
    fn explains(self, error: &Error) -> bool {
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

#[test]
fn whatever_fails_no_acknowledged_record_is_lost_and_none_is_invented() {
    let cases = cases();
    let next = AtomicUsize::new(0);
    let (tally, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match catch_unwind(AssertUnwindSafe(|| case.run())) {
                Ok(failed) => {
                    let mut tally = tally.lock().unwrap();
                    let entry: &mut (u32, u32) = tally.entry(case.kind).or_default();
                    entry.0 += 1;
                    entry.1 += u32::from(failed);
                }
                Err(_) => failures.lock().unwrap().push(*case),
            }
            if failures.lock().unwrap().len() >= 20 {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    println!(
        "{} runs (runs, of which a call failed): {:?}",
        cases.len(),
        tally.into_inner().unwrap()
    );
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "wrong outcomes: {failures:#?}");
}

/// Every operation of a run without failures, with every way to fail.
fn cases() -> Vec<Case> {
    let mut sound = Run::new(SimDisk::new());
    sound.run();
    assert!(sound.errors.is_empty(), "{:?}", sound.errors);
    assert!(sound.promises.iter().all(|promise| promise.acked > 0));
    let mut cases = Vec::new();
    for operation in Operation::ALL {
        let count = sound.disk.count(operation);
        for kind in KINDS.into_iter().filter(|kind| kind.strikes(operation)) {
            for at in 0..count {
                cases.extend([false, true].map(|sticky| Case {
                    operation,
                    at,
                    kind,
                    sticky,
                }));
            }
        }
    }
    cases
}

impl Case {
    /// True if a call failed.
    fn run(&self) -> bool {
        let disk = if self.kind == Kind::LostSync {
            SimDisk::recording()
        } else {
            SimDisk::new()
        };
        let mut run = Run::new(disk.clone());
        let fault = self.kind.fault(self.operation).after(self.at);
        disk.fail(if self.sticky { fault.sticky() } else { fault });
        run.run();
        disk.clear_faults();
        for error in &run.errors {
            assert!(self.kind.explains(error), "{self:?}: {error:?}");
        }
        let failed = !run.errors.is_empty();
        if self.at.is_multiple_of(2) {
            // Killed.
            let disk = disk.duplicate();
            run.check(&disk, self.at.is_multiple_of(8));
        } else {
            // Dropped: which closes, as far as that works.
            run.close();
            run.check(&disk, self.at % 8 == 1);
        }
        failed
    }
}
