//! Two orders of the Java library that Kafka's sticky assignors let through to their results.
//!
//! They walk over `HashMap`s with member ids as keys, and take "the first" of a `HashSet` of partitions.
//! Both orders follow from the keys' hash codes, which Java specifies, and from how the tables grow.
//! Keys of one bucket come in the order of their insertion, except in a bucket of nine or more, which
//! becomes a tree; this is not followed here.

use std::cmp::Ordering;

use crate::record::TopicPartition;

/// `String.compareTo`: by UTF-16 code units.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// `String.hashCode`.
pub(super) fn hash_of_text(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// `TopicPartition.hashCode` of Kafka.
pub(super) fn hash_of_partition(partition: &TopicPartition) -> u32 {
    let number = partition.partition().wrapping_add(31);
    number
        .wrapping_mul(31)
        .wrapping_add(hash_of_text(partition.topic()))
}

/// The size of a `HashMap`'s table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    buckets: u32,
}

impl Table {
    /// Of a new map.
    pub(super) const NEW: Self = Self { buckets: 16 };

    /// Of a map that grew to this many entries.
    pub(super) fn with(entries: usize) -> Self {
        let mut table = Self::NEW;
        table.grow_for(entries);
        table
    }

    /// Doubles until no more than three quarters are taken. Tables never shrink.
    pub(super) fn grow_for(&mut self, entries: usize) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        while entries > self.buckets / 4 * 3 && self.buckets < 1 << 30 {
            self.buckets *= 2;
        }
    }

    /// Where an iteration comes across a key with this hash code.
    pub(super) fn bucket(self, hash: u32) -> u32 {
        (hash ^ (hash >> 16)) & (self.buckets - 1)
    }
}

/// A `HashSet` as far as its first element goes.
#[derive(Debug)]
pub(super) struct HashSet<T> {
    table: Table,
    /// With their hash codes, in the order of insertion.
    entries: Vec<(u32, T)>,
}

impl<T: PartialEq> HashSet<T> {
    pub(super) fn new() -> Self {
        Self {
            table: Table::NEW,
            entries: Vec::new(),
        }
    }

    /// Adds what is not in it yet.
    pub(super) fn insert(&mut self, hash: u32, entry: T) {
        self.entries.push((hash, entry));
        self.table.grow_for(self.entries.len());
    }

    pub(super) fn remove(&mut self, entry: &T) {
        self.entries.retain(|(_, other)| other != entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What an iteration comes across first.
    pub(super) fn first(&self) -> Option<&T> {
        let first = self.entries.iter();
        let first = first.min_by_key(|(hash, _)| self.table.bucket(*hash));
        first.map(|(_, entry)| entry)
    }
}
