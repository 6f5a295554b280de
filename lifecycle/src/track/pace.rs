//! How fast bytes have come over the whole of a pull, and what that says about the time ahead. Waits do not count: the clock of this room
//! stands still while it is told to. Its neighbour [`super::rate`] speaks of the last seconds only; who looks ahead is [`super::eta`].
//!
//! The model: a link has a usual speed, and a mood that makes it faster or slower for a while. A [`Guess`] supposes how strong the moods
//! are, how long they last, and whether the link or each connection is limited; given that, what is best known of the usual speed and the
//! present mood is found by a Kalman filter of two numbers (in logarithms, as speeds waver by factors). Nobody knows which guess is right,
//! so a few dozen are kept, and each counts as much as it foretold well. From that follow without further rules: noise averages out over a
//! long forecast, a short one listens to the last seconds, a lasting change is believed, and the bounds are as wide as the link is restless.

use std::time::Duration;

use super::eta::SLOTS;
use crate::time::Timestamp;

/// How much moods change the speed (deviation of its logarithm), in guesses.
const STRENGTHS: [f64; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];
/// How many seconds moods last, in guesses.
const MEMORIES: [f64; 3] = [4.0, 16.0, 64.0];
/// Who limits, in guesses: 0 the link, 1 each connection.
const SHARINGS: [f64; 2] = [0.0, 1.0];
/// All guesses.
const GUESSES: usize = STRENGTHS.len() * MEMORIES.len() * SHARINGS.len();
/// A speed is taken over at least so many seconds, and one of containerd's steps for each layer,
const SHORTEST: f64 = 1.0;
/// or over so many seconds, however few steps came.
const LONGEST: f64 = 30.0;
/// containerd's step, bytes.
const STEP: f64 = 1_048_576.0;
/// So many bytes of each layer that is fetched are on their way to containerd's next step, on average.
pub(super) const HALF_STEP: u64 = 1 << 19;
/// What a link may be: this many bytes per second, or so different (deviation of the logarithm).
const ANY_SPEED: (f64, f64) = (10e6, 2.0);
/// How much speeds of pulls of one node differ (deviation of the logarithm).
const OF_PULLS: f64 = 0.4;
/// How likely it is that each connection is limited, before anything was seen.
const LIMITED: f64 = 0.2;
/// No guess is less likely than the best by more (logarithm): what was never so may yet be.
const DOUBT: f64 = 10.0;
/// No surprise counts for more than one of so many deviations: not all that happens to a link is a mood.
const SURPRISE: f64 = 4.0;

/// A rate for a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Bytes per second, while as many layers are fetched at a time as usual.
    pub(super) per_sec: f64,
    /// The deviation of the logarithm of what the mean rate of the time ahead will be.
    pub(super) spread: f64,
    /// How likely this is of all rates, between 0 and 1.
    pub(super) credit: f64,
    /// Who limits: 0 the link, 1 each connection.
    pub(super) sharing: f64,
}

/// One guess at how a link behaves, and what follows from it.
#[derive(Clone, Copy, Debug)]
struct Guess {
    strength: f64,
    memory: f64,
    sharing: f64,
    /// Logarithm of the usual speed.
    usual: f64,
    /// How far from it the mood takes the logarithm now.
    mood: f64,
    /// Variance of both, and between them.
    unsure: (f64, f64, f64),
    /// Logarithm of how well it foretold.
    credit: f64,
}

impl Guess {
    /// Lets time pass, in which moods fade and others come.
    fn pass(&mut self, seconds: f64) {
        let kept = (-seconds / self.memory).exp();
        self.mood *= kept;
        let (usual, mood, both) = self.unsure;
        self.unsure = (usual, mood * kept * kept + self.strength.powi(2) * (1.0 - kept * kept), both * kept);
    }

