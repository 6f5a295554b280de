//! Speed, silence and time to come of a pull whose layers somebody else watches, as the command line does with Docker's Engine. It keeps no
//! rules of its own: they are those of [`super::rate`], [`super::pace`] and [`super::eta`], so that a stall or an estimate means the same
//! everywhere.

use std::time::Duration;

use super::{
    eta::{Ahead, Part, SLOTS, calm, estimate, forecast},
    experience::Unpacking,
    pace::{HALF_STEP, Pace, as_f64},
    rate::Meter,
};
use crate::{
    pull::{Eta, Layer, LayerState, Phase},
    time::Timestamp,
};

/// An estimate is kept close to the one that was told before only if that was not longer ago.
const SAME_BREATH: Duration = Duration::from_secs(5);

/// What the bytes of one pull have shown so far.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    meter: Meter,
    pace: Pace,
    unpacking: Unpacking,
    told: Option<(Eta, Phase, Timestamp)>,
    /// Most layers that were fetched at a time.
    slots: usize,
}

impl Outlook {
    /// Notes that the layers stood so at `now`. Ten times a second is often enough.
    pub fn note(&mut self, layers: &[Layer], now: Timestamp) {
        let fetched = layers.iter().filter(|l| !l.cached).map(|l| l.fetched).fold(0, u64::saturating_add);
        let open = layers.iter().filter(|l| l.state == LayerState::Downloading).count();
        self.slots = self.slots.max(open);
        self.meter.note(fetched, now);
        self.pace.note(fetched, open, now);
    }

    /// Leaves the time since the last note out: it was spent waiting.
    pub fn skip(&mut self, now: Timestamp) {
        self.meter.restart();
        self.pace.skip(now);
    }

    /// Notes that a layer of so many compressed bytes was unpacked in this time.
    pub fn learn_unpacking(&mut self, bytes: u64, took: Duration) {
        self.unpacking.learn(bytes, took);
    }

    /// Bytes per second over the last seconds; `None` before enough was seen.
    pub fn bytes_per_sec(&self) -> Option<u64> {
        self.meter.bytes_per_sec()
    }

    /// Since when no byte has come although one should have since `from`, if that is longer than the link's speed explains.
    pub fn stalled_since(&self, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let since = self.meter.last_progress().map_or(from, |last| last.max(from));
        (now.since(since) >= self.meter.stall_after()).then_some(since)
    }

    /// Estimated time to ready; a lower bound unless the layers are `all` there are and nothing is waited for that nobody knows the end of.
    pub fn expect(&mut self, layers: &[Layer], phase: Phase, all: bool, now: Timestamp) -> Option<Eta> {
        let parts: Vec<Part> = layers.iter().map(|layer| part(layer, now)).collect();
        let left: f64 = parts.iter().map(|part| part.left).sum();
        if parts.is_empty() || left > 0.0 && !self.pace.link().is_known() {
            return None;
        }
        let slots = if self.slots == 0 { SLOTS } else { self.slots };
        let unpack = self.unpacking;
        let forecasts = self.pace.link().ahead(left).map(|rate| (forecast(&parts, Ahead { rate, slots, unpack }), rate));
        let fresh = estimate(&forecasts, unpack, Duration::ZERO)?;
        if !all {
            return fresh.low().map(Eta::AtLeast);
        }
        let told = self.told.filter(|(_, then, at)| *then == phase && now.since(*at) <= SAME_BREATH).map(|(eta, ..)| eta);
        let eta = calm(fresh, told);
        self.told = Some((eta, phase, now));
        Some(eta)
    }
}

fn part(layer: &Layer, now: Timestamp) -> Part {
    let left = if layer.cached { 0 } else { layer.size.saturating_sub(layer.fetched) };
    let open = layer.state == LayerState::Downloading;
    let coming = if open { HALF_STEP.min(left / 2) } else { 0 };
    let unpacking = layer.unpack.start.filter(|_| layer.state == LayerState::Unpacking);
    Part {
        packed: if layer.is_done() { 0.0 } else { as_f64(layer.size.max(1)) },
        left: as_f64(left - coming),
        open,
        unpacking: unpacking.map(|at| now.since(at).as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Digest, pull::Interval};

    const MB: u64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000 + millis)
    }

    fn layer(fetched: u64, size: u64) -> Layer {
        Layer {
            digest: Digest::of(b"layer"),
            media_type: "".into(),
            size,
            fetched,
            cached: false,
            lazy: false,
            state: LayerState::Downloading,
            download: Interval::default(),
            unpack: Interval::default(),
        }
    }

    #[test]
    fn a_steady_link_gives_its_rate_and_the_time_that_is_left() {
        let mut outlook = Outlook::default();
        (0..=100).for_each(|i| outlook.note(&[layer(i * MB, 200 * MB)], at(i * 100)));
        assert_eq!(outlook.bytes_per_sec(), Some(10 * MB));
        let eta = outlook.expect(&[layer(100 * MB, 200 * MB)], Phase::Downloading, true, at(10_000));
        let likely = eta.and_then(Eta::likely).expect("an estimate").as_secs_f64();
        assert!((8.0..20.0).contains(&likely), "{likely}");
        let least = outlook.expect(&[layer(100 * MB, 200 * MB)], Phase::Downloading, false, at(10_000));
        assert!(matches!(least, Some(Eta::AtLeast(_))), "{least:?}");
    }

    #[test]
    fn silence_is_a_stall_when_it_is_longer_than_the_link_explains() {
        let mut outlook = Outlook::default();
        (0..=50).for_each(|i| outlook.note(&[layer(i * MB, 200 * MB)], at(i * 100)));
        assert_eq!(outlook.stalled_since(at(0), at(14_900)), None);
        assert_eq!(outlook.stalled_since(at(0), at(15_000)), Some(at(5_000)));
    }
}
