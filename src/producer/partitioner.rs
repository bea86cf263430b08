//! Which partition a record goes to.
//!
//! The order is Kafka's: the record's own partition, else what the producer's [`Partitioner`] says,
//! else the *sticky* partition of the topic: records without a preference gather in one partition
//! until a batch's worth of bytes is there, so that batches get full even with many partitions.
//!
//! Everything here is a pure choice; sending, and when a batch is full, is in `accumulator`.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Chooses the partition of records that do not name one.
///
/// It runs on the threads that send, outside of all locks.
///
/// ```
/// use streamlog::{Murmur2Partitioner, Partitioner};
///
/// /// Important customers have partition 0 for themselves; all others are spread by key.
/// #[derive(Debug, Default)]
/// struct ImportantFirst {
///     others: Murmur2Partitioner,
/// }
///
/// impl Partitioner for ImportantFirst {
///     fn partition(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, count: u32) -> Option<u32> {
///         if count == 1 || key.is_some_and(|key| key.starts_with(b"vip-")) {
///             return Some(0);
///         }
///         self.others.partition(topic, key, value, count - 1).map(|partition| partition + 1)
///     }
/// }
/// ```
pub trait Partitioner: Debug + Send + Sync + 'static {
    /// The partition for a record of `topic`, which has `count` (at least 1) partitions, numbered
    /// from 0. A number outside makes the send fail with
    /// [`Error::UnknownPartition`](crate::Error::UnknownPartition). `None` leaves the choice to the
    /// producer, which fills one partition's batch after the other.
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        count: u32,
    ) -> Option<u32>;
}

/// Kafka's default: equal keys go to equal partitions, the same as with Kafka's own client; records
/// without a key stick to one partition until a batch of them is full.
///
/// An empty key is a key. Adding partitions to a topic changes where keys go; records that are there
/// stay where they are.
///
/// ```
/// use streamlog::{Murmur2Partitioner, Partitioner};
///
/// let partitioner = Murmur2Partitioner::default();
/// assert_eq!(partitioner.partition("orders", Some(b"alice"), None, 10), Some(9));
/// assert_eq!(partitioner.partition("orders", None, None, 10), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Murmur2Partitioner {
    ignore_keys: bool,
}

impl Murmur2Partitioner {
    /// Spreads records with a key like those without (Kafka's `partitioner.ignore.keys`). Default:
    /// false. For topics where keys are mere payload: batches get fuller, keys lose their order.
    #[must_use]
    pub fn ignore_keys(mut self, ignore_keys: bool) -> Self {
        self.ignore_keys = ignore_keys;
        self
    }
}

impl Partitioner for Murmur2Partitioner {
    fn partition(
        &self,
        _topic: &str,
        key: Option<&[u8]>,
        _value: Option<&[u8]>,
        count: u32,
    ) -> Option<u32> {
        let key = key.filter(|_| !self.ignore_keys)?;
        if count == 1 {
            return Some(0);
        }
        // The positive part by mask, not by absolute value: as Kafka has it.
        (murmur2(key) & 0x7fff_ffff).checked_rem(count)
    }
}

/// One partition after the other, whatever the key: Kafka's `RoundRobinPartitioner`.
///
/// Every topic has its own turn, which starts at partition 0. It spreads records evenly one by one,
/// at the price of small batches: the default spreads evenly too, in batches.
///
/// ```
/// use streamlog::{Partitioner, RoundRobinPartitioner};
///
/// let partitioner = RoundRobinPartitioner::default();
/// let chosen: Vec<_> = (0..4).filter_map(|_| partitioner.partition("orders", None, None, 3)).collect();
/// assert_eq!(chosen, [0, 1, 2, 0]);
/// ```
#[derive(Debug, Default)]
pub struct RoundRobinPartitioner {
    /// How many records each topic had. A leaf in the lock order.
    turns: Mutex<HashMap<Box<str>, u32>>,
}

