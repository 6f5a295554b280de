//! How long a pull will still take: what containerd will do with the layers that are left, played forward.
//!
//! The model, all of it: a few layers are fetched at a time, in the manifest's order, and share what comes; a layer that is whole is
//! unpacked when those before it are. So the end is the end of the last unpacking, and unpacking that happens beside a download costs
//! nothing. What comes is the rate of [`super::pace`] for as many seconds as lie ahead; how fast unpacking is, this node has shown.
//!
//! When fewer layers are left than were fetched at a time, it depends on who limits: a link gives its bytes to those that are left, a
//! registry that limits each connection does not. The pull is played forward for both, and each counts as much as it is likely.
//!
//! The bounds are where the truth lies four times in five if the rate wavers on as it did. A told estimate never jumps: see [`calm`].

use std::time::Duration;

use super::experience::Unpacking;
use super::pace::{Rate, as_f64, seconds};
use crate::pull::Eta;

/// Layers that containerd fetches at a time if nothing else was seen.
pub(super) const SLOTS: usize = 3;
/// Beyond its logarithm by so many deviations on either side lies one in ten.
const ONE_IN_TEN: f64 = 1.28;
/// No forecast is shorter, seconds.
const LEAST: f64 = 0.1;
/// How far off a forecast is though the rate does not waver.
const LEAST_SPREAD: f64 = 0.02;
/// How far off everything may be.
const MOST_SPREAD: f64 = 1.0;
/// What it takes to open a layer and to commit a snapshot, seconds.
pub(super) const LAYER_COST: f64 = 0.03;
/// No estimate is shorter: from nothing it could not double.
const SHORTEST: Duration = Duration::from_millis(250);

/// What is left of one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Compressed bytes that are to be unpacked; 0 if it is.
    pub(super) packed: f64,
    /// Bytes to fetch.
    pub(super) left: f64,
    /// Whether it is being fetched.
    pub(super) open: bool,
    /// For how many seconds it has been unpacking.
    pub(super) unpacking: Option<f64>,
}

/// What the layers meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) rate: Rate,
    /// How many are fetched at a time.
    pub(super) slots: usize,
    pub(super) unpack: Unpacking,
}

/// What is to come, in seconds from now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Forecast {
    /// When each layer is fetched.
    pub(super) fetched: Vec<f64>,
    /// When each is unpacked.
    pub(super) unpacked: Vec<f64>,
    /// How long each takes to unpack.
    pub(super) efforts: Vec<f64>,
}

impl Forecast {
    /// When all of it is fetched, and when the pull is ready.
    pub(super) fn ends(&self) -> (f64, f64) {
        let last = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let fetched = last(&self.fetched);
        (fetched, fetched.max(last(&self.unpacked)))
    }
}

/// Plays the layers that are left forward.
pub(super) fn forecast(parts: &[Part], ahead: Ahead) -> Forecast {
    let fetched = fetch(parts, ahead);
    let cost = |part: &Part| LAYER_COST + part.packed / ahead.unpack.rate().max(1.0);
    let efforts: Vec<f64> = parts.iter().map(|p| if p.packed > 0.0 { cost(p) } else { 0.0 }).collect();
    let mut done = 0.0_f64;
    let unpack = |((part, fetched_at), takes): ((&Part, &f64), &f64)| {
        if part.packed > 0.0 {
            done = match part.unpacking {
                // One that takes longer than it should will take longer by a part of what it has taken.
                Some(already) => (takes - already).max(already.max(*takes) / 8.0),
                None => done.max(*fetched_at) + takes,
            };
        }
        done
    };
    let unpacked = parts.iter().zip(&fetched).zip(&efforts).map(unpack).collect();
    Forecast { fetched, unpacked, efforts }
}

