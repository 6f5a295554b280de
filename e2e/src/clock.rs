//! Time for the kit: the wall clock, reading timestamps, and waiting for a thing itself with a deadline.
//!
//! The only place of the kit that reads the clock or sleeps. Times are seconds since the Unix epoch ([`Seconds`]); a double holds
//! them to better than a microsecond, which is finer than anything compared here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch, UTC.
pub type Seconds = f64;

/// How long [`until`] waits between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the clock of the kit")]
pub fn now() -> Seconds {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64()
}

/// Lets time pass where time itself is what is needed: pacing bytes, sampling, holding an answer back.
#[expect(clippy::disallowed_methods, reason = "the pause of the kit")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until the thing is there and returns it.
///
/// # Panics
/// When `limit` has passed; the message says that `what` did not come.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(thing) = look() {
            return thing;
        }
        assert!(begin.elapsed() < limit, "{what}: did not come within {limit:?}");
        pause(LOOK);
    }
}

/// Reads RFC 3339 in UTC (`2026-01-15T10:30:00.5Z`) and the form Go prints (`2026-01-15 10:30:00.5 +0000 UTC`).
#[must_use]
pub fn parse(text: &str) -> Option<Seconds> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let rest = text.get(19..)?;
    let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
    let fraction = if end == 0 { 0.0 } else { format!("0{}", &rest[..end]).parse::<f64>().ok()? };
    let zone = rest[end..].trim_start();
    (zone == "Z" || zone.starts_with("+00")).then(|| days(year, month, day) as f64 * 86_400.0 + seconds as f64 + fraction)
}

/// Writes RFC 3339 in UTC, in whole seconds: what [`parse`] reads.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "whole seconds of any year are small")]
pub fn text(time: Seconds) -> String {
    let seconds = time.floor() as i64;
    let (day, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The year that has begun by that day; a year has more than 365 days on the average, so the guess is never too low.
    let mut year = 1970 + day.div_euclid(365);
    while days(year, 1, 1) > day {
        year -= 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    let in_month = day - days(year, month, 1) + 1;
    format!("{year:04}-{month:02}-{in_month:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; a year is counted from March so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_json_and_of_go_are_read_alike() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(parse("2000-02-29T12:00:00.25Z"), Some(951_825_600.25));
        assert_eq!(parse("2000-02-29 12:00:00.25 +0000 UTC"), Some(951_825_600.25));
        assert_eq!(parse("2026-11-21T07:38:21Z"), Some(1_795_246_701.0));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for time in [0.0, 951_782_399.0, 951_825_600.0, 1_735_689_599.0, 1_735_689_600.0, 1_795_246_701.0] {
            assert_eq!(parse(&text(time)), Some(time), "{}", text(time));
        }
        assert_eq!(text(951_825_600.7), "2000-02-29T12:00:00Z");
    }

    #[test]
    fn a_time_of_another_zone_or_no_time_is_refused() {
        for text in ["2026-11-21T07:38:21+02:00", "2026-11-21T07:38:21", "yesterday", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "the bus: did not come within")]
    fn waiting_for_what_never_comes_ends_at_the_deadline() {
        until("the bus", Duration::from_millis(50), || None::<()>)
    }
}
