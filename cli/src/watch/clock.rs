//! What time it is for the collector, found from what it says: its times are never compared with this machine's clock, which may be wrong. Time
//! here is the time since this program began.

use std::time::Duration;

use lifecycle::time::Timestamp;

/// What is older than this may be forgotten when something newer is there, so that a collector whose clock was set back is believed.
const WINDOW: Duration = Duration::from_secs(60);

/// The collector's clock.
///
/// Whatever the collector says was written some time before it is read: of all that it said, what puts its clock the most ahead was the least
/// on the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// Of this window and the one before.
    begins: [Option<Timestamp>; 2],
    since: Duration,
}

impl Clock {
    /// The collector said a time of its own clock, and it was read at `now`.
    pub(super) fn heard(&mut self, said: Timestamp, now: Duration) {
        let begin = said.before(now);
        if now.saturating_sub(self.since) > WINDOW {
            self.begins = [None, self.begins[0].or(self.begins[1])];
            self.since = now;
        }
        self.begins[0] = self.begins[0].max(Some(begin));
    }

    /// The collector's time now; none before it said anything.
    pub(super) fn now(&self, now: Duration) -> Option<Timestamp> {
        Some(self.begins[0].max(self.begins[1])? + now)
    }

    /// How long ago, by the collector's clock.
    pub(super) fn since(&self, then: Timestamp, now: Duration) -> Duration {
        self.now(now).map_or(Duration::ZERO, |now| now.since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + seconds * 1000)
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_least_delayed_word_tells_the_time() {
        let mut clock = Clock::default();
        assert_eq!(clock.now(s(1)), None);
        clock.heard(at(10), s(5));
        clock.heard(at(12), s(6));
        clock.heard(at(3), s(7));
        assert_eq!(clock.now(s(8)), Some(at(14)));
        assert_eq!(clock.since(at(4), s(8)), s(10));
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_within_two_windows() {
        let mut clock = Clock::default();
        clock.heard(at(1000), s(1));
        for second in (10..200).step_by(10) {
            clock.heard(at(500 + second), s(second));
        }
        assert_eq!(clock.now(s(200)), Some(at(700)));
    }
}