/// When each layer is fetched.
fn fetch(parts: &[Part], ahead: Ahead) -> Vec<f64> {
    let mut left: Vec<f64> = parts.iter().map(|p| p.left).collect();
    let mut fetched_at = vec![0.0; parts.len()];
    let mut now = 0.0;
    loop {
        let waiting = |open: bool| (0..parts.len()).filter(move |i| parts[*i].open == open);
        let active: Vec<usize> =
            waiting(true).chain(waiting(false)).filter(|i| left[*i] > 0.0).take(ahead.slots.max(1)).collect();
        if active.is_empty() {
            break;
        }
        let count = as_f64(active.len() as u64);
        let together = ahead.rate.per_sec.max(1.0) * (count / as_f64(SLOTS as u64)).powf(ahead.rate.sharing);
        let first = active.iter().map(|i| left[*i] * count / together).fold(f64::MAX, f64::min);
        now += first;
        for i in active {
            left[i] -= first * together / count;
            if left[i] < 1.0 {
                left[i] = 0.0;
                fetched_at[i] = now;
            }
        }
    }
    fetched_at
}

/// The estimate of forecasts that begin in `lead` seconds, each with what was reckoned with.
pub(super) fn estimate(forecasts: &[(Forecast, Rate)], unpack: Unpacking, lead: Duration) -> Option<Eta> {
    let lead = lead.as_secs_f64();
    let total = |forecast: &Forecast| (forecast.ends().1 + lead).max(LEAST);
    let credit = forecasts.iter().map(|(_, rate)| rate.credit).sum::<f64>().max(f64::MIN_POSITIVE);
    let mean = |of: &dyn Fn(&Forecast, Rate) -> f64| forecasts.iter().map(|(f, r)| r.credit * of(f, *r)).sum::<f64>() / credit;
    let log = mean(&|f, _| total(f).ln());
    let apart = mean(&|f, _| (total(f).ln() - log).powi(2)).sqrt();
    let spread = mean(&|f, rate| unsure(f, unpack, lead, rate) / total(f)).hypot(apart);
    let (total, factor) = (log.exp(), (ONE_IN_TEN * spread.clamp(LEAST_SPREAD, MOST_SPREAD)).exp());
    Eta::within(seconds(total / factor), seconds(total), seconds(total * factor))
}

/// How many seconds off a forecast may be.
fn unsure(forecast: &Forecast, unpack: Unpacking, lead: f64, rate: Rate) -> f64 {
    let (fetched, ready) = forecast.ends();
    let of_rate = rate.spread * (fetched + lead);
    // Of unpacking only that counts which no download hides.
    let bare = forecast.unpacked.iter().zip(&forecast.efforts).filter(|(at, _)| **at > fetched).map(|(_, takes)| takes);
    let of_layers = bare.map(|takes| (takes * unpack.of_layers()).powi(2)).sum::<f64>();
    let of_speed = (ready - fetched) * unpack.spread();
    (of_rate.powi(2) + of_layers + of_speed.powi(2)).sqrt()
}

