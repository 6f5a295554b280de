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
const LEAST_SPREAD: f64 = 0.06;
/// How much a layer's unpacking wavers.
const UNPACK_SPREAD: f64 = 0.25;
/// What it takes to open a layer and to commit a snapshot, seconds.
const LAYER_COST: f64 = 0.03;
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
    let mut done = 0.0_f64;
    let unpack = |(part, fetched_at): (&Part, &f64)| {
        if part.packed > 0.0 {
            let takes = LAYER_COST + part.packed / ahead.unpack.max(1.0);
            done = match part.unpacking {
                // One that takes longer than it should will take longer by a part of what it has taken.
                Some(already) => (takes - already).max(already.max(takes) / 4.0),
                None => done.max(*fetched_at) + takes,
            };
        }
        done
    };
    let unpacked = parts.iter().zip(&fetched).map(unpack).collect();
    Forecast { fetched, unpacked }
}

/// When each layer is fetched.
fn fetch(parts: &[Part], ahead: Ahead) -> Vec<f64> {
    let mut left: Vec<f64> = parts.iter().map(|p| p.left).collect();
    let mut fetched_at = vec![0.0; parts.len()];
    let known: Vec<f64> = parts.iter().filter_map(|p| p.own.filter(|_| p.left > 0.0)).collect();
    let usual = if known.is_empty() { ahead.rate / ahead.slots.max(1) as f64 } else { known.iter().sum::<f64>() / known.len() as f64 };
    let mut now = 0.0;
    loop {
        let waiting = |open: bool| (0..parts.len()).filter(move |i| parts[*i].open == open);
        let active: Vec<usize> = waiting(true).chain(waiting(false)).filter(|i| left[*i] > 0.0).take(ahead.slots.max(1)).collect();
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

/// The estimate: `total` seconds, of which those after `fetched` are unpacking alone.
pub(super) fn estimate(fetched: f64, total: f64, rate: Option<Rate>) -> Option<Eta> {
    let share = if total > 0.0 { fetched / total } else { 0.0 };
    let of_rate = rate.map_or(0.0, |r| r.spread * share);
    let of_unpacking = UNPACK_SPREAD * (1.0 - share);
    let spread = (of_rate * of_rate + of_unpacking * of_unpacking + LEAST_SPREAD * LEAST_SPREAD).sqrt();
    let factor = (ONE_IN_TEN * spread).exp();
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
