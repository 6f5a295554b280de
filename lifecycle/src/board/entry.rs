//! What the board keeps of one pull, and how a new report is merged with an old one.

use std::{borrow::Cow, sync::Arc};

use super::{
    agents::AgentKey,
    layers::{Blobs, Layers, Slot},
    relate::Known,
};
use crate::{
    explain::{self, Hearing, Holder, Scene},
    image::Digest,
    pull::{Ending, Host, Layer, LayerState, Node, Outcome, Pull, Report, TimingSource, Wait},
    time::Timestamp,
};

/// One pull in memory. Once it is there it does not change but is replaced, so readers may hold on to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it runs, as said with the last report; shared with the entries before and beside it.
    pub(super) node: Arc<Node>,
    /// Who speaks for it.
    pub(super) agent: AgentKey,
    /// As reported last, with bytes that never fell. In memory its layers are in `layers` alone.
    pub(super) pull: Pull,
    pub(super) layers: Layers,
    /// When that report came in, by the collector's clock.
    pub(super) heard: Timestamp,
    pub(super) standing: Standing,
    pub(super) said: Said,
    /// What the Kubernetes API adds.
    pub(super) known: Known,
}

/// What the one sentence speaks of beside the pull, as it was when something changed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// When that was, by the collector's clock.
    pub(super) at: Timestamp,
    pub(super) hearing: Hearing,
    /// Boxed, because few pulls wait for another one.
    pub(super) holder: Option<Box<Holder>>,
}

/// What the last report is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It holds. The agent's silence leads to `Stale`, a report with an ending to `Ended`.
    Current,
    /// The agent is silent. Any word of it leads back to `Current`, longer silence to `Lost`.
    Stale,
    /// It was concluded here that nobody watches this pull: its agent is silent, or no longer counts it. A report about the pull, or a
    /// heartbeat that counts it, leads back to `Current`.
    Lost {
        /// When, by the collector's clock.
        at: Timestamp,
        /// Whether the agent is silent; else it forgot the pull.
        silent: bool,
    },
    /// The report itself has an ending. Only [`Outcome::Lost`] leads out again, by a later report.
    Ended {
        /// When that report came in, by the collector's clock.
        at: Timestamp,
    },
}

impl Entry {
    pub(super) fn new(report: Report, agent: AgentKey, now: Timestamp) -> Self {
        let standing = if report.pull.ending.is_some() { Standing::Ended { at: now } } else { Standing::Current };
        Self {
            node: report.node,
            agent,
            pull: report.pull,
            layers: Layers::default(),
            heard: now,
            standing,
            said: Said { at: now, hearing: Hearing::Clear, holder: None },
            known: Known::default(),
        }
    }

    /// Brings it into the form in which it is kept: in little memory.
    pub(super) fn pack(&mut self, before: Option<&Self>, blobs: &mut Blobs) {
        if !self.pull.layers.is_empty() {
            self.layers = blobs.pack(std::mem::take(&mut self.pull.layers), before.map(|before| &before.layers));
        }
        if let Some(before) = before.filter(|before| before.node == self.node) {
            self.node = before.node.clone();
        }
    }

