//! How long to wait before the next attempt: full jitter below a ceiling that doubles from half a second to half a minute.

use std::time::Duration;

/// Ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(500);
/// Ceiling of every later wait.
const LAST: Duration = Duration::from_secs(30);

/// The waits between attempts, as a pure value: randomness is an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next attempt: evenly spread between nothing and a ceiling that doubles with every call, from 0.5 s to 30 s.
    /// `random` is any number, drawn anew for every call.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        let share = u128::from(random) * ceiling.as_nanos() / u128::from(u64::MAX);
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Attempts that failed since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// After a success: the next failure waits briefly again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_from_half_a_second_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<_> = (0..9).map(|_| backoff.next(u64::MAX).as_millis()).collect();
        assert_eq!(ceilings, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn waits_are_spread_over_everything_below_the_ceiling() {
        let wait = |random| Backoff { failures: 3 }.next(random);
        assert_eq!(wait(0), Duration::ZERO);
        assert_eq!(wait(u64::MAX / 2).as_millis(), 1_999);
        assert_eq!(wait(u64::MAX), Duration::from_secs(4));
    }

    #[test]
    fn a_success_starts_over_and_a_long_outage_does_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.next(u64::MAX), Duration::from_secs(30));
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.next(u64::MAX)), (0, Duration::from_millis(500)));
    }
}
