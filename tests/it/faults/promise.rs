//! A partition, and what was promised about it.

use streamlog::{Broker, Offset, Partition, Result};

use crate::support::{Model, append_at, partition, read_all};

/// See the module's description.
#[derive(Debug, Clone)]
pub struct Promise {
    pub topic: &'static str,
    pub number: u32,
    pub salt: u64,
    /// Acknowledged: these must be there.
    pub acked: Offset,
    /// Somebody was told that it may or may not be there.
    pub maybe: Offset,
    /// Acknowledged, and on the device.
    pub durable: Offset,
    /// Somebody was told that everything below is gone.
    pub start: Offset,
    /// What lies below may be gone, too.
    pub may_start: Offset,
    /// An outcome is indefinite: nothing more is appended until the broker is opened again.
    pub stopped: bool,
}

impl Promise {
    pub fn new(topic: &'static str, number: u32, salt: u64) -> Self {
        Self {
            topic,
            number,
            salt,
            acked: 0,
            maybe: 0,
            durable: 0,
            start: 0,
            may_start: 0,
            stopped: false,
        }
    }

    pub fn find(&self, broker: &Broker) -> Option<Partition> {
        broker.topic(self.topic).ok()?;
        Some(partition(broker, self.topic, self.number))
    }

    /// Appends one batch, and notes what becomes of it.
    pub fn append(&mut self, log: &Partition, count: u64) -> Result<Offset> {
        let result = append_at(log, self.salt, self.acked, count);
        self.note(&result, count);
        result
    }

    pub fn note(&mut self, result: &Result<Offset>, count: u64) {
        match result {
            Ok(offset) => {
                assert_eq!(
                    *offset, self.acked,
                    "{self:?}: an append that failed took offsets"
                );
                self.acked += count;
                self.maybe = self.acked;
            }
            Err(error) if error.is_indefinite() => {
                self.maybe = self.maybe.max(self.acked + count);
                self.stopped = true;
            }
            Err(_) => {}
        }
    }

    /// A call was made that may remove what lies below.
    pub fn may_start_at(&mut self, offset: Offset) {
        self.may_start = self.may_start.max(offset);
    }

    /// Reads everything while the broker is in use, and learns what it promises.
    pub fn look(&mut self, log: &Partition, reads_fail: bool) {
        self.start = log.log_start_offset();
        self.durable = log.durable_end().min(self.acked);
        self.stopped |= log
            .describe()
            .is_ok_and(|known| known.write_failure.is_some());
        assert!(self.start <= self.may_start, "{self:?}");
        let end = log.high_watermark();
        assert!(self.stopped || end == self.acked, "{self:?} ends at {end}");
        let seen = read_all(log, &Model::new(self.salt, self.maybe.max(self.acked)));
        if !reads_fail {
            let at_end = |error: &streamlog::Error| self.stopped && error.is_indefinite();
            assert!(seen.errors.iter().all(at_end), "{self:?}: {seen:?}");
            assert!(seen.has(self.start..end), "{self:?}");
        }
    }

    /// In a broker that was opened on a sound disk: what has to be there is, from `least` back, and what was
    /// removed is not.
    pub fn check(&self, broker: &Broker, least: Offset) -> Partition {
        let log = self.find(broker).expect("the topic is there");
        let (start, end) = (log.log_start_offset(), log.high_watermark());
        assert!(
            least <= end && end <= self.maybe.max(self.acked),
            "{self:?} ends at {end}"
        );
        assert!(
            self.start <= start && start <= self.may_start,
            "{self:?} starts at {start}"
        );
        let seen = read_all(&log, &Model::new(self.salt, end));
        assert!(seen.errors.is_empty(), "{self:?}: {:?}", seen.errors);
        assert!(seen.has(start..end), "{self:?}");
        log
    }
}

/// Commits are refused until the next open: nobody knows what is on the device of them.
pub fn have_offsets_stopped(broker: &Broker) -> bool {
    let topic = broker.topic("__consumer_offsets");
    let logs = topic.map_or_else(|_| Vec::new(), |topic| topic.partitions());
    let mut known = logs.iter().map(|log| log.describe().expect("it is open"));
    known.any(|known| known.write_failure.is_some())
}
