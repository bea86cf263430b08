//! Times and durations as Kafka's tool takes them.

use std::time::Duration;

const NANOS: i128 = 1_000_000_000;

/// Reads `2026-01-01T00:00:00.000`, in UTC, or followed by `Z`, `+hh`, `+hhmm` or `+hh:mm`; milliseconds
/// since the Unix epoch. The part of a second may be left out.
pub(crate) fn timestamp(text: &str) -> Result<i64, String> {
    read_timestamp(text).ok_or_else(|| {
        format!("`{text}` is not a time like 2026-01-01T00:00:00.000, with or without Z or +hh:mm")
    })
}

fn read_timestamp(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let (time, offset) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], minutes_east(&time[at..])?),
        None => (time, 0),
    };
    let (time, millis) = match time.split_once('.') {
        Some((time, part)) => (time, fraction(part, 3)?),
        None => (time, 0),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = (days(year, month, day)? * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second) * 1000 + millis)
}

/// What separators part, each of so many digits.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<_> = text.split(separator).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    let mut numbers = [0; N];
    for ((number, part), width) in numbers.iter_mut().zip(parts).zip(widths) {
        *number = digits(part).filter(|_| part.len() == width)?;
    }
    Some(numbers)
}

/// A number without a sign.
fn digits(text: &str) -> Option<i64> {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

/// The digits behind a point, in units of the last of `places`.
fn fraction(text: &str, places: usize) -> Option<i64> {
    if text.is_empty() || text.len() > places {
        return None;
    }
    digits(&format!("{text:0<places$}"))
}

fn minutes_east(offset: &str) -> Option<i64> {
    if offset == "Z" {
        return Some(0);
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = match offset.len() {
        3 => [digits(offset.get(1..)?)?, 0],
        5 => [digits(offset.get(1..3)?)?, digits(offset.get(3..)?)?],
        _ => numbers(offset.get(1..)?, ':', [2, 2])?,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// Days since 1970 in the Gregorian calendar; `None` for a day that there is not.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Years that begin in March end with the day that not all of them have.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // The months from March have 31, 30, 31, 30, 31 days, and so on.
    let before_month = (153 * month + 2) / 5;
    Some(365 * year + leaps + before_month + day - 1 - 719_468)
}

/// Reads ISO 8601's `P1DT2H3M4.5S`, of which each part may be left out, and have a sign, as in Java's
/// `Duration.parse`. It must not lie in the future.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanos = read_duration(&text.to_uppercase())
        .ok_or_else(|| format!("`{text}` is not a duration like P1DT2H30M"))?;
    let seconds = u64::try_from(nanos / NANOS);
    let part = u32::try_from(nanos % NANOS);
    match (seconds, part) {
        (Ok(seconds), Ok(part)) => Ok(Duration::new(seconds, part)),
        _ if nanos < 0 => Err(format!("`{text}` leads to the future")),
        _ => Err(format!("`{text}` is too long")),
    }
}

/// In nanoseconds.
fn read_duration(text: &str) -> Option<i128> {
    let (sign, text) = signed(text);
    let text = text.strip_prefix('P')?;
    let (date, time) = match text.split_once('T') {
        // A T with nothing behind is a mistake.
        Some((date, time)) => (date, Some(time).filter(|time| !time.is_empty())?),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date = parts(date, &[('D', 86_400)])?;
    let time = parts(time, &[('H', 3600), ('M', 60), ('S', 1)])?;
    Some(sign * (date + time))
}

/// The sum of parts, each a number and its unit, in the order of the units. Seconds may have a fraction.
fn parts(mut text: &str, units: &[(char, i128)]) -> Option<i128> {
    let mut sum = 0;
    for (unit, seconds) in units {
        let Some((part, rest)) = text.split_once(*unit) else {
            continue;
        };
        let (sign, part) = signed(part);
        let (whole, nanos) = match part.split_once('.') {
            Some((whole, part)) if *unit == 'S' => (whole, fraction(part, 9)?),
            _ => (part, 0),
        };
        sum += sign * (i128::from(digits(whole)?) * seconds * NANOS + i128::from(nanos));
        text = rest;
    }
    text.is_empty().then_some(sum)
}

fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}
