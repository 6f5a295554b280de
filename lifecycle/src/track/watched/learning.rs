//! What one pull takes in: surveys of its lease, and answers to its questions.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Around, ORPHANED_AFTER, SMALL_DOCUMENT, Stage, Watched};
use crate::image::Digest;
use crate::time::Timestamp;
use crate::track::layer::{Origin, Track};
use crate::track::plan::{Document, PlannedLayer};
use crate::track::seen::{Answer, ContentFacts, ExtractKey, Inventory, Lease, Reference, Resource, SnapshotFacts, Subject};

/// A lease that holds nothing is shown as resolving once it is this old. Younger ones may be anything.
const RESOLVING_VISIBLE_AFTER: Duration = Duration::from_millis(700);
/// Largest document that is read, bytes (OCI distribution specification: registries should accept manifests up to 4 MiB).
const MAX_DOCUMENT: u64 = 4 << 20;

impl Watched {
    /// Takes in what a survey shows of its lease.
    pub(in crate::track) fn survey(
        &mut self,
        lease: &Lease,
        inventory: &Inventory,
        taken_at: Timestamp,
        around: &mut impl Around,
    ) {
        let before = (self.contents.len(), self.chains.len(), self.extracting.clone(), self.open.clone());
        let seen_before = std::mem::replace(&mut self.last_alive, taken_at);
        let mut references = Vec::new();
        let was_extracting = std::mem::take(&mut self.extracting);
        let mut other = false;
        for resource in &lease.resources {
            match resource {
                Resource::Content(digest) => self.hold(digest.clone()),
                Resource::Ingest(reference) => references.push(reference),
                Resource::Extraction { snapshotter, key } => {
                    self.snapshotter.clone_from(snapshotter);
                    self.extracting.insert(key.chain().clone(), key.clone());
                    if self.name.as_ref().is_none_or(|n| n.tag().is_none()) || around.prepared(key.chain()).is_none() {
                        self.want(Subject::Snapshot { snapshotter: snapshotter.clone(), key: key.as_str().to_owned() });
                    }
                }
                Resource::Chain { snapshotter, chain } => {
                    self.snapshotter.clone_from(snapshotter);
                    self.chains.insert(chain.clone());
                }
                Resource::Other => other = true,
            }
        }
        self.strange |= other;
        self.given_up |= was_extracting.keys().any(|chain| !self.extracting.contains_key(chain) && !self.chains.contains(chain));
        let was_open = std::mem::replace(&mut self.open, references.iter().map(|r| r.digest.clone()).collect());
        self.yield_taken(&mut references, &was_open, around);
        self.ingests(&references, inventory, around);
        self.look_for_sources();
        self.classify(other, inventory, taken_at);
        let after = (self.contents.len(), self.chains.len(), self.extracting.clone(), self.open.clone());
        if before != after {
            self.last_change = taken_at;
            self.changed_after = seen_before;
        }
        if (before.0, &before.3) != (after.0, &after.3) {
            self.fetched_after = seen_before;
        }
        self.fold(taken_at, around);
        self.age(taken_at);
    }

    /// Takes in what the ingests show when the lease is gone: their last words. containerd writes in steps of 1 MiB, but a download that
    /// is broken off writes what it has, a moment after its lease is gone: that tells it from one that the registry refused.
    pub(in crate::track) fn last_words(&mut self, inventory: &Inventory) {
        self.lingering = false;
        for ingest in &inventory.ingests {
            let ours = |layer: &&mut Track| layer.planned.digest == ingest.reference.digest && layer.origin == Origin::Ours;
            if let Some(layer) = self.layers.iter_mut().find(ours) {
                layer.wrote(ingest.offset);
                self.lingering = true;
            }
        }
        self.lingering &= !self.layers.iter().any(Track::has_moved);
    }

    /// Takes in the answer to a question.
    pub(in crate::track) fn answer(&mut self, subject: &Subject, answer: Answer, now: Timestamp, around: &mut impl Around) {
        if answer == Answer::Unavailable {
            self.unavailable.extend(self.pending.get(subject).cloned());
            return;
        }
        self.pending.remove(subject);
        if self.outdated.remove(subject) {
            self.want_again(subject.clone());
            return;
        }
        match (subject, answer) {
            (Subject::Blob(digest), Answer::Blob(Some(bytes))) => {
                if let Ok(document) = Document::parse(&bytes) {
                    self.documents.insert(digest.clone(), document);
                }
            }
            (Subject::Content(digest), Answer::Content(Some(facts))) => self.learn_content(digest, facts),
            (Subject::Snapshot { key, .. }, Answer::Snapshot(Some(facts))) => self.learn_snapshot(key, facts),
            (Subject::ImagesOf(digest), Answer::Images(records)) => self.learn_images(digest, records),
            // There is no such thing, or the answer is to another question: nothing is learned.
            (
                Subject::Blob(_) | Subject::Content(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_),
                _,
            ) => {}
        }
        if self.stage == Stage::Candidate && self.is_from_registry() {
            self.stage = Stage::Live;
        }
        self.plan(now);
        if matches!(self.stage, Stage::Ending { .. }) {
            self.ask_for_evidence(Self::want);
        }
        self.fold(now, around);
    }

