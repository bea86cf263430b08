//! Values like those that applications write: JSON events of an exact size, from a seed.

use std::fmt::Write;

/// How many differ. They are used in turn.
const COUNT: u64 = 1_000;

/// Events of `bytes` bytes each.
pub fn events(bytes: usize) -> Vec<Vec<u8>> {
    let mut random = SplitMix(42);
    (0..COUNT)
        .map(|number| event(number, bytes, &mut random))
        .collect()
}

/// Keys of customers; a few of them are frequent.
pub fn keys() -> Vec<String> {
    let mut random = SplitMix(7);
    (0..COUNT)
        .map(|_| {
            let spread = 1 + random.next() % 1_000;
            format!("customer-{}", random.next() % spread)
        })
        .collect()
}

const PAGES: [&str; 6] = ["home", "cart", "search", "checkout", "product", "help"];
const WORDS: [&str; 8] = [
    "red", "shoes", "size", "delivery", "gift", "blue", "offer", "new",
];

fn event(number: u64, bytes: usize, random: &mut SplitMix) -> Vec<u8> {
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
        let index = self.next() % choices.len() as u64;
        choices[usize::try_from(index).expect("it is small")]
    }
}
