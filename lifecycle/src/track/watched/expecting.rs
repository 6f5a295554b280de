//! What one pull expects: when each of its layers will be there, and when it will be ready. The model is [`crate::track::eta`]'s; here it is
//! fed with what is known of the pull and of those that it waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Around, Watched};
use crate::image::Digest;
use crate::pull::{Eta, Phase, Wait};
use crate::time::Timestamp;
use crate::track::eta::{Ahead, Part, SLOTS, calm, estimate, forecast};
use crate::track::experience::Experience;
use crate::track::layer::Track;
use crate::track::pace::{Before, Rate, as_f64, seconds};

/// An estimate is kept close to the one that was told before only if that was not longer ago.
const SAME_BREATH: Duration = Duration::from_secs(5);
/// How far off the rate of earlier pulls may be (deviation of its logarithm).
const OF_OTHERS: f64 = 0.5;

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
        mut experience: Experience,
    ) -> Option<Eta> {
        self.teach_unpacking(&mut experience);
        experience.shared(self.pace.by_count());
        let parts: Vec<Part> = self.layers.iter().map(|l| self.part(l, wait, now)).collect();
        let left: f64 = parts.iter().map(|p| p.left).sum();
        let rate = self.rate_ahead(left, experience);
        let slots = if self.slots == 0 { SLOTS } else { self.slots };
        if left > 0.0 && rate.is_none() || self.layers.is_empty() {
            self.expected = BTreeMap::new();
            return None;
        }
        let per_sec = rate.map_or(1.0, |r| r.per_sec);
        let ahead = Ahead { rate: per_sec, sharing: experience.sharing(), slots, unpack: experience.unpack_rate() };
        let forecast = forecast(&parts, ahead);
        let lead = lead(self.id, wait, now, around);
        let begins = lead.flatten().map_or(now, |lead| now + lead);
        let times = self.layers.iter().zip(&parts).zip(forecast.fetched.iter().zip(&forecast.unpacked));
        let expected = times.map(|((layer, part), (fetched, unpacked))| {
            let fetched = (part.open && part.left > 0.0).then(|| begins + seconds(*fetched));
            (layer.planned.digest.clone(), Expected { fetched, unpacked: begins + seconds(*unpacked) })
        });
        self.expected = expected.collect();
        let (_, total) = forecast.ends();
        // Bytes that are on their way to containerd's next step.
        let coming = if left > 0.0 { self.pace.silence().min(as_f64(1 << 20) / per_sec.max(1.0)).min(total / 2.0) } else { 0.0 };
        let eta = match lead {
            Some(Some(lead)) => estimate(&forecast, lead.as_secs_f64(), rate)?,
            None if self.planned_at.is_some() => estimate(&forecast, -coming, rate)?,
            Some(None) | None => return estimate(&forecast, 0.0, rate)?.low().map(Eta::AtLeast),
        };
        Some(calm(eta, self.told_before(phase, wait, now)))
    }

    /// What was told last, if nothing has changed since that may make an estimate jump.
    fn told_before(&self, phase: Phase, wait: Option<&Wait>, now: Timestamp) -> Option<Eta> {
        let (told, at) = self.told.as_ref()?;
        let same = told.phase == phase && told.wait.as_ref().map(Wait::as_str) == wait.map(Wait::as_str);
        told.eta.filter(|_| same && now.since(*at) <= SAME_BREATH)
    }

    /// The rate to reckon with: over as long as lies ahead.
    fn rate_ahead(&self, left: f64, experience: Experience) -> Option<Rate> {
        let before = Before { rate: experience.link_rate(), wavering: experience.wavering() };
        let of_others = before.rate.map(|per_sec| Rate { per_sec, spread: OF_OTHERS });
        let whole = self.pace.rate(f64::MAX, before);
        whole.and_then(|whole| self.pace.rate(left / whole.per_sec.max(1.0), before)).or(of_others)
    }

    fn part(&self, layer: &Track, wait: Option<&Wait>, now: Timestamp) -> Part {
        let theirs = matches!(wait, Some(Wait::LayerLock { layer: held, .. }) if *held == layer.planned.digest);
        let left = if layer.needs_no_fetching() || theirs { 0 } else { layer.planned.size - layer.fetched() };
        let begun = if layer.is_cached() { layer.prepared_at } else { layer.prepared_at.max(layer.committed_at) };
        let unpacking = begun.filter(|_| layer.extracting && (layer.complete || layer.is_cached()));
        Part {
            packed: if layer.unpacked || theirs { 0.0 } else { as_f64(layer.planned.size.max(1)) },
            left: as_f64(left),
            open: self.open.contains(&layer.planned.digest),
            own: layer.own_rate().map(as_f64),
            unpacking: unpacking.map(|(at, _)| now.since(at).as_secs_f64()),
        }
    }

    /// Teaches the node what this pull has shown.
    pub(super) fn teach(&self, experience: &mut Experience) {
        self.teach_unpacking(experience);
        let (seconds, bytes) = self.pace.seen();
        experience.fetched(seconds, bytes);
        experience.shared(self.pace.by_count());
        self.pace.wavered().into_iter().for_each(|variance| experience.wavered(variance));
    }

    fn teach_unpacking(&self, experience: &mut Experience) {
        let took = self.layers.iter().filter_map(|l| Some((l.planned.size, l.unpacking_took()?)));
        took.for_each(|(bytes, took)| experience.unpacked(bytes, took));
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
