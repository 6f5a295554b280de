//! What the board keeps of one pull, and how a new report is merged with an old one.

use std::borrow::Cow;

use super::{
    agents::AgentKey,
    layers::{Blobs, Layers},
    relate::Known,
};
use crate::{
    pull::{Ending, Host, Layer, Node, Outcome, Pull, Report, TimingSource},
    time::Timestamp,
};

/// One pull in memory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it runs, as said with the last report.
    pub(super) node: Node,
    /// Who speaks for it.
    pub(super) agent: AgentKey,
    /// As reported last, with bytes that never fell. While the entry is packed its layers are in `layers` alone.
    pub(super) pull: Pull,
    pub(super) layers: Layers,
    /// When that report came in, by the collector's clock.
    pub(super) heard: Timestamp,
    pub(super) standing: Standing,
    /// The one sentence, as it was when something changed last.
    pub(super) sentence: String,
    /// What the Kubernetes API adds.
    pub(super) known: Known,
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
            sentence: String::new(),
            known: Known::default(),
        }
    }

    /// As it is kept: in little memory.
    pub(super) fn packed(mut self, before: Option<&Self>, blobs: &mut Blobs) -> Self {
        self.layers = blobs.pack(std::mem::take(&mut self.pull.layers), before.map(|before| &before.layers));
        self
    }

    /// As it is changed: with the layers in the pull.
    pub(super) fn unpacked(mut self) -> Self {
        self.pull.layers = self.layers.unpacked();
        self
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

    /// Now by the clock of the node: its last report's time, and what has passed since here.
    pub(super) fn node_time(&self, now: Timestamp) -> Timestamp {
        self.pull.observed_at + now.since(self.heard)
    }

    /// The pull as it may be shown: without speed and estimate when nobody watches it, and lost when that was concluded here.
    pub(super) fn shown(&self) -> Cow<'_, Pull> {
        let whole = || self.whole().into_owned();
        let unwatched = || Pull { bytes_per_sec: None, eta: None, host: Host::default(), ..whole() };
        match self.standing {
            Standing::Current | Standing::Ended { .. } => match self.corrected() {
                Some(ending) => Cow::Owned(Pull { ending: Some(ending), ..whole() }),
                None => self.whole(),
            },
            Standing::Stale => Cow::Owned(unwatched()),
            Standing::Lost { at, .. } => {
                let ending = Ending { outcome: Outcome::Lost, at: self.node_time(at), source: TimingSource::Inferred };
                Cow::Owned(Pull { wait: None, ending: Some(ending), ..unwatched() })
            }
        }
    }

    /// Keeps what an earlier report knew better: layers stay known, and bytes that were fetched stay fetched.
    pub(super) fn merge(&mut self, before: &Self) {
        if !self.known.coarse {
            self.known = before.known.clone();
        }
        if !self.pull.total_known {
            self.keep_plan(&before.pull);
        }
        for (index, layer) in self.pull.layers.iter_mut().enumerate() {
            let same_place = before.pull.layers.get(index).filter(|old| old.digest == layer.digest);
            if let Some(old) = same_place.or_else(|| before.pull.layers.iter().find(|old| old.digest == layer.digest)) {
                keep_fetched(layer, old);
            }
        }
    }
}

impl Entry {
    /// An agent that was restarted speaks of a pull before it has read the manifest again.
    fn keep_plan(&mut self, before: &Pull) {
        let seen = std::mem::replace(&mut self.pull.layers, before.layers.clone());
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
fn keep_fetched(layer: &mut Layer, old: &Layer) {
    if old.cached || old.fetched == 0 {
        return;
    }
    layer.size = layer.size.max(old.fetched);
    layer.fetched = if layer.cached && layer.is_complete() { layer.size } else { layer.fetched.max(old.fetched) };
    layer.cached = false;
}
