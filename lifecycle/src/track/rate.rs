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
/// No stall is told before this much silence.
const STALL_AT_LEAST: Duration = Duration::from_secs(10);
/// The same before the first step was seen: at 50 KB/s it takes 21 s.
const FIRST_STEP: Duration = Duration::from_secs(30);
/// A stall is told after this much silence, however slow the link was before.
const STALL_AT_MOST: Duration = Duration::from_secs(60);

/// What a pull's bytes did over the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Timestamp, u64)>,
    last_progress: Option<Timestamp>,
    /// The longest time between bytes that was seen lately, waits left out; `None` before bytes came a second time.
    gap: Option<Duration>,
    restarted: Option<Timestamp>,
}

impl Meter {
    /// Notes that `bytes` in total had come at `now`. Numbers that fall are ignored.
    pub(super) fn note(&mut self, bytes: u64, now: Timestamp) {
        let newest = self.samples.back().copied();
        if newest.is_some_and(|(at, had)| bytes < had || now <= at) {
            return;
        }
        if newest.is_some_and(|(_, had)| bytes > had) {
            let gap = self.last_progress.max(self.restarted).map_or(Duration::ZERO, |from| now.since(from));
            self.gap = Some(self.gap.map_or(gap, |known| gap.max(known / 2)));
        }
        if newest.is_none_or(|(_, had)| bytes > had) {
            self.last_progress = Some(now);
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
        self.restarted = newest.map(|(at, _)| at);
        self.samples.extend(newest);
    }

    /// When bytes were last seen to arrive.
    pub(super) const fn last_progress(&self) -> Option<Timestamp> {
        self.last_progress
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

    /// How much silence is a stall: three times what one of containerd's steps has taken lately, within bounds.
    pub(super) fn stall_after(&self) -> Duration {
        self.gap.map_or(FIRST_STEP, |gap| (gap * 3).clamp(STALL_AT_LEAST, STALL_AT_MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// containerd's step.
    const STEP: u64 = 1 << 20;

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
    fn numbers_that_fall_do_not_disturb() {
        let mut meter = Meter::default();
        [(5, 0), (3, 1_000), (10, 2_000)].into_iter().for_each(|(bytes, ms)| meter.note(bytes, at(ms)));
        assert_eq!(meter.bytes_per_sec(), Some(2));
    }
}
