//! How far a node's clock is off: estimated from when its heartbeats left, by its clock, and when they came, by the collector's.
//!
//! It is told to people; nothing is computed with it. Durations are taken from one clock each, wherever they are taken.

use std::time::Duration;

use crate::time::Timestamp;

/// Heartbeats that are judged, the latest.
const JUDGED: usize = 4;
/// Fewer say nothing: a single one may have been on its way for long.
const ENOUGH: usize = 3;
/// What is off by less is not told. A heartbeat may take so long without anything being wrong.
const NOTABLE: Duration = Duration::from_secs(2);

/// What the latest heartbeats of one node say about its clock.
#[derive(Debug, Default)]
pub(super) struct Skew {
    /// By how many milliseconds the node's clock seemed to be ahead, latest first.
    ahead: [Option<i64>; JUDGED],
}

impl Skew {
    /// Notes a heartbeat that left and came at these times.
    pub(super) fn note(&mut self, left: Timestamp, came: Timestamp) {
        self.ahead.rotate_right(1);
        self.ahead[0] = Some(millis(left).saturating_sub(millis(came)));
    }

    /// By how many milliseconds the node's clock is ahead of the collector's, or behind if negative. `None` if that is too little to matter,
    /// or not known.
    ///
    /// What delays a heartbeat makes the clock look slow and never fast, so the one that makes it look fastest says most.
    pub(super) fn offset(&self) -> Option<i64> {
        let judged = self.ahead.iter().flatten();
        let ahead = judged.clone().max().filter(|_| judged.count() >= ENOUGH)?;
        (Duration::from_millis(ahead.unsigned_abs()) >= NOTABLE).then_some(*ahead)
    }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
