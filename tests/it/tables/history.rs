//! What was written to one partition, and what a reader may be shown of it.
//!
//! Too simple to be wrong: a list of all records ever written, by offset, and for each key its offsets.
//! From when on compaction may take a record follows from the configurations that were in force.

use std::collections::BTreeMap;

use streamlog::{Offset, TopicConfig};

/// A record as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub key: Option<String>,
    /// `None` deletes the key.
    pub value: Option<String>,
    pub timestamp: i64,
}

#[derive(Debug)]
struct Kept {
    written: Written,
    /// Compaction may take it from then on, if a later record has its key.
    compacted_from: i64,
    /// If it is a tombstone: compaction may take it from then on, latest or not.
    deleted_from: i64,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct History {
    records: Vec<Kept>,
    by_key: BTreeMap<String, Vec<Offset>>,
    /// The highest start that was seen.
    pub start: Offset,
    /// How much the clock may have gone on since a pass that is at work looked at it, in milliseconds.
    slack: i64,
}

/// What somebody saw as the last record of each key.
pub type Table = BTreeMap<String, Offset>;

impl History {
    pub fn new(slack: i64) -> Self {
        Self {
            slack,
            ..Self::default()
        }
    }

    pub fn end(&self) -> Offset {
        self.records.len() as u64
    }

    pub fn push(&mut self, written: Written, config: &TopicConfig, now: i64) {
        if let Some(key) = &written.key {
            let offsets = self.by_key.entry(key.clone()).or_default();
            offsets.push(self.records.len() as u64);
        }
        let mut kept = Kept {
            written,
            compacted_from: i64::MAX,
            deleted_from: i64::MAX,
        };
        kept.note(config, now, self.slack);
        self.records.push(kept);
    }

    /// Another configuration is in force from `now` on.
    pub fn alter(&mut self, config: &TopicConfig, now: i64) {
        for kept in &mut self.records {
            kept.note(config, now, self.slack);
        }
    }

    pub fn written(&self, offset: Offset) -> Option<&Written> {
        let kept = self.records.get(usize::try_from(offset).ok()?)?;
        Some(&kept.written)
    }

    /// The latest record of a key below `end`.
    fn latest(&self, key: &str, end: Offset) -> Option<Offset> {
        let offsets = self.by_key.get(key)?;
        let below = offsets.partition_point(|offset| *offset < end);
        offsets.get(below.checked_sub(1)?).copied()
    }

    /// True if a reader at time `now` may not find the record of this offset.
    pub fn may_be_gone(&self, offset: Offset, now: i64) -> bool {
        let Some(kept) = usize::try_from(offset)
            .ok()
            .and_then(|at| self.records.get(at))
        else {
            return false;
        };
        let Some(key) = &kept.written.key else {
            return now >= kept.compacted_from;
        };
        let is_latest = self.latest(key, self.end()) == Some(offset);
        let is_over = kept.written.value.is_none() && now >= kept.deleted_from;
        now >= kept.compacted_from && (!is_latest || is_over)
    }

    /// The first record of these offsets that has to be there, and was not shown.
    pub fn missing(&self, mut skipped: std::ops::Range<Offset>, now: i64) -> Option<String> {
        skipped.start = skipped.start.max(self.start);
        let offset = skipped.find(|offset| !self.may_be_gone(*offset, now))?;
        let kept = self.records.get(usize::try_from(offset).ok()?)?;
        Some(format!("{offset} at {now}: {kept:?}"))
    }

    /// What is wrong with a table that was read from the start to `end`, without a pause if `at_once`.
    pub fn check_table(
        &self,
        seen: &Table,
        end: Offset,
        now: i64,
        at_once: bool,
    ) -> Option<String> {
        for key in self.by_key.keys() {
            let Some(latest) = self.latest(key, end).filter(|it| *it >= self.start) else {
                // All of them are below the start; a reader that was slow may have seen some.
                if at_once && seen.contains_key(key) {
                    return Some(format!("{key} was seen, and all of it was deleted"));
                }
                continue;
            };
            let found = seen
                .get(key)
                .copied()
                .filter(|it| at_once || *it >= self.start);
            let kept = &self.records[usize::try_from(latest).ok()?];
            let may_be_over = kept.written.value.is_none()
                && now >= kept.deleted_from
                && (found.is_none() || !at_once);
            if found != Some(latest) && !may_be_over {
                return Some(format!(
                    "the last of {key} below {end} is {latest} ({:?}), seen was {found:?}",
                    kept.written
                ));
            }
        }
        None
    }

    /// The newest timestamp of the records of a range that have to be there.
    pub fn newest(&self, offsets: std::ops::Range<Offset>, now: i64) -> Option<i64> {
        let there = offsets.filter(|offset| !self.may_be_gone(*offset, now));
        there
            .filter_map(|it| self.written(it))
            .map(|it| it.timestamp)
            .max()
    }
}

impl Kept {
    fn note(&mut self, config: &TopicConfig, now: i64, slack: i64) {
        let millis = |key| -> i64 {
            let text = config.get(key).expect("it is one of Kafka's");
            text.parse().expect("it is a number")
        };
        if !compacts(config) {
            return;
        }
        let lag = millis("min.compaction.lag.ms");
        let age = self.written.timestamp.saturating_add(lag);
        self.compacted_from = self.compacted_from.min(age.max(now));
        // Counted from the pass that meets it first; that may have begun before it was written.
        let earliest = if lag == 0 { i64::MIN } else { age };
        let first_met = earliest
            .max(now - slack)
            .saturating_add(millis("delete.retention.ms"));
        self.deleted_from = self.deleted_from.min(first_met);
    }
}

/// True if records go from the front of the log.
pub fn deletes(config: &TopicConfig) -> bool {
    policy(config) != "compact"
}

/// True if records without a key are refused.
pub fn compacts(config: &TopicConfig) -> bool {
    policy(config) != "delete"
}

fn policy(config: &TopicConfig) -> String {
    config.get("cleanup.policy").expect("it is one of Kafka's")
}
