//! What the kubelet says that it is about to pull, joined with the leases that follow: the tag of a pull while it runs, and what still
//! waits for its turn.
//!
//! The kubelet keeps a file for every image that it pulls or is about to (Kubernetes KEP-2535, `pkg/kubelet/images/pullmanager`). It names
//! no lease, so a join is by repository, time and digest, and only where it is the only one possible: a name that may be another pull's is
//! not told. Reading the files is the shell's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{seen::LeaseKey, watched::Watched};
use crate::{image::ImageRef, time::Timestamp};

/// Most intents that are known at once; a kubelet has one for each image that its pods wait for.
pub(super) const MAX_INTENTS: usize = 256;
/// The namespace of containerd's that the kubelet pulls into (`containerd` internal/cri/constants).
const KUBELET_NAMESPACE: &str = "k8s.io";
/// An intent that ended is remembered for so long: what names its pull may come later.
const KEEP_ENDED: Duration = Duration::from_secs(10);
/// How far the file's time may be behind the lease's.
const SLACK: Duration = Duration::from_millis(50);
/// A pull whose repository is not known yet is taken for an intent only if it began this soon after it.
const PROMPT: Duration = Duration::from_secs(5);
/// An intent is told as waiting from this age on: the kubelet also writes them for a moment while it backs off.
const QUEUED_AFTER: Duration = Duration::from_secs(2);
/// An older intent is the leftover of a kubelet that crashed.
const STALE_AFTER: Duration = Duration::from_hours(6);

/// An image that the kubelet pulls or is about to pull.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Intent {
    /// As the pod names it.
    pub image: ImageRef,
    /// When the kubelet wrote it down.
    pub since: Timestamp,
}

/// Every intent there is, and those that ended a moment ago.
#[derive(Debug, Default)]
pub(super) struct Intents(BTreeMap<ImageRef, Span>);

#[derive(Debug)]
struct Span {
    since: Timestamp,
    until: Option<Timestamp>,
}

impl Intents {
    /// Takes all intents there are now.
    pub(super) fn take(&mut self, present: Vec<Intent>, now: Timestamp) {
        let there: BTreeSet<_> = present.iter().map(|intent| intent.image.clone()).collect();
        self.0.iter_mut().filter(|(image, _)| !there.contains(image)).for_each(|(_, span)| {
            span.until.get_or_insert(now);
        });
        for Intent { image, since } in present.into_iter().take(MAX_INTENTS) {
            let fresh = Span { since, until: None };
            match self.0.get_mut(&image) {
                Some(span) if span.until.is_none() => span.since = span.since.min(since),
                Some(span) => *span = fresh,
                None => drop(self.0.insert(image, fresh)),
            }
        }
    }

    /// Forgets what ended long ago.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, span| span.until.is_none_or(|until| now.since(until) < KEEP_ENDED));
    }

    /// Gives every pull that has no exact name yet the only one that it can have.
    pub(super) fn name(&self, watched: &mut BTreeMap<LeaseKey, Watched>) {
        if self.0.is_empty() {
            return;
        }
        let named: Vec<_> = watched
            .iter()
            .filter(|(_, pull)| is_nameable(pull) && !pull.has_exact_name())
            .filter_map(|(key, pull)| Some((key.clone(), self.only(pull, watched)?.clone())))
            .collect();
        for (key, image) in named {
            if let Some(pull) = watched.get_mut(&key) {
                pull.learn_intended(image);
            }
        }
    }

    /// Images that wait for their turn in the kubelet, oldest first: those that no running pull may be of.
    pub(super) fn queued(&self, watched: &BTreeMap<LeaseKey, Watched>, now: Timestamp) -> Vec<ImageRef> {
        let ripe = |span: &Span| span.until.is_none() && (QUEUED_AFTER..STALE_AFTER).contains(&now.since(span.since));
        let mut waiting: Vec<_> = self.0.iter().filter(|(_, span)| ripe(span)).collect();
        waiting.sort_by_key(|(image, span)| (span.since, (*image).clone()));
        let (exact, vague): (Vec<_>, Vec<_>) =
            watched.values().filter(|pull| is_nameable(pull) && pull.is_open()).partition(|pull| pull.has_exact_name());
        waiting.retain(|(image, _)| !exact.iter().any(|pull| pull.name() == Some(image)));
        for pull in vague {
            if let Some(at) = waiting.iter().position(|(image, span)| fits(image, span, pull)) {
                waiting.remove(at);
            }
        }
        waiting.into_iter().map(|(image, _)| image.clone()).collect()
    }

    /// When the next intent is old enough to be told as waiting.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let present = self.0.values().filter(|span| span.until.is_none());
        present.map(|span| span.since + QUEUED_AFTER).filter(|at| *at > now).min()
    }

    /// The only image that this pull can be of; `None` if there are several, or if others may be of it.
    fn only(&self, pull: &Watched, watched: &BTreeMap<LeaseKey, Watched>) -> Option<&ImageRef> {
        let others = || watched.values().filter(|other| is_nameable(other) && other.id != pull.id);
        let taken = |image: &ImageRef| others().any(|other| other.name() == Some(image) && differ(pull, other));
        let mut images = self.0.iter().filter(|(image, span)| fits(image, span, pull) && !taken(image));
        let (image, span) = images.next()?;
        if images.next().is_some() {
            return None;
        }
        let rival = |other: &Watched| !other.has_exact_name() && fits(image, span, other) && differ(pull, other);
        (!others().any(rival)).then_some(image)
    }
}

/// Whether a pull is of the kubelet's namespace and not long over.
fn is_nameable(pull: &Watched) -> bool {
    pull.key.namespace == KUBELET_NAMESPACE && !pull.is_dull()
}

/// Whether two pulls are known to be of different images, or not known to be of the same.
fn differ(one: &Watched, other: &Watched) -> bool {
    one.top().is_none() || one.top() != other.top()
}

/// Whether this pull may be of the image of this intent.
fn fits(image: &ImageRef, span: &Span, pull: &Watched) -> bool {
    let begun = pull.created_at();
    let in_time = span.since <= begun + SLACK && span.until.is_none_or(|until| begun <= until);
    let pinned = image.digest().is_none_or(|digest| pull.is_empty() || pull.holds(digest));
    let there = match pull.sources() {
        [] => begun.since(span.since) <= PROMPT,
        sources => sources.iter().any(|source| source.is_same_repository(image)),
    };
    in_time && pinned && there
}
