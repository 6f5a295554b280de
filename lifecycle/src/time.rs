//! Points in time, and how a monotonic clock is tied to the wall.
//!
//! Nothing here asks what time it is: the binaries read the clock once per turn and hand the result in.

use std::{fmt, num::NonZeroU64, ops, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in wall time: nanoseconds since the Unix epoch, UTC, as OTLP and containerd's records count it.
///
/// Covers 1970 to 2554. Arithmetic saturates at both ends instead of wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// One more than the nanoseconds: never zero, so that a time that may be absent takes no more memory.
    NonZeroU64,
);

impl Timestamp {
    /// The Unix epoch, which protobuf's default makes of a time that was never set.
    pub const EPOCH: Self = Self(NonZeroU64::MIN);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// From seconds and nanoseconds since the Unix epoch, as `google.protobuf.Timestamp` has them; `None` before the epoch or past 2554.
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Self> {
        let seconds = u64::try_from(seconds).ok()?;
        let nanos = u64::try_from(nanos).ok()?;
        Some(Self::from_nanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.as_nanos().saturating_sub(earlier.as_nanos()))
    }

    /// How far apart the two are, whichever comes first.
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_nanos(self.as_nanos().abs_diff(other.as_nanos()))
    }

    /// This moment, `by` earlier.
    pub const fn before(self, by: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(nanos(by)))
    }

    /// Parses RFC 3339 as containerd's labels and this crate's JSON write it (`2025-01-15T10:30:00.25Z`, offsets allowed).
    ///
    /// `None` for anything else, for dates that do not exist and for times before 1970.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let number = |range: ops::Range<usize>| -> Option<i64> {
            let part = text.get(range)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        let is = |at: usize, wanted: &str| text.get(at..=at).is_some_and(|c| wanted.contains(c));
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let shaped = is(4, "-") && is(7, "-") && is(10, "Tt ") && is(13, ":") && is(16, ":");
        if !shaped
            || !(1..=12).contains(&month)
            || day < 1
            || day > days_in(year, month)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().position(|b| !b.is_ascii_digit())?),
            None => ("", rest),
        };
        let nanos: i32 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
        let days = days_from_civil(year, month, day);
        Self::from_parts(days * 86_400 + hour * 3_600 + minute * 60 + second - zone_offset(zone)?, nanos)
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::EPOCH
    }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(nanos(by)))
    }
}

/// RFC 3339 in UTC with as many decimals of the second as carry information (0, 3, 6 or 9).
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.as_nanos() / 1_000_000_000, self.as_nanos() % 1_000_000_000);
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match (nanos, nanos % 1_000_000, nanos % 1_000) {
            (0, ..) => write!(f, "Z"),
            (_, 0, _) => write!(f, ".{:03}Z", nanos / 1_000_000),
            (_, _, 0) => write!(f, ".{:06}Z", nanos / 1_000),
            (_, _, _) => write!(f, ".{nanos:09}Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}

/// Ties a monotonic clock to the wall, so that durations never go backwards while times still mean something to people.
///
/// Whoever owns the clock takes one anchor and asks it for every `now`; when the wall was stepped it takes a new one.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    wall: Timestamp,
    monotonic: Duration,
}

impl Anchor {
    /// Says that the wall showed `wall` when the monotonic clock showed `monotonic`.
    pub const fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// The wall time of the moment at which the monotonic clock shows `monotonic`.
    pub fn at(&self, monotonic: Duration) -> Timestamp {
        if monotonic >= self.monotonic {
            self.wall + (monotonic - self.monotonic)
        } else {
            self.wall.before(self.monotonic - monotonic)
        }
    }
}

const fn nanos(by: Duration) -> u64 {
    by.as_secs().saturating_mul(1_000_000_000).saturating_add(by.subsec_nanos() as u64)
}

/// Seconds east of UTC of an RFC 3339 zone (`Z`, `+02:00`).
fn zone_offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two_digits = |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i64>().ok()).flatten();
    Some(sign * (two_digits(hours)? * 3_600 + two_digits(minutes)? * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. Years are counted from March, so that the leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(1_736_937_000_250).to_string(), "2025-01-15T10:30:00.250Z");
        assert_eq!(Timestamp::from_nanos(951_782_400_000_000_001).to_string(), "2000-02-29T00:00:00.000000001Z");
    }

    #[test]
    fn times_with_an_offset_are_read_as_utc() {
        let parsed = Timestamp::parse_rfc3339("2025-01-15T12:30:00.25+02:00");
        assert_eq!(parsed, Some(Timestamp::from_millis(1_736_937_000_250)));
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-01",
            "",
            "2025-01-01T00:00:00",
            "2025-01-01T24:00:00Z",
            "né",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn an_anchor_turns_monotonic_time_into_wall_time_in_both_directions() {
        let anchor = Anchor::new(Timestamp::from_millis(10_000), Duration::from_millis(500));
        assert_eq!(anchor.at(Duration::from_millis(750)), Timestamp::from_millis(10_250));
        assert_eq!(anchor.at(Duration::ZERO), Timestamp::from_millis(9_500));
    }

    proptest! {
        #[test]
        fn every_time_survives_being_written_and_read(nanos: u64) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Some(time));
        }

        #[test]
        fn reading_any_text_as_a_time_never_panics(text: String) {
            let _ = Timestamp::parse_rfc3339(&text);
        }
    }
}
