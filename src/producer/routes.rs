//! The way from a topic's name to the open batches of its partitions.
//!
//! Sending looks here for every record, so a look takes no lock and asks nobody: one snapshot of all
//! topics this producer has sent to, and the broker's version of them when it was taken. When that
//! version has risen, the snapshot is made anew. Partitions that are still there keep their
//! accumulators; those that are gone are *retired*: settled, and closed to senders who still hold
//! the old snapshot.
//!
//! Even taking hold of a snapshot costs two atomic writes, so the first few routes of a producer are
//! *kept* until it goes ([`KeptRoutes`]). A route says itself for which version of the topics it
//! holds; one that does not hold any more is passed over.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

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
    name: Arc<str>,
    /// Tells the topic from a later one of the same name. Weak, as a route may be kept for longer than
    /// its topic is there.
    topic: Weak<TopicState>,
    /// The broker's version of its topics at which this was last known to hold.
    version: AtomicU64,
    accumulators: Vec<Arc<Accumulator>>,
    pub(super) sticky: StickyPartition,
}

/// How many routes a producer keeps. More topics than this, or topics that were made anew or got
/// more partitions as often, cost a look into the snapshot for each record.
const KEPT: usize = 8;

/// The routes that a producer used first, found without a lock or a count of references.
#[derive(Debug, Default)]
pub(super) struct KeptRoutes([OnceLock<Arc<Route>>; KEPT]);

impl KeptRoutes {
    /// The route to `topic` that holds at `version` of the topics.
    #[inline]
    pub(super) fn get(&self, topic: &str, version: u64) -> Option<&Route> {
        let kept = self.0.iter().map_while(OnceLock::get);
        kept.map(|route| &**route)
            .find(|route| route.holds(version) && *route.name == *topic)
    }

    /// Keeps a route, if there is room.
    pub(super) fn keep(&self, route: &Arc<Route>) {
        let is_kept = |place: &OnceLock<Arc<Route>>| {
            Arc::ptr_eq(place.get_or_init(|| Arc::clone(route)), route)
        };
        let _ = self.0.iter().any(is_kept);
    }
}

impl Routes {
    pub(super) fn get(&self, topic: &str) -> Option<&Arc<Route>> {
        self.by_topic.get(topic)
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
                Ok(topic) if route.leads_to(&topic) => {
                    match route.grown(&topic, version, with) {
                        Some(grown) => *route = Arc::new(grown),
                        None => route.confirm(version),
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
            .or_insert_with(|| Arc::new(Route::new(wanted, version, &[], with)));
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
    fn new(
        topic: &Arc<TopicState>,
        version: u64,
        known: &[Arc<Accumulator>],
        with: &Renewal<'_>,
    ) -> Self {
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
            name: Arc::clone(&topic.name),
            topic: Arc::downgrade(topic),
            version: AtomicU64::new(version),
            accumulators,
            sticky,
        }
    }

    /// The route with the partitions that were added since; `None` if there are none.
    fn grown(&self, topic: &Arc<TopicState>, version: u64, with: &Renewal<'_>) -> Option<Self> {
        let grew = topic.partitions.load().len() > self.accumulators.len();
        grew.then(|| Self::new(topic, version, &self.accumulators, with))
    }

    /// True unless `topic` is another one, of the same name.
    fn leads_to(&self, topic: &Arc<TopicState>) -> bool {
        std::ptr::eq(self.topic.as_ptr(), Arc::as_ptr(topic))
    }

    #[inline]
    fn holds(&self, version: u64) -> bool {
        self.version.load(Ordering::Relaxed) == version
    }

    /// The topic and its partitions are still the same.
    fn confirm(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }

    /// How many partitions there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.accumulators.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn accumulator(&self, partition: u32) -> Result<&Arc<Accumulator>> {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.accumulators
            .get(index)
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.name.as_ref().to_owned(),
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
