//! Whose image one pull is of, from exact to vague: what the kubelet said it would pull (`track::naming`), the label of a snapshot, the
//! image record that the pull writes at its end, the repository in the labels of its manifest. And whether it is of a registry at all.
//!
//! An exact name stays. What is only likely is not told: a record that was there before may be of another tag of the same image, and of
//! several records that are written at once only one is this pull's.

use std::time::Duration;

use super::Watched;
use crate::image::{Digest, ImageRef};
use crate::track::plan::Document;
use crate::track::seen::{ContentFacts, ImageRecord, Subject};

/// A pull that found everything writes where it came from at most this long before the image's record.
const LABELLED_BEFORE: Duration = Duration::from_secs(2);

impl Watched {
    /// Whether its name says which image of the repository it is.
    pub(in crate::track) fn has_exact_name(&self) -> bool {
        self.name.as_ref().is_some_and(ImageRef::is_exact)
    }

    /// Repositories of which one is its own; none while not known.
    pub(in crate::track) fn sources(&self) -> &[ImageRef] {
        &self.sources
    }

    /// The digest that its name stands for: of the index, or of the manifest where there is no index.
    pub(in crate::track) fn top(&self) -> Option<Digest> {
        let index = self.documents.iter().find(|(_, d)| matches!(d, Document::Index { .. }));
        index.map(|(digest, _)| digest).or_else(|| self.tops().next()).cloned()
    }

    /// Takes a name if it says more than the one that is known.
    pub(in crate::track) fn learn_name(&mut self, name: ImageRef) {
        if !self.has_exact_name() {
            self.name = Some(name);
        }
    }

    /// Takes the name of the only intent that it can be of. While nothing of it is known but the time, that is a guess.
    pub(in crate::track) fn learn_intended(&mut self, name: ImageRef) {
        self.guessed = self.sources.is_empty();
        self.learn_name(name);
    }

    /// Takes in where an index or a manifest comes from. A name that is of none of these repositories was a wrong guess.
    pub(super) fn learn_sources(&mut self, facts: &ContentFacts) {
        if !facts.has_children || facts.sources.is_empty() {
            return;
        }
        self.sources.clone_from(&facts.sources);
        let pinned = |name: &ImageRef| name.digest().is_none_or(|digest| self.contents.contains(digest));
        let own = |name: &ImageRef| pinned(name) && self.sources.iter().any(|source| source.is_same_repository(name));
        if self.guessed && self.name.as_ref().is_some_and(own) {
            self.guessed = false;
        } else if self.guessed && facts.labelled_at >= self.created_at {
            self.guessed = false;
            self.name = None;
        }
        if let [only] = self.sources.as_slice() {
            self.learn_name(only.clone());
        }
    }

    /// Asks again where the documents come from, until this pull has written it: that is a moment after it committed them.
    pub(super) fn look_for_sources(&mut self) {
        if self.has_exact_name() && !self.sources.is_empty() {
            return;
        }
        let silent = |facts: &ContentFacts| facts.sources.is_empty() || facts.labelled_at < self.created_at;
        let stale = |digest: &&Digest| self.facts.get(*digest).is_some_and(silent);
        let stale: Vec<_> = self.contents.iter().filter(|digest| stale(digest) && self.may_be_target(digest)).cloned().collect();
        stale.into_iter().for_each(|digest| self.want_again(Subject::Content(digest)));
    }

    /// Takes in image records: proof of success at the end, and its name if only one can be.
    pub(super) fn learn_images(&mut self, target: &Digest, records: Vec<ImageRecord>) {
        let proven = records.iter().filter(|record| self.proves(record)).filter_map(|record| record.name.as_ref());
        let (tagged, pinned): (Vec<_>, Vec<_>) = proven.partition(|name| name.tag().is_some());
        let only = match (tagged.as_slice(), pinned.as_slice()) {
            ([only], _) | ([], [only]) => Some((*only).clone()),
            _ => None,
        };
        only.into_iter().for_each(|name| self.learn_name(name));
        self.records.retain(|r| r.target != *target);
        self.records.extend(records);
    }

    /// Whether it is certain that it is a pull: something came in the way of one, or says which repository it is from.
    pub(super) const fn is_from_registry(&self) -> bool {
        self.fetched_any || !self.sources.is_empty()
    }

    /// Whether everything that is known of it came from somewhere else than a registry: an import, a build, a second name for an image
    /// that was here. A pull writes where an image comes from into the labels of its documents.
    pub(super) fn is_no_pull(&self) -> bool {
        let is_own = |source: &ImageRef| self.name.as_ref().is_none_or(|name| name.is_same_repository(source));
        let mut tops = self.contents.iter().filter_map(|digest| self.facts.get(digest)).filter(|f| f.has_children).peekable();
        let known = tops.peek().is_some();
        let came = |facts: &ContentFacts| match self.from_record || self.adopted {
            true => facts.labelled_at >= self.created_at.before(LABELLED_BEFORE) && facts.sources.iter().any(is_own),
            false => !facts.sources.is_empty(),
        };
        !self.fetched_any && known && !tops.any(came)
    }
}
