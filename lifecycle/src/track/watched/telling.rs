//! What one pull tells: its phase, its wait, and the whole state that others see.

use std::time::Duration;

use super::{Around, Watched};
use crate::pull::{Host, Layer, MAX_WAITS, Phase, Pull, Wait, Waited};
use crate::time::Timestamp;
use crate::track::experience::Experience;
use crate::track::layer::{Origin, Track};

/// Shorter waits are not worth remembering.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
/// A wait is told when no byte has come for this long.
const WAIT_VISIBLE_AFTER: Duration = Duration::from_millis(1_200);
/// How long the plan may stay unsettled before it is told as far as it is known.
const SETTLE: Duration = Duration::from_millis(500);

impl Watched {
    /// Whether it may be told: enough is settled that totals will not jump.
    pub(in crate::track) fn is_settled(&self, now: Timestamp) -> bool {
        let unsettled = |layer: &Track| {
            let here =
                self.contents.contains(&layer.planned.digest) || layer.chain.as_ref().is_some_and(|c| self.chains.contains(c));
            here && layer.origin == Origin::Unknown
        };
        let resolving_in_a_hurry = self.planned_at.is_none() && !self.contents.is_empty() && now.since(self.first_seen) < SETTLE;
        match self.planned_at {
            _ if !self.is_live() => true,
            Some(at) => {
                now.since(at) >= SETTLE || !(self.layers.iter().any(unsettled) || (!self.chained && !self.layers.is_empty()))
            }
            None => !resolving_in_a_hurry,
        }
    }