    /// Learns that the logarithm of the speed was `seen`, which is known with the variance `blur`.
    fn learn(&mut self, seen: f64, blur: f64) {
        let (usual, mood, both) = self.unsure;
        let expected = usual + 2.0 * both + mood + blur;
        let (of_usual, of_mood) = ((usual + both) / expected, (both + mood) / expected);
        let off = seen - self.usual - self.mood;
        self.usual += of_usual * off;
        self.mood += of_mood * off;
        self.unsure = (usual - of_usual * (usual + both), mood - of_mood * (both + mood), both - of_usual * (both + mood));
        self.credit -= 0.5 * (expected.ln() + (off * off / expected).min(SURPRISE * SURPRISE));
    }

    /// Logarithm of the mean speed over the next seconds, and its variance.
    fn ahead(&self, seconds: f64) -> (f64, f64) {
        let (usual, mood, both) = self.unsure;
        let length = seconds.max(0.1) / self.memory;
        // Mean over the time of how much of a mood is left, and of its square.
        let left = (1.0 - (-length).exp()) / length;
        let left_squared = (1.0 - (-2.0 * length).exp()) / (2.0 * length);
        // Variance of the mean over the time of the moods to come.
        let to_come = self.strength.powi(2) * (2.0 * (1.0 - left) / length - left * left).max(0.0);
        // The mean of what wavers is more than its logarithm says.
        let more = 0.5 * (self.strength.powi(2) * (1.0 - left_squared) - to_come);
        (self.usual + left * self.mood + more, usual + 2.0 * left * both + left * left * mood + to_come)
    }
}

/// What is known of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    guesses: [Guess; GUESSES],
    /// Whether anything was seen of it.
    seen: bool,
}

impl Default for Link {
    /// A link that nothing is known of.
    fn default() -> Self {
        let (per_sec, spread) = ANY_SPEED;
        let moods = STRENGTHS.iter().flat_map(|s| MEMORIES.iter().map(move |m| (*s, *m)));
        let mut all = moods.flat_map(|(strength, memory)| SHARINGS.iter().map(move |s| (strength, memory, *s)));
        let guesses = std::array::from_fn(|_| {
            let (strength, memory, sharing) = all.next().unwrap_or((0.0, 1.0, 0.0));
            let credit = (if sharing > 0.5 { LIMITED } else { 1.0 - LIMITED }).ln();
            let unsure = (spread * spread, strength * strength, 0.0);
            Guess { strength, memory, sharing, usual: per_sec.ln(), mood: 0.0, unsure, credit }
        });
        Self { guesses, seen: false }
    }
}

impl Link {
    /// The same node with its next pull: perhaps from elsewhere, in another mood.
    pub(super) fn next(&self) -> Self {
        let mut next = *self;
        for guess in &mut next.guesses {
            guess.mood = 0.0;
            guess.unsure = (guess.unsure.0 + OF_PULLS * OF_PULLS, guess.strength.powi(2), 0.0);
        }
        next
    }

    /// Learns that `bytes` came in `seconds`, while so many layers were fetched at a time.
    fn learn(&mut self, bytes: f64, seconds: f64, count: f64) {
        self.seen |= bytes > 0.0;
        let bytes = bytes.max(STEP / 2.0);
        let crowd = (count / as_f64(SLOTS as u64)).ln();
        // Each layer's last step may be all on its way, or none of it, before and after.
        let blur = count.max(1.0) / 6.0 * (STEP / bytes).powi(2);
        for guess in &mut self.guesses {
            guess.pass(seconds);
            guess.learn((bytes / seconds).ln() - guess.sharing * crowd, blur);
        }
        let best = self.guesses.iter().map(|g| g.credit).fold(f64::MIN, f64::max);
        self.guesses.iter_mut().for_each(|g| g.credit = (g.credit - best).max(-DOUBT));
    }

    /// Whether anything was seen of it.
    pub(super) const fn is_known(&self) -> bool {
        self.seen
    }

    /// What to reckon with while so many bytes come, for each that may limit.
    pub(super) fn ahead(&self, bytes: f64) -> [Rate; 2] {
        let long = self.over(f64::MAX);
        let per_sec: f64 = long.iter().map(|rate| rate.per_sec * rate.credit).sum();
        self.over(bytes / per_sec.max(1.0))
    }

