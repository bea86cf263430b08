//! Logs that are compacted: of each key the latest record stays.

use std::path::Path;
use std::time::Duration;

use streamlog::sim::SimDisk;
use streamlog::{Broker, Error, ManualClock, Result};

use super::sweep::{End, Workload, sweep};
use super::table::{Table, compacted};
use super::traces;
use crate::support::{self, START};

const TOPIC: &str = "table";
/// So long a tombstone stays.
const GRACE: Duration = Duration::from_secs(60);

struct Compaction {
    disk: SimDisk,
    clock: ManualClock,
    broker: Option<Broker>,
    table: Table,
    errors: Vec<Error>,
}

/// Five segments that were never compacted, closed in order.
fn prepared() -> SimDisk {
    let disk = SimDisk::new();
    let clock = ManualClock::new(START);
    let broker = support::open_at(&disk, &clock).expect("a sound disk opens");
    let config = compacted().delete_retention_ms(GRACE);
    broker.create_topic(TOPIC, config).expect("a topic");
    let mut table = Table::new(TOPIC);
    for round in 0..12 {
        let keys = [("a", true), ("b", round % 3 != 2), ("c", round < 5)];
        table
            .put(&broker, &keys[..2 + round % 2])
            .expect("appended");
    }
    broker.close().expect("closes");
    disk
}

#[test]
fn whatever_fails_while_logs_are_compacted_each_key_keeps_its_value() {
    sweep::<Compaction>("compaction", &prepared(), 2);
}

impl Compaction {
    fn broker(&self) -> Broker {
        self.broker.clone().expect("it is open")
    }

    fn note(&mut self, result: Result<()>) {
        self.errors.extend(result.err());
    }

    fn put(&mut self, keys: &[(&str, bool)]) {
        let done = self.table.put(&self.broker(), keys);
        self.note(done);
    }

    fn fill(&mut self) {
        for key in ["a", "d", "c", "a", "d"] {
            self.put(&[(key, true), ("b", false), ("e", true)]);
        }
    }

    fn clean(&mut self) -> Result<()> {
        // Tombstones that a pass has met are old enough.
        self.clock.advance(2 * GRACE);
        self.broker().run_housekeeping()
    }
}

impl Workload for Compaction {
    fn begin(disk: SimDisk) -> Self {
        let clock = ManualClock::new(START);
        let broker = support::open_at(&disk, &clock).expect("a sound disk opens");
        Self {
            table: Table::of(TOPIC, &broker),
            disk,
            clock,
            broker: Some(broker),
            errors: Vec::new(),
        }
    }

    fn work(&mut self) {
        self.put(&[("a", true), ("f", true)]);
        for _ in 0..2 {
            let cleaned = self.clean();
            self.note(cleaned);
            self.fill();
        }
    }

    fn errors(&self) -> &[Error] {
        &self.errors
    }

    fn look(&mut self, reads_fail: bool) {
        self.table.look(&self.broker(), reads_fail);
    }

    fn go_on(&mut self) {
        self.look(false);
        let log = self.table.log(&self.broker());
        let known = log.describe().expect("it is open");
        // Nobody knows what is on the device, so the log is left as it is.
        let is_left = self.table.stopped || known.compaction_failure.is_some();
        assert!(!is_left || !self.errors.is_empty(), "{known:?}");
        self.errors.clear();
        self.fill();
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        let cleaned = self.clean();
        if !is_left {
            cleaned.expect("a sound disk is compacted");
            self.table.assert_compacted(&self.broker());
            traces::assert_none(&self.disk, Path::new(support::DIR));
        }
        self.look(false);
    }

    fn close(&mut self) {
        let closed = self.broker.take().expect("it is open").close();
        assert!(self.table.stopped || closed.is_ok(), "{closed:?}");
    }

    fn check(&self, disk: &SimDisk, end: End) {
        let broker = support::open_at(disk, &self.clock).expect("a sound disk opens");
        let report = broker.recovery_report();
        assert!(!report.has_damage(), "{report:#?}");
        traces::assert_none(disk, Path::new(support::DIR));
        let mut table = self.table.clone();
        let lost = end == End::PowerLost;
        let log = table.check(&broker, if lost { table.durable } else { table.acked });
        table.go_on_at(log.high_watermark());
        for _ in 0..2 {
            for key in ["a", "c", "d"] {
                table
                    .put(&broker, &[(key, true), ("b", true)])
                    .expect("a sound disk takes more");
            }
            broker
                .run_housekeeping()
                .expect("a sound disk is compacted");
        }
        table.assert_compacted(&broker);
        table.look(&broker, false);
        traces::assert_none(disk, Path::new(support::DIR));
        broker.close().expect("a sound disk closes");
    }
}
