//! From what is known to the state of every layer: the plan from the documents, then whose bytes they are and what happened when.

use std::time::Duration;

use super::{Around, Stage, Watched};
use crate::image::Digest;
use crate::pull::TimingSource;
use crate::time::Timestamp;
use crate::track::layer::{Moment, Origin, Track};
use crate::track::plan::{Document, PlannedLayer, chain_ids};
use crate::track::seen::{ImageRecord, Subject};

/// A pull that nobody saw took no longer than this.
const LONGEST_UNSEEN: Duration = Duration::from_secs(10);
/// One pull may write a name twice within this time.
const SAME_PULL: Duration = Duration::from_secs(1);

impl Watched {
    /// Makes the list of layers as soon as the documents are there.
    pub(super) fn plan(&mut self, now: Timestamp) {
        let (mut manifests, mut children) = (Vec::new(), Vec::new());
        for document in self.documents.values() {
            match document {
                Document::Index { manifests } if self.is_explored() => children.extend(manifests.iter().cloned()),
                Document::Manifest { config, layers } => manifests.push((config.clone(), layers.clone())),
                Document::Index { .. } | Document::Config { .. } => {}
            }
        }
        children.into_iter().for_each(|child| self.want(Subject::Content(child)));
        if self.chained || manifests.is_empty() {
            return;
        }
        let mut chained = true;
        for (config, layers) in &manifests {
            if self.facts.contains_key(config) {
                self.want(Subject::Blob(config.clone()));
            }
            let chains = match self.documents.get(config) {
                Some(Document::Config { diff_ids }) if diff_ids.len() == layers.len() => chain_ids(diff_ids),
                Some(_) => Vec::new(),
                None => {
                    chained = false;
                    Vec::new()
                }
            };
            self.add_layers(layers, &chains);
        }
        if self.planned_at.is_none() {
            self.planned_at = Some(now);
            let blobs: Vec<_> = self.layers.iter().map(|l| l.planned.digest.clone()).collect();
            blobs.into_iter().for_each(|digest| self.want(Subject::Content(digest)));
        }
        if chained {
            self.chained = true;
            self.resolved_at = Some(self.resolved(&manifests, now));
            if let (Some(top), false) = (self.top(), self.name.as_ref().is_some_and(|n| n.tag().is_some())) {
                self.want(Subject::ImagesOf(top));
            }
        }
    }

    /// Brings the layers into the order of the manifest; what another manifest or an ingest told before keeps its place behind them. A
    /// layer that a manifest lists twice is fetched once; its last place decides when it is unpacked.
    pub(super) fn add_layers(&mut self, layers: &[PlannedLayer], chains: &[Digest]) {
        let mut known = std::mem::take(&mut self.layers);
        for (index, planned) in layers.iter().enumerate() {
            let chain = chains.get(index).cloned();
            if let Some(twice) = self.layers.iter_mut().find(|l| l.planned.digest == planned.digest) {
                twice.chain = chain.or(twice.chain.take());
                continue;
            }
            let seen = known.iter().position(|l| l.planned.digest == planned.digest).map(|at| known.remove(at));
            let mut layer = seen.unwrap_or_else(|| Track::new(planned.clone(), None));
            layer.planned.clone_from(planned);
            layer.chain = chain.or(layer.chain.take());
            self.layers.push(layer);
        }
        self.layers.append(&mut known);
    }

    /// When the last of manifest and configuration was committed, or `now` if they were here before.
    pub(super) fn resolved(&self, manifests: &[(Digest, Vec<PlannedLayer>)], now: Timestamp) -> Timestamp {
        let configs = manifests.iter().map(|(config, _)| config);
        let committed = configs.chain(self.tops()).filter_map(|d| self.facts.get(d)).map(|f| f.created_at);
        committed.filter(|at| *at >= self.created_at).max().unwrap_or(now)
    }

