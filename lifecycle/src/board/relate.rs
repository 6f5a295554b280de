//! Where pods and pulls meet: which containers wait for a pull, what the kubelet knows better than the agent, and the pulls that only the
//! kubelet knows, because its node has no agent or the runtime never began.
//!
//! A pull that only the kubelet tells of is coarse: in the phase `queued`, without bytes, until an outcome. It goes when an agent tells of the
//! same one. The agent's word counts, except where it cannot know: why a pull failed.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use super::{
    Board, Change, ChangeKind,
    agents::AgentKey,
    entry::{Entry, Standing},
    pods::{PodStatus, Relation, SLACK, Wish, Wished, is_same_image},
    room::Room,
    sighting::{PodKey, Sighting},
};
use crate::{
    image::ImageRef,
    pull::{Ending, ErrorClass, Host, Node, NodeName, Outcome, Phase, Pull, PullId, Report, TimingSource},
    time::Timestamp,
};

/// An agent gets so long to tell of a pull before the kubelet's word is shown.
const GRACE: Duration = Duration::from_secs(3);
/// What a kubelet says is over is shown only if it is not older.
const RECENT: Duration = Duration::from_secs(60);
/// The namespace of all pulls of a kubelet.
const KUBELET_NAMESPACE: &str = "k8s.io";

/// What the Kubernetes API adds to one pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Shared with the entries before and after, and by all that no pod waits for.
    pub(super) relation: Arc<Relation>,
    /// Whether only the kubelet tells of this pull.
    pub(super) coarse: bool,
}

impl Default for Known {
    fn default() -> Self {
        static NOBODY: LazyLock<Arc<Relation>> = LazyLock::new(Arc::default);
        Self { relation: NOBODY.clone(), coarse: false }
    }
}

impl Board {
    /// A pod that may look different now; its state is asked for by [`Board::pod`].
    pub fn poll_pod(&mut self) -> Option<PodKey> {
        self.pods.take_changed()
    }

    /// How a pod looks from outside; `None` if no image of it is waited for, or was lately.
    pub fn pod(&self, key: &PodKey) -> Option<PodStatus> {
        let bare = self.pods.status(key, &[])?;
        let node = bare.node_name.as_deref().and_then(|name| name.parse().ok());
        let pulls = node.map(|node| self.pulls_on(&node)).unwrap_or_default();
        self.pods.status(key, &pulls)
    }

    /// The pods that can be asked for.
    pub fn pods(&self) -> impl Iterator<Item = &PodKey> {
        self.pods.keys()
    }

    /// Pods that lack an image for which their kubelet has asked.
    pub const fn pods_waiting(&self) -> usize {
        self.pods.waiting()
    }

    /// Pods and events for which there was no memory.
    pub const fn pods_refused(&self) -> u64 {
        self.pods.refused()
    }

    pub(super) fn observe_sighting(&mut self, sighting: Sighting, now: Timestamp) {
        for node in self.pods.observe(sighting, now) {
            self.relate(&node, now);
        }
        self.take_waits(now);
    }

    /// Brings what is known of the pulls of a node up to what is known of its pods.
    pub(super) fn relate(&mut self, node: &NodeName, now: Timestamp) {
        self.recheck.remove(node);
        self.settle_listed(node, now);
        self.tell_coarse(node, now);
        let ids: Vec<_> = self.pulls_on(node).into_iter().map(|pull| pull.id).collect();
        for id in ids {
            let Some(entry) = self.pulls.get(&id) else { continue };
            let relation = self.relation(entry);
            if relation != *entry.known.relation {
                let said = self.said(entry, now);
                self.change(id, |entry| (entry.known.relation, entry.said) = (Arc::new(relation), said));
                self.changes.push_back(Change { kind: ChangeKind::Progress, id });
            }
        }
        self.pods.touch(node);
        self.place_waits(node);
    }

    /// What the pods add to a pull. What was known of one that has ended stays known.
    pub(super) fn relation(&self, entry: &Entry) -> Relation {
        if entry.pull.namespace != KUBELET_NAMESPACE {
            return Relation::default();
        }
        let mut relation = self.pods.relation(&entry.node.name, &entry.pull);
        let before = &entry.known.relation;
        if entry.pull.ending.is_some() {
            for pod in &before.pods {
                if !relation.pods.contains(pod) {
                    relation.pods.push(pod.clone());
                }
            }
            relation.attempt = before.attempt.or(relation.attempt);
            relation.next_retry = relation.next_retry.or(before.next_retry);
            relation.failure = before.failure.clone().or(relation.failure);
        }
        relation
    }

