//! Durations: whole seconds, or `1h30m`, `90s`, `500ms`.

use std::{fmt::Write as _, time::Duration};

/// A duration longer than this is a mistake.
const MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a number of seconds or a sum of parts with the units `d`, `h`, `m`, `s` and `ms`.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return checked(Duration::from_secs(seconds));
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(digits);
        let number: u64 =
            number.parse().map_err(|_| format!("`{text}` is not a number followed by a unit"))?;
        let (unit, after) =
            unit.split_at(unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len()));
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err("a unit is missing after a number".into()),
            other => return Err(format!("`{other}` is not a unit of time")),
        };
        let part = number.checked_mul(milliseconds).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or("it is too long")?;
        rest = after;
    }
    checked(total)
}

fn checked(duration: Duration) -> Result<Duration, String> {
    if duration > MOST { Err("it is longer than a year".into()) } else { Ok(duration) }
}

/// A duration as a person reads it: `1h30m`, `2m05s`, `3.2s`, `45ms`.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (seconds, minutes, hours) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    let mut text = String::new();
    let _ = match ms {
        0..1000 => write!(text, "{ms}ms"),
        1000..60_000 => write!(text, "{seconds}.{}s", ms % 1000 / 100),
        60_000..3_600_000 => write!(text, "{minutes}m{seconds:02}s"),
        _ => write!(text, "{hours}h{minutes:02}m"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_sums_of_units_are_read() {
        for (text, ms) in [
            ("600", 600_000),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        for text in ["", "x", "5 minutes", "-5", "1h30", "1.5h", "99999999999999999999h", "9999999999h", "1w"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_with_two_parts_at_most() {
        for (ms, text) in [(0, "0ms"), (45, "45ms"), (3210, "3.2s"), (125_000, "2m05s"), (5_400_000, "1h30m")]
        {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
    }
}
