//! How fast bytes come just now, and whether they have stopped. How long it will take is reckoned in [`super::eta`].
//!
//! containerd writes blobs in steps of 1 MiB (`copyWithBuffer` fills a buffer of that size before each write), so a single look says
//! little: rates are taken over a window, and silence counts as a stall only when it lasts longer than such a step can explain.

use std::{collections::VecDeque, time::Duration};

use crate::time::Timestamp;

/// Bytes are averaged over this long, at most.
const WINDOW: Duration = Duration::from_secs(10);
/// No rate is told before this much was observed.
const SHORTEST: Duration = Duration::from_millis(900);
/// Looks that are kept: the window at ten a second.
const MAX_SAMPLES: usize = 100;
/// containerd's step.
const STEP: u64 = 1 << 20;
/// No stall is told before this much silence.
const STALL_AT_LEAST: Duration = Duration::from_secs(10);
/// Nor before this much while nothing says how fast the link is: a step at 50 KB/s takes 21 seconds.
const STALL_AT_FIRST: Duration = Duration::from_secs(30);
/// What comes this close to the end is what was left in a buffer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Steps by which is reckoned how long the next one may take: some connections at once write theirs one right after the other.
const MAX_STEPS: usize = 8;
/// A stall is told after this much silence, however slow the link was before.
const STALL_AT_MOST: Duration = Duration::from_secs(60);

/// What a pull's bytes did over the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Timestamp, u64)>,
    /// The first look, and those since that showed more than the one before.
    steps: VecDeque<(Timestamp, u64)>,
    /// Whether it waited since the last step, which says nothing about how long a step takes.
    waited: bool,
    last_progress: Option<Timestamp>,
    /// How long no byte had come before that.
    pause: Duration,
}