    /// The whole present state.
    pub(in crate::track) fn view(&mut self, now: Timestamp, around: &impl Around, experience: &Experience) -> Pull {
        let layers: Vec<Layer> = self.layers.iter().map(|l| l.view(self.created_at)).collect();
        let phase = self.phase();
        let running = self.is_live();
        let wait = if running { self.wait(phase, now, around) } else { None };
        self.note_wait(wait.clone(), self.ending.as_ref().map_or(now, |e| e.at));
        let eta = if running { self.expect(phase, wait.as_ref(), now, around, experience) } else { None };
        let rate = self.meter.bytes_per_sec().filter(|_| running && phase == Phase::Downloading);
        let total_known = self.planned_at.is_some();
        let sequence = self.told.as_ref().map_or(0, |(told, _)| told.sequence + 1);
        let elapsed = now.since(self.created_at).as_millis();
        Pull {
            id: self.id,
            sequence: sequence.max(u64::try_from(elapsed).unwrap_or(u64::MAX)).max(1),
            namespace: self.key.namespace.clone(),
            image: self.name.clone(),
            digest: self.top(),
            snapshotter: self.snapshotter.clone(),
            phase,
            wait,
            waits: self.waits.clone(),
            ending: self.ending.clone(),
            started_at: self.created_at,
            resolved_at: self.resolved_at,
            observed_at: now,
            total_known,
            bytes_per_sec: rate,
            eta,
            host: Host::default(),
            layers,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        let fetched_any = self.layers.iter().any(|l| !l.needs_no_fetching());
        let missing = self.layers.iter().any(|l| !l.needs_no_fetching() && !l.complete);
        let packed = self.layers.iter().any(|l| !l.unpacked);
        match (self.layers.is_empty(), missing, packed, fetched_any) {
            (true, ..) | (false, false, false, false) => Phase::Resolving,
            (false, true, ..) => Phase::Downloading,
            (false, false, _, _) => Phase::Unpacking,
        }
    }

    pub(super) fn wait(&self, phase: Phase, now: Timestamp, around: &impl Around) -> Option<Wait> {
        let since = self.meter.last_progress().unwrap_or(self.created_at).max(self.resolved_at.unwrap_or(self.created_at));
        let quiet = now.since(since);
        let asleep = !self.layers.iter().any(|l| self.open.contains(&l.planned.digest) && l.offset > 0);
        let next = self.layers.iter().find(|l| !l.unpacked && (!l.complete || !l.extracting));
        match (phase, next) {
            (Phase::Unpacking | Phase::Queued, _) => None,
            (Phase::Downloading, Some(layer)) if asleep => {
                let digest = &layer.planned.digest;
                let holder = if layer.extracting || self.open.contains(digest) {
                    None
                } else {
                    around.holder(self.id, layer.chain.as_ref(), digest)
                };
                match holder {
                    Some(holder) => Some(Wait::LayerLock { since, holder, layer: digest.clone() }),
                    None => self.wait_for_bytes(since, quiet, asleep, around),
                }
            }
            (Phase::Downloading, _) => self.wait_for_bytes(since, quiet, asleep, around),
            (Phase::Resolving, _) if !self.open.is_empty() => self.wait_for_bytes(since, quiet, asleep, around),
            (Phase::Resolving, _) => None,
        }
    }

    /// Remembers a wait that is over. What is told differently of one stretch is told once, by the surest word.
    pub(super) fn note_wait(&mut self, wait: Option<Wait>, now: Timestamp) {
        if self.waiting.is_some() {
            self.meter.restart();
            self.pace.skip(now);
        }
        self.waiting = match (self.waiting.take(), wait) {
            (Some(was), Some(is)) if was.since() == is.since() => Some(surer(was, is)),
            (was, is) => {
                let long_enough = |was: &Wait| now.since(was.since()) >= SHORTEST_WAIT;
                if let Some(was) = was.filter(long_enough) {
                    remember(&mut self.waits, was, now);
                }
                is
            }
        };
    }

    pub(super) fn wait_for_bytes(&self, since: Timestamp, quiet: Duration, asleep: bool, around: &impl Around) -> Option<Wait> {
        if asleep && quiet >= WAIT_VISIBLE_AFTER && around.others_move(self.id) {
            Some(Wait::DownloadSlot { since })
        } else if quiet >= self.meter.stall_after() {
            Some(Wait::Stalled { since })
        } else {
            None
        }
    }
}

/// Adds a wait that is over. A stretch in which no byte came, but for a moment nothing was waited for either, stays one: its span's id comes from its
/// begin.
fn remember(waits: &mut Vec<Waited>, wait: Wait, until: Timestamp) {
    let is_full = waits.len() >= MAX_WAITS;
    match waits.last_mut() {
        Some(last) if last.wait.since() == wait.since() => *last = Waited { wait: surer(last.wait.clone(), wait), until },
        Some(_) if is_full => {}
        Some(_) | None => waits.push(Waited { wait, until }),
    }
}

/// Which of two words about one stretch is nearer the truth: that another pull has the layer is seen, that the slots are taken is concluded, and a
/// stall is what is left. Of two that are alike, the newer.
fn surer(was: Wait, is: Wait) -> Wait {
    let sure = |wait: &Wait| match wait {
        Wait::LayerLock { .. } => 2,
        Wait::DownloadSlot { .. } => 1,
        Wait::Stalled { .. } | Wait::Retrying { .. } => 0,
    };
    if sure(&was) > sure(&is) { was } else { is }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image::Digest, pull::PullId};

    #[test]
    fn a_wait_for_anothers_layer_is_told_as_that_whatever_is_concluded_when_it_ends() {
        let since = Timestamp::from_nanos(1);
        let layer = format!("sha256:{}", "a".repeat(64)).parse::<Digest>().unwrap();
        let lock = Wait::LayerLock { since, holder: PullId::from_bytes(&[1; 16]).unwrap(), layer };
        let (slot, stall) = (Wait::DownloadSlot { since }, Wait::Stalled { since });
        for other in [&slot, &stall] {
            assert_eq!(surer(lock.clone(), other.clone()), lock);
            assert_eq!(surer(other.clone(), lock.clone()), lock);
        }
        assert_eq!(surer(stall.clone(), slot.clone()), slot);
        assert_eq!(surer(slot.clone(), stall), slot);
    }

    #[test]
    fn a_stretch_that_is_told_in_two_pieces_is_remembered_as_one() {
        let at = Timestamp::from_nanos;
        let slot = |since| Wait::DownloadSlot { since: at(since) };
        let mut waits = Vec::new();
        remember(&mut waits, slot(1), at(5));
        remember(&mut waits, Wait::Stalled { since: at(1) }, at(9));
        assert_eq!(waits, [Waited { wait: slot(1), until: at(9) }]);
        for since in 10..1_000 {
            remember(&mut waits, slot(since), at(since + 1));
        }
        assert_eq!(waits.len(), MAX_WAITS);
    }
}
