//! One pull, from its lease to its image record or its failure, in the order in which containerd does it.
//!
//! A step advances each part of it by at most one transaction; a step is a millisecond, which is about what a transaction takes. Slots
//! and bytes come from [`super::Simulation`].

use std::{sync::Arc, time::Duration};

use lifecycle::time::Timestamp;

use super::{
    diary::{Diary, LayerDiary},
    download::{Download, State},
    store::{Owner, Resource, SNAPSHOT_REFERENCE, Snapshot, Store},
};
use crate::containerd::simulated::{
    ids::Ids,
    image::{Image, Kind},
    scenario::{End, PullSpec},
};

/// How long after its commit content gets its labels.
const LABEL_LAG: Duration = Duration::from_millis(3);
/// What a lazy snapshotter takes to mount a layer: a few requests to the registry.
const MOUNT: Duration = Duration::from_millis(200);
/// How long the last errand of a pull takes that failed or was canceled: deleting its lease.
const LEAVE: Duration = Duration::from_millis(8);
/// The shortest time in which a layer is unpacked.
const SHORTEST_UNPACK: Duration = Duration::from_millis(3);

/// One pull.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) owner: Owner,
    pub(super) spec: PullSpec,
    image: Arc<Image>,
    starts_at: Timestamp,
    pub(super) lease: String,
    stage: Stage,
    pub(super) diary: Diary,
    pub(super) documents: Vec<Download>,
    pub(super) layers: Vec<Download>,
    /// Content that was committed and is not labelled yet.
    unlabelled: Vec<(Timestamp, Kind, String)>,
}

/// Where a pull is.
#[derive(Debug)]
enum Stage {
    /// Not begun. Leads to `Resolving`.
    Ahead,
    /// Has a lease, asks the registry what the tag means. Leads to `Documents`, or to `Leaving`.
    Resolving { until: Timestamp },
    /// Fetches index, manifest and config, one after the other. Leads to `Layers`.
    Documents { next: usize },
    /// Fetches and unpacks layers. Leads to `Recording`, or to `Leaving`.
    Layers { next: usize, unpack: Unpack },
    /// Writes the image records, the last first in this list. Leads to `Leaving`.
    Recording { names: Vec<String> },
    /// Deletes its lease. Leads to `Over`.
    Leaving { until: Timestamp },
    /// Nothing more will happen.
    Over,
}

/// What the unpacker does with the next layer.
#[derive(Debug)]
enum Unpack {
    /// Waits until no other pull works on the same chain.
    Locking,
    /// Lets a lazy snapshotter find out what is in the layer.
    Mounting { until: Timestamp },
    /// Has prepared a snapshot, waits for the layer's content.
    Fetching { key: String },
    /// Writes the layer's files.
    Applying { key: String, until: Timestamp },
}

impl Pull {
    pub(super) fn new(owner: Owner, spec: PullSpec, image: Arc<Image>, starts_at: Timestamp) -> Self {
        let documents = image.documents.iter();
        let documents = documents.map(|d| Download::new(d.kind, d.blob.clone(), Some(d.bytes.clone()), Vec::new())).collect();
        let layers = image.layers.iter().enumerate().map(|(i, layer)| {
            let mut stalls: Vec<_> = spec.stalls.iter().filter(|stall| stall.layer == i).cloned().collect();
            stalls.sort_by_key(|stall| stall.after_bytes);
            Download::new(Kind::Layer, layer.blob.clone(), None, stalls)
        });
        let layers = layers.collect();
        let diary = Diary {
            namespace: spec.namespace.clone(),
            image: image.name.clone(),
            lease: String::new(),
            began: None,
            recorded: None,
            over: None,
            layers: image.layers.iter().map(|layer| LayerDiary::new(layer.blob.digest.clone(), layer.blob.size)).collect(),
        };
        Self {
            diary,
            owner,
            spec,
            image,
            starts_at,
            lease: String::new(),
            stage: Stage::Ahead,
            documents,
            layers,
            unlabelled: Vec::new(),
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// All its downloads.
    pub(super) fn downloads(&mut self) -> impl Iterator<Item = &mut Download> {
        self.documents.iter_mut().chain(&mut self.layers)
    }

    /// containerd died: a pull that had begun is forgotten, and what it had stays as it is.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if !matches!(self.stage, Stage::Ahead) {
            self.diary.over.get_or_insert(now);
            self.downloads().for_each(|download| download.state = State::Idle);
            self.unlabelled.clear();
            self.stage = Stage::Over;
        }
    }