    /// The same for the next seconds.
    fn over(&self, seconds: f64) -> [Rate; 2] {
        let all: f64 = self.guesses.iter().map(|g| g.credit.exp()).sum();
        SHARINGS.map(|sharing| {
            let of_kind = self.guesses.iter().filter(|g| (g.sharing - sharing).abs() < 0.5);
            let guesses: Vec<(f64, (f64, f64))> = of_kind.map(|g| (g.credit.exp(), g.ahead(seconds))).collect();
            let weights = guesses.iter().map(|(w, _)| w).sum::<f64>().max(f64::MIN_POSITIVE);
            let mean = guesses.iter().map(|(w, (mean, _))| w * mean).sum::<f64>() / weights;
            let apart = guesses.iter().map(|(w, (m, _))| w * (m - mean).powi(2)).sum::<f64>() / weights;
            let alone = guesses.iter().map(|(w, (_, variance))| w * variance.sqrt()).sum::<f64>() / weights;
            let spread = alone.hypot(apart.sqrt());
            Rate { per_sec: mean.exp(), spread, credit: weights / all, sharing }
        })
    }
}

/// The bytes of a pull over its time, waits left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    link: Link,
    /// Bytes, seconds, and these weighted with the number of layers, since the link learned last.
    open: (f64, f64, f64),
    newest: Option<(Timestamp, u64, usize)>,
}

impl Pace {
    /// Of a pull on a node of which this is known.
    pub(super) fn on(node: &Link) -> Self {
        Self { link: node.next(), ..Self::default() }
    }

    /// Notes that `bytes` in total had come at `now`, while `count` layers are fetched at a time.
    pub(super) fn note(&mut self, bytes: u64, count: usize, now: Timestamp) {
        let bytes = bytes + count as u64 * HALF_STEP;
        let Some((before, had, counted)) = self.newest.replace((now, bytes, count)) else { return };
        if count == 0 || counted == 0 {
            return;
        }
        let seconds = now.since(before).as_secs_f64();
        let came = as_f64(bytes.saturating_sub(had));
        let layers = as_f64((count + counted) as u64) / 2.0;
        let (bytes, seconds, weighted) = (self.open.0 + came, self.open.1 + seconds, self.open.2 + seconds * layers);
        let enough = seconds >= SHORTEST && bytes * seconds >= STEP * weighted;
        self.open = (bytes, seconds, weighted);
        if enough || seconds >= LONGEST {
            self.link.learn(bytes, seconds, weighted / seconds);
            self.open = (0.0, 0.0, 0.0);
        }
    }

    /// Takes the time since the last note out: it was spent waiting.
    pub(super) const fn skip(&mut self, now: Timestamp) {
        if let Some((at, ..)) = &mut self.newest {
            *at = now;
        }
    }

