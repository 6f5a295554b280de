//! Time for the agent: the only place that reads the machine's clocks. What is done with it stands in [`crate::run`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lifecycle::time::{Anchor, Timestamp};

/// A wall clock that differs by more was stepped.
const STEPPED: Duration = Duration::from_millis(500);

/// The agent's clock: monotonic, told as wall time.
pub(crate) struct Clock {
    begin: Instant,
    anchor: Anchor,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let begin = Instant::now();
        Self { begin, anchor: Anchor::new(wall(), Duration::ZERO) }
    }

    /// Now. While nothing runs, a wall clock that was stepped is followed; while something runs, its durations come first.
    pub(crate) fn now(&mut self, active: bool) -> Timestamp {
        let elapsed = self.begin.elapsed();
        let now = self.anchor.at(elapsed);
        let wall = wall();
        if active || now.distance(wall) < STEPPED {
            return now;
        }
        self.anchor = Anchor::new(wall, elapsed);
        wall
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock: the one place of the agent that reads it")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
