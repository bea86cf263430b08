//! Values like those that applications write: JSON events of an exact size, with customers' keys, from a seed.

use std::fmt::Write;

use crate::peer::Event;

/// How many differ. They are used in turn.
const COUNT: usize = 1_000;

pub struct Events {
    values: Vec<Vec<u8>>,
    keys: Vec<String>,
    next: usize,
}

impl Events {
    /// Values of `bytes` bytes each.
    pub fn new(bytes: usize, seed: u64) -> Self {
        let mut random = SplitMix(seed);
        Self {
            values: (0..COUNT).map(|n| value(n, bytes, &mut random)).collect(),
            keys: (0..COUNT).map(|_| key(&mut random)).collect(),
            next: 0,
        }
    }

    pub fn next(&mut self, partition: u32) -> Event<'_> {
        let at = self.next;
        self.next = if at + 1 == COUNT { 0 } else { at + 1 };
        self.at(at, partition)
    }

    fn at(&self, at: usize, partition: u32) -> Event<'_> {
        Event {
            partition,
            key: self.keys[at].as_bytes(),
            value: &self.values[at],
        }
    }

    /// All events in batches of `size`, which has to divide their number.
    pub fn batches(&self, size: usize) -> Vec<Vec<Event<'_>>> {
        let all: Vec<_> = (0..COUNT).map(|at| self.at(at, 0)).collect();
        all.chunks(size).map(<[_]>::to_vec).collect()
    }
}

const PAGES: [&str; 6] = ["home", "cart", "search", "checkout", "product", "help"];
const WORDS: [&str; 8] = ["red", "shoes", "size", "delivery", "gift", "blue", "offer", "new"];

fn value(number: usize, bytes: usize, random: &mut SplitMix) -> Vec<u8> {
    let mut text = format!(
        r#"{{"id":"{:08x}","n":{number},"page":"{}","ms":{},"q":""#,
        random.next() >> 32,
        random.pick(&PAGES),
        random.next() % 5_000,
    );
    while text.len() + 2 < bytes {
        let _ = write!(text, "{} {} ", random.pick(&WORDS), random.next() % 100);
    }
    text.truncate(bytes - 2);
    text.push_str("\"}");
    text.into_bytes()
}

/// A few customers are frequent.
fn key(random: &mut SplitMix) -> String {
    let spread = 1 + random.next() % 1_000;
    format!("customer-{}", random.next() % spread)
}

/// Small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}