impl Partitioner for RoundRobinPartitioner {
    fn partition(
        &self,
        topic: &str,
        _key: Option<&[u8]>,
        _value: Option<&[u8]>,
        count: u32,
    ) -> Option<u32> {
        let mut turns = self.turns.lock();
        let turn = match turns.get_mut(topic) {
            Some(turn) => {
                *turn = turn.wrapping_add(1);
                *turn
            }
            None => *turns.entry(topic.into()).or_default(),
        };
        turn.checked_rem(count)
    }
}

/// `MurmurHash2`, 32 bit, with the seed of Kafka's clients.
pub(super) fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Kafka hashes the length as an `i32`: of longer keys, which no batch can hold, the low bits.
    let length = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    // One arm a length: a copy of so few bytes would be a call, and wait for its own store.
    let last = match *tail {
        [a] => Some([a, 0, 0, 0]),
        [a, b] => Some([a, b, 0, 0]),
        [a, b, c] => Some([a, b, c, 0]),
        _ => None,
    };
    if let Some(last) = last {
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition that a topic's records without a preference go to at present.
///
/// Threads share it without a lock. They may overwrite each other's count of bytes; then a partition
/// is kept a little longer, which is all that can go wrong.
#[derive(Debug)]
pub(super) struct StickyPartition {
    current: AtomicU32,
    /// Bytes that went to `current` since it was chosen.
    bytes: AtomicUsize,
}

impl StickyPartition {
    pub(super) fn new(partition: u32) -> Self {
        Self {
            current: AtomicU32::new(partition),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn current(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// Counts a record of `size` bytes that went to the current partition.
    pub(super) fn count(&self, size: usize) {
        self.bytes.store(
            self.bytes.load(Ordering::Relaxed).saturating_add(size),
            Ordering::Relaxed,
        );
    }

    /// True if another partition is due, and this is the moment for it.
    ///
    /// `next` is the size of the next record. A switch is due once `batch_size` bytes went to the
    /// partition, and best when a batch was just closed (`batch_closed`), since it leaves no small
    /// batch behind. If other records share the partition, that moment may not come: then twice
    /// the size is enough. Both rules are Kafka's.
    pub(super) fn is_due(&self, next: usize, batch_size: usize, batch_closed: bool) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let limit = if batch_closed {
            batch_size
        } else {
            batch_size.saturating_mul(2)
        };
        bytes > 0 && bytes.saturating_add(next) > limit
    }

    /// Moves on from partition `from`, unless another thread did. Never to the same one, if there
    /// are others.
    pub(super) fn switch(&self, from: u32, count: u32, random: &Random) {
        let others = count.saturating_sub(1);
        let step = 1 + random.below(others);
        let (from_, step, count) = (u64::from(from), u64::from(step), u64::from(count.max(1)));
        let next = u32::try_from((from_ + step) % count).unwrap_or(0);
        if self
            .current
            .compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.bytes.store(0, Ordering::Relaxed);
        }
    }
}

/// A small random generator (xorshift64*): one seed, one sequence, so that simulations repeat.
#[derive(Debug)]
pub(super) struct Random {
    state: AtomicU64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // One round of splitmix64: neighbouring seeds give unrelated sequences. Zero is a fixed point.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self {
            state: AtomicU64::new((mixed ^ (mixed >> 31)).max(1)),
        }
    }

    /// A number below `bound`; 0 if that is 0. Threads that race may draw the same number.
    pub(super) fn below(&self, bound: u32) -> u32 {
        let mut state = self.state.load(Ordering::Relaxed);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.state.store(state, Ordering::Relaxed);
        let high = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // Scales 32 random bits to the range, without the cost or the bias of a remainder.
        u32::try_from((high * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../../tests/vectors/record-batches/murmur2.json");

    /// The vectors give keys in base64.
    fn base64(text: &str) -> Vec<u8> {
        let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for symbol in text.bytes().filter(|symbol| *symbol != b'=') {
            let value = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                _ => 63,
            };
            bits = (bits << 6) | u32::from(value);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
            }
        }
        bytes
    }

    #[test]
    fn keys_go_where_kafkas_own_client_sends_them() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 31);
        for vector in vectors {
            let key = base64(vector["key_base64"].as_str().unwrap());
            assert_eq!(
                u64::from(murmur2(&key)),
                vector["murmur2_u32"].as_u64().unwrap(),
                "{key:?}"
            );
            let partitions = vector["partition"].as_object().unwrap();
            assert_eq!(partitions.len(), 12);
            for (count, expected) in partitions {
                let chosen = Murmur2Partitioner::default().partition(
                    "t",
                    Some(&key),
                    None,
                    count.parse().unwrap(),
                );
                assert_eq!(
                    chosen.map(u64::from),
                    expected.as_u64(),
                    "{key:?} of {count}"
                );
            }
        }
    }

    #[test]
    fn null_keys_have_no_preference_but_empty_ones_have() {
        let partitioner = Murmur2Partitioner::default();
        assert_eq!(partitioner.partition("t", None, None, 3), None);
        assert_eq!(partitioner.partition("t", Some(b""), None, 3), Some(0));
        assert_eq!(
            partitioner
                .ignore_keys(true)
                .partition("t", Some(b""), None, 3),
            None
        );
    }

    #[test]
    fn round_robin_gives_each_topic_its_own_turn() {
        let partitioner = RoundRobinPartitioner::default();
        let mut chosen = Vec::new();
        for _ in 0..4 {
            chosen.push(partitioner.partition("a", Some(b"same"), None, 3).unwrap());
            chosen.push(partitioner.partition("b", None, None, 2).unwrap());
        }
        assert_eq!(chosen, [0, 0, 1, 1, 2, 0, 0, 1]);
        assert_eq!(partitioner.partition("a", None, None, 0), None);
    }

    #[test]
    fn the_sticky_partition_is_kept_until_a_batch_of_bytes_went_there() {
        let sticky = StickyPartition::new(2);
        sticky.count(60);
        assert!(!sticky.is_due(40, 100, true));
        assert!(
            sticky.is_due(41, 100, true),
            "the next record opens a new batch"
        );
        assert!(
            !sticky.is_due(140, 100, false),
            "a small batch would be left behind"
        );
        assert!(sticky.is_due(141, 100, false), "twice the size is enough");
        sticky.switch(2, 3, &Random::new(1));
        assert_ne!(sticky.current(), 2);
        assert!(
            !sticky.is_due(1_000, 100, true),
            "a fresh choice takes one record at least"
        );
    }

    #[test]
    fn only_one_of_two_threads_that_saw_the_same_partition_switches() {
        let (sticky, random) = (StickyPartition::new(0), Random::new(1));
        sticky.switch(0, 100, &random);
        let chosen = sticky.current();
        sticky.switch(0, 100, &random);
        assert_eq!(sticky.current(), chosen);
    }

    #[test]
    fn a_switch_goes_to_every_other_partition_and_never_to_the_same() {
        let (sticky, random) = (StickyPartition::new(0), Random::new(7));
        let mut visits = [0; 5];
        for _ in 0..5_000 {
            let from = sticky.current();
            sticky.switch(from, 5, &random);
            assert_ne!(sticky.current(), from);
            visits[usize::try_from(sticky.current()).unwrap()] += 1;
        }
        assert!(
            visits.iter().all(|visits| (800..1_200).contains(visits)),
            "{visits:?}"
        );
        let single = StickyPartition::new(0);
        single.switch(0, 1, &random);
        assert_eq!(single.current(), 0);
    }

    #[test]
    fn equal_seeds_give_equal_choices_and_neighbours_differ() {
        let draw = |seed| {
            let random = Random::new(seed);
            (0..8).map(|_| random.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
        assert_eq!(Random::new(3).below(0), 0);
    }
}
