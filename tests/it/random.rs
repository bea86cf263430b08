//! Random choices that a seed repeats: `xorshift64*`, small, and good enough to choose operations.

/// See the module's description.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Equal seeds make equal choices; any number is a good seed.
    pub fn new(seed: u64) -> Self {
        // Spread: neighbouring seeds shall not begin alike, and the state must not be zero.
        let spread = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((spread ^ (spread >> 31)).max(1))
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.number() >> 11) % end
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times` times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Bytes of which few differ, so that codecs have something to do.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let different = *self.pick(&[3, 26, 256]);
        (0..len)
            .map(|_| u8::try_from(self.below(different)).unwrap())
            .collect()
    }
}

/// A number from the environment, or else this one.
pub fn from_environment(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => default,
    }
}

/// What the clock says: a seed that differs from run to run.
pub fn seed_from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| u64::from(now.subsec_nanos()) ^ now.as_secs())
}
