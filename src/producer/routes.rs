//! The way from a topic's name to the open batches of its partitions.
//!
//! Sending looks here for every record, so a look takes no lock and asks nobody: one snapshot of all
//! topics this producer has sent to, and the broker's version of them when it was taken. When that
//! version has risen, the snapshot is made anew. Partitions that are still there keep their
//! accumulators; those that are gone are *retired*: settled, and closed to senders who still hold
//! the old snapshot.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::accumulator::Accumulator;
use super::partitioner::{Random, StickyPartition, murmur2};
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::topic::TopicState;

/// A snapshot of the topics that the producer sends to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// The broker's version of its topics when this was made.
    pub(super) version: u64,
    by_topic: HashMap<Arc<str>, Arc<Route>, BuildHasherDefault<NameHasher>>,
}

/// One topic.
#[derive(Debug)]
pub(super) struct Route {
    topic: Arc<TopicState>,
    accumulators: Vec<Arc<Accumulator>>,
    pub(super) sticky: StickyPartition,
}

impl Routes {
    pub(super) fn get(&self, topic: &str) -> Option<&Route> {
        self.by_topic.get(topic).map(|route| &**route)
    }

    pub(super) fn accumulators(&self) -> impl Iterator<Item = &Arc<Accumulator>> {
        self.by_topic.values().flat_map(|route| &route.accumulators)
    }

    /// The same topics as they are now, and `wanted`. Read `version` before calling, so that a change
    /// meanwhile is seen next time.
    pub(super) fn renewed(
        &self,
        version: u64,
        wanted: &Arc<TopicState>,
        with: &Renewal<'_>,
    ) -> Self {
        let mut by_topic = self.by_topic.clone();
        if version != self.version {
            by_topic.retain(|name, route| match with.shared.broker.topic(name) {
                Ok(topic) if Arc::ptr_eq(&topic, &route.topic) => {
                    if let Some(grown) = route.grown(with) {
                        *route = Arc::new(grown);
                    }
                    true
                }
                _ => {
                    route
                        .accumulators
                        .iter()
                        .for_each(|accumulator| accumulator.retire());
                    false
                }
            });
        }
        by_topic
            .entry(Arc::clone(&wanted.name))
            .or_insert_with(|| Arc::new(Route::new(wanted, &[], with)));
        Self { version, by_topic }
    }
}

/// What making routes takes.
pub(super) struct Renewal<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) random: &'a Random,
}

impl Route {
    /// A route to all partitions of `topic`, of which the first ones have accumulators already.
    fn new(topic: &Arc<TopicState>, known: &[Arc<Accumulator>], with: &Renewal<'_>) -> Self {
        let partitions = topic.partitions.load();
        let new = partitions.iter().skip(known.len());
        let new = new.map(|partition| {
            Arc::new(Accumulator::new(
                Arc::clone(with.shared),
                Arc::clone(partition),
            ))
        });
        let accumulators: Vec<_> = known.iter().cloned().chain(new).collect();
        let count = u32::try_from(accumulators.len()).unwrap_or(u32::MAX);
        let sticky = StickyPartition::new(with.random.below(count));
        Self {
            topic: Arc::clone(topic),
            accumulators,
            sticky,
        }
    }

    /// The route with the partitions that were added since; `None` if there are none.
    fn grown(&self, with: &Renewal<'_>) -> Option<Self> {
        let grew = self.topic.partitions.load().len() > self.accumulators.len();
        grew.then(|| Self::new(&self.topic, &self.accumulators, with))
    }

    /// How many partitions there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.accumulators.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn accumulator(&self, partition: u32) -> Result<&Arc<Accumulator>> {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.accumulators
            .get(index)
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.topic.name.as_ref().to_owned(),
                partition,
                count: self.count(),
            })
    }
}

/// Hashes topic names faster than the standard library's hasher, which also withstands keys chosen
/// by an attacker. Only names of existing topics get in here.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The table wants good high bits, which a multiplication by an odd number gives.
        self.0 = (self.0 ^ u64::from(murmur2(bytes))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The end of a string, which adds nothing: there is one string per key.
    fn write_u8(&mut self, _byte: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