    /// The pulls of a node that are in memory.
    pub(super) fn pulls_on(&self, node: &NodeName) -> Vec<&Pull> {
        let told = self.agents.pulls_on(node).chain(self.coarse.get(node).into_iter().flat_map(|ids| ids.iter().copied()));
        told.filter_map(|id| self.pulls.get(&id).map(|entry| &entry.pull)).collect()
    }

    /// Makes, ends and drops the coarse pulls of a node.
    fn tell_coarse(&mut self, node: &NodeName, now: Timestamp) {
        let mut images: BTreeMap<ImageRef, Vec<Wish>> = BTreeMap::new();
        for wish in self.pods.wishes(node) {
            images.entry(wish.image.clone()).or_default().push(wish);
        }
        let told: Vec<_> = self.coarse.get(node).into_iter().flatten().copied().collect();
        for id in told {
            let Some(pull) = self.pulls.get(&id).map(|entry| entry.pull.clone()) else { continue };
            let wishes = pull.image.as_ref().and_then(|image| images.get(image));
            // An agent may come late, when the kubelet's word is already the last one.
            if self.is_covered(node, &pull) {
                self.remove(id);
            } else if self.pulls.get(&id).is_some_and(|entry| entry.is_running()) {
                self.end_coarse(node, &pull, wishes.map_or(&[], Vec::as_slice), now);
            }
        }
        for (image, wishes) in images {
            self.begin_coarse(node, &image, &wishes, now);
        }
    }

    /// Whether the agent tells of the pull that the kubelet means.
    fn is_covered(&self, node: &NodeName, wanted: &Pull) -> bool {
        let Some(image) = &wanted.image else { return false };
        let pulls = self.agents.pulls_on(node).filter_map(|id| self.pulls.get(&id)).map(|entry| &entry.pull);
        let mut same = pulls.filter(|pull| is_same_image(image, pull));
        let until = wanted.ending.as_ref().map(|ending| ending.at + SLACK);
        same.any(|pull| {
            until.is_none_or(|until| pull.started_at <= until)
                && pull.ending.as_ref().is_none_or(|ending| ending.at + SLACK >= wanted.started_at)
        })
    }

    fn end_coarse(&mut self, node: &NodeName, pull: &Pull, wishes: &[Wish], now: Timestamp) {
        if wishes.iter().any(|wish| wish.stand == Wished::Pulling) {
            return;
        }
        let ending = wishes.iter().filter_map(ending).max_by_key(|ending| ending.at);
        // Nobody wants it any more.
        let at = pull.observed_at.max(pull.started_at);
        let ending = ending.unwrap_or(Ending { outcome: Outcome::Canceled, at, source: TimingSource::Inferred });
        self.put_coarse(
            node,
            Pull { sequence: pull.sequence + 1, observed_at: ending.at.max(at), ending: Some(ending), ..pull.clone() },
            now,
        );
    }

    fn begin_coarse(&mut self, node: &NodeName, image: &ImageRef, wishes: &[Wish], now: Timestamp) {
        let pulling = wishes.iter().filter(|wish| wish.stand == Wished::Pulling).min_by_key(|wish| wish.asked);
        let newest = wishes.iter().filter_map(|wish| Some((ending(wish)?, wish))).max_by_key(|(ending, _)| ending.at);
        let (asked, ending) = match (pulling, newest) {
            (Some(wish), _) => (wish.asked, None),
            (None, Some((ending, wish))) => (wish.asked, Some(ending)),
            (None, None) => return,
        };
        let kept = match ending.as_ref().map(|ending| (&ending.outcome, ending.at)) {
            Some((Outcome::Failed(_), at)) => now.since(at) < self.limits.history,
            Some((Outcome::Ready | Outcome::Canceled | Outcome::Lost, at)) => now.since(at) < RECENT,
            None => true,
        };
        let pull = coarse_pull(node, image, asked, ending);
        let is_running = self
            .coarse
            .get(node)
            .into_iter()
            .flatten()
            .any(|id| self.pulls.get(id).is_some_and(|entry| entry.is_running() && entry.pull.image.as_ref() == Some(image)));
        if !kept || is_running || self.pulls.contains_key(&pull.id) || self.is_covered(node, &pull) {
            return;
        }
        let known_at = pull.ending.as_ref().map_or(asked, |ending| ending.at);
        if self.agents.is_watched(node) && now.since(known_at) < GRACE {
            self.recheck.insert(node.clone(), known_at + GRACE);
        } else if self.make_room(&AgentKey::of(&self.kubelet(node)), Room::PULL) {
            self.put_coarse(node, pull, now);
        } else {
            self.counts.refused_capacity += 1;
        }
    }

