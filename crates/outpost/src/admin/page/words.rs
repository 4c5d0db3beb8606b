//! Numbers and times as people read them.

use std::time::Duration;

/// A duration in one or two units: `350 ms`, `12 s`, `3 min 5 s`, `4 h 5 min`, `3 d 4 h`.
pub(super) fn duration(duration: Duration) -> String {
    let (ms, s) = (duration.as_millis(), duration.as_secs());
    let two = |first: u64, unit: &str, second: u64, smaller: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {smaller}"),
    };
    match s {
        0 => format!("{ms} ms"),
        1..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{s} s"),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s / 60 % 60, "min"),
        _ => two(s / 86_400, "d", s / 3600 % 24, "h"),
    }
}

/// A number with its thousands set apart.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many of something: `1 watch`, `2 watches`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", count(number))
}

/// Bytes in powers of 1024.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    match value {
        _ if unit == 0 || value >= 99.95 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// How many in a second.
pub(super) fn rate(number: u64, time: Duration) -> f64 {
    number as f64 / time.as_secs_f64().max(0.001)
}

/// A rate: one decimal while it is small.
pub(super) fn rate_text(rate: f64) -> String {
    match rate {
        rate if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_amounts_are_written_in_the_units_that_fit_them() {
        for (ms, text) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (1_234, "1.2 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (185_000, "3 min 5 s"),
            (14_700_000, "4 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(count(0_u64), "0");
        assert_eq!(count(1_234_567_u64), "1,234,567");
        assert_eq!((bytes(0), bytes(1023)), ("0 B".into(), "1023 B".into()));
        assert_eq!(
            (bytes(1536), bytes(1 << 30)),
            ("1.5 KiB".into(), "1.0 GiB".into())
        );
        assert_eq!(rate_text(rate(5, Duration::from_secs(2))), "2.5");
        assert_eq!(rate_text(rate(5000, Duration::from_secs(2))), "2,500");
        assert_eq!(counted(1, "watch", "watches"), "1 watch");
    }
}
