//! How fast bytes have come over the whole of a pull, remembered finely for the last seconds and coarsely for the time before, and how
//! much that wavered. Waits do not count: the clock of this room stands still while it is told to. Its neighbour [`super::rate`] speaks of
//! the last seconds only; who looks ahead is [`super::eta`].
//!
//! The rate for a forecast of the next `h` seconds is the mean of the last `h` seconds: a short forecast listens to the last seconds, a
//! long one to the whole pull. That is calm under noise, because noise that comes and goes within the time that is forecast averages out.
//! Where the last seconds differ from the time before by more than its noise explains, something has changed, and the time before is
//! forgotten.

use std::time::Duration;

use crate::time::Timestamp;

/// Two marks may be as far apart as their age divided by this.
const FINE: f64 = 12.0;
/// Marks that are kept; at `FINE` and one mark in 0.05 s they reach over weeks.
const MAX_MARKS: usize = 256;
/// The shortest time over which a rate is taken, seconds.
const SHORTEST: f64 = 8.0;
/// Less than this is no rate, seconds.
const TOO_SHORT: f64 = 0.9;
/// Length of the stretches whose rates are compared to see how much they waver, seconds.
const STRETCH: f64 = 4.0;
/// Stretches that are compared, at most.
const MAX_STRETCHES: usize = 48;
/// For how many stretches counts what earlier pulls have shown of how much rates waver.
const SUPPOSED: f64 = 4.0;
/// A change by less is noise.
const LEAST_CHANGE: f64 = 0.7;
/// More layers than this at a time are counted as so many.
const MAX_COUNT: usize = 16;
/// containerd's step, bytes.
const STEP: f64 = 1_048_576.0;

/// A rate for a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Bytes per second.
    pub(super) per_sec: f64,
    /// The deviation of the logarithm of what the mean rate of the time ahead will be.
    pub(super) spread: f64,
}

/// What earlier pulls have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Bytes per second.
    pub(super) rate: Option<f64>,
    /// Variance of the logarithm of the rate from one stretch to the next.
    pub(super) wavering: f64,
}

/// The bytes of a pull over its time, waits left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Seconds and bytes, when bytes had come.
    marks: Vec<(f64, f64)>,
    clock: f64,
    newest: Option<Timestamp>,
    /// Seconds and bytes by the number of layers that were fetched at a time.
    by_count: Vec<(f64, f64)>,
    bytes: f64,
}

impl Pace {
    /// Notes that `bytes` in total had come at `now`, while `count` layers were fetched at a time.
    pub(super) fn note(&mut self, bytes: u64, count: usize, now: Timestamp) {
        let bytes = as_f64(bytes);
        if let Some(newest) = self.newest {
            let passed = now.since(newest).as_secs_f64();
            self.clock += passed;
            self.count(count, passed, bytes - self.bytes);
        }
        self.bytes = self.bytes.max(bytes);
        self.newest = Some(now);
        if self.marks.len() == 1 && self.marks[0].1 >= bytes && count == 0 {
            self.marks[0].0 = self.clock;
        }
        if self.marks.last().is_none_or(|(_, had)| bytes > *had) {
            self.marks.push((self.clock, bytes));
            self.thin();
        }
    }

    fn count(&mut self, count: usize, seconds: f64, bytes: f64) {
        let count = count.min(MAX_COUNT);
        if self.by_count.len() <= count {
            self.by_count.resize(count + 1, (0.0, 0.0));
        }
        let (known, had) = self.by_count[count];
        self.by_count[count] = (known + seconds, had + bytes.max(0.0));
    }

    /// Seconds and bytes by the number of layers that were fetched at a time.
    pub(super) fn by_count(&self) -> &[(f64, f64)] {
        &self.by_count
    }

    /// Takes the time since the last note out: it was spent waiting.
    pub(super) fn skip(&mut self, now: Timestamp) {
        self.newest = Some(now);
    }

    /// Seconds since bytes came.
    pub(super) fn silence(&self) -> f64 {
        self.marks.last().map_or(0.0, |(at, _)| self.clock - at)
    }

    /// Seconds from the first byte to the last, and how many came.
    pub(super) fn seen(&self) -> (f64, f64) {
        match (self.marks.first(), self.marks.last()) {
            (Some(first), Some(last)) => (last.0 - first.0, last.1 - first.1),
            _ => (0.0, 0.0),
        }
    }

