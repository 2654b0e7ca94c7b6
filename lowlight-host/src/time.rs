//! Times as people write them, and back.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// Why a time was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time; write 2026-01-31T12:00:00Z, 2026-01-31, '2h ago', yesterday, today or now")]
pub struct TimeError(String);

/// A time as RFC 3339 in UTC, from ns since 1970-01-01T00:00:00Z.
///
/// ```
/// assert_eq!(lowlight_host::time::rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
/// ```
pub fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into()).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

/// Parses RFC 3339; ns since 1970-01-01T00:00:00Z. The offset is required.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Parses a time argument relative to `now` (both ns since 1970-01-01T00:00:00Z). A bare date is 00:00 UTC.
pub fn parse(text: &str, now: i64) -> Result<i64, TimeError> {
    let text = text.trim();
    parse_at(text, now).ok_or_else(|| TimeError(text.chars().take(64).filter(|c| !c.is_control()).collect()))
}

fn parse_at(text: &str, now: i64) -> Option<i64> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let now: Zoned = Timestamp::from_nanosecond(now.into()).ok()?.to_zoned(TimeZone::UTC);
    let zoned = match text {
        "now" => now,
        "today" => now.start_of_day().ok()?,
        "yesterday" => now.yesterday().ok()?.start_of_day().ok()?,
        _ if text.ends_with("ago") => now.checked_add(text.parse::<Span>().ok()?).ok()?,
        _ if text.len() == 10 => text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?,
        _ => return None,
    };
    i64::try_from(zoned.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_767_268_800_000_000_000; // 2026-01-01T12:00:00Z

    #[test]
    fn the_documented_forms_are_understood() {
        let hour = 3_600_000_000_000;
        assert_eq!(parse("2026-01-01T12:00:00Z", 0), Ok(NOON));
        assert_eq!(parse("2026-01-01T13:00:00+01:00", 0), Ok(NOON));
        assert_eq!(parse("2026-01-01", 0), Ok(NOON - 12 * hour));
        assert_eq!(parse("2h ago", NOON), Ok(NOON - 2 * hour));
        assert_eq!(parse("1d ago", NOON), Ok(NOON - 24 * hour));
        assert_eq!(parse("yesterday", NOON), Ok(NOON - 36 * hour));
        assert_eq!(parse("today", NOON), Ok(NOON - 12 * hour));
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in ["", "tomorrowish", "2026-13-01", "2026-02-30", "2026-01-01T12:00:00", "ago", "2h", "1e9", "12"] {
            assert!(parse(text, NOON).is_err(), "{text}");
        }
    }
}
