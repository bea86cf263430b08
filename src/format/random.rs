//! Random input for tests, the same for the same seed.

use super::batch::{BatchBuilder, ProducerStamp};
use crate::record::Record;

/// `SplitMix64`: small, and good enough for test data.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    /// Any number of bits, so that small and huge values both come often.
    pub(super) fn any_i64(&mut self) -> i64 {
        let shift = self.below(64);
        (self.number() >> shift).cast_signed()
    }

    /// Up to `longest` bytes; half of the time few different ones, which compress well.
    pub(super) fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        let different = if self.below(2) == 0 { 4 } else { 256 };
        (0..length)
            .map(|_| u8::try_from(self.below(different)).unwrap())
            .collect()
    }

    fn maybe_bytes(&mut self, longest: usize) -> Option<Vec<u8>> {
        (self.below(5) != 0).then(|| self.bytes(longest))
    }
    /// Flips a bit, replaces or cuts a piece.
    pub(super) fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, self.number().to_le_bytes()[0]),
            3 => bytes[at] = [0x00, 0x01, 0x7f, 0x80, 0xff][self.below(5)],
            _ => bytes[at] ^= 1 << self.below(8),
        }
    }

    pub(super) fn record(&mut self) -> OwnedRecord {
        let longest = if self.below(10) == 0 { 20_000 } else { 200 };
        let header_count = if self.below(2) == 0 { 0 } else { self.below(8) };
        let header_key =
            |random: &mut Self| ["", "a", "trace-id", "schlüssel-鍵"][random.below(4)].to_owned();
        OwnedRecord {
            timestamp: self.any_i64(),
            key: self.maybe_bytes(100),
            value: self.maybe_bytes(longest),
            headers: (0..header_count)
                .map(|_| (header_key(self), self.maybe_bytes(100)))
                .collect(),
        }
    }

    pub(super) fn records(&mut self) -> Vec<OwnedRecord> {
        let count = 1 + self.below(40);
        (0..count).map(|_| self.record()).collect()
    }
}

/// A record to be written, and to be found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedRecord {
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    pub(super) fn simple(timestamp: i64, value: &[u8]) -> Self {
        Self {
            timestamp,
            key: None,
            value: Some(value.to_vec()),
            headers: Vec::new(),
        }
    }

    /// The record as its user would write it.
    pub(super) fn borrowed(&self) -> Record<'_> {
        let mut record = Record::to("");
        record.key = self.key.as_deref();
        record.value = self.value.as_deref();
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }

    pub(super) fn push_to(&self, builder: &mut BatchBuilder) {
        let record = self.borrowed();
        builder.push(self.timestamp, record.key, record.value, &record.headers);
    }
}

/// A small batch that has a bit of everything: key, null value, headers, a producer.
pub(super) fn small_batch(builder: &mut BatchBuilder) -> Vec<u8> {
    let headers = vec![
        ("h".to_owned(), Some(b"1".to_vec())),
        ("null".to_owned(), None),
    ];
    let full = OwnedRecord {
        timestamp: 1_000,
        key: Some(b"key".to_vec()),
        value: Some(vec![7; 90]),
        headers,
    };
    let tombstone = OwnedRecord {
        timestamp: 900,
        value: None,
        ..full.clone()
    };
    builder.clear();
    for record in [&full, &tombstone, &OwnedRecord::simple(2_000_000, b"")] {
        record.push_to(builder);
    }
    let stamp = ProducerStamp {
        producer_id: 4_711,
        producer_epoch: 3,
        base_sequence: 42,
    };
    builder.finish(stamp, true).unwrap().to_vec()
}