    /// How much the rate wavered over the whole; `None` if too little was seen.
    pub(super) fn wavered(&self) -> Option<f64> {
        let rates = self.stretches(0.0, f64::MAX);
        let mean = rates.iter().sum::<f64>() / as_f64(rates.len() as u64);
        let squares: f64 = rates.iter().map(|r| (r - mean).powi(2)).sum();
        (rates.len() > 3).then(|| squares / as_f64(rates.len() as u64 - 1))
    }

    /// The rate to reckon with for the next `ahead` seconds; `None` before enough was seen.
    pub(super) fn rate(&self, ahead: f64, before: Before) -> Option<Rate> {
        let since = self.changed_at(before.wavering);
        let reach = (self.clock - since).min(ahead.max(SHORTEST));
        let (mut bytes, mut seconds) = self.over(reach)?;
        if let Some(before) = before.rate {
            bytes += before * TRUST;
            seconds += TRUST;
        }
        let per_sec = bytes / seconds;
        let (variance, inflation) = self.wavering(since, f64::MAX, before.wavering);
        let of_mean = |seconds: f64| variance * (inflation * STRETCH / seconds.max(STRETCH)).min(1.0);
        Some(Rate { per_sec, spread: (of_mean(reach) + of_mean(ahead)).sqrt() })
    }
}

/// For how many seconds what earlier pulls have shown counts.
const TRUST: f64 = 2.0;

impl Pace {
    /// Bytes and seconds of about the last `reach` seconds. Ends at the last byte, unless the silence since is longer than steps explain.
    fn over(&self, reach: f64) -> Option<(f64, f64)> {
        let &(last_at, last) = self.marks.last()?;
        let from = self.clock - reach;
        let first = self.marks.iter().rev().find(|(at, _)| *at <= from).or_else(|| self.marks.first())?;
        let seconds = last_at - first.0;
        let bytes = last - first.1;
        let step = if bytes > 0.0 { 2.0 * STEP * seconds / bytes } else { 0.0 };
        let seconds = seconds + (self.silence() - step.max(1.0)).max(0.0);
        (seconds >= TOO_SHORT && bytes > 0.0).then_some((bytes, seconds))
    }

    /// Bytes at a time, between the marks.
    fn at(&self, time: f64) -> f64 {
        let after = self.marks.partition_point(|(at, _)| *at <= time);
        match (self.marks.get(after.wrapping_sub(1)), self.marks.get(after)) {
            (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (time - a.0) / (b.0 - a.0).max(1e-9),
            (Some(a), None) => a.1,
            (None, Some(b)) => b.1,
            (None, None) => 0.0,
        }
    }

    /// Logarithms of the rates of the stretches between two times, newest first.
    fn stretches(&self, since: f64, until: f64) -> Vec<f64> {
        let mut rates = Vec::new();
        let mut end = self.marks.last().map_or(0.0, |(at, _)| at.min(until));
        while end - STRETCH >= since && rates.len() < MAX_STRETCHES {
            let bytes = self.at(end) - self.at(end - STRETCH);
            rates.push((bytes.max(STEP / 4.0) / STRETCH).ln());
            end -= STRETCH;
        }
        rates
    }

    /// How much the rates of stretches waver, and how much longer than a stretch they do so in one direction.
    fn wavering(&self, since: f64, until: f64, supposed: f64) -> (f64, f64) {
        let rates = self.stretches(since, until);
        let count = as_f64(rates.len() as u64);
        let mean = rates.iter().sum::<f64>() / count.max(1.0);
        let squares: f64 = rates.iter().map(|r| (r - mean).powi(2)).sum();
        let products: f64 = rates.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum();
        let weight = SUPPOSED;
        let variance = (squares + supposed * weight) / ((count - 1.0).max(0.0) + weight);
        let memory = ((products + 0.6 * supposed * weight) / (squares + supposed * weight)).clamp(0.0, 0.85);
        (variance, (1.0 + memory) / (1.0 - memory))
    }

    /// When the rate changed last by more than its noise explains; the begin if it did not.
    fn changed_at(&self, supposed: f64) -> f64 {
        let begin = self.marks.first().map_or(0.0, |(at, _)| *at);
        let now = self.clock;
        for recent in [2.0 * STRETCH, 4.0 * STRETCH, 8.0 * STRETCH] {
            let split = now - recent;
            let Some(earlier) = (split - begin > 2.0 * STRETCH).then(|| (self.at(split) - self.at(begin)) / (split - begin))
            else {
                continue;
            };
            let newer = (self.at(now) - self.at(split)) / recent;
            let (variance, inflation) = self.wavering(begin, split, supposed);
            let noise = (variance * (inflation * STRETCH / recent).min(1.0)).sqrt();
            if earlier * STRETCH > STEP && (newer.max(STEP / 16.0) / earlier).ln().abs() > (3.0 * noise).max(LEAST_CHANGE) {
                return split;
            }
        }
        begin
    }

    /// Forgets marks that lie closer together than their age is worth.
    fn thin(&mut self) {
        let now = self.clock;
        let mut kept: Vec<(f64, f64)> = Vec::with_capacity(self.marks.len());
        for (i, mark) in self.marks.iter().enumerate() {
            let is_end = i == 0 || i + 1 == self.marks.len();
            let next = self.marks.get(i + 1).map_or(now, |m| m.0);
            let gap = kept.last().map_or(f64::MAX, |k| next - k.0);
            if is_end || gap > (now - mark.0) / FINE {
                kept.push(*mark);
            }
        }
        if kept.len() > MAX_MARKS {
            kept.remove(1);
        }
        self.marks = kept;
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
pub(super) const fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// Seconds as a duration; what is no time is none, what is longer than a year is a year.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 31_536_000.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: Before = Before { rate: None, wavering: 0.06 };
    const MB: u64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    /// So many bytes each second, for so many seconds, looked at twice a second.
    fn run(pace: &mut Pace, from: u64, seconds: u64, rate: u64, had: u64) {
        (1..=2 * seconds).for_each(|i| pace.note(had + i * rate / 2, 3, at(from * 1_000 + i * 500)));
    }

    fn rate(pace: &Pace, ahead: f64) -> f64 {
        pace.rate(ahead, NOTHING).expect("enough was seen").per_sec / as_f64(MB)
    }

    #[test]
    fn a_steady_link_has_the_same_rate_however_far_one_looks() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 100, 10 * MB, 0);
        for ahead in [1.0, 30.0, 1e6] {
            assert!((9.9..10.1).contains(&rate(&pace, ahead)), "{}", rate(&pace, ahead));
        }
    }

