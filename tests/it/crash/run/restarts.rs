//! The end of a broker, and the next one.

use streamlog::Broker;
use streamlog::sim::{CrashKind, CrashPlan};

use super::Run;
use crate::crash::ledger::{Ledger, NEVER, ledger_from};
use crate::crash::look::{DIR, look};

impl Run {
    /// Appends whose outcome was unknown: now it is known.
    pub(super) fn void_what_is_not_there(&mut self) {
        let now = self.disk.operation_count();
        let Some(broker) = &self.broker else { return };
        for topic in self
            .ledger
            .topics
            .iter_mut()
            .filter(|topic| topic.deletion_began == NEVER)
        {
            let handle = broker.topic(&topic.name).expect("the topic is there");
            for (partition, handle) in topic.partitions.iter_mut().zip(handle.partitions()) {
                let end = handle.high_watermark();
                for batch in partition
                    .batches
                    .iter_mut()
                    .filter(|batch| batch.void == NEVER && batch.end() > end)
                {
                    assert_eq!(
                        batch.acked, NEVER,
                        "an acknowledged batch is lost while the workload runs"
                    );
                    batch.void = now;
                }
            }
        }
    }

    pub(crate) fn close(&mut self) {
        self.learn_boundaries();
        let broker = self.broker.take().expect("the broker is open");
        broker.close().expect("the broker closes");
        self.all_is_durable(self.disk.operation_count());
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.open();
    }

    /// The process dies; another one starts on what it wrote.
    pub(crate) fn kill(&mut self) {
        self.deliveries.clear();
        let now = self.disk.operation_count();
        let state = self
            .disk
            .crash_states(now, CrashPlan::new(0))
            .next()
            .expect("a state");
        assert_eq!(state.kind, CrashKind::ProcessCrash);
        self.learn_boundaries();
        self.disk = state.disk;
        self.broker = None;
        self.open();
    }

    /// The process had died when it had just made the data directory, before anything was promised.
    pub(crate) fn begin_again_after_making_the_directory(&mut self) {
        let makes = |number: &usize| {
            let what = self.disk.describe_operation(*number);
            what.is_some_and(|what| what.starts_with("make directory"))
        };
        let made = (0..self.disk.operation_count()).find(makes);
        let at = made.expect("the directory is made") + 1;
        let mut states = self.disk.crash_states(at, CrashPlan::new(0));
        self.disk = states.next().expect("a state").disk;
        self.ledger = Ledger::default();
        self.broker = None;
        self.open();
    }

    /// The power fails; one of the possible outcomes (which one: `choice`) is what the next process
    /// finds. The past is forgotten: what was found is what there is.
    pub(crate) fn power_cut(&mut self, choice: usize) {
        self.deliveries.clear();
        let now = self.disk.operation_count();
        let plan = CrashPlan::new(choice as u64);
        let mut states: Vec<_> = self
            .disk
            .crash_states(now, plan)
            .filter(|state| state.kind == CrashKind::PowerLoss)
            .collect();
        self.disk = states.swap_remove(choice % states.len()).disk;
        self.broker = None;
        let builder = Broker::builder(DIR)
            .storage(self.disk.clone())
            .clock(self.clock.clone());
        let broker = builder
            .background(false)
            .offsets_topic_partitions(3)
            .seed(8)
            .durability(self.durability)
            .open()
            .expect("open");
        let found = look(&broker, &self.ledger).expect("what is left can be read");
        self.ledger = ledger_from(&found, &self.ledger);
        self.broker = Some(broker);
    }
}
