//! Values as a Java server prints them: scripts compare them letter by letter.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// A double as `Double.toString` prints it: at least one decimal, and powers of ten for the very small
/// and the very large.
pub fn double(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    if !value.is_finite() {
        return match (value.is_nan(), value > 0.0) {
            (true, _) => "NaN".to_owned(),
            (false, true) => "Infinity".to_owned(),
            (false, false) => "-Infinity".to_owned(),
        };
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => format!("{digits}E{power}"),
        Some((digits, power)) => format!("{digits}.0E{power}"),
        None => text,
    }
}

/// `sum / count` with four decimals, halves rounded up; 0 without values.
pub fn mean(sum: u64, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let (sum, count) = (u128::from(sum), u128::from(count));
    let ten_thousandths = (sum * 20_000 + count) / (count * 2);
    ten_thousandths as f64 / 10_000.0
}

/// An address and port as `InetSocketAddress.toString` prints them, without the slash: IPv6 in full and
/// in brackets.
pub fn socket_address(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6.segments().iter().map(|g| format!("{g:x}")).collect();
            format!("[{}]:{port}", groups.join(":"))
        }
    }
}

/// A moment as `Date.toString` prints it where the time zone is UTC: `Mon Nov 23 00:31:30 UTC 2026`.
pub fn date(time: SystemTime) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = since_epoch(time).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A moment as `Instant.toString` prints it, always with milliseconds: `2026-11-23T00:31:30.396Z`.
pub fn instant(time: SystemTime) -> String {
    let ms = epoch_ms(time);
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (second, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A moment as logback's `%d{ISO8601}` prints it where the time zone is UTC: `2026-11-23 00:31:30,396`.
pub fn log_time(time: SystemTime) -> String {
    let mut text = instant(time).replace('T', " ").replace('.', ",");
    text.pop();
    text
}

/// Milliseconds since 1970.
pub fn epoch_ms(time: SystemTime) -> u64 {
    millis(since_epoch(time))
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Year, month and day of a number of days since 1970. Counted in years that begin in March, so that
/// the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (2.4463, "2.4463"),
            (4.0, "4.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (0.00025, "2.5E-4"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (12_345_678.5, "1.23456785E7"),
            (-1.0, "-1.0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn means_have_four_decimals_with_halves_rounded_up() {
        assert_eq!(mean(0, 0), 0.0);
        assert_eq!(mean(39, 8), 4.875);
        assert_eq!(mean(1, 3), 0.3333);
        assert_eq!(mean(2, 3), 0.6667);
        assert_eq!(mean(1, 32), 0.0313);
    }

    #[test]
    fn addresses_print_as_in_java() {
        for (address, text) in [
            ("127.0.0.1:2181", "127.0.0.1:2181"),
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
            ("[::1]:5", "[0:0:0:0:0:0:0:1]:5"),
            ("[2001:db8::a0]:65535", "[2001:db8:0:0:0:0:0:a0]:65535"),
        ] {
            assert_eq!(socket_address(address.parse().unwrap()), text);
        }
    }

    #[test]
    fn dates_print_as_in_java() {
        for (seconds, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_709_251_199, "Thu Feb 29 23:59:59 UTC 2024"),
            (1_795_393_890, "Mon Nov 23 00:31:30 UTC 2026"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(date(time), text);
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_393_874_396);
        assert_eq!(epoch_ms(time), 1_795_393_874_396);
        assert_eq!(instant(time), "2026-11-23T00:31:14.396Z");
    }
}