impl Meter {
    /// Notes that `bytes` in total had come at `now`. Numbers that fall are ignored.
    pub(super) fn note(&mut self, bytes: u64, now: Timestamp) {
        let newest = self.samples.back().copied();
        if newest.is_some_and(|(at, had)| bytes < had || now <= at) {
            return;
        }
        if newest.is_none_or(|(_, had)| bytes > had) {
            self.pause = self.last_progress.map_or(Duration::ZERO, |before| now.since(before));
            self.last_progress = Some(now);
            self.step(bytes, now);
        }
        self.samples.push_back((now, bytes));
        while self.samples.len() > MAX_SAMPLES || self.samples.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Forgets the time before the newest look: it was spent waiting, and says nothing about the speed.
    pub(super) fn restart(&mut self) {
        let newest = self.samples.pop_back();
        self.samples.clear();
        self.samples.extend(newest);
        self.waited = true;
    }

    /// When bytes were last seen to arrive.
    pub(super) const fn last_progress(&self) -> Option<Timestamp> {
        self.last_progress
    }

    /// How long no byte had come when the pull ended at `end`; `None` if none came at all. A download that is broken off writes what it
    /// has: what is seen to come in that moment came long before.
    pub(super) fn silence_before(&self, end: Timestamp) -> Option<Duration> {
        let quiet = end.since(self.last_progress?);
        Some(if quiet < LAST_WORDS { self.pause + quiet } else { quiet })
    }

    /// Bytes per second over the window; `None` before enough was seen.
    pub(super) fn bytes_per_sec(&self) -> Option<u64> {
        let ((first_at, first), (last_at, last)) = (self.samples.front()?, self.samples.back()?);
        let span = last_at.since(*first_at);
        if span < SHORTEST {
            return None;
        }
        let per_sec = u128::from(last - first) * 1_000_000_000 / span.as_nanos().max(1);
        u64::try_from(per_sec).ok()
    }

    /// How much silence is a stall: three times what one of containerd's steps takes on the mean of the last ones, and twice the longest
    /// time between two of them, within bounds.
    pub(super) fn stall_after(&self) -> Duration {
        let (Some((first_at, first)), Some((last_at, last))) = (self.steps.front(), self.steps.back()) else {
            return STALL_AT_FIRST;
        };
        let nanos = last_at.since(*first_at).as_nanos() * u128::from(STEP) / u128::from(last - first).max(1);
        let mean = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(STALL_AT_MOST);
        let pauses = self.steps.iter().zip(self.steps.iter().skip(1)).map(|((before, _), (after, _))| after.since(*before));
        pauses.max().map_or(STALL_AT_FIRST, |longest| (mean * 3).max(longest * 2)).clamp(STALL_AT_LEAST, STALL_AT_MOST)
    }

    fn step(&mut self, bytes: u64, now: Timestamp) {
        if std::mem::take(&mut self.waited) {
            self.steps.clear();
        }
        if self.steps.len() >= MAX_STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((now, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn steady_steps_of_a_mebibyte_give_the_links_rate() {
        let mut meter = Meter::default();
        (0..20).for_each(|i| meter.note(i * STEP, at(500 * i)));
        assert_eq!(meter.bytes_per_sec(), Some(2 * STEP));
    }

    #[test]
    fn a_first_look_is_no_rate() {
        let mut meter = Meter::default();
        meter.note(STEP, at(0));
        meter.note(2 * STEP, at(500));
        assert_eq!(meter.bytes_per_sec(), None);
    }

    #[test]
    fn silence_lowers_the_rate_and_keeps_the_time_of_the_last_byte() {
        let mut meter = Meter::default();
        meter.note(0, at(0));
        meter.note(STEP, at(1_000));
        (2..12).for_each(|s| meter.note(STEP, at(s * 1_000)));
        assert_eq!((meter.bytes_per_sec(), meter.last_progress()), (Some(0), Some(at(1_000))));
    }

    #[test]
    fn time_spent_waiting_does_not_lower_the_rate() {
        let mut meter = Meter::default();
        (0..8).for_each(|s| meter.note(0, at(s * 1_000)));
        meter.restart();
        (8..11).for_each(|s| meter.note((s - 7) * STEP, at(s * 1_000)));
        assert_eq!(meter.bytes_per_sec(), Some(STEP));
    }

    #[test]
    fn a_slow_link_is_given_the_time_that_a_step_takes() {
        let mut fast = Meter::default();
        (0..5).for_each(|i| fast.note(i * 10 * STEP, at(1_000 * i)));
        assert_eq!(fast.stall_after(), STALL_AT_LEAST);
        let mut slow = Meter::default();
        slow.note(0, at(0));
        slow.note(STEP, at(10_000));
        assert_eq!(slow.stall_after(), Duration::from_secs(30));
    }

    #[test]
    fn a_link_of_50_kb_a_second_never_stalls_and_its_silence_is_told_within_a_minute() {
        let (mut meter, mut seen) = (Meter::default(), 0);
        let quiet = |meter: &Meter, now: Timestamp| meter.last_progress().map_or(Duration::ZERO, |last| now.since(last));
        for look in 0..1_200 {
            let now = at(500 * look);
            seen = look * 25_000 / STEP * STEP;
            meter.note(seen, now);
            assert!(quiet(&meter, now) < meter.stall_after(), "called stalled after {look} looks");
        }
        let told = (1_200..1_400).map(|look| at(500 * look)).find(|now| {
            meter.note(seen, *now);
            quiet(&meter, *now) >= meter.stall_after()
        });
        assert!(told.is_some_and(|now| quiet(&meter, now) <= Duration::from_secs(60)), "silence is not told");
    }

    #[test]
    fn the_first_step_of_a_slow_link_and_steps_longer_than_the_window_are_no_stall() {
        let mut meter = Meter::default();
        (0..13).for_each(|s| meter.note(0, at(s * 1_000)));
        assert!(meter.stall_after() > Duration::from_secs(25), "{:?}", meter.stall_after());
        for step in 1..4 {
            (0..13).for_each(|s| meter.note(step * STEP, at((step * 13 + s) * 1_000)));
            assert_eq!(meter.stall_after(), Duration::from_secs(39), "after step {step}");
        }
    }

    #[test]
    fn connections_that_step_together_are_given_the_time_between_their_steps() {
        let mut meter = Meter::default();
        meter.note(0, at(0));
        for round in 1..4 {
            (0..3).for_each(|nth| meter.note((round * 3 + nth - 2) * STEP, at(round * 21_000 + nth * 10)));
            assert!(meter.stall_after() > Duration::from_secs(30), "in round {round}: {:?}", meter.stall_after());
        }
    }

    #[test]
    fn time_spent_waiting_does_not_lengthen_what_is_a_stall() {
        let mut meter = Meter::default();
        (0..4).for_each(|s| meter.note(s * STEP, at(s * 500)));
        meter.restart();
        assert_eq!(meter.stall_after(), STALL_AT_LEAST, "a stall stays one");
        (0..4).for_each(|s| meter.note((4 + s) * STEP, at(50_000 + s * 500)));
        assert_eq!(meter.stall_after(), STALL_AT_LEAST);
    }

    #[test]
    fn what_is_written_when_a_download_is_broken_off_does_not_end_the_silence_before() {
        let mut meter = Meter::default();
        assert_eq!(meter.silence_before(at(5_000)), None);
        [(0, 0), (STEP, 500), (2 * STEP, 1_000)].into_iter().for_each(|(bytes, ms)| meter.note(bytes, at(ms)));
        assert_eq!(meter.silence_before(at(61_000)), Some(Duration::from_secs(60)));
        // It is told as a stall meanwhile.
        meter.restart();
        meter.note(2 * STEP + 5_000, at(60_900));
        assert_eq!(meter.silence_before(at(61_000)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn numbers_that_fall_do_not_disturb() {
        let mut meter = Meter::default();
        [(5, 0), (3, 1_000), (10, 2_000)].into_iter().for_each(|(bytes, ms)| meter.note(bytes, at(ms)));
        assert_eq!(meter.bytes_per_sec(), Some(2));
    }
}
