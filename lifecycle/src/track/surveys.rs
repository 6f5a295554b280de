//! When to look at everything: soon while something stirs, seldom while nothing does, and one look at a time.

use std::time::Duration;

use super::Pace;
use crate::time::Timestamp;

/// Time between two surveys while a pull runs and something stirs.
const ACTIVE_GAP: Duration = Duration::from_millis(20);
/// The same while nothing is known of what a pull that has just begun pulls, and while nothing runs; there it grows while surveys find
/// nothing. A pull whose registry refuses its blobs is over in 30 ms, and nothing is left of it soon after.
const SHORTEST_GAP: Duration = Duration::from_millis(4);
/// Longest time between two surveys while something stirs.
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// After so long without a stir, or the gap if that is longer, surveys follow each other closely again.
const QUIET: Duration = Duration::from_millis(40);
/// An unanswered survey is asked again after this.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(15);

/// When to look next.
#[derive(Debug)]
pub(super) struct Surveys {
    asked_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    /// When the last one was taken: what happened later may be missing from it.
    pub(super) taken_at: Option<Timestamp>,
    pub(super) stirred: bool,
    stirred_at: Option<Timestamp>,
    pub(super) urgent: bool,
    gap: Duration,
}

impl Surveys {
    /// None yet, and nothing that asks for one.
    pub(super) const NONE: Self = Self {
        asked_at: None,
        last_at: None,
        taken_at: None,
        stirred: false,
        stirred_at: None,
        urgent: false,
        gap: SHORTEST_GAP,
    };

    /// None of this runtime yet, and one to be taken.
    pub(super) const AT_ONCE: Self = Self { stirred: true, ..Self::NONE };

    /// Notes that something changed. After a quiet time the first write may be of a lease that is not committed yet, and the pull over in
    /// a moment: the next looks must not be far.
    pub(super) fn stir(&mut self, now: Timestamp) {
        if self.stirred_at.is_some_and(|at| now.since(at) >= QUIET.max(self.gap)) {
            self.gap = SHORTEST_GAP;
        }
        self.stirred = true;
        self.stirred_at = Some(now);
    }

    /// Notes that one was taken and answered; returns how long that took.
    pub(super) fn answered(&mut self, taken_at: Timestamp, now: Timestamp) -> Duration {
        self.last_at = Some(now);
        self.taken_at = Some(taken_at);
        self.asked_at.take().map_or(Duration::ZERO, |asked| now.since(asked))
    }

    /// Sets how soon the next stir is looked into, after a look that took so long: a node that is busy is not kept busy by looks.
    pub(super) fn space(&mut self, found: Finding, took: Duration) {
        self.gap = match found {
            Finding::Unclear => SHORTEST_GAP,
            Finding::Open => ACTIVE_GAP,
            Finding::Nothing => (self.gap * 2).min(LONGEST_GAP),
        };
        self.gap = self.gap.max(took.min(LONGEST_GAP));
    }

    /// When to look next.
    pub(super) fn next(&self, active: bool, pace: Pace) -> Timestamp {
        if let Some(asked) = self.asked_at {
            return asked + SURVEY_TIMEOUT;
        }
        let pause = match (self.urgent, self.stirred, active) {
            (true, ..) => Duration::ZERO,
            (false, true, _) => self.gap,
            (false, false, true) => pace.active,
            (false, false, false) => pace.idle,
        };
        self.last_at.map_or(Timestamp::EPOCH, |last| last + pause)
    }

    /// Notes that one is asked for.
    pub(super) const fn ask(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
        self.stirred = false;
        self.urgent = false;
    }
}

/// What a survey leaves to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// What a pull pulls, or whether bytes of one that ends still come: it may be over in a moment.
    Unclear,
    /// How a pull goes on.
    Open,
    /// Nothing runs.
    Nothing,
}