    /// The pull with its layers, packed or not.
    pub(super) fn whole(&self) -> Cow<'_, Pull> {
        if self.layers.is_empty() || !self.pull.layers.is_empty() {
            Cow::Borrowed(&self.pull)
        } else {
            Cow::Owned(Pull { layers: self.layers.unpacked(), ..self.pull.clone() })
        }
    }

    /// When the end became known here; `None` while the pull runs.
    pub(super) const fn ended_at(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Current | Standing::Stale => None,
            Standing::Lost { at, .. } | Standing::Ended { at } => Some(at),
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        self.ended_at().is_none()
    }

    /// Whether no report can change it any more.
    pub(super) fn is_final(&self) -> bool {
        self.pull.ending.as_ref().is_some_and(|e| e.outcome != Outcome::Lost)
    }

    /// Whether both are counted and found in the same way, so that one may stand where the other stood.
    pub(super) fn stands_like(&self, other: &Self) -> bool {
        self.agent == other.agent
            && self.ended_at() == other.ended_at()
            && self.pull.ending.is_some() == other.pull.ending.is_some()
            && (self.standing == Standing::Stale) == (other.standing == Standing::Stale)
            && (self.pull.started_at, self.pull.phase) == (other.pull.started_at, other.pull.phase)
            && (self.is_stalled(), self.layers.len()) == (other.is_stalled(), other.layers.len())
    }

    /// Whether no byte arrives although one should.
    pub(super) const fn is_stalled(&self) -> bool {
        matches!(self.pull.wait, Some(Wait::Stalled { .. }))
    }

    /// Now by the clock of the node: its last report's time, and what has passed since here.
    pub(super) fn node_time(&self, now: Timestamp) -> Timestamp {
        self.pull.observed_at + now.since(self.heard)
    }

    /// The end as it may be shown: as the kubelet corrects it, or lost when that was concluded here.
    pub(super) fn ending(&self) -> Option<Cow<'_, Ending>> {
        match self.standing {
            Standing::Current | Standing::Ended { .. } => {
                self.corrected().map(Cow::Owned).or_else(|| self.pull.ending.as_ref().map(Cow::Borrowed))
            }
            Standing::Stale => self.pull.ending.as_ref().map(Cow::Borrowed),
            Standing::Lost { at, .. } => {
                Some(Cow::Owned(Ending { outcome: Outcome::Lost, at: self.node_time(at), source: TimingSource::Inferred }))
            }
        }
    }

    /// Why no byte moves, as it may be shown: a lost pull waits for nothing.
    pub(super) const fn wait(&self) -> Option<&Wait> {
        match self.standing {
            Standing::Current | Standing::Stale | Standing::Ended { .. } => self.pull.wait.as_ref(),
            Standing::Lost { .. } => None,
        }
    }

    /// Whether somebody watches it, so that its speed and its node's load are those of now.
    pub(super) const fn is_watched(&self) -> bool {
        match self.standing {
            Standing::Current | Standing::Ended { .. } => true,
            Standing::Stale | Standing::Lost { .. } => false,
        }
    }

    /// The pull as it may be shown: without speed and estimate when nobody watches it, and lost when that was concluded here.
    pub(super) fn shown(&self) -> Cow<'_, Pull> {
        let ending = match self.ending() {
            Some(Cow::Owned(ending)) => Some(ending),
            Some(Cow::Borrowed(_)) | None if self.is_watched() => return self.whole(),
            Some(Cow::Borrowed(_)) | None => self.pull.ending.clone(),
        };
        let mut shown = Pull { ending, wait: self.wait().cloned(), ..self.whole().into_owned() };
        if !self.is_watched() {
            (shown.bytes_per_sec, shown.eta, shown.host) = (None, None, Host::default());
        }
        Cow::Owned(shown)
    }

    /// The one sentence about the pull as it is [`Self::shown`], in view of what was so at some time.
    pub(super) fn sentence(&self, shown: &Pull, said: &Said) -> String {
        let scene = Scene {
            node: &self.node.name,
            now: self.node_time(said.at),
            hearing: said.hearing,
            holder: said.holder.as_deref(),
            attempt: self.known.relation.attempt,
        };
        explain::pull(shown, &scene)
    }

    /// This pull as one that holds a layer.
    pub(super) fn as_holder(&self, layer: &Digest) -> Holder {
        let is_unpacking = self.layers.iter().any(|slot| slot.state == LayerState::Unpacking && slot.digest() == layer);
        Holder { id: self.pull.id, image: self.pull.image.clone(), is_unpacking }
    }

    /// Keeps what an earlier report knew better: layers stay known, and bytes that were fetched stay fetched.
    pub(super) fn merge(&mut self, before: &Self) {
        if !self.known.coarse {
            self.known = before.known.clone();
        }
        if !self.pull.total_known {
            self.keep_plan(before);
        }
        for (index, layer) in self.pull.layers.iter_mut().enumerate() {
            if let Some((_, old)) = before.layers.find(index, &layer.digest) {
                keep_fetched(layer, old);
            }
        }
    }

    /// An agent that was restarted speaks of a pull before it has read the manifest again.
    fn keep_plan(&mut self, before: &Self) {
        let seen = std::mem::replace(&mut self.pull.layers, before.layers.unpacked());
        let before = &before.pull;
        for layer in seen {
            match self.pull.layers.iter_mut().find(|known| known.digest == layer.digest) {
                Some(known) if before.total_known => {
                    let (size, media_type) = (known.size, known.media_type.clone());
                    *known = Layer { size, media_type, fetched: layer.fetched.min(size), ..layer };
                }
                Some(known) => *known = layer,
                None => self.pull.layers.push(layer),
            }
        }
        self.pull.total_known = before.total_known;
        self.pull.resolved_at = self.pull.resolved_at.or(before.resolved_at);
        self.pull.phase = self.pull.phase.max(before.phase);
    }
}

/// A layer of which this pull fetched bytes stays one that it fetched.
fn keep_fetched(layer: &mut Layer, old: &Slot) {
    if old.cached || old.fetched == 0 {
        return;
    }
    layer.size = layer.size.max(old.fetched);
    layer.fetched = if layer.cached && layer.is_complete() { layer.size } else { layer.fetched.max(old.fetched) };
    layer.cached = false;
}