    #[test]
    fn a_real_change_is_believed_within_seconds() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 120, 40 * MB, 0);
        run(&mut pace, 120, 20, 4 * MB, 120 * 40 * MB);
        assert!(rate(&pace, 1e4) < 8.0, "{}", rate(&pace, 1e4));
    }

    #[test]
    fn noise_does_not_carry_a_long_forecast_away() {
        let mut pace = Pace::default();
        let mut had = 0;
        for i in 0..60 {
            let rate = if i % 2 == 0 { 5 * MB } else { 15 * MB };
            run(&mut pace, 4 * i, 4, rate, had);
            had += 4 * rate;
        }
        assert!((8.5..11.5).contains(&rate(&pace, 100.0)), "{}", rate(&pace, 100.0));
    }

    #[test]
    fn steps_of_a_slow_link_are_its_rate_and_no_silence() {
        let mut pace = Pace::default();
        let step = 1 << 20;
        (0..400).for_each(|i| pace.note(i * 50_000 / 2 / step * step, 1, at(i * 500)));
        assert!((0.045..0.055).contains(&rate(&pace, 1e4)), "{}", rate(&pace, 1e4));
    }

    #[test]
    fn time_that_was_spent_waiting_does_not_count() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 10, 10 * MB, 0);
        pace.skip(at(100_000));
        run(&mut pace, 100, 10, 10 * MB, 100 * MB);
        assert!((9.5..10.5).contains(&rate(&pace, 1e4)), "{}", rate(&pace, 1e4));
    }

    proptest! {
        #[test]
        fn whatever_is_noted_memory_is_bounded_and_rates_are_numbers(
            notes in prop::collection::vec((0..100_000_000_u64, 0..100_000_u64), 0..700), ahead in 0.0..1e9,
        ) {
            let (mut pace, mut now, mut had) = (Pace::default(), 0, 0);
            for (bytes, passed) in notes {
                (now, had) = (now + passed, had + bytes);
                pace.note(had, 3, at(now));
                prop_assert!(pace.marks.len() <= MAX_MARKS + 1);
            }
            if let Some(rate) = pace.rate(ahead, NOTHING) {
                prop_assert!(rate.per_sec > 0.0 && rate.per_sec.is_finite() && rate.spread.is_finite());
            }
        }
    }
}
