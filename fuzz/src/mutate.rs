//! Makes new inputs from the corpus, the same for the same seed.

use crate::random::Random;

/// Numbers at which code goes wrong.
const EDGES: [i64; 20] = [
    0,
    1,
    -1,
    2,
    7,
    8,
    9,
    60,
    61,
    127,
    128,
    255,
    256,
    i16::MAX as i64,
    u16::MAX as i64,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
];

/// Most changes that one input gets at once.
const MOST_CHANGES: u64 = 6;

/// See the module's description.
pub struct Mutator<'a> {
    random: Random,
    corpus: &'a [Vec<u8>],
    longest: usize,
}

impl<'a> Mutator<'a> {
    /// `longest` is the limit of inputs, in bytes.
    pub fn new(random: Random, corpus: &'a [Vec<u8>], longest: usize) -> Self {
        Self {
            random,
            corpus,
            longest,
        }
    }

    /// Writes the next input.
    pub fn next(&mut self, input: &mut Vec<u8>) {
        input.clear();
        if self.corpus.is_empty() || self.random.one_in(50) {
            let length = self.random.index(200);
            *input = self.random.bytes(length);
        } else {
            let seed: &Vec<u8> = self.random.pick(self.corpus);
            input.extend_from_slice(seed);
        }
        let changes = self.random.below(MOST_CHANGES) + 1;
        for _ in 0..changes {
            self.change(input);
        }
        input.truncate(self.longest);
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            input.push(self.byte());
            return;
        }
        let at = self.place(input.len());
        match self.random.below(12) {
            0 | 1 => input[at] ^= 1 << self.random.below(8),
            2 => input[at] = self.byte(),
            3 => input[at] = input[at].wrapping_add(if self.random.one_in(2) { 1 } else { 255 }),
            4 => input.truncate(at),
            5 => self.remove(input, at),
            6 => self.duplicate(input, at),
            7 => self.splice(input, at),
            8 => self.write_edge(input, at),
            9 => self.nudge_number(input, at),
            10 => self.write_text_number(input, at),
            _ => {
                for byte in self.range(input, at) {
                    *byte = 0;
                }
            }
        }
    }

    /// A position; the first bytes, where headers are, come more often.
    fn place(&mut self, len: usize) -> usize {
        let len = if self.random.one_in(2) {
            len.min(80)
        } else {
            len
        };
        self.random.index(len)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.random.below(256)).expect("it is below 256")
    }

    /// A short piece that begins at `at`.
    fn range<'b>(&mut self, input: &'b mut [u8], at: usize) -> &'b mut [u8] {
        let length = 1 + self.random.index(16);
        let end = (at + length).min(input.len());
        &mut input[at..end]
    }

    fn remove(&mut self, input: &mut Vec<u8>, at: usize) {
        let length = self.range(input, at).len();
        input.drain(at..at + length);
    }

    fn duplicate(&mut self, input: &mut Vec<u8>, at: usize) {
        let from = self.random.index(input.len());
        let longest = if self.random.one_in(4) {
            input.len()
        } else {
            16
        };
        let end = (from + 1 + self.random.index(longest)).min(input.len());
        let piece = input[from..end].to_vec();
        input.splice(at..at, piece);
    }

    /// Goes on as another input does.
    fn splice(&mut self, input: &mut Vec<u8>, at: usize) {
        if self.corpus.is_empty() {
            return;
        }
        let other = self.random.pick(self.corpus);
        if !other.is_empty() {
            let from = self.random.index(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }

    /// Puts a number from the edge of its kind there, of any width, in either order.
    fn write_edge(&mut self, input: &mut [u8], at: usize) {
        let number = *self.random.pick(&EDGES);
        self.write_number(input, at, number);
    }

    /// Changes a number a little: lengths and counts that are almost right go deepest.
    fn nudge_number(&mut self, input: &mut [u8], at: usize) {
        let width = *self.random.pick(&[2, 4, 8]);
        let Some(bytes) = input.get_mut(at..at + width) else {
            return;
        };
        let mut wide = [0; 8];
        wide[8 - width..].copy_from_slice(bytes);
        let change = self.random.between(1, 40).wrapping_sub(20);
        let wide = u64::from_be_bytes(wide).wrapping_add(change).to_be_bytes();
        bytes.copy_from_slice(&wide[8 - width..]);
    }

    fn write_number(&mut self, input: &mut [u8], at: usize, number: i64) {
        let width = *self.random.pick(&[1, 2, 4, 8]);
        let Some(bytes) = input.get_mut(at..at + width) else {
            return;
        };
        let wide = number.to_be_bytes();
        bytes.copy_from_slice(&wide[8 - width..]);
        if self.random.one_in(4) {
            bytes.reverse();
        }
    }

    /// In text files, numbers are digits: replaces the ones at or after `at`.
    fn write_text_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(first) = input[at..].iter().position(u8::is_ascii_digit) else {
            return;
        };
        let start = at + first;
        let count = input[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let number = self.random.pick(&EDGES).to_string();
        input.splice(start..start + count, number.into_bytes());
    }
}
