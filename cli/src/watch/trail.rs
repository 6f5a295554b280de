//! How fast something was during the last seconds, for a sparkline: one number a second, in a fixed place.

/// Seconds that are remembered.
pub(super) const SECONDS: usize = 32;

/// The last [`SECONDS`] seconds.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    /// kB/s, by the second modulo [`SECONDS`].
    rates: [u32; SECONDS],
    /// The newest second.
    second: u64,
}

impl Trail {
    /// Nothing happened yet.
    pub(super) const fn new(second: u64) -> Self {
        Self { rates: [0; SECONDS], second }
    }

    /// The speed in this second and from now on, bytes per second. What was said last holds until something else is said.
    pub(super) fn push(&mut self, second: u64, rate: u64) {
        let last = self.rates[place(self.second)];
        for missed in (self.second + 1..second).rev().take(SECONDS) {
            self.rates[place(missed)] = last;
        }
        self.second = self.second.max(second);
        self.rates[place(self.second)] = u32::try_from(rate / 1000).unwrap_or(u32::MAX);
    }

    /// The last `count` seconds up to this one, oldest first, kB/s.
    pub(super) fn last(&self, count: usize, second: u64) -> impl Iterator<Item = u64> + '_ {
        let count = count.min(SECONDS) as u64;
        (0..count).map(move |at| {
            // Before the first second there was nothing.
            let Some(wanted) = (second + at + 1).checked_sub(count) else { return 0 };
            let known = wanted.min(self.second);
            if self.second - known < SECONDS as u64 { u64::from(self.rates[place(known)]) } else { 0 }
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder below SECONDS")]
const fn place(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_holds_until_the_next() {
        let mut trail = Trail::new(100);
        trail.push(101, 5_000);
        trail.push(104, 9_000);
        assert_eq!(trail.last(6, 105).collect::<Vec<_>>(), [0, 5, 5, 5, 9, 9]);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut trail = Trail::new(0);
        trail.push(1, 5_000);
        trail.push(1000, 0);
        assert_eq!(trail.last(3, 1000).collect::<Vec<_>>(), [5, 5, 0]);
        assert_eq!(trail.last(3, 2000).sum::<u64>(), 0);
        assert_eq!(trail.last(500, 1000).count(), SECONDS);
    }

    #[test]
    fn before_the_first_second_there_was_nothing() {
        let mut trail = Trail::new(0);
        trail.push(0, 7_000);
        assert_eq!(trail.last(4, 1).collect::<Vec<_>>(), [0, 0, 7, 7]);
    }
}