/// Keeps an estimate within half and double of the one that was told before; its bounds are widened to hold it.
pub(super) fn calm(fresh: Eta, told: Option<Eta>) -> Eta {
    let (Some(likely), Some(low), Some(high)) = (fresh.likely(), fresh.low(), fresh.high()) else { return fresh };
    let mut likely = likely.max(SHORTEST);
    if let Some(before) = told.and_then(Eta::likely) {
        likely = likely.clamp(before / 2, before.saturating_mul(2)).max(SHORTEST);
    }
    Eta::within(low.min(likely), likely, high.max(likely)).unwrap_or(fresh)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A link of 10 MB/s, or connections that have that together when three come.
    fn link(sharing: f64) -> Ahead {
        let mut unpack = Unpacking::default();
        (0..200).for_each(|_| unpack.learn(1_000_000_000, Duration::from_secs(10)));
        Ahead { rate: Rate { per_sec: 10.0e6, spread: 0.1, credit: 1.0, sharing }, slots: 3, unpack }
    }

    fn queued(size: f64) -> Part {
        Part { packed: size, left: size, open: false, unpacking: None }
    }

    fn ends(parts: &[Part], ahead: Ahead) -> (f64, f64) {
        let (fetched, ready) = forecast(parts, ahead).ends();
        ((fetched * 10.0).round() / 10.0, (ready * 10.0).round() / 10.0)
    }

    #[test]
    fn unpacking_beside_a_download_costs_nothing_and_the_last_layer_is_unpacked_alone() {
        assert_eq!(ends(&[queued(100.0e6); 6], link(0.0)), (60.0, 63.1), "three come at a time, so three are left to unpack");
        assert_eq!(ends(&[queued(100.0e6); 6], Ahead { slots: 1, ..link(0.0) }), (60.0, 61.0));
    }

    #[test]
    fn the_last_layer_has_the_whole_link_but_no_more_than_its_own_limited_connection() {
        let parts = [queued(30.0e6), queued(30.0e6), queued(90.0e6)];
        assert_eq!(ends(&parts, link(0.0)).0, 15.0);
        assert_eq!(ends(&parts, link(1.0)).0, 27.0);
    }

    #[test]
    fn unpacking_that_takes_longer_than_it_should_goes_on_for_a_while() {
        let part = |already: f64| Part { packed: 100.0e6, left: 0.0, open: false, unpacking: Some(already) };
        assert_eq!(ends(&[part(0.5)], link(0.0)).1, 0.5);
        assert_eq!(ends(&[part(8.0)], link(0.0)).1, 1.0);
    }

    #[test]
    fn what_is_not_known_of_the_rate_widens_the_bounds() {
        let ahead = link(0.0);
        let forecast = forecast(&[queued(100.0e6)], ahead);
        let bounds = |spread: f64| {
            let eta =
                estimate(&[(forecast.clone(), Rate { spread, ..ahead.rate })], ahead.unpack, Duration::ZERO).expect("in order");
            (eta.low(), eta.high())
        };
        assert!(bounds(0.5).0 < bounds(0.1).0 && bounds(0.5).1 > bounds(0.1).1);
    }

    proptest! {
        #[test]
        fn any_layers_are_fetched_and_then_unpacked_in_finite_time(
            sizes in prop::collection::vec((0.0..1e12, 0.0..1e12, any::<bool>()), 0..40),
            rate in 0.0..1e11, sharing in 0.0..=1.0, slots in 0_usize..20,
        ) {
            let part = |(packed, left, open): &(f64, f64, bool)| Part { packed: *packed, left: *left, open: *open, unpacking: None };
            let rate = Rate { per_sec: rate, spread: 0.1, credit: 1.0, sharing };
            let parts: Vec<Part> = sizes.iter().map(part).collect();
            let (fetched, ready) = forecast(&parts, Ahead { rate, slots, ..link(0.0) }).ends();
            prop_assert!(fetched.is_finite() && ready >= fetched && fetched >= 0.0, "{} {}", fetched, ready);
        }

        #[test]
        fn an_estimate_never_jumps_and_stays_within_its_bounds(steps in prop::collection::vec((0.0..1e7, 0.0..2.0), 1..60)) {
            let mut told: Option<Eta> = None;
            for (total, spread) in steps {
                let forecast = Forecast { fetched: vec![total], unpacked: vec![total], efforts: vec![0.0] };
                let rate = Rate { spread, ..link(0.0).rate };
                let eta = estimate(&[(forecast, rate)], Unpacking::default(), Duration::ZERO).expect("in order");
                let eta = calm(eta, told);
                let (low, likely, high) = (eta.low(), eta.likely(), eta.high());
                prop_assert!(low <= likely && likely <= high);
                if let (Some(was), Some(is)) = (told.and_then(Eta::likely), likely) {
                    prop_assert!((was / 2..=was * 2).contains(&is), "{:?} to {:?}", was, is);
                }
                told = Some(eta);
            }
        }
    }
}
