//! The wall clock, as retention believes it: a single reading that is far ahead deletes nothing.

use std::time::Duration;

use crate::clock::Clock;
use crate::record::Timestamp;

/// What the wall clock may gain on the monotonic one without a doubt: corrections of a second or so, and
/// one part in a thousand, more than any clock drifts.
const TOLERANCE: Duration = Duration::from_secs(10);

/// A later time is believed after it has been read for this long.
const DOUBTED_FOR: Duration = Duration::from_secs(30);

/// Compares the wall clock's progress with the monotonic clock's. A wall clock that has jumped ahead is
/// believed only if it still says so half a minute later; until then it counts on from before the jump. One
/// that was set back is believed at once: that keeps more.
#[derive(Debug)]
pub(super) struct SteadyWall {
    believed: Reading,
    /// The first reading of a jump ahead.
    doubted: Option<Reading>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Timestamp,
    monotonic: Duration,
}

impl Reading {
    /// What a steady wall clock that read this says later.
    fn at(self, monotonic: Duration) -> Timestamp {
        self.wall
            .saturating_add(millis(monotonic.saturating_sub(self.monotonic)))
    }

    /// True if `later` is further ahead of this than the time between them explains.
    fn is_left_behind_by(self, later: Self) -> bool {
        let waited = later.monotonic.saturating_sub(self.monotonic);
        let tolerance = millis(TOLERANCE.saturating_add(waited / 1_000));
        later.wall > self.at(later.monotonic).saturating_add(tolerance)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl SteadyWall {
    /// Believes what the clock says now.
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            believed: Reading::of(clock),
            doubted: None,
        }
    }

    /// The time to go by.
    pub(super) fn now(&mut self, clock: &dyn Clock) -> Timestamp {
        self.take(Reading::of(clock))
    }

    fn take(&mut self, reading: Reading) -> Timestamp {
        if !self.believed.is_left_behind_by(reading) {
            self.believed = reading;
            self.doubted = None;
            return reading.wall;
        }
        let seen = self.doubted.filter(|seen| !seen.is_left_behind_by(reading));
        let since = seen.map(|seen| reading.monotonic.saturating_sub(seen.monotonic));
        if since.is_some_and(|since| since >= DOUBTED_FOR) {
            self.believed = reading;
            self.doubted = None;
            return reading.wall;
        }
        self.doubted = Some(seen.unwrap_or(reading));
        self.believed.at(reading.monotonic)
    }
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.wall(),
            monotonic: clock.monotonic(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = 1_700_000_000_000;
    const YEAR: i64 = 365 * 86_400_000;

    fn started() -> SteadyWall {
        SteadyWall {
            believed: Reading {
                wall: START,
                monotonic: Duration::ZERO,
            },
            doubted: None,
        }
    }

    /// What is believed of each reading: seconds since the start, and how far the wall clock is off.
    fn believed(readings: &[(u64, i64)]) -> Vec<i64> {
        let mut wall = started();
        let off = readings.iter().map(|&(seconds, off)| {
            let monotonic = Duration::from_secs(seconds);
            let right = START + millis(monotonic);
            let reading = Reading {
                wall: right + off,
                monotonic,
            };
            wall.take(reading) - right
        });
        off.collect()
    }

    #[test]
    fn a_clock_that_runs_well_is_believed() {
        let long = 86_400;
        assert_eq!(
            believed(&[(0, 0), (300, 900), (600, 10_000), (long, 0)]),
            [0, 900, 10_000, 0]
        );
    }

    #[test]
    fn one_bad_reading_is_passed_over() {
        assert_eq!(
            believed(&[(300, YEAR), (600, 0), (900, YEAR), (1200, 0)]),
            [0, 0, 0, 0]
        );
    }

    #[test]
    fn a_clock_that_was_set_ahead_is_believed_half_a_minute_later() {
        assert_eq!(
            believed(&[(300, YEAR), (329, YEAR), (330, YEAR), (331, YEAR)]),
            [0, 0, YEAR, YEAR]
        );
    }

    #[test]
    fn each_jump_is_doubted_for_itself() {
        assert_eq!(
            believed(&[
                (300, YEAR),
                (600, 2 * YEAR),
                (601, 2 * YEAR),
                (630, 2 * YEAR)
            ]),
            [0, 0, 0, 2 * YEAR]
        );
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_at_once() {
        assert_eq!(
            believed(&[(300, -YEAR), (600, -YEAR), (900, 0), (930, 0)]),
            [-YEAR, -YEAR, -YEAR, 0]
        );
    }

    #[test]
    fn times_at_the_ends_of_what_can_be_said_do_no_harm() {
        let mut wall = started();
        for wall_time in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX] {
            for monotonic in [Duration::MAX, Duration::ZERO] {
                wall.take(Reading {
                    wall: wall_time,
                    monotonic,
                });
            }
        }
    }
}