    /// One millisecond.
    pub(super) fn step(&mut self, store: &mut Store, ids: &mut Ids, now: Timestamp) {
        if self.is_canceled(now) {
            self.give_up(store, now);
        }
        self.note_ingests(store);
        self.step_downloads(store, ids, now);
        self.step_labels(store, now);
        match &self.stage {
            Stage::Ahead if now >= self.starts_at => {
                self.lease = ids.shaped(now);
                store.create_lease(&self.lease, now);
                (self.diary.lease, self.diary.began) = (self.lease.clone(), Some(now));
                self.stage = Stage::Resolving { until: now + self.spec.resolve.0 };
            }
            Stage::Resolving { until } if now >= *until => match self.spec.end {
                End::NotFound | End::Unauthorized => self.give_up(store, now),
                End::Ready
                | End::CanceledAfter(_)
                | End::Reset(_)
                | End::NoSpace(_)
                | End::DigestMismatch(_)
                | End::UnpackFailure(_) => self.stage = Stage::Documents { next: 0 },
            },
            Stage::Documents { next } => self.step_documents(*next, store, now),
            Stage::Layers { .. } => self.step_unpack(store, ids, now),
            Stage::Recording { .. } => self.step_records(store, now),
            Stage::Leaving { until } if now >= *until => {
                store.delete_lease(&self.lease, now);
                self.diary.over = Some(now);
                self.stage = Stage::Over;
            }
            Stage::Ahead | Stage::Resolving { .. } | Stage::Leaving { .. } | Stage::Over => {}
        }
    }

    fn is_canceled(&self, now: Timestamp) -> bool {
        let running = match self.stage {
            Stage::Resolving { .. } | Stage::Documents { .. } | Stage::Layers { .. } => true,
            Stage::Ahead | Stage::Recording { .. } | Stage::Leaving { .. } | Stage::Over => false,
        };
        matches!(self.spec.end, End::CanceledAfter(after) if running && now >= self.starts_at + after.0)
    }

    fn step_downloads(&mut self, store: &mut Store, ids: &mut Ids, now: Timestamp) {
        let mut failed = false;
        for download in self.documents.iter_mut().chain(&mut self.layers) {
            match download.state {
                State::Wanted => download.look(store, &self.lease, self.owner, ids.ticket(), now),
                State::Requested { until } | State::Stalled { until } if now >= until => download.state = State::Flowing,
                State::Closing { until } if now >= until => {
                    let mismatch = matches!(&self.spec.end, End::DigestMismatch(at)
                        if self.image.layers[at.layer].blob == download.blob);
                    if mismatch {
                        failed = true;
                        continue;
                    }
                    let bytes = download.bytes.clone();
                    store.commit_ingest(&self.lease, &download.ingest_ref(), &download.blob, bytes, now);
                    download.state = State::Done;
                    self.diary
                        .layers
                        .iter_mut()
                        .filter(|l| l.digest == download.blob.digest)
                        .for_each(|l| l.committed = Some(now));
                    self.unlabelled.push((now + LABEL_LAG, download.kind, download.blob.digest.to_string()));
                }
                State::Flowing => {
                    failed |= matches!(&self.spec.end, End::Reset(place) | End::NoSpace(place)
                        if self.image.layers[place.layer].blob == download.blob
                            && download.received(store) >= place.after_bytes.0);
                }
                State::Idle
                | State::Queued { .. }
                | State::Requested { .. }
                | State::Stalled { .. }
                | State::Closing { .. }
                | State::Done => {}
            }
        }
        if failed {
            self.give_up(store, now);
        }
    }

    fn note_ingests(&mut self, store: &Store) {
        for (layer, download) in self.diary.layers.iter_mut().zip(&self.layers).filter(|(layer, _)| layer.opened.is_none()) {
            let ingest = store.ingests.get(&download.ingest_ref()).filter(|ingest| ingest.writer == Some(self.owner));
            layer.opened = ingest.map(|ingest| ingest.started_at);
        }
    }

    fn step_labels(&mut self, store: &mut Store, now: Timestamp) {
        let (key, repository) = self.image.source_label();
        for (_, kind, digest) in self.unlabelled.extract_if(.., |(due, ..)| now >= *due) {
            let document = self.image.documents.iter().find(|document| document.kind == kind);
            for (key, child) in document.iter().flat_map(|document| &document.references) {
                store.label_content(&digest, key, child, now);
            }
            store.label_content(&digest, &key, &repository, now);
        }
    }

    fn step_documents(&mut self, next: usize, store: &mut Store, now: Timestamp) {
        match self.documents.get_mut(next) {
            None => self.stage = Stage::Layers { next: 0, unpack: Unpack::Locking },
            Some(document) if document.state == State::Done => {
                // As in containerd a document is labelled before its children are fetched.
                if self.unlabelled.is_empty() {
                    let (key, repository) = self.image.source_label();
                    store.label_content(document.blob.digest.as_str(), &key, &repository, now);
                    self.stage = Stage::Documents { next: next + 1 };
                }
            }
            Some(document) => document.want(),
        }
    }