    /// Brings every layer up to what is known.
    pub(super) fn fold(&mut self, now: Timestamp, around: &mut impl Around) {
        let mut unknown_times = Vec::new();
        let is_ending = matches!(self.stage, Stage::Ending { .. });
        for layer in &mut self.layers {
            let digest = &layer.planned.digest;
            let held = self.contents.contains(digest);
            match self.facts.get(digest) {
                Some(facts) if facts.created_at < self.created_at => {
                    layer.complete = true;
                    if layer.origin == Origin::Unknown {
                        layer.origin = Origin::Here;
                    }
                }
                Some(facts) if held || (is_ending && around.claim(digest, self.id) == self.id) => {
                    layer.complete = true;
                    if layer.origin == Origin::Unknown {
                        layer.origin = if around.claim(digest, self.id) == self.id { Origin::Ours } else { Origin::Theirs };
                    }
                    layer.committed_at = Some((facts.created_at, TimingSource::Record));
                    layer.wrote(u64::MAX);
                }
                Some(_) | None => {}
            }
            let Some(chain) = &layer.chain else { continue };
            layer.extracting = self.extracting.contains_key(chain);
            if self.chains.contains(chain) || self.snapshots.contains_key(chain.as_str()) {
                layer.unpacked = true;
                layer.extracting = false;
            }
            let recorded = |at: Option<&Timestamp>| at.map(|at| (*at, TimingSource::Record));
            let committed: Option<Moment> = around
                .unpacked(chain)
                .map(|at| (at, TimingSource::Event))
                .or_else(|| recorded(self.snapshots.get(chain.as_str())));
            match committed {
                Some((at, _)) if layer.unpacked && layer.origin == Origin::Unknown && !held => {
                    layer.origin = if at < self.created_at { Origin::Here } else { Origin::Theirs };
                }
                None if layer.unpacked => unknown_times.push(chain.to_string()),
                Some(_) | None => {}
            }
            layer.unpacked_at = committed.filter(|(at, _)| *at >= self.created_at);
            if layer.origin != Origin::Theirs {
                let prepared =
                    around.prepared(chain).map(|at| (at, TimingSource::Event)).or_else(|| recorded(self.prepared.get(chain)));
                layer.prepared_at = prepared.filter(|(at, _)| *at >= self.created_at).or(layer.prepared_at);
            }
        }
        let snapshotter = self.snapshotter.clone();
        unknown_times.into_iter().for_each(|key| self.want(Subject::Snapshot { snapshotter: snapshotter.clone(), key }));
        if self.is_live() {
            let fetched = self.layers.iter().map(Track::fetched).sum();
            self.meter.note(fetched, now);
            let open = self.layers.iter().filter(|l| !l.complete && self.open.contains(&l.planned.digest)).count();
            self.pace.note(fetched, open, now);
            self.slots = self.slots.max(open);
        }
    }

    /// Notes that the snapshot of this chain is mounted from afar, with all below it: nothing of it is to be fetched.
    pub(super) fn mount_remotely(&mut self, chain: &str) {
        let is_it = |layer: &&mut Track| layer.chain.as_ref().is_some_and(|c| c.as_str() == chain);
        if let Some(layer) = self.layers.iter_mut().find(is_it).filter(|layer| layer.origin != Origin::Ours) {
            layer.origin = Origin::Remote;
            layer.unpacked = true;
        }
    }

    /// A pull of which only the record is known began when the first of the blobs came that nobody else brought; those that were there
    /// when the image was recorded before were brought then, whether an event told of that or only the record does.
    pub(super) fn date_back(&mut self, around: &mut impl Around) {
        let first = |r: &ImageRecord| (r.updated_at.since(r.created_at) >= SAME_PULL).then_some(r.created_at);
        let replaced = self.records.iter().filter_map(|record| around.recorded_before(record).max(first(record))).max();
        let earliest = self.created_at.before(LONGEST_UNSEEN).max(replaced.unwrap_or(Timestamp::EPOCH));
        let layers = self.layers.iter().filter_map(|l| Some((&l.planned.digest, self.facts.get(&l.planned.digest)?.created_at)));
        let recent = layers.filter(|(_, at)| (earliest..self.created_at).contains(at));
        let own = recent.filter(|(digest, _)| around.claim(digest, self.id) == self.id).map(|(_, at)| at).min();
        self.created_at = own.unwrap_or(self.created_at);
    }
}
