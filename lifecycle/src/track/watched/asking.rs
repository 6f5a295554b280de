//! What one pull wants to know: each thing once, and again where an older answer is of no use.

use super::{SMALL_DOCUMENT, Watched};
use crate::image::Digest;
use crate::time::Timestamp;
use crate::track::seen::Subject;

impl Watched {
    /// What it wants to know now.
    pub(in crate::track) fn take_wants(&mut self) -> Vec<Subject> {
        std::mem::take(&mut self.wants)
    }

    /// Asks again what could not be answered.
    pub(in crate::track) fn ask_again(&mut self) {
        self.wants.extend(std::mem::take(&mut self.unavailable));
    }

    /// Asks again what was on its way when the connection broke: the answers went with it.
    pub(in crate::track) fn reconnected(&mut self, now: Timestamp) {
        self.asking_since = now;
        self.unavailable.clear();
        self.wants = self.pending.iter().cloned().collect();
    }

    pub(super) fn want(&mut self, subject: Subject) {
        if self.asked.insert(subject.clone()) {
            self.pending.insert(subject.clone());
            self.wants.push(subject);
        }
    }

    pub(super) fn want_again(&mut self, subject: Subject) {
        if self.pending.contains(&subject) {
            self.outdated.insert(subject);
        } else {
            self.asked.remove(&subject);
            self.want(subject);
        }
    }

    /// Notes that the lease holds a blob, and asks about it.
    pub(super) fn hold(&mut self, digest: Digest) {
        if self.contents.insert(digest.clone()) && !self.facts.contains_key(&digest) {
            self.want_again(Subject::Content(digest));
        }
    }

    /// Takes documents that were being written for written: what followed may have happened between two looks.
    pub(super) fn hold_documents(&mut self) {
        let is_layer = |digest: &Digest| self.layers.iter().any(|layer| layer.planned.digest == *digest);
        let documents: Vec<_> = self.open.iter().filter(|digest| !is_layer(digest)).cloned().collect();
        documents.into_iter().for_each(|digest| self.hold(digest));
    }

    /// Everything that may prove how it ended, or say when what happened.
    pub(super) fn ask_for_evidence(&mut self, mut ask: impl FnMut(&mut Self, Subject)) {
        let targets: Vec<_> = self.contents.iter().filter(|digest| self.may_be_target(digest)).cloned().collect();
        targets.into_iter().for_each(|digest| ask(self, Subject::ImagesOf(digest)));
        let (mut blobs, mut chains) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            if !layer.needs_no_fetching() && !self.facts.contains_key(&layer.planned.digest) {
                blobs.push(layer.planned.digest.clone());
            }
            if let (false, None, Some(chain)) = (layer.is_cached(), layer.unpacked_at, &layer.chain) {
                chains.push(chain.to_string());
            }
        }
        blobs.into_iter().for_each(|digest| ask(self, Subject::Content(digest)));
        if !self.snapshotter.is_empty() {
            let snapshotter = self.snapshotter.clone();
            chains.into_iter().for_each(|key| ask(self, Subject::Snapshot { snapshotter: snapshotter.clone(), key }));
        }
    }

    /// Whether an image record may point to this blob: to all that is not known to be something else.
    pub(super) fn may_be_target(&self, digest: &Digest) -> bool {
        let large = self.facts.get(digest).is_some_and(|facts| facts.size > SMALL_DOCUMENT && !facts.has_children);
        !large && !self.is_config(digest) && !self.layers.iter().any(|layer| layer.planned.digest == *digest)
    }
}
