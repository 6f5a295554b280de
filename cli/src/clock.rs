//! What time it is: the one place of the command line that asks. Everything else is handed a [`Timestamp`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lifecycle::time::{Anchor, Timestamp};

/// A clock that shows wall time and never goes backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    anchor: Anchor,
    origin: Instant,
}

impl Clock {
    /// A clock that agrees with the wall now.
    #[expect(clippy::disallowed_methods, reason = "the clock: the one place of the command line that reads it")]
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_nanos(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX));
        Self { anchor: Anchor::new(wall, std::time::Duration::ZERO), origin: Instant::now() }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.anchor.at(self.origin.elapsed())
    }
}
