//! How long a pull will still take: what containerd will do with the layers that are left, played forward.
//!
//! The model, all of it: a few layers are fetched at a time, in the manifest's order, and share what comes; a layer that is whole is
//! unpacked when those before it are. So the end is the end of the last unpacking, and unpacking that happens beside a download costs
//! nothing. What comes is the rate of [`super::pace`] for as many seconds as lie ahead; how fast unpacking is, this node has shown.
//!
//! When fewer layers are left than were fetched at a time, it depends on who limits: a link gives its bytes to those that are left, a
//! registry that limits each connection does not. `sharing` says which, between 0 (the link) and 1 (each connection).
//!
//! The bounds are where the truth lies four times in five if the rate wavers on as it did. A told estimate never jumps: see [`calm`].

use std::time::Duration;

use super::pace::{Rate, seconds};
use crate::pull::Eta;

/// Layers that containerd fetches at a time if nothing else was seen.
pub(super) const SLOTS: usize = 3;
/// Beyond its logarithm by so many deviations on either side lies one in ten.
const ONE_IN_TEN: f64 = 1.28;
/// How far off a forecast is though the rate does not waver.
const LEAST_SPREAD: f64 = 0.04;
/// How far off everything may be.
const MOST_SPREAD: f64 = 1.0;
/// How much unpacking differs from layer to layer of the same size, and how well a node's speed is known.
const UNPACK_SPREAD: f64 = 0.2;
const SPEED_SPREAD: f64 = 0.1;
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
    /// Its own rate, bytes per second, if it is known.
    pub(super) own: Option<f64>,
    /// For how many seconds it has been unpacking.
    pub(super) unpacking: Option<f64>,
}