    fn put_coarse(&mut self, node: &NodeName, pull: Pull, now: Timestamp) {
        self.coarse.entry(node.clone()).or_default().insert(pull.id);
        let before = self.pulls.get(&pull.id);
        let kubelet = Arc::new(self.kubelet(node));
        let agent = AgentKey::of(&kubelet);
        let mut entry = Entry::new(Report { node: kubelet, pull }, agent, now);
        entry.known = before.as_ref().map(|before| before.known.clone()).unwrap_or_default();
        entry.known.coarse = true;
        entry.known.relation = Arc::new(self.relation(&entry));
        self.put(entry, now);
    }

    /// A kubelet as the speaker for its coarse pulls; its uid is none that an agent has.
    fn kubelet(&self, node: &NodeName) -> Node {
        let runtime = self.pods.runtime(node);
        let (name, version) = runtime.split_once("://").unwrap_or((runtime, ""));
        Node {
            name: node.clone(),
            uid: format!("kubelet:{node}"),
            cluster: String::new(),
            runtime_name: name.to_owned(),
            runtime_version: version.to_owned(),
        }
    }

    /// The name of the node is remembered only as long as there is something to remember.
    pub(super) fn forget_coarse(&mut self, entry: &Entry) {
        if let Some(ids) = self.coarse.get_mut(&entry.node.name).filter(|_| entry.known.coarse) {
            ids.remove(&entry.pull.id);
            if ids.is_empty() {
                self.coarse.remove(&entry.node.name);
            }
        }
    }

    /// Looks again where an agent was given time to speak.
    pub(super) fn recheck(&mut self, now: Timestamp) {
        let due: Vec<_> = self.recheck.iter().filter(|(_, at)| **at <= now).map(|(node, _)| node.clone()).collect();
        for node in due {
            self.relate(&node, now);
        }
    }
}

impl Entry {
    /// The ending as the kubelet corrects it: an agent that saw a pull vanish does not know why.
    pub(super) fn corrected(&self) -> Option<Ending> {
        let ending = self.pull.ending.as_ref().filter(|_| matches!(self.standing, Standing::Ended { .. }))?;
        let failure = self.known.relation.failure.as_ref()?;
        let is_weak = match &ending.outcome {
            Outcome::Canceled => failure.class != ErrorClass::Canceled,
            Outcome::Failed(said) => said.class == ErrorClass::Other && *said != *failure,
            // Concluded from bytes that an agent of another make listed.
            Outcome::Ready => self.agent.is_lister() && ending.source == TimingSource::Inferred,
            Outcome::Lost => false,
        };
        is_weak.then(|| Ending { outcome: Outcome::Failed(failure.clone()), ..ending.clone() })
    }
}

fn ending(wish: &Wish) -> Option<Ending> {
    let source = TimingSource::Event;
    match &wish.stand {
        Wished::Pulling => None,
        Wished::Pulled(at) => Some(Ending { outcome: Outcome::Ready, at: *at, source }),
        Wished::Failed(at, failure) => Some(Ending { outcome: Outcome::Failed(failure.clone()), at: *at, source }),
    }
}

fn coarse_pull(node: &NodeName, image: &ImageRef, asked: Timestamp, ending: Option<Ending>) -> Pull {
    Pull {
        id: PullId::derive(&format!("kubelet:{node}"), KUBELET_NAMESPACE, &image.to_string(), asked),
        sequence: 1,
        namespace: KUBELET_NAMESPACE.to_owned(),
        image: Some(image.clone()),
        digest: None,
        snapshotter: String::new(),
        phase: Phase::Queued,
        wait: None,
        waits: Vec::new(),
        started_at: asked,
        resolved_at: None,
        observed_at: ending.as_ref().map_or(asked, |ending| ending.at),
        ending,
        total_known: false,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: Vec::new(),
    }
}