    /// What is known of the link.
    pub(super) const fn link(&self) -> &Link {
        &self.link
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

    const MB: u64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    /// So many bytes each second, for so many seconds, looked at twice a second.
    fn run(pace: &mut Pace, from: u64, seconds: u64, rate: u64, had: u64) {
        (1..=2 * seconds).for_each(|i| pace.note(had + i * rate / 2, 3, at(from * 1_000 + i * 500)));
    }

    /// What is most likely for the next seconds, in megabytes per second.
    fn rate(pace: &Pace, seconds: f64) -> f64 {
        let rates = pace.link.over(seconds);
        rates.iter().map(|r| r.credit * r.per_sec).sum::<f64>() / 1e6
    }

    #[test]
    fn a_steady_link_has_the_same_rate_however_far_one_looks() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 100, 10 * MB, 0);
        for seconds in [1.0, 30.0, 1e6] {
            assert!((9.5..10.5).contains(&rate(&pace, seconds)), "{}", rate(&pace, seconds));
        }
    }

    #[test]
    fn a_lasting_change_is_believed() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 120, 40 * MB, 0);
        run(&mut pace, 120, 40, 4 * MB, 120 * 40 * MB);
        assert!(rate(&pace, 30.0) < 8.0, "{}", rate(&pace, 30.0));
    }

    #[test]
    fn noise_does_not_carry_a_long_forecast_away() {
        let (mut pace, mut had) = (Pace::default(), 0);
        for i in 0..60 {
            let rate = if i % 2 == 0 { 5 * MB } else { 15 * MB };
            run(&mut pace, 2 * i, 2, rate, had);
            had += 2 * rate;
        }
        assert!((7.0..13.0).contains(&rate(&pace, 100.0)), "{}", rate(&pace, 100.0));
    }

    #[test]
    fn a_restless_link_is_less_sure_than_a_steady_one_and_a_long_forecast_surer_than_a_short_one() {
        let (mut steady, mut restless, mut had) = (Pace::default(), Pace::default(), 0);
        run(&mut steady, 0, 100, 10 * MB, 0);
        for i in 0..50 {
            let rate = if i % 2 == 0 { 5 * MB } else { 15 * MB };
            run(&mut restless, 2 * i, 2, rate, had);
            had += 2 * rate;
        }
        let spread = |pace: &Pace, seconds: f64| pace.link.over(seconds)[0].spread;
        assert!(spread(&steady, 5.0) < 0.2 * spread(&restless, 5.0));
        assert!(spread(&restless, 60.0) < spread(&restless, 5.0));
    }

    #[test]
    fn what_comes_over_fewer_connections_shows_who_limits() {
        let limited = |last: u64| {
            let mut pace = Pace::default();
            run(&mut pace, 0, 60, 30 * MB, 0);
            (1..=40).for_each(|i| pace.note(1_800 * MB + i * last / 2, 1, at(60_000 + i * 500)));
            pace.link.over(10.0)[1].credit
        };
        assert!(limited(30 * MB) < 0.01, "the link gives all to the one that is left");
        assert!(limited(10 * MB) > 0.9, "one has no more than it had beside two others");
    }

    #[test]
    fn steps_of_a_slow_link_are_nearly_its_rate() {
        let mut pace = Pace::default();
        let step = 1 << 20;
        (0..1_200).for_each(|i| pace.note(i * 50_000 / 2 / step * step, 3, at(i * 500)));
        assert!((0.04..0.065).contains(&rate(&pace, 1e4)), "{}", rate(&pace, 1e4));
    }

    #[test]
    fn time_that_was_spent_waiting_does_not_count() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 10, 10 * MB, 0);
        pace.skip(at(100_000));
        run(&mut pace, 100, 10, 10 * MB, 100 * MB);
        assert!((9.5..10.5).contains(&rate(&pace, 1e4)), "{}", rate(&pace, 1e4));
    }

    #[test]
    fn the_next_pull_begins_with_what_the_last_one_learned_and_is_less_sure() {
        let mut pace = Pace::default();
        run(&mut pace, 0, 100, 10 * MB, 0);
        let next = Pace::on(pace.link());
        assert!(next.link().is_known() && (9.0..11.0).contains(&rate(&next, 30.0)), "{}", rate(&next, 30.0));
        assert!(next.link.over(30.0)[0].spread > 0.3);
    }

    proptest! {
        #[test]
        fn whatever_is_noted_rates_are_numbers(
            notes in prop::collection::vec((0..100_000_000_000_u64, 0..20_usize, 0..100_000_u64), 0..300), bytes in 0.0..1e15,
        ) {
            let (mut pace, mut now, mut had) = (Pace::default(), 0, 0);
            for (came, count, passed) in notes {
                (now, had) = (now + passed, had + came);
                pace.note(had, count, at(now));
            }
            for rate in pace.link().ahead(bytes) {
                prop_assert!(rate.per_sec > 0.0 && rate.per_sec.is_finite() && rate.spread.is_finite(), "{:?}", rate);
                prop_assert!((0.0..=1.0).contains(&rate.credit), "{:?}", rate);
            }
        }
    }
}