/// What the layers meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// Bytes per second of all that are fetched at a time.
    pub(super) rate: f64,
    /// Who limits: 0 the link, 1 each connection.
    pub(super) sharing: f64,
    /// How many are fetched at a time.
    pub(super) slots: usize,
    /// Compressed bytes per second that this node unpacks.
    pub(super) unpack: f64,
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
    let cost = |part: &Part| LAYER_COST + part.packed / ahead.unpack.max(1.0);
    let efforts: Vec<f64> = parts.iter().map(|p| if p.packed > 0.0 { cost(p) } else { 0.0 }).collect();
    let mut done = 0.0_f64;
    let unpack = |((part, fetched_at), takes): ((&Part, &f64), &f64)| {
        if part.packed > 0.0 {
            done = match part.unpacking {
                // One that takes longer than it should will take longer by a part of what it has taken.
                Some(already) => (takes - already).max(already.max(*takes) / 4.0),
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
    let known: Vec<f64> = parts.iter().filter_map(|p| p.own.filter(|_| p.left > 0.0)).collect();
    let usual =
        if known.is_empty() { ahead.rate / ahead.slots.max(1) as f64 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let mut now = 0.0;
    loop {
        let waiting = |open: bool| (0..parts.len()).filter(move |i| parts[*i].open == open);
        let active: Vec<usize> =
            waiting(true).chain(waiting(false)).filter(|i| left[*i] > 0.0).take(ahead.slots.max(1)).collect();
        let own = |i: usize| parts[i].own.unwrap_or(usual).max(1.0);
        let connections: f64 = active.iter().map(|i| own(*i)).sum();
        if active.is_empty() {
            break;
        }
        let boost = (ahead.rate.max(1.0) / connections).powf(1.0 - ahead.sharing);
        let first = active.iter().map(|i| left[*i] / (own(*i) * boost)).fold(f64::MAX, f64::min);
        now += first;
        for i in active {
            left[i] -= first * own(i) * boost;
            if left[i] < 1.0 {
                left[i] = 0.0;
                fetched_at[i] = now;
            }
        }
    }
    fetched_at
}

/// The estimate of a forecast that begins in `lead` seconds.
pub(super) fn estimate(forecast: &Forecast, lead: f64, rate: Option<Rate>) -> Option<Eta> {
    let (fetched, ready) = forecast.ends();
    let total = (ready + lead).max(0.0);
    let of_rate = rate.map_or(0.0, |r| r.spread * (fetched + lead.max(0.0)));
    // Of unpacking only that counts which no download hides.
    let bare = forecast.unpacked.iter().zip(&forecast.efforts).filter(|(at, _)| **at > fetched).map(|(_, takes)| takes);
    let of_layers = bare.map(|takes| (takes * UNPACK_SPREAD).powi(2)).sum::<f64>().sqrt();
    let of_speed = (ready - fetched) * SPEED_SPREAD;
    let unsure = (of_rate.powi(2) + of_layers.powi(2) + of_speed.powi(2)).sqrt() / total.max(0.1);
    let factor = (ONE_IN_TEN * unsure.clamp(LEAST_SPREAD, MOST_SPREAD)).exp();
    Eta::within(seconds(total / factor), seconds(total), seconds(total * factor))
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

    const LINK: Ahead = Ahead { rate: 10.0e6, sharing: 0.0, slots: 3, unpack: 100.0e6 };

    fn queued(size: f64) -> Part {
        Part { packed: size, left: size, open: false, own: None, unpacking: None }
    }

    fn ends(parts: &[Part], ahead: Ahead) -> (f64, f64) {
        let (fetched, ready) = forecast(parts, ahead).ends();
        ((fetched * 10.0).round() / 10.0, (ready * 10.0).round() / 10.0)
    }

    #[test]
    fn unpacking_beside_a_download_costs_nothing_and_the_last_layer_is_unpacked_alone() {
        assert_eq!(ends(&[queued(100.0e6); 6], LINK), (60.0, 63.1), "three come at a time, so three are left to unpack");
        assert_eq!(ends(&[queued(100.0e6); 6], Ahead { slots: 1, ..LINK }), (60.0, 61.0));
    }

    #[test]
    fn the_last_layer_has_the_whole_link_but_no_more_than_its_own_limited_connection() {
        let parts = [queued(30.0e6), queued(30.0e6), queued(90.0e6)];
        assert_eq!(ends(&parts, LINK).0, 15.0);
        assert_eq!(ends(&parts, Ahead { sharing: 1.0, ..LINK }).0, 27.0);
    }

    #[test]
    fn a_layer_on_a_slow_connection_of_its_own_sets_the_pace() {
        let open = |own: f64| Part { open: true, own: Some(own), ..queued(60.0e6) };
        let limited = Ahead { sharing: 1.0, ..LINK };
        assert_eq!(ends(&[open(9.0e6), open(1.0e6)], limited).0, 60.0);
    }

    #[test]
    fn unpacking_that_takes_longer_than_it_should_goes_on_for_a_while() {
        let part = |already: f64| Part { packed: 100.0e6, left: 0.0, open: false, own: None, unpacking: Some(already) };
        assert_eq!(ends(&[part(0.5)], LINK).1, 0.5);
        assert_eq!(ends(&[part(8.0)], LINK).1, 2.0);
    }

    #[test]
    fn what_is_not_known_of_the_rate_widens_the_bounds() {
        let forecast = forecast(&[queued(100.0e6)], LINK);
        let bounds = |spread: f64| {
            let eta = estimate(&forecast, 0.0, Some(Rate { per_sec: 10.0e6, spread })).expect("in order");
            (eta.low(), eta.high())
        };
        assert!(bounds(0.5).0 < bounds(0.1).0 && bounds(0.5).1 > bounds(0.1).1);
    }

    proptest! {
        #[test]
        fn any_layers_are_fetched_and_then_unpacked_in_finite_time(
            sizes in prop::collection::vec((0.0..1e12, 0.0..1e12, any::<bool>(), prop::option::of(0.0..1e10)), 0..40),
            rate in 0.0..1e11, sharing in 0.0..=1.0, slots in 0_usize..20, unpack in 0.0..1e11,
        ) {
            let part = |(packed, left, open, own): &(f64, f64, bool, Option<f64>)| {
                Part { packed: *packed, left: *left, open: *open, own: *own, unpacking: None }
            };
            let parts: Vec<Part> = sizes.iter().map(part).collect();
            let (fetched, ready) = forecast(&parts, Ahead { rate, sharing, slots, unpack }).ends();
            prop_assert!(fetched.is_finite() && ready >= fetched && fetched >= 0.0, "{} {}", fetched, ready);
        }

        #[test]
        fn an_estimate_never_jumps_and_stays_within_its_bounds(steps in prop::collection::vec((0.0..1e7, 0.0..2.0), 1..60)) {
            let mut told: Option<Eta> = None;
            for (total, spread) in steps {
                let forecast = Forecast { fetched: vec![total], unpacked: vec![total], efforts: vec![0.0] };
                let eta = calm(estimate(&forecast, 0.0, Some(Rate { per_sec: 1.0, spread })).expect("in order"), told);
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
