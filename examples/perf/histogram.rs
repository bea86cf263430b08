//! A histogram of times: constant memory, and percentiles within two percent.

use std::time::Duration;

/// Each power of two is divided into this many steps.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of nanoseconds: exact below [`STEPS`], then [`STEPS`] buckets for each power of two.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    largest: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            count: 0,
            sum: 0,
            largest: 0,
        }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.largest = self.largest.max(nanos);
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum, self.largest) = (0, 0, 0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.largest)
    }

    pub(crate) fn mean(&self) -> Duration {
        let mean = self.sum / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The time that so many of 1000 do not exceed.
    pub(crate) fn per_mille(&self, share: u64) -> Duration {
        let wanted = (self.count * share).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(highest(bucket).min(self.largest));
            }
        }
        self.max()
    }
}

fn bucket(nanos: u64) -> usize {
    // The bits below the highest STEP_BITS + 1 ones do not count.
    let lost = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let bucket = u64::from(lost) * STEPS + (nanos >> lost);
    usize::try_from(bucket).expect("a few thousand")
}

/// The largest value in a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let lost = (bucket / STEPS).saturating_sub(1);
    let first = bucket - lost * STEPS;
    ((first + 1) << lost).wrapping_sub(1)
}