    /// Leaves what another lease lists since to that one: a blob is written by one pull at a time, and who lists it later writes it, not
    /// who wrote it last: its owner may be a pull that was given up.
    fn yield_taken(&mut self, references: &mut Vec<&Reference>, was_open: &BTreeSet<Digest>, around: &mut impl Around) {
        references.retain(|reference| {
            let digest = &reference.digest;
            if self.yielded.contains(digest) {
                return false;
            }
            if !was_open.contains(digest) {
                around.take(digest, self.id);
                return true;
            }
            let taken = around.is_taken(digest, self.id);
            if taken {
                self.yielded.insert(digest.clone());
            }
            !taken
        });
        self.open.retain(|digest| !self.yielded.contains(digest));
    }

    pub(super) fn ingests(&mut self, references: &[&Reference], inventory: &Inventory, around: &mut impl Around) {
        for ingest in inventory.ingests.iter().filter(|i| references.contains(&&i.reference)) {
            let digest = &ingest.reference.digest;
            self.fetched_any = true;
            around.take(digest, self.id);
            if self.planned_at.is_none()
                && ingest.reference.kind == "layer"
                && !self.layers.iter().any(|l| l.planned.digest == *digest)
            {
                let planned = PlannedLayer { digest: digest.clone(), media_type: String::new(), size: ingest.total };
                self.layers.push(Track::new(planned, None));
            }
            if let Some(layer) = self.layers.iter_mut().find(|l| l.planned.digest == *digest) {
                layer.origin = Origin::Ours;
                layer.open(ingest.started_at, ingest.offset, self.created_at);
            }
        }
    }

    pub(super) fn learn_content(&mut self, digest: &Digest, facts: ContentFacts) {
        if self.is_explored() && self.is_anothers(digest, &facts) {
            return;
        }
        let is_layer = self.layers.iter().any(|l| l.planned.digest == *digest);
        let is_document =
            facts.size <= MAX_DOCUMENT && (facts.has_children || facts.size <= SMALL_DOCUMENT || self.is_config(digest));
        if !is_layer && is_document && (!self.chained || facts.has_children) {
            self.want(Subject::Blob(digest.clone()));
        }
        self.learn_sources(&facts);
        if self.is_explored() && !is_layer {
            self.contents.insert(digest.clone());
        }
        self.facts.insert(digest.clone(), facts);
    }

    /// Whether another pull brought this part of its image when it was over. Where its top came later too, the image was removed and pulled
    /// again: then the other's parts are as good.
    fn is_anothers(&self, digest: &Digest, facts: &ContentFacts) -> bool {
        let tops = || self.contents.iter().filter_map(|top| self.facts.get(top));
        !self.contents.contains(digest)
            && self.is_over_before(facts.created_at)
            && tops().any(|top| !self.is_over_before(top.created_at))
    }

    pub(super) fn learn_snapshot(&mut self, key: &str, facts: SnapshotFacts) {
        if facts.remote {
            self.mount_remotely(key);
        }
        match ExtractKey::parse(key) {
            Some(key) => self.prepared.insert(key.chain().clone(), facts.created_at),
            None => self.snapshots.insert(key.to_owned(), facts.created_at),
        };
        if let Some(name) = facts.image {
            self.learn_name(name);
        }
    }

    /// The digests that the image's name may stand for: indexes and manifests that the lease holds.
    pub(super) fn tops(&self) -> impl Iterator<Item = &Digest> {
        self.documents.iter().filter(|(_, d)| !matches!(d, Document::Config { .. })).map(|(digest, _)| digest)
    }

    /// Whether the image's tree is followed from its top, because the lease shows no more of it: it was never seen, or is gone.
    pub(super) const fn is_explored(&self) -> bool {
        self.planned_at.is_none() && matches!(self.stage, Stage::Ending { .. })
    }

    pub(super) fn is_config(&self, digest: &Digest) -> bool {
        self.documents.values().any(|d| matches!(d, Document::Manifest { config, .. } if config == digest))
    }

    pub(super) fn classify(&mut self, other: bool, inventory: &Inventory, now: Timestamp) {
        if self.stage != Stage::Candidate {
            return;
        }
        let is_empty = self.contents.is_empty() && self.open.is_empty() && self.extracting.is_empty();
        let is_pull = self.is_from_registry();
        let newest = inventory.ingests.iter().filter(|i| self.open.contains(&i.reference.digest)).map(|i| i.updated_at).max();
        let newest = newest.unwrap_or(self.created_at).max(self.created_at);
        self.stage = match (is_pull, other) {
            _ if now.since(newest) >= ORPHANED_AFTER => Stage::Dull,
            (true, _) => Stage::Live,
            (false, true) => Stage::Dull,
            (false, false) if is_empty && now.since(self.created_at) >= RESOLVING_VISIBLE_AFTER => Stage::Live,
            (false, false) => Stage::Candidate,
        };
    }
}
