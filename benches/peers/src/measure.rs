//! Time, and what is kept of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Named figures of one measurement. Times are in nanoseconds, rates a second.
pub type Metrics = BTreeMap<String, f64>;

/// The processor's time stamp counter where Linux trusts it as a clock (about 8 ns a look), or else `Instant`.
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if clock().is_counter {
        // SAFETY: reading the counter has no effect on memory; every x86-64 processor has it.
        return unsafe { core::arch::x86_64::_rdtsc() };
    }
    clock().start.elapsed().as_nanos() as u64
}

/// A span of ticks in nanoseconds. Cores' counters may differ by a few: less than nothing counts as nothing.
pub fn nanoseconds(from: u64, to: u64) -> u32 {
    let span = to.saturating_sub(from) as f64 * clock().nanoseconds_per_tick;
    span.min(f64::from(u32::MAX)) as u32
}

/// How many ticks there are in `nanoseconds`.
pub fn ticks_in(nanoseconds: f64) -> u64 {
    (nanoseconds / clock().nanoseconds_per_tick) as u64
}

struct Clock {
    start: Instant,
    is_counter: bool,
    nanoseconds_per_tick: f64,
}

fn clock() -> &'static Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| {
        let start = Instant::now();
        let source = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        let trusted = std::fs::read_to_string(source)
            .is_ok_and(|sources| sources.split_whitespace().any(|source| source == "tsc"));
        if !cfg!(target_arch = "x86_64") || !trusted {
            return Clock {
                start,
                is_counter: false,
                nanoseconds_per_tick: 1.0,
            };
        }
        Clock {
            start,
            is_counter: true,
            nanoseconds_per_tick: calibrate(),
        }
    })
}

#[cfg(target_arch = "x86_64")]
fn calibrate() -> f64 {
    // SAFETY: as in `ticks`.
    let counter = || unsafe { core::arch::x86_64::_rdtsc() };
    let (start, from) = (Instant::now(), counter());
    while start.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    let (elapsed, to) = (start.elapsed(), counter());
    elapsed.as_nanos() as f64 / (to - from) as f64
}

#[cfg(not(target_arch = "x86_64"))]
fn calibrate() -> f64 {
    1.0
}

/// How long one measurement may last: by time, and by bytes written.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub time: Duration,
    pub bytes: u64,
}

impl Budget {
    pub fn records(&self, value_bytes: usize) -> u64 {
        self.bytes / value_bytes as u64
    }
}

/// Latencies of single calls.
#[derive(Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    #[inline]
    pub fn push(&mut self, nanoseconds: u32) {
        self.0.push(nanoseconds);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the first `count`.
    pub fn skip(&mut self, count: usize) {
        self.0.drain(..count.min(self.0.len()));
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn report(mut self, metrics: &mut Metrics) {
        self.0.sort_unstable();
        for (name, quantile) in PERCENTILES {
            if let Some(value) = self.at(*quantile) {
                metrics.insert((*name).to_owned(), value);
            }
        }
        if let Some(max) = self.0.last() {
            metrics.insert("max".to_owned(), f64::from(*max));
        }
        metrics.insert("samples".to_owned(), self.0.len() as f64);
    }

    /// Nothing where fewer than five samples lie beyond: that would be chance.
    fn at(&self, quantile: f64) -> Option<f64> {
        let beyond = (self.0.len() as f64 * (1.0 - quantile)).round() as usize;
        if beyond < 5 {
            return None;
        }
        let at = (self.0.len() as f64 * quantile) as usize;
        self.0.get(at).map(|value| f64::from(*value))
    }
}

pub const PERCENTILES: &[(&str, f64)] = &[("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
