//! Times and rates as Kafka's tools print them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How much a second; 0 if no time has passed.
pub(crate) fn per_second(amount: f64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() {
        0.0
    } else {
        amount / elapsed.as_secs_f64()
    }
}

/// `yyyy-MM-dd HH:mm:ss:SSS`, in UTC.
pub(crate) fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The Gregorian calendar, in years that begin in March and cycles of 400 of them.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    format!(
        "{:04}-{month:02}-{day:02} {:02}:{:02}:{:02}:{:03}",
        cycle * 400 + year,
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}
