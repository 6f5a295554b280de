//! What one pull expects: when each of its layers will be there, and when it will be ready. The model is [`crate::track::eta`]'s; here it is
//! fed with what is known of the pull and of those that it waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Around, Watched};
use crate::image::Digest;
use crate::pull::{Eta, Phase, Wait};
use crate::time::Timestamp;
use crate::track::eta::{Ahead, Forecast, Part, SLOTS, calm, estimate, forecast};
use crate::track::experience::{Experience, Unpacking};
use crate::track::layer::Track;
use crate::track::pace::{HALF_STEP, as_f64, seconds};

/// An estimate is kept close to the one that was told before only if that was not longer ago.
const SAME_BREATH: Duration = Duration::from_secs(5);
/// When a layer is expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// Fetched, if it is being fetched now.
    fetched: Option<Timestamp>,
    unpacked: Timestamp,
}

impl Watched {
    /// When this layer will be unpacked.
    pub(in crate::track) fn expects(&self, layer: &Digest) -> Option<Timestamp> {
        self.is_live().then(|| self.expected.get(layer).map(|e| e.unpacked))?
    }

    /// When the next of the layers that it fetches now will be fetched.
    pub(in crate::track) fn expects_a_slot(&self) -> Option<Timestamp> {
        self.expected.values().filter_map(|e| e.fetched).min().filter(|_| self.is_live())
    }

    /// The estimated time to ready.
    pub(super) fn expect(
        &mut self,
        phase: Phase,
        wait: Option<&Wait>,
        now: Timestamp,
        around: &impl Around,
        experience: &Experience,
    ) -> Option<Eta> {
        let parts: Vec<Part> = self.layers.iter().map(|l| self.part(l, wait, now)).collect();
        let left: f64 = parts.iter().map(|p| p.left).sum();
        self.expected = BTreeMap::new();
        if left > 0.0 && !self.pace.link().is_known() || self.layers.is_empty() {
            return None;
        }
        let slots = if self.slots == 0 { SLOTS } else { self.slots };
        let unpack = self.unpacking(experience);
        let forecasts = self.pace.link().ahead(left).map(|rate| (forecast(&parts, Ahead { rate, slots, unpack }), rate));
        let lead = lead(self.id, wait, now, around);
        let (likely, _) = forecasts.iter().max_by(|(_, a), (_, b)| a.credit.total_cmp(&b.credit))?;
        self.expected = self.times(&parts, likely, lead.flatten().map_or(now, |lead| now + lead));
        let eta = match lead {
            Some(Some(lead)) => estimate(&forecasts, unpack, lead)?,
            None if self.planned_at.is_some() => estimate(&forecasts, unpack, Duration::ZERO)?,
            Some(None) | None => return estimate(&forecasts, unpack, Duration::ZERO)?.low().map(Eta::AtLeast),
        };
        Some(calm(eta, self.told_before(phase, wait, now)))
    }

    /// When each layer is expected, by a forecast that begins then.
    fn times(&self, parts: &[Part], forecast: &Forecast, begins: Timestamp) -> BTreeMap<Digest, Expected> {
        let times = self.layers.iter().zip(parts).zip(forecast.fetched.iter().zip(&forecast.unpacked));
        let expected = times.map(|((layer, part), (fetched, unpacked))| {
            let fetched = (part.open && part.left > 0.0).then(|| begins + seconds(*fetched));
            (layer.planned.digest.clone(), Expected { fetched, unpacked: begins + seconds(*unpacked) })
        });
        expected.collect()
    }

    /// What was told last, if nothing has changed since that may make an estimate jump.
    fn told_before(&self, phase: Phase, wait: Option<&Wait>, now: Timestamp) -> Option<Eta> {
        let (told, at) = self.told.as_ref()?;
        let same = told.phase == phase && told.wait.as_ref().map(Wait::as_str) == wait.map(Wait::as_str);
        told.eta.filter(|_| same && now.since(*at) <= SAME_BREATH)
    }

    fn part(&self, layer: &Track, wait: Option<&Wait>, now: Timestamp) -> Part {
        let theirs = matches!(wait, Some(Wait::LayerLock { layer: held, .. }) if *held == layer.planned.digest);
        let left = if layer.needs_no_fetching() || theirs { 0 } else { layer.planned.size - layer.fetched() };
        let open = self.open.contains(&layer.planned.digest);
        let coming = if open { HALF_STEP.min(left / 2) } else { 0 };
        let begun = if layer.is_cached() { layer.prepared_at } else { layer.prepared_at.max(layer.committed_at) };
        let unpacking = begun.filter(|_| layer.extracting && (layer.complete || layer.is_cached()));
        Part {
            packed: if layer.unpacked || theirs { 0.0 } else { as_f64(layer.planned.size.max(1)) },
            left: as_f64(left - coming),
            open,
            unpacking: unpacking.map(|(at, _)| now.since(at).as_secs_f64()),
        }
    }

    /// Teaches the node what this pull has shown.
    pub(super) fn teach(&self, experience: &mut Experience) {
        self.unpackings().for_each(|(bytes, took)| experience.unpacking.learn(bytes, took));
        if self.pace.link().is_known() {
            experience.link = *self.pace.link();
        }
    }

    /// How fast the node unpacks, as it and this pull have shown.
    fn unpacking(&self, node: &Experience) -> Unpacking {
        let mut unpacking = node.unpacking;
        self.unpackings().for_each(|(bytes, took)| unpacking.learn(bytes, took));
        unpacking
    }

    fn unpackings(&self) -> impl Iterator<Item = (u64, Duration)> {
        self.layers.iter().filter_map(|l| Some((l.planned.size, l.unpacking_took()?)))
    }
}

/// How long what is waited for will take: `None` if nothing is, `Some(None)` if nobody knows.
fn lead(id: crate::pull::PullId, wait: Option<&Wait>, now: Timestamp, around: &impl Around) -> Option<Option<Duration>> {
    Some(match wait? {
        Wait::LayerLock { holder, layer, .. } => around.unpacked_by(*holder, layer).map(|at| at.since(now)),
        Wait::DownloadSlot { .. } => around.slot_free(id).map(|at| at.since(now)),
        Wait::Stalled { .. } | Wait::Retrying { .. } => None,
    })
}
