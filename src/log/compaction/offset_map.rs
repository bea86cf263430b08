//! Which offset each key was written at last, in a fixed amount of memory.
//!
//! A slot is a 128-bit hash of the key and an offset: 24 bytes, as in Kafka, whatever the key's length.
//! Keys are compared by hash only. It is `SipHash` under a key of the process, so that nobody can make two
//! keys that collide, and by chance none do.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::record::Offset;

/// Memory that a key takes, in bytes.
pub(super) const SLOT_BYTES: usize = 24;

/// Of so many slots, [`USED`] may be taken: searches stay short.
const OF: usize = 10;
const USED: usize = 9;

/// No offset: they fit 63 bits.
const EMPTY: Offset = Offset::MAX;

/// See the module's description.
#[derive(Debug)]
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    key: (u64, u64),
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    offset: Offset,
}

/// There is no room for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl OffsetMap {
    /// For up to `keys` keys, as far as `bytes` bytes of memory allow; for one at least.
    pub(super) fn new(bytes: usize, keys: u64, key: (u64, u64)) -> Self {
        let wanted = usize::try_from(keys).unwrap_or(usize::MAX);
        let wanted = (wanted / USED).saturating_mul(OF).saturating_add(OF);
        let slots = wanted.min(bytes / SLOT_BYTES).max(2);
        let slot = Slot {
            hash: [0; 2],
            offset: EMPTY,
        };
        Self {
            slots: vec![slot; slots],
            len: 0,
            key,
        }
    }

    /// Notes that `key` was written at `offset`, which is behind all that were noted before.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hash = self.hash(key);
        let at = self.find(hash);
        let is_full = self.len >= (self.slots.len() / OF * USED).max(1);
        let Some(slot) = self.slots.get_mut(at) else {
            return Err(Full);
        };
        if slot.offset == EMPTY {
            if is_full {
                return Err(Full);
            }
            self.len += 1;
        }
        *slot = Slot { hash, offset };
        Ok(())
    }

    /// The last offset of `key`, if there is one.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots.get(self.find(self.hash(key)))?;
        (slot.offset != EMPTY).then_some(slot.offset)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(key);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// The slot of this hash, or the empty one that it would get. There always is one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let slots = self.slots.len();
        let spread = u128::from(hash[0]) * slots as u128;
        let mut at = usize::try_from(spread >> 64).unwrap_or(0);
        while let Some(slot) = self.slots.get(at)
            && slot.offset != EMPTY
            && slot.hash != hash
        {
            at = if at + 1 == slots { 0 } else { at + 1 };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (u64, u64) = (1, 2);

    #[test]
    fn the_last_offset_of_a_key_stands() {
        let mut map = OffsetMap::new(1 << 20, 100, KEY);
        for offset in 0..100 {
            map.put(&[u8::try_from(offset % 7).unwrap()], offset)
                .unwrap();
        }
        for key in 0..7 {
            assert_eq!(
                map.get(&[key]),
                (0..100).rev().find(|it| it % 7 == u64::from(key))
            );
        }
        assert_eq!(map.get(&[7]), None);
        assert_eq!(map.get(&[]), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(100 * SLOT_BYTES, u64::MAX, KEY);
        let mut taken = 0_u64;
        while map.put(&taken.to_be_bytes(), taken).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 90, "nine tenths of the slots");
        assert_eq!(map.put(&0_u64.to_be_bytes(), 1000), Ok(()));
        assert_eq!(map.get(&0_u64.to_be_bytes()), Some(1000));
        assert_eq!(map.put(&taken.to_be_bytes(), 1001), Err(Full));
        assert_eq!(map.get(&taken.to_be_bytes()), None);
    }

    #[test]
    fn memory_is_bounded_and_one_key_always_fits() {
        assert_eq!(OffsetMap::new(24_000, u64::MAX, KEY).slots.len(), 1000);
        assert!(OffsetMap::new(usize::MAX, 9, KEY).slots.len() <= 20);
        assert_eq!(OffsetMap::new(0, 0, KEY).put(b"k", 3), Ok(()));
    }
}
