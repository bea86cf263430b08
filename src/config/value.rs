//! How values of configs are read, printed and bounded: one [`Kind`] for each sort of value.

use std::time::Duration;

use super::cleanup::{self, CleanupPolicy};
use super::consumed::{self, RetentionConsumed};

/// A sort of value: reading refuses exactly what may not be set. Errors say what is allowed.
pub(super) trait Kind<T> {
    fn parse(&self, text: &str) -> Result<T, String>;
    fn print(&self, value: &T) -> String;
}

/// A number, as large as any that is configured.
pub(super) trait Number: Copy {
    fn to_number(self) -> i128;
    fn from_number(number: i128) -> Option<Self>;
}

macro_rules! number {
    ($($integer:ty)*) => { $(
        impl Number for $integer {
            fn to_number(self) -> i128 {
                i128::try_from(self).unwrap_or(i128::MAX)
            }

            fn from_number(number: i128) -> Option<Self> {
                Self::try_from(number).ok()
            }
        }
    )* };
}

number!(u32 i32 u64 usize);

/// In whole milliseconds, as all of Kafka's.
impl Number for Duration {
    fn to_number(self) -> i128 {
        i128::try_from(self.as_millis()).unwrap_or(i128::MAX)
    }

    fn from_number(number: i128) -> Option<Self> {
        u64::try_from(number).ok().map(Self::from_millis)
    }
}

/// The largest numbers that Kafka configures; for times it means "never".
pub(super) const INT_MAX: i128 = i32::MAX as i128;
pub(super) const LONG_MAX: i128 = i64::MAX as i128;

/// A number from `min` to `max`, both included.
pub(super) struct Range {
    pub(super) min: i128,
    pub(super) max: i128,
}

impl<T: Number> Kind<T> for Range {
    fn parse(&self, text: &str) -> Result<T, String> {
        let number = text
            .parse()
            .ok()
            .filter(|number| (self.min..=self.max).contains(number));
        let allowed = || format!("a whole number from {} to {}", self.min, self.max);
        number.and_then(T::from_number).ok_or_else(allowed)
    }

    fn print(&self, value: &T) -> String {
        value.to_number().to_string()
    }
}

/// A number in a range, or `none`, which stands for no limit.
pub(super) struct RangeOr {
    pub(super) min: i128,
    pub(super) max: i128,
    pub(super) none: i128,
}

impl<T: Number> Kind<Option<T>> for RangeOr {
    fn parse(&self, text: &str) -> Result<Option<T>, String> {
        if text.parse() == Ok(self.none) {
            return Ok(None);
        }
        let range = Range {
            min: self.min,
            max: self.max,
        };
        range
            .parse(text)
            .map(Some)
            .map_err(|allowed| format!("{allowed}, or {} for no limit", self.none))
    }

    fn print(&self, value: &Option<T>) -> String {
        value.map_or(self.none, Number::to_number).to_string()
    }
}

/// One of a few names.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind<T> for Choice<T> {
    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(name, _)| *name == text);
        let names = || {
            self.0
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("one of {}", names()))
    }

    fn print(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, named)| named == value);
        found.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }
}

/// `true` or `false`.
pub(super) const FLAG: Choice<bool> = Choice(&[("true", true), ("false", false)]);

/// From 0 to 1, both included.
pub(super) struct Fraction;

impl Kind<f64> for Fraction {
    fn parse(&self, text: &str) -> Result<f64, String> {
        let number = text
            .parse()
            .ok()
            .filter(|number| (0.0..=1.0).contains(number));
        number.ok_or_else(|| "a number from 0 to 1".to_owned())
    }

    fn print(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A list of `delete` and `compact`.
pub(super) struct Policy;

impl Kind<CleanupPolicy> for Policy {
    fn parse(&self, text: &str) -> Result<CleanupPolicy, String> {
        cleanup::parse(text).map_err(|_| cleanup::ALLOWED.to_owned())
    }

    fn print(&self, value: &CleanupPolicy) -> String {
        value.to_string()
    }
}

/// Nothing, `*`, or a list of groups.
pub(super) struct Consumed;

impl Kind<RetentionConsumed> for Consumed {
    fn parse(&self, text: &str) -> Result<RetentionConsumed, String> {
        consumed::parse(text).ok_or_else(|| consumed::ALLOWED.to_owned())
    }

    fn print(&self, value: &RetentionConsumed) -> String {
        consumed::print(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_its_ends_and_nothing_beyond() {
        let range = Range {
            min: 14,
            max: INT_MAX,
        };
        assert_eq!(range.parse("14"), Ok(14_u32));
        assert_eq!(range.parse("2147483647"), Ok(2_147_483_647_u32));
        for text in [
            "13",
            "2147483648",
            "",
            "x",
            "1.5",
            "-14",
            "1e9",
            "99999999999999999999999999999999999999999",
        ] {
            let refused: Result<u32, _> = range.parse(text);
            assert_eq!(
                refused.unwrap_err(),
                "a whole number from 14 to 2147483647",
                "{text:?}"
            );
        }
    }

    #[test]
    fn no_limit_has_a_number_of_its_own() {
        let kind = RangeOr {
            min: 0,
            max: LONG_MAX,
            none: -1,
        };
        assert_eq!(kind.parse("-1"), Ok(None::<u64>));
        assert_eq!(kind.parse("0"), Ok(Some(0_u64)));
        assert_eq!(kind.print(&None::<u64>), "-1");
        let refused: Result<Option<u64>, _> = kind.parse("-2");
        assert_eq!(
            refused.unwrap_err(),
            "a whole number from 0 to 9223372036854775807, or -1 for no limit"
        );
    }

    #[test]
    fn times_are_whole_milliseconds() {
        let range = Range {
            min: 0,
            max: LONG_MAX,
        };
        assert_eq!(range.parse("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(range.print(&Duration::from_secs(2)), "2000");
    }

    #[test]
    fn fractions_are_numbers_between_zero_and_one() {
        assert_eq!(Fraction.parse("0.5"), Ok(0.5));
        for text in ["-0.1", "1.1", "NaN", "inf", ""] {
            assert!(Fraction.parse(text).is_err(), "{text:?}");
        }
    }
}
