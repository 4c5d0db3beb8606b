//! `/log`: what is logged. GET shows it; POST changes it, for a while or for good.
//!
//! - `POST /log?filter=debug` logs more until the process ends or is told otherwise,
//! - `POST /log?filter=info,outpost_forward=debug&for=10m` for ten minutes (`s`, `m`, `h`; seconds without a unit),
//! - `POST /log` logs as it was configured.
//!
//! Nothing else of the process changes by it, and no level shows a secret. A request from a web page is refused, so that
//! nobody's browser can be made to send one.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::ORIGIN;
use serde_json::{Value, json};

use super::http::{Answer, Asked};
use crate::logs::{self, Filter, Levels};

/// The longest that a change may be asked for; for longer, ask for no end.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn answer(asked: Asked<'_>) -> Answer {
    let levels = logs::levels();
    if asked.is_post() {
        let Some(levels) = levels else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "nothing is logged here");
        };
        if asked.headers.contains_key(ORIGIN) {
            return refuse(StatusCode::FORBIDDEN, "not from a web page");
        }
        if let Err(why) = change(levels, asked) {
            return refuse(StatusCode::BAD_REQUEST, &why);
        }
    }
    show(StatusCode::OK, &present(levels))
}

fn change(levels: &'static Levels, asked: Asked<'_>) -> Result<(), String> {
    let filter = asked.parameter("filter").filter(|text| !text.is_empty());
    let filter: Option<Filter> = match filter {
        Some(text) => Some(text.parse().map_err(|why| format!("filter: {why}"))?),
        None => None,
    };
    let lasts = match asked.parameter("for") {
        Some(text) => Some(duration(&text)?),
        None => None,
    };
    let failed = |error: logs::NotChanged| error.to_string();
    let change = levels.change(filter.as_ref(), lasts).map_err(failed)?;
    tracing::info!(caller = %asked.caller.address, "who has changed what is logged");
    if let Some(lasts) = lasts {
        // Answers are made on a thread of the runtime.
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            // Where the log has ended there is nobody to tell.
            let _ = levels.take_back(change);
        });
    }
    Ok(())
}

/// `90`, `90s`, `10m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        _ => 1,
    };
    let number = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(seconds));
    match number.map(Duration::from_secs) {
        Some(time) if !time.is_zero() && time <= LONGEST => Ok(time),
        Some(_) => Err("for: must be between 1s and 24h".to_owned()),
        None => Err(format!("for: `{text}` is no time such as 90s, 10m or 2h")),
    }
}

fn present(levels: Option<&Levels>) -> Value {
    let (filter, left) = levels.map(Levels::present).unzip();
    // Rounded up: as long as the change lasts this is not 0.
    let seconds = |left: Duration| left.as_millis().div_ceil(1000) as u64;
    json!({
        "filter": filter.map(|filter| filter.to_string()),
        "configured": levels.map(|levels| levels.configured().to_string()),
        "goes_back_in_s": left.flatten().map(seconds),
        "lost_lines": logs::lost(),
    })
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    show(status, &json!({ "error": why }))
}

fn show(status: StatusCode, value: &Value) -> Answer {
    Answer::new(status, "application/json", format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds_and_ends_within_a_day() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("24h", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "25h",
            "h",
            "-1s",
            "1d",
            "1.5m",
            "99999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