    fn step_unpack(&mut self, store: &mut Store, ids: &mut Ids, now: Timestamp) {
        let Stage::Layers { next, unpack } = &mut self.stage else { return };
        let Some(layer) = self.image.layers.get(*next) else { return self.begin_records(store, now) };
        let chain = layer.chain_id.to_string();
        match unpack {
            Unpack::Locking if store.chain_locks.contains_key(&chain) => {}
            Unpack::Locking if store.snapshots.contains_key(&chain) => {
                store.keep(&self.lease, Resource::Snapshot(chain));
                *next += 1;
            }
            Unpack::Locking if self.spec.lazy => *unpack = Unpack::Mounting { until: now + MOUNT },
            Unpack::Mounting { until } if now >= *until => {
                let mut labels = snapshot_labels(store, &self.image, *next);
                labels.insert("containerd.io/snapshot/remote".to_owned(), "remote snapshot".to_owned());
                let parent = next.checked_sub(1).map(|below| self.image.layers[below].chain_id.to_string());
                store.mount(&self.lease, &chain, Snapshot { committed: true, parent, labels, created_at: now, size: 0 });
                (*next, *unpack) = (*next + 1, Unpack::Locking);
            }
            Unpack::Locking => {
                let key = format!("extract-{} {chain}", ids.shaped(now));
                let parent = next.checked_sub(1).map(|below| self.image.layers[below].chain_id.to_string());
                store.chain_locks.insert(chain.clone(), self.owner);
                let labels = snapshot_labels(store, &self.image, *next);
                store.prepare(&self.lease, &key, Snapshot { committed: false, parent, labels, created_at: now, size: 0 }, now);
                self.layers[*next..].iter_mut().for_each(Download::want);
                self.diary.layers[*next].prepared = Some(now);
                *unpack = Unpack::Fetching { key };
            }
            Unpack::Fetching { key } if self.layers[*next].state == State::Done => {
                let until = now + unpack_time(layer.blob.size, self.spec.unpack_bytes_per_sec.0);
                *unpack = Unpack::Applying { key: std::mem::take(key), until };
            }
            Unpack::Applying { key, until } if now >= *until => {
                if matches!(&self.spec.end, End::UnpackFailure(at) if at.layer == *next) {
                    return self.give_up(store, now);
                }
                store.label_content(layer.blob.digest.as_str(), "containerd.io/uncompressed", layer.diff_id.as_str(), now);
                store.commit_snapshot(&self.lease, key, &chain, layer.blob.size, now);
                self.diary.layers[*next].unpacked = Some(now);
                store.chain_locks.remove(&chain);
                (*next, *unpack) = (*next + 1, Unpack::Locking);
            }
            Unpack::Fetching { .. } | Unpack::Applying { .. } | Unpack::Mounting { .. } => {}
        }
    }

    fn begin_records(&mut self, store: &mut Store, now: Timestamp) {
        let Some(top) = self.image.layers.last() else { return };
        // A layer's content may still be on its way if its snapshot came from another pull.
        if !self.layers.iter().all(|layer| matches!(layer.state, State::Idle | State::Done)) {
            return;
        }
        store.label_content(self.image.config().digest.as_str(), SNAPSHOT_REFERENCE, top.chain_id.as_str(), now);
        let [reference, id, by_digest] = self.image.record_names();
        let mut names = vec![reference.clone(), id];
        if store.personality.rewrites_image_records() {
            names.push(reference);
        }
        names.push(by_digest);
        names.reverse();
        self.stage = Stage::Recording { names };
    }

    fn step_records(&mut self, store: &mut Store, now: Timestamp) {
        let Stage::Recording { names } = &mut self.stage else { return };
        let Some(name) = names.pop() else {
            self.stage = Stage::Leaving { until: now };
            return;
        };
        let is_reference = name == self.image.name.to_string();
        if is_reference || store.personality.rewrites_image_records() || !store.has_record(&name, self.image.target()) {
            store.write_record(&name, self.image.target(), now);
            self.diary.recorded = Some(now);
        }
    }

    /// Canceled or failed: what was prepared is removed, what was being written is nobody's, the lease goes last.
    fn give_up(&mut self, store: &mut Store, now: Timestamp) {
        if let Stage::Layers { next, unpack: Unpack::Fetching { key } | Unpack::Applying { key, .. } } = &self.stage {
            store.chain_locks.remove(self.image.layers[*next].chain_id.as_str());
            store.remove_snapshot(&self.lease, key, now);
        }
        for download in self.documents.iter_mut().chain(&mut self.layers) {
            download.give_up(store, self.owner, now);
        }
        self.stage = Stage::Leaving { until: now + LEAVE };
    }
}

fn snapshot_labels(store: &Store, image: &Image, layer: usize) -> super::store::Labels {
    let mut labels = super::store::Labels::new();
    let mut label = |key: &str, value: String| labels.insert(format!("containerd.io/{key}"), value);
    label("snapshot.ref", image.layers[layer].chain_id.to_string());
    if store.personality.labels_snapshots() {
        label("snapshot/diff-id", image.layers[layer].diff_id.to_string());
        if let Some(below) = layer.checked_sub(1) {
            label("snapshot/parent-chain-id", image.layers[below].chain_id.to_string());
        }
    }
    labels
}

fn unpack_time(size: u64, bytes_per_sec: u64) -> Duration {
    Duration::from_millis(size.saturating_mul(1_000) / bytes_per_sec).max(SHORTEST_UNPACK)
}
